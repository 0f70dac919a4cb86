package bursar

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/sweeper"
)

// journal gives the sweeper of one chain its work and records what it does.
type journal struct {
	gw  *Gateway
	net *network
}

// write runs a fenced business step of the sweeper.
func (j *journal) write(ctx context.Context, fn func(d *desk) error) error {
	err := j.fenced(ctx, func(tx Tx) (Batch, error) {
		d, err := newDesk(ctx, j.gw, j.net, tx)
		if err != nil {
			return Batch{}, err
		}
		// The cursor belongs to the scanner: the chain's row is read, not written.
		d.moved = false
		if err := fn(d); err != nil {
			return Batch{}, err
		}
		return d.batch(), nil
	})
	switch {
	case err == nil:
		j.gw.wakePump()
	case errors.Is(err, ErrConflict):
		// Where another instance was faster its rows show before its fence does.
		if lost := j.holds(ctx); errors.Is(lost, sweeper.ErrLost) {
			return lost
		}
	}
	return err
}

// holds asks the store whether the lease is still ours: our own clock does not
// know how long the process was asleep. It is a sweeper.Config.Holds.
func (j *journal) holds(ctx context.Context) error {
	return j.fenced(ctx, func(Tx) (Batch, error) { return Batch{}, nil })
}

// fenced writes a batch under the lease. The error wraps sweeper.ErrLost where
// another instance has it, or has had it since the round began: what the round
// knows is of an earlier time then.
func (j *journal) fenced(ctx context.Context, fn func(Tx) (Batch, error)) error {
	fence, err := j.gw.lease(ctx, j.net)
	if errors.Is(err, ErrLeaseHeld) {
		return fmt.Errorf("%w: %w", sweeper.ErrLost, err)
	}
	if err != nil {
		return err
	}
	if !j.net.sameTerm() {
		return fmt.Errorf("%w: %w", sweeper.ErrLost, ErrFenced)
	}
	err = j.gw.store.Write(ctx, func(tx Tx) error {
		b, err := fn(tx)
		if err != nil {
			return err
		}
		b.Fences = append(b.Fences, fence)
		return tx.Apply(ctx, b)
	})
	if errors.Is(err, ErrFenced) {
		j.net.dropFence(fence, err)
		err = fmt.Errorf("%w: %w", sweeper.ErrLost, err)
	}
	return err
}

// Work implements sweeper.Journal.
func (j *journal) Work(ctx context.Context) (sweeper.Work, error) {
	var w sweeper.Work
	err := j.gw.store.Read(ctx, func(r Reader) error {
		w = sweeper.Work{Now: r.Now()}
		st, err := r.Chain(ctx, j.net.info.ID)
		if err != nil {
			return err
		}
		w.Halted = st.Halted != "" || !j.net.isVerified()
		if w.Holdings, err = j.holdings(ctx, r); err != nil {
			return err
		}
		if w.Jobs, err = j.jobs(ctx, r); err != nil {
			return err
		}
		open, err := r.Attempts(ctx, AttemptQuery{Chain: j.net.info.ID, Open: true})
		for _, a := range open {
			w.Taken = append(w.Taken, a.Locks...)
		}
		return err
	})
	return w, err
}

// holdings groups the final, uncovered transactions by address and asset.
func (j *journal) holdings(ctx context.Context, r Reader) ([]sweeper.Holding, error) {
	if j.net.cfg.Sweep == SweepOff {
		return nil, nil
	}
	rows, err := r.Transactions(ctx, TransactionQuery{Chain: j.net.info.ID, Sweepable: true})
	if err != nil {
		return nil, err
	}
	order, groups := j.groups(rows)
	tokensOnly, err := j.tokensOnly(ctx, r, groups)
	if err != nil {
		return nil, err
	}
	out := make([]sweeper.Holding, 0, len(order))
	for _, name := range order {
		group := groups[name]
		asset, known := j.net.known().all[group[0].Asset]
		it, ours := j.net.book.own(group[0].To)
		if !known || !ours {
			continue // no longer configured: it stays in the ledger as held
		}
		h := sweeper.Holding{Ref: holdingRef(group), Account: it.account(), Asset: asset, Since: group[0].ConfirmedAt}
		h.Plain = !tokensOnly[group[0].AddressID]
		for _, t := range group {
			h.Amount, h.Missed = sum(h.Amount, uncovered(t)), max(h.Missed, t.Missed)
		}
		out = append(out, h)
	}
	return out, nil
}

