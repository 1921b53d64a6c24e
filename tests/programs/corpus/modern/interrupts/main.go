// An embedded script engine, and a goroutine for each call that waits for ever on the channel
// by which the call could be interrupted: field report 3.
//
// answer: goroutines
// goroutines: corpus/modern/interrupts/script.(*Engine).Call start corpus/modern/interrupts/script.(*call).guard
// site: corpus/modern/interrupts/script.* via any
// also: corpus/internal/program.(*Program).Next runtime.* github.com/robertkrimen/otto*
package main

import (
	"corpus/internal/program"
	"corpus/modern/interrupts/script"
)

// callBytes are a goroutine with its stack, and the call.
const callBytes = 3500

func main() {
	engine, err := script.New()
	if err != nil {
		panic(err)
	}
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / callBytes})
	for n := 0; p.Next(); n++ {
		if err := price(engine, n); err != nil {
			panic(err)
		}
	}
}

//go:noinline
func price(engine *script.Engine, n int) error {
	_, err := engine.Call("price", n)
	return err
}
