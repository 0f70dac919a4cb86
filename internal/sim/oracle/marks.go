package oracle

import (
	"cmp"
	"maps"
	"slices"

	"github.com/bursar-go/bursar"
)

// mark is something that happened at least once.
type mark struct{ what, from, to string }

func (m mark) String() string {
	if m.to == "" {
		return m.what + " " + m.from
	}
	if m.from == "" {
		return m.what + " new->" + m.to
	}
	return m.what + " " + m.from + "->" + m.to
}

func (o *Oracle) mark(what, from, to string) { o.marks[mark{what, from, to}] = true }

// Marks returns, sorted, what has happened at least once.
func (o *Oracle) Marks() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return names(o.marks)
}

func names(marks map[mark]bool) []string {
	out := make([]string, 0, len(marks))
	for m := range marks {
		out = append(out, m.String())
	}
	slices.Sort(out)
	return out
}

// AllMarks returns, sorted, what can happen by the tables: each move of a
// payment, a transaction, a payout and a delivery, each kind of event, each leg
// of each posting rule. What the rules know and no gateway does yet is left out.
func AllMarks() []string {
	out := map[mark]bool{}
	for _, m := range paymentMoves() {
		out[mark{"payment", string(m.from), string(m.to)}] = true
	}
	for what, moves := range map[string][]rowMove{"transaction": transactionMoves(), "payout": payoutMoves()} {
		for _, m := range moves {
			if !m.unbuilt {
				out[mark{what, m.from, m.to}] = true
			}
		}
	}
	for _, m := range cancelMarks() {
		out[m] = true
	}
	for _, what := range batchMarks() {
		out[mark{"batch", what, ""}] = true
	}
	for _, l := range legs() {
		out[mark{"posting " + l.rule, l.credit, l.debit}] = true
	}
	for _, rule := range []string{"L1", "L2", "L3", "L6", "L7", "L8", "foreign", "open"} {
		out[mark{"reversal", rule, ""}] = true
	}
	for _, k := range kinds() {
		out[mark{"event", string(k), ""}] = true
	}
	for _, s := range deliverySteps() {
		out[mark{"delivery", s.from, s.to}] = true
	}
	return names(out)
}

// kinds are the events that a gateway tells.
func kinds() []bursar.Kind {
	return []bursar.Kind{
		bursar.PaymentCreated, bursar.PaymentDetected, bursar.PaymentPartial, bursar.PaymentConfirmed, bursar.PaymentOverpaid, bursar.PaymentUnderpaid,
		bursar.PaymentExpired, bursar.PaymentLate, bursar.PaymentReverted, bursar.PaymentSettled, bursar.PaymentCanceled, bursar.PaymentRefunded, bursar.PaymentUnexpectedAsset,
		bursar.TransactionDetected, bursar.TransactionConfirmed, bursar.TransactionOrphaned, bursar.TransactionFailed, bursar.TransactionReplaced,
		bursar.PayoutCreatedEvent, bursar.PayoutSentEvent, bursar.PayoutPartialEvent, bursar.PayoutConfirmedEvent, bursar.PayoutAttemptFailed,
		bursar.PayoutFailedEvent, bursar.PayoutCanceledEvent, bursar.PayoutBumped, bursar.PayoutRevertedEvent, bursar.PayoutDeferred,
		bursar.ChainHalted, bursar.ChainResumed, bursar.ChainDeepReorg,
		bursar.AlertKeyCompromised, bursar.AlertLedgerMismatch, bursar.AlertGasLow, bursar.AlertSweepFailing, bursar.AlertTokenAnomaly, bursar.AlertUnknownRecipient, bursar.AlertStoreRestored,
	}
}

func deliverySteps() []step {
	p, parked, done, dead := string(bursar.DeliveryPending), string(bursar.DeliveryParked), string(bursar.DeliveryDone), string(bursar.DeliveryDead)
	return []step{{"", p}, {p, p}, {p, parked}, {p, done}, {p, dead}, {parked, parked}, {parked, done}, {parked, dead}}
}

// sortedViews returns the keys in an order that does not depend on the map.
func sortedViews(m map[view]sight) []view {
	return slices.SortedFunc(maps.Keys(m), func(a, b view) int {
		return cmp.Or(cmp.Compare(a.payment, b.payment), cmp.Compare(a.instance, b.instance))
	})
}
