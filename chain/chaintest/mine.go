package chaintest

import (
	"fmt"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/bursar-go/bursar/chain"
)

// nextTime is when the next block comes by itself.
func (c *Chain) nextTime() time.Time { return c.now.Add(c.info.BlockTime) }

// Mine makes n blocks, one block time apart. The first takes all that waits in
// the mempool and can be executed, in order of arrival.
func (c *Chain) Mine(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n {
		c.mine(c.nextTime(), nil)
	}
}

// MineAt makes one block with that time, in whole seconds, which may lie before
// the time of the block before. Later blocks follow from the later of both.
func (c *Chain) MineAt(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mine(at, nil)
}

// MineOnly makes one block with exactly these waiting transactions, in this
// order; without any, an empty block. It panics where one does not wait or
// cannot be executed at its place.
func (c *Chain) MineOnly(ids ...chain.TxID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	chosen := []*tx{}
	for _, id := range ids {
		t := c.pool.find(id)
		if t == nil {
			panic(fmt.Sprintf("chaintest: MineOnly: %s does not wait", id))
		}
		chosen = append(chosen, t)
	}
	if got := len(c.mine(c.nextTime(), chosen).txs); got != len(ids) {
		panic(fmt.Sprintf("chaintest: MineOnly: only %d of %d transactions could be executed", got, len(ids)))
	}
}

// MineOptions is a miner's choice. Zero: a block at the next block time that
// takes all that waits and can be executed.
type MineOptions struct {
	// At is the block's time, as of MineAt.
	At time.Time
	// Leave are waiting transactions that this block leaves out, and with them
	// what follows them in nonce. Those that do not wait are left out anyhow.
	Leave []chain.TxID
	// Empty leaves everything out.
	Empty bool
}

// MineWith makes one block as its miner wants it, and returns it.
func (c *Chain) MineWith(o MineOptions) chain.BlockRef {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.At.IsZero() {
		o.At = c.nextTime()
	}
	chosen := []*tx{}
	for _, t := range c.pool.waiting {
		if !o.Empty && !slices.Contains(o.Leave, t.id) {
			chosen = append(chosen, t)
		}
	}
	return c.mine(o.At, chosen).ref
}

// mine makes one block. A nil choice means everything that waits.
func (c *Chain) mine(at time.Time, chosen []*tx) *block {
	if chosen == nil {
		chosen = c.pool.waiting
	}
	parent := c.head()
	b := &block{parent: parent, world: parent.world, edicts: c.edicts}
	b.ref = chain.BlockRef{Height: parent.ref.Height + 1, Parent: parent.ref.Hash, Time: at.UTC().Truncate(time.Second)}
	c.edicts = nil
	if len(b.edicts) > 0 {
		b.world = b.world.copy()
		for _, e := range b.edicts {
			e.act(b.world)
		}
	}
	c.fill(b, chosen)
	b.ref.Hash = c.blockHash(b)
	c.attach(b)
	c.tidy()
	if at.After(c.now) {
		c.now = at
	}
	return b
}

// fill executes what can be. It goes through the list until nothing more fits,
// since a later transaction may supply an earlier one with coins or its nonce.
func (c *Chain) fill(b *block, chosen []*tx) {
	done := make([]bool, len(chosen))
	for progress := true; progress; {
		progress = false
		for i, t := range chosen {
			if done[i] {
				continue
			}
			r, after, err := c.apply(b.world, t)
			if err != nil {
				continue
			}
			r.block, r.index = b, uint32(len(b.txs))
			b.txs, b.world = append(b.txs, r), after
			done[i], progress = true, true
		}
	}
}

// tidy forgets waiting transactions that the present branch has made pointless:
// those it contains, those whose nonce it has used, and those that their account
// cannot pay any more, as nodes do after each block.
func (c *Chain) tidy() {
	w := c.head().world
	c.pool.remove(func(t *tx) bool {
		return t.raw.Nonce() < w.nonce(t.from) || !c.external[t.from] && w.balance(common.Address{}, t.from).Less(t.cost)
	})
}

