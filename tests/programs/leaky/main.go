// Question: which of these call sites leak, which is one leak, and which only look like one?
//
//	leaky [MODE ...]     all of them by default, each about half a MiB a second:
//
//	one     leakOne keeps all that it makes
//	three   keepAll calls three functions each of which leaks a third
//	fill    warm fills a cache to 40 MiB within 80 s and then replaces the oldest
//	churn   every request throws away more than all others keep
//
// One loop calls them all, as a server does its handlers. It collects once a second. Prints "ready <pid>" and ends when
// its stdin does.
package main

import (
	"fmt"
	"io"
	_ "net/http/pprof" // a profile reader: the runtime samples at its default rate
	"os"
	"runtime"
	"time"
)

const (
	requestsPerSecond = 100
	bytesPerRequest   = 512 << 10 / requestsPerSecond
	objectBytes       = 256
	cached            = 40 << 20 / objectBytes
)

type object [objectBytes]byte

var (
	one     []*object
	a, b, c []*object
	cache   [cached]*object
	oldest  int
	sink    *object
)

//go:noinline
func leakOne() { one = append(one, new(object)) }

//go:noinline
func keepA() { a = append(a, new(object)) }

//go:noinline
func keepB() { b = append(b, new(object)) }

//go:noinline
func keepC() { c = append(c, new(object)) }

//go:noinline
func keepAll(i int) {
	switch i % 3 {
	case 0:
		keepA()
	case 1:
		keepB()
	default:
		keepC()
	}
}

//go:noinline
func warm() {
	cache[oldest] = new(object)
	oldest = (oldest + 1) % cached
}

//go:noinline
func throwAway() { sink = new(object) }

//go:noinline
func serve(modes map[string]bool) {
	for i := 0; i < bytesPerRequest/objectBytes; i++ {
		if modes["one"] {
			leakOne()
		}
		if modes["three"] {
			keepAll(i)
		}
		if modes["fill"] {
			warm()
		}
		if modes["churn"] {
			for j := 0; j < 12; j++ {
				throwAway()
			}
		}
	}
}

func main() {
	modes := map[string]bool{}
	for _, mode := range os.Args[1:] {
		modes[mode] = true
	}
	if len(modes) == 0 {
		modes = map[string]bool{"one": true, "three": true, "fill": true, "churn": true}
	}
	// Room for ten minutes: a slice that grows would be the largest object of all.
	const room = 600 << 20 / 2 / objectBytes
	one, a, b, c = make([]*object, 0, room), make([]*object, 0, room), make([]*object, 0, room), make([]*object, 0, room)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println("ready", os.Getpid())
	for i := 0; ; i++ {
		time.Sleep(time.Second / requestsPerSecond)
		serve(modes)
		if i%requestsPerSecond == 0 {
			runtime.GC()
		}
	}
}
