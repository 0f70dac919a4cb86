package bursar

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/bursar-go/bursar/chain"
)

// RescanRequest says which blocks to read again.
type RescanRequest struct {
	// Chain is the chain's name or id.
	Chain string
	// From and To are the first and the last block, both included. To zero: the
	// newest scanned block, which is also the most that it may be.
	From, To uint64
	// Addresses are those to look for, in any form that the chain's addresses
	// have: a set that was imported. A small one reads much faster than all.
	// Empty: all of ours.
	Addresses []chain.Address
	// DryRun finds out what would be booked, and writes nothing.
	DryRun bool
}

// Rescanned is what Rescan did, or would do.
type Rescanned struct {
	// Chain is the chain, Written false for a dry run.
	Chain   ChainID `json:"chain"`
	Written bool    `json:"written"` // Written is false for a dry run.
	// From and To are the blocks that were read: where Rescan ended early, To is
	// the last one that is done, and below From where none is.
	From uint64 `json:"from"`
	To   uint64 `json:"to"` // To is the last block that was read.
	// Found are the transfers that the store did not have, in the chain's order.
	Found []chain.Transfer `json:"found"`
}

// rescanTries is how often a page is read again that a reorg has overtaken.
const rescanTries = 5

// Rescan reads blocks again that were scanned before, with the addresses and the
// assets of today, and books the transfers to addresses of ours that the store
// does not have: of an asset that was added later, of addresses that were imported,
// of a time when a node hid something. They are told as any other, judged by the
// time of their block, and confirmed with the next new block. It can be repeated,
// and what is booked already is left alone.
//
// Transactions that our accounts signed are not looked at, nor is what came to the
// gateway's own accounts, which is capital where it is older than the first block
// that was ever scanned. Coin that contracts sent is found by the balances, not
// here; nor is a transfer of native coin that they found already, without its
// transaction.
//
// It works on any instance, beside the scanner, a page of blocks in one
// transaction each. Where ctx ends, or the node or the store fails, it returns
// that error with what is done by then; it goes on from To+1. A bad field is a
// *FieldError; ErrChainNotReady where the node has not proved to serve the chain.
func (g *Gateway) Rescan(ctx context.Context, req RescanRequest) (Rescanned, error) {
	if err := g.writable(ctx); err != nil {
		return Rescanned{}, err
	}
	net, err := g.chainNamed("RescanRequest.Chain", req.Chain)
	if err != nil {
		return Rescanned{}, err
	}
	if !net.isVerified() {
		// Blocks below the reorg window are believed as they come: from the chain that
		// is configured, and from no other.
		return Rescanned{}, fmt.Errorf("%w: %s", ErrChainNotReady, net.info.ID)
	}
	r := &rescan{gw: g, net: net, sink: &sink{g, net}, dry: req.DryRun, out: Rescanned{Chain: net.info.ID, From: req.From, Written: !req.DryRun}}
	to, err := r.end(ctx, req)
	if err != nil {
		return Rescanned{}, err
	}
	if r.only, err = r.few(ctx, req.Addresses); err != nil {
		return Rescanned{}, err
	}
	for next := req.From; next <= to; {
		page, err := r.again(ctx, next, to)
		if err != nil {
			return r.ended(next), fmt.Errorf("bursar: rescan %s from block %d: %w", net.info.ID, next, err)
		}
		r.last = page.Last()
		next = r.last.Height + 1
	}
	return r.ended(to + 1), nil
}

// rescan is one Rescan under way.
type rescan struct {
	gw   *Gateway
	net  *network
	sink *sink
	dry  bool
	only map[string]uint32 // the keys to look for; nil: all
	last chain.BlockRef    // the last block that is done
	out  Rescanned
}

// ended is the result where next would be the next block.
func (r *rescan) ended(next uint64) Rescanned {
	r.out.To = next - 1 // of block 0 nothing is ever transferred; From is at least 1
	return r.out
}

// end checks the range against what was scanned.
func (r *rescan) end(ctx context.Context, req RescanRequest) (to uint64, err error) {
	var tip uint64
	err = r.gw.store.Read(ctx, func(rd Reader) error {
		st, err := rd.Chain(ctx, r.net.info.ID)
		tip = st.Tip().Height
		return err
	})
	if err != nil {
		return 0, err
	}
	if to = req.To; to == 0 {
		to = tip
	}
	switch {
	case req.From == 0:
		return 0, fieldErr("RescanRequest.From", CodeRequired, "the first block to read, at least 1")
	case to > tip:
		return 0, fieldErr("RescanRequest.To", CodeOutOfRange, "%d is above %d, the newest scanned block", to, tip)
	case req.From > to:
		return 0, fieldErr("RescanRequest.From", CodeOutOfRange, "%d is above the last block, %d", req.From, to)
	}
	return to, nil
}

// few are the keys of some deposit addresses.
func (r *rescan) few(ctx context.Context, addresses []chain.Address) (map[string]uint32, error) {
	if len(addresses) == 0 {
		return nil, nil
	}
	// Another instance may have issued them a moment ago.
	if err := r.sync(ctx); err != nil {
		return nil, err
	}
	out := make(map[string]uint32, len(addresses))
	for i, text := range addresses {
		field := fmt.Sprintf("RescanRequest.Addresses[%d]", i)
		a, err := r.net.codec.Parse(string(text))
		if err != nil {
			return nil, fieldErr(field, CodeInvalid, "%v", err)
		}
		it, ours := r.net.book.own(a)
		if !ours || it.change != changeDeposit {
			return nil, fieldErr(field, CodeUnknown, "%s is no deposit address of this gateway", a)
		}
		keys, err := r.net.codec.WatchKeys(a)
		if err != nil {
			return nil, fieldErr(field, CodeInvalid, "%v", err)
		}
		for _, key := range keys {
			out[string(key)] = it.n
		}
	}
	return out, nil
}

