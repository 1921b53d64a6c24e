// Package proxy is the gateway itself: which request goes where, and through what.
package proxy

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"gateway/internal/memorycache"
	"gateway/internal/ratelimit"
	"gateway/internal/routes"
	"gateway/internal/script"
	"gateway/internal/session"
	"gateway/internal/telemetry"
	"gateway/internal/visit"
)

// Leaks says which of the known bugs this gateway has.
type Leaks struct {
	// Meters makes the instruments of an API anew for every request.
	Meters bool
	// Buckets ends the goroutine that cleans rate-limit buckets after one pass.
	Buckets bool
	// Goroutines has a script price the orders; each call leaves a goroutine.
	Goroutines bool
	// Configs reads the routes again and again; each reading stays.
	Configs bool
	// Context notes who sends an order, for ever.
	Context bool
}

const (
	bucketsCleanedEvery = 5 * time.Second
	copyBufferBytes     = 32 << 10
)

// New is a gateway to the upstream at that host and port, until ctx is done.
func New(ctx context.Context, upstream string, leaks Leaks) (http.Handler, error) {
	target, err := url.Parse("http://" + upstream)
	if err != nil || target.Host == "" {
		return nil, fmt.Errorf("upstream %q is not host:port", upstream)
	}
	buckets := ratelimit.NewStorage(memorycache.New(bucketsCleanedEvery, leaks.Buckets))
	guard := &guard{sessions: session.NewStore(), limiter: session.NewLimiter(buckets)}
	forward := newReverseProxy(target)

	products := guard.wrap("products", compress(cacheResponses(forward)))
	orders := rewriteOrders(forward)
	if leaks.Goroutines {
		engine, err := script.NewEngine()
		if err != nil {
			return nil, err
		}
		orders = priceOrders(engine, orders)
	}
	if leaks.Context {
		tenant := func(r *http.Request) string { return tenantOf(r.Context()) }
		orders = visit.Remember(tenant, orders)
	}
	orders = guard.wrap("orders", orders)
	reports := guard.wrap("reports", compress(forward))

	apis := []routes.API{
		{Path: "/products/", Handler: observe("products", products, leaks.Meters)},
		{Path: "/orders", Handler: observe("orders", orders, leaks.Meters)},
		{Path: "/reports", Handler: observe("reports", reports, leaks.Meters)},
	}
	accessLog := &telemetry.AccessLog{}
	return telemetry.WithRequestID(accessLog.Wrap(router(ctx, apis, target, leaks.Configs))), nil
}

// router sends requests to their APIs, by a table that stays or, as in field
// report 4, by one that is read again and again.
func router(ctx context.Context, apis []routes.API, upstream *url.URL, isReloaded bool) http.Handler {
	if isReloaded {
		return routes.NewTable(ctx, apis, upstream.JoinPath("changes").String())
	}
	mux := http.NewServeMux()
	for _, api := range apis {
		mux.Handle(api.Path, api.Handler)
	}
	return mux
}

// observe measures an API with instruments made once, or, as in field report 1,
// made for every request.
func observe(api string, next http.Handler, forEveryRequest bool) http.Handler {
	if !forEveryRequest {
		return telemetry.HTTPHandler(api, next)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		telemetry.HTTPHandler(api, next).ServeHTTP(w, r)
	})
}

func newReverseProxy(target *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
			// What the client accepts is between it and the gateway.
			r.Out.Header.Set("Accept-Encoding", "identity")
		},
		Transport:  &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 20 * time.Second},
		BufferPool: &bufferPool{},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil { // else the client left, which is its right
				log.Println("gateway: the upstream does not answer:", err)
			}
			w.WriteHeader(http.StatusBadGateway)
		},
	}
}

type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) Get() []byte {
	if buffer, ok := p.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, copyBufferBytes)
}

func (p *bufferPool) Put(buffer []byte) { p.pool.Put(&buffer) }
