package bursar

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

const tick = time.Nanosecond

// In time is a block at or before the deadline, or a transfer seen by then in a
// block within the slack; in grace is a block within the grace. Edges count as
// within, and a block from the future counts as seen now.
func TestRule_S4_InTimeToTheNanosecond(t *testing.T) {
	t.Parallel()
	const deadline, grace, slack = time.Hour, 30 * time.Minute, 2 * time.Hour
	for name, c := range map[string]struct {
		block, seen, now time.Duration // since the payment was made; seen 0: never
		counts, late     bool
	}{
		"at the deadline":                    {block: deadline, now: 9 * time.Hour, counts: true},
		"just past it, in grace":             {block: deadline + tick, now: 9 * time.Hour, counts: true, late: true},
		"at the end of the grace":            {block: deadline + grace, now: 9 * time.Hour, counts: true, late: true},
		"just past the grace":                {block: deadline + grace + tick, now: 9 * time.Hour, late: true},
		"seen at the deadline, end of slack": {block: deadline + slack, seen: deadline, now: 9 * time.Hour, counts: true},
		"seen at the deadline, past slack":   {block: deadline + slack + tick, seen: deadline, now: 9 * time.Hour, late: true},
		"seen just past the deadline":        {block: deadline + grace + tick, seen: deadline + tick, now: 9 * time.Hour, late: true},
		"seen too late, but in grace":        {block: deadline + grace, seen: deadline + tick, now: 9 * time.Hour, counts: true, late: true},
		"a block ahead of the clock":         {block: 50 * time.Hour, now: deadline, counts: true},
		"a block ahead of a late clock":      {block: 50 * time.Hour, now: deadline + grace + tick, late: true},
		"a block before the payment":         {block: -time.Hour, now: 9 * time.Hour, counts: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := testPayment()
			p.Policy.Grace = grace
			w := newWorld(t, p)
			w.env.slack, w.oracle.slack, w.oracle.grace = slack, slack, grace
			if c.seen != 0 {
				w.at(c.seen)
				require.NoError(t, w.run("seen a"))
			}
			w.at(c.now)
			require.NoError(t, w.include("a", ownAsset, chain.NewAmount(10), testStart().Add(c.block)))
			require.Equal(t, c.counts, w.tx("a").Counting)
			require.Equal(t, c.late, w.tx("a").Late)
			require.Equal(t, c.counts && c.late, w.payment.Late)
		})
	}
}

// A reorg at the deadline makes no honest payer late, and no late one honest.
func TestRule_S4_VerdictKeptThroughReorgs(t *testing.T) {
	t.Parallel()
	w := play(t, "at 60m; include a 1000; orphan a; at 9h; include a 1000; deep a")
	require.Equal(t, StatusConfirmed, w.payment.Status)
	require.False(t, w.payment.Late)

	w = play(t, "at 9h; include a 1000; orphan a")
	require.NoError(t, w.include("a", ownAsset, chain.NewAmount(1000), testStart()))
	require.NoError(t, w.run("deep a"))
	require.Equal(t, StatusPending, w.payment.Status)
	require.Equal(t, "1000", w.payment.Held.String())
}

// A block alone is no sight in the mempool: the verdict comes before the time
// of the first sight is written.
func TestRule_S4_InclusionIsNoSight(t *testing.T) {
	t.Parallel()
	w := play(t, "at 59m")
	require.NoError(t, w.include("a", ownAsset, chain.NewAmount(5), testStart()))
	require.Equal(t, w.env.now, w.tx("a").SeenAt)
	require.Equal(t, w.env.now, w.payment.SeenAt)
	w.at(2 * time.Hour)
	require.NoError(t, w.run("include b 5; include c 5; orphan a"))
	require.Equal(t, testStart().Add(59*time.Minute), w.payment.SeenAt, "the first sight stays")
	require.Equal(t, w.env.now, w.tx("b").SeenAt)
}

