// time.After in a loop: each wait leaves a timer of an hour behind. This module says `go 1.19`:
// the old timers, which live until they fire, as long as there are such, until Go 1.26.
//
// answer go<1.27: heap
// answer go>=1.27: none
// site: time.* via main.waitForWork
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
			waitForWork(work)
		}
	}
}

//go:noinline
func waitForWork(work chan int) {
	select {
	case <-work:
	case <-time.After(far):
	}
}
