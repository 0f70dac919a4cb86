package scanner

import (
	"errors"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Progress is how far a scanner is.
type Progress struct {
	// Chain is the chain that is followed.
	Chain chain.ID
	// Head is what the node told last; Tip the newest block that was committed.
	// Both are zero until known.
	Head chain.Head
	Tip  chain.BlockRef // Tip is the newest block that was committed.
	// Lag is how many blocks Tip is behind Head, 0 where the node is behind.
	Lag uint64
	// Rate is how many blocks a minute were committed of late, within about the last
	// minute of work; Left is how long it takes at that rate until Lag is nothing,
	// while the chain grows as it does. Both are zero until known, Left also where
	// there is nothing left or no end in sight.
	Rate uint64
	Left time.Duration // Left is the time until Lag is nothing.
	// Stepped is when the last step without an error ended, in UTC.
	Stepped time.Time
	// Err is the error of the last step, nil where it had none; Failures is the
	// number of errors in a row.
	Err      error
	Failures int // Failures counts failures in a row that left no trace on chain.
}

// Halted reports whether the scanner waits for an operator.
func (p Progress) Halted() bool { return errors.Is(p.Err, ErrNoCommonAncestor) }

// span is how far back Progress.Rate looks.
const span = time.Minute

// sample is a moment of the catching up.
type sample struct {
	at        time.Time
	tip, head uint64
}

// samples are those of the last span, the oldest first.
type samples []sample

// add takes one more and forgets what is too old to be of use. A tip that went
// back begins anew: what was connected twice is no progress.
func (s samples) add(now sample) samples {
	if n := len(s); n > 0 && now.tip < s[n-1].tip {
		s = s[:0]
	}
	for len(s) > 1 && now.at.Sub(s[1].at) >= span {
		s = s[1:]
	}
	return append(s, now)
}

// pace returns the blocks per minute and the time until nothing is left.
func (s samples) pace() (rate uint64, left time.Duration) {
	if len(s) < 2 {
		return 0, 0
	}
	first, last := s[0], s[len(s)-1]
	took := last.at.Sub(first.at).Milliseconds() // of hours, times a chain's length, no overflow
	if took <= 0 || last.tip <= first.tip {
		return 0, 0
	}
	done := last.tip - first.tip
	rate = done * uint64(time.Minute.Milliseconds()) / uint64(took)
	grown := last.head - min(first.head, last.head)
	if lag := last.head - min(last.tip, last.head); lag > 0 && done > grown {
		left = time.Duration(lag*uint64(took)/(done-grown)) * time.Millisecond
	}
	return rate, left
}

// Progress returns how far the scanner is.
func (s *Scanner) Progress() Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.progress
}

// update changes the progress that others see.
func (s *Scanner) update(change func(*Progress)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.progress)
	p := &s.progress
	p.Lag = 0
	if p.Tip.Hash != "" && p.Head.Latest.Height > p.Tip.Height {
		p.Lag = p.Head.Latest.Height - p.Tip.Height
	}
}
