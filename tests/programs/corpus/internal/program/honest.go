package program

import (
	"math/rand"
	"time"
)

const (
	rowBytes = 288
	// recordsPerSecond of about 600 bytes live for recordLives.
	recordsPerSecond = 100
	recordLives      = 25 * time.Second
	// cacheEntries of about 1 KiB are always there; one in twenty records replaces one.
	cacheEntries = 3000
	garbageEvery = 50 * time.Millisecond
)

// row is one of the tables' small objects.
type row struct {
	next   *row
	name   []byte
	values [28]int64
}

type record struct {
	at      time.Time
	payload []byte
	fields  map[string]int
}

// honest is the memory beside the question: all of it is bounded.
type honest struct {
	random  *rand.Rand
	tables  []*row
	records []*record
	cache   []*[]byte
	sink    []byte
}

// startHonest fills what is to be full, and keeps the rest going.
func startHonest(p *Program, seed int64) {
	h := &honest{random: rand.New(rand.NewSource(seed)), cache: make([]*[]byte, cacheEntries)}
	h.fillTables(p.plan.StaticMiB << 20 / rowBytes)
	for n := range h.cache {
		h.cacheEntry(n)
	}
	go h.work(p)
}

func (h *honest) fillTables(rows int) {
	const perTable = 256
	for rows > 0 {
		var first *row
		for n := 0; n < perTable; n++ {
			first = &row{next: first, name: make([]byte, 32)}
		}
		h.tables = append(h.tables, first)
		rows -= perTable
	}
}

//go:noinline
func (h *honest) cacheEntry(n int) {
	entry := make([]byte, 512+h.random.Intn(1024))
	h.cache[n] = &entry
}

//go:noinline
func (h *honest) newRecord(now time.Time) *record {
	return &record{
		at:      now,
		payload: make([]byte, 128+h.random.Intn(256)),
		fields:  map[string]int{"status": 200, "took": h.random.Intn(1000)},
	}
}

//go:noinline
func (h *honest) garbage(bytes float64) {
	for bytes > 0 {
		size := 1024 + h.random.Intn(7*1024)
		h.sink = make([]byte, size)
		bytes -= float64(size)
	}
}

func (h *honest) work(p *Program) {
	ticks := time.NewTicker(garbageEvery)
	defer ticks.Stop()
	last, due := time.Now(), 0.0
	for {
		var now time.Time
		select {
		case <-p.done:
			return
		case now = <-ticks.C:
		}
		since := elapsed(last, now)
		last = now
		h.garbage(p.plan.GarbageMiB * (1 << 20) * p.Now() * since)
		for due += recordsPerSecond * p.Now() * since; due >= 1; due-- {
			h.records = append(h.records, h.newRecord(now))
			if h.random.Intn(20) == 0 {
				h.cacheEntry(h.random.Intn(cacheEntries))
			}
		}
		old := 0
		for old < len(h.records) && now.Sub(h.records[old].at) > recordLives {
			h.records[old] = nil
			old++
		}
		h.records = h.records[old:]
	}
}
