package scanner

import (
	"fmt"
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// Follower is a window over the newest blocks of one branch. It is a value:
// Connect and Disconnect return a new one and leave the old one as it was, so
// that a step which fails to commit has changed nothing.
//
// Every window is linked: heights rise by one, and each block names the one
// before as its parent. The zero value is an empty window that keeps nothing.
type Follower struct {
	recent []chain.BlockRef
	keep   int
}

// NewFollower makes a window of recent blocks, oldest first, that keeps at most
// keep of them, at least 1. Blocks that do not follow each other are a
// *LinkError.
func NewFollower(recent []chain.BlockRef, keep int) (Follower, error) {
	if keep < 1 {
		return Follower{}, &ConfigError{Field: "keep", Reason: fmt.Sprintf("%d blocks, want at least 1", keep)}
	}
	return Follower{keep: keep}.Connect(recent)
}

// Tip returns the newest block; false where the window is empty.
func (f Follower) Tip() (chain.BlockRef, bool) {
	if len(f.recent) == 0 {
		return chain.BlockRef{}, false
	}
	return f.recent[len(f.recent)-1], true
}

// Recent returns a copy of the window, oldest first.
func (f Follower) Recent() []chain.BlockRef { return slices.Clone(f.recent) }

// Len returns the number of blocks in the window.
func (f Follower) Len() int { return len(f.recent) }

// At returns the block of that height; false where the window has none.
func (f Follower) At(height uint64) (chain.BlockRef, bool) {
	if len(f.recent) == 0 || height < f.recent[0].Height {
		return chain.BlockRef{}, false
	}
	i := height - f.recent[0].Height
	if i >= uint64(len(f.recent)) {
		return chain.BlockRef{}, false
	}
	return f.recent[i], true
}

// Connect returns the window with blocks on top, less the oldest ones where it
// grew over its size. The first block must follow the tip, each other one its
// predecessor; otherwise it returns a *LinkError and the window as it was.
func (f Follower) Connect(blocks []chain.BlockRef) (Follower, error) {
	before, linked := f.Tip()
	for i, b := range blocks {
		if linked && !follows(before, b) {
			return f, &LinkError{Before: before, Block: b, Index: i}
		}
		before, linked = b, true
	}
	all := slices.Concat(f.recent, blocks)
	if surplus := len(all) - f.keep; surplus > 0 {
		all = slices.Clone(all[surplus:])
	}
	return Follower{recent: all, keep: f.keep}, nil
}

// Disconnect returns the window without its n newest blocks, and those blocks,
// newest first. Where the window has fewer it returns everything: the caller
// knows from the length.
func (f Follower) Disconnect(n int) (Follower, []chain.BlockRef) {
	n = max(0, min(n, len(f.recent)))
	left := len(f.recent) - n
	gone := slices.Clone(f.recent[left:])
	slices.Reverse(gone)
	return Follower{recent: slices.Clone(f.recent[:left]), keep: f.keep}, gone
}

// Depth compares the window with headers of another branch, oldest first and
// linked, and returns how many blocks must be disconnected to stand on the
// newest one that both have. It is false where they have none in common.
func (f Follower) Depth(headers []chain.BlockRef) (int, bool) {
	// Linked blocks with the same hash have the same past, so that the newest
	// match is the common ancestor.
	for _, h := range slices.Backward(headers) {
		if ours, ok := f.At(h.Height); ok && ours.Hash == h.Hash {
			tip, _ := f.Tip()
			return int(tip.Height - h.Height), true
		}
	}
	return 0, false
}

// follows reports whether b is the block after before.
func follows(before, b chain.BlockRef) bool {
	return b.Height == before.Height+1 && b.Parent == before.Hash
}
