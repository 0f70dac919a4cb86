package evm

import (
	"context"
	"fmt"
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// readBlocks reads the page's blocks and checks that they form a chain. What can
// be asked at the same time goes into the same request: the logs of a range, or
// those of the block that Head named.
func (p *pageReader) readBlocks(ctx context.Context) error {
	p.blocks = slices.Grow(p.blocks[:0], p.plan.n)[:p.plan.n]
	for len(p.logs) < p.plan.n {
		p.logs = append(p.logs, nil)
	}
	calls := p.blockCalls()
	blocks := len(calls)
	anchor, anchored := p.anchorCall(&calls)
	logs := len(calls)
	questions := p.firstLogs(&calls)
	if err := p.client.do(ctx, calls...); err != nil {
		return err
	}
	if err := p.cut(calls[:blocks]); err != nil {
		return err
	}
	if anchored {
		if err := p.checkAnchor(calls[blocks], anchor); err != nil {
			return err
		}
	}
	for i := range p.blocks {
		if err := p.checkBlock(i, p.plan.from+uint64(i)); err != nil {
			return err
		}
	}
	p.weigh()
	if err := p.takeFirstLogs(questions, calls[logs:]); err != nil || p.plan.source != NativeProbe {
		return err
	}
	return p.readMoved(ctx)
}

// blockCalls asks for the blocks by number: which blocks are there now is the
// question.
func (p *pageReader) blockCalls() []*call {
	calls := make([]*call, 0, 2*p.plan.n+2)
	for i := range p.plan.n {
		b := &p.blocks[i]
		b.list, b.traces, b.rawTxs, b.opaque, b.missing, b.light = b.list[:0], b.traces[:0], b.rawTxs[:0], false, false, false
		b.isRaw = p.plan.source == NativeRaw
		at := hexQuantity(p.plan.from + uint64(i))
		switch p.plan.source {
		case NativeRaw:
			calls = append(calls, newCall("debug_getRawBlock", func(s *scanner) { s.rawBlock(b) }, at))
		case NativeTrace:
			calls = append(calls, newCall("eth_getBlockByNumber", func(s *scanner) { s.hashes(b) }, at, false))
		case NativeProbe:
			calls = append(calls, p.lightCall(b, at))
		default:
			calls = append(calls, newCall("eth_getBlockByNumber", func(s *scanner) { s.block(b) }, at, true))
		}
	}
	if p.plan.source == NativeTrace {
		for i := range p.plan.n {
			calls = append(calls, p.traceCall(&p.blocks[i], p.plan.from+uint64(i)))
		}
	}
	return calls
}

// traceCall asks for what happened inside of a block's transactions.
func (p *pageReader) traceCall(b *block, at uint64) *call {
	b.noTraces = false
	return newCall("trace_block", func(s *scanner) {
		var ok bool
		if b.traces, ok = s.traces(b.traces[:0]); !ok {
			b.noTraces = true
		}
	}, hexQuantity(at))
}

// anchorCall asks for the block that the nonces of our accounts are of, since
// they count for this branch only as long as it is in it.
func (p *pageReader) anchorCall(calls *[]*call) (*block, bool) {
	if p.plan.signers == nil {
		return nil, false
	}
	anchor := new(block)
	*calls = append(*calls, newCall("eth_getBlockByNumber", func(s *scanner) {
		anchor.missing = !s.header(&anchor.header)
	}, hexQuantity(p.plan.signers.upTo.height), false))
	return anchor, true
}

func (p *pageReader) checkAnchor(r *call, anchor *block) error {
	upTo := p.plan.signers.upTo
	if r.err != nil && !isUnknownBlock(r.err) {
		return r.err
	}
	if r.err != nil || anchor.missing || anchor.hash != upTo.hash {
		p.client.signers.Store(nil)
		return &ReorgError{Height: upTo.height, Reason: "the block that was the head is another one now"}
	}
	if top := &p.blocks[len(p.blocks)-1]; top.height == upTo.height && top.hash != upTo.hash {
		return &ReorgError{Height: upTo.height, Reason: "two blocks in one answer"}
	}
	return nil
}

// cut ends the page where the node's branch ends: what is above does not exist
// for it.
func (p *pageReader) cut(calls []*call) error {
	for i := range p.blocks {
		switch err := calls[i].err; {
		case isUnknownBlock(err), err == nil && p.blocks[i].missing:
			p.blocks = p.blocks[:i]
			if i == 0 {
				return fmt.Errorf("evm: block %d: %w", p.plan.from, chain.ErrNotFound)
			}
			return nil
		case err != nil:
			return err
		}
		if p.plan.source != NativeTrace {
			continue
		}
		if err := p.checkTraced(i, calls[p.plan.n+i].err); err != nil {
			return err
		}
	}
	return nil
}

// checkTraced looks at the answer to traceCall. A node that cannot trace a block
// may still show it in full.
func (p *pageReader) checkTraced(i int, err error) error {
	switch {
	case err != nil && (isGone(err) || isTooLarge(err)):
		return err
	case err != nil:
		p.distrustTraces(i, err.Error())
	case p.blocks[i].noTraces:
		p.distrustTraces(i, "null")
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
	switch p.plan.source {
	case NativeRaw:
		return p.matchRaw(i)
	case NativeTrace:
		return p.matchTraces(i)
	case NativeProbe:
		return nil
	}
	return p.matchFull(i, b.list)
}

// matchFull looks for watched parties in a list of whole transactions.
func (p *pageReader) matchFull(i int, list []transactionObject) error {
	b := &p.blocks[i]
	for j := range list {
		t := &list[j]
		if t.blockHash != b.hash {
			return &IncoherentError{Height: b.height, Reason: "a transaction of another block in its list"}
		}
		h := hit{block: i, index: j}
		h.key, h.received = p.receives(t.to[:], t.creates || t.value == [32]byte{})
		_, h.spent = p.watch.Match(t.from[:])
		if h.received || h.spent {
			h.tx = *t
			p.addHit(h)
		}
	}
	return nil
}

// receives looks up a receiver. It counts only where value moves, which most
// transactions of a busy chain do not do.
func (p *pageReader) receives(to []byte, nothing bool) (key uint32, ok bool) {
	if nothing {
		return 0, false
	}
	return p.watch.Match(to)
}

// count returns the number of the block's transactions, whichever way it was
// read.
func (b *block) count() int {
	if b.isRaw {
		return len(b.rawTxs)
	}
	return len(b.list)
}

// hashAt returns the hash of one of the block's transactions.
func (b *block) hashAt(i int) [32]byte {
	if b.isRaw {
		return keccak256(b.rawTxs[i].encoding)
	}
	return b.list[i].hash
}

// wholeCalls asks for the blocks of which the page's source did not tell enough,
// in full and by hash.
func (p *pageReader) wholeCalls(calls []*call, into []block) []*call {
	for k, i := range p.whole {
		b := &into[k]
		calls = append(calls, newCall("eth_getBlockByHash", func(s *scanner) { s.block(b) }, p.page.Blocks[i].Hash, true))
	}
	return calls
}

// takeWhole checks the blocks that were read in full against what was read of
// them before, and looks for watched parties.
func (p *pageReader) takeWhole(calls []*call, full []block) error {
	for k, i := range p.whole {
		b, f := &p.blocks[i], &full[k]
		switch err := calls[k].err; {
		case isUnknownBlock(err), err == nil && f.missing:
			return &ReorgError{Height: b.height, Reason: "the node no longer knows its hash"}
		case err != nil:
			return err
		case f.hash != b.hash || len(f.list) != b.count():
			return &IncoherentError{Height: b.height, Reason: "the block in full is another one"}
		}
		for j := range f.list {
			if f.list[j].hash != b.hashAt(j) {
				return &IncoherentError{Height: b.height, Reason: "the block in full has other transactions"}
			}
		}
		if err := p.matchFull(i, f.list); err != nil {
			return err
		}
	}
	return nil
}
