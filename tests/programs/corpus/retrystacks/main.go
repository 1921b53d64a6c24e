// Stacks that grow for ever: workers retry by calling themselves, and none of their calls
// ever returns. The heap is level and so is the number of goroutines.
//
// answer: stacks
package main

import (
	"sync"
	"time"

	"corpus/internal/program"
)

const (
	workers = 96
	// frameBytes is about what one retry needs of the stack.
	frameBytes = 640
	poll       = 50 * time.Millisecond
	// deepest keeps a stack below the limit of 1 GiB.
	deepest = 400_000
)

// tries is how many retries each worker is to be in by now.
type tries struct {
	mu   sync.Mutex
	more *sync.Cond
	n    int
}

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / frameBytes})
	t := &tries{}
	t.more = sync.NewCond(&t.mu)
	for n := 0; n < workers; n++ {
		// Stacks double: workers at different depths make it a slope.
		go retry(t, n, 0)
	}
	for n := 1; p.Next(); n++ {
		if n%1000 == 0 {
			t.mu.Lock()
			t.n = n
			t.mu.Unlock()
			t.more.Broadcast()
		}
	}
}

//go:noinline
func retry(t *tries, worker, depth int) byte {
	var attempt [512]byte
	attempt[depth%len(attempt)] = byte(worker)
	t.mu.Lock()
	for depth*workers >= t.n*(worker+workers/4)/(workers*3/4) || depth > deepest {
		t.more.Wait()
	}
	t.mu.Unlock()
	return retry(t, worker, depth+1) + attempt[(depth+worker)%len(attempt)]
}
