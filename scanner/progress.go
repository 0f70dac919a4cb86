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
	// Stepped is when the last step without an error ended, in UTC.
	Stepped time.Time
	// Err is the error of the last step, nil where it had none; Failures is the
	// number of errors in a row.
	Err      error
	Failures int // Failures counts failures in a row that left no trace on chain.
}

// Halted reports whether the scanner waits for an operator.
func (p Progress) Halted() bool { return errors.Is(p.Err, ErrNoCommonAncestor) }

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
