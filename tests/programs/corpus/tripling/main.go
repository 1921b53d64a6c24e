// Load that triples and falls: for a minute and a half of every four there is three times as
// much work, and three times as many sessions of 20 s are open.
//
// answer: none
// may: idle_spans
package main

import (
	"time"

	"corpus/internal/program"
)

const (
	perSecond    = 120
	sessionBytes = 2000
	sessionLives = 20 * time.Second
	period       = 4 * time.Minute
	risesAfter   = 70 * time.Second
	fallsAfter   = 160 * time.Second
)

type session struct {
	opened time.Time
	data   [sessionBytes]byte
}

func main() {
	p := program.Start(program.Plan{PerSecond: perSecond})
	var open []*session
	for p.Next() {
		p.Scale(1)
		if since := p.Since() % period; since > risesAfter && since < fallsAfter {
			p.Scale(3)
		}
		now := time.Now()
		open = append(open, openSession(now))
		old := 0
		for old < len(open) && now.Sub(open[old].opened) > sessionLives {
			open[old] = nil
			old++
		}
		open = open[old:]
	}
}

//go:noinline
func openSession(now time.Time) *session { return &session{opened: now} }