// groups sorts what can be swept by address and asset. The names are in the
// order of the chain.
func (j *journal) groups(rows []Transaction) (names []string, groups map[string][]Transaction) {
	slices.SortFunc(rows, byPlace)
	groups = map[string][]Transaction{}
	for _, t := range rows {
		if it, ours := j.net.book.own(t.To); !ours || it.change == changeOwn || t.Suspense {
			continue // the sponsor's and the float's money stays where it works
		}
		name := string(t.To) + " " + string(t.Asset)
		if groups[name] == nil {
			names = append(names, name)
		}
		groups[name] = append(groups[name], t)
	}
	return names, groups
}

// uncovered is what of a transaction is neither discharged nor reserved.
func uncovered(t Transaction) chain.Amount {
	return t.Amount.SubFloor(t.Discharged).SubFloor(t.Reserved)
}

// holdingRef names a set of transactions in their present versions: a
// reservation that was given up makes another set of it.
func holdingRef(group []Transaction) string {
	parts := make([]string, 0, 2*len(group))
	for _, t := range group {
		parts = append(parts, t.ID, fmt.Sprint(t.Version))
	}
	return hashID("", parts...)
}

// jobs are the open payouts as the sweeper sees them.
func (j *journal) jobs(ctx context.Context, r Reader) ([]sweeper.Job, error) {
	rows, err := r.Payouts(ctx, PayoutQuery{Chain: j.net.info.ID, Open: true})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	ids := make([]string, 0, len(rows))
	for _, p := range rows {
		ids = append(ids, p.ID)
	}
	attempts, err := r.Attempts(ctx, AttemptQuery{PayoutIDs: ids})
	if err != nil {
		return nil, err
	}
	of := map[string][]Attempt{}
	for _, a := range attempts {
		of[a.PayoutID] = append(of[a.PayoutID], a)
	}
	topUps, err := r.Payouts(ctx, PayoutQuery{Parents: ids})
	if err != nil {
		return nil, err
	}
	closed, newest := map[string]int{}, map[string]time.Time{}
	for _, p := range topUps {
		if !p.Status.Open() {
			closed[p.Parent]++
			newest[p.Parent] = p.CreatedAt // the oldest come first
		}
	}
	gone, err := j.gone(ctx, r, rows)
	if err != nil {
		return nil, err
	}
	var out []sweeper.Job
	for _, p := range rows {
		job, ok := j.job(p, of[p.ID])
		if ok {
			job.TopUps, job.ToppedUp, job.Gone = closed[p.ID], newest[p.ID], gone[p.ID]
			out = append(out, job)
		}
	}
	return out, nil
}

