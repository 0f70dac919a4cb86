package chaintest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/bursar-go/bursar/chain"
)

// pool is the mempool: transactions that wait, in order of arrival.
type pool struct {
	waiting []*tx
}

func (p *pool) find(id chain.TxID) *tx {
	for _, t := range p.waiting {
		if t.id == id {
			return t
		}
	}
	return nil
}

// at returns the transaction that wants an account's nonce.
func (p *pool) at(from common.Address, nonce uint64) *tx {
	for _, t := range p.waiting {
		if t.from == from && t.raw.Nonce() == nonce {
			return t
		}
	}
	return nil
}

func (p *pool) add(t *tx) { p.waiting = append(p.waiting, t) }

// remove forgets those that gone says.
func (p *pool) remove(gone func(*tx) bool) {
	p.waiting = slices.DeleteFunc(p.waiting, gone)
}

// replaceBump is by how many percent a replacement must be dearer, as in geth.
const replaceBump = 10

// errPoolFull is what a full mempool says to a transaction that pays no more than
// those it holds.
var errPoolFull = fmt.Errorf("transaction underpriced: the mempool is full: %w", chain.ErrUnderpriced)

// errIntrinsicGas is what nodes say to a gas limit that cannot do.
var errIntrinsicGas = errors.New("chaintest: intrinsic gas too low")

// submit takes a transaction into the mempool, or says why not.
func (c *Chain) submit(t *tx) error {
	if c.pool.find(t.id) != nil || c.included(t.id, c.canon) != nil {
		return nil
	}
	w := c.head().world
	rival := c.pool.at(t.from, t.raw.Nonce())
	switch {
	case t.raw.Gas() < max(intrinsicGas(t.raw.Data())+t.besideGas(), floorGas(t.raw.Data())):
		return errIntrinsicGas
	case t.tip.Less(c.fees.MinTip):
		return fmt.Errorf("transaction underpriced: %w", chain.ErrUnderpriced)
	case t.raw.Nonce() < w.nonce(t.from):
		return fmt.Errorf("nonce too low: next nonce %d, tx nonce %d: %w", w.nonce(t.from), t.raw.Nonce(), chain.ErrLockSpent)
	}
	if err := c.affordable(w, t, rival); err != nil {
		return err
	}
	if rival != nil {
		if !dearer(t, rival) {
			return fmt.Errorf("replacement transaction underpriced: %w", chain.ErrUnderpriced)
		}
		c.pool.remove(func(o *tx) bool { return o == rival })
	}
	c.pool.add(t)
	c.evict()
	if c.pool.find(t.id) == nil {
		return errPoolFull
	}
	c.announce(t)
	return nil
}

// evict forgets what pays its miner least until the mempool is no larger than it
// may be; of equals the one that came last.
func (c *Chain) evict() {
	for c.limit > 0 && len(c.pool.waiting) > c.limit {
		worst := c.pool.waiting[0]
		for _, t := range c.pool.waiting[1:] {
			if !c.reward(worst).Less(c.reward(t)) {
				worst = t
			}
		}
		c.pool.remove(func(t *tx) bool { return t == worst })
	}
}

// reward is what a miner would get for a unit of t's gas now.
func (c *Chain) reward(t *tx) chain.Amount { return t.tip.Min(t.cap.SubFloor(c.fees.BaseFee)) }

// onDemand makes the block that a development chain makes for each transaction.
func (c *Chain) onDemand() {
	if c.info.OnDemandBlocks && len(c.pool.waiting) > 0 {
		c.mine(c.nextTime(), nil)
	}
}

// dearer reports whether t offers enough more than old, in both of its prices. A
// tenth of a few wei is nothing, but more it must be.
func dearer(t, old *tx) bool {
	enough := func(offer, before chain.Amount) bool {
		least, err := before.MulDiv(chain.NewAmount(100+replaceBump), chain.NewAmount(100))
		return err == nil && !offer.Less(least) && before.Less(offer)
	}
	return enough(t.cap, old.cap) && enough(t.tip, old.tip)
}

// affordable checks that the account can pay t beside all else of it that could be
// mined now. What waits for another nonce does not count, as in geth.
func (c *Chain) affordable(w world, t, rival *tx) error {
	if c.external[t.from] {
		return nil
	}
	required := t.cost
	for n := w.nonce(t.from); ; n++ {
		o := c.pool.at(t.from, n)
		if o == nil {
			break
		}
		if o == rival {
			continue
		}
		sum, err := required.Add(o.cost)
		if err != nil {
			return fmt.Errorf("chaintest: sum of the waiting transactions: %w", err)
		}
		required = sum
	}
	if available := w.balance(common.Address{}, t.from); available.Less(required) {
		return &chain.InsufficientFundsError{Account: textAddress(t.from), Asset: c.info.Native, Required: required, Available: available}
	}
	return nil
}

// pendingNonce is the first nonce that neither a block nor the run of waiting
// transactions that follows it uses.
func (c *Chain) pendingNonce(w world, from common.Address) uint64 {
	n := w.nonce(from)
	for c.pool.at(from, n) != nil {
		n++
	}
	return n
}

// Mempool returns the waiting transactions in the order in which they arrived.
func (c *Chain) Mempool() []chain.TxID {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]chain.TxID, len(c.pool.waiting))
	for i, t := range c.pool.waiting {
		ids[i] = t.id
	}
	return ids
}

// Drop makes the node forget waiting transactions, and reports whether it had
// them all. They can be broadcast again.
func (c *Chain) Drop(ids ...chain.TxID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.pool.waiting)
	c.pool.remove(func(t *tx) bool { return slices.Contains(ids, t.id) })
	return before-len(c.pool.waiting) == len(ids)
}
