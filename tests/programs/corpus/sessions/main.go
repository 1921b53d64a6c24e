// Sessions that live 10 to 60 s and then expire: many of them at any time, none for ever. The
// store is as full as it gets before the program is ready.
//
// answer: none
package main

import (
	"time"

	"corpus/internal/program"
)

const (
	perSecond    = 70
	sessionBytes = 1000
	shortest     = 10 * time.Second
	spread       = 50 * time.Second
	sweepEvery   = 500
)

type session struct {
	expires time.Time
	cart    map[int]int
	data    [sessionBytes]byte
}

type store map[int]*session

func main() {
	p := program.Start(program.Plan{PerSecond: perSecond, StaticMiB: 15})
	sessions, serial := store{}, 0
	lives := func() time.Duration { return shortest + time.Duration(p.Rand.Int63n(int64(spread))) }
	for n := 0; n < int(perSecond*p.Load()*35); n++ {
		serial++
		// What is left of the life of one that is open is less than a whole life.
		sessions.open(serial, time.Duration(p.Rand.Float64()*float64(lives())))
	}
	for p.Next() {
		serial++
		sessions.open(serial, lives())
		if serial%sweepEvery == 0 {
			sessions.sweep()
		}
	}
}

//go:noinline
func (s store) open(id int, lives time.Duration) {
	s[id] = &session{expires: time.Now().Add(lives), cart: map[int]int{id: 1}}
}

func (s store) sweep() {
	now := time.Now()
	for id, open := range s {
		if now.After(open.expires) {
			delete(s, id)
		}
	}
}
