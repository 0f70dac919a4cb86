package bursar

import (
	"slices"
	"time"
)

// coin is one transfer as the oracle keeps it: plain numbers, no rows.
type coin struct {
	id         string
	own        bool // of the asset that was asked for
	amount     int64
	blocks     int // how many blocks it was in
	live, deep bool
	final      bool
	replaced   bool // by another transaction, for good
	counting   bool
	late       bool
	accepted   bool
	seen       time.Time
	height     uint64
	discharged int64
}

// oracle is the law of payments written down a second time, from its
// description alone: totals, the status function, the verdicts of the deadline,
// the events and what each account of the ledger must hold. It shares no code
// with the decisions that it judges.
type oracle struct {
	expected, required, overpaidMin, sweepMin int64
	expires                                   time.Time
	grace, slack, wait                        time.Duration

	coins    []*coin
	status   Status
	canceled bool
	hold     time.Time
	late     bool
	reported int64

	confirmations, settlements int
}

func (o *oracle) coin(id string) *coin {
	for _, c := range o.coins {
		if c.id == id {
			return c
		}
	}
	return nil
}

// total adds what passes the filter, of the asset that was asked for.
func (o *oracle) total(pass func(*coin) bool) int64 {
	var n int64
	for _, c := range o.coins {
		if c.own && c.live && pass(c) {
			n += c.amount
		}
	}
	return n
}

func (o *oracle) confirmed() int64 {
	return o.total(func(c *coin) bool { return c.deep && c.counting })
}
func (o *oracle) unconfirmed() int64 {
	return o.total(func(c *coin) bool { return !c.deep && c.counting })
}
func (o *oracle) bound() int64 {
	return o.total(func(c *coin) bool { return c.deep && c.accepted })
}

func isBooked(c *coin) bool { return c.deep && (c.counting || c.accepted) }

func (o *oracle) booked() int64 { return o.total(isBooked) }

func (o *oracle) isPaid() bool {
	return o.status == StatusConfirmed || o.status == StatusSettled
}

// excess is what a paid payment has beyond its amount.
func (o *oracle) excess() int64 {
	if !o.isPaid() {
		return 0
	}
	return max(0, o.booked()-o.expected)
}

// allDischarged: the part that pays is final, and all of it but an unsweepable
// residue was delivered.
func (o *oracle) allDischarged() bool {
	pays := min(o.booked(), o.expected)
	var final, done int64
	for _, c := range o.coins {
		if c.own && c.live && isBooked(c) && c.final {
			final += c.amount
			done += c.discharged
		}
	}
	left := max(0, pays-done)
	return pays > 0 && final >= pays && (left == 0 || left < o.sweepMin)
}

// byFacts is the status function.
func (o *oracle) byFacts(covered, discharged bool) Status {
	C, U, A := o.confirmed(), o.unconfirmed(), o.bound()
	if C >= o.required || A > 0 {
		if discharged {
			return StatusSettled
		}
		return StatusConfirmed
	}
	if o.canceled {
		return StatusCanceled
	}
	if U > 0 {
		return StatusDetected
	}
	if covered && o.hold.IsZero() {
		if C > 0 {
			return StatusUnderpaid
		}
		return StatusExpired
	}
	if C > 0 {
		return StatusDetected
	}
	return StatusPending
}

// happening is one fact as the oracle is told of it.
type happening struct {
	fact    fact
	id      string
	amount  int64     // included, discharged, lost
	block   time.Time // included
	height  uint64
	now     time.Time
	scanned time.Time
}

// apply changes the oracle's own facts, or returns the refusal that is due.
func (o *oracle) apply(h happening) error {
	c := o.coin(h.id)
	switch h.fact {
	case factSeen:
		c.seen = h.now
	case factIncluded, factUnexpected:
		at := h.block
		if h.now.Before(at) {
			at = h.now
		}
		if c.own && c.blocks == 0 {
			o.judge(c, at)
		}
		if c.seen.IsZero() {
			c.seen = h.now
		}
		c.live, c.amount, c.height = true, h.amount, h.height
		c.blocks++
		c.replaced = false
		if c.own && !o.out() {
			o.hold = time.Time{}
		}
	case factReplaced:
		if c.replaced = true; !o.out() {
			o.hold = time.Time{}
		}
	case factDeep:
		c.deep = true
	case factFinal:
		c.final = true
	case factOrphaned:
		c.live, c.deep, c.final = false, false, false
		if until := h.now.Add(o.wait); c.counting && until.After(o.hold) {
			o.hold = until
		}
	case factCovered:
		if !h.scanned.Before(o.hold) && !h.now.Before(o.hold) {
			o.hold = time.Time{}
		}
	case factCancel:
		return o.cancel()
	case factAccept:
		return o.accept()
	case factDischarged:
		c.discharged += h.amount
	case factSweepLost:
		c.discharged -= h.amount
	}
	return nil
}

// out tells whether money that counted is out of the chain and may come back.
func (o *oracle) out() bool {
	return slices.ContainsFunc(o.coins, func(c *coin) bool { return c.own && c.counting && !c.live && !c.replaced })
}

func (o *oracle) judge(c *coin, at time.Time) {
	limit := o.expires
	if !c.seen.IsZero() && !c.seen.After(o.expires) {
		limit = limit.Add(o.slack)
	}
	c.late = at.After(limit)
	inGrace := !at.After(o.expires.Add(o.grace))
	paidByItself := o.isPaid() && o.confirmed() >= o.required
	c.counting = !o.canceled && (!c.late || inGrace || paidByItself)
	o.late = o.late || c.counting && c.late
}

