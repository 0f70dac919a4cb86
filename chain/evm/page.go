package evm

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/bursar-go/bursar/chain"
)

// Transfers reads a page of blocks with all that concerns w. Near the head it
// takes two HTTP requests, or one for the block that Head named last; a third
// one where the second shows that more is needed. Far below the head it reads
// in the cheapest sound way that the node has, see Capabilities, and both halves of
// a page at once. Where an answer is too large for the node or for MaxResponse it asks for half of the blocks,
// and remembers that.
func (c *Client) Transfers(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
	n, err := c.pageSize(from, to)
	if err != nil {
		return chain.Page{}, err
	}
	if w == nil {
		return chain.Page{}, &chain.FormatError{What: "watch", Reason: "nil"}
	}
	listed, err := listedTokens(c.cfg.Preset, w.Assets())
	if err != nil {
		return chain.Page{}, err
	}
	c.learn(listed)
	if limit := c.page.Load(); limit > 0 {
		n = min(n, int(limit))
	}
	n = c.settledPart(from, n)
	for {
		page, err := c.readPage(ctx, from, n, w, listed)
		switch {
		case err == nil:
			grow(&c.page, n, c.Info().PageBlocks)
			return page, nil
		case n == 1 || !isTooLarge(err) && !isLate(err):
			return chain.Page{}, readError(err)
		}
		n /= 2
		c.page.Store(uint64(n))
	}
}

// learn remembers tokens for Status, which is given none.
func (c *Client) learn(listed *tokenTable) {
	for {
		old := c.listed.Load()
		all := old.union(listed)
		if all == old || c.listed.CompareAndSwap(old, all) {
			return
		}
	}
}

// pageReader holds what one page needs while it is put together. It is reused,
// because its lists are by far the largest things this package allocates.
type pageReader struct {
	client *Client
	watch  chain.Watch
	listed *tokenTable
	plan   plan
	blocks []block
	logs   [][]logObject // for each block
	hits   []hit
	page   chain.Page
	root   rootBuilder
	// settled is true once logs has all there is.
	settled bool
	// whole are the places of blocks that must be read in full.
	whole []int
}

// hit is a transaction whose receipt is needed.
type hit struct {
	block, index int
	tx           transactionObject
	// key is the receiver's number where received is true, and spent is true
	// where the sender is watched.
	key             uint32
	received, spent bool
	// logged is true once the log of the transaction's own value was met.
	logged bool
	// inner are what calls inside of the transaction paid to watched receivers.
	inner   []chain.Transfer
	receipt receipt
}

func (c *Client) readPage(ctx context.Context, from uint64, n int, w chain.Watch, listed *tokenTable) (chain.Page, error) {
	page, err := c.readBy(ctx, from, n, w, listed, true)
	if errors.Is(err, errUnsuited) {
		page, err = c.readBy(ctx, from, n, w, listed, false)
	}
	return page, err
}

// readBy reads a page; where probing is true, by balances if that makes sense.
func (c *Client) readBy(ctx context.Context, from uint64, n int, w chain.Watch, listed *tokenTable, probing bool) (chain.Page, error) {
	p := c.reader(w, listed)
	defer c.release(p)
	if err := p.makePlan(ctx, from, n, probing); err != nil {
		return chain.Page{}, err
	}
	rest := p.plan.halve(n)
	if rest == 0 {
		return p.read(ctx)
	}
	second := c.reader(w, listed)
	defer c.release(second)
	if err := second.makePlan(ctx, from+uint64(p.plan.n), rest, false); err != nil {
		return chain.Page{}, err
	}
	second.plan.halved = true
	return p.readWith(ctx, second)
}

// reader returns a reader for one page, to be given back by release.
func (c *Client) reader(w chain.Watch, listed *tokenTable) *pageReader {
	p, ok := c.readers.Get().(*pageReader)
	if !ok {
		p = new(pageReader)
	}
	p.client, p.watch, p.listed = c, w, listed
	p.hits, p.whole, p.settled = p.hits[:0], p.whole[:0], false
	return p
}

func (c *Client) release(p *pageReader) {
	p.client, p.watch, p.listed, p.page, p.plan = nil, nil, nil, chain.Page{}, plan{}
	c.readers.Put(p)
}

// readWith reads a page of which second has the other half, both at once: most
// answers depend on earlier ones, and while one half waits for the node the other
// has work for it.
func (p *pageReader) readWith(ctx context.Context, second *pageReader) (chain.Page, error) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var above chain.Page
	var fault error
	var wait sync.WaitGroup
	wait.Go(func() { above, fault = second.read(inner) })
	page, err := p.read(ctx)
	if err != nil {
		cancel()
	}
	wait.Wait()
	switch {
	case err != nil:
		return chain.Page{}, err
	case len(page.Blocks) < p.plan.n, errors.Is(fault, chain.ErrNotFound):
		return page, nil // the node's branch ends here
	case fault != nil:
		return chain.Page{}, fault
	}
	if err := second.blocks[0].follows(&p.blocks[len(p.blocks)-1].header, second.plan.from); err != nil {
		return chain.Page{}, err
	}
	page.Blocks = append(page.Blocks, above.Blocks...)
	page.Transfers = append(page.Transfers, above.Transfers...)
	page.Spends = append(page.Spends, above.Spends...)
	return page, nil
}

