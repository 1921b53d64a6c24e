// A ticker that nobody stops, made for each wait, in a module that says `go 1.23`: those that
// nobody waits for are garbage. With Go before 1.23 it would leak, and this module is not built
// with those.
//
// answer: none
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
