package main

import (
	"fmt"
	"math/rand"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"unsafe"
)

// page holds kept objects. What makes pages is a site too, and its truth is told like that of the others.
type page [512]unsafe.Pointer

var pageSite = &site{
	function: "main.newPage",
	policy:   keeps,
	make:     func() unsafe.Pointer { return unsafe.Pointer(newPage()) },
}

//go:noinline
func newPage() *page { return new(page) }

// shelf is what one goroutine keeps of one site. Places that were given up are nil.
type shelf struct {
	pages []*page
	n     int // places in use, nil ones included
	live  uint64
	made  uint64 // calls of the site since the mark
}

func (s *shelf) put(p unsafe.Pointer, f *filler) {
	at := s.n % len(page{})
	if at == 0 {
		s.pages = append(s.pages, newPage())
		f.pagesMade++
		f.pagesLive++
	}
	s.pages[s.n/len(page{})][at] = p
	s.n++
	s.live++
}

func (s *shelf) each(do func(place *unsafe.Pointer)) {
	for i := 0; i < s.n; i++ {
		if place := &s.pages[i/len(page{})][i%len(page{})]; *place != nil {
			do(place)
		}
	}
}

// filler is a goroutine's own part, touched by it alone while it fills.
type filler struct {
	random    *rand.Rand
	shelves   []*shelf // in the order of sites
	pagesMade uint64
	pagesLive uint64
}

var fillers []*filler

func newFiller(random *rand.Rand) *filler {
	f := &filler{random: random}
	for range sites {
		f.shelves = append(f.shelves, &shelf{})
	}
	return f
}

// learnSizes asks the runtime's own counters what one call of each site takes.
func learnSizes() {
	const calls = 256
	old := debug.SetGCPercent(-1)
	runtime.GC()
	kept := make([]unsafe.Pointer, calls)
	for _, s := range append(sites[:len(sites):len(sites)], pageSite) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range kept {
			kept[i] = s.make()
		}
		runtime.ReadMemStats(&after)
		s.perCall = amount{
			(after.Mallocs - before.Mallocs + calls/2) / calls,
			(after.TotalAlloc - before.TotalAlloc + calls/2) / calls,
		}
		if s.tiny != nil {
			s.perCall = *s.tiny
		}
	}
	debug.SetGCPercent(old)
}

func fill(mib int) string {
	var done sync.WaitGroup
	for _, f := range fillers {
		done.Add(1)
		go func(f *filler) {
			defer done.Done()
			f.fill(mib << 20 / len(fillers))
		}(f)
	}
	done.Wait()
	return ""
}

// fill calls the sites in random order, in short bursts, until each has had its share.
func (f *filler) fill(bytes int) {
	left := make([]int, len(sites))
	total := 0
	for i, s := range sites {
		left[i] = bytes / 1000 * s.share / int(s.perCall.bytes)
		total += left[i]
	}
	for total > 0 {
		at := f.random.Intn(total)
		i := 0
		for at >= left[i] {
			at -= left[i]
			i++
		}
		burst := 1 + f.random.Intn(8)
		if burst > left[i] {
			burst = left[i]
		}
		left[i] -= burst
		total -= burst
		for s := sites[i]; burst > 0; burst-- {
			f.call(s, f.shelves[i])
		}
	}
}

func (f *filler) call(s *site, into *shelf) {
	p := s.make()
	into.made++
	if s.policy == wastes || s.policy == halves && f.random.Intn(2) == 0 {
		return
	}
	into.put(p, f)
}

func drop(percent int) string {
	dropped := 0
	for _, f := range fillers {
		for i, s := range sites {
			if s.policy != sheds {
				continue
			}
			shelf := f.shelves[i]
			shelf.each(func(place *unsafe.Pointer) {
				if f.random.Intn(100) < percent {
					*place = nil
					shelf.live--
					dropped++
				}
			})
		}
	}
	return strconv.Itoa(dropped)
}

func release() string {
	for _, f := range fillers {
		for i, s := range sites {
			if s.policy == later {
				f.pagesLive -= uint64(len(f.shelves[i].pages))
				f.shelves[i] = &shelf{made: f.shelves[i].made}
			}
		}
	}
	return ""
}

func mark() string {
	for _, f := range fillers {
		f.pagesMade = 0
		for _, shelf := range f.shelves {
			shelf.made = 0
		}
	}
	return ""
}

func truth() string {
	var parts []string
	tell := func(s *site, live, made uint64) {
		one, all := s.livePerCall(), s.perCall
		parts = append(parts, fmt.Sprintf(
			`"%s":{"policy":"%s","tiny":%t,"live_objects":%d,"live_bytes":%d,"alloc_objects":%d,"alloc_bytes":%d}`,
			s.function, s.policy, s.tiny != nil, live*one.objects, live*one.bytes, made*all.objects, made*all.bytes))
	}
	for i, s := range sites {
		var live, made uint64
		for _, f := range fillers {
			live += f.shelves[i].live
			made += f.shelves[i].made
		}
		tell(s, live, made)
	}
	var live, made uint64
	for _, f := range fillers {
		live += f.pagesLive
		made += f.pagesMade
	}
	tell(pageSite, live, made)
	return "{" + strings.Join(parts, ",") + "}"
}

func check() (string, error) {
	seen := 0
	var err error
	for _, f := range fillers {
		for i, s := range sites {
			f.shelves[i].each(func(place *unsafe.Pointer) {
				seen++
				if !s.verify(*place) && err == nil {
					err = fmt.Errorf("an object of %s at %p is damaged", s.function, *place)
				}
			})
		}
	}
	return strconv.Itoa(seen), err
}

func collect(times int) string {
	for i := 0; i < times; i++ {
		runtime.GC()
	}
	var all runtime.MemStats
	runtime.ReadMemStats(&all)
	return strconv.FormatUint(uint64(all.NumGC), 10)
}
