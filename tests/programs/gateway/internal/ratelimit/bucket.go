// Package ratelimit counts what each API key has used of its allowance.
package ratelimit

import (
	"sync"
	"time"

	"gateway/internal/memorycache"
)

// rememberedHits is how many of the latest requests a bucket knows the time of.
const rememberedHits = 32

// Bucket is the allowance of one API key.
type Bucket struct {
	mu        sync.Mutex
	capacity  int
	remaining int
	period    time.Duration
	reset     time.Time
	hits      [rememberedHits]int64
	next      int
}

// Take uses one of the allowance and says whether there was one left.
func (b *Bucket) Take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if now.After(b.reset) {
		b.reset, b.remaining = now.Add(b.period), b.capacity
	}
	b.hits[b.next] = now.UnixNano()
	b.next = (b.next + 1) % len(b.hits)
	if b.remaining == 0 {
		return false
	}
	b.remaining--
	return true
}

// BucketStorage has the buckets of all keys seen lately.
type BucketStorage struct {
	cache *memorycache.Cache
}

func NewStorage(cache *memorycache.Cache) *BucketStorage {
	return &BucketStorage{cache: cache}
}

// Create returns the bucket of that name and makes it first if there is none.
// Two first requests at once may make two; the later stays.
func (s *BucketStorage) Create(name string, capacity int, period time.Duration) *Bucket {
	if found, ok := s.cache.Get(name); ok {
		return found.(*Bucket)
	}
	bucket := &Bucket{capacity: capacity, remaining: capacity, period: period, reset: time.Now().Add(period)}
	s.cache.Set(name, bucket, period)
	return bucket
}
