// Goroutines that never end, each with 4 KiB of heap and 8 KiB of stack. Stacks count
// towards the goal of the collector as live bytes do, so that RSS grows by twice the
// sum, and not by twice the heap alone.
//
// answer: goroutines
// goroutines: main.start start main.wait
// also: main.wait main.start runtime.*
// rate: 1.33
// rss: 7
package main

import "cases/internal/life"

// perSecond goroutines keep 4096 B, 448 B of the runtime's own, 96 B to wait with, and
// 8 KiB of stack: twice 3.67 MiB/min of RSS.
const perSecond = 5

var (
	never chan int
	sink  []byte
	// kept is no constant, or the compiler would place the bytes on the stack.
	kept = 4096
)

func main() {
	l := life.Start()
	for l.Next() {
		for due := l.Due(perSecond); due > 0; due-- {
			start()
			for i := 0; i < 100; i++ {
				sink = make([]byte, 4096)
			}
		}
	}
}

//go:noinline
func start() { go wait() }

//go:noinline
func wait() { deep(4, make([]byte, kept)) }

//go:noinline
func deep(n int, own []byte) int {
	var room [1024]byte
	room[n] = own[n]
	if n > 0 {
		return deep(n-1, own) + int(room[n])
	}
	return <-never + int(own[n]) // own is alive as long as the goroutine
}
