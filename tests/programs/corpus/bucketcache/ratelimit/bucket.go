// Package ratelimit counts what each key has used of its allowance.
package ratelimit

import (
	"time"

	"corpus/bucketcache/memorycache"
)

type Bucket struct {
	remaining int
	reset     time.Time
	hits      [32]int64
}

type Storage struct{ cache *memorycache.Cache }

func NewStorage(cache *memorycache.Cache) *Storage { return &Storage{cache: cache} }

//go:noinline
func (s *Storage) Create(name string, per time.Duration) *Bucket {
	bucket := &Bucket{reset: time.Now().Add(per)}
	s.cache.Set(name, bucket, per)
	return bucket
}
