package bursar

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

// idSource makes UUIDv7 ids over an injected random source, so that a run can
// be reproduced; it keeps no clock of its own.
//
// Source: RFC 9562, section 5.7.
type idSource struct {
	mu     sync.Mutex
	random io.Reader
	buf    []byte // drawn ahead, because a read of the system's source costs more than an id
}

// entropy is the random part of one id, drawn before a transaction so that a
// retry makes the same id.
type entropy [10]byte

func (s *idSource) draw() (entropy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var e entropy
	if len(s.buf) < len(e) {
		s.buf = make([]byte, 64*len(e))
		if _, err := io.ReadFull(s.random, s.buf); err != nil {
			s.buf = nil
			return e, fmt.Errorf("bursar: random source: %w", err)
		}
	}
	copy(e[:], s.buf)
	s.buf = s.buf[len(e):]
	return e, nil
}

// dice returns a generator for what nothing depends on, such as the jitter of
// pauses: it is seeded once, and draws nothing of the source afterwards.
func (s *idSource) dice() (rand.Source, error) {
	seed, err := s.draw()
	return rand.NewPCG(binary.BigEndian.Uint64(seed[:]), 0), err
}

// id writes prefix and a UUIDv7 of that time.
func (e entropy) id(prefix string, at time.Time) string {
	var u [16]byte
	ms := uint64(at.UnixMilli())
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	copy(u[6:], e[:])
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	dst := make([]byte, len(prefix)+36)
	copy(dst, prefix)
	t := dst[len(prefix):]
	hex.Encode(t[0:8], u[0:4])
	hex.Encode(t[9:13], u[4:6])
	hex.Encode(t[14:18], u[6:8])
	hex.Encode(t[19:23], u[8:10])
	hex.Encode(t[24:36], u[10:16])
	t[8], t[13], t[18], t[23] = '-', '-', '-', '-'
	return string(dst)
}

// livePrefix is the prefix of ids of that kind: test networks show in it.
func livePrefix(kind string, live bool) string {
	if live {
		return kind + "_"
	}
	return kind + "_test_"
}
