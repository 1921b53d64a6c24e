// Package audit remembers what was done.
package audit

import "fmt"

// LineBytes are a line, its entry, and its part of the slice.
const LineBytes = 390

type entry struct {
	line   string
	fields [8]int64
}

type Log struct{ entries []*entry }

//go:noinline
func (l *Log) Add(request, step int) {
	line := fmt.Sprintf("request %d step %d of tenant %d: %0240d", request, step, request%40, request*step)
	l.entries = append(l.entries, &entry{line: line})
}
