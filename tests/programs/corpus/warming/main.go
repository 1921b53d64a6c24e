// A cache warming to its bound: keys are asked for by popularity, most of them soon known,
// so that it grows by less and less.
//
// answer: none
// fill: main.(*cache).get curved
package main

import (
	"math"

	"corpus/internal/program"
)

const (
	perSecond  = 300
	entries    = 24000
	entryBytes = 900
)

type cache struct {
	known   []*[entryBytes]byte
	n       int
	program *program.Program
}

func main() {
	p := program.Start(program.Plan{PerSecond: perSecond})
	c := &cache{known: make([]*[entryBytes]byte, entries), program: p}
	for p.Next() {
		c.get(int(entries * math.Pow(p.Rand.Float64(), 1.3)))
	}
}

//go:noinline
func (c *cache) get(key int) *[entryBytes]byte {
	if c.known[key] == nil {
		c.known[key] = new([entryBytes]byte)
		c.n++
		switch c.n {
		case entries / 2:
			c.program.Say("half")
		case entries * 98 / 100:
			c.program.Say("full")
		}
	}
	return c.known[key]
}
