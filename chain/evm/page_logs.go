package evm

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// logQuery asks for the Transfer logs of the listed tokens in one block.
func (p *pageReader) logsByHash(i int, contracts []string, found *bool) *call {
	return newCall("eth_getLogs", func(s *scanner) {
		p.logs[i], *found = s.logs(p.logs[i][:0], nil)
	}, map[string]any{"blockHash": p.page.Blocks[i].Hash, "address": contracts, "topics": []string{transferTopic}})
}

// contracts lists the listed tokens.
func (p *pageReader) contracts() []string {
	out := make([]string, len(p.listed.contracts))
	for i, raw := range p.listed.contracts {
		out[i] = string(checksummed(raw))
	}
	return out
}

// transferCount asks how many transactions a block has, by its hash. It is the
// cheap question that a node which does not have the page's branch cannot
// answer; some answer the question for logs of an unknown block with an empty
// list.
type transferCount struct {
	txs   uint64
	known bool
}

func (t *transferCount) call(hash any) *call {
	return newCall("eth_getBlockTransactionCountByHash", func(s *scanner) {
		if t.known = !s.isNull(); t.known {
			t.txs = s.uint64()
		}
	}, hash)
}

func (t *transferCount) check(r *call, b *block) error {
	switch {
	case isUnknownBlock(r.err), r.err == nil && !t.known:
		return &ReorgError{Height: b.height, Reason: "the node no longer knows its hash"}
	case r.err != nil:
		return r.err
	case !b.light && t.txs != uint64(b.count()):
		return &IncoherentError{Height: b.height, Reason: fmt.Sprintf("%d transactions, then %d", b.count(), t.txs)}
	}
	return nil
}

// rest is what the second request of a page brings.
type rest struct {
	full  []block
	found []bool // for each block of asked, whether there was a list
	asked []int  // blocks whose logs are asked for by hash
	count transferCount
}

// readRest reads what the first request left open: logs by block hash, blocks
// that must be read in full, and receipts where all of their transactions are
// known by now. Often nothing is left.
func (p *pageReader) readRest(ctx context.Context) error {
	var r rest
	tokens := len(p.listed.contracts) > 0
	switch {
	case !tokens, p.settled && !p.plan.byRange:
	case p.settled:
		r.asked = p.doubtful()
	default:
		for i := range p.blocks {
			r.asked = append(r.asked, i)
		}
	}
	r.found, r.full = make([]bool, len(r.asked)), make([]block, len(p.whole))
	var calls []*call
	contracts := p.contracts()
	for k, i := range r.asked {
		calls = append(calls, p.logsByHash(i, contracts, &r.found[k]))
	}
	counted := tokens && (!p.settled || p.plan.byRange)
	if counted {
		calls = append(calls, r.count.call(p.page.Last().Hash))
	}
	full := len(calls)
	calls = p.wholeCalls(calls, r.full)
	receipts := len(calls)
	early := len(p.whole) == 0 && (p.plan.byRange || p.settled)
	if early {
		calls = p.receiptCalls(calls, 0)
	}
	if len(calls) == 0 {
		return nil
	}
	if err := p.client.do(ctx, calls...); err != nil {
		return err
	}
	if err := p.takeLogs(&r, calls); err != nil {
		return err
	}
	if counted {
		if err := r.count.check(calls[full-1], &p.blocks[len(p.blocks)-1]); err != nil {
			return err
		}
	}
	for _, receipt := range calls[receipts:] {
		if receipt.err != nil {
			return receipt.err
		}
	}
	if err := p.takeWhole(calls[full:receipts], r.full); err != nil {
		return err
	}
	p.plan.receipts = early
	return p.lastDoubts(ctx, &r)
}

// takeLogs takes the answers by block hash.
func (p *pageReader) takeLogs(r *rest, calls []*call) error {
	for k, i := range r.asked {
		height := p.blocks[i].height
		switch err := calls[k].err; {
		case isUnknownBlock(err):
			return &ReorgError{Height: height, Reason: "the node no longer knows its hash"}
		case err != nil:
			return err
		case !r.found[k]:
			return &ReorgError{Height: height, Reason: "the node has no list of logs for its hash"}
		}
		if err := p.checkLogs(i); err != nil {
			return err
		}
	}
	return nil
}

// readReceipts reads the receipts that were not read before, and checks all of
// them.
func (p *pageReader) readReceipts(ctx context.Context) error {
	if !p.plan.receipts && len(p.hits) > 0 {
		if err := p.client.all(ctx, p.receiptCalls(nil, 0)...); err != nil {
			return err
		}
	}
	return p.checkReceipts()
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
	var hash [32]byte // of the transaction of the log before
	for j := range unique {
		l := &unique[j]
		_, listed := p.listed.ids[l.address]
		if l.txIndex < uint64(b.count()) && (j == 0 || l.txIndex != unique[j-1].txIndex) {
			hash = b.hashAt(int(l.txIndex))
		}
		switch {
		case l.blockHash != b.hash:
			return bad("a log of another block")
		case !listed:
			return bad("a log of a contract that was not asked for")
		case !b.light && (l.txIndex >= uint64(b.count()) || hash != l.txHash):
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
