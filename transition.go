package bursar

import (
	"fmt"
	"slices"
	"time"
)

// The state machines of the gateway as data. Whatever changes a status does it
// by a row of these tables; docs/state_machine.md is generated from them.

// fact is something that happened to a payment.
type fact string

// The facts of payments.
const (
	factCreate     fact = "create"       // factCreate: the host asked for a payment.
	factSeen       fact = "seen"         // factSeen: a transfer was seen in the mempool.
	factReplaced   fact = "replaced"     // factReplaced: another transaction took a sight's place, final.
	factDropped    fact = "dropped"      // factDropped: a sight is out of the mempool without a block.
	factReverted   fact = "reverted"     // factReverted: a sight is in a block and moved nothing.
	factIncluded   fact = "included"     // factIncluded: a transfer is in a block.
	factDeep       fact = "reaches K"    // factDeep: a transfer has its confirmations.
	factFinal      fact = "final"        // factFinal: a transfer's block is final.
	factOrphaned   fact = "orphaned"     // factOrphaned: a transfer's block left the chain.
	factCovered    fact = "covered"      // factCovered: scanned past the deadline or the hold.
	factCancel     fact = "cancel"       // factCancel: the host cancels.
	factAccept     fact = "accept"       // factAccept: the host accepts held money.
	factDischarged fact = "discharged"   // factDischarged: a payout of its money is final.
	factSweepLost  fact = "sweep lost"   // factSweepLost: a final payout of its money was orphaned.
	factUnexpected fact = "other asset"  // factUnexpected: another configured asset is in a block.
	factRefunded   fact = "refund final" // factRefunded: money went back.
)

// transition is one row of the payment table: in a status of from, when fact
// happened and guard holds, the payment goes to to and tells events. The ledger
// column names the posting rules that may apply; amounts follow from totals.
type transition struct {
	id     string
	from   []Status
	fact   fact
	when   string
	guard  func(*step) bool
	to     Status // empty: stays
	events []Kind
	ledger string
	err    error
}

var (
	anyStatus    = []Status{StatusPending, StatusDetected, StatusConfirmed, StatusSettled, StatusUnderpaid, StatusExpired, StatusCanceled}
	openStatus   = []Status{StatusPending, StatusDetected}
	paidStatus   = []Status{StatusConfirmed, StatusSettled}
	closedStatus = []Status{StatusExpired, StatusUnderpaid, StatusCanceled}
	missedStatus = []Status{StatusExpired, StatusUnderpaid}
)

