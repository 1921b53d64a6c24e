// Plain values are appended to one slice for ever. A full array is replaced by a
// larger one, so that as many arrays are freed as are allocated: only the bytes grow.
//
// answer: heap
// word: probably
// site: main.record via main.main|none
package main

import "cases/internal/life"

type point struct {
	at    int64
	value float64
}

// perSecond points of 16 B are 4 MiB/min, and half as much again as spare capacity.
const perSecond = 4400

var (
	points []point
	sink   []byte
)

func main() {
	l := life.Start()
	var n int64
	for l.Next() {
		for due := l.Due(perSecond); due > 0; due-- {
			record(n)
			if n%8 == 0 {
				garbage()
			}
			n++
		}
	}
}

//go:noinline
func record(n int64) { points = append(points, point{n, float64(n)}) }

//go:noinline
func garbage() { sink = make([]byte, 4096) }
