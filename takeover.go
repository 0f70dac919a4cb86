package bursar

import "slices"

// takeOver gives what a signed payout covers to the deposits that are there. It
// was signed for one that a reorg took from the chain; what it moves, once it is
// mined, is whatever the address has by then: the same coin under another name, the
// payer's second transaction, another deposit. Without this they would be swept once
// more, from an address that is empty. Nothing is left behind on a deposit that
// comes back: what was taken over stays where it is.
func (d *desk) takeOver() error {
	for _, f := range slices.Clone(d.order) {
		for _, gone := range slices.Clone(f.txs) {
			if gone.Live() || gone.Reserved.IsZero() {
				continue
			}
			if err := d.takeOverOf(f, gone); err != nil {
				return err
			}
		}
	}
	return nil
}

// takeOverOf divides what is reserved of a transaction that is in no block.
func (d *desk) takeOverOf(f *file, gone Transaction) error {
	heirs := slices.DeleteFunc(slices.Clone(f.txs), func(t Transaction) bool {
		return !t.Live() || t.Suspense || t.Type != TypeIncoming || t.Asset != gone.Asset || uncovered(t).IsZero()
	})
	if len(heirs) == 0 {
		return nil
	}
	rows, err := d.tx.Payouts(d.ctx, PayoutQuery{Chain: d.net.info.ID, Kinds: []PayoutKind{PayoutSweep}, Open: true})
	if err != nil {
		return err
	}
	for _, row := range rows {
		if !slices.ContainsFunc(row.Items, func(it PayoutItem) bool { return it.TransactionID == gone.ID }) {
			continue
		}
		p, err := d.addPayout(row)
		if err != nil {
			return err
		}
		// It may have been given up, or have failed, in this very step.
		if p.Status.Open() {
			d.divide(f, p, gone.ID, heirs)
		}
	}
	return nil
}

// divide lets the heirs take over a payout's part in a transaction, the oldest first.
func (d *desk) divide(f *file, p *payoutFile, gone string, heirs []Transaction) {
	at := slices.IndexFunc(p.Items, func(it PayoutItem) bool { return it.TransactionID == gone })
	if at < 0 {
		return
	}
	left, own := p.Items[at].Amount, p.Items[at]
	var items []PayoutItem
	for _, heir := range heirs {
		t := f.tx(heir.ID)
		part := uncovered(*t).Min(left)
		if part.IsZero() {
			continue
		}
		t.Reserved, left = sum(t.Reserved, part), left.SubFloor(part)
		f.dirty[t.ID] = true
		items = append(items, PayoutItem{TransactionID: t.ID, PaymentID: t.PaymentID, From: own.From, Amount: part})
	}
	t := f.tx(gone)
	t.Reserved = t.Reserved.SubFloor(own.Amount.SubFloor(left))
	f.dirty[gone] = true
	if own.Amount = left; !left.IsZero() {
		items = append(items, own)
	}
	p.Items = slices.Concat(p.Items[:at:at], items, p.Items[at+1:])
	p.dirty = true
	p.shareFee()
}
