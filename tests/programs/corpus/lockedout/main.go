// Goroutines that wait for a lock that is never released: one worker has returned with it
// held.
//
// answer: goroutines
// goroutines: main.submit start main.(*ledger).book
// site: main.submit via none
// site: main.(*ledger).book via none
// also: corpus/internal/program.(*Program).Next runtime.* sync.* internal/sync.*
package main

import (
	"sync"

	"corpus/internal/program"
)

// waiterBytes are a goroutine with its stack and its entry.
const waiterBytes = 3300

type entry struct{ lines [64]int64 }

type ledger struct {
	mu      sync.Mutex
	booked  int
	entries []*entry
}

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / waiterBytes})
	l := &ledger{}
	for p.Next() {
		submit(l)
	}
}

//go:noinline
func submit(l *ledger) { go l.book(&entry{}) }

func (l *ledger) book(e *entry) {
	l.mu.Lock()
	if l.booked == 1000 {
		return // and the lock is kept
	}
	l.booked++
	l.entries = append(l.entries[:0], e)
	l.mu.Unlock()
}
