package proxy

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"gateway/internal/lru"
	"gateway/internal/script"
	"gateway/internal/telemetry"
)

const (
	// responsesCached bounds the cache to about 10 MiB of bodies, which takes a minute or two to fill.
	responsesCached  = 5000
	largestOrderBody = 64 << 10
	// itemsOfOrder is what every order has, as far as its price goes.
	itemsOfOrder = 2
)

// internalFields are dropped from what a customer gets to see.
var internalFields = []string{"cost"}

// rewriteOrders adds to an order's body who sends it and under which request id.
func rewriteOrders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var order map[string]any
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, largestOrderBody)).Decode(&order); err != nil {
			http.Error(w, "the body is not a JSON object", http.StatusBadRequest)
			return
		}
		order["tenant"] = tenantOf(r.Context())
		order["request_id"] = telemetry.RequestID(r.Context())
		body, err := json.Marshal(order)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
		next.ServeHTTP(w, r)
	})
}

// priceOrders has a script say what an order costs; the answer's header tells it.
func priceOrders(engine *script.Engine, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		total, err := engine.Price(tenantOf(r.Context()), itemsOfOrder, int(r.ContentLength))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("X-Price", strconv.FormatInt(total, 10))
		next.ServeHTTP(w, r)
	})
}

// cacheResponses keeps good answers without their internal fields, up to a bound.
func cacheResponses(next http.Handler) http.Handler {
	cache := lru.New[string, []byte](responsesCached)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, ok := cache.Get(r.URL.Path); ok {
			writeJSON(w, body)
			return
		}
		answer := &recorder{header: make(http.Header), status: http.StatusOK}
		next.ServeHTTP(answer, r)
		if answer.status != http.StatusOK {
			http.Error(w, http.StatusText(answer.status), answer.status)
			return
		}
		body, err := withoutInternalFields(answer.body.Bytes())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		cache.Add(r.URL.Path, body)
		writeJSON(w, body)
	})
}

func withoutInternalFields(body []byte) ([]byte, error) {
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, fmt.Errorf("the upstream's answer is not a JSON object: %w", err)
	}
	for _, name := range internalFields {
		delete(fields, name)
	}
	return json.Marshal(fields)
}

func writeJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

// recorder takes an answer that is to be changed before it is sent.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *recorder) Header() http.Header                { return a.header }
func (a *recorder) WriteHeader(status int)             { a.status = status }
func (a *recorder) Write(part []byte) (n int, e error) { return a.body.Write(part) }

// gzipWriters are large; each serves many answers.
var gzipWriters = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		panic(err) // BestSpeed is a valid level
	}
	return w
}}

// compress answers in gzip where the client accepts it.
func compress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			next.ServeHTTP(w, r)
			return
		}
		compressor := gzipWriters.Get().(*gzip.Writer)
		defer gzipWriters.Put(compressor)
		compressor.Reset(w)
		defer compressor.Close()
		next.ServeHTTP(&gzipResponse{ResponseWriter: w, compressor: compressor}, r)
	})
}

type gzipResponse struct {
	http.ResponseWriter
	compressor *gzip.Writer
	started    bool
}

func (w *gzipResponse) WriteHeader(status int) {
	w.started = true
	w.Header().Del("Content-Length")
	w.Header().Set("Content-Encoding", "gzip")
	w.ResponseWriter.WriteHeader(status)
}

func (w *gzipResponse) Write(part []byte) (int, error) {
	if !w.started {
		w.WriteHeader(http.StatusOK)
	}
	return w.compressor.Write(part)
}
