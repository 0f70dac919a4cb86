package chaintest

import "github.com/bursar-go/bursar/chain"

// BlockByHash returns a block of any branch, abandoned ones included.
func (c *Chain) BlockByHash(hash chain.BlockHash) (chain.BlockRef, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.blocks[hash]
	if !ok {
		return chain.BlockRef{}, false
	}
	return b.ref, true
}

// TransactionsIn is Transactions for a block of any branch, by its hash.
func (c *Chain) TransactionsIn(hash chain.BlockHash) ([]chain.TxStatus, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.blocks[hash]
	if !ok {
		return nil, false
	}
	view, tokens := c.Client(), idsOf(c.tokens)
	out := make([]chain.TxStatus, 0, len(b.txs))
	for _, r := range b.txs {
		out = append(out, view.status(r, tokens))
	}
	return out, true
}
