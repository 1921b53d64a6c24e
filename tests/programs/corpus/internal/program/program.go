// Package program is what all programs of the corpus share: their life, the pace of
// their work, and the honest memory beside the question that each of them is.
//
// A program works until it is told to end, when its time is over, or when its parent
// has died. Work comes as requests: so many a second at load 1, more and less of
// them by the shape of the seed. Beside them lie tables that never change, records
// that live for half a minute, a full cache, and garbage, so that a collection comes
// every 5 to 20 s.
package program

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

const (
	parentCheckInterval = 500 * time.Millisecond
	// tick is how often requests come, several at a time.
	tick = 40 * time.Millisecond
	// mostBehind bounds what a program makes up for after a pause.
	mostBehind = time.Second
)

// Plan is how busy a program is.
type Plan struct {
	// PerSecond is the mean rate of requests at load 1.
	PerSecond float64
	// StaticMiB is the size of the tables; 0 leaves it to the seed, 15 to 40.
	StaticMiB int
	// GarbageMiB is what is allocated and dropped each second at load 1; 0 leaves it to
	// the seed, 3 to 5.
	GarbageMiB float64
}

// LeakPerSecond is what a leak of the corpus keeps each second at load 1: 7.5 MiB/min.
const LeakPerSecond = 7.5 * (1 << 20) / 60

// Program is one program at work. Its methods are for the goroutine of main, but for
// Done, Scale and Now.
type Program struct {
	Rand *rand.Rand

	plan    Plan
	shape   shape
	load    float64
	scale   scale
	done    chan struct{}
	ticker  *time.Ticker
	start   time.Time
	last    time.Time
	due     float64
	isReady bool
}

// Start reads the arguments and lays out the honest part.
func Start(plan Plan) *Program {
	seed := flag.Int64("seed", 1, "of everything that varies")
	load := flag.Float64("load", 1, "times the rate of work")
	most := flag.Duration("for", 0, "end after this time; 0 is no limit")
	report := flag.Bool("report", false, "tell of memory every 10 s, after a collection")
	flag.Parse()
	random := rand.New(rand.NewSource(*seed))
	runtime.GOMAXPROCS(2 + 2*int(*seed/2%2))
	p := &Program{
		Rand:  random,
		plan:  plan,
		shape: newShape(random),
		load:  *load,
		done:  make(chan struct{}),
	}
	p.scale.set(1)
	if p.plan.StaticMiB == 0 {
		p.plan.StaticMiB = 15 + random.Intn(26)
	}
	if p.plan.GarbageMiB == 0 {
		p.plan.GarbageMiB = 3 + 2*random.Float64()
	}
	p.start = time.Now()
	startHonest(p, random.Int63())
	go p.end(*most)
	if *report {
		go p.report()
	}
	return p
}

// Next waits for the next request; false when the program is to end. The first call
// says that the program is ready.
func (p *Program) Next() bool {
	if !p.isReady {
		fmt.Println("ready", os.Getpid())
		p.isReady = true
		p.ticker = time.NewTicker(tick)
		p.last = time.Now()
	}
	for p.due < 1 {
		select {
		case <-p.done:
			return false
		case now := <-p.ticker.C:
			p.due += p.plan.PerSecond * p.Now() * elapsed(p.last, now)
			p.last = now
		}
	}
	p.due--
	return true
}

func elapsed(last, now time.Time) float64 {
	since := now.Sub(last)
	if since > mostBehind {
		since = mostBehind
	}
	return since.Seconds()
}

// Now is the load at this moment, by shape and scale; its mean is the load asked for.
func (p *Program) Now() float64 {
	return p.load * p.scale.get() * p.shape.at(time.Since(p.start))
}

// Load is the mean load asked for.
func (p *Program) Load() float64 { return p.load }

// Since is how long the program has run.
func (p *Program) Since() time.Duration { return time.Since(p.start) }

// Scale multiplies all work from now on.
func (p *Program) Scale(by float64) { p.scale.set(by) }

// Done is closed when the program is to end.
func (p *Program) Done() <-chan struct{} { return p.done }

// Say prints a word for who watches: "half" and "full" are those of something that fills.
func (p *Program) Say(word string) { fmt.Println(word) }

func (p *Program) end(most time.Duration) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	var over <-chan time.Time
	if most > 0 {
		over = time.After(most)
	}
	parent := os.Getppid()
	check := time.NewTicker(parentCheckInterval)
	defer check.Stop()
	for os.Getppid() == parent {
		select {
		case <-signals:
			close(p.done)
			return
		case <-over:
			close(p.done)
			return
		case <-check.C:
		}
	}
	close(p.done)
}

const reportEvery = 10 * time.Second

// report is for who wants to see by hand that a program does what it says.
func (p *Program) report() {
	for {
		select {
		case <-p.done:
			return
		case <-time.After(reportEvery):
		}
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		cycles := stats.NumGC - stats.NumForcedGC
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&stats)
		mib := func(bytes uint64) float64 { return float64(bytes) / (1 << 20) }
		fmt.Fprintf(os.Stderr, "%4.0f s live %7.2f MiB objects %8d goroutines %6d stacks %6.2f MiB cycles %d rss %6.1f MiB\n",
			time.Since(p.start).Seconds(), mib(stats.HeapAlloc), stats.HeapObjects, runtime.NumGoroutine(),
			mib(stats.StackInuse), cycles, rssMiB())
	}
}

func rssMiB() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident float64
	fmt.Sscan(string(text), &size, &resident)
	return resident * float64(os.Getpagesize()) / (1 << 20)
}
