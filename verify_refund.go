package bursar

import (
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// refundsOf are the refunds of payments, by payment.
func (a *auditor) refundsOf(payments []string) (map[string][]Payout, error) {
	out := map[string][]Payout{}
	rows, err := a.r.Payouts(a.ctx, PayoutQuery{Parents: payments, Kinds: []PayoutKind{PayoutRefund}})
	for _, p := range rows {
		out[p.Parent] = append(out[p.Parent], p)
	}
	return out, err
}

// paymentRefunds compares what a payment says of its refunds with them, and the
// claims that they take with the amounts. rest are the payment's standing entries that
// no transaction is behind; those that are not about refunds are returned.
func (a *auditor) paymentRefunds(p Payment, refunds []Payout, rest []Entry) (others []Entry) {
	row := a.row("payments", p.ID)
	booked := auditSums{}
	accounts := []Account{accountExcess(p.ID), accountHeld(p.ID), accountPaid(p.ID), accountReorg(p.ID)}
	for _, r := range refunds {
		accounts = append(accounts, accountRefund(r.ID))
	}
	for _, e := range rest {
		if e.Rule != "L5" {
			others = append(others, e)
			continue
		}
		booked.post(e)
		ok := e.Height == 0 && e.Asset == p.Asset.ID && slices.Contains(accounts, e.Debit) && slices.Contains(accounts, e.Credit)
		a.row("entries", e.ID).holds(ruleEntryExtra, "", ok, "%s %s from %s to %s is no refund of %s", e.Amount, e.Asset, e.Credit, e.Debit, p.ID)
	}
	refunding, refunded := chain.Amount{}, chain.Amount{}
	for _, r := range refunds {
		part := chain.Amount{}
		switch r.Status {
		case PayoutCanceled: // freed what it took
		case PayoutConfirmed:
			part, refunded = r.Moved, sum(refunded, r.Moved)
		default:
			part = r.Amount
		}
		refunding = sum(refunding, part)
		owed := booked.of(p.Asset.ID, accountRefund(r.ID))
		a.row("payouts", r.ID).same(rulePaymentRefund, "Amount", part, owed.Neg(owed), "by the entries on", string(accountRefund(r.ID)))
	}
	row.same(rulePaymentRefund, "Refunding", refunding, p.Refunding)
	row.same(rulePaymentRefund, "Refunded", refunded, p.Refunded)
	c := p.cut()
	for i, want := range []chain.Amount{c.excess, c.held, c.paid, c.lost} {
		row.same(rulePaymentRefund, "Refunding", want, booked.of(p.Asset.ID, accounts[i]), "is what refunds take of", string(accounts[i]))
	}
	return others
}
