// Package load sends requests as clients of a gateway do.
package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// inFlight bounds the open loop: what does not fit is counted as missed.
	inFlight = 512
	// wave is how long traffic takes to come and go once; it swings by waveHeight
	// around the mean rate.
	wave       = 40 * time.Second
	waveHeight = 0.6
	tick       = 10 * time.Millisecond
	timeout    = 10 * time.Second
)

// Plan is what to send, to whom, and until when.
type Plan struct {
	Target string // host:port of the gateway
	// FreshKeys is the share of requests under an API key never seen before.
	FreshKeys float64
	Requests  int64 // at most
	Seed      int64
}

// Result counts what became of the requests.
type Result struct {
	Requests int64 // answered as they should be
	Errors   int64
	Missed   int64 // not sent, too many were on their way
	Elapsed  time.Duration
}

type client struct {
	plan   Plan
	http   *http.Client
	sent   atomic.Int64
	good   atomic.Int64
	bad    atomic.Int64
	missed atomic.Int64
}

func newClient(plan Plan) *client {
	transport := &http.Transport{MaxIdleConnsPerHost: inFlight, IdleConnTimeout: 5 * time.Second, DisableCompression: true}
	return &client{plan: plan, http: &http.Client{Transport: transport, Timeout: timeout}}
}

// Open sends at a mean rate in waves, however long the answers take.
func Open(ctx context.Context, plan Plan, perSecond float64) Result {
	c := newClient(plan)
	random := rand.New(rand.NewSource(plan.Seed))
	slots := make(chan struct{}, inFlight)
	var running sync.WaitGroup
	start := time.Now()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	last, due := start, 0.0
	for ctx.Err() == nil && c.sent.Load() < plan.Requests {
		select {
		case <-ctx.Done():
			continue
		case now := <-ticker.C:
			phase := 2 * math.Pi * now.Sub(start).Seconds() / wave.Seconds()
			due += perSecond * (1 + waveHeight*math.Sin(phase)) * now.Sub(last).Seconds()
			last = now
		}
		for ; due >= 1 && c.sent.Load() < plan.Requests; due-- {
			request := c.next(ctx, random)
			select {
			case slots <- struct{}{}:
				running.Add(1)
				go func() {
					defer running.Done()
					c.send(request)
					<-slots
				}()
			default:
				c.missed.Add(1)
			}
		}
	}
	running.Wait()
	return c.result(start)
}

// Saturate has each of the workers send its next request at the answer to the last.
func Saturate(ctx context.Context, plan Plan, workers int) Result {
	c := newClient(plan)
	var running sync.WaitGroup
	running.Add(workers)
	start := time.Now()
	for worker := 0; worker < workers; worker++ {
		random := rand.New(rand.NewSource(plan.Seed + int64(worker)))
		go func() {
			defer running.Done()
			for ctx.Err() == nil && c.sent.Load() < plan.Requests {
				c.send(c.next(ctx, random))
			}
		}()
	}
	running.Wait()
	return c.result(start)
}

func (c *client) result(start time.Time) Result {
	return Result{
		Requests: c.good.Load(),
		Errors:   c.bad.Load(),
		Missed:   c.missed.Load(),
		Elapsed:  time.Since(start),
	}
}

func (c *client) send(request *http.Request) {
	response, err := c.http.Do(request)
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	switch {
	case request.Context().Err() != nil: // cut off by the end of the run
	case err != nil || response.StatusCode != http.StatusOK:
		c.bad.Add(1)
	default:
		c.good.Add(1)
	}
}

const (
	tenants     = 40
	regularKeys = 500
	// products are asked for by popularity: the first of them far more than the last.
	products   = 20000
	popularity = 1.1
	reports    = 0.005
	orders     = 0.4
	gzipped    = 0.3
)

func (c *client) next(ctx context.Context, random *rand.Rand) *http.Request {
	number := c.sent.Add(1)
	method, path, body := http.MethodGet, "", io.Reader(nil)
	switch kind := random.Float64(); {
	case kind < reports:
		path = "/reports"
	case kind < reports+orders:
		method, path = http.MethodPost, "/orders"
		body = bytes.NewBufferString(fmt.Sprintf(`{"items":[%d,%d],"note":"by courier, please"}`, number, number+1))
	default:
		path = fmt.Sprintf("/products/%d", productNumber(random))
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+c.plan.Target+path, body)
	if err != nil {
		panic(err) // the target was checked before the first request
	}
	request.Header.Set("Authorization", "Bearer "+c.key(random, number))
	if random.Float64() < gzipped {
		request.Header.Set("Accept-Encoding", "gzip")
	}
	return request
}

// key is one of the regular ones or, for a share of the requests, a new one.
func (c *client) key(random *rand.Rand, number int64) string {
	serial := int64(random.Intn(regularKeys))
	if random.Float64() < c.plan.FreshKeys {
		serial = c.plan.Seed<<32 + number + regularKeys
	}
	return fmt.Sprintf("tenant%02d-%016x", serial%tenants, serial)
}

func productNumber(random *rand.Rand) int {
	return int(products * math.Pow(random.Float64(), popularity*2))
}
