// Question: is the leak tied to the function that drives it, not to the requests beside it?
//
// Prints "ready <pid>", then serves 300 requests a second of its own, each with 32 KiB of garbage. Beside them main.watch
// calls main.check 40 times a second, and every tenth check calls main.reload. A reload keeps 50 routes of 4 KiB for ever.
//
// It ends when stdin does.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"
)

const (
	requestsPerSecond = 300
	garbageBytes      = 32 << 10
	checksPerSecond   = 40
	checksPerReload   = 10
	routesPerReload   = 50
	routeBytes        = 4 << 10
)

type route struct{ rules [routeBytes]byte }

var (
	kept [][]*route
	sink []byte
)

//go:noinline
func newRoute(i int) *route {
	r := new(route)
	r.rules[i] = byte(i)
	return r
}

//go:noinline
func reload() {
	routes := make([]*route, 0, routesPerReload)
	for i := 0; i < routesPerReload; i++ {
		routes = append(routes, newRoute(i))
	}
	kept = append(kept, routes)
}

//go:noinline
func check(n int) {
	fmt.Fprint(io.Discard, n)
	if n%checksPerReload == 0 {
		reload()
	}
}

func watch() {
	for n := range ticks(checksPerSecond) {
		check(n)
	}
}

// Ticks counts up so many times a second; late ticks are made up for.
func ticks(perSecond int) <-chan int {
	numbers := make(chan int)
	go func() {
		begun := time.Now()
		for n := 0; ; {
			for due := int(time.Since(begun).Seconds() * float64(perSecond)); n < due; n++ {
				numbers <- n
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return numbers
}

func handle(w http.ResponseWriter, _ *http.Request) {
	sink = make([]byte, garbageBytes)
	io.WriteString(w, "answer\n")
}

func request(url string) error {
	answer, err := http.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, http.HandlerFunc(handle))
	go watch()
	go func() {
		url := "http://" + listener.Addr().String()
		for range ticks(requestsPerSecond) {
			if err := request(url); err != nil {
				panic(err)
			}
		}
	}()
	runtime.MemProfile(nil, false) // Linked, the runtime takes samples.
	fmt.Println("ready", os.Getpid())
	io.Copy(io.Discard, os.Stdin)
}
