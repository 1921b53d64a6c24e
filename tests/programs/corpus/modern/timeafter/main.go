// time.After in a loop, in a module that says `go 1.23`: timers that nobody waits for are
// garbage. With Go before 1.23 it would leak, and this module is not built with those.
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
