// A table of 100 MiB is dropped after a minute and a half, beside a slow leak. The fall
// of the one says nothing about the growth of the other.
//
// answer: heap
// word: probably
// site: main.keep via main.main|none
// rate: 1
package main

import (
	"time"

	"cases/internal/life"
)

const (
	// perSecond records of 128 B are 1 MiB/min.
	perSecond = 137
	tableMiB  = 100
	dropAfter = 90 * time.Second
)

type record struct {
	next *record
	data [112]byte
}

var (
	table, leaked *record
	sink          []byte
)

func main() {
	for n := 0; n < tableMiB<<20/128; n++ {
		fill()
	}
	l := life.Start()
	for l.Next() {
		for due := l.Due(perSecond); due > 0; due-- {
			keep()
			for i := 0; i < 20; i++ {
				sink = make([]byte, 4096)
			}
		}
		if l.Since() > dropAfter {
			table = nil
		}
	}
}

//go:noinline
func fill() { table = &record{next: table} }

//go:noinline
func keep() { leaked = &record{next: leaked} }
