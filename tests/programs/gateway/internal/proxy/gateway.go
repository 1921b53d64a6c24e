// Package proxy is the gateway itself: which request goes where, and through what.
package proxy

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"gateway/internal/memorycache"
	"gateway/internal/ratelimit"
	"gateway/internal/session"
	"gateway/internal/telemetry"
)

// Leaks says which of the known bugs this gateway has.
type Leaks struct {
	// Meters makes the instruments of an API anew for every request.
	Meters bool
	// Buckets ends the goroutine that cleans rate-limit buckets after one pass.
	Buckets bool
}

const (
	bucketsCleanedEvery = 5 * time.Second
	copyBufferBytes     = 32 << 10
)

// New is a gateway to the upstream at that host and port.
func New(upstream string, leaks Leaks) (http.Handler, error) {
	target, err := url.Parse("http://" + upstream)
	if err != nil || target.Host == "" {
		return nil, fmt.Errorf("upstream %q is not host:port", upstream)
	}
	buckets := ratelimit.NewStorage(memorycache.New(bucketsCleanedEvery, leaks.Buckets))
	guard := &guard{sessions: session.NewStore(), limiter: session.NewLimiter(buckets)}
	forward := newReverseProxy(target)

	products := guard.wrap("products", compress(cacheResponses(forward)))
	orders := guard.wrap("orders", rewriteOrders(forward))
	reports := guard.wrap("reports", compress(forward))

	mux := http.NewServeMux()
	mux.Handle("/products/", observe("products", products, leaks.Meters))
	mux.Handle("/orders", observe("orders", orders, leaks.Meters))
	mux.Handle("/reports", observe("reports", reports, leaks.Meters))
	accessLog := &telemetry.AccessLog{}
	return telemetry.WithRequestID(accessLog.Wrap(mux)), nil
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
