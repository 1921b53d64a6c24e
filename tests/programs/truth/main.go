// Question: does what heaptop says agree with what the program knows of itself?
//
// A program that allocates on command and tells the truth about it. It serves
// net/http/pprof on a loopback port of its own choice and prints, as its first
// line, "ready <pid> <http-port>". Then it reads one command a line from stdin
// and answers each with one line: "ok ..." when the command is completely done,
// "error ..." when it cannot be. It ends when stdin does.
//
//	truth [-rate N]     set runtime.MemProfileRate to N before anything else
//
//	keep N SIZE         allocate N objects of SIZE bytes in main.keepBytes and keep them;
//	                    answers how many are kept now
//	drop N              forget the N youngest of them; answers how many are kept now
//	keepptr N           allocate N structs of 64 bytes, with pointers, in main.keepNodes and keep them
//	dropptr N           forget the N youngest of them; answers as drop does
//	gc                  collect twice: the profile is flushed, everything is swept
//	gc1                 collect once
//	churn MS G          G goroutines make garbage for MS milliseconds
//	start-churn G       the same in the background, until
//	stop-churn          ... which answers when the last of them has returned
//	stacks N [SIZE]     allocate N objects under N different call stacks, as garbage;
//	                    SIZE is 600 KiB unless told, which is sampled more often than not
//	keepstacks N [SIZE] the same, kept
//	work MS             compute and allocate for MS milliseconds; answers the iterations
//	mem                 answers figures of runtime.MemStats as JSON
//	rate N              set runtime.MemProfileRate
//	heap0, heap1        answers the heap profile, debug=0 or debug=1, in base64
//	goroutines N        start N goroutines that stay parked in main.park
//	exec                become whatever lies at this program's path now, in the same process
//	exit CODE           answer, then end with that status
//	panic               panic, which ends it with status 2
//
// The slices which hold the kept objects grow in main.hold*, so what main.keepBytes
// and main.keepNodes allocate is exactly what was asked for. The runtime packs
// objects below 16 bytes without pointers into shared blocks: ask for 16 or more.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

const rateUntouched = -1

func main() {
	rate := flag.Int("rate", rateUntouched, "runtime.MemProfileRate from the start")
	flag.Parse()
	if *rate != rateUntouched {
		runtime.MemProfileRate = *rate
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "truth: cannot listen:", err)
		os.Exit(1)
	}
	go http.Serve(listener, nil)

	out := bufio.NewWriter(os.Stdout)
	answer := func(format string, args ...interface{}) {
		fmt.Fprintf(out, format+"\n", args...)
		out.Flush()
	}
	answer("ready %d %d", os.Getpid(), listener.Addr().(*net.TCPAddr).Port)

	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		result, err := run(words[0], words[1:])
		switch {
		case err != nil:
			answer("error %v", err)
		case result == "":
			answer("ok")
		default:
			answer("ok %s", result)
		}
		if words[0] == "exit" && err == nil {
			code, _ := strconv.Atoi(words[1])
			os.Exit(code)
		}
	}
}

// command is one line of the protocol: how many numbers it takes and what it does with them.
type command struct {
	least, most int
	do          func(args []int) (string, error)
}

var commands = map[string]command{
	"keep":        {2, 2, func(a []int) (string, error) { return holdBytes(a[0], a[1]), nil }},
	"drop":        {1, 1, func(a []int) (string, error) { return dropBytes(a[0]), nil }},
	"keepptr":     {1, 1, func(a []int) (string, error) { return holdNodes(a[0]), nil }},
	"dropptr":     {1, 1, func(a []int) (string, error) { return dropNodes(a[0]), nil }},
	"gc":          {0, 0, func([]int) (string, error) { return collect(2), nil }},
	"gc1":         {0, 0, func([]int) (string, error) { return collect(1), nil }},
	"churn":       {2, 2, func(a []int) (string, error) { return churnFor(a[0], a[1]), nil }},
	"start-churn": {1, 1, func(a []int) (string, error) { return startChurn(a[0]) }},
	"stop-churn":  {0, 0, func([]int) (string, error) { return stopChurn() }},
	"stacks":      {1, 2, func(a []int) (string, error) { return spread(a, false) }},
	"keepstacks":  {1, 2, func(a []int) (string, error) { return spread(a, true) }},
	"work":        {1, 1, func(a []int) (string, error) { return work(a[0]), nil }},
	"mem":         {0, 0, func([]int) (string, error) { return memStats() }},
	"rate":        {1, 1, func(a []int) (string, error) { return setRate(a[0]), nil }},
	"heap0":       {0, 0, func([]int) (string, error) { return heapProfile(0) }},
	"heap1":       {0, 0, func([]int) (string, error) { return heapProfile(1) }},
	"goroutines":  {1, 1, func(a []int) (string, error) { return parkMany(a[0]), nil }},
	"exec":        {0, 0, func([]int) (string, error) { return "", syscall.Exec(os.Args[0], os.Args, os.Environ()) }},
	"exit":        {1, 1, func([]int) (string, error) { return "", nil }},
	"panic":       {0, 0, func([]int) (string, error) { panic("as asked") }},
}

func run(name string, words []string) (string, error) {
	command, known := commands[name]
	if !known {
		return "", fmt.Errorf("unknown command %q", name)
	}
	if len(words) < command.least || len(words) > command.most {
		return "", fmt.Errorf("%s does not take %d numbers", name, len(words))
	}
	args := make([]int, len(words))
	for i, word := range words {
		n, err := strconv.Atoi(word)
		if err != nil || n < 0 {
			return "", fmt.Errorf("%s: %q is not a number of 0 or more", name, word)
		}
		args[i] = n
	}
	return command.do(args)
}
