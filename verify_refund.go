package bursar

import (
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// payoutsOf are the refunds of payments, or the withdrawals of addresses, by them.
func (a *auditor) payoutsOf(parents []string, kind PayoutKind) (map[string][]Payout, error) {
	out := map[string][]Payout{}
	if len(parents) == 0 {
		return out, nil
	}
	rows, err := a.r.Payouts(a.ctx, PayoutQuery{Parents: parents, Kinds: []PayoutKind{kind}})
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
		part := r.takes()
		if r.Status == PayoutConfirmed {
			refunded = sum(refunded, r.Moved)
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

// addressWithdrawals compares the entries about a permanent address's withdrawals with
// them and with its deposits. rest are the address's standing entries that no transaction
// is behind; those that are not about withdrawals are returned.
func (a *auditor) addressWithdrawals(at Address, withdrawals []Payout, txs []Transaction, rest []Entry) (others []Entry) {
	row := a.row("addresses", at.ID)
	booked, taken, credited := auditSums{}, map[chain.AssetID]chain.Amount{}, map[chain.AssetID]chain.Amount{}
	accounts := []Account{accountCustomer(at.Customer), accountReorg(at.ID)}
	for _, p := range withdrawals {
		accounts = append(accounts, accountRefund(p.ID))
		taken[p.Asset.ID] = sum(taken[p.Asset.ID], p.takes())
	}
	for _, t := range txs {
		if t.Status == TxConfirmed && !t.Suspense {
			credited[t.Asset] = sum(credited[t.Asset], t.Amount)
		}
	}
	for _, e := range rest {
		if e.Rule != "L5" {
			others = append(others, e)
			continue
		}
		booked.post(e)
		_, known := taken[e.Asset]
		ok := e.Height == 0 && known && slices.Contains(accounts, e.Debit) && slices.Contains(accounts, e.Credit)
		a.row("entries", e.ID).holds(ruleEntryExtra, "", ok, "%s %s from %s to %s is no withdrawal from %s", e.Amount, e.Asset, e.Credit, e.Debit, at.ID)
	}
	for _, p := range withdrawals {
		owed := booked.of(p.Asset.ID, accountRefund(p.ID))
		a.row("payouts", p.ID).same(ruleAddressWithdrawal, "Amount", p.takes(), owed.Neg(owed), "by the entries on", string(accountRefund(p.ID)))
	}
	for asset, total := range taken {
		want := draw(credited[asset], total)
		row.same(ruleAddressWithdrawal, "", want.customer, booked.of(asset, accounts[0]), "is what withdrawals take of", string(accounts[0]))
		row.same(ruleAddressWithdrawal, "", want.lost, booked.of(asset, accounts[1]), "is what withdrawals take of", string(accounts[1]))
	}
	return others
}