// ReorgOptions says what becomes of the transactions of the replaced blocks.
// Zero: all return to the mempool, and the first new block takes them in their
// old order.
type ReorgOptions struct {
	// Length is how many blocks the new branch has. Zero: one more than it
	// replaces, as the longest chain wins. Equal or fewer happen on chains with
	// another fork choice.
	Length int
	// Drop are forgotten instead of mined again; DropAll drops all of the
	// replaced blocks, but not what waited before.
	Drop    []chain.TxID
	DropAll bool // DropAll drops all of the replaced blocks.
	// First are mined before the others, in this order. Transactions of one
	// account keep the order of their nonces.
	First []chain.TxID
	// Reverse turns the order of the others round.
	Reverse bool
	// Delay leaves that many blocks of the new branch empty before the
	// transactions return. With Delay >= Length they stay in the mempool.
	Delay int
}

// Reorg replaces the newest depth blocks by a new branch. It returns the hash
// of the head that it replaced, for Return.
func (c *Chain) Reorg(depth int, options ...ReorgOptions) chain.BlockHash {
	var o ReorgOptions
	if len(options) > 0 {
		o = options[0]
	}
	if o.Length == 0 {
		o.Length = depth + 1
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	waited := slices.Clone(c.pool.waiting)
	old := c.rewind(depth)
	c.pool.remove(func(t *tx) bool {
		return slices.Contains(o.Drop, t.id) || o.DropAll && !slices.Contains(waited, t)
	})
	c.arrange(o)
	for i := range o.Length {
		if i < o.Delay {
			c.mine(c.nextTime(), []*tx{})
		} else {
			c.mine(c.nextTime(), nil)
		}
	}
	return old
}

// arrange orders the mempool for the first block of a new branch.
func (c *Chain) arrange(o ReorgOptions) {
	if o.Reverse {
		slices.Reverse(c.pool.waiting)
	}
	place := func(t *tx) int {
		if i := slices.Index(o.First, t.id); i >= 0 {
			return i
		}
		return len(o.First)
	}
	slices.SortStableFunc(c.pool.waiting, func(a, b *tx) int { return place(a) - place(b) })
}

// Rewind takes the newest depth blocks off the chain without putting others in
// their place: the node's head goes backwards. Their transactions return to the
// mempool, and the next block begins another branch. It returns the hash of the
// old head, for Return.
func (c *Chain) Rewind(depth int) chain.BlockHash {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rewind(depth)
}

func (c *Chain) rewind(depth int) chain.BlockHash {
	if depth < 0 || depth >= len(c.canon) {
		panic(fmt.Sprintf("chaintest: a reorg of %d blocks does not fit a chain of height %d", depth, len(c.canon)-1))
	}
	old := c.head()
	c.branches++
	c.detach(len(c.canon) - depth)
	return old.ref.Hash
}

// detach cuts the present branch to a length; what its blocks held waits again,
// before what waited already, since it arrived earlier.
func (c *Chain) detach(length int) {
	var back []*tx
	var edicts []edict
	for _, b := range c.canon[length:] {
		edicts = append(edicts, b.edicts...)
		for _, r := range b.txs {
			back = append(back, r.tx)
		}
	}
	c.canon = c.canon[:length:length]
	c.edicts = append(edicts, c.edicts...)
	c.pool.remove(func(t *tx) bool {
		// What was mined wins over a rival that came meanwhile.
		return slices.ContainsFunc(back, func(b *tx) bool { return b.from == t.from && b.raw.Nonce() == t.raw.Nonce() })
	})
	c.pool.waiting = append(back, c.pool.waiting...)
}

// Return makes an abandoned branch the present one again, up to the block with
// that hash: A, then B, then A. What only the branch now left contained returns
// to the mempool.
func (c *Chain) Return(to chain.BlockHash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.blocks[to]
	if !ok {
		panic(fmt.Sprintf("chaintest: Return: no block %s", to))
	}
	var branch []*block
	for ; !c.isCanonical(b); b = b.parent {
		branch = append(branch, b)
	}
	c.branches++
	c.detach(int(b.ref.Height) + 1)
	for _, b := range slices.Backward(branch) {
		c.canon = append(c.canon, b)
	}
	c.edicts = c.undone(c.edicts)
	c.tidy()
}
