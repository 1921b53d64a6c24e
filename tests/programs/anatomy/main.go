// Question: does what heaptop says of a process's memory sum up to what is resident, and is each part as large as the
// program knows it to be?
//
// Started as `anatomy MODE MIB`, it makes MIB MiB of one kind of memory, prints "ready <pid>" and waits. A line "stats"
// on stdin makes it print one line of JSON: runtime.MemStats, and the bytes of the kind it made. It ends when stdin does.
// Modes:
//
//	small       live objects of 64 bytes
//	large       live objects of 1 MiB
//	untouched   a live slice that is never written
//	fragmented  objects of 1 KiB of which one in eight lives
//	gogc        garbage up to GOGC=400 over MIB MiB of live heap
//	idle        MIB MiB that died, collected, and are not given back yet
//	returned    MIB MiB that died and were given back (debug.FreeOSMemory)
//	stacks      goroutines deep in recursion
//	goroutines  many goroutines that only wait
//	cgo         C's malloc (built with cgo)
//	mmap        private anonymous mapping
//	file        private mapping of a file, read
//	shared      shared anonymous mapping
//	globals     a global array
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
)

const mib = 1 << 20

// keep holds what is to live.
var keep []interface{}

// big is memory of the executable itself.
var big [256 * mib]byte

type small struct {
	next *small
	_    [56]byte
}

func main() {
	mode := os.Args[1]
	size, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	size *= mib
	made := modes[mode](size)
	fmt.Println("ready", os.Getpid())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		stats.BySize = [61]struct {
			Size    uint32
			Mallocs uint64
			Frees   uint64
		}{}
		line, err := json.Marshal(map[string]interface{}{"mem": stats, "made": made})
		if err != nil {
			panic(err)
		}
		fmt.Println(string(line))
	}
	runtime.KeepAlive(keep)
}

var modes = map[string]func(size int) int{
	"small": func(size int) int {
		keep = append(keep, list(size))
		runtime.GC()
		return size
	},
	"large": func(size int) int {
		for done := 0; done < size; done += mib {
			keep = append(keep, touched(make([]byte, mib)))
		}
		runtime.GC()
		return size
	},
	"untouched": func(size int) int {
		keep = append(keep, make([]byte, size))
		runtime.GC()
		return size
	},
	"fragmented": func(size int) int {
		all := make([][]byte, 0, size>>10)
		for done := 0; done < size; done += 1 << 10 {
			all = append(all, touched(make([]byte, 1<<10)))
		}
		for i := 0; i < len(all); i += 8 {
			keep = append(keep, all[i])
		}
		all = nil
		runtime.GC()
		runtime.GC()
		return size / 8 * 7
	},
	"gogc": func(size int) int {
		debug.SetGCPercent(400)
		keep = append(keep, list(size))
		runtime.GC()
		for done := 0; done < 2*size; done += 4 << 10 {
			garbage = touched(make([]byte, 4<<10))
		}
		return 2 * size
	},
	"idle": func(size int) int {
		hold := list(size)
		runtime.KeepAlive(hold)
		hold = nil
		debug.SetGCPercent(100)
		runtime.GC()
		runtime.GC()
		return size
	},
	"returned": func(size int) int {
		hold := list(size)
		runtime.KeepAlive(hold)
		hold = nil
		debug.FreeOSMemory()
		return size
	},
	"stacks": func(size int) int {
		const each = mib // A stack of 1 MiB, of which the recursion fills three quarters.
		var deep sync.WaitGroup
		for done := 0; done < size; done += each {
			deep.Add(1)
			go recurse(each*3/4/1024, &deep)
		}
		deep.Wait()
		return size
	},
	"goroutines": func(size int) int {
		const each = 2 << 10
		for done := 0; done < size; done += each {
			go func() { select {} }()
		}
		return size
	},
	"cgo": func(size int) int {
		allocateC(size)
		return size
	},
	"mmap": func(size int) int {
		mapped, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
		if err != nil {
			panic(err)
		}
		touched(mapped)
		return size
	},
	"shared": func(size int) int {
		mapped, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_ANON)
		if err != nil {
			panic(err)
		}
		touched(mapped)
		return size
	},
	"file": func(size int) int {
		file, err := os.CreateTemp("", "anatomy")
		if err != nil {
			panic(err)
		}
		os.Remove(file.Name())
		if err := file.Truncate(int64(size)); err != nil {
			panic(err)
		}
		mapped, err := syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_PRIVATE)
		if err != nil {
			panic(err)
		}
		sum := 0
		for i := 0; i < size; i += 4 << 10 {
			sum += int(mapped[i])
		}
		keep = append(keep, file, sum)
		return size
	},
	"globals": func(size int) int {
		if size > len(big) {
			size = len(big)
		}
		touched(big[:size])
		return size
	},
}

var garbage []byte

// touched writes to every page.
func touched(bytes []byte) []byte {
	for i := 0; i < len(bytes); i += 4 << 10 {
		bytes[i] = 1
	}
	return bytes
}

func list(size int) *small {
	var head *small
	for done := 0; done < size; done += 64 {
		head = &small{next: head}
	}
	return head
}

// recurse goes down by frames of a little over 1 KiB, and stays there.
func recurse(depth int, deep *sync.WaitGroup) byte {
	var frame [1024]byte
	for i := range frame {
		frame[i] = byte(depth)
	}
	if depth == 0 {
		deep.Done()
		select {}
	}
	return recurse(depth-1, deep) + frame[depth%len(frame)]
}