// Within the grace money re-opens what has expired; after it money is held.
func TestRule_S5_GraceReopens(t *testing.T) {
	t.Parallel()
	for _, from := range []Status{StatusExpired, StatusUnderpaid} {
		w := play(t, reach()[from]+"at 120m; include z 1000")
		require.Equal(t, StatusDetected, w.payment.Status)
		require.True(t, w.payment.Late)
		late := w.event(PaymentLate)
		require.True(t, late.Accepted)
		require.Equal(t, "in_grace", late.Reason)
		require.Empty(t, w.payment.FailureReason, "it has not failed any more")
		require.NoError(t, w.run("deep z"))
		require.Equal(t, StatusConfirmed, w.payment.Status)

		w = play(t, reach()[from]+"at 120m1ns; include z 1000; deep z")
		require.Equal(t, from, w.payment.Status)
		late = w.event(PaymentLate)
		require.False(t, late.Accepted)
		require.Equal(t, "expired", late.Reason)
		require.Equal(t, "10", late.Held)
	}
	p := testPayment()
	p.Policy.Grace = 0
	w := newWorld(t, p)
	require.NoError(t, w.run("at 70m; covered; at 60m1s; include z 1000"))
	require.Equal(t, StatusExpired, w.payment.Status, "there is no grace unless it is asked for")
}

// The tolerance is the smaller of those that are set, rounded down.
func TestRule_S6_Tolerance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		expected, tolerance uint64
		bps                 uint32
		required            uint64
	}{
		{1000, 0, 0, 1000},
		{1000, 1, 0, 999},
		{1000, 0, 1, 1000}, // a tenth of a unit is none
		{1000, 0, 10, 999},
		{1999, 0, 10, 1998}, // 1.999 rounds down
		{1000, 5, 10, 999},
		{1000, 1, 100, 999},
		{1000, 10, 100, 990},
		{1000, 2000, 0, 0},
		{1000, 0, 10_000, 0},
		{1, 0, 9_999, 1},
	} {
		p := AmountPolicy{Tolerance: chain.NewAmount(c.tolerance), ToleranceBps: c.bps}
		got, err := p.required(chain.NewAmount(c.expected))
		require.NoError(t, err)
		require.Equal(t, chain.NewAmount(c.required), got, "%+v", c)
	}
	got, err := AmountPolicy{ToleranceBps: 10}.required(maxAmount())
	require.NoError(t, err, "no overflow on the way")
	require.True(t, got.Less(maxAmount()))
}

// It applies at once, and what is missing is told.
func TestRule_S6_AppliesAtOnce(t *testing.T) {
	t.Parallel()
	w := play(t, "include a 899; deep a")
	require.Equal(t, StatusDetected, w.payment.Status)
	require.Equal(t, "1.01", w.event(PaymentPartial).Shortfall)
	require.NoError(t, w.run("include b 1; deep b"))
	require.Equal(t, StatusConfirmed, w.payment.Status)
	require.Equal(t, "1", w.event(PaymentConfirmed).Shortfall)
	require.Equal(t, 1, w.event(PaymentConfirmed).ConfirmationNo)
}

// An excess is told where it is worth it, and again when it grows.
func TestRule_S7_Overpaid(t *testing.T) {
	t.Parallel()
	w := play(t, "include a 1009; deep a")
	require.NotContains(t, w.told(), PaymentOverpaid)
	require.Equal(t, "9", w.payment.Excess.String())
	require.NoError(t, w.run("include b 1"))
	require.NotContains(t, w.told(), PaymentOverpaid, "unconfirmed money is no excess")
	require.NoError(t, w.run("deep b"))
	require.Equal(t, "0.1", w.event(PaymentOverpaid).Excess)
	require.NoError(t, w.run("include c 1; deep c"))
	require.Equal(t, "0.11", w.event(PaymentOverpaid).Excess)
	require.NoError(t, w.run("other d 500; deep d"))
	require.NotContains(t, w.told(), PaymentOverpaid, "it is told once")

	p := testPayment()
	p.Policy.OverpaidMin = chain.Amount{}
	w = newWorld(t, p)
	require.NoError(t, w.run("include a 1001; deep a"))
	require.Equal(t, "0.01", w.event(PaymentOverpaid).Excess, "one unit unless another minimum is set")
}

