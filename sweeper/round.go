package sweeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// round is the memory of one step.
type round struct {
	*Sweeper
	work Work
	// taken are all locks that must not be used again: those of the journal and
	// those of this round.
	taken map[chain.Lock]bool
	// tried are the jobs that had their turn.
	tried map[string]bool
	// drawn are the accounts from which a transaction under way takes money.
	drawn map[chain.Address]bool
	// unsure are the accounts with a signature of which it is not known whether
	// it was recorded. If a later nonce were recorded and this one not, the gap
	// would hold up everything behind it.
	unsure map[chain.Address]bool
	// market is what EstimateFees told in this round; nil before it was asked.
	market *chain.FeeMarket
	// nodeFailures counts the preparations that the node failed.
	nodeFailures int
	errs         []error
	// again is true where what was done in this pass is to be looked at in another.
	again bool
	// over is why the round ended before its work was done.
	over error
}

// ended reports whether nothing more may be done in this round.
func (r *round) ended(ctx context.Context) bool { return r.over != nil || ctx.Err() != nil }

// holding asks whether the work is still ours, right before something that
// cannot be taken back.
func (r *round) holding(ctx context.Context) bool {
	if r.over == nil && r.holds != nil {
		if err := guard("Config.Holds", func() error { return r.holds(ctx) }); err != nil {
			r.over = fmt.Errorf("sweeper: Holds: %w", err)
		}
	}
	return r.over == nil
}