// paymentTable returns the transitions of payments; the first row that fits is
// taken. A fact that fits no row in a status is a broken invariant.
func paymentTable() []transition {
	td, tc, to := TransactionDetected, TransactionConfirmed, TransactionOrphaned
	return []transition{
		{id: "T2", from: anyStatus, fact: factSeen, when: "never counts", events: []Kind{td}},
		{id: "T2", from: anyStatus, fact: factReplaced, when: "never counted, or no longer", events: []Kind{TransactionReplaced}},
		{id: "T2", from: anyStatus, fact: factDropped, when: "never counted, or no longer", events: []Kind{TransactionFailed}},
		{id: "T2", from: anyStatus, fact: factReverted, when: "never counted, or no longer", events: []Kind{TransactionFailed}},

		{id: "T14", from: anyStatus, fact: factIncluded, when: "does not count: too late, canceled", guard: notCounting, events: []Kind{td}, ledger: "L1"},
		{id: "T9", from: paidStatus, fact: factIncluded, when: "extra", events: []Kind{td}, ledger: "L1"},
		{id: "T22", from: []Status{StatusPending, StatusExpired, StatusUnderpaid}, fact: factIncluded, when: "included again, keeps its first verdict", guard: again, to: StatusDetected, events: []Kind{td, PaymentDetected}, ledger: "L1"},
		{id: "T27", from: []Status{StatusCanceled}, fact: factIncluded, when: "included again", events: []Kind{td}, ledger: "L1"},
		{id: "T13", from: []Status{StatusPending, StatusExpired, StatusUnderpaid}, fact: factIncluded, when: "in grace", guard: late, to: StatusDetected, events: []Kind{td, PaymentDetected, PaymentLate}, ledger: "L1"},
		{id: "T13", from: []Status{StatusDetected}, fact: factIncluded, when: "in grace", guard: lateFirst, events: []Kind{td, PaymentLate}, ledger: "L1"},
		{id: "T3", from: []Status{StatusPending, StatusExpired, StatusUnderpaid}, fact: factIncluded, when: "in time", to: StatusDetected, events: []Kind{td, PaymentDetected}, ledger: "L1"},
		{id: "T4", from: []Status{StatusDetected}, fact: factIncluded, when: "another one", events: []Kind{td}, ledger: "L1"},

		{id: "T27", from: closedStatus, fact: factDeep, when: "enough, or accepted before", guard: enough, to: StatusConfirmed, events: []Kind{tc, PaymentConfirmed, PaymentOverpaid}, ledger: "L2, L3"},
		{id: "T14", from: anyStatus, fact: factDeep, when: "does not count", guard: notApplied, events: []Kind{tc, PaymentLate}, ledger: "L2"},
		{id: "T9", from: paidStatus, fact: factDeep, when: "extra", events: []Kind{tc, PaymentOverpaid}, ledger: "L2, L3"},
		{id: "T6", from: openStatus, fact: factDeep, when: "R ≤ C ≤ E", guard: enoughNotOver, to: StatusConfirmed, events: []Kind{tc, PaymentConfirmed}, ledger: "L2, L3"},
		{id: "T7", from: openStatus, fact: factDeep, when: "C > E", guard: enough, to: StatusConfirmed, events: []Kind{tc, PaymentConfirmed, PaymentOverpaid}, ledger: "L2, L3"},
		{id: "T12", from: []Status{StatusDetected}, fact: factDeep, when: "C < R, covered, nothing unconfirmed, no hold", guard: verdictDue, to: StatusUnderpaid, events: []Kind{tc, PaymentUnderpaid}, ledger: "L2"},
		{id: "T5", from: []Status{StatusDetected}, fact: factDeep, when: "C < R", events: []Kind{tc, PaymentPartial}, ledger: "L2"},
		{id: "T27", from: []Status{StatusCanceled}, fact: factDeep, when: "C < R", events: []Kind{tc}, ledger: "L2"},

		{id: "T29", from: []Status{StatusConfirmed}, fact: factFinal, when: "all applied money is residue", guard: discharged, to: StatusSettled, events: []Kind{PaymentSettled}},
		{id: "T34", from: anyStatus, fact: factFinal, when: "otherwise"},

		{id: "T14", from: anyStatus, fact: factOrphaned, when: "neither counted nor was booked", guard: unbooked, events: []Kind{to}, ledger: "reverse"},
		{id: "T29", from: []Status{StatusConfirmed}, fact: factOrphaned, when: "still C ≥ R, and what is left is discharged", guard: discharged, to: StatusSettled, events: []Kind{to, PaymentSettled, PaymentOverpaid}, ledger: "reverse, L3"},
		{id: "T23", from: paidStatus, fact: factOrphaned, when: "still C ≥ R", guard: enough, events: []Kind{to, PaymentOverpaid}, ledger: "reverse, L3"},
		{id: "T26", from: paidStatus, fact: factOrphaned, when: "accepted money; canceled before", guard: isStatus(StatusCanceled), to: StatusCanceled, events: []Kind{to, PaymentReverted}, ledger: "reverse, L3"},
		{id: "T26", from: paidStatus, fact: factOrphaned, when: "accepted money; expired before", guard: isStatus(StatusExpired), to: StatusExpired, events: []Kind{to, PaymentReverted}, ledger: "reverse, L3"},
		{id: "T26", from: paidStatus, fact: factOrphaned, when: "accepted money; underpaid before", guard: isStatus(StatusUnderpaid), to: StatusUnderpaid, events: []Kind{to, PaymentReverted}, ledger: "reverse, L3"},
		{id: "T24", from: paidStatus, fact: factOrphaned, when: "C < R, something counting live", guard: isStatus(StatusDetected), to: StatusDetected, events: []Kind{to, PaymentReverted}, ledger: "reverse, L3"},
		{id: "T25", from: paidStatus, fact: factOrphaned, when: "nothing live; hold", guard: isStatus(StatusPending), to: StatusPending, events: []Kind{to, PaymentReverted}, ledger: "reverse, L3"},
		{id: "T19", from: []Status{StatusDetected}, fact: factOrphaned, when: "others still live", guard: isStatus(StatusDetected), events: []Kind{to}, ledger: "reverse"},
		{id: "T20", from: []Status{StatusDetected}, fact: factOrphaned, when: "nothing live left; hold", guard: isStatus(StatusPending), to: StatusPending, events: []Kind{to, PaymentReverted}, ledger: "reverse"},
		{id: "T28", from: []Status{StatusUnderpaid}, fact: factOrphaned, when: "a part is left; hold", guard: isStatus(StatusDetected), to: StatusDetected, events: []Kind{to, PaymentReverted}, ledger: "reverse"},
		{id: "T28", from: []Status{StatusUnderpaid}, fact: factOrphaned, when: "nothing left; hold", guard: isStatus(StatusPending), to: StatusPending, events: []Kind{to, PaymentReverted}, ledger: "reverse"},
		{id: "T27", from: []Status{StatusCanceled}, fact: factOrphaned, when: "orphaned again", events: []Kind{to}, ledger: "reverse"},

		{id: "T10", from: []Status{StatusPending}, fact: factCovered, when: "nothing live, no hold", guard: isStatus(StatusExpired), to: StatusExpired, events: []Kind{PaymentExpired}},
		{id: "T12", from: []Status{StatusDetected}, fact: factCovered, when: "0 < C < R, nothing unconfirmed, no hold", guard: isStatus(StatusUnderpaid), to: StatusUnderpaid, events: []Kind{PaymentUnderpaid}},
		{id: "T11", from: []Status{StatusDetected}, fact: factCovered, when: "U > 0: wait", guard: unconfirmedLeft},
		{id: "T21", from: anyStatus, fact: factCovered, when: "hold not over, or deadline not covered"},

		{id: "T16", from: []Status{StatusPending}, fact: factCancel, when: "nothing live in a block", guard: nothingLive, to: StatusCanceled, events: []Kind{PaymentCanceled}},
		{id: "T17", from: []Status{StatusPending, StatusDetected, StatusConfirmed, StatusSettled}, fact: factCancel, when: "has funds", err: ErrPaymentHasFunds},
		{id: "T17", from: missedStatus, fact: factCancel, when: "closed", err: ErrAlreadyClosed},
		{id: "T18", from: []Status{StatusCanceled}, fact: factCancel, when: "again: nothing happens"},

		{id: "T15", from: closedStatus, fact: factAccept, when: "confirmed held money, swept already", guard: boundDischarged, to: StatusSettled, events: []Kind{PaymentConfirmed, PaymentSettled, PaymentOverpaid}, ledger: "L3"},
		{id: "T15", from: closedStatus, fact: factAccept, when: "confirmed held money; binds these transfers", guard: bound, to: StatusConfirmed, events: []Kind{PaymentConfirmed, PaymentOverpaid}, ledger: "L3"},
		{id: "T15", from: []Status{StatusConfirmed}, fact: factAccept, when: "more held money, swept already", guard: boundDischarged, to: StatusSettled, events: []Kind{PaymentSettled, PaymentOverpaid}, ledger: "L3"},
		{id: "T15", from: paidStatus, fact: factAccept, when: "more held money", guard: bound, events: []Kind{PaymentOverpaid}, ledger: "L3"},
		{id: "T15", from: anyStatus, fact: factAccept, when: "nothing confirmed is held, or still open", err: ErrNothingToAccept},

		{id: "T29", from: []Status{StatusConfirmed}, fact: factDischarged, when: "all applied transfers discharged", guard: discharged, to: StatusSettled, events: []Kind{PaymentSettled}},
		{id: "T29", from: anyStatus, fact: factDischarged, when: "otherwise"},
		{id: "T30", from: []Status{StatusSettled}, fact: factSweepLost, when: "deposit live", guard: isStatus(StatusConfirmed), to: StatusConfirmed, events: []Kind{PaymentReverted}},
		{id: "T30", from: anyStatus, fact: factSweepLost, when: "otherwise"},
		{id: "T31", from: anyStatus, fact: factRefunded, when: "Σ ≤ final received", events: []Kind{PaymentRefunded}},
		{id: "T32", from: anyStatus, fact: factUnexpected, when: "configured asset, not the one asked for", events: []Kind{td, PaymentUnexpectedAsset}, ledger: "L1"},
	}
}