// Another asset never adds up with the one that was asked for.
func TestRule_S9_OtherAssetsDoNotAddUp(t *testing.T) {
	t.Parallel()
	w := play(t, "include a 899; deep a; other b 1000000; deep b; final b")
	require.Equal(t, StatusDetected, w.payment.Status)
	require.Equal(t, "899", w.payment.Received.String())
	require.True(t, w.payment.Held.IsZero())
	require.NoError(t, w.run("at 70m; covered; accept"))
	require.False(t, w.tx("b").Accepted)
	require.Equal(t, "899", w.payment.Confirmed.String())
}

// Cancel goes while no money that was asked for is in a block, and it stays.
func TestRule_S11_Cancel(t *testing.T) {
	t.Parallel()
	w := play(t, "cancel")
	require.Equal(t, w.env.now, w.payment.CanceledAt)
	first := w.payment
	w.env.now = w.env.now.Add(time.Minute)
	require.NoError(t, w.run("cancel"))
	require.Equal(t, first, w.payment, "again is no error and no change")
	require.Empty(t, w.last.notices)

	require.NoError(t, w.run("include a 1000; deep a"))
	require.Equal(t, StatusCanceled, w.payment.Status)
	require.Equal(t, "canceled", w.event(PaymentLate).Reason)
	require.Equal(t, "1000", w.payment.Held.String())

	require.ErrorIs(t, newWorld(t, testPayment()).run("include a 1; cancel"), ErrPaymentHasFunds)
	require.NoError(t, newWorld(t, testPayment()).run("seen a; cancel"), "the mempool holds nobody")
	require.NoError(t, newWorld(t, testPayment()).run("other a 5; deep a; cancel"), "nor does another asset")
	require.NoError(t, newWorld(t, testPayment()).run("include a 5; orphan a; cancel"))
}

// Settled is when what pays has been delivered; what came on top is not waited
// for, nor a residue, and a later extra takes nothing back.
func TestRule_S12_Settled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script  string
		settled bool
	}{
		"all swept":                   {"include a 1000; deep a; final a; discharge a 1000", true},
		"final and not swept":         {"include a 1000; deep a; final a", false},
		"a part swept":                {"include a 1000; deep a; final a; discharge a 950", false},
		"a residue left":              {"include a 1000; deep a; final a; discharge a 951", true},
		"both parts":                  {"include a 500; include b 500; deep a; deep b; final a; final b; discharge a 500; discharge b 500", true},
		"one of two parts":            {"include a 500; include b 500; deep a; deep b; final a; final b; discharge a 500", false},
		"a small part not final":      {"include a 960; include b 40; deep a; deep b; final a; discharge a 960", false},
		"an unswept extra":            {"include a 1000; include b 70; deep a; deep b; final a; discharge a 1000", true},
		"an unbound extra is no part": {"at 3h; include z 1000; deep z; final z; discharge z 1000; at 1m", false},
		"an extra comes later":        {"include a 1000; deep a; final a; discharge a 1000; include b 70; deep b", true},
		"its sweep is lost":           {"include a 1000; deep a; final a; discharge a 1000; lost a 1000", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.settled, play(t, c.script).payment.Status == StatusSettled)
		})
	}
	w := play(t, "include a 1000; include b 70; deep a; deep b; final a; discharge a 1000")
	require.Equal(t, "10", w.event(PaymentSettled).Gross, "what was delivered, not what is still there")
	require.NoError(t, w.run("lost a 1000; final b; discharge b 70; discharge a 1000"))
	require.Equal(t, "10.7", w.event(PaymentSettled).Gross)
	require.Equal(t, 2, w.payment.SettleNo)
	require.Equal(t, 1, w.payment.ConfirmationNo, "a lost sweep is no new confirmation")
}

