package bursar

import (
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func TestThreat_A1_ShallowReorgTakesTheSightBack(t *testing.T) {
	t.Parallel()
	w := play(t, "include a 1000; orphan a")
	require.Equal(t, StatusPending, w.payment.Status)
	require.Zero(t, w.payment.ConfirmationNo)
	require.True(t, w.payment.Received.IsZero())
	require.Equal(t, []Kind{TransactionOrphaned, PaymentReverted}, w.told())
	require.Equal(t, StatusDetected, w.event(PaymentReverted).From)

	w = play(t, "include a 500; include b 500; orphan a")
	require.Equal(t, StatusDetected, w.payment.Status)
}

func TestThreat_A2_DeepReorgReversesTheCredit(t *testing.T) {
	t.Parallel()
	w := play(t, "include a 1200; deep a; orphan a")
	require.Equal(t, StatusPending, w.payment.Status)
	require.Equal(t, []Kind{TransactionOrphaned, PaymentReverted}, w.told())
	reversals := 0
	for _, e := range w.last.entries {
		if e.Reverses != "" {
			reversals++
		}
	}
	require.Equal(t, 3, reversals, "both legs of the confirmation, and the sight")
	for key, sum := range w.sums {
		require.Zero(t, sum.Sign(), "%s", key.account)
	}
	require.Len(t, w.entries, 10, "nothing was edited: five postings and what undoes them")
}

func TestThreat_A3_ReminedIsOneCredit(t *testing.T) {
	t.Parallel()
	w := play(t, "include a 1000; deep a; orphan a; include a 1000")
	require.Equal(t, StatusDetected, w.payment.Status, "confirmations start anew")
	require.NoError(t, w.run("deep a"))
	require.Equal(t, StatusConfirmed, w.payment.Status)
	require.Equal(t, 2, w.payment.ConfirmationNo)
	require.Len(t, w.txs, 1)
	require.Equal(t, 2, w.txs[0].Inclusion)
	require.Equal(t, "-1000", w.balance(ownAsset, accountPaid(testPaymentID)).String())
}

func TestThreat_A4_IdentityIsNotThePlaceInTheBlock(t *testing.T) {
	t.Parallel()
	id := chain.TransferID{Tx: "0xabc", Ordinal: "t:0xtoken:0xto:0"}
	want := transactionID(testChain, id)
	require.Equal(t, want, transactionID(testChain, id))
	require.True(t, strings.HasPrefix(want, "tx_"))
	seen := map[string]bool{want: true}
	for _, other := range []string{
		transactionID("eip155:1", id),
		transactionID(testChain, chain.TransferID{Tx: "0xabd", Ordinal: id.Ordinal}),
		transactionID(testChain, chain.TransferID{Tx: id.Tx, Ordinal: "t:0xtoken:0xto:1"}),
		transactionID(testChain, chain.TransferID{Tx: id.Tx + "t", Ordinal: id.Ordinal[1:]}), // parts do not run into each other
	} {
		require.False(t, seen[other])
		seen[other] = true
	}
}

func TestThreat_A5_ReexecutedWithAnotherAmount(t *testing.T) {
	t.Parallel()
	w := play(t, "include a 1200; deep a; orphan a; include a 899; deep a")
	require.Equal(t, StatusDetected, w.payment.Status)
	require.Equal(t, "899", w.payment.Confirmed.String())
	require.Equal(t, "899", w.balance(ownAsset, accountF(testAddress)).String())
	require.NoError(t, w.run("orphan a; include a 900; deep a"))
	require.Equal(t, StatusConfirmed, w.payment.Status)
}

func TestThreat_A6_ThereAndBackAgain(t *testing.T) {
	t.Parallel()
	w := play(t, "include a 1000; deep a; orphan a; include a 1000; orphan a; include a 1000; deep a")
	require.Equal(t, StatusConfirmed, w.payment.Status)
	require.Equal(t, "-1000", w.balance(ownAsset, accountPaid(testPaymentID)).String())
	require.Len(t, w.live, 1)
}

// 2^256-1 units, twice and more: statuses hold on to the largest amount, the
// ledger counts on and stays balanced.
func TestThreat_B8_HugeAmounts(t *testing.T) {
	t.Parallel()
	huge := maxAmount()
	require.Equal(t, 256, huge.Big().BitLen())
	for _, expected := range []chain.Amount{chain.NewAmount(1000), huge} {
		p := testPayment()
		p.Policy = AmountPolicy{}
		p.Amount, p.Required = expected, expected
		w := newWorld(t, p)
		w.oracle = nil
		include := func(id string) { require.NoError(t, w.include(id, ownAsset, huge, w.env.now)) }
		for _, id := range []string{"a", "b", "c"} {
			include(id)
			require.NoError(t, w.run("deep "+id))
		}
		require.Equal(t, StatusConfirmed, w.payment.Status)
		require.Equal(t, huge, w.payment.Received)
		three := new(big.Int).Mul(huge.Big(), big.NewInt(3))
		require.Equal(t, three, w.balance(ownAsset, accountF(testAddress)))
		claims := new(big.Int)
		for key, sum := range w.sums {
			if key.account != accountF(testAddress) {
				require.LessOrEqual(t, sum.Sign(), 0, "%s", key.account)
				claims.Add(claims, sum)
			}
		}
		require.Equal(t, three.Neg(three), claims)
		require.Equal(t, new(big.Int).Neg(expected.Big()), w.balance(ownAsset, accountPaid(testPaymentID)))
		require.NoError(t, w.run("orphan b; orphan a; orphan c"))
		require.Equal(t, StatusPending, w.payment.Status)
		for key, sum := range w.sums {
			require.Zero(t, sum.Sign(), "%s", key.account)
		}
	}
}

// Each way to pay wrong has its state, and all money stands in the ledger.
func TestThreat_B22_OddPayments(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script, status         string
		confirmed, held, extra string
	}{
		"too little":               {"include a 899; deep a; at 70m; covered", "underpaid", "899", "0", "0"},
		"just enough":              {"include a 900; deep a", "confirmed", "900", "0", "0"},
		"too much":                 {"include a 1500; deep a", "confirmed", "1500", "0", "500"},
		"two payers":               {"include a 450; include b 450; deep b; deep a", "confirmed", "900", "0", "0"},
		"paid twice":               {"include a 1000; deep a; include b 1000; deep b", "confirmed", "2000", "0", "1000"},
		"paid twice, settled":      {reach()[StatusSettled] + "include b 1000; deep b", "settled", "2000", "0", "1000"},
		"paid again after expiry":  {"include a 1000; deep a; at 9h; include b 1000; deep b", "confirmed", "2000", "0", "1000"},
		"another asset":            {"other a 1000; deep a", "pending", "0", "0", "0"},
		"another asset on top":     {"include a 1000; deep a; other b 5; deep b", "confirmed", "1000", "0", "0"},
		"the second half too late": {"include a 500; deep a; at 9h; covered; include b 500; deep b", "underpaid", "500", "500", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := play(t, c.script)
			p := w.payment
			require.Equal(t, []string{c.status, c.confirmed, c.held, c.extra}, []string{string(p.Status), p.Confirmed.String(), p.Held.String(), p.Excess.String()})
			total := new(big.Int)
			for _, sum := range w.sums {
				total.Add(total, sum)
			}
			require.Zero(t, total.Sign())
		})
	}
}

