package bursar

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/scanner"
	"github.com/bursar-go/bursar/sweeper"
)

// network is one chain of a running gateway.
type network struct {
	cfg     Chain
	info    chain.Info
	client  ChainClient
	codec   chain.Codec
	book    *book
	tokens  atomic.Pointer[tokenSet]
	scanner *scanner.Scanner
	sweeper *sweeper.Sweeper // nil where nothing is swept
	batches int              // how many addresses are swept together at most; 0: none
	// offline reports which keys sign nothing, see sweeper.Policy.
	offline func(chain.KeyRef) bool
	heads   chan struct{} // a hint that the node has a new head
	alarms  alarms

	mu sync.Mutex
	// verified is true once the node has proved to serve the configured chain;
	// ready once the cursor is set, so that no payment can be missed.
	verified, ready bool
	// watched is what the page that is being read was asked with.
	watched         []AssetState
	problem, broken error
	fence           Fence
	fenceAt         time.Time
	// led is the epoch of the last fence, until somebody else is seen to have the
	// lease; term counts the times that it was got anew. A lease that ended and
	// was taken again before anybody else did goes on in the same term.
	led, term int64
	// unprobed is why the balances of open addresses could not be compared at the
	// last page; turns is where their rotation goes on.
	unprobed error
	turns    turns
	// announced is what is known of transfers that wait in the mempool.
	announced announced
	// sweeping is the term in which the sweeper's round began.
	sweeping int64
	// pasts are what accounts did that the store does not know.
	pasts pasts
}

// took notes the answer to a request for the lease, and reports whether another
// instance has had it since the last one.
func (n *network) took(f Fence, asked time.Time, err error) (lost bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fence, n.fenceAt = f, asked
	switch {
	case errors.Is(err, ErrLeaseHeld):
		lost, n.led = n.led > 0, 0
	case err == nil:
		// Each taking raises the epoch by one.
		if f.Epoch > n.led+1 {
			lost = n.led > 0
			n.term++
		}
		n.led = f.Epoch
	}
	return lost
}

func newNetwork(cfg Chain, b *book) (*network, error) {
	n := &network{cfg: cfg, info: cfg.Client.Info(), client: cfg.Client, codec: cfg.Client.Codec(), book: b, heads: make(chan struct{}, 1)}
	tokens, err := newTokenSet(n.info, cfg.Assets, ChainState{Version: -1})
	n.tokens.Store(tokens)
	return n, err
}

// sameTerm reports whether nobody else has been seen to have the lease since the
// sweeper's round began.
func (n *network) sameTerm() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sweeping == n.term
}

// native is the chain's coin as it is configured here.
func (n *network) native() chain.Asset { return n.known().all[n.info.Native.ID] }

func (n *network) isReady() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ready
}

func (n *network) isVerified() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.verified
}

func (n *network) brokenBy() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.broken
}

func (n *network) set(change func(*network)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n)
}

// depth is how deep a transfer of the asset must be to be confirmed.
func (n *network) depth() uint64 { return n.cfg.Confirmations }

// finalHeight is the highest height that is final under a head and a tip; ok is
// false where nothing is.
func (n *network) finalHeight(head chain.Head, tip uint64, recent []chain.BlockRef) (uint64, bool) {
	if f := head.Finalized; f != nil {
		for _, r := range recent {
			if r.Height == f.Height && r.Hash != f.Hash {
				return 0, false // the node is on another branch than we are
			}
		}
		return min(f.Height, tip), true
	}
	depth := max(n.info.FinalityDepth, n.cfg.Confirmations)
	if tip+1 < depth {
		return 0, false
	}
	return tip + 1 - depth, true
}

// coveredTo returns the time up to which a chain was scanned by blocks that are
// k deep: the smallest time of the k newest blocks. Times need not rise, and one
// that lies in the future says nothing about the blocks before it; a block that
// comes later and is older shows it up.
func coveredTo(recent []chain.BlockRef, k uint64) time.Time {
	if k == 0 || uint64(len(recent)) < k {
		return time.Time{}
	}
	newest := recent[uint64(len(recent))-k:]
	at := newest[0].Time
	for _, r := range newest {
		at = earlier(at, r.Time)
	}
	return at
}