// The event of a settled payment tells gross, fee and net; a fee in the same
// coin comes off.
func TestRule_S12_SettledNet(t *testing.T) {
	t.Parallel()
	w := play(t, "include a 1000; deep a; final a")
	w.payment.SweepFee = chain.NewAmount(300)
	require.NoError(t, w.run("discharge a 1000"))
	e := w.event(PaymentSettled)
	require.Equal(t, []string{"10", "0.0000000000000003", "10"}, []string{e.Gross, e.FeeShare, e.Net})

	p := testPayment()
	p.Asset.Contract = "" // the chain's own coin
	w = newWorld(t, p)
	require.NoError(t, w.run("include a 1000; deep a; final a"))
	w.payment.SweepFee = chain.NewAmount(300)
	require.NoError(t, w.run("discharge a 1000"))
	e = w.event(PaymentSettled)
	require.Equal(t, []string{"10", "7"}, []string{e.Gross, e.Net})
}

// What is deep when it is first seen is told as detected and confirmed in one
// commit, in that order: the chain's events first, then the payment's.
func TestRule_S23_FirstSeenDeep(t *testing.T) {
	t.Parallel()
	w := play(t, "include a 1010")
	commit := slices.Clone(w.last.notices)
	require.NoError(t, w.run("deep a"))
	commit = append(commit, w.last.notices...)
	var kinds []Kind
	for _, n := range ordered(commit) {
		kinds = append(kinds, n.kind)
	}
	require.Equal(t, []Kind{TransactionDetected, TransactionConfirmed, PaymentDetected, PaymentConfirmed, PaymentOverpaid}, kinds)
}

// Events of one commit come by rank, and within a rank as they happened.
func TestRule_S24_OrderOfEvents(t *testing.T) {
	t.Parallel()
	in := []Kind{
		PaymentLate, PaymentReverted, TransactionOrphaned, PaymentOverpaid, PaymentDetected, TransactionDetected, PaymentUnexpectedAsset,
		TransactionConfirmed, PaymentConfirmed, PaymentCreated, TransactionFailed, PaymentSettled, TransactionReplaced,
	}
	want := []Kind{
		PaymentCreated, TransactionOrphaned, TransactionDetected, TransactionConfirmed, TransactionFailed, TransactionReplaced,
		PaymentReverted, PaymentDetected, PaymentConfirmed, PaymentSettled, PaymentLate, PaymentOverpaid, PaymentUnexpectedAsset,
	}
	ns := make([]notice, len(in))
	for i, k := range in {
		ns[i].kind = k
	}
	var got []Kind
	for _, n := range ordered(ns) {
		got = append(got, n.kind)
	}
	require.Equal(t, want, got)
}

// Who keeps the snapshot with the highest number has the payment as it is: a
// remark comes last and was made before the payment was settled.
func TestRule_S24_LastSnapshotIsTheNewest(t *testing.T) {
	t.Parallel()
	before, p := testPayment(), testPayment()
	before.Status, p.Status = StatusConfirmed, StatusSettled
	p.Received = chain.NewAmount(1_000_000)
	ns := ordered([]notice{
		{kind: PaymentConfirmed, data: paymentData(before)}, {kind: PaymentOverpaid, data: paymentData(before)}, {kind: PaymentSettled, data: paymentData(p)},
	})
	upToDate(ns, p)
	require.Equal(t, StatusConfirmed, ns[0].data.Status, "a state keeps its own")
	require.Equal(t, paymentData(p), ns[2].data)
	ns = []notice{{kind: TransactionConfirmed, data: paymentData(before)}}
	upToDate(ns, p)
	require.Equal(t, paymentData(p), ns[0].data, "the last one, whatever it is")
}

// A counting transfer that a reorg took puts the verdict on hold: an hour, or
// twice the confirmations where blocks are slow.
func TestHoldEndsToTheNanosecond(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		confirmations uint64
		wait          time.Duration
	}{{3, time.Hour}, {150, time.Hour}, {151, 302 * 12 * time.Second}} {
		p := testPayment()
		p.RequiredConfirmations = c.confirmations
		w := newWorld(t, p)
		w.oracle.wait = c.wait
		require.NoError(t, w.run("at 50m; include a 1000; deep a; orphan a"))
		require.Equal(t, StatusPending, w.payment.Status)
		end := 50*time.Minute + c.wait
		require.Equal(t, testStart().Add(end), w.payment.HoldUntil)
		require.Equal(t, w.payment.HoldUntil, w.payment.Deadline)
		w.at(end - tick)
		require.NoError(t, w.run("covered"))
		require.Equal(t, StatusPending, w.payment.Status)
		w.at(end)
		require.NoError(t, w.run("look"))
		require.Equal(t, StatusPending, w.payment.Status, "the clock alone covers nothing")
		require.NoError(t, w.run("covered"))
		require.Equal(t, StatusExpired, w.payment.Status)
		require.True(t, w.payment.HoldUntil.IsZero())
	}
}

