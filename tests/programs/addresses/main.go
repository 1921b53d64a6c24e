// Question: does heaptop see every allocation, and does it know where the object comes to lie?
//
// The program prints "ready <pid>" and takes commands on stdin, one a line:
//
//	<shape> <n>    allocate n objects in one function, named in shapes below, keep them, and print their addresses
//	drop           forget every second object of all, and collect: spans are used again in part      "dropped"
//	deep           allocate one object of 64 bytes below 100 frames                                  "deep"
//
// It ends when stdin does.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"unsafe"
)

type (
	pointer struct{ p *int }
	b64     struct{ a [8]uint64 }
	p64     struct {
		p *int
		a [7]uint64
	}
	p600 struct {
		p *int
		a [74]uint64
	}
	b4096 struct{ a [512]uint64 }
	p4096 struct {
		p *int
		a [511]uint64
	}
	b48k struct{ a [6144]uint64 }
)

var kept []unsafe.Pointer

//go:noinline
func tiny(n int) {
	for i := 0; i < n; i++ {
		kept = append(kept, unsafe.Pointer(new(int32)))
	}
}

//go:noinline
func pointer8(n int) {
	for i := 0; i < n; i++ {
		kept = append(kept, unsafe.Pointer(new(pointer)))
	}
}

//go:noinline
func bytes64(n int) {
	for i := 0; i < n; i++ {
		kept = append(kept, unsafe.Pointer(new(b64)))
	}
}

//go:noinline
func pointers64(n int) {
	for i := 0; i < n; i++ {
		kept = append(kept, unsafe.Pointer(new(p64)))
	}
}

//go:noinline
func pointers600(n int) {
	for i := 0; i < n; i++ {
		kept = append(kept, unsafe.Pointer(new(p600)))
	}
}

//go:noinline
func bytes4096(n int) {
	for i := 0; i < n; i++ {
		kept = append(kept, unsafe.Pointer(new(b4096)))
	}
}

//go:noinline
func pointers4096(n int) {
	for i := 0; i < n; i++ {
		kept = append(kept, unsafe.Pointer(new(p4096)))
	}
}

//go:noinline
func large(n int) {
	for i := 0; i < n; i++ {
		kept = append(kept, unsafe.Pointer(new(b48k)))
	}
}

//go:noinline
func slices(n int) {
	for i := 0; i < n; i++ {
		kept = append(kept, unsafe.Pointer(&make([]byte, n)[0]))
	}
}

//go:noinline
func deep(depth int) int {
	if depth == 0 {
		bytes64(1)
		return 0
	}
	return deep(depth-1) + 1
}

var shapes = map[string]func(int){
	"tiny": tiny, "pointer8": pointer8, "bytes64": bytes64, "pointers64": pointers64, "pointers600": pointers600,
	"bytes4096": bytes4096, "pointers4096": pointers4096, "large": large, "slices": slices,
}

func main() {
	// Where the collector runs, an allocation may wait and come to lie elsewhere; only on command, here.
	debug.SetGCPercent(-1)
	// Never grows: it would be an allocation of the functions above.
	kept = make([]unsafe.Pointer, 0, 1<<16)
	fmt.Println("ready", os.Getpid())
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		words := strings.Fields(commands.Text())
		switch words[0] {
		case "drop":
			for i := range kept {
				if i%2 == 0 {
					kept[i] = nil
				}
			}
			runtime.GC()
			fmt.Println("dropped")
		case "deep":
			deep(100)
			fmt.Println("deep")
		default:
			n, err := strconv.Atoi(words[1])
			if err != nil {
				panic(err)
			}
			from := len(kept)
			shapes[words[0]](n)
			var line strings.Builder
			for _, object := range kept[from:] {
				fmt.Fprintf(&line, "%x ", uintptr(object))
			}
			fmt.Println(line.String())
		}
	}
}