// A sight in the mempool posts nothing and moves nothing, also where the block
// comes in the same breath.
func TestThreat_B23_MempoolIsNoMoney(t *testing.T) {
	t.Parallel()
	w := play(t, "seen a")
	require.Equal(t, StatusPending, w.payment.Status)
	require.Empty(t, w.entries)
	require.Equal(t, []Kind{TransactionDetected}, w.told())
	require.NoError(t, w.run("include a 1000"))
	require.Len(t, w.entries, 1)
	require.NoError(t, w.run("deep a"))
	require.Equal(t, "-1000", w.balance(ownAsset, accountPaid(testPaymentID)).String())
	require.NoError(t, newWorld(t, testPayment()).run("seen a; at 70m; covered"))
}

// Money for a payment that is over is held for it, and told.
func TestThreat_B24_MoneyAfterTheEnd(t *testing.T) {
	t.Parallel()
	for _, from := range []Status{StatusExpired, StatusUnderpaid, StatusCanceled} {
		w := play(t, reach()[from]+"at 9h; include z 1000; deep z")
		require.Equal(t, from, w.payment.Status)
		require.Equal(t, "1000", w.payment.Held.String())
		require.Equal(t, []Kind{TransactionConfirmed, PaymentLate}, w.told())
		require.NoError(t, w.run("accept"))
		require.Equal(t, StatusConfirmed, w.payment.Status)
		require.True(t, w.payment.Accepted)
	}
	for _, from := range []Status{StatusConfirmed, StatusSettled} {
		w := play(t, reach()[from]+"at 9h; include z 1000; deep z")
		require.Equal(t, from, w.payment.Status)
		require.Equal(t, "1000", w.payment.Excess.String())
		require.True(t, w.payment.Late)
		require.Contains(t, w.told(), PaymentOverpaid)
	}
}

// An expired payment stays expired whatever comes too late, until the host
// says otherwise.
func TestThreat_G7_ExpiredPaidLate(t *testing.T) {
	t.Parallel()
	w := play(t, "at 70m; covered; at 9h; include a 1000; deep a; final a; include b 7; deep b; orphan b")
	require.Equal(t, StatusExpired, w.payment.Status)
	require.True(t, w.payment.Confirmed.IsZero())
	require.Equal(t, "1000", w.payment.Held.String())
	require.NoError(t, w.run("accept"))
	require.Equal(t, StatusConfirmed, w.payment.Status)
	require.Equal(t, "1000", w.payment.Confirmed.String())
}

// Cancel against paid, expire against detected: whichever is first, the state
// is legal, no money is lost, and money in a block wins.
func TestThreat_G17_RacesEndInLegalStates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testPayment())
	require.ErrorIs(t, w.run("include a 1000; cancel"), ErrPaymentHasFunds)
	require.NoError(t, w.run("deep a"))
	require.Equal(t, StatusConfirmed, w.payment.Status)

	w = play(t, "cancel; include a 1000; deep a")
	require.Equal(t, StatusCanceled, w.payment.Status)
	require.Equal(t, "1000", w.payment.Held.String())

	// In time by its block, found after the verdict: the same end either way.
	for _, script := range []string{
		"seen a; at 70m; covered; include a 1000; deep a",
		"seen a; at 70m; include a 1000; covered; deep a",
		"seen a; at 70m; include a 1000; deep a; covered",
	} {
		w = play(t, script)
		require.Equal(t, StatusConfirmed, w.payment.Status, script)
		require.False(t, w.payment.Late, script)
		require.Equal(t, 1, w.payment.ConfirmationNo, script)
	}
	// It counted before the cancel, and came back after it.
	w = play(t, "include a 1000; orphan a; cancel; include a 1000; deep a")
	require.Equal(t, StatusConfirmed, w.payment.Status)
	require.True(t, w.payment.Canceled())
}