// The hold is over when every missing transfer is back, and not before.
func TestHoldWaitsForEveryTransfer(t *testing.T) {
	t.Parallel()
	w := play(t, "at 50m; include a 300; include b 300; include c 100; orphan a; orphan b; orphan c; at 51m; include b 300; deep b")
	require.False(t, w.payment.HoldUntil.IsZero(), "two are still missing")
	require.NoError(t, w.run("include d 10; deep d"))
	require.False(t, w.payment.HoldUntil.IsZero(), "a stranger is none of them")
	require.NoError(t, w.run("include a 300; deep a; at 70m; covered"))
	require.Equal(t, StatusDetected, w.payment.Status)
	require.NoError(t, w.run("include c 100"))
	require.True(t, w.payment.HoldUntil.IsZero())
	require.NoError(t, w.run("deep c"))
	require.Equal(t, StatusUnderpaid, w.payment.Status)
}

// A clock that goes back shortens no hold.
func TestHoldNeverShrinks(t *testing.T) {
	t.Parallel()
	w := play(t, "at 50m; include a 300; include b 300; orphan a; at 10m; orphan b")
	require.Equal(t, testStart().Add(110*time.Minute), w.payment.HoldUntil)
}

// Money that never counted holds nothing up.
func TestHoldIsForCountingMoneyOnly(t *testing.T) {
	t.Parallel()
	w := play(t, "at 3h; include a 300; orphan a; covered")
	require.Equal(t, StatusExpired, w.payment.Status)
	w = play(t, "at 59m; other a 300; deep a; orphan a; at 60m; covered")
	require.Equal(t, StatusExpired, w.payment.Status)
}

// The deadline is covered from its own instant on, by the chain and the clock.
func TestCoveredToTheNanosecond(t *testing.T) {
	t.Parallel()
	deadline := testStart().Add(time.Hour)
	for _, c := range []struct {
		scanned, now time.Time
		want         Status
	}{
		{deadline, deadline, StatusExpired},
		{deadline.Add(-tick), deadline.Add(time.Hour), StatusPending},
		{deadline.Add(time.Hour), deadline.Add(-tick), StatusPending}, // blocks ahead of the clock
		{time.Time{}, deadline.Add(time.Hour), StatusPending},         // halted
	} {
		w := newWorld(t, testPayment())
		w.scanned, w.env.now = c.scanned, c.now
		require.NoError(t, w.run("look"))
		require.Equal(t, c.want, w.payment.Status, "%v", c)
	}
	require.False(t, newWorld(t, testPayment()).env.covered(time.Time{}, 3), "what has no time is never covered")
}

// A payment is looked at when its verdict can fall, and left alone otherwise.
func TestNextVerdict(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]time.Duration{
		"":                                      time.Hour,
		"include a 10":                          0, // waits for the transfer
		"include a 10; deep a":                  time.Hour,
		"at 50m; include a 10; orphan a":        110 * time.Minute,
		"include a 10; at -1m; orphan a":        time.Hour, // the hold ends first
		"cancel":                                0,
		"at 70m; covered":                       0,
		"include a 1000; deep a":                0,
		"include a 10; deep a; at 70m; covered": 0,
	} {
		w := play(t, script)
		if want == 0 {
			require.True(t, w.payment.Deadline.IsZero(), script)
			continue
		}
		require.Equal(t, testStart().Add(want), w.payment.Deadline, script)
	}
}

