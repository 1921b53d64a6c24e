// Question: is what heaptop says of each call site true, whatever build of whatever release this is?
//
// A program that allocates known amounts at call sites of many kinds and knows what of it lives. Nothing here
// reads a memory profile, so the linker sets runtime.MemProfileRate to 0. It prints "ready <pid>" as its first
// line, then reads one command a line from stdin and answers each with one line: "ok ..." when the command is
// completely done, "error ..." when it cannot be. It ends when stdin does.
//
//	mixed [-rate N] [-seed N] [-goroutines N]
//
//	fill MIB          allocate about MIB MiB over all sites, in random order, from all goroutines at once
//	drop PERCENT      forget that share, at random, of what the sites that shed have kept
//	release           forget everything that the sites that hold for later have kept
//	truth             answers, as JSON by function: live objects and bytes, and what was allocated since mark
//	mark              from now on, allocations count from here
//	check             looks at every byte pattern that is kept; answers how many objects that were
//	gc, gc1           collect twice, once; answers the number of the last cycle
//	start-gc MS       collect every MS milliseconds, from a goroutine of its own, until
//	stop-gc           ... which answers when the last collection is over
//	start-churn G     G goroutines make garbage until
//	stop-churn        ... which answers when the last of them has returned
//	pace N MS         allocate small objects, N a second, for MS milliseconds; answers how many
//	start-storm N MS  N goroutines grow their stacks and check what they hold, and a collection every MS ms, until
//	storm             answers how many rounds they have completed
//	stop-storm        ... which answers how many rounds that were
//	rate              answers runtime.MemProfileRate
//	exit CODE         answer, then end with that status
package main

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"strconv"
	"strings"
)

const rateUntouched = -1

func main() {
	rate := flag.Int("rate", rateUntouched, "runtime.MemProfileRate from the start")
	seed := flag.Int64("seed", 1, "of everything that is random")
	goroutines := flag.Int("goroutines", 4, "that fill")
	flag.Parse()
	if *rate != rateUntouched {
		runtime.MemProfileRate = *rate
	}
	learnSizes()
	for n := 0; n < *goroutines; n++ {
		fillers = append(fillers, newFiller(rand.New(rand.NewSource(*seed+int64(n)))))
	}
	profiled, err := startProfile()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mixed:", err)
		os.Exit(1)
	}
	defer profiled()

	out := bufio.NewWriter(os.Stdout)
	answer := func(format string, args ...interface{}) {
		fmt.Fprintf(out, format+"\n", args...)
		out.Flush()
	}
	answer("ready %d", os.Getpid())

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
			profiled()
			code, _ := strconv.Atoi(words[1])
			os.Exit(code)
		}
	}
}

// command is one line of the protocol: how many numbers it takes and what it does with them.
type command struct {
	takes int
	do    func(args []int) (string, error)
}

var commands = map[string]command{
	"fill":        {1, func(a []int) (string, error) { return fill(a[0]), nil }},
	"drop":        {1, func(a []int) (string, error) { return drop(a[0]), nil }},
	"release":     {0, func([]int) (string, error) { return release(), nil }},
	"truth":       {0, func([]int) (string, error) { return truth(), nil }},
	"mark":        {0, func([]int) (string, error) { return mark(), nil }},
	"check":       {0, func([]int) (string, error) { return check() }},
	"gc":          {0, func([]int) (string, error) { return collect(2), nil }},
	"gc1":         {0, func([]int) (string, error) { return collect(1), nil }},
	"start-gc":    {1, func(a []int) (string, error) { return startCollector(a[0]) }},
	"stop-gc":     {0, func([]int) (string, error) { return stopCollector() }},
	"start-churn": {1, func(a []int) (string, error) { return startChurn(a[0]) }},
	"stop-churn":  {0, func([]int) (string, error) { return stopChurn() }},
	"pace":        {2, func(a []int) (string, error) { return pace(a[0], a[1]), nil }},
	"start-storm": {2, func(a []int) (string, error) { return startStorm(a[0], a[1]) }},
	"storm":       {0, func([]int) (string, error) { return stormRounds() }},
	"stop-storm":  {0, func([]int) (string, error) { return stopStorm() }},
	"rate":        {0, func([]int) (string, error) { return strconv.Itoa(runtime.MemProfileRate), nil }},
	"exit":        {1, func([]int) (string, error) { return "", nil }},
}

func run(name string, words []string) (string, error) {
	command, known := commands[name]
	if !known {
		return "", fmt.Errorf("unknown command %q", name)
	}
	if len(words) != command.takes {
		return "", fmt.Errorf("%s takes %d numbers, not %d", name, command.takes, len(words))
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