// sync learns of the assets and the addresses of today.
func (r *rescan) sync(ctx context.Context) error {
	st, pools, err := r.sink.marks(ctx)
	if err == nil {
		err = r.net.learn(st)
	}
	if err == nil {
		err = r.net.book.sync(ctx, pools)
	}
	return err
}

// watch is what a page is read for.
func (r *rescan) watch() chain.Watch {
	all := watch{r.net.book, r.net.known().list}
	if r.only == nil {
		return all
	}
	return some{all, r.only}
}

// some is a part of a watch.
type some struct {
	watch
	keys map[string]uint32
}

// Match implements chain.Watch.
func (s some) Match(key []byte) (uint32, bool) {
	n, ok := s.keys[string(key)]
	return n, ok
}

// Len implements chain.Watch.
func (s some) Len() int { return len(s.keys) }

// Keys implements chain.Watch.
func (s some) Keys() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for key := range s.keys {
			if !yield([]byte(key)) {
				return
			}
		}
	}
}

// again reads a page and books what is missing, until no reorg comes in between.
func (r *rescan) again(ctx context.Context, from, to uint64) (page chain.Page, err error) {
	for range rescanTries {
		if page, err = r.page(ctx, from, to); !errors.Is(err, chain.ErrReorg) {
			break
		}
	}
	return page, err
}

func (r *rescan) page(ctx context.Context, from, to uint64) (chain.Page, error) {
	if err := r.sync(ctx); err != nil {
		return chain.Page{}, err
	}
	page, err := r.net.client.Transfers(ctx, from, to, r.watch())
	if err != nil {
		return page, err
	}
	if err := r.follows(page, from, to); err != nil {
		return page, err
	}
	r.narrow(&page)
	suspects, err := r.sink.doubts(ctx, page)
	if err != nil {
		return page, err
	}
	var found []chain.Transfer
	book := func(tx Tx) error {
		found = nil
		d, err := newDesk(ctx, r.gw, r.net, tx)
		if err != nil {
			return err
		}
		d.moved = false // the cursor is the scanner's
		d.suspects = copyDoubts(suspects)
		if found, err = d.missing(page); err != nil || r.dry || len(found) == 0 {
			return err
		}
		return tx.Apply(ctx, d.batch())
	}
	if err := r.gw.store.Write(ctx, book); err != nil {
		return page, err
	}
	r.out.Found = append(r.out.Found, found...)
	if !r.dry && len(found) > 0 {
		r.gw.log.WarnContext(ctx, "transfers were missing and are booked now", "chain", string(r.net.info.ID), "blocks", fmt.Sprintf("%d-%d", from, page.Last().Height), "transfers", len(found))
		r.gw.wakePump()
	}
	return page, nil
}

// follows checks that a page goes on where the last one ended.
func (r *rescan) follows(page chain.Page, from, to uint64) error {
	if len(page.Blocks) == 0 || page.Blocks[0].Height != from || page.Last().Height > to {
		return fmt.Errorf("%w: other blocks than %d to %d", chain.ErrTransient, from, to)
	}
	if r.last.Hash != "" && page.Blocks[0].Parent != r.last.Hash {
		return fmt.Errorf("%w: block %d does not follow the one before", chain.ErrReorg, from)
	}
	return nil
}

// narrow leaves the transfers that Rescan is about.
func (r *rescan) narrow(page *chain.Page) {
	var kept []chain.Transfer
	for _, t := range page.Transfers {
		it, ours := r.net.book.own(t.To)
		if _, own := r.net.book.own(t.From); ours && !own && it.change == changeDeposit && t.Via == chain.ViaDirect && !t.Amount.IsZero() {
			kept = append(kept, t)
		}
	}
	page.Transfers, page.Spends = kept, nil
}

// missing books the transfers of a page of old blocks that the store does not
// have, and returns them. The blocks that the store remembers must be the page's.
func (d *desk) missing(page chain.Page) (found []chain.Transfer, err error) {
	known := make(map[uint64]chain.BlockHash, len(d.state.Recent))
	for _, b := range d.state.Recent {
		known[b.Height] = b.Hash
	}
	at := make(map[chain.BlockHash]chain.BlockRef, len(page.Blocks))
	for _, b := range page.Blocks {
		if hash, remembered := known[b.Height]; remembered && hash != b.Hash || b.Height > d.state.Tip().Height {
			return nil, fmt.Errorf("%w: block %d is another one by now", chain.ErrReorg, b.Height)
		}
		at[b.Hash] = b
	}
	if err := d.preload(page); err != nil {
		return nil, err
	}
	for _, t := range page.Transfers {
		block, ok := at[t.Hash]
		if !ok {
			return nil, fmt.Errorf("%w: a transfer of %s lies in no block of its page", chain.ErrTransient, t.ID)
		}
		f, err := d.file(t.To)
		if err != nil {
			return nil, err
		}
		switch row := f.tx(transactionID(d.net.info.ID, t.ID)); {
		case row == nil || !row.Live():
		case row.BlockHash == t.Hash:
			continue
		default:
			return nil, fmt.Errorf("%w: %s is booked in block %s", chain.ErrReorg, t.ID, row.BlockHash)
		}
		if f.balanced(t) {
			continue
		}
		if err := d.include(t, block); err != nil {
			return nil, err
		}
		found = append(found, t)
	}
	if err := d.takeOver(); err != nil {
		return nil, err
	}
	return found, d.fault
}