// AcceptPayment binds the transfers that are there, not the payment.
func TestAcceptBindsIdentities(t *testing.T) {
	t.Parallel()
	w := play(t, "cancel; include a 10; deep a; include b 20; accept")
	require.Equal(t, StatusConfirmed, w.payment.Status)
	require.True(t, w.tx("a").Accepted)
	require.False(t, w.tx("b").Accepted, "it was not confirmed yet")
	require.NoError(t, w.run("deep b; include c 30; deep c"))
	require.Equal(t, "10", w.payment.Confirmed.String())
	require.Equal(t, "50", w.payment.Held.String(), "what comes later is held")
	require.NoError(t, w.run("orphan a"))
	require.Equal(t, StatusCanceled, w.payment.Status)
	require.NoError(t, w.run("include a 10; deep a"))
	require.Equal(t, StatusConfirmed, w.payment.Status, "it is still bound")
	require.Equal(t, 2, w.payment.ConfirmationNo)
	require.NoError(t, w.run("accept"))
	require.Equal(t, "60", w.payment.Confirmed.String())
	require.Equal(t, 2, w.payment.ConfirmationNo)
	require.Empty(t, w.last.notices)
	require.ErrorIs(t, w.run("accept"), ErrNothingToAccept)
}

// Held money is swept by default. A host can accept it all the same, and the
// payment is settled then: nothing else would ever tell that it is.
func TestAcceptOfSweptMoneySettles(t *testing.T) {
	t.Parallel()
	w := play(t, "at 3h; covered; include a 1000; deep a; final a; discharge a 1000; accept")
	require.Equal(t, StatusSettled, w.payment.Status)
	require.Equal(t, []Kind{PaymentConfirmed, PaymentSettled}, w.told())
	require.Equal(t, []time.Time{w.env.now, w.env.now}, []time.Time{w.payment.ConfirmedAt, w.payment.SettledAt})
	require.Equal(t, 1, w.payment.SettleNo)
	require.True(t, w.event(PaymentConfirmed).Accepted)
	require.NoError(t, w.run("include b 5; deep b; accept"))
	require.Equal(t, 1, w.payment.SettleNo, "more money settles nothing anew")
}

// The same verdict may fall twice over the same transfers. It is told twice,
// with an id of its own, or the outbox would refuse it for ever.
func TestVerdictsAreToldAgain(t *testing.T) {
	t.Parallel()
	w := play(t, "include a 300; include b 200; deep a; deep b; at 70m; covered; orphan b; at 5h; covered")
	require.Equal(t, StatusUnderpaid, w.payment.Status)
	require.Equal(t, []Kind{PaymentUnderpaid}, w.told())

	w = play(t, "at 3h; include a 300; deep a; covered; accept; halt; orphan a; covered")
	require.Equal(t, StatusExpired, w.payment.Status)
	require.Equal(t, []Kind{PaymentExpired}, w.told())
}

// Ids of postings and events come from what happened, not from a clock or a
// row's version: several facts share a commit, and a restored store makes them
// again.
func TestIDsAreMadeOfFacts(t *testing.T) {
	t.Parallel()
	ids := func(version int64, now time.Duration) (out []string) {
		p := testPayment()
		p.Version = version
		w := newWorld(t, p)
		w.at(now)
		for _, line := range []string{"include a 1000", "deep a", "include b 20", "deep b", "orphan b", "include b 30", "deep b", "orphan a", "orphan b"} {
			require.NoError(t, w.run(line))
			for _, e := range w.last.entries {
				out = append(out, e.ID)
			}
			for _, n := range w.last.notices {
				out = append(out, string(n.kind)+n.cause)
			}
		}
		return out
	}
	first := ids(1, time.Minute)
	require.Equal(t, first, ids(1, time.Minute))
	require.Equal(t, first, ids(9, 2*time.Minute))
}

// An orphaned transfer is told as what it was, where it was, and as gone.
func TestOrphanedEventNamesTheLostBlock(t *testing.T) {
	t.Parallel()
	w := play(t, "include a 1000; deep a; orphan a")
	got := w.event(TransactionOrphaned).Transaction
	require.Equal(t, TxFailed, got.Status)
	require.Equal(t, ReasonOrphaned, got.Reason)
	require.Equal(t, uint64(101), got.Block)
	require.Equal(t, chain.BlockHash("0xb101"), got.BlockHash)
	require.Zero(t, got.Confirmations)
	require.Equal(t, "10", got.Amount)
	require.Equal(t, StatusConfirmed, w.event(PaymentReverted).From)
}

