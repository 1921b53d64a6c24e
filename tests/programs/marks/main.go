// Question: do the mark bits, read from outside, say which objects are alive?
//
// The program allocates objects of many sizes, with and without pointers, keeps every second one and drops the
// others. It prints "ready <pid>", then "object <kept> <address>" for each ("kept", "dropped"), and takes commands
// on stdin, one a line, each answered by a line:
//
//	drop    forget the dropped ones                                       "dropped"
//	gc      collect, and sweep all of it                                  "collected"
//	mark    collect, and stop (SIGSTOP) before the sweep                  "marked" after SIGCONT
//	churn   from now on allocate and collect all the time                 "churning"
//	ends    "ends", and the ends of the last cycles, newest first, Unix nanoseconds
//	stats   "stats <objects> <bytes>": allocated since the start, as runtime.MemStats has them
//
// It ends when stdin does. The argument is how many objects of each small size there are; default 64.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"unsafe"
)

// Of every kind of span: smallest slots, those with inline mark bits (16 to 512 bytes), those behind malloc headers,
// and large ones.
var sizes = []int{8, 16, 24, 48, 64, 160, 512, 600, 1024, 4096, 9000, 32768, 33000, 48 << 10}

// Larger objects are fewer.
const mostBytes = 4 << 20

type fate struct {
	kept    []unsafe.Pointer
	dropped []unsafe.Pointer
}

var objects fate

//go:noinline
func allocate(size int, pointers bool) unsafe.Pointer {
	if pointers {
		return unsafe.Pointer(&make([]*byte, size/8)[0])
	}
	return unsafe.Pointer(&make([]byte, size)[0])
}

//go:noinline
func allocateAll(n int) {
	for _, size := range sizes {
		count := n
		if count*size > mostBytes && count > 16 {
			count = 16
		}
		for i := 0; i < count; i++ {
			// Noscan objects below 16 bytes would share a slot.
			pointers := i/2%2 == 0 || size < 16
			object := allocate(size, pointers)
			if i%2 == 0 {
				objects.kept = append(objects.kept, object)
			} else {
				objects.dropped = append(objects.dropped, object)
			}
		}
	}
}

// Mark collects and stops the process when marking has ended. With one P, whoever sweeps yields to this goroutine
// after a few spans.
//
//go:noinline
func mark() {
	var stats debug.GCStats
	debug.ReadGCStats(&stats)
	before := stats.NumGC
	done := make(chan bool)
	go func() {
		runtime.GC()
		close(done)
	}()
	for stats.NumGC == before {
		runtime.Gosched()
		debug.ReadGCStats(&stats) // Stops nothing, unlike runtime.ReadMemStats.
	}
	syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	<-done
}

var wasted [4][]unsafe.Pointer

// Churn allocates, keeps some for a while, and collects, without end.
func churn() {
	runtime.GOMAXPROCS(len(wasted))
	debug.SetGCPercent(20)
	for i := range wasted {
		go func(mine *[]unsafe.Pointer) {
			for n := 0; ; n++ {
				if n%2000 == 0 {
					*mine = make([]unsafe.Pointer, 100)
				}
				size := sizes[n%10]
				(*mine)[n*7%100] = allocate(size, n%3 == 0)
			}
		}(&wasted[i])
	}
	go func() {
		for {
			runtime.GC()
		}
	}()
}

func main() {
	n := 64
	if len(os.Args) > 1 {
		n, _ = strconv.Atoi(os.Args[1])
	}
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	fmt.Println("ready", os.Getpid())
	allocateAll(n)
	out := bufio.NewWriter(os.Stdout)
	for _, object := range objects.kept {
		fmt.Fprintf(out, "object kept %#x\n", uintptr(object))
	}
	for _, object := range objects.dropped {
		fmt.Fprintf(out, "object dropped %#x\n", uintptr(object))
	}
	fmt.Fprintln(out, "allocated")
	out.Flush()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch in.Text() {
		case "drop":
			objects.dropped = nil
			fmt.Println("dropped")
		case "gc":
			runtime.GC()
			fmt.Println("collected")
		case "mark":
			mark()
			fmt.Println("marked")
		case "churn":
			churn()
			fmt.Println("churning")
		case "ends":
			var stats debug.GCStats
			debug.ReadGCStats(&stats)
			fmt.Print("ends")
			for _, end := range stats.PauseEnd {
				fmt.Print(" ", end.UnixNano())
			}
			fmt.Println()
		case "stats":
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			fmt.Println("stats", stats.Mallocs, stats.TotalAlloc)
		}
	}
	runtime.KeepAlive(objects.kept)
}
