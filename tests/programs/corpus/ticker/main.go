// A ticker that nobody stops, made for each wait. This module says `go 1.19`: the old timers,
// which are never collected while they run, as long as there are such, until Go 1.26.
//
// answer go<1.27: heap
// answer go>=1.27: none
// site: time.* via main.watch
package main

import (
	"time"

	"corpus/internal/program"
)

// timerBytes are a timer and its channel, and what the runtime keeps of them.
const timerBytes = 265

const far = time.Hour

const perRequest = 20

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / (perRequest * timerBytes)})
	work := make(chan int, 1)
	for p.Next() {
		for n := 0; n < perRequest; n++ {
			work <- n
			watch(work)
		}
	}
}

//go:noinline
func watch(work chan int) {
	ticker := time.NewTicker(far) // never stopped
	select {
	case <-work:
	case <-ticker.C:
	}
}
