// Big stacks by deep recursion: parsers that go down some thousands of levels and come back.
// Stacks grow to megabytes and shrink again at a collection.
//
// answer: none
// may: stacks
package main

import (
	"time"

	"corpus/internal/program"
)

const (
	perSecond = 3
	parsers   = 8
	deepest   = 20000
	stays     = 300 * time.Millisecond
)

type node struct {
	child *node
	depth int
}

func main() {
	p := program.Start(program.Plan{PerSecond: perSecond})
	documents := make(chan int, parsers)
	for n := 0; n < parsers; n++ {
		go func() {
			for depth := range documents {
				tree := parse(depth, 0)
				tree.child = nil
			}
		}()
	}
	for p.Next() {
		select {
		case documents <- 1000 + p.Rand.Intn(deepest):
		default:
		}
	}
}

//go:noinline
func parse(levels, depth int) *node {
	var token [16]int64
	token[depth%len(token)] = int64(depth)
	if levels == 0 {
		time.Sleep(stays)
		return &node{depth: int(token[depth%len(token)])}
	}
	n := parse(levels-1, depth+1)
	n.depth += int(token[depth%len(token)])
	return n
}