// gone names the payouts under way of which a deposit has left the chain.
func (j *journal) gone(ctx context.Context, r Reader, rows []Payout) (map[string]bool, error) {
	var ids []string
	for _, p := range rows {
		if p.Status == PayoutBroadcast && p.LessFee {
			for _, it := range p.Items {
				ids = append(ids, it.TransactionID)
			}
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	found, err := r.Transactions(ctx, TransactionQuery{IDs: ids})
	if err != nil {
		return nil, err
	}
	live := make(map[string]bool, len(found))
	for _, t := range found {
		live[t.ID] = t.Live()
	}
	out := map[string]bool{}
	for _, p := range rows {
		out[p.ID] = slices.ContainsFunc(p.Items, func(it PayoutItem) bool { return !live[it.TransactionID] })
	}
	return out, nil
}

var jobStates = map[PayoutStatus]sweeper.JobState{
	PayoutPlanned: sweeper.Planned, PayoutSigned: sweeper.Signed, PayoutBroadcast: sweeper.Broadcast,
	PayoutConfirming: sweeper.Included, PayoutConfirmingFailed: sweeper.Included,
}

func (j *journal) job(p Payout, attempts []Attempt) (sweeper.Job, bool) {
	state, ok := jobStates[p.Status]
	if !ok {
		return sweeper.Job{}, false // waits for a person
	}
	parent := p.Parent
	if p.Kind != PayoutTopUp {
		parent = "" // a payment is no job
	}
	job := sweeper.Job{
		ID: p.ID, Key: p.Key, State: state, Parent: parent, Group: p.Group, Failures: p.Failures, NotBefore: p.NotBefore, Planned: p.CreatedAt,
		Intent: p.intent(),
	}
	slices.SortStableFunc(attempts, byOffer)
	for _, a := range attempts {
		if a.Group == p.Group {
			job.Attempts = append(job.Attempts, sweeper.Attempt{
				Signed:   chain.Signed{Chain: a.Chain, ID: a.TxID, Raw: a.Raw, Locks: a.Locks},
				SignedAt: a.CreatedAt, SentAt: a.SentAt, Error: a.Error, Cancels: a.Cancels,
			})
		}
	}
	job.Urgent, job.Cancel = p.Urged > 0 && p.Urged == len(job.Attempts), p.Canceling
	return job, true
}

// byOffer is the order in which attempts of a group were made, also where that was in
// one moment: each offers more for its place than the one before, and once one cancels
// all do.
func byOffer(a, b Attempt) int {
	switch {
	case a.Cancels != b.Cancels && b.Cancels:
		return -1
	case a.Cancels != b.Cancels:
		return 1
	}
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), a.MaxFee.Cmp(b.MaxFee))
}

// Plan implements sweeper.Journal.
func (j *journal) Plan(ctx context.Context, plans []sweeper.Plan) error {
	return j.write(ctx, func(d *desk) error {
		if d.state.Halted != "" {
			return fmt.Errorf("bursar: chain %s is halted: %s", d.net.info.ID, d.state.Halted)
		}
		holdings, err := j.sets(d)
		if err != nil {
			return err
		}
		for _, plan := range plans {
			if err := j.plan(d, plan, holdings); err != nil {
				return err
			}
		}
		return nil
	})
}

// sets are the transactions behind each holding, by its name.
func (j *journal) sets(d *desk) (map[string][]Transaction, error) {
	rows, err := d.tx.Transactions(d.ctx, TransactionQuery{Chain: d.net.info.ID, Sweepable: true})
	if err != nil {
		return nil, err
	}
	_, groups := j.groups(rows)
	sets := make(map[string][]Transaction, len(groups))
	for _, group := range groups {
		sets[holdingRef(group)] = group
	}
	return sets, nil
}

func (j *journal) plan(d *desk, plan sweeper.Plan, sets map[string][]Transaction) error {
	known, err := d.tx.Payouts(d.ctx, PayoutQuery{Keys: []string{plan.Key}})
	if err != nil || len(known) > 0 {
		return err
	}
	p, err := j.planned(d, plan)
	if err != nil {
		return err
	}
	if plan.Parent != "" {
		// A store that has lost its last commits need not know the job that a top-up
		// serves, nor will it ever be done.
		served, err := d.tx.Payouts(d.ctx, PayoutQuery{IDs: []string{plan.Parent}})
		if err != nil || len(served) == 0 {
			return err
		}
	}
	for _, ref := range plan.Covers {
		if _, ok := sets[ref]; !ok {
			return nil // the holding changed underway: the next round sees it anew
		}
	}
	for _, ref := range plan.Covers {
		for _, t := range sets[ref] {
			it := PayoutItem{TransactionID: t.ID, PaymentID: t.PaymentID, Amount: uncovered(t)}
			if len(p.Sources) > 0 {
				it.From = t.To
			}
			p.Items = append(p.Items, it)
			if err := d.reserve(t, it.Amount); err != nil {
				return err
			}
		}
	}
	return d.begin(p)
}

