package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/rand"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"
)

func collect(times int) string {
	for i := 0; i < times; i++ {
		runtime.GC()
	}
	return ""
}

func setRate(rate int) string {
	runtime.MemProfileRate = rate
	return ""
}

// work does the same steps over and over; how many of them fit into the time is the speed.
func work(ms int) string {
	random := rand.New(rand.NewSource(1))
	shelf := make([]interface{}, 256)
	end := time.Now().Add(time.Duration(ms) * time.Millisecond)
	iterations := 0
	for time.Now().Before(end) {
		for i := 0; i < 10; i++ {
			shelf[iterations%len(shelf)] = garbage(random)
			iterations++
		}
	}
	return strconv.Itoa(iterations)
}

func memStats() (string, error) {
	var all runtime.MemStats
	runtime.ReadMemStats(&all)
	text, err := json.Marshal(map[string]uint64{
		"NumGC":        uint64(all.NumGC),
		"HeapAlloc":    all.HeapAlloc,
		"HeapObjects":  all.HeapObjects,
		"HeapInuse":    all.HeapInuse,
		"HeapIdle":     all.HeapIdle,
		"HeapReleased": all.HeapReleased,
		"StackInuse":   all.StackInuse,
		"NextGC":       all.NextGC,
		"TotalAlloc":   all.TotalAlloc,
		"Mallocs":      all.Mallocs,
		"Frees":        all.Frees,
		"GCSys":        all.GCSys,
		"OtherSys":     all.OtherSys,
		"Sys":          all.Sys,
	})
	return string(text), err
}

func heapProfile(debug int) (string, error) {
	var text bytes.Buffer
	err := pprof.Lookup("heap").WriteTo(&text, debug)
	return base64.StdEncoding.EncodeToString(text.Bytes()), err
}

var forever = make(chan struct{})

func parkMany(n int) string {
	var started sync.WaitGroup
	started.Add(n)
	for i := 0; i < n; i++ {
		go park(&started)
	}
	started.Wait()
	return strconv.Itoa(n)
}

// park waits for what never comes: state "chan receive".
//
//go:noinline
func park(started *sync.WaitGroup) {
	started.Done()
	<-forever
}
