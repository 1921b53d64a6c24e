// A map in which keys come and go: as many as at the start, never the same.
//
// answer: none
package main

import "corpus/internal/program"

const (
	perSecond = 400
	keys      = 20000
)

type order struct {
	number int
	lines  [40]int64
}

func main() {
	p := program.Start(program.Plan{PerSecond: perSecond, StaticMiB: 15})
	open := map[int]*order{}
	number := 0
	for ; number < keys; number++ {
		open[number] = newOrder(number)
	}
	for ; p.Next(); number++ {
		open[number] = newOrder(number)
		delete(open, number-keys)
	}
}

//go:noinline
func newOrder(number int) *order { return &order{number: number} }