func (o *oracle) cancel() error {
	money := o.total(func(*coin) bool { return true }) > 0
	switch {
	case o.status == StatusCanceled:
		return nil
	case o.status == StatusExpired || o.status == StatusUnderpaid:
		return ErrAlreadyClosed
	case o.status != StatusPending || money:
		return ErrPaymentHasFunds
	}
	o.canceled = true
	return nil
}

func (o *oracle) accept() error {
	if o.status == StatusPending || o.status == StatusDetected {
		return ErrNothingToAccept
	}
	bound := false
	for _, c := range o.coins {
		mine := o.isPaid() && c.counting
		if c.own && c.live && c.deep && !c.accepted && !mine {
			c.accepted = true
			bound = true
		}
	}
	if !bound {
		return ErrNothingToAccept
	}
	return nil
}

// covered tells whether the deadline's verdict stands, or is given by this
// fact. Only what concerns the deadline may give it.
func (o *oracle) covered(h happening, before Status) bool {
	if before == StatusExpired || before == StatusUnderpaid {
		return true
	}
	gives := h.fact == factCovered ||
		h.fact == factDeep && o.coin(h.id).counting ||
		h.fact == factOrphaned && (before == StatusConfirmed || before == StatusSettled)
	return gives && !h.now.Before(o.expires) && !h.scanned.Before(o.expires)
}

// step applies a fact and returns the events that it must tell.
func (o *oracle) step(h happening) ([]Kind, error) {
	before := o.status
	refusal := o.apply(h)
	if refusal != nil {
		return nil, refusal
	}
	sticky := before == StatusSettled && h.fact != factSweepLost
	o.status = o.byFacts(o.covered(h, before), sticky || o.allDischarged())
	wasPaid := before == StatusConfirmed || before == StatusSettled
	if o.isPaid() && !wasPaid {
		o.confirmations++
	}
	if o.status == StatusSettled && before != StatusSettled {
		o.settlements++
	}
	return o.events(h, before), nil
}

// events lists what must be told, in the order of the rows.
func (o *oracle) events(h happening, before Status) []Kind {
	c, moved := o.coin(h.id), o.status != before
	wasPaid := before == StatusConfirmed || before == StatusSettled
	var out []Kind
	tell := func(when bool, k Kind) {
		if when {
			out = append(out, k)
		}
	}
	switch h.fact {
	case factSeen:
		return []Kind{TransactionDetected}
	case factReplaced:
		return []Kind{TransactionReplaced}
	case factDropped, factReverted:
		return []Kind{TransactionFailed}
	case factUnexpected:
		return []Kind{TransactionDetected, PaymentUnexpectedAsset}
	case factRefunded:
		return []Kind{PaymentRefunded}
	case factIncluded:
		tell(true, TransactionDetected)
		tell(moved, PaymentDetected)
		tell(c.blocks == 1 && c.counting && c.late && !wasPaid, PaymentLate)
	case factDeep:
		tell(true, TransactionConfirmed)
		idle := !c.counting && !c.accepted
		tell(idle && c.own, PaymentLate)
		tell(o.isPaid() && !wasPaid, PaymentConfirmed)
		tell(o.status == StatusUnderpaid && moved, PaymentUnderpaid)
		tell(o.status == StatusDetected && !idle, PaymentPartial)
	case factOrphaned:
		tell(true, TransactionOrphaned)
		tell(moved && o.status == StatusSettled, PaymentSettled)
		tell(moved && o.status != StatusSettled, PaymentReverted)
	case factAccept:
		tell(o.isPaid() && !wasPaid, PaymentConfirmed)
		tell(moved && o.status == StatusSettled, PaymentSettled)
	case factSweepLost:
		tell(moved, PaymentReverted)
	default:
		tell(moved, map[Status]Kind{
			StatusExpired: PaymentExpired, StatusUnderpaid: PaymentUnderpaid, StatusCanceled: PaymentCanceled, StatusSettled: PaymentSettled,
		}[o.status])
	}
	return o.withOverpaid(out)
}

// withOverpaid adds the event of an excess that is large enough and news.
func (o *oracle) withOverpaid(out []Kind) []Kind {
	switch x := o.excess(); {
	case x < o.overpaidMin:
		o.reported = 0
	case x != o.reported:
		o.reported = x
		out = append(out, PaymentOverpaid)
	}
	return out
}

// ledger is what every account must hold.
func (o *oracle) ledger() map[ledgerKey]int64 {
	out := map[ledgerKey]int64{}
	for _, c := range o.coins {
		if !c.live {
			continue
		}
		asset, owner := ownAsset, testPaymentID
		if !c.own {
			asset, owner = otherAsset, testAddress
		}
		layer, claim := "U:", "pending:"
		if c.deep {
			layer, claim = "F:", "held:"
		}
		out[ledgerKey{asset, Account(layer + testAddress)}] += c.amount
		out[ledgerKey{asset, Account(claim + owner)}] -= c.amount
	}
	if o.isPaid() {
		pays, extra := min(o.booked(), o.expected), o.excess()
		out[ledgerKey{ownAsset, "held:" + testPaymentID}] += pays + extra
		out[ledgerKey{ownAsset, "paid:" + testPaymentID}] -= pays
		out[ledgerKey{ownAsset, "excess:" + testPaymentID}] -= extra
	}
	return out
}
