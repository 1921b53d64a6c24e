// A cache of rate-limit buckets whose cleanup goroutine exits after one pass: field
// report 2. Every request comes under new keys, and their buckets stay.
//
// answer: heap
// site: corpus/bucketcache/memorycache.(*Cache).Set via corpus/bucketcache/ratelimit.(*Storage).Create
// site: corpus/bucketcache/ratelimit.(*Storage).Create via main.forward
// site: fmt.Sprintf via main.bucketName
package main

import (
	"fmt"
	"time"

	"corpus/bucketcache/memorycache"
	"corpus/bucketcache/ratelimit"
	"corpus/internal/program"
)

// bucketBytes are an item, a bucket, a key and their part of the map.
const bucketBytes = 640

const perRequest = 2

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / (perRequest * bucketBytes)})
	buckets := ratelimit.NewStorage(memorycache.New(3 * time.Second))
	for serial := 0; p.Next(); serial += perRequest {
		forward(buckets, serial)
	}
}

//go:noinline
func forward(buckets *ratelimit.Storage, serial int) {
	for n := 0; n < perRequest; n++ {
		buckets.Create(bucketName(serial+n), 2*time.Second)
	}
}

//go:noinline
func bucketName(serial int) string { return fmt.Sprintf("rate-limit-key-%016x", serial) }
