// Package life gives a program its pace and its end, and allocates next to nothing
// itself: some of the programs are about a heap that is too small for a collection.
//
// A program ends after the time it is given, and when its parent has died.
package life

import (
	"flag"
	"os"
	"time"
)

const tick = 20 * time.Millisecond

// Life is the life of one program; for the goroutine of main alone.
type Life struct {
	began  time.Time
	most   time.Duration
	load   float64
	parent int
	done   int
}

// Start reads the arguments and says that the program is ready.
func Start() *Life {
	flag.Int64("seed", 1, "accepted for the sake of who starts many programs; nothing varies")
	load := flag.Float64("load", 1, "times the rate of work")
	most := flag.Duration("for", 0, "end after this time; 0 is no limit")
	flag.Parse()
	os.Stdout.WriteString("ready\n")
	return &Life{began: time.Now(), most: *most, load: *load, parent: os.Getppid()}
}

// Next waits for the next tick; false when the program is to end.
func (l *Life) Next() bool {
	time.Sleep(tick)
	return (l.most == 0 || l.Since() < l.most) && os.Getppid() == l.parent
}

// Due is how many pieces of work have come due since it was last asked, of so many a
// second at load 1. A program asks for one rate only.
func (l *Life) Due(perSecond float64) int {
	all := int(l.Since().Seconds() * perSecond * l.load)
	due := all - l.done
	l.done = all
	return due
}

// Since is how long the program has run.
func (l *Life) Since() time.Duration { return time.Since(l.began) }
