// A free list without a bound: buffers are taken and given back, but a request that fails
// gives back its own and a new one, and the list grows.
//
// answer: heap
// site: corpus/freelist/buffers.(*List).Get via main.handle
// site: corpus/freelist/buffers.New via main.handle
package main

import (
	"corpus/freelist/buffers"
	"corpus/internal/program"
)

func main() {
	p := program.Start(program.Plan{PerSecond: 2 * program.LeakPerSecond / buffers.Bytes})
	list := &buffers.List{}
	for n := 0; p.Next(); n++ {
		handle(list, n%2 == 0)
	}
}

//go:noinline
func handle(list *buffers.List, fails bool) {
	buffer := list.Get()
	if fails {
		list.Put(buffers.New())
	}
	list.Put(buffer)
}
