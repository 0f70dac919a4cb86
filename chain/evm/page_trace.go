package evm

import (
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// checkTraces compares the traces of a block with its transactions and returns
// what is wrong with them: every transaction must begin exactly once, in its
// place and under its hash. Nodes that cannot trace have been seen to answer
// with nothing, which must not pass for a block in which nothing happened.
func (b *block) checkTraces() (fault string) {
	began := 0
	for i := range b.traces {
		t := &b.traces[i]
		switch {
		case t.blockHash != b.hash:
			return "a trace of another block"
		case t.reward:
			continue
		case t.tx >= uint64(len(b.list)) || b.list[t.tx].hash != t.txHash:
			return "a trace of a transaction that is not there"
		case t.path == "" && t.tx != uint64(began):
			return "a transaction out of its place"
		case t.path == "":
			began++
		case t.tx+1 != uint64(began):
			return "a call outside of its transaction"
		}
	}
	if began != len(b.list) {
		return "transactions without a trace"
	}
	return ""
}

// distrustTraces has a block read in full, and the following pages too until
// the node is probed again.
func (p *pageReader) distrustTraces(i int, fault string) {
	b := &p.blocks[i]
	b.traces, b.noTraces = b.traces[:0], true
	p.client.distrust("trace_block", fault)
}

// matchTraces looks for watched parties in the traces of a block.
//
// A frame counts only where it and all the frames around it lasted: what a call
// moved is undone where any of those fails, whatever the call itself says.
func (p *pageReader) matchTraces(i int) error {
	b := &p.blocks[i]
	if !b.noTraces {
		if fault := b.checkTraces(); fault != "" {
			if strings.HasPrefix(fault, "a trace of another block") {
				return &ReorgError{Height: b.height, Reason: fault}
			}
			p.distrustTraces(i, fault)
		}
	}
	if b.noTraces {
		p.whole = append(p.whole, i)
		return nil
	}
	for from := 0; from < len(b.traces); {
		to := from + 1
		for to < len(b.traces) && b.traces[to].tx == b.traces[from].tx && b.traces[to].path != "" {
			to++
		}
		if !b.traces[from].reward {
			p.matchTrace(i, b.traces[from:to])
		}
		from = to
	}
	return nil
}

// matchTrace looks at one transaction: its own frame, and those inside of it.
func (p *pageReader) matchTrace(i int, frames []traceObject) {
	top := &frames[0]
	h := hit{block: i, index: int(top.tx)}
	h.key, h.received = p.receives(top.to[:], top.failed || !top.moves || top.creates || top.value == [32]byte{})
	_, h.spent = p.watch.Match(top.from[:])
	undone := ""
	if !top.failed {
		for k := 1; k < len(frames); k++ {
			f := &frames[k]
			switch {
			case f.reward:
				continue
			case undone != "" && strings.HasPrefix(f.path, undone):
				continue
			case f.failed:
				undone = f.path + "."
				continue
			}
			if inner, ok := p.innerTransfer(i, f); ok {
				h.inner = append(h.inner, inner)
			}
		}
	}
	if !h.received && !h.spent && len(h.inner) == 0 {
		return
	}
	h.tx = transactionObject{
		hash: top.txHash, value: top.value, from: top.from, to: top.to, creates: top.creates,
		mined: true, blockHash: top.blockHash, index: top.tx,
	}
	p.addHit(h)
}

// innerTransfer is what a frame paid to a watched receiver. A frame that pays
// its own account moved nothing.
func (p *pageReader) innerTransfer(i int, f *traceObject) (chain.Transfer, bool) {
	key, ok := p.receives(f.to[:], !f.moves || f.value == [32]byte{} || f.from == f.to)
	if !ok {
		return chain.Transfer{}, false
	}
	return chain.Transfer{
		ID:      chain.TransferID{Tx: chain.TxID(hexHash(&f.txHash)), Ordinal: "i:" + f.path},
		Asset:   p.client.cfg.Preset.Info.Native.ID,
		From:    checksummed(f.from),
		To:      checksummed(f.to),
		Amount:  amountOfWord(&f.value),
		Key:     key,
		Block:   p.blocks[i].height,
		Hash:    p.page.Blocks[i].Hash,
		TxIndex: uint32(f.tx),
		Via:     chain.ViaContract,
	}, true
}

// minedTransaction reads a transaction that must be there, into one that was
// read from its trace.
func (s *scanner) minedTransaction(t *transactionObject) {
	var whole transactionObject
	if s.isNull() {
		s.fail("a mined transaction is not there")
		return
	}
	s.transaction(&whole)
	switch {
	case s.err != nil:
	case !whole.mined || whole.blockHash != t.blockHash || whole.index != t.index || whole.hash != t.hash:
		s.fail("a transaction is elsewhere than its trace")
	case whole.from != t.from || whole.value != t.value || whole.creates != t.creates || !whole.creates && whole.to != t.to:
		s.fail("a transaction contradicts its trace")
	default:
		*t = whole
	}
}
