package hdwallet

import (
	"fmt"
	"sync"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Limit bounds what leaves the signer's wallets of one asset within any span of
// time, whoever asks and wherever it goes but to an address of their own: what a
// process that was taken over, or that has gone mad, can move before somebody
// looks. Of a chain's own coin the fees count too, each at the most that its
// payload can cost.
//
// A payload that is signed again, or replaced by another one with the same nonce,
// counts once, with the larger amount, from the last time on.
type Limit struct {
	// Asset is what is bounded.
	Asset chain.AssetID
	// Window is the span, above zero.
	Window time.Duration
	// Max is the most within it, in base units, above zero.
	Max chain.Amount
}

// outflow is what one payload takes out of the wallets.
type outflow struct {
	key    string // the same for all payloads of which only one can take effect
	amount map[chain.AssetID]chain.Amount
	// approval is what permitted it, where it pays a stranger.
	approval *chain.Approval
}

// add counts one more movement.
func (l *limiter) add(o *outflow, asset chain.AssetID, n chain.Amount) error {
	if len(l.gauge) == 0 {
		return nil
	}
	sum, err := o.amount[asset].Add(n)
	if err != nil {
		return refuse("limit", "more of %s than can be counted", asset)
	}
	if o.amount == nil {
		o.amount = map[chain.AssetID]chain.Amount{}
	}
	o.amount[asset] = sum
	return nil
}

// limiter keeps what was signed within the windows.
type limiter struct {
	// coins are the chains' own coins, in which fees are paid, where one of them is
	// limited. CAIP-19 names them by their SLIP-44 numbers, which are not those of
	// the keys on every chain.
	coins map[chain.ID]chain.AssetID
	mu    sync.Mutex
	gauge []*gauge
}

// gauge is one limit with what counts toward it.
type gauge struct {
	Limit
	sum   chain.Amount
	queue []*counted // the oldest first
	by    map[string]*counted
}

// counted is what one outflow counts with.
type counted struct {
	at     time.Time
	key    string
	amount chain.Amount
}

func newLimiter(limits []Limit, chains map[chain.ID]*chainPolicy) (*limiter, error) {
	l := &limiter{coins: map[chain.ID]chain.AssetID{}}
	for i, limit := range limits {
		bad := func(field, reason string) (*limiter, error) {
			return nil, &ConfigError{Field: fmt.Sprintf("Policy.Limits[%d].%s", i, field), Reason: reason}
		}
		if _, err := chain.ParseAssetID(string(limit.Asset)); err != nil {
			return bad("Asset", err.Error())
		}
		switch {
		case chains[limit.Asset.Chain()] == nil:
			return bad("Asset", "of a chain that Policy.Codecs does not have")
		case limit.Window <= 0:
			return bad("Window", "want more than zero")
		case limit.Max.IsZero():
			return bad("Max", "want more than zero; to sign nothing is what Halt is for")
		}
		if id := limit.Asset.Chain(); limit.Asset.Namespace() == "slip44" {
			if coin, known := l.coins[id]; known && coin != limit.Asset {
				return bad("Asset", "another coin of the chain than "+string(coin))
			}
			l.coins[id] = limit.Asset
		}
		l.gauge = append(l.gauge, &gauge{Limit: limit, by: map[string]*counted{}})
	}
	return l, nil
}

// reserve counts a batch, all of it or nothing. at is the position of the first
// outflow that did not fit.
func (l *limiter) reserve(now time.Time, batch []outflow) (at int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.gauge {
		g.forget(now)
		if at, err := g.fits(batch); err != nil {
			return at, err
		}
	}
	for _, g := range l.gauge {
		for _, o := range batch {
			g.count(now, o)
		}
	}
	return 0, nil
}

// forget drops what has left the window. A clock that was set back makes it last
// longer, never shorter.
func (g *gauge) forget(now time.Time) {
	for len(g.queue) > 0 && now.Sub(g.queue[0].at) >= g.Window {
		old := g.queue[0]
		g.sum = g.sum.SubFloor(old.amount)
		if g.by[old.key] == old {
			delete(g.by, old.key)
		}
		g.queue[0], g.queue = nil, g.queue[1:]
	}
}

// fits checks that a batch stays within the limit, without counting it.
func (g *gauge) fits(batch []outflow) (at int, err error) {
	sum, seen := g.sum, map[string]chain.Amount{}
	for i, o := range batch {
		n := o.amount[g.Asset]
		before, again := seen[o.key]
		if old := g.by[o.key]; !again && old != nil {
			before = old.amount
		}
		more := n.SubFloor(before)
		if sum, err = sum.Add(more); err != nil || g.Max.Less(sum) {
			return i, refuse("limit", "with it more than %s base units of %s would leave within %s", g.Max, g.Asset, g.Window)
		}
		seen[o.key], _ = before.Add(more) // the larger of two amounts
	}
	return 0, nil
}

func (g *gauge) count(now time.Time, o outflow) {
	it := &counted{now, o.key, o.amount[g.Asset]}
	if old := g.by[o.key]; old != nil {
		// From now on, with the larger amount: either of them can still take effect.
		g.sum = g.sum.SubFloor(old.amount)
		if it.amount.Less(old.amount) {
			it.amount = old.amount
		}
		old.amount = chain.Amount{}
	}
	if it.amount.IsZero() {
		return
	}
	g.sum, _ = g.sum.Add(it.amount) // no overflow: fits has added up the same
	g.queue = append(g.queue, it)
	g.by[o.key] = it
}
