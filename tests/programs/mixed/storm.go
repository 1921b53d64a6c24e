package main

import (
	"errors"
	"fmt"
	"math/rand"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

var (
	errAlreadyStorming = errors.New("a storm is on already")
	errNoStorm         = errors.New("there is no storm")
)

// storm is many goroutines whose stacks grow and shrink, each with data of its own that it checks all the time.
type storm struct {
	stop    chan struct{}
	running sync.WaitGroup
	gc      *collector
	rounds  int64
	damage  atomic.Value // string
}

var current *storm

func startStorm(goroutines, everyMs int) (string, error) {
	if current != nil {
		return "", errAlreadyStorming
	}
	s := &storm{stop: make(chan struct{})}
	s.running.Add(goroutines)
	s.gc = newCollector(everyMs)
	for seed := 0; seed < goroutines; seed++ {
		go s.rage(int64(seed))
	}
	current = s
	return "", nil
}

func stormRounds() (string, error) {
	if current == nil {
		return "", errNoStorm
	}
	if damage := current.damage.Load(); damage != nil {
		return "", fmt.Errorf("%v", damage)
	}
	return strconv.FormatInt(atomic.LoadInt64(&current.rounds), 10), nil
}

func stopStorm() (string, error) {
	if current == nil {
		return "", errNoStorm
	}
	close(current.stop)
	current.running.Wait()
	current.gc.end()
	rounds, err := stormRounds()
	current = nil
	return rounds, err
}

func (s *storm) rage(seed int64) {
	defer s.running.Done()
	random := rand.New(rand.NewSource(seed))
	var root *tree
	table := map[int]*tree{}
	for round := 0; ; round++ {
		// A new goroutine begins on the smallest stack again.
		sum := make(chan uint64)
		depth := 1 + random.Intn(200)
		go func() { sum <- descend(depth, uint64(seed)) }()
		if got, want := <-sum, descended(depth, uint64(seed)); got != want {
			s.damage.Store(fmt.Sprintf("%d calls deep the sum is %d and not %d", depth, got, want))
		}
		root = &tree{self: nil, value: uint64(round) * mixer, next: root}
		root.self = root
		table[round%32] = root
		if round%32 == 31 {
			if err := root.check(uint64(round)); err != "" {
				s.damage.Store(err)
			}
			for i, t := range table {
				if t.value/1 != uint64(round-31+i)*mixer {
					s.damage.Store("a map holds what it was not given")
				}
			}
			root = nil
		}
		atomic.AddInt64(&s.rounds, 1)
		select {
		case <-s.stop:
			return
		case <-time.After(time.Duration(random.Intn(20)) * time.Millisecond):
		}
	}
}

type tree struct {
	self  *tree
	value uint64
	next  *tree
	rest  []byte
}

func (t *tree) check(round uint64) string {
	for ; t != nil; t, round = t.next, round-1 {
		if t.self != t || t.value != round*mixer {
			return "a list is damaged"
		}
	}
	return ""
}

// descend has a large frame, points into it, and allocates on the way, so the stack is copied while both are in use.
//
//go:noinline
func descend(depth int, seed uint64) uint64 {
	var frame [32]uint64
	own := &frame[depth%len(frame)]
	*own = seed + uint64(depth)
	heap := make([]uint64, 1+depth%64)
	heap[0] = *own
	var below uint64
	if depth > 1 {
		below = descend(depth-1, seed)
	}
	if *own != heap[0] || frame[depth%len(frame)] != *own {
		return 0
	}
	return below + *own
}

func descended(depth int, seed uint64) uint64 {
	var sum uint64
	for ; depth > 0; depth-- {
		sum += seed + uint64(depth)
	}
	return sum
}