// read reads the page that is planned.
func (p *pageReader) read(ctx context.Context) (chain.Page, error) {
	for _, step := range []func(context.Context) error{p.readBlocks, p.readRest, p.readReceipts, p.verify} {
		if err := step(ctx); err != nil {
			p.blame(err)
			return chain.Page{}, err
		}
	}
	err := p.assemble()
	return p.page, err
}

// addHit begins a hit, with the memory of one of an earlier page.
func (p *pageReader) addHit(h hit) {
	if len(p.hits) < cap(p.hits) {
		h.receipt.logs = p.hits[:len(p.hits)+1][len(p.hits)].receipt.logs
	}
	p.hits = append(p.hits, h)
}

// receiptCalls asks for the receipts of the hits from first on.
func (p *pageReader) receiptCalls(calls []*call, first int) []*call {
	for i := first; i < len(p.hits); i++ {
		h := &p.hits[i]
		calls = append(calls, newCall("eth_getTransactionReceipt", func(s *scanner) { s.receipt(&h.receipt, p.listed) }, hexHash(&h.tx.hash)))
		if h.spent && (p.plan.source == NativeTrace || p.plan.detail == NativeTrace) {
			// A trace has no nonce.
			calls = append(calls, newCall("eth_getTransactionByHash", func(s *scanner) { s.minedTransaction(&h.tx) }, hexHash(&h.tx.hash)))
		}
	}
	return calls
}

// checkReceipts checks the receipts of all hits. A mined transaction without a
// receipt is a node whose index lags behind, not a failed transaction.
func (p *pageReader) checkReceipts() error {
	for i := range p.hits {
		if err := p.checkReceipt(&p.hits[i]); err != nil {
			return err
		}
	}
	return nil
}

func (p *pageReader) checkReceipt(h *hit) error {
	b, t, r := &p.blocks[h.block], &h.tx, &h.receipt
	bad := func(reason string) error { return &IncoherentError{Height: b.height, Reason: reason} }
	switch {
	case r.missing:
		return bad("a mined transaction has no receipt yet")
	case r.txHash != b.hashAt(h.index) || t.hash != r.txHash:
		return bad("the receipt of another transaction")
	case r.blockHash != b.hash:
		return &ReorgError{Height: b.height, Reason: "a receipt names another block"}
	case r.height != b.height || r.index != uint64(h.index) || r.from != t.from:
		return bad("a receipt contradicts its transaction")
	case len(h.inner) > 0 && !r.ok:
		return bad("a failed transaction with calls that lasted")
	}
	if err := r.checkLogs(); err != nil {
		return err
	}
	// The two ways to the same logs must agree: a list that a provider cut
	// short would show here.
	if len(p.listed.contracts) > 0 && p.countLogs(p.logs[h.block], r.index) != p.countLogs(r.logs, r.index) {
		return bad("the receipt has other logs than the block")
	}
	return nil
}

// countLogs returns how many Transfer logs a transaction has in an ordered list,
// as far as the block's logs were asked for.
func (p *pageReader) countLogs(logs []logObject, index uint64) int {
	first, _ := slices.BinarySearchFunc(logs, index, func(l logObject, index uint64) int { return cmp.Compare(l.txIndex, index) })
	n := 0
	for ; first < len(logs) && logs[first].txIndex == index; first++ {
		if isTransferTopic(&logs[first].topics[0]) && (!p.plan.named() || p.toWatched(&logs[first])) {
			n++
		}
	}
	return n
}

// toWatched reports whether the log's third topic is a watched receiver.
func (p *pageReader) toWatched(l *logObject) bool {
	if l.topicCount < 3 || !isAddressWord(&l.topics[2]) {
		return false
	}
	to := l.to()
	_, ok := p.watch.Match(to[:])
	return ok
}

// assemble turns what was read into the page's transfers and spends.
func (p *pageReader) assemble() error {
	for i := range p.hits {
		h := &p.hits[i]
		if h.received && h.receipt.ok {
			native := p.client.native(&h.tx, &h.receipt, p.page.Blocks[h.block].Hash)
			native.Key = h.key
			p.page.Transfers = append(p.page.Transfers, native)
		}
		if !p.client.cfg.Preset.CoinLogs { // else the logs tell, whatever the node
			p.page.Transfers = append(p.page.Transfers, h.inner...)
		}
		if h.spent {
			status, err := p.client.minedStatus(&h.tx, &h.receipt, p.page.Blocks[h.block], p.listed)
			if err != nil {
				return err
			}
			p.page.Spends = append(p.page.Spends, status)
		}
	}
	if len(p.listed.contracts) > 0 {
		for i := range p.blocks {
			p.tokenTransfers(i)
		}
	}
	slices.SortFunc(p.page.Transfers, func(x, y chain.Transfer) int {
		return cmp.Or(cmp.Compare(x.Block, y.Block), cmp.Compare(x.TxIndex, y.TxIndex), strings.Compare(x.ID.Ordinal, y.ID.Ordinal))
	})
	// Blocks that were read in full came after the others.
	slices.SortStableFunc(p.page.Spends, func(x, y chain.TxStatus) int {
		return cmp.Or(cmp.Compare(x.Block.Height, y.Block.Height), cmp.Compare(x.TxIndex, y.TxIndex))
	})
	return nil
}
