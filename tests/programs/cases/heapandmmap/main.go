// Two leaks at once, of small objects and of anonymous mappings: each is to be named,
// and GOGC explains the growth of RSS by the first alone.
//
// answer: heap
// site: main.keep via main.main|none
// with: mmap
// rate: 4
// rss: 13
package main

import (
	"syscall"

	"cases/internal/life"
)

const (
	// perSecond items of 128 B are 4 MiB/min.
	perSecond = 546
	// perMapping items come between two mappings of 256 KiB: 20 of them a minute.
	perMapping = 3 * perSecond
	mapping    = 256 << 10
	page       = 4096
)

type item struct {
	next *item
	data [112]byte
}

var (
	items *item
	sink  []byte
)

func main() {
	l := life.Start()
	n := 0
	for l.Next() {
		for due := l.Due(perSecond); due > 0; due-- {
			keep()
			if n%4 == 0 {
				sink = make([]byte, page)
			}
			if n%perMapping == 0 {
				mapped()
			}
			n++
		}
	}
}

//go:noinline
func keep() { items = &item{next: items} }

//go:noinline
func mapped() {
	area, err := syscall.Mmap(-1, 0, mapping, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	for i := 0; i < len(area); i += page {
		area[i] = 1
	}
}
