// Package session knows who sends a request and whether they may.
package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"gateway/internal/lru"
	"gateway/internal/ratelimit"
)

// Session is what a key stands for.
type Session struct {
	Key       string            `json:"key"`
	Tenant    string            `json:"tenant"`
	Allowance int               `json:"allowance"`
	Per       time.Duration     `json:"per"`
	Metadata  map[string]string `json:"metadata"`
}

const (
	// sessionsCached bounds the sessions at hand; the others are read again.
	sessionsCached = 2048
	allowance      = 5000
	allowancePer   = 10 * time.Second
)

var ErrUnknownKey = errors.New("unknown API key")

// Store reads sessions, from its cache or from where they are kept.
type Store struct {
	cache *lru.Cache[string, *Session]
}

func NewStore() *Store {
	return &Store{cache: lru.New[string, *Session](sessionsCached)}
}

// Lookup finds the session of a key of the form tenant-serial.
func (s *Store) Lookup(key string) (*Session, error) {
	if session, ok := s.cache.Get(key); ok {
		return session, nil
	}
	tenant, serial, ok := strings.Cut(key, "-")
	if !ok || tenant == "" || serial == "" {
		return nil, ErrUnknownKey
	}
	session := &Session{}
	if err := json.Unmarshal(stored(key, tenant), session); err != nil {
		return nil, fmt.Errorf("session of tenant %s: %w", tenant, err)
	}
	s.cache.Add(key, session)
	return session, nil
}

// stored is the record as a key-value store would return it.
func stored(key, tenant string) []byte {
	return []byte(fmt.Sprintf(
		`{"key":%q,"tenant":%q,"allowance":%d,"per":%d,"metadata":{"plan":"standard","region":"eu-central","contact":"ops@%s.example"}}`,
		key, tenant, allowance, allowancePer, tenant))
}

// Limiter lets each key use its allowance and no more.
type Limiter struct {
	buckets *ratelimit.BucketStorage
}

func NewLimiter(buckets *ratelimit.BucketStorage) *Limiter {
	return &Limiter{buckets: buckets}
}

// ForwardMessage says whether a request of this session may pass.
func (l *Limiter) ForwardMessage(session *Session, api string) bool {
	name := "rate-limit-" + api + "-" + session.Key
	return l.buckets.Create(name, session.Allowance, session.Per).Take()
}
