package chaintest

import (
	"fmt"
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// view is what a client sees at one moment: a branch up to a height.
type view struct {
	branch []*block // by height, with what lag hides
	top    uint64   // height of the newest visible block
}

func (v view) head() *block { return v.branch[v.top] }

// seen is the visible part of the branch.
func (v view) seen() []*block { return v.branch[:v.top+1] }

// run returns the blocks from from to to, as far as they are visible.
func (v view) run(from, to, most uint64) []*block {
	if from > v.top || to < from {
		return nil
	}
	to = min(to, v.top)
	if to-from >= most {
		to = from + most - 1
	}
	return slices.Clone(v.branch[from : to+1])
}

// Pin makes the client a node that is stuck: until Pin("") it sees the branch that
// ends in the block with that hash, whether the network left it or grew beyond it.
// Lag counts from that block. Reading calls, Prepare, Bump and DryRun see that
// branch alone; Balances still answers at any block that it is asked for by hash,
// and Broadcast reaches the mempool of the network. Pin panics on a hash that no
// block has.
func (l *Client) Pin(head chain.BlockHash) {
	l.chain.mu.Lock()
	defer l.chain.mu.Unlock()
	l.pinned = nil
	if head == "" {
		return
	}
	b, ok := l.chain.blocks[head]
	if !ok {
		panic(fmt.Sprintf("chaintest: Pin: no block %s", head))
	}
	branch := make([]*block, b.ref.Height+1)
	for ; b != nil; b = b.parent {
		branch[b.ref.Height] = b
	}
	l.pinned = branch
}

func (l *Client) lag() uint64 { return max(l.behind(), l.chain.behind()) }

// see runs f with the chain's lock and what the client sees.
func (l *Client) see(f func(v view)) {
	lag := l.lag()
	l.chain.mu.Lock()
	defer l.chain.mu.Unlock()
	v := view{branch: l.chain.canon}
	if l.pinned != nil {
		v.branch = l.pinned
	}
	newest := uint64(len(v.branch) - 1)
	v.top = newest - min(lag, newest)
	f(v)
}

// waits reports whether a node with that view has the transaction in its mempool:
// it heard of it, since it waits or is in a block that the node does not see, and
// no block that it does see has used its nonce.
func (c *Chain) waits(id chain.TxID, v view) bool {
	t := c.pool.find(id)
	for _, branch := range [][]*block{c.canon, v.branch} {
		if r := c.included(id, branch); r != nil {
			t = r.tx
		}
	}
	return t != nil && t.raw.Nonce() >= v.head().world.nonce(t.from)
}

// finalized returns the finalized block of a view. A block with FinalityDepth
// confirmations is final, its own block included, so that the tag and the depth
// say the same. A branch that was left has by depth what it had when it was left;
// SetFinalized speaks of the present branch, so that another one takes its word
// only up to where the two part.
func (c *Chain) finalized(v view) *chain.BlockRef {
	if !c.tagged {
		return nil
	}
	height := uint64(0)
	if v.top+1 > c.info.FinalityDepth {
		height = v.top + 1 - c.info.FinalityDepth
	}
	if c.final != nil {
		for height = min(*c.final, v.top); !c.isCanonical(v.branch[height]); {
			height--
		}
	}
	ref := v.branch[height].ref
	return &ref
}
