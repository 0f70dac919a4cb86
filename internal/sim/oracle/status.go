package oracle

import (
	"math/big"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// account is all that a payment's status depends on, worked out from the chain;
// what the clock decided is taken from the rows.
type account struct {
	confirmed, unconfirmed, accepted, booked, final, discharged chain.Amount
}

// statuses is Q7 for the gateway's own word: each payment's status is what the
// status function makes of the chain.
func (o *Oracle) statuses(d *dump) error {
	of := map[string][]deposit{}
	list, err := o.inner(d, o.deposits(d))
	if err != nil {
		return err
	}
	for _, t := range list {
		if p := d.payment[d.rows[t.ID].PaymentID]; p != nil && p.Asset.ID == t.Asset {
			of[p.ID] = append(of[p.ID], t)
		}
	}
	for i := range d.payments {
		p := &d.payments[i]
		if want := least(p); p.Required != want {
			return broken("Q7", "payment %s of %s asks for %s, by its policy it is %s", p.ID, p.Amount, p.Required, want)
		}
		var a account
		for _, t := range of[p.ID] {
			row := d.rows[t.ID]
			if err := judged(p, row); err != nil {
				return err
			}
			a.take(t, row, t.height+max(row.Required, o.cfg.Confirmations) <= d.head.Height+1)
		}
		covered := o.covered(&d.state, p.ExpiresAt, p.RequiredConfirmations, o.cfg.Now())
		if want := a.status(p, covered); want != p.Status {
			return broken("Q7", "payment %s is %s, by the chain it is %s: %s confirmed, %s unconfirmed and %s accepted of %s", p.ID, p.Status, want, a.confirmed, a.unconfirmed, a.accepted, p.Required)
		}
		if a.booked != p.Confirmed {
			return broken("Q7", "payment %s has %s confirmed, on the chain it is %s", p.ID, p.Confirmed, a.booked)
		}
	}
	return nil
}

// least is the amount that is enough: what is asked for, less the smaller of the
// tolerances that are set.
func least(p *bursar.Payment) chain.Amount {
	share := new(big.Int).Mul(p.Amount.Big(), big.NewInt(int64(p.Policy.ToleranceBps)))
	share.Div(share, big.NewInt(10_000))
	off := p.Policy.Tolerance.Big()
	if p.Policy.ToleranceBps > 0 && (off.Sign() == 0 || share.Cmp(off) < 0) {
		off = share
	}
	rest := new(big.Int).Sub(p.Amount.Big(), off)
	if rest.Sign() < 0 {
		rest.SetInt64(0)
	}
	n, err := chain.AmountFromBig(rest)
	if err != nil {
		return p.Amount
	}
	return n
}

// judged checks the verdict on a transfer where it does not hang on the moment:
// in a block before the deadline it counts, and long after it, for a payment that
// was never paid, it does not.
func judged(p *bursar.Payment, t *bursar.Transaction) error {
	if t.Inclusion != 1 || t.Suspense {
		return nil // the verdict is that of an earlier block
	}
	if !t.BlockTime.After(p.ExpiresAt) && !p.Canceled() && !t.Counting {
		return broken("Q7", "transaction %s of %s came in time for payment %s, due %s, and does not count", t.ID, t.BlockTime, p.ID, p.ExpiresAt)
	}
	seen := t.CreatedAt
	if seen.Before(p.ExpiresAt) || p.ConfirmationNo > 0 || !t.Counting {
		return nil
	}
	if t.BlockTime.After(p.ExpiresAt.Add(p.Policy.Grace)) && seen.After(p.ExpiresAt.Add(p.Policy.Grace)) {
		return broken("Q7", "transaction %s of %s came too late for payment %s, due %s, and counts", t.ID, t.BlockTime, p.ID, p.ExpiresAt)
	}
	return nil
}

// renewals is Q7 for attempts at one order: each has one next attempt at most, and
// both name each other.
func (*Oracle) renewals(d *dump) error {
	for i := range d.payments {
		p := &d.payments[i]
		if was := d.payment[p.Previous]; p.Previous != "" && (was == nil || was.Next != p.ID) {
			return broken("Q7", "payment %s says that it renews %q, which does not name it", p.ID, p.Previous)
		}
	}
	return nil
}

// take adds a transfer.
func (a *account) take(t deposit, row *bursar.Transaction, deep bool) {
	if row.Suspense {
		return
	}
	switch {
	case deep && row.Counting:
		a.confirmed = plus(a.confirmed, t.Amount)
	case row.Counting:
		a.unconfirmed = plus(a.unconfirmed, t.Amount)
	}
	if !deep || !row.Counting && !row.Accepted {
		return
	}
	if row.Accepted {
		a.accepted = plus(a.accepted, t.Amount)
	}
	a.booked = plus(a.booked, t.Amount)
	if row.Final {
		a.final, a.discharged = plus(a.final, t.Amount), plus(a.discharged, row.Discharged)
	}
}

// status is the status function.
func (a *account) status(p *bursar.Payment, covered bool) bursar.Status {
	hold := !p.HoldUntil.IsZero()
	switch {
	case !a.confirmed.Less(p.Required), !a.accepted.IsZero():
		if a.delivered(p) {
			return settled
		}
		return confirmed
	case p.Canceled():
		return canceled
	case !a.unconfirmed.IsZero():
		return detected
	case covered && !hold && !a.confirmed.IsZero():
		return underpaid
	case covered && !hold:
		return expired
	case !a.confirmed.IsZero():
		return detected
	}
	return pending
}

// earned is S7 for a payment that becomes settled: its money is delivered by then.
func (o *Oracle) earned(p *bursar.Payment, path []step) error {
	if p.Status != settled || len(path) == 0 {
		return nil
	}
	var a account
	for _, id := range o.m.incoming[p.ID] {
		if t := o.m.txs[id]; t.Live() && t.Asset == p.Asset.ID {
			a.take(deposit{Transfer: chain.Transfer{Amount: t.Amount}}, t, t.Status == bursar.TxConfirmed)
		}
	}
	if !a.delivered(p) {
		return broken("S7", "payment %s of %s was settled with %s booked, %s final and %s delivered", p.ID, p.Amount, a.booked, a.final, a.discharged)
	}
	return nil
}

// delivered: what pays is final and reached the treasury, but for what is not
// worth a sweep.
func (a *account) delivered(p *bursar.Payment) bool {
	pays := a.booked.Min(p.Amount)
	left := pays.SubFloor(a.discharged)
	return !a.final.Less(pays) && (left.IsZero() || left.Less(p.Asset.SweepMinimum))
}
