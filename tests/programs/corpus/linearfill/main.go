// A cache of fixed size that fills at a constant rate and then replaces what is oldest. Until
// it is full nothing tells it from a leak; after that it must not be called one.
//
// answer: none
// fill: main.(*ring).add linear
package main

import "corpus/internal/program"

const (
	entryBytes = 1300
	perSecond  = program.LeakPerSecond / entryBytes
	// fillEntries come within a minute and a half at load 1.
	fillEntries = 9000
)

type ring struct {
	program *program.Program
	entries []*[entryBytes]byte
	next    int
	isFull  bool
}

func main() {
	p := program.Start(program.Plan{PerSecond: perSecond})
	r := &ring{program: p, entries: make([]*[entryBytes]byte, fillEntries)}
	for p.Next() {
		r.add()
	}
}

//go:noinline
func (r *ring) add() {
	r.entries[r.next] = new([entryBytes]byte)
	r.next++
	if !r.isFull && r.next == len(r.entries)/2 {
		r.program.Say("half")
	}
	if r.next == len(r.entries) {
		if !r.isFull {
			r.program.Say("full")
		}
		r.next, r.isFull = 0, true
	}
}
