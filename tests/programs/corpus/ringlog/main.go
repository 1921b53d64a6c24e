// A log in memory with a bound: full before the program is ready, and the oldest line goes
// when a new one comes.
//
// answer: none
package main

import (
	"fmt"

	"corpus/internal/program"
)

const (
	perSecond = 120
	lines     = 15000
)

func main() {
	p := program.Start(program.Plan{PerSecond: perSecond, StaticMiB: 15})
	var log [lines]string
	request := 0
	for ; request < lines; request++ {
		log[request] = line(request)
	}
	for ; p.Next(); request++ {
		log[request%lines] = line(request)
	}
}

//go:noinline
func line(request int) string { return fmt.Sprintf("request %d: %0480d", request, request) }