// load takes a new snapshot. Locks and accounts used in this round stay used.
func (r *round) load(ctx context.Context) error {
	err := guard("Journal.Work", func() (err error) {
		r.work, err = r.journal.Work(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("sweeper: Work: %w", err)
	}
	for _, l := range r.work.Taken {
		r.taken[l] = true
	}
	for _, j := range r.work.Jobs {
		for _, a := range j.Attempts {
			r.take(a.Signed.Locks)
		}
		if j.inFlight() {
			r.draw(j)
		}
	}
	return nil
}

func (r *round) take(locks []chain.Lock) {
	for _, l := range locks {
		r.taken[l] = true
	}
}

// draw notes that the job's sources are about to pay. The sponsor is left out:
// any number of top-ups may be under way, its nonces keep them apart.
func (r *round) draw(j Job) {
	if j.Intent.Purpose == chain.PurposeTopUp {
		return
	}
	for _, a := range j.sources() {
		r.drawn[a] = true
	}
}

// advanceAll gives each planned job that is due its turn, oldest first, and
// returns the top-ups that turned out to be needed.
func (r *round) advanceAll(ctx context.Context) (plans []Plan) {
	for _, j := range r.work.Jobs {
		if r.ended(ctx) || r.nodeFailures >= nodeDownAfter {
			break
		}
		if j.started() || r.tried[j.ID] || j.NotBefore.After(r.work.Now) || r.waits(j) {
			continue
		}
		if j.State != Planned {
			// Never prepared anew: bytes that we do not see may be out there.
			r.tried[j.ID] = true
			r.errs = append(r.errs, &JobError{j.ID, "Work", refuse("job.attempts", string(j.State), "has none")})
			continue
		}
		r.tried[j.ID] = true
		plans = append(plans, r.advance(ctx, j)...)
	}
	return plans
}

// waits reports whether the job has to wait for another one:
//   - for its own top-up, until that is in a block;
//   - for a transaction under way from the same source: the node still shows
//     the balance that it will take, and a transaction that turns out unfunded
//     can neither be mined nor, having been sent, be replaced by another plan;
//   - where a signature of its source got lost on the way to the journal;
//   - for an older planned one of the same source, which would otherwise find
//     the gas gone that its top-up brought, time and again.
func (r *round) waits(j Job) bool {
	if r.awaitsTopUp(j) || r.isBehind(j) {
		return true
	}
	return slices.ContainsFunc(j.sources(), func(a chain.Address) bool { return r.unsure[a] || r.drawn[a] })
}

// isBehind reports whether an older planned job draws on a source of j. A job in
// quarantine holds up nobody.
func (r *round) isBehind(j Job) bool {
	if j.Intent.Purpose == chain.PurposeTopUp {
		return false
	}
	sources := j.sources()
	for _, older := range r.work.Jobs {
		switch {
		case older.ID == j.ID:
			return false
		case older.State != Planned, older.started(), r.policy.quarantined(older), older.Intent.Purpose == chain.PurposeTopUp:
			continue
		case slices.ContainsFunc(older.sources(), func(a chain.Address) bool { return slices.Contains(sources, a) }):
			return true
		}
	}
	return false
}

func (r *round) awaitsTopUp(j Job) bool {
	return r.topUp(j, func(t Job) bool { return t.State != Included })
}

// topUp reports whether an open top-up of the job satisfies match.
func (r *round) topUp(j Job, match func(Job) bool) bool {
	return slices.ContainsFunc(r.work.Jobs, func(t Job) bool { return t.Parent == j.ID && match(t) })
}

// advance takes a planned job as far as it goes: prepared, signed, recorded,
// sent. It returns the top-ups that it needs first.
func (r *round) advance(ctx context.Context, j Job) []Plan {
	if wait := r.dear(ctx, j); wait != nil {
		r.postpone(ctx, j, wait)
		return nil
	}
	in := r.intent(j)
	draft, err := r.prepare(ctx, j, in)
	if err != nil {
		if !r.divide(ctx, j, err) {
			r.postpone(ctx, j, err)
		}
		return nil
	}
	if len(draft.Needs) > 0 {
		return r.needs(ctx, j, draft.Needs)
	}
	r.commit(ctx, j, in, draft)
	return nil
}

// intent is the job's intent with what only this moment knows.
func (r *round) intent(j Job) chain.Intent {
	in := j.Intent
	in.MaxFee = r.policy.feeCap(in.MaxFee)
	in.Taken = slices.Sorted(maps.Keys(r.taken))
	in.Reuse = nil
	in.Bid = r.policy.bid(j, r.work.Now)
	return in
}

func (r *round) prepare(ctx context.Context, j Job, in chain.Intent) (d chain.Draft, err error) {
	if err := cmp.Or(r.policy.checkIntent(r.info.ID, j, r.work.Jobs), r.policy.checkKey(j)); err != nil {
		return d, err
	}
	err = r.call(ctx, "Client.Prepare", func(ctx context.Context) (err error) {
		d, err = r.client.Prepare(ctx, in)
		return err
	})
	return d, err
}

// needs turns missing gas into plans. While an earlier top-up is not final yet
// there is no other one: the node may simply not show it, or show it no more.
func (r *round) needs(ctx context.Context, j Job, needs []chain.Need) []Plan {
	if r.topUp(j, func(Job) bool { return true }) {
		r.log.InfoContext(ctx, "job needs more gas; waiting for its top-up to be final", "job", j.ID)
		return nil
	}
	plans, err := r.policy.topUps(j, needs, r.work.Now)
	if err != nil {
		r.postpone(ctx, j, err)
	}
	return plans
}

// commit signs a draft, records it and only then sends it. Where the journal
// fails nothing is sent; the next round finds out whether it was recorded.
func (r *round) commit(ctx context.Context, j Job, in chain.Intent, d chain.Draft) {
	held := r.taken
	if len(in.Reuse) > 0 {
		held = r.takenByOthers(j)
	}
	if err := checkDraft(r.info.ID, in, d, held); err != nil {
		r.postpone(ctx, j, err)
		return
	}
	if len(in.Reuse) == 0 && paysStranger(in) && r.known != nil {
		if err := guard("Config.Known", func() error { return r.known(ctx, d) }); err != nil {
			r.postpone(ctx, j, err)
			return
		}
	}
	if !r.holding(ctx) {
		return
	}
	// The journal tells first attempts from replacements by Reuse.
	d.Intent.Reuse = in.Reuse
	var signed chain.Signed
	err := r.call(ctx, "Client.Sign", func(ctx context.Context) (err error) {
		signed, err = r.client.Sign(ctx, d, r.signer)
		return err
	})
	if err == nil {
		err = checkSigned(d, signed)
	}
	if err != nil {
		if !r.divide(ctx, j, err) {
			r.postpone(ctx, j, err)
		}
		return
	}
	if err := guard("Journal.Signed", func() error { return r.journal.Signed(ctx, j.ID, d, signed) }); err != nil {
		for _, a := range j.sources() {
			r.unsure[a] = true
		}
		if errors.Is(err, chain.ErrLockSpent) {
			r.postpone(ctx, j, err) // the node that drafted it is behind
			return
		}
		r.fail(ctx, j, "Signed", err)
		return
	}
	r.take(d.Locks)
	r.draw(j)
	j.Attempts = append(slices.Clip(j.Attempts), Attempt{Signed: signed, SignedAt: r.work.Now})
	_ = r.send(ctx, j) // logged and recorded there; the next round sends again
}

func (r *round) takenByOthers(j Job) map[chain.Lock]bool {
	out := maps.Clone(r.taken)
	for _, a := range j.Attempts {
		for _, l := range a.Signed.Locks {
			delete(out, l)
		}
	}
	return out
}

// postpone records why a job did not go on. When our own context ended nothing
// is recorded: that says nothing about the job.
func (r *round) postpone(ctx context.Context, j Job, cause error) {
	if ctx.Err() != nil {
		return
	}
	if isTransient(cause) {
		r.nodeFailures++
	}
	until := r.work.Now.Add(r.policy.retryPause(j.Failures, cause))
	level := slog.LevelWarn
	if wait := (*FeeWaitError)(nil); errors.As(cause, &wait) {
		until, level = wait.nextLook(r.work.Now), slog.LevelInfo
	}
	if errors.Is(cause, ErrUnknownPast) {
		until = r.work.Now.Add(r.policy.retryPause(0, cause))
	}
	r.log.Log(ctx, level, "job deferred", "job", j.ID, "err", cause, "until", until)
	if err := guard("Journal.Defer", func() error { return r.journal.Defer(ctx, j.ID, cause, until) }); err != nil {
		r.fail(ctx, j, "Defer", errors.Join(err, cause))
	}
}

// fail collects what the journal could not be told. One that belongs to another
// worker by now need not be told, and gets nothing more to do.
func (r *round) fail(ctx context.Context, j Job, call string, err error) {
	if errors.Is(err, ErrLost) {
		r.over = &JobError{Job: j.ID, Call: call, Err: err}
		return
	}
	r.log.ErrorContext(ctx, "journal failed", "job", j.ID, "call", call, "err", err)
	r.errs = append(r.errs, &JobError{Job: j.ID, Call: call, Err: err})
}

// next is the time until the first thing is due, at most the interval.
func (r *round) next() time.Duration {
	wait := r.interval
	for _, j := range r.work.Jobs {
		due := j.NotBefore
		if j.started() {
			due = r.policy.resendAt(j.newest())
		}
		if due.After(r.work.Now) {
			wait = min(wait, due.Sub(r.work.Now))
		}
	}
	return max(wait, min(MinInterval, r.interval))
}