// planned is the payout of a plan, without what it covers.
func (j *journal) planned(d *desk, plan sweeper.Plan) (*payoutFile, error) {
	id, err := j.gw.newID("po", d.now)
	if err != nil {
		return nil, err
	}
	in := plan.Intent
	m := in.Moves[0]
	p := &payoutFile{Payout: Payout{
		ID: id, Key: plan.Key, Kind: kindOf(in.Purpose), Chain: d.net.info.ID, Asset: m.Asset, From: m.From, To: m.To, Own: m.Own,
		Amount: m.Amount, LessFee: m.All, MaxFee: in.MaxFee, Parent: plan.Parent, Group: 1, CreatedAt: d.now,
	}}
	if in.FeePayer.Address == "" {
		return p, nil
	}
	p.From, p.Own, p.Amount = in.FeePayer, nil, chain.Amount{}
	for _, m := range in.Moves {
		p.Sources = append(p.Sources, PayoutSource{Account: m.From, Amount: m.Amount})
		p.Amount = sum(p.Amount, m.Amount)
	}
	return p, nil
}

// begin records a new payout.
func (d *desk) begin(p *payoutFile) error {
	d.lay(p)
	return d.move(p, payoutPlan, "plan")
}

func kindOf(p chain.Purpose) PayoutKind {
	switch p {
	case chain.PurposeCollection:
		return PayoutSweep
	case chain.PurposeTopUp:
		return PayoutTopUp
	case chain.PurposeRefund:
		return PayoutRefund
	case chain.PurposeWithdrawal:
		return PayoutWithdrawal
	}
	return PayoutCancel
}

// reserve marks a part of a transaction as covered by a payout.
func (d *desk) reserve(t Transaction, part chain.Amount) error {
	f, err := d.file(t.To)
	if err != nil {
		return err
	}
	row := f.tx(t.ID)
	if row == nil || row.Version != t.Version {
		return fmt.Errorf("%w: transaction %s changed underway", ErrConflict, t.ID)
	}
	row.Reserved = sum(row.Reserved, part)
	f.dirty[t.ID] = true
	return nil
}

// CallOff implements sweeper.Journal.
func (j *journal) CallOff(ctx context.Context, jobID string, _ error) error {
	return j.write(ctx, func(d *desk) error {
		p, err := d.job(jobID)
		if err != nil || p.Status != PayoutSigned && p.Status != PayoutBroadcast {
			return err
		}
		return d.callOff(p)
	})
}

// Signed implements sweeper.Journal.
func (j *journal) Signed(ctx context.Context, jobID string, draft chain.Draft, s chain.Signed) error {
	return j.write(ctx, func(d *desk) error {
		if d.state.Halted != "" {
			return fmt.Errorf("bursar: chain %s is halted: %s", d.net.info.ID, d.state.Halted)
		}
		p, err := d.job(jobID)
		if err != nil {
			return err
		}
		if cancels := draft.Intent.Purpose == chain.PurposeCancel; cancels != p.Canceling {
			return fmt.Errorf("%w: payout %s, to be canceled: %t", ErrConflict, p.ID, p.Canceling)
		}
		fact := payoutSign
		if len(draft.Intent.Reuse) > 0 {
			fact = payoutBump
		}
		if _, ok := nextPayout(p.Status, fact); !ok {
			// It was read before the scanner saw it in a block, or gave it up.
			return fmt.Errorf("%w: payout %s is %s by now", ErrConflict, p.ID, p.Status)
		}
		if err := j.lockable(d, p, draft, s); err != nil {
			return err
		}
		p.attempts = append(p.attempts, Attempt{
			ID: string(s.Chain) + ":" + string(s.ID), PayoutID: p.ID, Group: p.Group, Chain: s.Chain, TxID: s.ID,
			Raw: s.Raw, Locks: s.Locks, MaxFee: draft.Fee, Cancels: draft.Intent.Purpose == chain.PurposeCancel, Open: true, CreatedAt: d.now,
		})
		p.Failures, p.NotBefore, p.FailureCode, p.FailureReason = 0, time.Time{}, "", ""
		p.TxID = s.ID
		return d.move(p, fact, string(s.ID))
	})
}

