package bursar

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func allTransactionStatuses() []TransactionStatus {
	return []TransactionStatus{txNew, TxPending, TxConfirming, TxConfirmed, TxFailed, TxReplaced}
}

func allTransactionFacts() []transactionFact {
	return []transactionFact{txSeen, txIncluded, txDeep, txOrphaned, txReturned, txReplaced, txDropped, txReverted}
}

// move is what a row of a table comes to: where it leads, what it tells.
type move[S ~string] struct {
	to    S
	event Kind
}

// Each pair of status and fact of a transaction is legal as written here, or
// refused.
func TestTransactionTable(t *testing.T) {
	t.Parallel()
	type key struct {
		from TransactionStatus
		fact transactionFact
	}
	legal := map[key]move[TransactionStatus]{
		{"", "seen"}:                {"pending", "transaction.detected"},
		{"", "included"}:            {"confirming", "transaction.detected"},
		{"pending", "included"}:     {"confirming", "transaction.detected"},
		{"failed", "included"}:      {"confirming", "transaction.detected"},
		{"replaced", "included"}:    {"confirming", "transaction.detected"},
		{"confirming", "reaches K"}: {"confirmed", "transaction.confirmed"},
		{"confirming", "orphaned"}:  {"failed", "transaction.orphaned"},
		{"confirmed", "orphaned"}:   {"failed", "transaction.orphaned"},
		{"confirming", "returned"}:  {"pending", "transaction.orphaned"},
		{"confirmed", "returned"}:   {"pending", "transaction.orphaned"},
		{"pending", "replaced"}:     {"replaced", "transaction.replaced"},
		{"pending", "dropped"}:      {"failed", "transaction.failed"},
		{"pending", "reverted"}:     {"failed", "transaction.failed"},
	}
	found := 0
	for _, from := range allTransactionStatuses() {
		for _, f := range allTransactionFacts() {
			row, ok := nextTransaction(from, f)
			want, isLegal := legal[key{from, f}]
			require.Equal(t, isLegal, ok, "%s by %s", from, f)
			if ok {
				found++
				require.Equal(t, want, move[TransactionStatus]{row.to, row.event}, "%s by %s", from, f)
			}
		}
	}
	require.Equal(t, len(legal), found)
}

// No row of a table hides behind an earlier one.
func TestTablesAreUnambiguous(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	add := func(machine string, from, fact any) {
		key := fmt.Sprint(machine, from, fact)
		require.False(t, seen[key], key)
		seen[key] = true
	}
	for _, row := range transactionTable() {
		for _, from := range row.from {
			add("transaction", from, row.fact)
		}
	}
	for _, row := range payoutTable() {
		for _, from := range row.from {
			add("payout", from, row.fact)
		}
	}
}

// advance writes what the table says, with all that goes with a status, and
// leaves a transaction alone where the table has no row.
func TestTransactionAdvance(t *testing.T) {
	t.Parallel()
	at := testStart()
	for _, from := range allTransactionStatuses() {
		for _, f := range allTransactionFacts() {
			old := Transaction{
				ID: "tx_1", Status: from, FailureReason: "old", Block: 7, BlockHash: "0x7", BlockTime: at, TxIndex: 3, Final: true, ConfirmedAt: at, Inclusion: 1,
			}
			got := old
			kind, err := got.advance(f)
			row, ok := nextTransaction(from, f)
			if !ok {
				require.ErrorIs(t, err, ErrInvariant)
				require.ErrorContains(t, err, "tx_1")
				require.Equal(t, old, got)
				continue
			}
			require.NoError(t, err)
			want := old
			want.Status, want.FailureReason = row.to, row.reason
			if row.to != TxConfirmed {
				want.Final, want.ConfirmedAt = false, time.Time{}
			}
			if row.to != TxConfirmed && row.to != TxConfirming {
				want.Block, want.BlockHash, want.BlockTime, want.TxIndex = 0, "", time.Time{}, 0
			}
			require.Equal(t, want, got)
			require.Equal(t, row.event, kind)
		}
	}
	var lost Transaction
	lost.Status = TxConfirmed
	_, err := lost.advance(txOrphaned)
	require.NoError(t, err)
	require.Equal(t, ReasonOrphaned, lost.FailureReason)
}

// The rows of the payment table tell what the transaction's own table tells.
func TestPaymentRowsTellTheTransactionsEvent(t *testing.T) {
	t.Parallel()
	for _, row := range paymentTable() {
		f, moves := transactionFactOf(row.fact)
		if !moves {
			for _, k := range row.events {
				require.NotEqual(t, 1, rank(k), "%s tells of a transaction that does not move", row.id)
			}
			continue
		}
		for _, r := range transactionTable() {
			if r.fact == f {
				require.Equal(t, r.event, row.events[0], "%s by %s", row.id, row.fact)
			}
		}
	}
}

