// Package session has sessions that close themselves when they are forgotten, or would.
package session

import "runtime"

// Bytes are of one session with its peer and the runtime's note of the finalizer.
const Bytes = 1300

type Session struct {
	peer   *peer
	closed bool
	buffer [500]byte
}

type peer struct {
	of     *Session
	buffer [680]byte
}

//go:noinline
func Open() *Session {
	s := &Session{}
	s.peer = newPeer(s)
	runtime.SetFinalizer(s, (*Session).close)
	return s
}

//go:noinline
func newPeer(of *Session) *peer { return &peer{of: of} }

func (s *Session) Touch() { s.buffer[0]++ }
func (s *Session) close() { s.closed = true }
