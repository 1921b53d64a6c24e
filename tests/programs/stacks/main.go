// Stacks prints how the runtime itself names the callers of functions of many kinds, then waits. The question:
// does heaptop name them in the same words?
//
// A line "type ADDRESS SIZE NAME" is a type by the address of its descriptor. A line "frame GROUP PC LINE STARTFUNC FUNCTION FILE" is one logical frame of a stack, innermost first. A line
// "rate ADDRESS" is the address of runtime.MemProfileRate.
package main

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"runtime/pprof"
	"sort"
	"strings"
	"unsafe"
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

type list[T any] struct{ next *list[T] }

// Types prints how the runtime names types of many kinds.
func types() {
	for _, value := range []any{
		dog{}, &dog{}, []dog{}, [3]*dog{}, map[string][]dog{}, func(int) error { return nil }, make(chan dog),
		struct{ name string }{}, list[int]{}, &list[dog]{}, "", 1.5, uint8(1), new(any), sort.StringSlice{}, &strings.Builder{},
	} {
		// An interface begins with the address of its value's type.
		at := *(*uintptr)(unsafe.Pointer(&value))
		fmt.Printf("type\t%#x\t%d\t%T\n", at, reflect.TypeOf(value).Size(), value)
	}
	made := any(reflect.New(reflect.ArrayOf(12345, reflect.TypeOf(0))).Interface())
	fmt.Printf("made\t%#x\n", *(*uintptr)(unsafe.Pointer(&made)))
}

func main() {
	types()
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
