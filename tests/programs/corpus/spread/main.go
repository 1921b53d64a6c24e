// One leak at three call sites: every session stays, with a user, a cart and a trace, each
// allocated in a package of its own. Its sum is 7.5 MiB/min.
//
// answer: heap
// under: main.openSession
// site: corpus/spread/user.New via main.openSession
// site: corpus/spread/cart.New via main.openSession
// site: corpus/spread/trace.New via main.openSession
// site: main.openSession via none
package main

import (
	"corpus/internal/program"
	"corpus/spread/cart"
	"corpus/spread/trace"
	"corpus/spread/user"
)

const sessionBytes = 1296

type session struct {
	user  *user.User
	cart  *cart.Cart
	trace *trace.Trace
	next  *session
}

var sessions *session

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / sessionBytes})
	for p.Next() {
		openSession()
	}
}

//go:noinline
func openSession() {
	sessions = &session{user: user.New(), cart: cart.New(), trace: trace.New(), next: sessions}
}
