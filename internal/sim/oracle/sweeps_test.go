package oracle

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

func TestASweepOfWhatLeftTheChainIsNotLeftPlanned(t *testing.T) {
	s := newScript(t)
	s.all()
	require.NoError(t, s.found)
	p, tx, a := s.o.m.payouts["po_1"], s.o.m.txs["tx_1"], s.o.m.attempts[s.attempt.ID]
	p.Status, tx.Discharged, tx.Reserved = bursar.PayoutPlanned, chain.Amount{}, p.Amount
	require.NoError(t, s.o.accounted("tx_1"), "the deposit is there")
	tx.Status = bursar.TxFailed
	require.ErrorContains(t, s.o.accounted("tx_1"), "S4: ")
	a.Open = true
	require.NoError(t, s.o.accounted("tx_1"), "what is signed may be mined, and cannot be taken back")
	a.Open, p.Status, tx.Reserved = false, bursar.PayoutCanceled, chain.Amount{}
	require.NoError(t, s.o.accounted("tx_1"), "it was given up")
}

func TestANewSweepMayMeetOneThatAReorgOpenedOrThatFailsAndFails(t *testing.T) {
	for name, life := range map[string]func(*Oracle, *bursar.Payout){
		"opened again": func(o *Oracle, p *bursar.Payout) {
			p.Status = bursar.PayoutConfirmed
			o.m.index(p)
		},
		"failed often": func(o *Oracle, p *bursar.Payout) {
			p.Failures = lame
			o.m.index(p)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newScript(t).o
			old := &bursar.Payout{ID: "po_1", Kind: bursar.PayoutSweep, Status: bursar.PayoutPlanned}
			o.m.index(old)
			now := &bursar.Payout{ID: "po_2", Kind: bursar.PayoutSweep, Status: bursar.PayoutPlanned, Version: 1}
			require.ErrorContains(t, o.paidOnce(now), "S9: ")
			life(o, old)
			old.Status = bursar.PayoutBroadcast
			o.m.index(old)
			require.NoError(t, o.paidOnce(now))
		})
	}
}

// A sweep that moved less than it covers gives it to the oldest first.
func TestWhatASweepMovedIsSharedFirstInFirstOut(t *testing.T) {
	n := chain.NewAmount
	p := &bursar.Payout{Amount: n(30), Moved: n(15), Items: []bursar.PayoutItem{{TransactionID: "a", Amount: n(10)}, {TransactionID: "b", Amount: n(20)}}}
	for _, want := range []struct {
		id           string
		moved, whole uint64
	}{{"a", 10, 10}, {"b", 5, 20}, {"c", 0, 0}} {
		moved, whole, missed := share(p, want.id)
		require.False(t, missed)
		require.Equal(t, []chain.Amount{n(want.moved), n(want.whole)}, []chain.Amount{moved, whole}, want.id)
	}
	p.LessFee = true
	moved, _, _ := share(p, "b")
	require.Equal(t, n(20), moved, "the fee came out of it")
}

func TestALeaseThatAnotherHasGetsAnotherEpoch(t *testing.T) {
	o := newScript(t).o
	at := func(epoch int64) bursar.Fence { return bursar.Fence{Name: "scan", Epoch: epoch} }
	require.NoError(t, o.Leased("a", at(1)))
	require.NoError(t, o.Leased("a", at(1)), "held on to")
	require.NoError(t, o.Leased("b", at(2)))
	require.ErrorContains(t, o.Leased("c", at(2)), "S6: ")
	require.NoError(t, o.Rewound(0))
	require.NoError(t, o.Leased("c", at(2)), "the store forgot who had it")
}

func TestAnExcessThatGrowsIsTold(t *testing.T) {
	n := chain.NewAmount
	was := &bursar.Payment{ID: "pay_1", Status: confirmed, Amount: n(10), Confirmed: n(10)}
	now := &bursar.Payment{ID: "pay_1", Status: confirmed, Amount: n(10), Confirmed: n(14)}
	silent := &bursar.Batch{Events: []bursar.Event{{Kind: bursar.PaymentOverpaid, Subject: "pay_2"}}}
	require.ErrorContains(t, excessTold(silent, was, now), "S7: ")
	require.NoError(t, excessTold(&bursar.Batch{Events: []bursar.Event{{Kind: bursar.PaymentOverpaid, Subject: "pay_1"}}}, was, now))
	require.NoError(t, excessTold(silent, now, was), "it shrinks")
	require.NoError(t, excessTold(silent, now, now), "it stays")
	now.Policy.OverpaidMin = n(5)
	require.NoError(t, excessTold(silent, was, now), "nobody wants to hear of it")
	now.Policy.OverpaidMin, now.Status = n(4), detected
	require.NoError(t, excessTold(silent, was, now), "it is not paid")
}
