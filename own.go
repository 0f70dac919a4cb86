package bursar

import (
	"fmt"
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// recordOwn writes one transaction row for each movement of ours.
func (d *desk) recordOwn(s chain.TxStatus, p *payoutFile) error {
	fee := s.Fee // told once for the whole transaction
	for _, t := range s.Transfers {
		from, ours := d.net.book.own(t.From)
		if !ours {
			continue
		}
		row, err := d.ownRow(s, t)
		if err != nil {
			return err
		}
		row.AddressID = from.id
		if p != nil {
			row.PayoutID = p.ID
			row.Purpose = purposeOf(p.Kind)
			if paysStranger(p.Kind) {
				row.Type = TypeOutgoing
			}
			row.PaymentID = p.paymentOf(t.From)
			if p.Kind == PayoutRefund {
				row.PaymentID = p.Parent
			}
		}
		row.Fee, fee = fee, chain.Amount{}
		d.putOwn(row)
	}
	return nil
}

// paymentOf is the payment whose money a payout moves from a source, where it is one.
func (p *payoutFile) paymentOf(source chain.Address) string {
	var id string
	first := true
	for _, it := range p.Items {
		switch {
		case it.From != "" && it.From != source:
		case first:
			id, first = it.PaymentID, false
		case it.PaymentID != id:
			return ""
		}
	}
	return id
}

func (d *desk) putOwn(row Transaction) {
	if old := d.own[row.ID]; old != nil {
		*old = row
		return
	}
	d.own[row.ID] = &row
	d.ownList = append(d.ownList, &row)
}

// ownRow is the row of a movement of ours. The same row serves again when a
// transaction is mined again.
func (d *desk) ownRow(s chain.TxStatus, t chain.Transfer) (Transaction, error) {
	id := transactionID(d.net.info.ID, t.ID)
	row := Transaction{ID: id, Chain: d.net.info.ID, Transfer: t.ID, CreatedAt: d.now}
	old, err := d.tx.Transactions(d.ctx, TransactionQuery{IDs: []string{id}})
	if err != nil {
		return row, err
	}
	if len(old) == 1 {
		row = old[0]
	}
	required := d.net.depth()
	d.turn(&row, txIncluded)
	row.Type, row.Via = TypeInternal, chain.ViaDirect
	row.Asset, row.Amount, row.From, row.To = t.Asset, t.Amount, t.From, t.To
	row.GasUsed, row.GasPrice = s.GasUsed, s.GasPrice
	if len(s.Locks) > 0 {
		row.Lock = s.Locks[0]
	}
	row.Block, row.BlockHash, row.BlockTime, row.TxIndex = s.Block.Height, s.Block.Hash, s.Block.Time, s.TxIndex
	row.Required, row.ConfirmAt = required, s.Block.Height+required-1
	row.Inclusion++
	return row, nil
}

func purposeOf(k PayoutKind) chain.Purpose {
	switch k {
	case PayoutSweep:
		return chain.PurposeCollection
	case PayoutTopUp:
		return chain.PurposeTopUp
	case PayoutRefund:
		return chain.PurposeRefund
	case PayoutWithdrawal:
		return chain.PurposeWithdrawal
	}
	return chain.PurposeCancel
}

// lockRow writes one more row of a transaction of ours, which carries its lock
// and its block also where nothing moved.
func (d *desk) lockRow(s chain.TxStatus, p *payoutFile) error {
	row, err := d.ownRow(s, chain.Transfer{
		ID: chain.TransferID{Tx: s.ID, Ordinal: lockOrdinal}, Asset: d.net.info.Native.ID, From: s.From, To: s.From,
	})
	if err != nil {
		return err
	}
	if p != nil {
		row.PayoutID, row.Purpose = p.ID, purposeOf(p.Kind)
	}
	if len(s.Transfers) == 0 {
		row.Fee = s.Fee
	}
	d.putOwn(row)
	return nil
}

// lockOrdinal is the place inside a transaction that lockRow uses.
const lockOrdinal = "x"

// foreign books a transaction that a key of ours signed and we did not decide:
// the ledger follows the chain, and the operator is told at once.
func (d *desk) foreign(s chain.TxStatus) error {
	if err := d.follow(s, nil, "a transaction that this gateway did not make: "+string(s.ID)); err != nil {
		return err
	}
	return d.doubt(s)
}

// stray books a transaction of an attempt group that had been given up, after a
// reorg of final blocks brought it back. The chain is halted by then.
func (d *desk) stray(s chain.TxStatus, p *payoutFile) error {
	if err := d.follow(s, p, "a dead transaction of payout "+p.ID+" came back: "+string(s.ID)); err != nil || !paysStranger(p.Kind) {
		return err
	}
	return d.hold(p, codeInDoubt, "a transaction of it that was dead came back: "+string(s.ID))
}

// follow books a transaction that is no inclusion of a payout under way.
func (d *desk) follow(s chain.TxStatus, p *payoutFile, reason string) error {
	subject := string(d.net.info.ID)
	entry := func(part string, asset chain.AssetID, debit, credit Account, n chain.Amount) Entry {
		return Entry{
			ID: hashID("le_", "foreign", part, string(s.ID), string(s.Block.Hash), fmt.Sprint(d.state.Version)), Rule: "foreign", Asset: asset,
			Debit: debit, Credit: credit, Amount: n, Subject: subject, Transaction: string(s.ID), Chain: d.net.info.ID, Height: s.Block.Height,
		}
	}
	for i, t := range s.Transfers {
		if _, ours := d.net.book.own(t.From); !ours || t.Amount.IsZero() || t.From == t.To {
			continue
		}
		to := accountSuspense(t.From)
		if _, ours := d.net.book.own(t.To); ours {
			to = accountU(t.To)
		} else if t.To == d.net.cfg.Treasury {
			to = AccountTreasuryU
		}
		d.post([]Entry{entry(fmt.Sprint(i), t.Asset, to, accountU(t.From), t.Amount)})
		if err := d.known(t.From); err != nil {
			return err
		}
	}
	if !s.Fee.IsZero() {
		d.post([]Entry{entry("gas", d.net.info.Native.ID, AccountGasU, accountU(s.From), s.Fee)})
	}
	if err := d.recordOwn(s, p); err != nil {
		return err
	}
	if err := d.lockRow(s, p); err != nil {
		return err
	}
	d.chainEvent(AlertKeyCompromised, fmt.Sprintf("%s %s %d", s.ID, s.Block.Hash, d.state.Seq), EventData{
		Address: s.From, Height: s.Block.Height, Reason: reason,
	})
	return nil
}

// known gives an address of ours that money left a row, where the store has none: after
// a loss it does not know what a contract sent there before, and only addresses with a
// row have a turn when balances are compared.
func (d *desk) known(a chain.Address) error {
	_, err := d.file(a)
	return err
}

// orphanOwn takes back what we ourselves, or our keys, did in a block, but for
// the payouts that were taken back already.
func (d *desk) orphanOwn(block chain.BlockRef, done map[chain.TxID]bool) error {
	rows, err := d.tx.Transactions(d.ctx, TransactionQuery{
		Chain: d.net.info.ID, Blocks: []chain.BlockHash{block.Hash}, Types: []TransactionType{TypeInternal, TypeOutgoing},
	})
	if err != nil {
		return err
	}
	for _, row := range rows {
		if hash := row.Transfer.Tx; !done[hash] {
			done[hash] = true
			if err := d.undo(row); err != nil {
				return err
			}
		}
		d.turn(&row, txOrphaned)
		d.putOwn(row)
	}
	return nil
}

// undo takes back what a transaction of ours moved that is not the present one
// of a payout.
func (d *desk) undo(row Transaction) error {
	hash := row.Transfer.Tx
	if err := d.reverse(EntryQuery{Transactions: []string{string(hash)}, Unreversed: true}, row.Block); err != nil {
		return err
	}
	if row.PayoutID == "" {
		return nil
	}
	p, err := d.payout(row.PayoutID)
	if err != nil {
		return err
	}
	if err := d.reverse(EntryQuery{Subject: p.ID, Unreversed: true}, row.Block); err != nil {
		return err
	}
	// A failed attempt that was final has come loose, and a new group may be
	// under way: nothing more is signed until an operator has looked.
	d.halt(haltLoose, string(hash))
	return p.setOpen(hash, true)
}

// setOpen says whether an attempt can still be mined.
func (p *payoutFile) setOpen(id chain.TxID, open bool) error {
	for i := range p.attempts {
		if a := &p.attempts[i]; a.TxID == id {
			a.Open, p.dirty = open, true
			return nil
		}
	}
	return fmt.Errorf("%w: payout %s has no attempt %s", ErrInvariant, p.ID, id)
}

// finalizeOwn confirms our own transactions and looks, once they are final,
// whether one spent the lock of a payout that it is not of.
func (d *desk) finalizeOwn(height uint64) error {
	rows, err := d.tx.Transactions(d.ctx, TransactionQuery{
		Chain: d.net.info.ID, Types: []TransactionType{TypeInternal, TypeOutgoing}, Statuses: []TransactionStatus{TxConfirming},
	})
	if err != nil {
		return err
	}
	for _, row := range rows {
		if d.own[row.ID] == nil && row.Block <= height {
			d.putOwn(row)
		}
	}
	for _, row := range slices.Clone(d.ownList) {
		if row.Status != TxConfirming || row.Block > height {
			continue
		}
		d.turn(row, txDeep)
		row.ConfirmedAt, row.Final = d.now, true
		if err := d.lockSpent(*row); err != nil {
			return err
		}
	}
	return nil
}
