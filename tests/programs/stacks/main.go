// Stacks prints how the runtime itself names the callers of functions of many kinds, then waits. The question:
// does heaptop name them in the same words?
//
// A line "frame GROUP PC LINE STARTFUNC FUNCTION FILE" is one logical frame of a stack, innermost first. A line
// "rate ADDRESS" is the address of runtime.MemProfileRate.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"sort"
	"strings"
)

var group int
var sink []byte

//go:noinline
func record() {
	group++
	sink = make([]byte, 4096)
	pcs := make([]uintptr, 64)
	pcs = pcs[:runtime.Callers(1, pcs)]
	for _, pc := range pcs {
		frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
		fmt.Printf("frame\t%d\t%#x\t%d\t%s\t%s\n", group, pc, frame.Line, frame.Function, frame.File)
	}
}

func leaf() { record() }

func middle() {
	leaf()
}

// Outer has two levels of inlined calls.
//
//go:noinline
func outer() {
	middle()
	middle()
}

type cache[T any] struct{ last T }

//go:noinline
func (c *cache[T]) put(value T) {
	c.last = value
	c.touch()
}

func (c *cache[T]) touch() { middle() }

type speaker interface{ speak() }

type dog struct{ name string }

func (d dog) speak() { leaf() }

//go:noinline
func call(s speaker) { s.speak() }

func deferred() {
	defer leaf()
	middle()
}

func closure() {
	func() {
		leaf()
	}()
	f := func(depth int) { middle() }
	f(len(os.Args))
}

func main() {
	outer()
	(&cache[int]{}).put(1)
	(&cache[string]{}).put("x")
	(&cache[map[string][]int]{}).put(nil)
	call(dog{"rex"})
	call(&dog{"rex"})
	deferred()
	closure()
	sort.Slice([]int{2, 1}, func(i, j int) bool { leaf(); return true })
	strings.Map(func(r rune) rune { middle(); return r }, "a")
	done := make(chan bool)
	go func() {
		defer close(done)
		method := dog{"rex"}.speak
		method()
	}()
	<-done
	for i := 0; i < 5; i++ {
		runtime.GC()
	}
	fmt.Printf("rate\t%p\n", &runtime.MemProfileRate)
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	// Links the sampler in.
	pprof.Lookup("heap")
}
