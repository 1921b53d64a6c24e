package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"strconv"
	"strings"
	"sync"
	"time"
)

var (
	errAlreadyChurning = errors.New("something churns in the background already")
	errNotChurning     = errors.New("nothing churns in the background")
)

// churners are goroutines that make garbage until they are stopped. The n-th of
// them draws from seed n, so two runs differ in how far they come, not in what they do.
type churners struct {
	stop    chan struct{}
	running sync.WaitGroup
}

var background *churners

func churnFor(ms, goroutines int) string {
	c := newChurners(goroutines)
	time.Sleep(time.Duration(ms) * time.Millisecond)
	c.end()
	return ""
}

func startChurn(goroutines int) (string, error) {
	if background != nil {
		return "", errAlreadyChurning
	}
	background = newChurners(goroutines)
	return "", nil
}

func stopChurn() (string, error) {
	if background == nil {
		return "", errNotChurning
	}
	background.end()
	background = nil
	return "", nil
}

func newChurners(goroutines int) *churners {
	c := &churners{stop: make(chan struct{})}
	c.running.Add(goroutines)
	for seed := 0; seed < goroutines; seed++ {
		go c.churn(int64(seed))
	}
	return c
}

func (c *churners) end() {
	close(c.stop)
	c.running.Wait()
}

// churn works in bursts with short rests. One object in ten goes to a random place
// on the shelf and lives until another takes that place.
func (c *churners) churn(seed int64) {
	defer c.running.Done()
	random := rand.New(rand.NewSource(seed))
	shelf := make([]interface{}, 512)
	for {
		for burst := 50 + random.Intn(200); burst > 0; burst-- {
			object := garbage(random)
			if random.Intn(10) == 0 {
				shelf[random.Intn(len(shelf))] = object
			}
		}
		select {
		case <-c.stop:
			return
		case <-time.After(time.Duration(random.Intn(2000)) * time.Microsecond):
		}
	}
}

// garbage takes one of several ways to an allocation, each with a stack of its own kind.
func garbage(random *rand.Rand) interface{} {
	n := 16 << uint(random.Intn(10))
	switch random.Intn(8) {
	case 0:
		return inlined(n)
	case 1:
		return repeat(n/16, point{1, 2})
	case 2:
		return repeat(n/16, "generic")
	case 3:
		add := func(prefix string) string { return prefix + strconv.Itoa(n) + strings.Repeat(".", n) }
		return add("closure-")
	case 4:
		b := &builder{}
		return b.grow(n).grow(n / 2).parts
	case 5:
		return fmt.Sprintf("%d %s %v", n, "formatted", point{n, n})
	case 6:
		return strings.Split(strings.Repeat("word ", n/16), " ")
	default:
		return roundTrip(n)
	}
}

type point struct{ X, Y int }

func inlined(n int) []byte { return alsoInlined(n + 8) }

func alsoInlined(n int) []byte { return make([]byte, n) }

//go:noinline
func repeat[T any](n int, value T) []T {
	all := make([]T, 0, n)
	for i := 0; i < n; i++ {
		all = append(all, value)
	}
	return all
}

type builder struct{ parts [][]byte }

//go:noinline
func (b *builder) grow(n int) *builder {
	b.parts = append(b.parts, make([]byte, n))
	return b
}

type message struct {
	ID    int               `json:"id"`
	Tags  []string          `json:"tags"`
	Attrs map[string]string `json:"attrs"`
}

//go:noinline
func roundTrip(n int) *message {
	text, err := json.Marshal(message{
		ID:    n,
		Tags:  []string{"red", "green", strconv.Itoa(n)},
		Attrs: map[string]string{"size": strconv.Itoa(n), "kind": "churn"},
	})
	if err != nil {
		panic(err) // a struct of plain fields always has a JSON form
	}
	back := &message{}
	if err := json.Unmarshal(text, back); err != nil {
		panic(err) // it was written three lines above
	}
	return back
}
