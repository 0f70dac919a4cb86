package evm

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// Transfers reads a page of blocks with all that concerns w. It takes two HTTP
// requests, and a third one where a watched account received or signed
// something. Where an answer is too large for the node or for MaxResponse it
// asks for half of the blocks, and remembers that.
func (c *Client) Transfers(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
	n, err := c.pageSize(from, to)
	if err != nil {
		return chain.Page{}, err
	}
	if w == nil {
		return chain.Page{}, &chain.FormatError{What: "watch", Reason: "nil"}
	}
	listed, err := newTokenTable(c.Info().ID, w.Assets())
	if err != nil {
		return chain.Page{}, err
	}
	c.learn(listed)
	if limit := c.page.Load(); limit > 0 {
		n = min(n, int(limit))
	}
	for {
		page, err := c.readPage(ctx, from, n, w, listed)
		switch {
		case err == nil:
			c.relax(n)
			return page, nil
		case n == 1 || !isTooLarge(err):
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

// relax lets pages grow again by a block for each one that worked at the limit:
// a stretch of full blocks ends some day.
func (c *Client) relax(n int) {
	limit := c.page.Load()
	switch {
	case limit == 0 || uint64(n) < limit:
	case limit+1 >= c.Info().PageBlocks:
		c.page.CompareAndSwap(limit, 0)
	default:
		c.page.CompareAndSwap(limit, limit+1)
	}
}

// pageReader holds what one page needs while it is put together. It is reused,
// because its lists are by far the largest things this package allocates.
type pageReader struct {
	client *Client
	watch  chain.Watch
	listed *tokenTable
	blocks []block
	logs   [][]logObject // for each block
	hits   []hit
	page   chain.Page
}

// hit is a transaction whose receipt is needed.
type hit struct {
	block, tx int
	// key is the receiver's number where received is true, and spent is true
	// where the sender is watched.
	key             uint32
	received, spent bool
	receipt         receipt
}

func (c *Client) readPage(ctx context.Context, from uint64, n int, w chain.Watch, listed *tokenTable) (chain.Page, error) {
	p, ok := c.readers.Get().(*pageReader)
	if !ok {
		p = new(pageReader)
	}
	p.client, p.watch, p.listed, p.hits = c, w, listed, p.hits[:0]
	defer func() {
		p.client, p.watch, p.listed, p.page = nil, nil, nil, chain.Page{}
		c.readers.Put(p)
	}()
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return p.readBlocks(ctx, from, n) },
		p.readLogs,
		p.readReceipts,
	} {
		if err := step(ctx); err != nil {
			return chain.Page{}, err
		}
	}
	if err := p.assemble(); err != nil {
		return chain.Page{}, err
	}
	return p.page, nil
}

// readBlocks reads up to n full blocks and checks that they form a chain.
func (p *pageReader) readBlocks(ctx context.Context, from uint64, n int) error {
	p.blocks = slices.Grow(p.blocks[:0], n)[:n]
	calls := make([]*call, n)
	for i := range calls {
		b := &p.blocks[i]
		calls[i] = newCall("eth_getBlockByNumber", func(s *scanner) { s.block(b) }, hexQuantity(from+uint64(i)), true)
	}
	if err := p.client.do(ctx, calls...); err != nil {
		return err
	}
	for i := range p.blocks {
		switch err := calls[i].err; {
		case isUnknownBlock(err), err == nil && p.blocks[i].missing:
			// The node's branch ends here. What is above does not exist for it.
			p.blocks = p.blocks[:i]
			if i == 0 {
				return fmt.Errorf("evm: block %d: %w", from, chain.ErrNotFound)
			}
			return nil
		case err != nil:
			return err
		}
		if err := p.checkBlock(i, from+uint64(i)); err != nil {
			return err
		}
	}
	return nil
}

func (p *pageReader) checkBlock(i int, height uint64) error {
	b := &p.blocks[i]
	var before *header
	if i > 0 {
		before = &p.blocks[i-1].header
	}
	if err := b.follows(before, height); err != nil {
		return err
	}
	p.page.Blocks = append(p.page.Blocks, b.ref())
	for j := range b.list {
		t := &b.list[j]
		if t.blockHash != b.hash {
			return &IncoherentError{Height: height, Reason: "a transaction of another block in its list"}
		}
		p.match(i, j, t)
	}
	return nil
}

// match looks for watched parties. A receiver counts only where value moves,
// which most transactions of a busy chain do not do.
func (p *pageReader) match(i, j int, t *transactionObject) {
	h := hit{block: i, tx: j}
	if !t.creates && t.value != [32]byte{} {
		h.key, h.received = p.watch.Match(t.to[:])
	}
	_, h.spent = p.watch.Match(t.from[:])
	if !h.received && !h.spent {
		return
	}
	if len(p.hits) < cap(p.hits) {
		// Keep the list of logs that an earlier page left there.
		h.receipt.logs = p.hits[:len(p.hits)+1][len(p.hits)].receipt.logs
	}
	p.hits = append(p.hits, h)
}

// readLogs reads the Transfer logs of the listed tokens by block hash, together
// with the number of transactions of the last block. That number is the cheap
// question that a node which does not have the page's branch cannot answer;
// some answer the question for logs of an unknown block with an empty list.
func (p *pageReader) readLogs(ctx context.Context) error {
	for len(p.logs) < len(p.blocks) {
		p.logs = append(p.logs, nil)
	}
	if len(p.listed.contracts) == 0 {
		return nil
	}
	contracts := make([]string, len(p.listed.contracts))
	for i, raw := range p.listed.contracts {
		contracts[i] = string(checksummed(raw))
	}
	calls := make([]*call, len(p.blocks), len(p.blocks)+1)
	listed := make([]bool, len(p.blocks))
	for i := range p.blocks {
		calls[i] = newCall("eth_getLogs", func(s *scanner) {
			p.logs[i], listed[i] = s.logs(p.logs[i][:0], nil)
		}, map[string]any{"blockHash": p.page.Blocks[i].Hash, "address": contracts, "topics": []string{transferTopic}})
	}
	last := &p.blocks[len(p.blocks)-1]
	var txs uint64
	known := false
	calls = append(calls, newCall("eth_getBlockTransactionCountByHash", func(s *scanner) {
		if known = !s.isNull(); known {
			txs = s.uint64()
		}
	}, p.page.Last().Hash))
	if err := p.client.do(ctx, calls...); err != nil {
		return err
	}
	for i, r := range calls {
		height := p.blocks[min(i, len(p.blocks)-1)].height
		switch {
		case isUnknownBlock(r.err):
			return &ReorgError{Height: height, Reason: "the node no longer knows its hash"}
		case r.err != nil:
			return r.err
		case i < len(listed) && !listed[i]:
			return &ReorgError{Height: height, Reason: "the node has no list of logs for its hash"}
		}
	}
	switch {
	case !known:
		return &ReorgError{Height: last.height, Reason: "the node no longer knows its hash"}
	case txs != uint64(len(last.list)):
		return &IncoherentError{Height: last.height, Reason: fmt.Sprintf("%d transactions, then %d", len(last.list), txs)}
	}
	for i := range p.blocks {
		if err := p.checkLogs(i); err != nil {
			return err
		}
	}
	return nil
}

// checkLogs checks that every log answers the question and belongs to the block
// that was read, and leaves each one once, in the order of the block.
func (p *pageReader) checkLogs(i int) error {
	b := &p.blocks[i]
	bad := func(reason string) error { return &IncoherentError{Height: b.height, Reason: reason} }
	logs := slices.DeleteFunc(p.logs[i], func(l logObject) bool { return l.removed })
	p.client.stats.removed.Add(uint64(len(p.logs[i]) - len(logs)))
	inOrder := func(x, y logObject) int { return cmp.Compare(x.logIndex, y.logIndex) }
	if !slices.IsSortedFunc(logs, inOrder) {
		slices.SortStableFunc(logs, inOrder)
	}
	unique := slices.CompactFunc(logs, func(x, y logObject) bool { return x == y })
	p.client.stats.duplicate.Add(uint64(len(logs) - len(unique)))
	for j := range unique {
		l := &unique[j]
		_, listed := p.listed.ids[l.address]
		switch {
		case l.blockHash != b.hash:
			return bad("a log of another block")
		case !listed:
			return bad("a log of a contract that was not asked for")
		case l.txIndex >= uint64(len(b.list)) || b.list[l.txIndex].hash != l.txHash:
			return bad("a log of a transaction that is not there")
		case j > 0 && l.logIndex == unique[j-1].logIndex:
			return bad("two logs with one index")
		case j > 0 && l.txIndex < unique[j-1].txIndex:
			return bad("logs in another order than their transactions")
		}
	}
	p.logs[i] = unique
	return nil
}

// readReceipts reads the receipts of all hits. A mined transaction without a
// receipt is a node whose index lags behind, not a failed transaction.
func (p *pageReader) readReceipts(ctx context.Context) error {
	if len(p.hits) == 0 {
		return nil
	}
	calls := make([]*call, len(p.hits))
	for i := range p.hits {
		h := &p.hits[i]
		hash := hexHash(&p.tx(h).hash)
		calls[i] = newCall("eth_getTransactionReceipt", func(s *scanner) { s.receipt(&h.receipt, p.listed) }, hash)
	}
	if err := p.client.all(ctx, calls...); err != nil {
		return err
	}
	for i := range p.hits {
		if err := p.checkReceipt(&p.hits[i]); err != nil {
			return err
		}
	}
	return nil
}

func (p *pageReader) tx(h *hit) *transactionObject { return &p.blocks[h.block].list[h.tx] }

func (p *pageReader) checkReceipt(h *hit) error {
	b, t, r := &p.blocks[h.block], p.tx(h), &h.receipt
	bad := func(reason string) error { return &IncoherentError{Height: b.height, Reason: reason} }
	switch {
	case r.missing:
		return bad("a mined transaction has no receipt yet")
	case r.txHash != t.hash:
		return bad("the receipt of another transaction")
	case r.blockHash != b.hash:
		return &ReorgError{Height: b.height, Reason: "a receipt names another block"}
	case r.height != b.height || r.index != uint64(h.tx) || r.from != t.from:
		return bad("a receipt contradicts its transaction")
	}
	if err := r.checkLogs(); err != nil {
		return err
	}
	// The two ways to the same logs must agree: a list that a provider cut
	// short would show here.
	if len(p.listed.contracts) > 0 && countLogs(p.logs[h.block], r.index) != len(r.logs) {
		return bad("the receipt has other logs than the block")
	}
	return nil
}

// countLogs returns how many Transfer logs a transaction has in an ordered list.
func countLogs(logs []logObject, index uint64) int {
	first, _ := slices.BinarySearchFunc(logs, index, func(l logObject, index uint64) int { return cmp.Compare(l.txIndex, index) })
	n := 0
	for ; first < len(logs) && logs[first].txIndex == index; first++ {
		if isTransferTopic(&logs[first].topics[0]) {
			n++
		}
	}
	return n
}

// assemble turns what was read into the page's transfers and spends.
func (p *pageReader) assemble() error {
	for i := range p.hits {
		h := &p.hits[i]
		if h.received && h.receipt.ok {
			native := p.client.native(p.tx(h), &h.receipt, p.page.Blocks[h.block].Hash)
			native.Key = h.key
			p.page.Transfers = append(p.page.Transfers, native)
		}
		if h.spent {
			status, err := p.client.minedStatus(p.tx(h), &h.receipt, p.page.Blocks[h.block], p.listed)
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
	return nil
}

// tokenTransfers appends a block's transfers of listed tokens to watched
// receivers.
func (p *pageReader) tokenTransfers(i int) {
	var counts ordinals
	for j := range p.logs[i] {
		l := &p.logs[i][j]
		if !l.isTransfer() {
			p.client.stats.odd.Add(1)
			continue
		}
		to := l.to()
		key, ok := p.watch.Match(to[:])
		if !ok {
			continue
		}
		t := counts.transfer(l, p.listed, p.blocks[i].height)
		if t.Amount.IsZero() {
			p.client.stats.zero.Add(1)
			continue
		}
		t.Key = key
		p.page.Transfers = append(p.page.Transfers, t)
	}
}

// ordinals numbers the transfers of a token to a receiver inside their
// transaction. Transfers of nothing are numbered too: a transaction that is
// executed again may move another amount, and the transfers behind it must keep
// their names.
type ordinals map[ordinalKey]uint64

type ordinalKey struct {
	tx        uint64
	token, to [addressLength]byte
}

// transfer turns a log of the right shape into a transfer. It must see every
// such log to a receiver, in the order of the block.
func (o *ordinals) transfer(l *logObject, listed *tokenTable, height uint64) chain.Transfer {
	if *o == nil {
		*o = ordinals{}
	}
	key := ordinalKey{tx: l.txIndex, token: l.address, to: l.to()}
	k := (*o)[key]
	(*o)[key] = k + 1
	token, to := listed.ids[l.address], checksummed(l.to())
	return chain.Transfer{
		ID: chain.TransferID{
			Tx:      chain.TxID(hexHash(&l.txHash)),
			Ordinal: "t:" + string(token.contract) + ":" + string(to) + ":" + strconv.FormatUint(k, 10),
		},
		Asset:   token.id,
		From:    checksummed(l.from()),
		To:      to,
		Amount:  amountOfWord(&l.data),
		Block:   height,
		Hash:    chain.BlockHash(hexHash(&l.blockHash)),
		TxIndex: uint32(l.txIndex),
		Via:     chain.ViaDirect,
	}
}
