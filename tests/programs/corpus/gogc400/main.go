// A heap at GOGC 400: the process is five times what lives, by intention, and collections
// are rare.
//
// answer: none
// may: idle_spans
// env: GOGC=400
package main

import "corpus/internal/program"

const (
	perSecond = 200
	jobBytes  = 900
	// inFlight jobs live until so many others have come.
	inFlight = 4000
)

func main() {
	p := program.Start(program.Plan{PerSecond: perSecond, StaticMiB: 12, GarbageMiB: 7})
	var jobs [inFlight]*[jobBytes]byte
	for n := 0; p.Next(); n++ {
		jobs[n%inFlight] = newJob()
	}
}

//go:noinline
func newJob() *[jobBytes]byte { return new([jobBytes]byte) }
