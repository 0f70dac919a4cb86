package bursar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// RetryPayout lets a payout go on at once, whatever it was waiting for. One that
// failed for good, or that was halted because somebody else spent its nonce, is
// planned anew, with all its tries; one that waits after a failure is due at the next
// look of the sweeper (Chain.Poll). What its deposits have lost to a reorg meanwhile
// is not moved: then the payout is canceled, and that is no error. Repeating the call
// is none either. A sweep that waits for lower fees (Chain.LowFee) only has the price
// looked at again.
//
// Look at FailureReason first. A halted payout means that a key of ours signed what
// this gateway did not.
//
// Errors: ErrNotFound; ErrPayoutUnderway where something signed can be mined, which is
// sent again by itself (see BumpPayout), or came loose by a reorg of final blocks; ErrPayoutClosed where it is confirmed or canceled;
// *FieldError where its chain is not configured any more.
func (g *Gateway) RetryPayout(ctx context.Context, id string) (Payout, error) {
	return g.steer(ctx, id, func(d *desk, p *payoutFile) error {
		switch p.Status {
		case PayoutFailed, PayoutHalted:
			if err := d.settleLocks(p); err != nil {
				return err
			}
			return d.resubmit(p)
		case PayoutPlanned:
			if p.Failures > 0 || !p.NotBefore.IsZero() {
				p.Failures, p.NotBefore, p.dirty = 0, time.Time{}, true
			}
			return nil
		}
		return p.refuse()
	})
}

// CancelPayout gives a payout up and frees what it covers. Money that was to be swept
// stays where it is, and unless Chain.Sweep is off the sweeper plans a new sweep of it.
//
// Where nothing signed can be mined, that is done when it returns. What is signed and in
// no block yet cannot be called back, only overtaken: the payout is Canceling, the
// sweeper signs a transaction with the same nonce that moves nothing and offers more for
// its place (up to Chain.MaxFee), and one of the two is mined. If it is that one the
// payout is canceled once it is final, with the event payout.canceled; if the old one
// was faster it goes on and is confirmed. A batch is overtaken whole.
// Canceling twice is no error.
//
// Errors: ErrNotFound; ErrPayoutUnderway where its transaction is in a block that is not
// final yet, came loose by a reorg of final blocks, or where the client cannot replace it
// or nobody signs here (then it wraps chain.ErrUnsupported too); ErrPayoutClosed where it
// is confirmed; *FieldError where its chain is not configured any more.
func (g *Gateway) CancelPayout(ctx context.Context, id string) (Payout, error) {
	return g.steer(ctx, id, func(d *desk, p *payoutFile) error {
		switch {
		case p.Status == PayoutCanceled:
			return nil
		case p.Status == PayoutSigned || p.Status == PayoutBroadcast:
			return d.callOff(p)
		case p.Status != PayoutFailed && p.Status != PayoutHalted && p.Status != PayoutAwaitingApproval && !p.unsigned():
			return p.refuse()
		}
		if err := d.settleLocks(p); err != nil {
			return err
		}
		return d.giveUp(p, errSignedOff)
	})
}

// callOff has the sweeper overtake what is signed for a payout.
func (d *desk) callOff(p *payoutFile) error {
	if p.Canceling {
		return nil
	}
	if err := d.net.canBump(); err != nil {
		return fmt.Errorf("%w: payout %s is %s: %w", ErrPayoutUnderway, p.ID, p.Status, err)
	}
	p.Canceling, p.Failures, p.NotBefore, p.dirty = true, 0, time.Time{}, true
	return nil
}

// BumpPayout has what is signed for a payout replaced by a dearer transaction with
// the same nonce at the next look of the sweeper (Chain.Poll), without waiting for
// the time after which it would be anyway, and beyond the number of replacements that
// it makes by itself. Only one of them can ever be mined. Of a payout that is Canceling
// it is what cancels it that becomes dearer. maxFee, where it is not
// zero, raises what the payout may cost, in base units of the native coin;
// Chain.MaxFee stays the limit. Asking again before the replacement was made is no
// error, and makes no second one.
//
// Errors: ErrNotFound; ErrNotBumpable where nothing signed waits to be mined;
// ErrPayoutClosed where it has reached its end; chain.ErrUnsupported where the client
// cannot replace, or nobody signs here; *FieldError for a maxFee that is below what
// the payout may cost already or above Chain.MaxFee, or where its chain is not
// configured any more.
func (g *Gateway) BumpPayout(ctx context.Context, id string, maxFee chain.Amount) (Payout, error) {
	return g.steer(ctx, id, func(d *desk, p *payoutFile) error {
		switch {
		case !p.Status.Open():
			return fmt.Errorf("%w: payout %s is %s", ErrPayoutClosed, p.ID, p.Status)
		case p.Status != PayoutSigned && p.Status != PayoutBroadcast:
			return fmt.Errorf("%w: payout %s is %s", ErrNotBumpable, p.ID, p.Status)
		}
		if err := d.net.canBump(); err != nil {
			return err
		}
		if err := d.raise(p, maxFee); err != nil {
			return err
		}
		n := 0
		for _, a := range p.attempts {
			if a.Group == p.Group {
				n++
			}
		}
		if p.Urged != n {
			p.Urged, p.Failures, p.NotBefore, p.dirty = n, 0, time.Time{}, true
		}
		return nil
	})
}

