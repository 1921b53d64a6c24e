// A leak below a framework: no function of the program itself is on the stacks that
// leak, and one of the two sites is a helper with many callers.
//
// answer: heap
// word: probably
// site: example.com/lib/keys.Copy via example.com/lib/middleware.(*Locker).handle
// site: example.com/lib/middleware.(*Locker).lock via any
package main

import (
	"cases/internal/life"

	"example.com/lib/middleware"
)

// perSecond requests each leave a key of 48 B, a lock of 8 B and their part of a map.
const perSecond = 1500

func main() {
	requests := make(chan int)
	go middleware.Serve(requests)
	l := life.Start()
	for l.Next() {
		requests <- l.Due(perSecond)
	}
}
