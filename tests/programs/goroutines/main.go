// Question: are all goroutines seen from outside, each under who started it, with what it waits for?
//
// Prints "ready <pid>" and takes commands on stdin, one a line, each answered by a line:
//
//	park <what> <n>   starts n goroutines that stay where they are            "parked <what> <of this kind>"
//	                  what: receive, send, select, sleep, lock, wait, io, forever, deep (a stack of above 32 KiB)
//	leave <what> <n>  n of those in receive, send or select end               "left <what> <of this kind>"
//	leak <what> <n>   from now on n a second                                  "leaking"
//	churn <n>         from now on n a second that end at once                 "churning"
//	quiet             neither leak nor churn                                  "quiet"
//	spin <n>          n that run all the time                                 "spinning"
//	gc                collect                                                 "collected"
//	count             "count <runtime.NumGoroutine> <MemStats.StackInuse>"
//
// It ends when stdin does.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type place struct {
	begun, ended int64
	in           chan int
	other        chan int
}

var (
	places  = map[string]*place{}
	naming  sync.Mutex // of places
	mutex   sync.Mutex
	group   sync.WaitGroup
	stopped int32
	sink    byte
)

//go:noinline
func receive(p *place) {
	atomic.AddInt64(&p.begun, 1)
	<-p.in
	atomic.AddInt64(&p.ended, 1)
}

//go:noinline
func send(p *place) {
	atomic.AddInt64(&p.begun, 1)
	p.in <- 1
	atomic.AddInt64(&p.ended, 1)
}

//go:noinline
func choose(p *place) {
	atomic.AddInt64(&p.begun, 1)
	select {
	case <-p.in:
	case <-p.other:
	}
	atomic.AddInt64(&p.ended, 1)
}

//go:noinline
func sleep(p *place) {
	atomic.AddInt64(&p.begun, 1)
	time.Sleep(time.Hour)
}

//go:noinline
func lock(p *place) {
	atomic.AddInt64(&p.begun, 1)
	mutex.Lock()
}

//go:noinline
func wait(p *place) {
	atomic.AddInt64(&p.begun, 1)
	group.Wait()
}

//go:noinline
func forever(p *place) {
	atomic.AddInt64(&p.begun, 1)
	select {}
}

//go:noinline
func readPipe(p *place) {
	from, to, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	atomic.AddInt64(&p.begun, 1)
	buffer := make([]byte, 1)
	from.Read(buffer)
	to.Close()
}

//go:noinline
func deep(p *place, left int) byte {
	var room [1024]byte
	if left == 0 {
		receive(p)
		return room[left]
	}
	room[left] = deep(p, left-1)
	return room[left]
}

func spin() {
	for atomic.LoadInt32(&stopped) == 0 {
	}
}

func short(done *int64) {
	sink++
	atomic.AddInt64(done, 1)
}

func at(what string) *place {
	naming.Lock()
	defer naming.Unlock()
	p := places[what]
	if p == nil {
		p = &place{in: make(chan int), other: make(chan int)}
		places[what] = p
	}
	return p
}

// park is what creates them.
//
//go:noinline
func park(what string, n int) *place {
	p := at(what)
	for i := 0; i < n; i++ {
		switch what {
		case "receive":
			go receive(p)
		case "send":
			go send(p)
		case "select":
			go choose(p)
		case "sleep":
			go sleep(p)
		case "lock":
			go lock(p)
		case "wait":
			go wait(p)
		case "io":
			go readPipe(p)
		case "forever":
			go forever(p)
		case "deep":
			go deep(p, 32)
		default:
			panic(what)
		}
	}
	return p
}

func (p *place) count() int64 {
	return atomic.LoadInt64(&p.begun) - atomic.LoadInt64(&p.ended)
}

// steadily calls step about a hundred times a second, with how many are due.
func steadily(perSecond int, round int32, step func(n int)) {
	begun, done := time.Now(), 0
	for atomic.LoadInt32(&stopped) == round {
		time.Sleep(10 * time.Millisecond)
		due := int(time.Since(begun).Seconds() * float64(perSecond))
		step(due - done)
		done = due
	}
}

func main() {
	mutex.Lock()
	group.Add(1)
	fmt.Println("ready", os.Getpid())
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		number := func(i int) int {
			n, err := strconv.Atoi(fields[i])
			if err != nil {
				panic(err)
			}
			return n
		}
		switch fields[0] {
		case "park":
			p := at(fields[1])
			due := p.count() + int64(number(2))
			park(fields[1], number(2))
			for p.count() < due {
				time.Sleep(time.Millisecond)
			}
			fmt.Println("parked", fields[1], p.count())
		case "leave":
			p := at(fields[1])
			due := p.count() - int64(number(2))
			for i := 0; i < number(2); i++ {
				if fields[1] == "send" {
					<-p.in
				} else {
					p.in <- 1
				}
			}
			for p.count() > due {
				time.Sleep(time.Millisecond)
			}
			fmt.Println("left", fields[1], p.count())
		case "leak":
			what := fields[1]
			go steadily(number(2), atomic.LoadInt32(&stopped), func(n int) { park(what, n) })
			fmt.Println("leaking")
		case "churn":
			done := new(int64)
			go steadily(number(1), atomic.LoadInt32(&stopped), func(n int) {
				for i := 0; i < n; i++ {
					go short(done)
				}
			})
			fmt.Println("churning")
		case "quiet":
			atomic.AddInt32(&stopped, 1)
			fmt.Println("quiet")
		case "spin":
			for i := 0; i < number(1); i++ {
				go spin()
			}
			fmt.Println("spinning")
		case "gc":
			runtime.GC()
			fmt.Println("collected")
		case "count":
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			fmt.Println("count", runtime.NumGoroutine(), stats.StackInuse)
		default:
			panic(lines.Text())
		}
	}
}