// A decision holds the transaction to its table, whoever wrote the row.
func TestDecideRefusesUnlawfulTransactions(t *testing.T) {
	t.Parallel()
	set := func(s TransactionStatus) func(*Transaction) { return func(t *Transaction) { t.Status = s } }
	for _, c := range []struct {
		script string
		fact   fact
		apply  func(*Transaction)
	}{
		{"include a 1000", factIncluded, set(TxConfirming)},      // twice in one block
		{"include a 1000; deep a", factDeep, set(TxConfirmed)},   // confirmed twice
		{"include a 1000; orphan a", factDeep, set(TxConfirmed)}, // confirmed without a block
		{"include a 1000; orphan a", factOrphaned, set(TxFailed)},
		{"seen a", factDeep, set(TxConfirmed)},
		{"include a 1000", factDeep, set(TxConfirming)}, // says it, does not do it
		{"include a 1000", factOrphaned, set(TxConfirming)},
		{"include a 1000; deep a", factFinal, set(TxFailed)}, // does it, does not say it
		{"include a 1000; deep a", factDischarged, set(TxPending)},
	} {
		w := play(t, c.script)
		before := w.kase.clone()
		_, err := decide(w.env, w.kase, c.fact, "a", c.apply)
		require.ErrorIs(t, err, ErrInvariant, "%s; %s", c.script, c.fact)
		require.Equal(t, before, w.kase)
	}
}

func allPayoutStatuses() []PayoutStatus {
	return []PayoutStatus{
		payoutNew, PayoutAwaitingApproval, PayoutPlanned, PayoutSigned, PayoutBroadcast, PayoutConfirming,
		PayoutConfirmed, PayoutConfirmingFailed, PayoutFailed, PayoutCanceled, PayoutHalted,
	}
}

func allPayoutFacts() []payoutFact {
	return []payoutFact{
		payoutRequest, payoutPlan, payoutApprove, payoutReject, payoutSign, payoutSend, payoutInclude, payoutSplit, payoutMiss,
		payoutFinal, payoutSpent, payoutBump, payoutForeign, payoutDoubt, payoutOrphan, payoutPutOff, payoutResubmit, payoutAskAgain, payoutSignedOff,
	}
}

// Each pair of status and fact of a payout is legal as written here, or refused.
func TestPayoutTable(t *testing.T) {
	t.Parallel()
	type key struct {
		from PayoutStatus
		fact payoutFact
	}
	legal := map[key]move[PayoutStatus]{
		{"", "requested"}:                           {"awaiting_approval", "payout.created"},
		{"", "planned"}:                             {"planned", "payout.created"},
		{"awaiting_approval", "approved"}:           {"planned", ""},
		{"awaiting_approval", "rejected"}:           {"canceled", ""},
		{"awaiting_approval", "in doubt"}:           {"halted", "payout.deferred"},
		{"planned", "deferred"}:                     {"planned", "payout.deferred"},
		{"planned", "signed"}:                       {"signed", ""},
		{"planned", "given up"}:                     {"canceled", ""},
		{"planned", "in doubt"}:                     {"halted", "payout.deferred"},
		{"signed", "sent"}:                          {"broadcast", "payout.sent"},
		{"signed", "bumped"}:                        {"broadcast", "payout.bumped"},
		{"signed", "included"}:                      {"confirming", ""},
		{"signed", "included in part"}:              {"confirming", "payout.partial"},
		{"signed", "included, no effect"}:           {"confirming_failed", ""},
		{"signed", "lock consumed"}:                 {"halted", "alert.key_compromised"},
		{"broadcast", "sent"}:                       {"broadcast", ""},
		{"broadcast", "bumped"}:                     {"broadcast", "payout.bumped"},
		{"broadcast", "included"}:                   {"confirming", ""},
		{"broadcast", "included in part"}:           {"confirming", "payout.partial"},
		{"broadcast", "included, no effect"}:        {"confirming_failed", ""},
		{"broadcast", "lock consumed"}:              {"halted", "alert.key_compromised"},
		{"confirming", "final"}:                     {"confirmed", "payout.confirmed"},
		{"confirming", "orphaned"}:                  {"broadcast", "payout.reverted"},
		{"confirmed", "orphaned"}:                   {"broadcast", "payout.reverted"},
		{"confirming_failed", "final"}:              {"planned", "payout.attempt_failed"},
		{"confirming_failed", "final, tries spent"}: {"failed", "payout.failed"},
		{"confirming_failed", "orphaned"}:           {"broadcast", "payout.reverted"},
		{"confirming_failed", "in doubt"}:           {"halted", "payout.deferred"},
		{"failed", "asked again"}:                   {"awaiting_approval", ""},
		{"halted", "asked again"}:                   {"awaiting_approval", ""},
		{"failed", "resubmitted"}:                   {"planned", ""},
		{"failed", "given up"}:                      {"canceled", ""},
		{"halted", "resubmitted"}:                   {"planned", ""},
		{"halted", "given up"}:                      {"canceled", ""},
	}
	found := 0
	for _, from := range allPayoutStatuses() {
		for _, f := range allPayoutFacts() {
			row, ok := nextPayout(from, f)
			want, isLegal := legal[key{from, f}]
			require.Equal(t, isLegal, ok, "%s by %s", from, f)
			if ok {
				found++
				require.Equal(t, want, move[PayoutStatus]{row.to, row.event}, "%s by %s", from, f)
			}
		}
	}
	require.Equal(t, len(legal), found)
}