// Sent implements sweeper.Journal.
func (j *journal) Sent(ctx context.Context, jobID string, id chain.TxID, outcome error) error {
	return j.write(ctx, func(d *desk) error {
		p, err := d.job(jobID)
		if err != nil {
			return err
		}
		news := false // told once for failures in a row
		for i := range p.attempts {
			if a := &p.attempts[i]; a.TxID == id {
				news = a.Error == ""
				a.SentAt, a.Error, p.dirty = d.now, "", true
				if outcome != nil {
					a.Error = shorten(outcome.Error())
				}
			}
		}
		setOnce(&p.SentAt, d.now)
		if news {
			d.gasLow(p, outcome)
		}
		if p.Status == PayoutSigned {
			return d.move(p, payoutSend, string(id))
		}
		return nil
	})
}

// Defer implements sweeper.Journal.
func (j *journal) Defer(ctx context.Context, jobID string, cause error, until time.Time) error {
	return j.write(ctx, func(d *desk) error {
		p, err := d.job(jobID)
		if err != nil {
			return err
		}
		if hopeless(cause) && p.unsigned() {
			return d.giveUp(p, cause)
		}
		code, reason := failure(cause)
		news, was := p.FailureCode != code, p.Failures
		if code != codeFeeWait && code != codeUnknownPast {
			p.Failures++
		}
		p.NotBefore, p.FailureCode, p.FailureReason, p.dirty = until, code, shorten(reason), true
		if p.Failures > was {
			d.failing(p)
		}
		if !news || p.Status != PayoutPlanned {
			return nil // told once for each kind of failure in a row
		}
		d.gasLow(p, cause)
		return d.move(p, payoutPutOff, fmt.Sprintf("%s %d", code, p.Seq))
	})
}

// gasLow tells the operator that the sponsor cannot pay.
func (d *desk) gasLow(p *payoutFile, cause error) {
	var funds *chain.InsufficientFundsError
	if !errors.As(cause, &funds) {
		return
	}
	if it, ours := d.net.book.own(funds.Account); !ours || it.change != changeOwn {
		return
	}
	data := d.payoutData(p.Payout)
	data.Address, data.Reason = funds.Account, shorten(funds.Error())
	p.notices = append(p.notices, notice{kind: AlertGasLow, cause: fmt.Sprintf("%s %d", funds.Account, p.Seq), data: data})
}

// hopeless reports whether a planned payout can never go on as it is: a top-up
// that nobody needs any more, or a sweep to what is no longer the treasury, or paid for
// by who is no longer the sponsor.
func hopeless(cause error) bool {
	var refused *sweeper.RefusedError
	return errors.Is(cause, sweeper.ErrTopUpObsolete) || errors.As(cause, &refused) && (refused.Field == "move.to" || refused.Field == "intent.fee_payer")
}

// unsigned reports whether nothing that was signed for the payout can still be
// mined.
func (p *payoutFile) unsigned() bool {
	return p.Status == PayoutPlanned && !slices.ContainsFunc(p.attempts, func(a Attempt) bool { return a.Open })
}

// giveUp closes a payout of which nothing signed is open, and frees what it
// covered, to be planned anew.
func (d *desk) giveUp(p *payoutFile, cause error) error {
	for _, it := range p.Items {
		f, err := d.covered(p, it)
		if err != nil {
			return err
		}
		t := f.tx(it.TransactionID)
		t.Reserved = t.Reserved.SubFloor(it.Amount)
		f.dirty[t.ID] = true
	}
	if paysStranger(p.Kind) {
		if err := d.retake(p, p.Amount, chain.Amount{}, "gone"); err != nil {
			return err
		}
	}
	p.FailureCode, p.FailureReason = "GIVEN_UP", shorten(cause.Error())
	switch p.Status {
	case PayoutAwaitingApproval:
		return d.move(p, payoutReject, "given up")
	case PayoutConfirmingFailed:
		return d.move(p, payoutCalledOff, string(p.TxID))
	}
	return d.move(p, payoutSignedOff, "given up")
}
