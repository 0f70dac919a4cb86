package bursar

import (
	"fmt"

	"github.com/bursar-go/bursar/chain"
)

// cut is which of a payment's claims its refunds take: first what is too much, then
// what is held, then what is paid. What no claim covers any more, because a reorg took
// money that was given back already, somebody owes us.
type cut struct{ excess, held, paid, lost chain.Amount }

// cut works it out from the payment's amounts. It is a function of them alone, so that
// whatever changes them moves the difference.
func (p Payment) cut() cut {
	if p.Refunding.IsZero() {
		return cut{}
	}
	left := p.Refunding
	take := func(from chain.Amount) chain.Amount {
		part := left.Min(from)
		left = left.SubFloor(part)
		return part
	}
	held := sum(p.Confirmed, p.Held).SubFloor(p.PostedPaid).SubFloor(p.PostedExcess)
	c := cut{excess: take(p.PostedExcess)}
	c.held = take(held)
	c.paid = take(p.PostedPaid)
	c.lost = left
	return c
}

// recutRefunds is L5 and its reversal: the entries that lead from the cut before to
// that after. What the refunds take more, or less, of all claims together is against.
func recutRefunds(before, after Payment, against Account, cause string) []Entry {
	a, b := before.cut(), after.cut()
	if a == b {
		return nil
	}
	id := after.ID
	return shifted(id, after.Asset.ID, cause, []leg{
		{accountExcess(id), a.excess, b.excess},
		{accountHeld(id), a.held, b.held},
		{accountPaid(id), a.paid, b.paid},
		{accountReorg(id), a.lost, b.lost},
		// What is owed to the receivers is on the other side.
		{against, after.Refunding, before.Refunding},
	})
}

// leg is how far the debit of an account is to change, from one amount to another.
type leg struct {
	account  Account
	from, to chain.Amount
}

// shifted are the entries of rule L5 that change accounts, of one subject and asset. All
// legs together come to nothing.
func shifted(id string, asset chain.AssetID, cause string, legs []leg) (out []Entry) {
	type side struct {
		account Account
		amount  chain.Amount
	}
	var debits, credits []side
	for _, s := range legs {
		switch s.from.Cmp(s.to) {
		case -1:
			debits = append(debits, side{s.account, s.to.SubFloor(s.from)})
		case 1:
			credits = append(credits, side{s.account, s.from.SubFloor(s.to)})
		}
	}
	for len(debits) > 0 && len(credits) > 0 {
		d, c := &debits[0], &credits[0]
		n := d.amount.Min(c.amount)
		out = append(out, Entry{
			ID:   hashID("le_", "L5", id, string(d.account), string(c.account), cause),
			Rule: "L5", Asset: asset, Subject: id, Chain: asset.Chain(), Debit: d.account, Credit: c.account, Amount: n,
		})
		if d.amount = d.amount.SubFloor(n); d.amount.IsZero() {
			debits = debits[1:]
		}
		if c.amount = c.amount.SubFloor(n); c.amount.IsZero() {
			credits = credits[1:]
		}
	}
	return out
}

// claim changes how much of a payment's money is, or is to be, given back, for one of
// its refunds.
func (d *desk) claim(f *file, p *payoutFile, refunding chain.Amount, cause string) {
	before := f.kase.payment
	f.kase.payment.Refunding, f.changed = refunding, true
	// A reorg brings the same causes again, never at the same number of the payout.
	cause = fmt.Sprintf("%s %s %d", p.ID, cause, p.Version)
	d.post(recutRefunds(before, f.kase.payment, accountRefund(p.ID), cause))
}

// refunded puts the file of the payment that a refund is of on the desk.
func (d *desk) refunded(p *payoutFile) (*file, error) {
	rows, err := d.tx.Payments(d.ctx, PaymentQuery{IDs: []string{p.Parent}})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%w: payout %s is of payment %s, which is gone", ErrInvariant, p.ID, p.Parent)
	}
	return d.file(rows[0].Address)
}

// retake changes how much a payout to a stranger takes of what somebody is owed, from
// less to more.
func (d *desk) retake(p *payoutFile, less, more chain.Amount, cause string) error {
	if p.Kind == PayoutWithdrawal {
		return d.draws(p, less, more, cause)
	}
	f, err := d.refunded(p)
	if err != nil {
		return err
	}
	d.claim(f, p, sum(f.kase.payment.Refunding.SubFloor(less), more), cause)
	return nil
}

// paidOut books a payout to a stranger that is final, or takes that back where its block
// left the chain. A token may have moved less than it was told to, and the rest is still
// owed; or more, which is given back as well then.
func (d *desk) paidOut(p *payoutFile, f fact) error {
	final := f == factDischarged
	if p.Moved != p.Amount {
		less, more, cause := p.Amount, p.Moved, "moved"
		if !final {
			less, more, cause = p.Moved, p.Amount, "asked again"
		}
		if err := d.retake(p, less, more, cause); err != nil {
			return err
		}
	}
	if p.Kind != PayoutRefund {
		return nil
	}
	of, err := d.refunded(p)
	if err != nil {
		return err
	}
	if !final {
		of.kase.payment.Refunded, of.changed = of.kase.payment.Refunded.SubFloor(p.Moved), true
		return nil
	}
	of.kase.payment.Refunded = sum(of.kase.payment.Refunded, p.Moved)
	return d.decide(of, factRefunded, "", nil)
}