// transactionFact is something that happened to one transfer identity.
type transactionFact string

// The facts of transactions.
const (
	txSeen     transactionFact = "seen"      // txSeen: in the mempool.
	txIncluded transactionFact = "included"  // txIncluded: in a block, and it succeeded.
	txDeep     transactionFact = "reaches K" // txDeep: its block has the confirmations asked for.
	txOrphaned transactionFact = "orphaned"  // txOrphaned: its block left the chain.
	txReturned transactionFact = "returned"  // txReturned: as orphaned, and it waits in the mempool again.
	txReplaced transactionFact = "replaced"  // txReplaced: another took its nonce or outpoint, final.
	txDropped  transactionFact = "dropped"   // txDropped: out of the mempool without a block.
	txReverted transactionFact = "reverted"  // txReverted: in a block, and it failed or did not pay us.
)

// transactionRow is one row of the transaction table.
type transactionRow struct {
	from   []TransactionStatus // "" is a transaction not known yet
	fact   transactionFact
	when   string
	to     TransactionStatus
	reason string // the failure reason that goes with to
	event  Kind
}

const txNew TransactionStatus = ""

// transactionTable returns the transitions of one transfer identity.
func transactionTable() []transactionRow {
	return []transactionRow{
		{from: []TransactionStatus{txNew}, fact: txSeen, when: "incoming", to: TxPending, event: TransactionDetected},
		{from: []TransactionStatus{txNew, TxPending, TxFailed, TxReplaced}, fact: txIncluded, when: "executed well", to: TxConfirming, event: TransactionDetected},
		{from: []TransactionStatus{TxConfirming}, fact: txDeep, when: "not halted", to: TxConfirmed, event: TransactionConfirmed},
		{from: []TransactionStatus{TxConfirming, TxConfirmed}, fact: txOrphaned, when: "not in the mempool, or no mempool is watched", to: TxFailed, reason: ReasonOrphaned, event: TransactionOrphaned},
		{from: []TransactionStatus{TxConfirming, TxConfirmed}, fact: txReturned, when: "orphaned, and back in the mempool", to: TxPending, event: TransactionOrphaned},
		{from: []TransactionStatus{TxPending}, fact: txReplaced, when: "its nonce or outpoint was consumed by another, final", to: TxReplaced, event: TransactionReplaced},
		{from: []TransactionStatus{TxPending}, fact: txDropped, when: "unknown to all providers for long", to: TxFailed, reason: ReasonDropped, event: TransactionFailed},
		{from: []TransactionStatus{TxPending}, fact: txReverted, when: "included with status 0, or without the transfer, after it was announced", to: TxFailed, reason: ReasonReverted, event: TransactionFailed},
	}
}

