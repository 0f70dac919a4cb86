package oracle

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// holding is one asset at one address.
type holding struct {
	at    chain.Address
	asset chain.AssetID
}

// worth reports whether that much of an asset must be swept.
func (o *Oracle) worth(id chain.AssetID, n chain.Amount) bool {
	least := o.cfg.MinSweep[id]
	return !n.IsZero() && !n.Less(least)
}

// nothingLeft is Q4: what is worth sweeping is in the treasury. Of the native
// coin an address may keep what a top-up left, beside what came to it; of tokens
// nothing.
func (o *Oracle) nothingLeft(d *dump) error {
	left, odd := map[holding]chain.Amount{}, map[holding]bool{}
	for i := range d.transactions {
		t := &d.transactions[i]
		at := holding{t.To, t.Asset}
		if t.Type != bursar.TypeIncoming || !t.Live() || working(d.homes[t.To]) {
			continue
		}
		if t.Suspense {
			odd[at] = true // not ours to believe, nor to move
			continue
		}
		left[at] = plus(left[at], t.Amount.SubFloor(t.Discharged))
	}
	for _, at := range holdings(left) {
		// What is not there any more cannot be swept.
		n := left[at].Min(o.cfg.Chain.BalanceOf(at.at, d.assets[at.asset]))
		if !odd[at] && o.worth(at.asset, n) {
			return broken("Q4", "of what came to %s, %s of %s was never swept", at.at, n, at.asset)
		}
	}
	for _, home := range slices.Sorted(maps.Keys(d.homes)) {
		for _, id := range slices.Sorted(maps.Keys(d.assets)) {
			a := d.assets[id]
			if a.Native() || odd[holding{home, id}] || working(d.homes[home]) || d.since[id] > 0 {
				continue
			}
			if n := o.cfg.Chain.BalanceOf(home, a); o.worth(id, n) {
				return broken("Q4", "%s of %s lie at %s", n, id, home)
			}
		}
	}
	return nil
}

func holdings(m map[holding]chain.Amount) []holding {
	return slices.SortedFunc(maps.Keys(m), func(a, b holding) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.asset, b.asset))
	})
}

// nothingUnderWay is Q5: no payout is open or stuck, nothing signed can still be
// mined, and no money is reserved.
func (o *Oracle) nothingUnderWay(d *dump) error {
	for i := range d.payouts {
		p := &d.payouts[i]
		if p.Status != bursar.PayoutConfirmed && p.Status != bursar.PayoutCanceled {
			return broken("Q5", "payout %s (%s of %s) is %s: %s %s", p.ID, p.Kind, p.Asset.Symbol, p.Status, p.FailureCode, p.FailureReason)
		}
	}
	waits := o.cfg.Chain.Mempool()
	for i := range d.attempts {
		a := &d.attempts[i]
		if a.Open {
			return broken("Q5", "attempt %s of payout %s is open", a.ID, a.PayoutID)
		}
		if slices.Contains(waits, a.TxID) {
			return broken("Q5", "attempt %s of payout %s waits in the mempool", a.ID, a.PayoutID)
		}
		for _, l := range a.Locks {
			if from, n, ok := nonceOf(l); ok && o.cfg.Chain.Nonce(from) <= n {
				return broken("Q5", "attempt %s of payout %s has the nonce %d, its account is at %d", a.ID, a.PayoutID, n, o.cfg.Chain.Nonce(from))
			}
		}
	}
	for i := range d.transactions {
		t := &d.transactions[i]
		if !t.Reserved.IsZero() {
			return broken("Q5", "of transaction %s %s are reserved", t.ID, t.Reserved)
		}
		if t.Type == bursar.TypeIncoming && t.Live() && !t.Final && o.cfg.Finality > 0 && t.Block+o.cfg.Finality <= d.head.Height+1 {
			return broken("Q5", "transaction %s in block %d is not final at height %d", t.ID, t.Block, d.head.Height)
		}
	}
	return nil
}

// nonceOf reads "nonce:<address>:<n>".
func nonceOf(l chain.Lock) (from chain.Address, n uint64, ok bool) {
	text, ok := strings.CutPrefix(string(l), "nonce:")
	if !ok {
		return "", 0, false
	}
	who, number, ok := strings.Cut(text, ":")
	n, err := strconv.ParseUint(number, 10, 64)
	return chain.Address(who), n, ok && err == nil
}
