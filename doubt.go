package bursar

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/sweeper"
)

// doubt halts what the sender of a transaction that nobody here decided was still to pay
// to strangers. A store that has lost its last commits does not know what it paid in the life that is
// forgotten: that one of these was it only a person can rule out.
func (d *desk) doubt(s chain.TxStatus) error {
	rows, err := d.tx.Payouts(d.ctx, PayoutQuery{
		Chain: d.net.info.ID, Kinds: strangers(),
		Statuses: []PayoutStatus{PayoutAwaitingApproval, PayoutPlanned, PayoutSigned, PayoutBroadcast, PayoutConfirmingFailed, PayoutFailed},
	})
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.From.Address != s.From {
			continue
		}
		p, err := d.payout(row.ID)
		if err != nil {
			return err
		}
		if err := d.hold(p, codeInDoubt, "its float made a transaction that this gateway did not decide, or has forgotten: "+string(s.ID)); err != nil {
			return err
		}
	}
	return nil
}

// hold leaves a payout to a stranger to a person. What is signed is decided by its lock.
// Where an attempt failed, and that is not final yet, it is halted when it is, instead of
// being planned anew; one that failed for good is with a person already, who is told.
func (d *desk) hold(p *payoutFile, code, reason string) error {
	switch p.Status {
	case PayoutAwaitingApproval, PayoutPlanned:
		p.FailureCode, p.FailureReason = code, reason
		return d.move(p, payoutDoubt, fmt.Sprintf("%s %d", code, p.Seq))
	case PayoutConfirmingFailed, PayoutFailed:
		p.FailureCode, p.FailureReason, p.dirty = code, reason, true
	}
	return nil
}

// uncover holds the refunds of a payment, or the withdrawals of an address, of which
// nothing is signed: a reorg took money that they were to give back, and what never came
// is not paid out unasked.
func (d *desk) uncover(parent string) error {
	rows, err := d.tx.Payouts(d.ctx, PayoutQuery{
		Parents: []string{parent}, Kinds: strangers(), Statuses: []PayoutStatus{PayoutAwaitingApproval, PayoutPlanned},
	})
	if err != nil {
		return err
	}
	for _, row := range rows {
		p, err := d.payout(row.ID)
		if err != nil {
			return err
		}
		if err := d.hold(p, codeUncovered, "a reorg took money that it was to give back"); err != nil {
			return err
		}
	}
	return nil
}

// unpaid fails where a transaction of a payout to a stranger moved what it should, at a
// time at which the payout did not wait for it any more.
func (d *desk) unpaid(p *payoutFile) error {
	if !paysStranger(p.Kind) {
		return nil
	}
	rows, err := d.tx.Transactions(d.ctx, TransactionQuery{PayoutIDs: []string{p.ID}, Statuses: []TransactionStatus{TxConfirming, TxConfirmed}})
	for _, t := range rows {
		if t.To == p.To {
			return fmt.Errorf("%w: payout %s is %s, and transaction %s paid it", ErrPayoutClosed, p.ID, p.Status, t.Transfer.Tx)
		}
	}
	return err
}

// known reports whether the store knows what a draft's account did last: an attempt
// of ours, or a transaction that was seen in a block. Else the store may have lost
// its last commits, and with them that this very refund was paid; the scanner is
// about to meet it, and doubt is told then. It is a sweeper.Config.Known.
//
// A float that was at work before the scanner began has a past that no store ever
// knew. It is waited for as long as a transaction of that time could still be new.
func (j *journal) known(ctx context.Context, d chain.Draft) error {
	if a := d.Intent.Moves[0].Asset; j.net.known().all[a.ID].ID == "" {
		return fmt.Errorf("bursar: %s (%s) is not configured any more: nobody would see that it was paid", a.Symbol, a.ID)
	}
	var missing chain.Lock
	var tip uint64
	err := j.gw.store.Read(ctx, func(r Reader) error {
		st, err := r.Chain(ctx, j.net.info.ID)
		if err != nil {
			return err
		}
		tip = st.Tip().Height
		for _, lock := range d.After {
			ok, err := heldByUs(ctx, r, d, lock)
			if err != nil {
				return err
			}
			if !ok {
				missing = lock
			}
		}
		return nil
	})
	if err != nil || missing == "" {
		return err
	}
	head, err := j.net.client.Head(ctx)
	if err != nil {
		return err
	}
	if until := j.net.pasts.until(missing, head.Latest.Height+max(j.net.depth(), j.net.info.FinalityDepth, pastDepth)); tip < until {
		return fmt.Errorf("%w: nobody here knows who used %s; looks at block %d", sweeper.ErrUnknownPast, missing, until)
	}
	return nil
}

// pastDepth is how many blocks the node that tells of blocks may be behind the one that
// made the draft.
const pastDepth = 64

// heldByUs reports whether an attempt of ours holds a lock, or a transaction that the
// scanner saw consumed it.
func heldByUs(ctx context.Context, r Reader, d chain.Draft, lock chain.Lock) (bool, error) {
	held, err := r.Attempts(ctx, AttemptQuery{Chain: d.Chain, Locks: []chain.Lock{lock}})
	if err != nil || len(held) > 0 {
		return len(held) > 0, err
	}
	rows, err := r.Transactions(ctx, TransactionQuery{
		Chain: d.Chain, From: d.Intent.Moves[0].From.Address, Types: []TransactionType{TypeInternal, TypeOutgoing},
		Statuses: []TransactionStatus{TxConfirming, TxConfirmed},
	})
	return slices.ContainsFunc(rows, func(t Transaction) bool { return t.Lock == lock }), err
}

// pasts are the heights from which a lock that nobody knows counts as used before the
// scanner began.
type pasts struct {
	mu sync.Mutex
	at map[chain.Lock]uint64
}

// until returns what was noted for a lock first, or notes it.
func (p *pasts) until(lock chain.Lock, height uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.at[lock]
	if !ok {
		if p.at == nil {
			p.at = map[chain.Lock]uint64{}
		}
		at, p.at[lock] = height, height
	}
	return at
}