// nextTransaction looks a transition of a transaction up.
func nextTransaction(from TransactionStatus, f transactionFact) (transactionRow, bool) {
	for _, row := range transactionTable() {
		if row.fact == f && slices.Contains(row.from, from) {
			return row, true
		}
	}
	return transactionRow{}, false
}

// advance applies a fact to a transaction by its table: status, failure reason,
// and what is true of one block only. The event to tell is returned.
func (t *Transaction) advance(f transactionFact) (Kind, error) {
	row, ok := nextTransaction(t.Status, f)
	if !ok {
		return "", fmt.Errorf("%w: transaction %s in %q: no transition for %q", ErrInvariant, t.ID, t.Status, f)
	}
	t.Status, t.FailureReason = row.to, row.reason
	if !t.Live() {
		t.Block, t.BlockHash, t.BlockTime, t.TxIndex = 0, "", time.Time{}, 0
	}
	if t.Status != TxConfirmed {
		t.Final, t.ConfirmedAt = false, time.Time{}
	}
	return row.event, nil
}

// transactionFactOf is what a fact on a payment means for the transaction that
// it names; most mean nothing.
func transactionFactOf(f fact) (transactionFact, bool) {
	switch f {
	case factSeen:
		return txSeen, true
	case factReplaced:
		return txReplaced, true
	case factDropped:
		return txDropped, true
	case factReverted:
		return txReverted, true
	case factIncluded, factUnexpected:
		return txIncluded, true
	case factDeep:
		return txDeep, true
	case factOrphaned:
		return txOrphaned, true
	}
	return "", false
}

