package signer

import (
	"sync"
	"time"
)

// maxNonces bounds what is remembered; only requests with a right MAC get this far.
const maxNonces = 1 << 16

// seen remembers the nonces of a window, the oldest first.
type seen struct {
	mu    sync.Mutex
	known map[string]struct{}
	queue []seenNonce
}

type seenNonce struct {
	id  string
	end time.Time
}

// add remembers a nonce until a time. It reports false where the nonce is known, or
// where there is no room to remember it.
func (s *seen) add(id string, now, end time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 && now.After(s.queue[0].end) {
		delete(s.known, s.queue[0].id)
		s.queue = s.queue[1:]
	}
	if _, ok := s.known[id]; ok || len(s.queue) >= maxNonces {
		return false
	}
	if s.known == nil {
		s.known = map[string]struct{}{}
	}
	s.known[id] = struct{}{}
	s.queue = append(s.queue, seenNonce{id, end})
	return true
}
