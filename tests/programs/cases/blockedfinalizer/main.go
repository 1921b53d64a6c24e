// The first finalizer waits on a channel. Finalizers run one after the other, so that
// no other runs either, and whatever has one stays. The site that grows is not to
// blame.
//
// answer: heap
// site: main.open via main.serve
// rate: 4.85
// says: The finalizer goroutine is blocked in main.open.func1 (chan receive)
package main

import (
	"runtime"

	"cases/internal/life"
)

// perSecond handles keep 4096 B, a channel of 96 B, 32 B of their own, and a closure
// of 16 B each: 4.85 MiB/min.
const perSecond = 20

type handle struct {
	data []byte
	done chan struct{}
}

var sink []byte

func main() {
	l := life.Start()
	n := 0
	for l.Next() {
		for due := l.Due(perSecond); due > 0; due-- {
			serve(n)
			n++
		}
	}
}

//go:noinline
func serve(n int) {
	h := open(n)
	h.data[0] = 1
	for i := 0; i < 20; i++ {
		sink = make([]byte, 4096)
	}
}

//go:noinline
func open(n int) *handle {
	h := &handle{data: make([]byte, 4000), done: make(chan struct{})}
	runtime.SetFinalizer(h, func(h *handle) {
		if n == 0 {
			<-h.done
		}
	})
	return h
}
