// Subscribers that never leave: every request registers a callback for changes of its
// tenant, and with it everything the callback has captured.
//
// answer: heap
// site: corpus/subscribers/bus.(*Bus).Subscribe via main.handle
// site: main.handle via none
// site: main.newView via main.handle|none
package main

import (
	"corpus/internal/program"
	"corpus/subscribers/bus"
)

const (
	// viewBytes are a view with its closure and subscription.
	viewBytes = 1150
	tenants   = 50
)

type view struct {
	tenant string
	rows   [120]int64
}

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / viewBytes})
	changes := bus.New(tenants)
	for request := 0; p.Next(); request++ {
		handle(changes, request%tenants)
	}
}

//go:noinline
func handle(changes *bus.Bus, tenant int) {
	v := newView()
	changes.Subscribe(tenant, func(row int64) { v.rows[int(row)%len(v.rows)] = row })
}

//go:noinline
func newView() *view { return &view{tenant: "tenant"} }
