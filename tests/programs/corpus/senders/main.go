// Goroutines that send to a channel nobody receives from any more: the request has given up
// by then. Each holds its answer.
//
// answer: goroutines
// goroutines: main.ask start main.ask.func1
// site: main.ask via none
// site: main.ask.func1 via none
// site: main.lookUp via none
// also: time.Sleep corpus/internal/program.(*Program).Next runtime.*
package main

import (
	"time"

	"corpus/internal/program"
)

const (
	// waiterBytes are a goroutine with its stack, its channel and its answer.
	waiterBytes = 3400
	patience    = time.Millisecond
)

type answer struct{ rows [64]int64 }

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / waiterBytes})
	for p.Next() {
		ask()
	}
}

//go:noinline
func ask() *answer {
	answers := make(chan *answer)
	go func() {
		found := lookUp()
		time.Sleep(3 * patience)
		answers <- found
	}()
	select {
	case found := <-answers:
		return found
	case <-time.NewTimer(patience).C:
		return nil
	}
}

//go:noinline
func lookUp() *answer { return &answer{} }
