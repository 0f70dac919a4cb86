package evm

import (
	"slices"

	"github.com/ethereum/go-ethereum/rlp"
)

// manyCandidates is the share of a raw block's transactions whose senders are
// recovered here: beyond one in that many the node's own list is cheaper.
const manyCandidates = 6

// rawBlock reads a block in its own encoding, or null.
func (s *scanner) rawBlock(b *block) {
	b.isRaw, b.list = true, b.list[:0]
	b.rawTxs, b.opaque = b.rawTxs[:0], false
	if b.missing = s.isNull(); b.missing {
		return
	}
	text := s.plain()
	switch {
	case s.err != nil:
		return
	case string(text) == "0x":
		// So geth names a block that it does not have.
		b.missing = true
		return
	case len(text) < 4 || len(text)%2 != 0 || text[0] != '0' || text[1] != 'x':
		s.fail("want hex data")
		return
	}
	n := (len(text) - 2) / 2
	b.raw = slices.Grow(b.raw[:0], n)[:n]
	if !unhex(b.raw, text[2:]) {
		s.fail("bad hex digit")
		return
	}
	if bad := b.decode(); bad != nil {
		s.fail(bad.Reason)
	}
}

// decode reads the encoding of a block: a list of a header, the list of
// transactions, and what later forks put behind.
func (b *block) decode() *DecodeError {
	content, rest, err := rlp.SplitList(b.raw)
	if err != nil || len(rest) > 0 {
		return errRLP("want a block")
	}
	_, rest, err = rlp.SplitList(content)
	if err != nil {
		return errRLP("want a header")
	}
	if bad := rlpHeader(&b.header, content[:len(content)-len(rest)]); bad != nil {
		return bad
	}
	list, _, err := rlp.SplitList(rest)
	if err != nil {
		return errRLP("want a list of transactions")
	}
	for len(list) > 0 {
		b.rawTxs = append(b.rawTxs, rawTx{})
		next, known, bad := rlpTx(&b.rawTxs[len(b.rawTxs)-1], list)
		if bad != nil {
			return bad
		}
		b.opaque = b.opaque || !known
		list = next
	}
	b.txs = len(b.rawTxs)
	return nil
}

// matchRaw looks for watched receivers in a raw block, and for senders among
// those transactions whose nonce one of our accounts has used. The root in the
// header proves that the list is whole and is this block's.
func (p *pageReader) matchRaw(i int) error {
	b := &p.blocks[i]
	if p.root.root(b.rawTxs) != b.txRoot {
		return &IncoherentError{Height: b.height, Reason: "its transactions are not those of the header"}
	}
	if b.opaque {
		p.whole = append(p.whole, i)
		return nil
	}
	first, candidates := len(p.hits), 0
	for j := range b.rawTxs {
		t := &b.rawTxs[j]
		key, received := p.receives(t.to, len(t.to) == 0 || len(t.value) == 0)
		possible := p.plan.signers.possible(t.nonce)
		if possible {
			candidates++
		}
		if !received && (!possible || candidates*manyCandidates > len(b.rawTxs)+manyCandidates) {
			continue
		}
		tx, ok := t.object(p.client.number)
		if !ok {
			// Signed in a way that is not understood: the node knows.
			candidates = len(b.rawTxs) + manyCandidates
			break
		}
		tx.blockHash, tx.index = b.hash, uint64(j)
		spent := false
		if possible {
			_, spent = p.watch.Match(tx.from[:])
		}
		if received || spent {
			p.addHit(hit{block: i, index: j, tx: tx, key: key, received: received, spent: spent})
		}
	}
	if candidates*manyCandidates > len(b.rawTxs)+manyCandidates {
		p.hits = p.hits[:first]
		p.whole = append(p.whole, i)
	}
	return nil
}
