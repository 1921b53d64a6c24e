package main

import (
	"errors"
	"runtime"
	"sync"
	"time"
)

var (
	errAlreadyCollecting = errors.New("something collects already")
	errNotCollecting     = errors.New("nothing collects")
)

// collector starts GC cycles from a goroutine of its own. A cycle that an allocation starts makes goroutines and
// waiting places (runtime.sudog) for itself, and these pass for objects of the call site that happened to allocate then,
// to the runtime's own profile too. With GOGC=off and a collector what a site holds is what the program knows of.
type collector struct {
	stop    chan struct{}
	running sync.WaitGroup
}

var collecting *collector

func startCollector(everyMs int) (string, error) {
	if collecting != nil {
		return "", errAlreadyCollecting
	}
	collecting = newCollector(everyMs)
	return "", nil
}

func stopCollector() (string, error) {
	if collecting == nil {
		return "", errNotCollecting
	}
	collecting.end()
	collecting = nil
	return "", nil
}

func newCollector(everyMs int) *collector {
	c := &collector{stop: make(chan struct{})}
	c.running.Add(1)
	go c.collect(time.Duration(everyMs) * time.Millisecond)
	return c
}

// end returns when the last collection is over.
func (c *collector) end() {
	close(c.stop)
	c.running.Wait()
}

func (c *collector) collect(every time.Duration) {
	defer c.running.Done()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-ticker.C:
			runtime.GC()
		}
	}
}
