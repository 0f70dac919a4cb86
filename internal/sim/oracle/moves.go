package oracle

import (
	"slices"

	"github.com/bursar-go/bursar"
)

// paymentMove is a step of a payment that a rule of the transition table takes.
// From "" is a payment that is not there yet.
type paymentMove struct {
	from, to bursar.Status
	rules    string
}

const (
	pending   = bursar.StatusPending
	detected  = bursar.StatusDetected
	confirmed = bursar.StatusConfirmed
	settled   = bursar.StatusSettled
	underpaid = bursar.StatusUnderpaid
	expired   = bursar.StatusExpired
	canceled  = bursar.StatusCanceled
)

// paymentMoves is the transition table of payments, less the rules that leave
// the status as it is.
func paymentMoves() []paymentMove {
	return []paymentMove{
		{"", pending, "T1"},
		{pending, detected, "T3 T22"}, {pending, expired, "T10 T21"}, {pending, canceled, "T16"},
		// Accepted money that a reorg took and brought back binds also where
		// nothing else counts: the status function knows no way around.
		{pending, confirmed, "T27"},
		{detected, confirmed, "T6 T7"}, {detected, underpaid, "T12"}, {detected, pending, "T20"},
		{confirmed, settled, "T29"}, {settled, confirmed, "T30"},
		{confirmed, detected, "T24"}, {settled, detected, "T24"}, {confirmed, pending, "T25"}, {settled, pending, "T25"},
		{confirmed, expired, "T26"}, {confirmed, underpaid, "T26"}, {confirmed, canceled, "T26"},
		{settled, expired, "T26"}, {settled, underpaid, "T26"}, {settled, canceled, "T26"},
		{expired, detected, "T13 T22"}, {underpaid, detected, "T13 T22 T28"}, {underpaid, pending, "T28"},
		{expired, confirmed, "T15 T27"}, {underpaid, confirmed, "T15 T27"}, {canceled, confirmed, "T15 T27"},
	}
}

// The phases of one commit of the scanner: blocks are taken back, then others
// taken in, then the depths worked out. A row may take a step in each.
const (
	phaseAlone = iota // not a step of the scanner
	phaseOrphan
	phaseInclude
	phaseDeep
	phaseAfter
)

// rowMove is a step of a transaction or a payout.
type rowMove struct {
	from, to string
	phase    int
	// unbuilt: the rules know it, and no gateway takes it here.
	unbuilt bool
}

func move[S ~string](phase int, from, to S) rowMove {
	return rowMove{from: string(from), to: string(to), phase: phase}
}

func (m rowMove) later() rowMove {
	m.unbuilt = true
	return m
}

// transactionMoves is the table of one transfer identity.
func transactionMoves() []rowMove {
	const none = bursar.TransactionStatus("")
	p, in, deep, failed, replaced := bursar.TxPending, bursar.TxConfirming, bursar.TxConfirmed, bursar.TxFailed, bursar.TxReplaced
	return []rowMove{
		move(phaseInclude, none, in), move(phaseInclude, failed, in), move(phaseDeep, in, deep),
		move(phaseOrphan, in, failed), move(phaseOrphan, deep, failed),
		move(phaseAlone, none, p), move(phaseInclude, p, in), move(phaseAlone, p, replaced), move(phaseAlone, p, failed),
		// The miners here take what a reorg brought back at once, and replaced is what a
		// final block says: only a node that lies takes it back.
		move(phaseOrphan, in, p).later(), move(phaseOrphan, deep, p).later(), move(phaseInclude, replaced, in).later(),
	}
}

// payoutMoves is the table of payouts.
func payoutMoves() []rowMove {
	const none = bursar.PayoutStatus("")
	ask, plan, sign, sent := bursar.PayoutAwaitingApproval, bursar.PayoutPlanned, bursar.PayoutSigned, bursar.PayoutBroadcast
	in, miss := bursar.PayoutConfirming, bursar.PayoutConfirmingFailed
	done, failed, given, halted := bursar.PayoutConfirmed, bursar.PayoutFailed, bursar.PayoutCanceled, bursar.PayoutHalted
	return []rowMove{
		move(phaseAlone, none, plan), move(phaseAlone, plan, sign), move(phaseAlone, sign, sent),
		move(phaseAlone, plan, given), move(phaseOrphan, plan, given),
		move(phaseInclude, sign, in), move(phaseInclude, sent, in), move(phaseInclude, sign, miss), move(phaseInclude, sent, miss),
		move(phaseDeep, in, done), move(phaseDeep, miss, plan), move(phaseDeep, miss, failed), move(phaseDeep, miss, given),
		move(phaseDeep, sign, halted), move(phaseDeep, sent, halted), move(phaseInclude, ask, halted), move(phaseInclude, plan, halted), move(phaseAfter, plan, given),
		move(phaseOrphan, in, sent), move(phaseOrphan, miss, sent), move(phaseOrphan, done, sent),
		move(phaseAlone, none, ask), move(phaseAlone, ask, plan), move(phaseAlone, ask, given),
		move(phaseAlone, failed, plan), move(phaseAlone, failed, given),
		// A refund that may have been paid in a life that the store forgot.
		move(phaseAlone, halted, plan), move(phaseAlone, halted, given), move(phaseAlone, halted, ask), move(phaseAlone, failed, ask).later(),
		move(phaseOrphan, ask, halted), move(phaseOrphan, plan, halted), move(phaseDeep, miss, halted).later(),
	}
}

// step is a pair of statuses.
type step struct{ from, to string }

// hops are the tables, prepared for looking up.
type hops struct {
	payment              map[step]bool
	transaction, payouts table
}

// table is what one commit can do to a row, with the steps that it takes: one of
// the scanner, and any other one.
type table struct{ scanning, alone map[step][]step }

func newHops() hops {
	h := hops{payment: map[step]bool{}, transaction: ways(transactionMoves()), payouts: ways(payoutMoves())}
	for _, m := range paymentMoves() {
		h.payment[step{string(m.from), string(m.to)}] = true
	}
	return h
}

// ways works a table out: one step by itself, or one in each phase of the
// scanner, in their order. Of several ways to one end the shortest is taken.
func ways(moves []rowMove) table {
	out := table{map[step][]step{}, map[step][]step{}}
	var walk func(from, at string, phase int, path []step)
	walk = func(from, at string, phase int, path []step) {
		if known, ok := out.scanning[step{from, at}]; len(path) > 0 && (!ok || len(path) < len(known)) {
			out.scanning[step{from, at}] = path
		}
		for _, m := range moves {
			if m.phase >= phase && m.phase != phaseAlone && m.from == at {
				walk(from, m.to, m.phase+1, append(slices.Clone(path), step{m.from, m.to}))
			}
		}
	}
	for _, m := range moves {
		if m.phase == phaseAlone {
			out.alone[step{m.from, m.to}] = []step{{m.from, m.to}}
		}
		walk(m.from, m.from, phaseOrphan, nil)
	}
	return out
}
