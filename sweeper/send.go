package sweeper

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// resend sends again what is due, oldest job first: a gap in an account's
// nonces is closed from below. A job that is stuck gets a dearer attempt, but
// only when the network was just seen to still wait for it. It returns the
// top-ups without which a dearer attempt cannot be paid.
func (r *round) resend(ctx context.Context) (plans []Plan) {
	for _, j := range r.work.Jobs {
		if r.ended(ctx) {
			return nil
		}
		if !j.inFlight() {
			continue
		}
		stuck := r.stuck(j)
		if !stuck && r.policy.resendAt(j.newest()).After(r.work.Now) {
			continue
		}
		if stuck && j.cancelDue() {
			// What is not to be mined is not sent once more.
			plans = append(plans, r.bump(ctx, j)...)
			continue
		}
		outcome := r.send(ctx, j)
		if r.ended(ctx) {
			return nil
		}
		if stuck && (outcome == nil || errors.Is(outcome, chain.ErrUnderpriced) || overdrawn(j, outcome)) {
			plans = append(plans, r.bump(ctx, j)...)
		} else if lost := lostGas(j, outcome); len(lost) > 0 && !r.WatchOnly() && !r.work.Halted {
			plans = append(plans, r.needs(ctx, j, lost)...)
		}
	}
	return plans
}

// overdrawn reports whether the sweep of all coin was signed for more than is there
// now, by coin that nobody counts on: what came last, a reorg took again. No node
// takes it any more. Another one with the same nonce takes what there is, and only one
// of the two can ever be mined.
func overdrawn(j Job, outcome error) bool {
	var funds *chain.InsufficientFundsError
	if !errors.As(outcome, &funds) || j.Gone || len(j.Intent.Moves) != 1 {
		return false
	}
	m := j.Intent.Moves[0]
	return m.All && m.Asset.Native() && funds.Asset.Native() && funds.Account == m.From.Address && !funds.Available.IsZero()
}

// lostGas is what a signed token move lacks to be taken by the network: the
// coin that it was prepared with left the chain in a reorg. Without it the same
// bytes could never be mined, and nothing else may be made in their place.
// Native coin that was to be moved itself is not replaced.
func lostGas(j Job, outcome error) []chain.Need {
	var funds *chain.InsufficientFundsError
	if !errors.As(outcome, &funds) || j.Intent.Purpose == chain.PurposeTopUp || !funds.Asset.Native() {
		return nil
	}
	for _, m := range j.Intent.Moves {
		if m.Asset.Native() {
			return nil
		}
	}
	account := accountOf(j, funds.Account)
	missing := funds.Required.SubFloor(funds.Available)
	if account.Address == "" || missing.IsZero() {
		return nil
	}
	return []chain.Need{{Account: account, Asset: funds.Asset, Amount: missing}}
}

// send hands the job's bytes to the network, the dearest attempt first, records
// what happened and returns it. Only where the node finds that one unfit for
// its pool do the older ones get their chance: any of them may win.
func (r *round) send(ctx context.Context, j Job) (outcome error) {
	for _, a := range slices.Backward(j.Attempts) {
		if outcome = ctx.Err(); outcome != nil {
			return outcome
		}
		if !r.holding(ctx) {
			return r.over
		}
		outcome = r.broadcast(ctx, j, a.Signed)
		if err := guard("Journal.Sent", func() error { return r.journal.Sent(ctx, j.ID, a.Signed.ID, outcome) }); err != nil {
			r.fail(ctx, j, "Sent", err)
		}
		if outcome == nil {
			return nil
		}
		r.log.WarnContext(ctx, "broadcast failed; the same bytes are sent again later",
			"job", j.ID, "tx", string(a.Signed.ID), "err", outcome)
		var funds *chain.InsufficientFundsError
		if !errors.Is(outcome, chain.ErrUnderpriced) && !errors.As(outcome, &funds) {
			return outcome
		}
	}
	return outcome
}

// broadcast sends one attempt. A spent lock is no failure where the spender is
// of the same group: then one of our own was faster than the answer. Otherwise
// somebody else may have our key, and nothing new is made of it: the scanner
// finds the spender, and what follows is decided when that is final.
func (r *round) broadcast(ctx context.Context, j Job, s chain.Signed) error {
	err := r.call(ctx, "Client.Broadcast", func(ctx context.Context) error { return r.client.Broadcast(ctx, s) })
	if !errors.Is(err, chain.ErrLockSpent) {
		return err
	}
	found, statusErr := r.status(ctx, j)
	known := slices.ContainsFunc(found, func(s chain.TxStatus) bool { return s.State == chain.TxPending || mined(s) })
	if known {
		return nil
	}
	return errors.Join(err, statusErr)
}

func mined(s chain.TxStatus) bool { return s.State == chain.TxIncluded || s.State == chain.TxFailed }

