package bursar

import (
	"fmt"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// env is what a decision may know of the world beside the payment: one frozen
// now, and how far the payment's chain has been scanned.
type env struct {
	table []transition
	now   time.Time
	// tip is the newest scanned height of the payment's chain.
	tip uint64
	// coveredTo returns the time up to which the chain was scanned by blocks
	// that are k deep; the zero time while the chain is halted.
	coveredTo func(k uint64) time.Time
	// slack is how long after the deadline a transfer may be included that was
	// seen before it.
	slack time.Duration
	// blockTime is the chain's usual one; holds are measured by it.
	blockTime time.Duration
	// native is the coin in which fees are told; asset finds any configured one.
	native chain.Asset
	asset  func(chain.AssetID) chain.Asset
	// demand is what the chain's tiers ask for; nil where there are none.
	demand func(chain.AssetID, chain.Amount) demand
}

func (e *env) covered(t time.Time, k uint64) bool {
	return !t.IsZero() && !e.coveredTo(k).Before(t) && !e.now.Before(t)
}

// kase is a payment with all transactions at its address: all that a decision
// depends on, and all that it changes.
type kase struct {
	payment Payment
	txs     []Transaction
}

func (k kase) clone() kase { return kase{k.payment, slices.Clone(k.txs)} }

func (k *kase) tx(id string) *Transaction {
	for i := range k.txs {
		if k.txs[i].ID == id {
			return &k.txs[i]
		}
	}
	return nil
}

// notice is an event before it has a sequence number.
type notice struct {
	kind  Kind
	cause string
	data  EventData
}

// change is what a fact does: the new rows, the postings and the events.
type change struct {
	kase
	entries []Entry
	notices []notice
}

// step is one fact being applied to one payment.
type step struct {
	*env
	fact   fact
	in     kase
	out    kase
	tx     *Transaction // the touched one, in out
	was    Transaction  // as it was before
	after  facts
	accept []string // transactions bound by an acceptance
	cause  string   // what tells this fact from others of its kind
}

// decide applies one fact to a payment. It is pure: neither in nor what it
// points at is changed. The observation, where there is one, must already stand
// in in.txs as the scanner saw it (see observe, orphan and their like).
func decide(e *env, in kase, f fact, txID string, apply func(*Transaction)) (change, error) {
	s := &step{env: e, fact: f, in: in, out: in.clone()}
	if txID != "" {
		if s.tx = s.out.tx(txID); s.tx == nil {
			return change{}, fmt.Errorf("%w: payment %s has no transaction %s", ErrInvariant, in.payment.ID, txID)
		}
		s.was = *s.tx
		if apply != nil {
			apply(s.tx)
		}
		if err := s.lawful(); err != nil {
			return change{}, err
		}
		s.cause = fmt.Sprintf("%s#%d", s.tx.ID, s.tx.Inclusion)
	}
	s.prepare()
	return s.finish()
}

// lawful holds the transaction itself to its table, whoever wrote its row.
func (s *step) lawful() error {
	f, moves := transactionFactOf(s.fact)
	if f == txOrphaned && s.tx.Status == TxPending {
		f = txReturned
	}
	want := s.was.Status
	if moves {
		row, ok := nextTransaction(s.was.Status, f)
		if !ok {
			return fmt.Errorf("%w: transaction %s in %q: no transition for %q", ErrInvariant, s.tx.ID, s.was.Status, f)
		}
		want = row.to
	}
	if s.tx.Status != want {
		return fmt.Errorf("%w: transaction %s became %s by %q, its table says %s", ErrInvariant, s.tx.ID, s.tx.Status, s.fact, want)
	}
	return nil
}

// prepare applies what a fact means for the payment's own facts, before totals
// are worked out.
func (s *step) prepare() {
	p := &s.out.payment
	switch s.fact {
	case factSeen, factUnexpected:
		s.sighted()
	case factIncluded:
		if s.firstBelieved() {
			s.judge()
		}
		s.sighted()
		s.raise()
		s.release()
	case factReplaced:
		s.release()
	case factOrphaned:
		if s.was.Counting {
			wait := max(time.Duration(2*p.RequiredConfirmations)*s.blockTime, time.Hour)
			p.HoldUntil = later(p.HoldUntil, s.now.Add(wait))
		}
	case factCovered:
		if !p.HoldUntil.IsZero() && s.covered(p.HoldUntil, p.RequiredConfirmations) {
			p.HoldUntil = time.Time{}
		}
	case factCancel:
		s.cause = "cancel"
	case factRefunded:
		// A reorg can take the same refund back and bring it again.
		s.cause = fmt.Sprint(p.Refunded, " ", p.Seq)
	case factAccept:
		for i := range s.out.txs {
			if t := &s.out.txs[i]; t.Status == TxConfirmed && t.Asset == p.Asset.ID && !t.Suspense && !t.Accepted && !s.claimed(*t) {
				t.Accepted = true
				s.accept = append(s.accept, t.ID)
			}
		}
		p.Accepted = p.Accepted || len(s.accept) > 0
		s.cause = fmt.Sprint(s.accept)
	}
}

// release ends the hold where nothing is out of the chain that may come back.
func (s *step) release() {
	if !slices.ContainsFunc(s.out.txs, missing) {
		s.out.payment.HoldUntil = time.Time{}
	}
}

// sighted writes when money was first heard of. What comes here is believed,
// whatever became of an earlier inclusion.
func (s *step) sighted() {
	s.tx.Suspense = false
	setOnce(&s.out.payment.SeenAt, s.now)
	setOnce(&s.tx.SeenAt, s.now)
}

// firstBelieved reports whether no earlier inclusion of the transfer was judged:
// there was none, or the token was not believed then.
func (s *step) firstBelieved() bool { return s.tx.Inclusion == 1 || s.was.Suspense }

// missing reports whether a counting transfer is out of the chain and may come
// back: while one is, the deadline's verdict is on hold.
func missing(t Transaction) bool {
	return t.Counting && (t.Status == TxFailed || t.Status == TxPending)
}

// claimed reports whether the money of a confirmed transaction is already the
// payment's own in its present status.
func (s *step) claimed(t Transaction) bool {
	paid := s.in.payment.Status == StatusConfirmed || s.in.payment.Status == StatusSettled
	return paid && (t.Counting || t.Accepted)
}

// judge gives the verdict of a transfer's first inclusion, kept through reorgs
// so that a reorg at the deadline does not make an honest payer late.
func (s *step) judge() {
	p, t := &s.out.payment, s.tx
	// A block's own time may lie in the future; it counts as seen now at most.
	at := earlier(t.BlockTime, s.now)
	inTime := !at.After(p.ExpiresAt) ||
		!t.SeenAt.IsZero() && !t.SeenAt.After(p.ExpiresAt) && !at.After(p.ExpiresAt.Add(s.slack))
	inGrace := !at.After(p.ExpiresAt.Add(p.Policy.Grace))
	byItself := s.totals().confirmed
	paid := (p.Status == StatusConfirmed || p.Status == StatusSettled) && !byItself.Less(p.Required)
	t.Late = !inTime
	t.Counting = !p.Canceled() && (inTime || inGrace || paid)
	if t.Counting && t.Late {
		p.Late = true
	}
}

// totals works the payment's facts out from its transactions.
func (s *step) totals() facts {
	p := s.out.payment
	f := facts{
		required: p.Required, canceled: p.Canceled(),
		covered: s.verdict(), hold: !p.HoldUntil.IsZero(),
	}
	for _, t := range s.out.txs {
		if t.Asset != p.Asset.ID || t.Suspense || !t.Live() {
			continue
		}
		confirmed := t.Status == TxConfirmed
		switch {
		case confirmed && t.Counting:
			f.confirmed = sum(f.confirmed, t.Amount)
		case t.Counting:
			f.unconfirmed = sum(f.unconfirmed, t.Amount)
		}
		if confirmed && t.Accepted {
			f.accepted = sum(f.accepted, t.Amount)
		}
	}
	// A later extra does not un-settle.
	f.discharged = p.Status == StatusSettled && s.fact != factSweepLost || s.allDischarged()
	return f
}

// verdict reports whether the deadline's verdict stands or is taken by this
// fact. Facts that do not concern the deadline never take it: a late transfer
// on a pending payment leaves it pending until the scan covers the deadline.
func (s *step) verdict() bool {
	before := s.in.payment.Status
	if slices.Contains(missedStatus, before) {
		return true
	}
	switch s.fact {
	case factCovered:
	case factDeep:
		if !s.tx.Counting {
			return false
		}
	case factOrphaned:
		if !slices.Contains(paidStatus, before) {
			return false
		}
	default:
		return false
	}
	return s.covered(s.out.payment.ExpiresAt, s.out.payment.RequiredConfirmations)
}

// allDischarged reports whether the money that pays for this payment reached
// its end: swept or refunded, or too little to be worth it, and final in each
// case. What came on top of the amount has its own way and is not waited for.
func (s *step) allDischarged() bool {
	p := &s.out.payment
	booked, final := chain.Amount{}, chain.Amount{}
	for _, t := range s.out.txs {
		if !s.applied(t) {
			continue
		}
		booked = sum(booked, t.Amount)
		if t.Final {
			final = sum(final, t.Amount)
		}
	}
	paid := booked.Min(p.Amount)
	left := paid.SubFloor(s.delivered())
	return !paid.IsZero() && !final.Less(paid) && (left.IsZero() || left.Less(p.Asset.SweepMinimum))
}

// delivered is how much of the applied money was swept or refunded, final.
func (s *step) delivered() chain.Amount {
	out := chain.Amount{}
	for _, t := range s.out.txs {
		if s.applied(t) && t.Final {
			out = sum(out, t.Discharged)
		}
	}
	return out
}

// applied reports whether a transaction's money is booked on the payment.
func (s *step) applied(t Transaction) bool {
	return t.Asset == s.out.payment.Asset.ID && !t.Suspense && t.Status == TxConfirmed && (t.Counting || t.Accepted)
}

func (s *step) finish() (change, error) {
	p := &s.out.payment
	if s.fact == factCancel && p.Status == StatusPending && nothingLive(s) {
		p.CanceledAt = s.now
	}
	s.after = s.totals()
	s.measure()
	row, ok := s.match()
	if !ok {
		return change{}, fmt.Errorf("%w: payment %s in %s: no transition for %q", ErrInvariant, p.ID, s.in.payment.Status, s.fact)
	}
	if row.err != nil {
		return change{}, row.err
	}
	if row.to != "" {
		p.Status = row.to
	}
	if want := s.after.status(); p.Status != want {
		return change{}, fmt.Errorf("%w: payment %s: %s leads to %s, the facts say %s", ErrInvariant, p.ID, row.id, p.Status, want)
	}
	s.stamp()
	entries := s.postings()
	notices := s.notices(row)
	return change{kase: s.out, entries: entries, notices: notices}, nil
}

// match finds the first row of the table that fits.
func (s *step) match() (transition, bool) {
	for _, row := range s.table {
		if row.fact == s.fact && slices.Contains(row.from, s.in.payment.Status) && (row.guard == nil || row.guard(s)) {
			return row, true
		}
	}
	return transition{}, false
}

// measure writes the amounts that follow from the transactions.
func (s *step) measure() {
	p := &s.out.payment
	booked, held := chain.Amount{}, chain.Amount{}
	p.Received, p.Block, p.Final = chain.Amount{}, 0, false
	final := true
	for _, t := range s.out.txs {
		if t.Asset != p.Asset.ID || t.Suspense || !t.Live() {
			continue
		}
		switch {
		case t.Counting || t.Accepted:
			p.Received = sum(p.Received, t.Amount)
			p.Block = max(p.Block, t.Block)
			p.Final, final = true, final && t.Final
			if t.Status == TxConfirmed {
				booked = sum(booked, t.Amount)
			}
		case t.Status == TxConfirmed:
			held = sum(held, t.Amount)
		}
	}
	p.Final = p.Final && final
	p.Confirmed, p.Held = booked, held
	p.Shortfall, p.Excess = p.Amount.SubFloor(booked), booked.SubFloor(p.Amount)
}

// stamp writes the times and counters of a new status.
func (s *step) stamp() {
	p := &s.out.payment
	p.Deadline = p.nextVerdict(s.after.unconfirmed.IsZero())
	old := s.in.payment.Status
	if p.Status == old {
		return
	}
	wasPaid, isPaid := slices.Contains(paidStatus, old), slices.Contains(paidStatus, p.Status)
	switch {
	case isPaid && !wasPaid:
		p.ConfirmationNo++
		p.ConfirmedAt = s.now
		setOnce(&p.DetectedAt, s.now)
	case !isPaid:
		p.ConfirmedAt = time.Time{}
	}
	p.SettledAt, p.FailureReason = time.Time{}, ""
	switch p.Status {
	case StatusDetected:
		setOnce(&p.DetectedAt, s.now)
	case StatusSettled:
		p.SettleNo++
		p.SettledAt = s.now
	case StatusExpired, StatusUnderpaid:
		p.ExpiredAt, p.FailureReason = s.now, string(p.Status)
	case StatusCanceled:
		p.FailureReason = string(p.Status)
	}
}

// nextVerdict is when an open payment must be looked at again.
func (p Payment) nextVerdict(nothingUnconfirmed bool) time.Time {
	switch {
	case p.Status != StatusPending && p.Status != StatusDetected, !nothingUnconfirmed:
		return time.Time{} // nothing is due before the next fact
	case p.HoldUntil.After(p.ExpiresAt):
		return p.HoldUntil
	}
	return p.ExpiresAt
}

// The guards of the table.

func notCounting(s *step) bool     { return !s.tx.Counting }
func notApplied(s *step) bool      { return !s.tx.Counting && !s.tx.Accepted }
func again(s *step) bool           { return !s.firstBelieved() }
func late(s *step) bool            { return s.tx.Late }
func lateFirst(s *step) bool       { return s.tx.Late && s.firstBelieved() }
func verdictDue(s *step) bool      { return s.after.status() == StatusUnderpaid }
func discharged(s *step) bool      { return s.after.status() == StatusSettled }
func bound(s *step) bool           { return len(s.accept) > 0 }
func unconfirmedLeft(s *step) bool { return !s.after.unconfirmed.IsZero() }

func isStatus(want Status) func(*step) bool {
	return func(s *step) bool { return s.after.status() == want }
}

func enough(s *step) bool {
	st := s.after.status()
	return st == StatusConfirmed || st == StatusSettled
}

func enoughNotOver(s *step) bool { return enough(s) && s.out.payment.Excess.IsZero() }

func boundDischarged(s *step) bool { return bound(s) && discharged(s) }

// unbooked: the money was neither counted nor, if the host bound it, confirmed,
// so that its loss changes nothing for the payment.
func unbooked(s *step) bool {
	return !s.tx.Counting && !(s.tx.Accepted && s.was.Status == TxConfirmed)
}

// nothingLive: none of the money asked for is in a block. Another asset at the
// address is nobody's payment and keeps nobody from canceling.
func nothingLive(s *step) bool {
	return !slices.ContainsFunc(s.out.txs, func(t Transaction) bool {
		return t.Live() && t.Asset == s.out.payment.Asset.ID
	})
}

func setOnce(at *time.Time, now time.Time) {
	if at.IsZero() {
		*at = now
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// sum adds amounts of real money on one address. More than 2^256-1 cannot be
// there; should a token claim it, the largest amount stands, and the ledger,
// which counts without a bound, shows the difference.
func sum(a, b chain.Amount) chain.Amount {
	if s, err := a.Add(b); err == nil {
		return s
	}
	return maxAmount()
}

func maxAmount() chain.Amount {
	var all [32]byte
	for i := range all {
		all[i] = 0xff
	}
	a, _ := chain.AmountFromBytes(all[:]) // 32 bytes always fit
	return a
}
