// Package script calls functions of operators' scripts.
package script

import "github.com/robertkrimen/otto"

const source = `function price(n) { return 100 + (n * 37) % 900; }`

type Engine struct{ machine *otto.Otto }

type call struct {
	halt      chan error
	interrupt chan func()
	arguments [32]int64
}

func New() (*Engine, error) {
	machine := otto.New()
	_, err := machine.Run(source)
	return &Engine{machine: machine}, err
}

//go:noinline
func (e *Engine) Call(name string, argument int) (int64, error) {
	c := &call{halt: make(chan error), interrupt: make(chan func(), 1)}
	c.arguments[0] = int64(argument)
	e.machine.Interrupt = c.interrupt
	go c.guard()
	value, err := e.machine.Call(name, nil, argument)
	if err != nil {
		return 0, err
	}
	return value.ToInteger()
}

// guard waits for an end that nobody tells.
func (c *call) guard() {
	err := <-c.halt
	c.interrupt <- func() { panic(err) }
}
