package evm

import (
	"context"
	"slices"
)

// proofs is the memory for the verification of one block.
type proofs struct {
	header   headerProof
	raw      block
	receipts receiptsProof
}

// verify holds the blocks of the page in which something was found against their
// own hashes, where Config.Verify asks for it: one request for each, with the
// header and all receipts, or with the whole block in its own encoding where the
// node has that.
//
//	hash of the header's fields = the block's hash
//	root of the receipts        = the header's receiptsRoot
//	root of the transactions    = the header's transactionsRoot (own encoding alone)
//	logs and statuses of the receipts = those that the page was made of
//
// The page's blocks are linked by these hashes. A block of which the node tells too
// little is counted, and believed as it would be without.
func (p *pageReader) verify(ctx context.Context) error {
	if !p.client.cfg.Verify {
		return nil
	}
	found := p.found()
	if len(found) == 0 {
		return nil
	}
	caps, err := p.client.capabilities(ctx, p.plan.from)
	if err != nil {
		return err
	}
	var memory proofs
	for _, i := range found {
		verified, err := p.verifyBlock(ctx, i, caps, &memory)
		if err != nil {
			return err
		}
		if verified {
			p.client.stats.verified.Add(1)
		} else {
			p.client.stats.unverifiable.Add(1)
		}
	}
	return nil
}

// found are the blocks with a hit or a log for a watched receiver.
func (p *pageReader) found() (out []int) {
	for i := range p.blocks {
		if slices.ContainsFunc(p.hits, func(h hit) bool { return h.block == i }) ||
			len(p.proven(p.logs[i])) > 0 {
			out = append(out, i)
		}
	}
	return out
}

// verifyBlock verifies one block; verified is false where that cannot be done.
func (p *pageReader) verifyBlock(ctx context.Context, i int, caps *Capabilities, m *proofs) (verified bool, err error) {
	b := &p.blocks[i]
	hash := p.page.Blocks[i].Hash
	calls := []*call{newCall("eth_getBlockByHash", func(s *scanner) { s.headerProof(&m.header) }, hash, false)}
	if caps.RawBlock {
		calls[0] = newCall("debug_getRawBlock", func(s *scanner) { s.rawBlock(&m.raw) }, hexQuantity(b.height))
	}
	if caps.BlockReceipts {
		calls = append(calls, newCall("eth_getBlockReceipts", func(s *scanner) { s.receiptsProof(&m.receipts) }, hash))
	}
	if err := p.client.do(ctx, calls...); isTooLarge(err) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	for _, r := range calls {
		switch {
		case isTooLarge(r.err):
			return false, nil // smaller pages would not help
		case isUnknownBlock(r.err):
			return false, &ReorgError{Height: b.height, Reason: "the node no longer knows its hash"}
		case r.err != nil:
			return false, r.err
		}
	}
	var receiptsRoot [32]byte
	var ok bool
	if caps.RawBlock {
		receiptsRoot, err = p.verifyRaw(i, &m.raw)
		ok = true
	} else {
		receiptsRoot, ok, err = p.verifyHeader(b, &m.header)
	}
	if err != nil || !ok || !caps.BlockReceipts {
		return false, err
	}
	return p.verifyReceipts(i, &receiptsRoot, &m.receipts)
}

// verifyHeader recomputes the hash of a header from its fields.
func (p *pageReader) verifyHeader(b *block, h *headerProof) (receiptsRoot [32]byte, ok bool, err error) {
	switch {
	case h.missing:
		return receiptsRoot, false, &ReorgError{Height: b.height, Reason: "the node no longer knows its hash"}
	case !h.sealed():
		return receiptsRoot, false, nil
	case h.hash() != b.hash && h.strange:
		return receiptsRoot, false, nil // a later fork may hash what is not known here
	case h.hash() != b.hash:
		return receiptsRoot, false, &ForgedError{Height: b.height, Reason: "its header has another hash"}
	}
	height, _ := rlpUint64(h.fields[fieldNumber]) // what is no number here is another one
	seconds, _ := rlpUint64(h.fields[fieldTime])
	if height != b.height || seconds != b.seconds || [32]byte(h.fields[fieldParent]) != b.parent {
		return receiptsRoot, false, &ForgedError{Height: b.height, Reason: "its header tells another height, time or parent"}
	}
	return [32]byte(h.fields[fieldReceipts]), true, nil
}

// verifyRaw takes the block in its own encoding, whose hash is that of the bytes,
// and holds its transactions against those that were believed.
func (p *pageReader) verifyRaw(i int, raw *block) (receiptsRoot [32]byte, err error) {
	b := &p.blocks[i]
	forged := func(reason string) ([32]byte, error) {
		return receiptsRoot, &ForgedError{Height: b.height, Reason: reason}
	}
	switch {
	case raw.missing, raw.hash != b.hash:
		return receiptsRoot, &ReorgError{Height: b.height, Reason: "another block is in its place"}
	case raw.parent != b.parent || raw.height != b.height || raw.seconds != b.seconds:
		return forged("its header tells another height, time or parent")
	case p.root.root(raw.rawTxs) != raw.txRoot:
		return forged("its transactions are not those of the header")
	case !b.light && len(raw.rawTxs) != b.count():
		return forged("it has another number of transactions")
	}
	// Traces tell of what moved, and not what the transaction says.
	whole := !raw.opaque && p.plan.source != NativeTrace && p.plan.detail != NativeTrace
	for k := range p.hits {
		h := &p.hits[k]
		if h.block != i {
			continue
		}
		if h.index >= len(raw.rawTxs) || keccak256(raw.rawTxs[h.index].encoding) != h.tx.hash || whole && !raw.rawTxs[h.index].says(&h.tx) {
			return forged("a transaction says something else")
		}
	}
	return raw.receiptRoot, nil
}

// says reports whether a transaction pays what another reading of it has.
func (t *rawTx) says(o *transactionObject) bool {
	var value [32]byte
	copy(value[32-len(t.value):], t.value)
	return value == o.value && t.nonce == o.nonce && (len(t.to) == 0) == o.creates && (o.creates || [addressLength]byte(t.to) == o.to)
}

// verifyReceipts holds a block's receipts against the header's root, and what the
// page was made of against the receipts.
func (p *pageReader) verifyReceipts(i int, want *[32]byte, r *receiptsProof) (verified bool, err error) {
	b := &p.blocks[i]
	forged := func(reason string) (bool, error) { return false, &ForgedError{Height: b.height, Reason: reason} }
	switch {
	case r.missing:
		return false, &ReorgError{Height: b.height, Reason: "the node has no receipts for its hash"}
	case r.root(&p.root) == *want:
	case r.strange:
		return false, nil
	default:
		return forged("its receipts are not those of the header")
	}
	if !b.light && len(r.encodings) != b.count() {
		return forged("it has another number of receipts")
	}
	for k := range p.hits {
		if h := &p.hits[k]; h.block == i && (h.index >= len(r.ok) || r.ok[h.index] != h.receipt.ok) {
			return forged("a receipt tells another outcome than the block")
		}
	}
	if !slices.Equal(p.proven(r.logs), p.proven(p.logs[i])) {
		return forged("its receipts have other logs than the page")
	}
	return true, nil
}

// proven are the logs of listed tokens to watched receivers, as far as a receipt
// proves them.
func (p *pageReader) proven(logs []logObject) (out []logObject) {
	for _, l := range logs {
		if _, listed := p.listed.ids[l.address]; listed && p.toWatched(&l) {
			l.blockHash, l.txHash, l.logIndex, l.removed = [32]byte{}, [32]byte{}, 0, false
			out = append(out, l)
		}
	}
	return out
}
