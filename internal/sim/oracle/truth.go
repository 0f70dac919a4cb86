package oracle

import (
	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// truth is the chain's side, with a memory of blocks: they never change.
type truth struct {
	chain   *chaintest.Chain
	blocks  map[chain.BlockHash]chain.BlockRef
	content map[chain.BlockHash]*content
	highest uint64
}

// content is what one block holds.
type content struct {
	transfers map[chain.TransferID]chain.Transfer
	inner     []chain.Transfer // what contracts and the protocol sent
	txs       map[chain.TxID]chain.TxStatus
}

func newTruth(c *chaintest.Chain) truth {
	return truth{chain: c, blocks: map[chain.BlockHash]chain.BlockRef{}, content: map[chain.BlockHash]*content{}}
}

// block finds a block of any branch.
func (t *truth) block(hash chain.BlockHash) (chain.BlockRef, bool) {
	if b, ok := t.blocks[hash]; ok {
		return b, true
	}
	b, ok := t.chain.BlockByHash(hash)
	if ok {
		t.blocks[hash] = b
		t.highest = max(t.highest, b.Height)
	}
	return b, ok
}

// in returns what a block holds; nil where there is no such block.
func (t *truth) in(hash chain.BlockHash) *content {
	if c, ok := t.content[hash]; ok {
		return c
	}
	txs, ok := t.chain.TransactionsIn(hash)
	if !ok {
		return nil
	}
	c := &content{transfers: map[chain.TransferID]chain.Transfer{}, txs: map[chain.TxID]chain.TxStatus{}}
	for _, tx := range txs {
		c.txs[tx.ID] = tx
		for _, tr := range tx.Transfers {
			c.transfers[tr.ID] = tr
		}
	}
	c.inner, _ = t.chain.InternalIn(hash)
	t.content[hash] = c
	return c
}

// under reports whether a block is an ancestor of tip, or tip itself.
func (t *truth) under(tip chain.BlockHash, want chain.BlockHash, height uint64) bool {
	for {
		b, ok := t.block(tip)
		switch {
		case !ok || b.Height < height:
			return false
		case b.Height == height:
			return b.Hash == want
		}
		tip = b.Parent
	}
}

// tip is the cursor that a batch writes for a chain; false where it writes none.
func tip(b *bursar.Batch, id chain.ID) (chain.BlockRef, bool) {
	for i := range b.Chains {
		if st := &b.Chains[i]; st.Chain == id && len(st.Recent) > 0 {
			return st.Recent[len(st.Recent)-1], true
		}
	}
	return chain.BlockRef{}, false
}

// takeChain is S4 for the cursor: it stands on blocks that there were, each the
// parent of the next.
func (o *Oracle) takeChain(b *bursar.Batch, st *bursar.ChainState) error {
	m := o.m
	old := m.chains[st.Chain]
	m.chains[st.Chain] = st
	if len(st.Recent) > 0 && !m.started {
		// It begins at the head, with a window of older blocks: what came in those is part
		// of the balances that it opens its accounts with.
		m.start, m.started = st.Recent[len(st.Recent)-1].Height, true
	}
	if old == nil {
		old = &bursar.ChainState{}
	}
	if len(st.Recent) > 0 && len(old.Recent) > 0 {
		// A branch that leaves below where it began is read from there.
		m.start = min(m.start, height(old)+1-gone(old, st))
	}
	from := m.breaks(old, st, o.cfg.Confirmations)
	if o.replaying {
		return nil
	}
	if err := follows("S7", "chain", string(st.Chain), old.Version, st.Version); err != nil {
		return err
	}
	if st.Final < old.Final && st.Final != 0 { // a rebuilt store begins at 0
		return broken("S4", "the final height of %s fell from %d to %d", st.Chain, old.Final, st.Final)
	}
	if len(st.Recent) == 0 {
		return nil
	}
	last := st.Recent[len(st.Recent)-1]
	if len(old.Recent) > 0 && old.Recent[len(old.Recent)-1].Hash == last.Hash {
		return nil // the same cursor was looked at before
	}
	if len(b.Fences) == 0 {
		return broken("S6", "the cursor of %s was moved without a lease", st.Chain)
	}
	if n := gone(old, st); n > 0 && n >= o.cfg.Confirmations && st.Halted == "" {
		return broken("S4", "%s left %d blocks, %d make a confirmation, and it goes on", st.Chain, n, o.cfg.Confirmations)
	}
	if old.Halted == deepReorg && st.Halted == "" && (st.Final < from || !o.isFinal(from)) {
		return broken("S4", "%s goes on after a deep reorg at final height %d, the new branch begins to count at %d", st.Chain, st.Final, from)
	}
	return o.chained(st)
}

// deepReorg is why a chain is halted after a reorg of confirmed blocks.
const deepReorg = "deep_reorg"

// breaks follows what a deep reorg asks for: that the new branch is final beyond
// the height at which the old one was left. It returns what was asked for until now.
func (m *model) breaks(old, st *bursar.ChainState, confirmations uint64) (from uint64) {
	from = m.broke[st.Chain]
	if st.Halted == "" {
		delete(m.broke, st.Chain)
	} else if len(st.Recent) > 0 && gone(old, st) >= max(1, confirmations) {
		m.broke[st.Chain] = max(from, height(old)+1)
	}
	return from
}

// gone counts the blocks of the old cursor that are not under the new one.
func gone(old, st *bursar.ChainState) (n uint64) {
	for _, ref := range old.Recent {
		from := st.Recent[0].Height
		if i := ref.Height - from; ref.Height >= from && (i >= uint64(len(st.Recent)) || st.Recent[i].Hash != ref.Hash) {
			n++
		}
	}
	return n
}

// chained checks the blocks of a cursor against those of the chain.
func (o *Oracle) chained(st *bursar.ChainState) error {
	for i, ref := range st.Recent {
		known, ok := o.truth.block(ref.Hash)
		if !ok || known.Height != ref.Height || known.Parent != ref.Parent || !known.Time.Equal(ref.Time) {
			return broken("S4", "the scanned block %d %s is none of the chain's", ref.Height, ref.Hash)
		}
		if i > 0 && st.Recent[i-1].Hash != ref.Parent {
			return broken("S4", "there is a gap in what was scanned before block %d %s", ref.Height, ref.Hash)
		}
	}
	return nil
}

// placed is S4 for a transaction's row: a live one stands in a block that holds
// its transfer, and a confirmed or final one is as deep as that asks for.
func (o *Oracle) placed(b *bursar.Batch, old, t *bursar.Transaction) error {
	if !t.Live() {
		return nil
	}
	moved := old.BlockHash != t.BlockHash || !old.Live()
	if moved {
		if err := o.observed(t); err != nil {
			return err
		}
	}
	if t.Type == bursar.TypeIncoming && t.Status == bursar.TxConfirmed && (moved || old.Status != bursar.TxConfirmed) {
		if err := o.deep(b, "transaction "+t.ID, t.Chain, t.Block, t.BlockHash, max(t.Required, o.cfg.Confirmations)); err != nil {
			return err
		}
	}
	if t.Final && (moved || !old.Final) {
		return o.final("transaction "+t.ID, t.Chain, t.Block)
	}
	return nil
}

// observed compares a row with the transfer in its block.
func (o *Oracle) observed(t *bursar.Transaction) error {
	c := o.truth.in(t.BlockHash)
	if c == nil {
		return broken("S4", "transaction %s lies in block %s, which never was", t.ID, t.BlockHash)
	}
	if at, _ := o.truth.block(t.BlockHash); at.Height != t.Block {
		return broken("S4", "transaction %s lies in block %s at height %d, not %d", t.ID, t.BlockHash, at.Height, t.Block)
	}
	tr, ok := c.transfers[t.Transfer]
	if t.Type != bursar.TypeIncoming {
		if _, ok = c.txs[t.Transfer.Tx]; !ok {
			return broken("S4", "block %s holds no transaction %s", t.BlockHash, t.Transfer.Tx)
		}
		return nil
	}
	if t.Via != chain.ViaDirect && t.Via != "" {
		return c.brought(t)
	}
	same := tr.To == t.To && tr.Asset == t.Asset && (tr.Amount == t.Amount || t.Suspense && t.Amount.Less(tr.Amount))
	if !ok || !same {
		return broken("S4", "block %s holds no transfer %s of %s %s to %s", t.BlockHash, t.Transfer, t.Amount, t.Asset, t.To)
	}
	return nil
}

// deep checks that a block has its confirmations under the cursor that the same
// batch writes.
func (o *Oracle) deep(b *bursar.Batch, what string, id chain.ID, height uint64, hash chain.BlockHash, k uint64) error {
	at, ok := tip(b, id)
	if !ok {
		return broken("S4", "%s was confirmed by a commit that scanned nothing", what)
	}
	if at.Height+1 < height+k {
		return broken("S4", "%s in block %d was confirmed at height %d, it asks for %d confirmations", what, height, at.Height, k)
	}
	if !o.truth.under(at.Hash, hash, height) {
		return broken("S4", "%s in block %d %s was confirmed on the branch of %s, which does not hold it", what, height, hash, at.Hash)
	}
	if st := o.m.chains[id]; st != nil && st.Halted != "" {
		return broken("S4", "%s was confirmed while %s was halted: %s", what, id, st.Halted)
	}
	return nil
}

// final checks a claim of finality against the highest block there ever was.
func (o *Oracle) final(what string, id chain.ID, height uint64) error {
	if !o.isFinal(height) {
		return broken("S4", "%s in block %d of %s is called final, the highest block is %d", what, height, id, o.truth.highest)
	}
	return nil
}

// isFinal reports whether a height can be final: where a test sets the finalized
// block by itself, any can.
func (o *Oracle) isFinal(height uint64) bool {
	o.truth.highest = max(o.truth.highest, o.truth.chain.Head().Height)
	return o.cfg.Finality == 0 || o.truth.highest+1 >= height+o.cfg.Finality
}

// carried is S4 for a payout: the block it names holds its transaction, which moved
// what the payout says.
func (o *Oracle) carried(_ *bursar.Batch, old, p *bursar.Payout) error {
	if p.BlockHash == "" {
		if !p.Moved.IsZero() {
			return broken("S4", "payout %s lies in no block, and says that it moved %s", p.ID, p.Moved)
		}
		return nil
	}
	if p.BlockHash != old.BlockHash || p.TxID != old.TxID {
		c := o.truth.in(p.BlockHash)
		if c == nil {
			return broken("S4", "payout %s lies in block %s, which never was", p.ID, p.BlockHash)
		}
		tx, ok := c.txs[p.TxID]
		if !ok {
			return broken("S4", "block %s holds no transaction %s of payout %s", p.BlockHash, p.TxID, p.ID)
		}
		if err := carries(tx, p); err != nil {
			return err
		}
	}
	if p.Status == bursar.PayoutConfirmed && old.Status != bursar.PayoutConfirmed {
		return o.final("payout "+p.ID, p.Chain, p.Block)
	}
	return nil
}