// status asks what the node knows of the group's transactions. Answers about
// anything else are dropped.
func (r *round) status(ctx context.Context, j Job) (found []chain.TxStatus, err error) {
	ids := make([]chain.TxID, 0, len(j.Attempts))
	for _, a := range j.Attempts {
		ids = append(ids, a.Signed.ID)
	}
	err = r.call(ctx, "Client.Status", func(ctx context.Context) (err error) {
		found, err = r.client.Status(ctx, ids...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sweeper: Status: %w", err)
	}
	return slices.DeleteFunc(slices.Clone(found), func(s chain.TxStatus) bool { return !slices.Contains(ids, s.ID) }), nil
}

// stuck reports whether the job is due for a replacement. One that was never
// sent is not: its fee was never put to the test.
func (r *round) stuck(j Job) bool {
	last := j.newest()
	switch {
	case r.bumper == nil || r.WatchOnly() || r.work.Halted || j.NotBefore.After(r.work.Now):
		return false
	case j.cancelDue():
		return true
	case last.SentAt.IsZero():
		return false
	}
	return j.Urgent || r.policy.BumpAfter > 0 && len(j.Attempts) <= r.policy.MaxBumps && r.work.Now.Sub(last.SignedAt) >= r.policy.bumpAfter(j)
}

// bump replaces a stuck attempt by a dearer one of the same group. What the
// attempts have in common is what makes it safe, so it is checked and not
// assumed.
func (r *round) bump(ctx context.Context, j Job) []Plan {
	if r.awaitsTopUp(j) {
		return nil
	}
	common := commonLocks(j.Attempts)
	if len(common) == 0 {
		r.errs = append(r.errs, &JobError{j.ID, "Work", refuse("job.attempts", string(j.newest().Signed.ID), "no lock in common")})
		return nil
	}
	found, err := r.status(ctx, j)
	if err != nil || slices.ContainsFunc(found, mined) {
		r.log.InfoContext(ctx, "no replacement: mined already, or not known", "job", j.ID, "err", err)
		return nil
	}
	in, others := r.intent(j), r.takenByOthers(j)
	if j.Cancel {
		in = r.cancellation(j, in)
	}
	in.Taken = slices.DeleteFunc(in.Taken, func(l chain.Lock) bool { return !others[l] })
	in.Reuse = common
	draft, err := r.replacement(ctx, j, in)
	switch {
	case err != nil && r.policy.abandons(j, err):
		r.callOff(ctx, j, err)
	case err != nil:
		r.postpone(ctx, j, err)
	case len(draft.Needs) > 0:
		// Dearer gas, or gas that a reorg let another attempt use up.
		return r.needs(ctx, j, draft.Needs)
	case !slices.ContainsFunc(common, func(l chain.Lock) bool { return slices.Contains(draft.Locks, l) }):
		r.postpone(ctx, j, refuse("draft.locks", fmt.Sprint(draft.Locks), "shares none with the attempts that it replaces"))
	default:
		r.commit(ctx, j, in, draft)
	}
	return nil
}

// abandons reports whether a batch is given up that has been stuck at its cap for long:
// it offers all that it may, and holds the sponsor's nonce and with it everything. What
// cancels it takes the work of one transfer, and so can offer many times as much for it.
// Whatever else is stuck holds up its own account alone, or is as small itself.
func (p Policy) abandons(j Job, cause error) bool {
	var dear *chain.FeeTooHighError
	return j.batch() && !j.Cancel && j.Failures+1 >= p.QuarantineAfter && errors.As(cause, &dear)
}

// callOff has the next pass cancel what is signed.
func (r *round) callOff(ctx context.Context, j Job, cause error) {
	if ctx.Err() != nil {
		return
	}
	r.log.WarnContext(ctx, "batch called off: it is stuck at its cap", "job", j.ID, "err", cause)
	if err := guard("Journal.CallOff", func() error { return r.journal.CallOff(ctx, j.ID, cause) }); err != nil {
		r.fail(ctx, j, "CallOff", err)
		return
	}
	r.again = true
}

// cancellation is an intent that uses up the nonce of what is signed and moves nothing.
// What it may cost is not a matter of what the job was worth: it is to be gone.
func (r *round) cancellation(j Job, in chain.Intent) chain.Intent {
	own := j.signer()
	return chain.Intent{
		Purpose: chain.PurposeCancel, Moves: []chain.Move{{From: own, To: own.Address, Asset: r.info.Native}},
		MaxFee: r.policy.feeCap(chain.Amount{}), Taken: in.Taken,
	}
}

func (r *round) replacement(ctx context.Context, j Job, in chain.Intent) (d chain.Draft, err error) {
	// The parent of a top-up may have moved on; that makes a stuck top-up no
	// less worth finishing, for it holds a nonce of the sponsor. And what the policy
	// would not do any more is canceled all the same.
	if err := r.policy.checkIntent(r.info.ID, j, r.work.Jobs); err != nil && !errors.Is(err, ErrTopUpObsolete) && !j.Cancel {
		return d, err
	}
	err = r.call(ctx, "FeeBumper.Bump", func(ctx context.Context) (err error) {
		d, err = r.bumper.Bump(ctx, in, j.newest().Signed)
		return err
	})
	return d, err
}
