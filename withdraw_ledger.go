package bursar

import (
	"fmt"

	"github.com/bursar-go/bursar/chain"
)

// drawn is where the withdrawals of a customer, in one asset, come from: the claim that
// the customer's deposits made. What they do not cover any more, because a reorg took a
// deposit that was paid out already, the customer owes us.
type drawn struct{ customer, lost chain.Amount }

// draw works it out, from what was credited and what is, or is to be, withdrawn.
func draw(credited, withdrawing chain.Amount) drawn {
	part := withdrawing.Min(credited)
	return drawn{part, withdrawing.SubFloor(part)}
}

// credited is what deposits to a permanent address come to that the ledger has on the
// customer's account.
func (f *file) credited(asset chain.AssetID) (total chain.Amount) {
	for _, t := range f.txs {
		if t.Asset == asset && t.Status == TxConfirmed && !t.Suspense {
			total = sum(total, t.Amount)
		}
	}
	return total
}

// withdrawable is what of it is final and neither withdrawn nor about to be.
func (d *desk) withdrawable(f *file, asset chain.AssetID) (chain.Amount, error) {
	taken, err := d.withdrawing(f, asset)
	return f.final(asset).SubFloor(taken), err
}

// withdrawing is what the withdrawals of an address come to. It is read once, before
// the first of them changes here, and changed by draws alone.
func (d *desk) withdrawing(f *file, asset chain.AssetID) (chain.Amount, error) {
	if n, ok := f.taken[asset]; ok {
		return n, nil
	}
	rows, err := d.tx.Payouts(d.ctx, PayoutQuery{Parents: []string{f.address.ID}, Kinds: []PayoutKind{PayoutWithdrawal}})
	if err != nil {
		return chain.Amount{}, err
	}
	total := chain.Amount{}
	for _, p := range rows {
		if p.Asset.ID == asset {
			total = sum(total, p.takes())
		}
	}
	if f.taken == nil {
		f.taken = map[chain.AssetID]chain.Amount{}
	}
	f.taken[asset] = total
	return total, nil
}

// draws changes how much one withdrawal takes of the customer's deposits.
func (d *desk) draws(p *payoutFile, less, more chain.Amount, cause string) error {
	rows, err := d.tx.Addresses(d.ctx, AddressQuery{IDs: []string{p.Parent}})
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("%w: payout %s is of address %s, which is gone", ErrInvariant, p.ID, p.Parent)
	}
	f, err := d.file(rows[0].Address)
	if err != nil {
		return err
	}
	asset := p.Asset.ID
	was, err := d.withdrawing(f, asset)
	if err != nil {
		return err
	}
	now := sum(was.SubFloor(less), more)
	f.taken[asset] = now
	// Two at once have no row in common but this one: neither would count the other.
	f.touched = true
	credited := f.credited(asset)
	before, after := draw(credited, was), draw(credited, now)
	cause = fmt.Sprintf("%s %s %d", p.ID, cause, p.Version)
	d.post(shifted(f.address.ID, asset, cause, append(f.legs(before, after), leg{accountRefund(p.ID), now, was})))
	return d.uncovered(f, asset, before, after, cause)
}

// uncovered tells of what was withdrawn and is not there any more.
func (d *desk) uncovered(f *file, asset chain.AssetID, before, after drawn, cause string) error {
	if !before.lost.Less(after.lost) {
		return nil
	}
	a := d.gw.asset(asset)
	f.notices = append(f.notices, notice{kind: AlertRefundUncovered, cause: cause, data: EventData{
		Chain: asset.Chain(), Asset: asset, TokenID: a.Symbol, Address: f.address.Address, AddressID: f.address.ID, Customer: f.address.Customer,
		Metadata: f.address.Metadata, Reason: a.Format(after.lost) + " " + a.Symbol + " were withdrawn, or are about to be, and are not there any more",
	}})
	return d.uncover(f.address.ID)
}

func (f *file) legs(before, after drawn) []leg {
	return []leg{
		{accountCustomer(f.address.Customer), before.customer, after.customer},
		{accountReorg(f.address.ID), before.lost, after.lost},
	}
}

// recredit follows a deposit that came or went: credited is what they came to before.
func (d *desk) recredit(f *file, t Transaction, credited chain.Amount, cause string) error {
	if f.address.Role != RolePermanent || f.payment {
		return nil
	}
	now := f.credited(t.Asset)
	if now == credited {
		return nil
	}
	taken, err := d.withdrawing(f, t.Asset)
	if err != nil || taken.IsZero() {
		return err
	}
	before, after := draw(credited, taken), draw(now, taken)
	cause = fmt.Sprintf("%s %s %d", t.ID, cause, t.Version)
	d.post(shifted(f.address.ID, t.Asset, cause, f.legs(before, after)))
	return d.uncovered(f, t.Asset, before, after, cause)
}
