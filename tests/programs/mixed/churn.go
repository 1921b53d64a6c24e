package main

import (
	"errors"
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

type churners struct {
	stop    chan struct{}
	running sync.WaitGroup
}

var background *churners

func startChurn(goroutines int) (string, error) {
	if background != nil {
		return "", errAlreadyChurning
	}
	c := &churners{stop: make(chan struct{})}
	c.running.Add(goroutines)
	for seed := 0; seed < goroutines; seed++ {
		go c.churn(int64(seed))
	}
	background = c
	return "", nil
}

func stopChurn() (string, error) {
	if background == nil {
		return "", errNotChurning
	}
	close(background.stop)
	background.running.Wait()
	background = nil
	return "", nil
}

// churn works in bursts with short rests; one object in ten lives for a while.
func (c *churners) churn(seed int64) {
	defer c.running.Done()
	random := rand.New(rand.NewSource(seed))
	kept := make([]interface{}, 512)
	for {
		for burst := 50 + random.Intn(200); burst > 0; burst-- {
			object := garbage(random)
			if random.Intn(10) == 0 {
				kept[random.Intn(len(kept))] = object
			}
		}
		select {
		case <-c.stop:
			return
		case <-time.After(time.Duration(1000+random.Intn(4000)) * time.Microsecond):
		}
	}
}

// garbage takes one of several ways to an allocation.
//
//go:noinline
func garbage(random *rand.Rand) interface{} {
	n := 16 << uint(random.Intn(10))
	switch random.Intn(4) {
	case 0:
		return make([]byte, n)
	case 1:
		return make([]*int, n/8)
	case 2:
		return strings.Repeat("word ", n/16)
	default:
		return map[string]int{strconv.Itoa(n): n}
	}
}

// pace allocates in small steps, so that the mean over any tenth of a second is what was asked for.
func pace(perSecond, ms int) string {
	const step = 5 * time.Millisecond
	begin := time.Now()
	end := begin.Add(time.Duration(ms) * time.Millisecond)
	made := 0
	for now := begin; now.Before(end); now = time.Now() {
		due := int(now.Sub(begin).Seconds() * float64(perSecond))
		for ; made < due; made++ {
			paced(made)
		}
		time.Sleep(step)
	}
	return strconv.Itoa(made)
}

var pacedKept [1024]interface{}

// paced makes what servers make: small structs, byte slices, strings; one in eight lives for a while.
//
//go:noinline
func paced(n int) {
	var object interface{}
	switch n % 4 {
	case 0:
		object = new(scan24)
	case 1:
		object = new(scan64)
	case 2:
		object = new([8]uint64)
	default:
		object = &make([]byte, length128)[0]
	}
	if n%8 == 0 {
		pacedKept[n/8%len(pacedKept)] = object
	} else {
		sink = object
	}
}

var sink interface{}
