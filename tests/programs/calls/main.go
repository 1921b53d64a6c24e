// Question: is every call of a function counted, and none twice, whatever its stack and its code look like?
//
// Prints "ready <pid>", then obeys commands, one a line, each answered with "ok":
//
//	work N          N calls of main.work, from goroutines whose stacks must grow for it, some recursive
//	huge N          N calls of main.huge, which has a frame of 72 KB
//	generic N       N calls of main.(*box[...]).put, of three types
//	requests N      N requests to a server of net/http of its own, four at a time
//	steady RATE MS  calls of main.work at so many a second; answers "ok <calls>"
//
// It ends when stdin does.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Deep is how far some calls of work call themselves.
const deep = 10

var sink int

//go:noinline
func work(more int) int {
	var room [150]int
	for i := range room {
		room[i] = more * i
	}
	if more > 0 {
		return room[more] + work(more-1)
	}
	return room[7]
}

//go:noinline
func huge(n int) int {
	var room [9000]int
	for i := range room {
		room[i] = n * i
	}
	return room[n%9000]
}

type box[T any] struct{ kept [20]T }

//go:noinline
func (b *box[T]) put(value T, at int) int {
	b.kept[at%20] = value
	fmt.Fprint(io.Discard, value)
	return len(b.kept)
}

// Frameless has neither a stack check nor a frame.
//
//go:noinline
func frameless(a, b int) int { return a + b }

// Inlined is nowhere else.
func inlined(a int) int { return 3*a + 1 }

type first struct{ n int }
type second struct{ n int }

//go:noinline
func (f *first) run() { fmt.Fprint(io.Discard, f.n) }

//go:noinline
func (s *second) run() { fmt.Fprint(io.Discard, s.n) }

func calls(n int) {
	var group sync.WaitGroup
	for n > 0 {
		depth := 0
		if n%3 == 0 && n > deep {
			depth = deep - 1
		}
		n -= depth + 1
		group.Add(1)
		go func() {
			work(depth)
			group.Done()
		}()
		if n%64 == 0 {
			group.Wait()
		}
	}
	group.Wait()
}

func steady(perSecond, milliseconds int) int {
	begun, end := time.Now(), time.Duration(milliseconds)*time.Millisecond
	made := 0
	for {
		passed := time.Since(begun)
		if passed >= end {
			return made
		}
		for due := int(passed.Seconds() * float64(perSecond)); made < due; made++ {
			sink += work(0)
		}
		time.Sleep(500 * time.Microsecond)
	}
}

func requests(url string, n int) error {
	errs := make(chan error)
	for worker := 0; worker < 4; worker++ {
		mine := (n + worker) / 4
		go func() {
			for ; mine > 0; mine-- {
				answer, err := http.Get(url)
				if err != nil {
					errs <- err
					return
				}
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
			errs <- nil
		}()
	}
	for worker := 0; worker < 4; worker++ {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "answer\n")
	}))
	ints, texts, maps := &box[int]{}, &box[string]{}, &box[map[string]int]{}
	(&first{}).run()
	(&second{}).run()
	sink = frameless(inlined(len(os.Args)), sink)
	fmt.Println("ready", os.Getpid())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words := strings.Fields(lines.Text())
		n, err := strconv.Atoi(words[1])
		if err != nil {
			panic(err)
		}
		answer := "ok"
		switch words[0] {
		case "work":
			calls(n)
		case "huge":
			for ; n > 0; n-- {
				done := make(chan int)
				go func() { done <- huge(n) }()
				sink += <-done
			}
		case "generic":
			for i := 0; i < n; i++ {
				switch i % 3 {
				case 0:
					sink += ints.put(i, i)
				case 1:
					sink += texts.put("text", i)
				default:
					sink += maps.put(nil, i)
				}
			}
		case "requests":
			err = requests("http://"+listener.Addr().String(), n)
		case "steady":
			milliseconds, _ := strconv.Atoi(words[2])
			answer = fmt.Sprint("ok ", steady(n, milliseconds))
		}
		if err != nil {
			panic(err)
		}
		fmt.Println(answer)
	}
}
