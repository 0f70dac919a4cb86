package bursar

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/bursar-go/bursar/chain"
)

// reconcile compares the ledger with the chain's balances at a page's last
// block, for the accounts of ours that spent in it: a payout counts by its logs
// and by the balance, never by what a contract returned. A difference is told;
// it changes nothing by itself.
//
// It is best effort: a node that no longer has the state, or a cursor that has
// moved on, ends it silently, because every later spend is compared again.
func (g *Gateway) reconcile(ctx context.Context, net *network, page chain.Page) {
	reader, ok := chain.As[chain.BalanceReader](net.client)
	if !ok {
		return
	}
	var of []chain.Holding
	seen := map[chain.Holding]bool{}
	for _, s := range page.Spends {
		add := func(a chain.Address, id chain.AssetID) {
			asset, known := net.known().all[id]
			h := chain.Holding{Address: a, Asset: asset}
			if _, ours := net.book.own(a); ours && known && !seen[h] {
				seen[h] = true
				of = append(of, h)
			}
		}
		add(s.From, net.info.Native.ID)
		for _, t := range s.Transfers {
			add(t.From, t.Asset)
			add(t.To, t.Asset)
		}
	}
	if len(of) == 0 {
		return
	}
	amounts, err := reader.Balances(ctx, page.Last().Hash, of)
	if err != nil || len(amounts) != len(of) {
		g.log.DebugContext(ctx, "balances not compared", "chain", string(net.info.ID), "block", page.Last().Height, "err", err)
		return
	}
	if err := g.compare(ctx, net, page.Last(), of, amounts); err != nil && !errors.Is(err, errMoved) && !errors.Is(err, ErrFenced) && !errors.Is(err, ErrLeaseHeld) {
		g.log.WarnContext(ctx, "balances not compared", "chain", string(net.info.ID), "block", page.Last().Height, "err", err)
	}
}

// errMoved: the cursor is no longer where the balances were read.
var errMoved = errors.New("bursar: cursor moved")

func (g *Gateway) compare(ctx context.Context, net *network, at chain.BlockRef, of []chain.Holding, amounts []chain.Amount) error {
	fence, err := g.lease(ctx, net)
	if err != nil {
		return err
	}
	return g.store.Write(ctx, func(tx Tx) error {
		d, err := newDesk(ctx, g, net, tx)
		if err != nil {
			return err
		}
		if d.state.Tip().Hash != at.Hash {
			return errMoved
		}
		differs := false
		for i, h := range of {
			sums, err := tx.Balances(ctx, BalanceQuery{Asset: h.Asset.ID, Accounts: []Account{accountU(h.Address), accountF(h.Address)}})
			if err != nil {
				return err
			}
			have := new(big.Int)
			for _, s := range sums {
				have.Add(have, s.Sum)
			}
			if have.Cmp(amounts[i].Big()) == 0 {
				continue
			}
			differs = true
			d.chainEvent(AlertLedgerMismatch, fmt.Sprintf("%s %s %s", h.Address, h.Asset.ID, at.Hash), EventData{
				Address: h.Address, Asset: h.Asset.ID, TokenID: h.Asset.Symbol, Height: at.Height,
				Reason: fmt.Sprintf("the ledger has %s base units, the chain %s", have, amounts[i]),
			})
		}
		if !differs {
			return nil
		}
		b := d.batch()
		b.Fences = append(b.Fences, fence)
		return tx.Apply(ctx, b)
	})
}
