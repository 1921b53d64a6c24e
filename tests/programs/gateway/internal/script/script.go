// Package script runs the middleware that operators write in JavaScript.
package script

import (
	"errors"
	"fmt"
	"time"

	"github.com/robertkrimen/otto"
)

// price is what an operator has written: it is called once for every order.
const price = `
function price(order) {
	var total = 0;
	for (var i = 0; i < order.items; i++) {
		total += 100 + (order.seed + i * 37) % 900;
	}
	return total;
}`

const (
	// machines are this many interpreters, made at the start; a call takes one.
	machines = 4
	// mayTake is how long one call may take.
	mayTake = 500 * time.Millisecond
)

// ErrTooLong is the end of a call that took too long.
var ErrTooLong = errors.New("the script took too long")

// Engine has the interpreters.
type Engine struct{ free chan *otto.Otto }

func NewEngine() (*Engine, error) {
	engine := &Engine{free: make(chan *otto.Otto, machines)}
	for n := 0; n < machines; n++ {
		machine := otto.New()
		if _, err := machine.Run(price); err != nil {
			return nil, fmt.Errorf("the script does not run: %w", err)
		}
		engine.free <- machine
	}
	return engine, nil
}

// call is one run of the script, as long as somebody may still interrupt it.
type call struct {
	halt      chan error
	interrupt chan func()
	tenant    string
	arguments map[string]interface{}
}

// Price asks the script what an order of so many items costs.
func (e *Engine) Price(tenant string, items, seed int) (int64, error) {
	machine := <-e.free
	defer func() { e.free <- machine }()
	c := &call{
		halt:      make(chan error),
		interrupt: make(chan func(), 1),
		tenant:    tenant,
		arguments: map[string]interface{}{"items": items, "seed": seed},
	}
	machine.Interrupt = c.interrupt
	go c.guard()
	overtime := time.AfterFunc(mayTake, c.tooLong)
	defer overtime.Stop()
	return c.run(machine)
}

// guard interrupts the call when somebody wants its end.
//
// That is the bug of field report 3: nobody tells the guard that the call is over,
// and it waits for ever.
func (c *call) guard() {
	err := <-c.halt
	c.interrupt <- func() { panic(err) }
}

func (c *call) tooLong() { c.halt <- ErrTooLong }

func (c *call) run(machine *otto.Otto) (total int64, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("order of %s: %v", c.tenant, reason)
		}
	}()
	argument, err := machine.ToValue(c.arguments)
	if err != nil {
		return 0, err
	}
	value, err := machine.Call("price", nil, argument)
	if err != nil {
		return 0, err
	}
	return value.ToInteger()
}