// A late payer of an open payment is told whether the money counts.
func TestLateEventTellsWhetherItCounts(t *testing.T) {
	t.Parallel()
	w := play(t, "cancel; include a 7")
	require.Equal(t, []Kind{TransactionDetected}, w.told(), "held is what is confirmed")
	require.NoError(t, w.run("deep a"))
	e := w.event(PaymentLate)
	require.Equal(t, []any{false, "canceled", "0.07"}, []any{e.Accepted, e.Reason, e.Held})
	require.Equal(t, map[string]string{"order": "7"}, e.Metadata)
	e.Metadata["order"] = "8"
	require.Equal(t, "7", w.payment.Metadata["order"], "an event has its own copy")
}

// Money of a token that was not believed counts for nothing, whatever else
// stands in its row.
func TestSuspenseCountsForNothing(t *testing.T) {
	t.Parallel()
	w := play(t, "cancel; include a 1000; deep a; final a")
	w.oracle = nil
	w.tx("a").Suspense = true
	require.ErrorIs(t, w.run("accept"), ErrNothingToAccept)

	w = play(t, "include a 1000; include b 5; include c 1000")
	w.oracle = nil
	c := w.tx("c")
	c.Status, c.Final, c.Suspense, c.Discharged = TxConfirmed, true, true, chain.NewAmount(1000)
	require.NoError(t, w.run("deep b"))
	require.Equal(t, StatusDetected, w.payment.Status)
	require.Equal(t, "1005", w.payment.Received.String())
	require.Equal(t, "5", w.payment.Confirmed.String())
	require.NoError(t, w.run("deep a"))
	require.Equal(t, StatusConfirmed, w.payment.Status)
	require.NoError(t, w.run("final a; discharge a 960"))
	require.Equal(t, StatusSettled, w.payment.Status)
	require.Equal(t, "10", w.event(PaymentSettled).Gross)
}

// The deadline is covered and nobody has looked yet: what does not concern it
// takes no verdict on it.
func TestOnlyWhatConcernsTheDeadlineTakesItsVerdict(t *testing.T) {
	t.Parallel()
	for _, script := range []string{
		"at 3h; scan; include z 7; deep z", "at 3h; scan; include z 7; deep z; final z; orphan z", "at 3h; scan; other z 7; deep z; orphan z",
		"at 3h; scan; seen z", "include a 5; at 3h; scan; orphan a",
	} {
		w := play(t, script)
		require.Equal(t, StatusPending, w.payment.Status, script)
		w.at(9 * time.Hour)
		require.NoError(t, w.run("covered"))
		require.Equal(t, StatusExpired, w.payment.Status, script)
	}
}

// A transfer that is believed after all, in another block, is judged as if it
// came for the first time.
func TestSuspenseIsNoVerdict(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at     string
		counts bool
		told   []Kind
	}{
		{"at 10m", true, []Kind{TransactionDetected, PaymentDetected}},
		{"at 90m", true, []Kind{TransactionDetected, PaymentDetected, PaymentLate}},
		{"at 3h", false, []Kind{TransactionDetected}},
	} {
		w := play(t, c.at)
		w.oracle = nil
		w.add("a", ownAsset)
		row := w.tx("a")
		row.Status, row.FailureReason, row.Inclusion, row.Suspense = TxFailed, ReasonOrphaned, 1, true
		require.NoError(t, w.run("include a 1000"))
		require.Equal(t, c.counts, w.tx("a").Counting, c.at)
		require.False(t, w.tx("a").Suspense)
		require.Equal(t, c.told, w.told())
	}
	w := play(t, "include z 5; at 90m")
	w.oracle = nil
	w.add("a", ownAsset)
	row := w.tx("a")
	row.Status, row.Inclusion, row.Suspense = TxFailed, 1, true
	require.NoError(t, w.run("include a 1000"))
	require.Equal(t, []Kind{TransactionDetected, PaymentLate}, w.told())
}
