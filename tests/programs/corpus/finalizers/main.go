// Finalizer cycles: a session and its peer point at each other, and the session has a
// finalizer. Objects in a cycle with one are never collected.
//
// answer: heap
// site: corpus/finalizers/session.Open via main.serve
// site: corpus/finalizers/session.newPeer via main.serve
package main

import (
	"corpus/finalizers/session"
	"corpus/internal/program"
)

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / session.Bytes})
	for p.Next() {
		serve()
	}
}

//go:noinline
func serve() { session.Open().Touch() }