// steer loads a payout with its attempts, applies fn and writes the result in one
// transaction. It takes no lease: whoever else changes the payout at the same time,
// one of the two reads it again.
func (g *Gateway) steer(ctx context.Context, id string, fn func(*desk, *payoutFile) error) (Payout, error) {
	if err := g.writable(ctx); err != nil {
		return Payout{}, err
	}
	var out Payout
	err := g.store.Write(ctx, func(tx Tx) error {
		rows, err := tx.Payouts(ctx, PayoutQuery{IDs: []string{id}})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return fmt.Errorf("%w: payout %q", ErrNotFound, id)
		}
		net, ok := g.nets[rows[0].Chain]
		if !ok {
			return fieldErr("Payout.Chain", CodeUnknown, "chain %s is not configured any more", rows[0].Chain)
		}
		d, err := newDesk(ctx, g, net, tx)
		if err != nil {
			return err
		}
		d.moved = false // the cursor is the scanner's
		p, err := d.payout(id)
		if err != nil {
			return err
		}
		was := slices.Clone(p.attempts)
		if err := fn(d, p); err != nil {
			return err
		}
		if out = p.Payout; !p.dirty {
			return nil
		}
		b := d.batch()
		// The attempts are the sweeper's, but for those that are closed here.
		b.Attempts = slices.DeleteFunc(b.Attempts, func(a Attempt) bool {
			return slices.ContainsFunc(was, func(old Attempt) bool { return old.ID == a.ID && old.Open == a.Open })
		})
		out = p.Payout
		out.Version++
		return tx.Apply(ctx, b)
	})
	if err != nil {
		return Payout{}, err
	}
	g.wakePump()
	return out, nil
}

// settleLocks closes what a stranger's transaction made void, and fails where
// something that was signed can still be mined: a reorg of final blocks may have set
// it free again.
func (d *desk) settleLocks(p *payoutFile) error {
	if err := d.unpaid(p); err != nil {
		return err
	}
	for i := range p.attempts {
		a := &p.attempts[i]
		if !a.Open && (p.FailureCode != codeLockConsumed || a.Group != p.Group) {
			continue
		}
		spent, err := d.spentForGood(p, a.Locks)
		switch {
		case err != nil:
			return err
		case !spent:
			return fmt.Errorf("%w: payout %s is %s, and transaction %s can still be mined", ErrPayoutUnderway, p.ID, p.Status, a.TxID)
		}
		a.Open, p.dirty = false, true
	}
	return nil
}

// spentForGood reports whether a final transaction that is none of the payout's has
// consumed one of the locks: what we or our keys sent is confirmed when it is final.
func (d *desk) spentForGood(p *payoutFile, locks []chain.Lock) (bool, error) {
	rows, err := d.tx.Transactions(d.ctx, TransactionQuery{Chain: p.Chain, From: p.From.Address, Statuses: []TransactionStatus{TxConfirmed}})
	return slices.ContainsFunc(rows, func(t Transaction) bool {
		return t.Lock != "" && t.PayoutID != p.ID && slices.Contains(locks, t.Lock)
	}), err
}

// resubmit plans a payout anew of which nothing signed can be mined any more.
func (d *desk) resubmit(p *payoutFile) error {
	p.Group, p.Tries, p.Urged, p.TxID = p.Group+1, 0, 0, ""
	p.Failures, p.NotBefore, p.FailureCode, p.FailureReason = 0, time.Time{}, "", ""
	if paysStranger(p.Kind) && p.Approval == nil {
		return d.move(p, payoutAskAgain, "retry")
	}
	if err := d.move(p, payoutResubmit, "retry"); err != nil {
		return err
	}
	return d.mayGiveUp(p)
}

// errCalledOff is why a payout is canceled of which something was signed.
var errCalledOff = errors.New("bursar: a transaction that moves nothing was mined in its place")

// errSignedOff is why a payout is canceled that an operator did not want any more.
var errSignedOff = errors.New("bursar: canceled by an operator")

// refuse is the error for a payout that cannot be retried or canceled as it is.
func (p *payoutFile) refuse() error {
	if p.Status.Open() {
		return fmt.Errorf("%w: payout %s is %s", ErrPayoutUnderway, p.ID, p.Status)
	}
	return fmt.Errorf("%w: payout %s is %s", ErrPayoutClosed, p.ID, p.Status)
}

// raise lets a payout cost more.
func (d *desk) raise(p *payoutFile, maxFee chain.Amount) error {
	most := d.net.cfg.MaxFee
	switch {
	case maxFee.IsZero() || maxFee == p.MaxFee:
		return nil
	case p.MaxFee.IsZero() || maxFee.Less(p.MaxFee):
		return fieldErr("BumpPayout.MaxFee", CodeOutOfRange, "%s is below what the payout may cost already, %s (0: no limit of its own)", maxFee, p.MaxFee)
	case !most.IsZero() && most.Less(maxFee):
		return fieldErr("BumpPayout.MaxFee", CodeOutOfRange, "%s is above the chain's MaxFee, %s", maxFee, most)
	}
	p.MaxFee, p.dirty = maxFee, true
	// It may be what the replacement failed for.
	p.Failures, p.NotBefore = 0, time.Time{}
	return nil
}

// canBump reports whether a stuck transaction can be replaced here at all.
func (n *network) canBump() error {
	if _, ok := chain.As[chain.FeeBumper](n.client); !ok {
		return fmt.Errorf("bursar: chain %s: its client replaces nothing: %w", n.info.ID, chain.ErrUnsupported)
	}
	if n.sweeper == nil || n.sweeper.WatchOnly() {
		return fmt.Errorf("bursar: chain %s: nobody signs here: %w", n.info.ID, chain.ErrUnsupported)
	}
	return nil
}