// payoutRow is one row of the payout table.
type payoutRow struct {
	from   []PayoutStatus // "" is a payout not there yet
	fact   payoutFact
	when   string
	to     PayoutStatus
	event  Kind // empty: none
	ledger string
}

const payoutNew PayoutStatus = ""

// payoutFact is something that happened to a payout.
type payoutFact string

// The facts of payouts.
const (
	payoutRequest   payoutFact = "requested"           // payoutRequest: asked for, approval missing.
	payoutPlan      payoutFact = "planned"             // payoutPlan: decided, or approved.
	payoutApprove   payoutFact = "approved"            // payoutApprove: approved.
	payoutReject    payoutFact = "rejected"            // payoutReject: refused or given up by an operator.
	payoutSign      payoutFact = "signed"              // payoutSign: signed and persisted.
	payoutSend      payoutFact = "sent"                // payoutSend: accepted, or outcome unknown.
	payoutInclude   payoutFact = "included"            // payoutInclude: executed and all items moved.
	payoutSplit     payoutFact = "included in part"    // payoutSplit: executed and some items did not move.
	payoutMiss      payoutFact = "included, no effect" // payoutMiss: reverted, or nothing moved.
	payoutFinal     payoutFact = "final"               // payoutFinal: its block is final.
	payoutSpent     payoutFact = "final, tries spent"  // payoutSpent: as final, with no tries left.
	payoutBump      payoutFact = "bumped"              // payoutBump: replaced at a higher fee, same lock.
	payoutForeign   payoutFact = "lock consumed"       // payoutForeign: by a foreign transaction, final.
	payoutDoubt     payoutFact = "in doubt"            // payoutDoubt: it may have been paid, or what it pays is gone.
	payoutOrphan    payoutFact = "orphaned"            // payoutOrphan: its block left the chain.
	payoutPutOff    payoutFact = "deferred"            // payoutPutOff: not now.
	payoutResubmit  payoutFact = "resubmitted"         // payoutResubmit: an operator tries again.
	payoutAskAgain  payoutFact = "asked again"         // payoutAskAgain: an operator tries again, and nobody has approved it.
	payoutCalledOff payoutFact = "final, called off"   // payoutCalledOff: nothing of it can be mined any more, as an operator wanted.
	payoutSignedOff payoutFact = "given up"            // payoutSignedOff: an operator cancels a failed one.
)

