package bursar

import (
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

	mu sync.Mutex
	// verified is true once the node has proved to serve the configured chain;
	// ready once the cursor is set, so that no payment can be missed.
	verified, ready bool
	// watched is what the page that is being read was asked with.
	watched         []AssetState
	problem, broken error
	fence           Fence
	fenceAt         time.Time
}

func newNetwork(cfg Chain, b *book) (*network, error) {
	n := &network{cfg: cfg, info: cfg.Client.Info(), client: cfg.Client, codec: cfg.Client.Codec(), book: b}
	tokens, err := newTokenSet(n.info, cfg.Assets, ChainState{Version: -1})
	n.tokens.Store(tokens)
	return n, err
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
