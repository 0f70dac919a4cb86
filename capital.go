package bursar

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/scanner"
)

// ruleOpen is the posting rule of capital that was there before the first block
// that was scanned.
const ruleOpen = "open"

// opening is what the gateway's own accounts had before the first scanned block
// of a branch, and the entries about it that are no longer true.
type opening struct {
	height  uint64
	amounts []Entry
	undone  []Entry
}

// capital finds out what the gateway's own accounts had where the scan begins:
// nobody will ever see how it came there, and the ledger is to agree with the
// chain all the same. It has something to say for the first page of a chain, and
// for a reorg that reaches below it. A node that does not have the state any more
// leaves the accounts at nothing; Verify will tell the difference.
func (s *sink) capital(ctx context.Context, step scanner.Step) (*opening, error) {
	at, height, ok := begins(step)
	if !ok {
		return nil, nil
	}
	o := &opening{height: height}
	if step.Base.Hash != "" {
		err := s.gw.store.Read(ctx, func(r Reader) error {
			old, err := r.Entries(ctx, EntryQuery{Subject: string(s.net.info.ID), Unreversed: true})
			o.undone = slices.DeleteFunc(old, func(e Entry) bool { return e.Rule != ruleOpen || e.Height <= height })
			return err
		})
		if err != nil || len(o.undone) == 0 {
			return nil, err
		}
	}
	reader, ok := chain.As[chain.BalanceReader](s.net.client)
	if !ok {
		return o, nil
	}
	of, err := s.net.ownHoldings()
	if err != nil {
		return nil, err
	}
	// One by one: a token whose contract was not there yet is nobody's, and says
	// nothing about the others.
	for _, h := range of {
		amounts, err := reader.Balances(ctx, at, []chain.Holding{h})
		switch {
		case errors.Is(err, chain.ErrNoContract):
			continue
		case errors.Is(err, chain.ErrNotFound) && !errors.Is(err, chain.ErrPruned):
			// It lags behind: the chain begins when it knows the block.
			return nil, fmt.Errorf("%w: %s at block %s: %w", chain.ErrTransient, h.Asset.Symbol, at, err)
		case errors.Is(err, chain.ErrTransient), ctx.Err() != nil:
			return nil, err
		case err == nil && len(amounts) != 1:
			err = fmt.Errorf("%d answers to one question", len(amounts))
		}
		if err != nil {
			s.gw.log.WarnContext(ctx, "what the gateway's own accounts had before the first block is not known", "chain", string(s.net.info.ID), "height", height, "asset", string(h.Asset.ID), "err", err)
			continue
		}
		if !amounts[0].IsZero() {
			o.amounts = append(o.amounts, s.net.open(h, amounts[0], at, height))
		}
	}
	return o, nil
}

// begins returns the block before the first one of a page that has none of ours
// before it. ok is false where the page goes on from what was scanned.
func begins(step scanner.Step) (at chain.BlockHash, height uint64, ok bool) {
	first := chain.BlockRef{}
	switch {
	case len(step.Disconnect) > 0:
		first = slices.MinFunc(step.Disconnect, func(a, b chain.BlockRef) int { return int(int64(a.Height) - int64(b.Height)) })
	case step.Base.Hash == "" && len(step.Connect.Blocks) > 0:
		first = step.Connect.Blocks[0]
	default:
		return "", 0, false
	}
	if first.Height == 0 {
		return first.Hash, 0, true // what the first block allots, it did not transfer
	}
	return first.Parent, first.Height - 1, true
}

// ownHoldings are all assets of the sponsor and the float of each wallet.
func (n *network) ownHoldings() ([]chain.Holding, error) {
	known := n.known().all
	var out []chain.Holding
	for i := range n.book.accounts {
		for _, index := range []uint32{indexSponsor, indexFloat} {
			own, err := n.book.address(i, changeOwn, index)
			if err != nil {
				return nil, err
			}
			for _, id := range slices.Sorted(maps.Keys(known)) {
				out = append(out, chain.Holding{Address: own, Asset: known[id]})
			}
		}
	}
	return out, nil
}

// open is the entry about capital that was there at a block.
func (n *network) open(h chain.Holding, a chain.Amount, at chain.BlockHash, height uint64) Entry {
	id := string(n.info.ID)
	return Entry{
		ID: hashID("le_", ruleOpen, id, string(h.Asset.ID), string(h.Address), string(at)), Rule: ruleOpen, Asset: h.Asset.ID,
		Debit: accountF(h.Address), Credit: AccountOwner, Amount: a, Subject: id, Chain: n.info.ID, Height: height,
		Live: "open:" + string(h.Asset.ID) + " " + string(h.Address),
	}
}

// capitalise posts what the own accounts had where the scan begins.
func (d *desk) capitalise(o *opening) {
	if o == nil {
		return
	}
	for _, e := range o.undone {
		d.post([]Entry{reversal(e)})
	}
	d.post(o.amounts)
}
