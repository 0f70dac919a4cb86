package bursar

import (
	"fmt"
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// A lock is what a transaction consumes, so that another one with it cannot be mined: a
// nonce. Attempt.Locks[0] is the transaction's own; the others of a batch are those with
// which sources begin to delegate in it.

// lockable checks that the locks of a signature are free, or those of its own
// attempt group. The store's unique locks are the last line behind it.
func (j *journal) lockable(d *desk, p *payoutFile, draft chain.Draft, s chain.Signed) error {
	var group []Attempt
	for _, a := range p.attempts {
		if a.Group == p.Group {
			group = append(group, a)
		}
	}
	if (len(group) > 0) != (len(draft.Intent.Reuse) > 0) {
		return fmt.Errorf("%w: payout %s has %d attempts in its group", ErrConflict, p.ID, len(group))
	}
	for _, a := range group {
		if !slices.ContainsFunc(s.Locks, func(l chain.Lock) bool { return slices.Contains(a.Locks, l) }) {
			return fmt.Errorf("%w: the replacement of %s shares no lock with it", ErrInvariant, a.TxID)
		}
	}
	held, err := d.tx.Attempts(d.ctx, AttemptQuery{Chain: s.Chain, Locks: s.Locks})
	if err != nil {
		return err
	}
	var delegating []chain.TxID
	for _, a := range held {
		if !a.Open && a.Locks[0] != s.Locks[0] {
			delegating = append(delegating, a.TxID)
			continue
		}
		if a.PayoutID != p.ID || a.Group != p.Group {
			if !a.Open {
				return fmt.Errorf("bursar: payout %s has used up a lock of %s: %w", a.PayoutID, s.ID, chain.ErrLockSpent)
			}
			return fmt.Errorf("%w: a lock of %s belongs to payout %s", ErrConflict, s.ID, a.PayoutID)
		}
	}
	return d.undelegated(s, delegating)
}

// undelegated checks that no transaction is in a block by which an account of ours began
// to delegate with a lock that is to be used again, whether it moved anything or not: a
// node that is behind tells of a nonce that is used up. One that can never be mined did
// not use it.
func (d *desk) undelegated(s chain.Signed, ids []chain.TxID) error {
	if len(ids) == 0 {
		return nil
	}
	rows, err := d.tx.Transactions(d.ctx, TransactionQuery{Chain: s.Chain, Hashes: ids})
	for _, row := range rows {
		if row.Live() {
			return fmt.Errorf("bursar: transaction %s has used up a lock of %s: %w", row.Transfer.Tx, s.ID, chain.ErrLockSpent)
		}
	}
	return err
}

// codeLockConsumed is why a payout is halted whose nonce a stranger's transaction used.
const codeLockConsumed = "LOCK_CONSUMED"

// lockSpent applies that a transaction of ours consumed its lock for good.
func (d *desk) lockSpent(row Transaction) error {
	if row.Transfer.Ordinal != lockOrdinal || row.Lock == "" && row.PayoutID == "" {
		return nil
	}
	if row.PayoutID != "" {
		p, err := d.payout(row.PayoutID)
		if err != nil {
			return err
		}
		return p.setOpen(row.Transfer.Tx, false)
	}
	held, err := d.tx.Attempts(d.ctx, AttemptQuery{Chain: d.net.info.ID, Locks: []chain.Lock{row.Lock}, Open: true})
	if err != nil {
		return err
	}
	for _, a := range held {
		p, err := d.payout(a.PayoutID)
		if err != nil {
			return err
		}
		if p.Status != PayoutSigned && p.Status != PayoutBroadcast || a.Locks[0] != row.Lock {
			// The first lock is the transaction's own. The others are those of accounts that
			// begin to delegate in it: without one of them the rest is moved all the same.
			continue
		}
		for i := range p.attempts {
			if at := &p.attempts[i]; at.Locks[0] == row.Lock {
				// It can never be mined: what delegates in it is free to do so in another.
				at.Open, p.dirty = false, true
			}
		}
		p.Canceling = false
		p.FailureCode, p.FailureReason = codeLockConsumed, "a foreign transaction spent the account's nonce: "+string(row.Transfer.Tx)
		if err := d.move(p, payoutForeign, string(row.Transfer.Tx)); err != nil {
			return err
		}
	}
	return nil
}