// A payout never gets a new lock while an old one could still be spent: from a
// signature the way back to planned leads over a failure that is final.
func TestPayoutNeverSignsTwice(t *testing.T) {
	t.Parallel()
	for _, row := range payoutTable() {
		if row.to != PayoutPlanned {
			continue
		}
		for _, from := range row.from {
			switch from {
			case payoutNew, PayoutAwaitingApproval, PayoutPlanned:
			case PayoutConfirmingFailed:
				require.Equal(t, payoutFinal, row.fact)
			case PayoutFailed, PayoutHalted: // final as well, see settleLocks
				require.Equal(t, payoutResubmit, row.fact)
			default:
				t.Errorf("%s leads from %s to planned", row.fact, from)
			}
		}
	}
}

// Only what is open can move without an operator, a lock's owner or a reorg.
func TestPayoutOpenIsWhatMovesByItself(t *testing.T) {
	t.Parallel()
	outside := map[payoutFact]bool{payoutResubmit: true, payoutAskAgain: true, payoutSignedOff: true, payoutOrphan: true}
	moves := map[PayoutStatus]bool{}
	for _, row := range payoutTable() {
		for _, from := range row.from {
			moves[from] = moves[from] || !outside[row.fact]
		}
	}
	for _, s := range allPayoutStatuses()[1:] {
		require.Equal(t, moves[s], s.Open(), string(s))
	}
}

// deliveryRow is a row of the delivery table.
type deliveryRow struct {
	from []DeliveryStatus // "" is an event just committed
	fact string
	to   DeliveryStatus
}

// deliveryTable is the life of one event on its way to one notifier.
func deliveryTable() []deliveryRow {
	waiting := []DeliveryStatus{DeliveryPending, DeliveryParked}
	return []deliveryRow{
		{[]DeliveryStatus{""}, "committed", DeliveryPending},
		{waiting, "taken", DeliveryDone},
		{[]DeliveryStatus{DeliveryPending}, "failed, next try soon", DeliveryPending},
		{[]DeliveryStatus{DeliveryPending}, "failed, next try beyond the parking time", DeliveryParked},
		{[]DeliveryStatus{DeliveryParked}, "failed, next try soon", DeliveryParked},
		{[]DeliveryStatus{DeliveryParked}, "failed, next try beyond the parking time", DeliveryParked},
		{waiting, "failed, schedule used up", DeliveryDead},
		{waiting, "refused for good", DeliveryDead},
	}
}

// The outbox moves deliveries by the table that the documentation shows.
func TestDeliveryTable(t *testing.T) {
	t.Parallel()
	now := testStart()
	try := func(from DeliveryStatus, f string) DeliveryStatus {
		d, v := Delivery{Status: from, FirstAt: now, Attempts: 1}, verdict{text: "no"}
		switch f {
		case "committed":
			gw := &Gateway{pumps: []*pump{{name: "test"}}}
			return gw.deliveries([]Event{{ID: "evt_1"}}, now)[0].Status
		case "taken":
			v = verdict{ok: true}
		case "failed, next try beyond the parking time":
			d.Attempts = 7
		case "failed, schedule used up":
			d.Attempts = len(schedule())
		case "refused for good":
			v.permanent = true
		}
		return outcome(schedule(), d, v, now).Status
	}
	for _, row := range deliveryTable() {
		for _, from := range row.from {
			require.Equal(t, row.to, try(from, row.fact), "%s by %s", from, row.fact)
		}
	}
}