// payoutTable returns the transitions of payouts.
func payoutTable() []payoutRow {
	return []payoutRow{
		{from: []PayoutStatus{payoutNew}, fact: payoutRequest, when: "needs an approval", to: PayoutAwaitingApproval, event: PayoutCreatedEvent, ledger: "L5"},
		{from: []PayoutStatus{payoutNew}, fact: payoutPlan, when: "limits, destination and final funds checked", to: PayoutPlanned, event: PayoutCreatedEvent, ledger: "L5 for a refund"},
		{from: []PayoutStatus{PayoutAwaitingApproval}, fact: payoutApprove, to: PayoutPlanned},
		{from: []PayoutStatus{PayoutAwaitingApproval}, fact: payoutReject, to: PayoutCanceled, ledger: "reverse L5"},
		{from: []PayoutStatus{PayoutPlanned}, fact: payoutPutOff, when: "fee, funds, signer", to: PayoutPlanned, event: PayoutDeferred},
		{from: []PayoutStatus{PayoutPlanned}, fact: payoutSign, when: "lock free, lease held", to: PayoutSigned},
		{from: []PayoutStatus{PayoutSigned}, fact: payoutSend, when: "accepted or unknown", to: PayoutBroadcast, event: PayoutSentEvent},
		{from: []PayoutStatus{PayoutBroadcast}, fact: payoutSend, when: "sent again, same bytes", to: PayoutBroadcast},
		{from: []PayoutStatus{PayoutSigned, PayoutBroadcast}, fact: payoutBump, when: "same lock, within budget", to: PayoutBroadcast, event: PayoutBumped},
		{from: []PayoutStatus{PayoutSigned, PayoutBroadcast}, fact: payoutInclude, when: "logs equal the items", to: PayoutConfirming, ledger: "L6, L7 or refund, included"},
		{from: []PayoutStatus{PayoutSigned, PayoutBroadcast}, fact: payoutSplit, when: "the rest is planned anew", to: PayoutConfirming, event: PayoutPartialEvent, ledger: "only what moved"},
		{from: []PayoutStatus{PayoutSigned, PayoutBroadcast}, fact: payoutMiss, to: PayoutConfirmingFailed, ledger: "L8 included"},
		{from: []PayoutStatus{PayoutConfirming}, fact: payoutFinal, to: PayoutConfirmed, event: PayoutConfirmedEvent, ledger: "final layer"},
		{from: []PayoutStatus{PayoutConfirmingFailed}, fact: payoutFinal, when: "tries left; a new lock is allowed", to: PayoutPlanned, event: PayoutAttemptFailed, ledger: "L8 final"},
		{from: []PayoutStatus{PayoutConfirmingFailed}, fact: payoutSpent, to: PayoutFailed, event: PayoutFailedEvent, ledger: "L8 final"},
		{from: []PayoutStatus{PayoutConfirming, PayoutConfirmingFailed, PayoutConfirmed}, fact: payoutOrphan, when: "the same bytes are sent again", to: PayoutBroadcast, event: PayoutRevertedEvent, ledger: "reverse"},
		{from: []PayoutStatus{PayoutSigned, PayoutBroadcast}, fact: payoutForeign, to: PayoutHalted, event: AlertKeyCompromised},
		{from: []PayoutStatus{PayoutAwaitingApproval, PayoutPlanned, PayoutConfirmingFailed}, fact: payoutDoubt, when: "may have been paid, or its money is gone", to: PayoutHalted, event: PayoutDeferred},
		{from: []PayoutStatus{PayoutFailed, PayoutHalted}, fact: payoutResubmit, when: "an operator has looked", to: PayoutPlanned},
		{from: []PayoutStatus{PayoutFailed, PayoutHalted}, fact: payoutAskAgain, when: "an operator has looked, and nobody has approved it", to: PayoutAwaitingApproval},
		{from: []PayoutStatus{PayoutConfirmingFailed}, fact: payoutCalledOff, when: "an operator wanted it canceled", to: PayoutCanceled, event: PayoutCanceledEvent, ledger: "L8 final; reverse L5"},
		{from: []PayoutStatus{PayoutFailed, PayoutHalted, PayoutPlanned}, fact: payoutSignedOff, when: "nothing signed is open", to: PayoutCanceled, ledger: "reverse L5"},
	}
}

// nextPayout looks a transition of a payout up.
func nextPayout(from PayoutStatus, fact payoutFact) (payoutRow, bool) {
	for _, row := range payoutTable() {
		if row.fact == fact && slices.Contains(row.from, from) {
			return row, true
		}
	}
	return payoutRow{}, false
}
