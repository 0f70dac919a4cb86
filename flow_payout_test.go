package bursar_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/hdwallet"
)

// paid makes a payment of 10 and brings its money to where it can be swept.
func (f *flow) paid(symbol string) bursar.Payment {
	f.t.Helper()
	p := f.Create(symbol, "10")
	f.Pay(p)
	f.Confirm()
	require.Equal(f.t, bursar.StatusConfirmed, f.Payment(p).Status)
	return p
}

// only returns the one payout of a kind.
func (f *flow) only(kind bursar.PayoutKind) bursar.Payout {
	f.t.Helper()
	rows := f.payouts(kind)
	require.Len(f.t, rows, 1, kind)
	return rows[0]
}

func TestThreat_F1_SweepsGoToTheConfiguredTreasury(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	f.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodPrepare {
			return errNode
		}
		return nil
	})
	p := f.paid("USDC")
	f.Mine(4)
	old := f.only(bursar.PayoutSweep)
	require.Equal(t, f.Treasury, old.To)

	// The configuration changes while the sweep is planned: nothing goes to the
	// address that stands in the store.
	treasury := f.Chain.Payer("new treasury")
	f.Chain.Fail(nil)
	f.reconfigure(func(c *bursar.Config) { c.Chains[0].Treasury = treasury })
	f.Chain.AdvanceTime(time.Hour)
	for range 30 {
		f.Chain.Mine(1)
		require.NoError(t, f.Gateway.Step(t.Context()))
	}
	require.Equal(t, bursar.PayoutCanceled, f.payout(old).Status)
	require.True(t, f.Chain.BalanceOf(f.Treasury, f.USDC).IsZero())
	require.Equal(t, p.Amount, f.Chain.BalanceOf(treasury, f.USDC))
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.Empty(t, f.logs.broken())
}

func TestThreat_F2_TreasuriesThatCannotBe(t *testing.T) {
	c := chaintest.New(chaintest.Options{})
	c.Mine(1)
	wallet, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "")
	require.NoError(t, err)
	token := c.DeployToken(chaintest.TokenSpec{Symbol: "USDC", Decimals: 6})
	for name, treasury := range map[string]chain.Address{
		"zero":     "0x0000000000000000000000000000000000000000",
		"checksum": "0x4b39f7b0624b9db86ad293686bc38b903142dbbc",
		"sponsor":  "0x4b39F7b0624b9dB86AD293686bc38B903142dbBc",
		"token":    token.Contract,
		"missing":  "",
	} {
		f := newFlow(t, bursartest.Options{})
		cfg := f.cfg
		cfg.Wallet = wallet
		cfg.Chains = []bursar.Chain{{Client: c.Client(), Assets: []chain.Asset{token}, Treasury: treasury}}
		_, err := bursar.New(cfg)
		var field *bursar.FieldError
		require.ErrorAs(t, err, &field, name)
		require.Equal(t, "Config.Chains[0].Treasury", field.Field, name)
	}
}

func TestSweepOfNativeCoin(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.paid("ETH")
	f.Settle()
	sweep := f.only(bursar.PayoutSweep)
	require.True(t, sweep.LessFee)
	got, err := sweep.Moved.Add(sweep.Fee)
	require.NoError(t, err)
	require.False(t, p.Amount.Less(got), "the fee comes out of it")
	require.Equal(t, sweep.Moved, f.Chain.BalanceOf(f.Treasury, f.ETH))
	require.False(t, f.attempts(sweep)[0].Open, "its lock is spent")
	e := f.WaitEvent(bursar.PaymentSettled, p.ID)
	require.Equal(t, "10", e.Data.Gross)
	require.Equal(t, f.ETH.Format(sweep.Fee), e.Data.FeeShare)
	require.Equal(t, f.ETH.Format(p.Amount.SubFloor(sweep.Fee)), e.Data.Net)
	f.noBrokenRules()
	f.allSwept()
}

func TestSweepOfATokenWithATopUp(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.paid("USDT")
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	topUp, sweep := f.only(bursar.PayoutTopUp), f.only(bursar.PayoutSweep)
	require.Equal(t, sweep.ID, topUp.Parent)
	require.Equal(t, p.Amount, sweep.Moved)
	require.Zero(t, f.Balance(f.USDT, bursar.Account("F:"+string(p.Address))).Sign())
	left := f.Balance(f.ETH, bursar.Account("F:"+string(p.Address)))
	require.Equal(t, topUp.Moved.SubFloor(sweep.Fee).String(), left.String(), "left-over gas is nobody's claim")
	require.Equal(t, []bursar.Kind{bursar.PayoutCreatedEvent, bursar.PayoutSentEvent, bursar.PayoutConfirmedEvent}, f.Kinds(sweep.ID))
	f.noBrokenRules()
	f.allSwept()
}

func TestThreat_F8_AFeeSpikeDefers(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: func(c *bursar.Config) {
		c.Chains[0].MaxFee = chain.NewAmount(1e15)
	}})
	p := f.paid("ETH")
	f.Chain.SetFees(chaintest.Fees{BaseFee: chain.NewAmount(1e12)})
	f.Mine(40)
	sweep := f.only(bursar.PayoutSweep)
	require.Equal(t, bursar.PayoutPlanned, sweep.Status)
	require.Equal(t, "FEE_TOO_HIGH", sweep.FailureCode)
	require.Greater(t, sweep.Failures, 1)
	require.Equal(t, 1, f.count(bursar.PayoutDeferred, sweep.ID), "told once")
	require.Greater(t, sweep.Failures, 3)
	require.Equal(t, 1, f.count(bursar.AlertSweepFailing, sweep.ID), "told once too")
	f.Chain.SetFees(chaintest.Fees{})
	f.AdvanceTime(time.Hour)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.noBrokenRules()
	f.allSwept()
}

func TestTheSponsorIsEmpty(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	f.drainSponsor()
	p := f.paid("USDC")
	f.Mine(60)
	require.Equal(t, 1, f.count(bursar.AlertGasLow, ""), "%v", f.Kinds(""))
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
	f.Chain.Fund(f.Sponsor, chain.NewAmount(1e18))
	f.AdvanceTime(time.Hour)
	f.Settle()
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.noBrokenRules()
	f.allSwept()
}

// thief has the wallet's keys, and no scruples.
// account is one of the wallet's own.
// drainSponsor takes nearly all of the sponsor's coin away.
func TestThreat_F12_ASweepThatMovesNothing(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p, other := f.Create("USDC", "10"), f.Create("USDT", "10")
	f.Pay(p)
	f.Pay(other)
	f.Confirm()
	mine := func() { // what is prepared with good hope fails on the chain
		f.Chain.SetTransferRate(f.USDC, 1, 1)
		f.Step()
		f.Chain.SetTransferRate(f.USDC, 0, 1)
		f.Chain.Mine(1)
	}
	for range 120 {
		mine()
	}
	f.Chain.SetTransferRate(f.USDC, 1, 1)
	f.Mine(1)
	var failed bursar.Payout
	for _, po := range f.payouts(bursar.PayoutSweep) {
		if po.Asset.ID == f.USDC.ID {
			failed = po
		}
	}
	require.Equal(t, bursar.PayoutFailed, failed.Status)
	require.Equal(t, 3, failed.Tries)
	require.Equal(t, "REVERTED", failed.FailureCode)
	require.Equal(t, 2, f.count(bursar.PayoutAttemptFailed, failed.ID))
	require.Equal(t, 1, f.count(bursar.PayoutFailedEvent, failed.ID))
	attempts := f.attempts(failed)
	require.Len(t, attempts, 3)
	locks := map[chain.Lock]bool{}
	for i, a := range attempts {
		require.Equal(t, i+1, a.Group, "a new group for each")
		require.False(t, a.Open)
		locks[a.Locks[0]] = true
	}
	require.Len(t, locks, 3)
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
	require.Equal(t, bursar.StatusSettled, f.Payment(other).Status, "the other token is not held up")
	require.Equal(t, p.Amount, f.Chain.BalanceOf(p.Address, f.USDC))
	f.noBrokenRules()
}

func TestAFailedAttemptIsOrphaned(t *testing.T) {
	for _, final := range []bool{false, true} {
		f := newFlow(t, bursartest.Options{})
		p := f.paid("USDC")
		for len(f.payouts(bursar.PayoutSweep)) == 0 || f.only(bursar.PayoutSweep).Status != bursar.PayoutBroadcast {
			f.Mine(1)
		}
		f.Chain.SetTransferRate(f.USDC, 0, 1)
		f.Mine(1)
		sweep := f.only(bursar.PayoutSweep)
		require.Equal(t, bursar.PayoutConfirmingFailed, sweep.Status)
		f.Chain.SetTransferRate(f.USDC, 1, 1)
		depth := 1
		if final {
			f.Mine(6)
			depth = 7
			require.NotEqual(t, bursar.PayoutConfirmingFailed, f.payout(sweep).Status)
		}
		f.Reorg(depth, chaintest.ReorgOptions{Delay: 1})
		if final {
			require.Equal(t, "payout_loose", f.state().Halted)
			f.Mine(20)
			require.Equal(t, "payout_loose", f.state().Halted, "an operator looks first")
			require.NoError(t, f.Gateway.ResumeChain(t.Context(), f.Chain.Info().ID))
			f.Mine(30)
			require.Empty(t, f.logs.broken())
			f.oneCreditEach()
			continue
		}
		f.Settle()
		require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
		require.Len(t, f.attempts(sweep), 1, "the same bytes did it this time")
		f.noBrokenRules()
		f.allSwept()
	}
}

func TestAPartialSweep(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	for _, n := range []string{"4", "6"} {
		f.Chain.Pay("payer "+n, p.Address, f.USDC, units(t, f.USDC, n))
	}
	f.Confirm()
	for len(f.payouts(bursar.PayoutSweep)) == 0 || f.only(bursar.PayoutSweep).Status != bursar.PayoutBroadcast {
		f.Mine(1)
	}
	f.Chain.SetTransferRate(f.USDC, 1, 2)
	f.Mine(1)
	f.Chain.SetTransferRate(f.USDC, 1, 1)
	first := f.only(bursar.PayoutSweep)
	require.Equal(t, units(t, f.USDC, "5"), first.Moved)
	f.Mine(6)
	require.Equal(t, 1, f.count(bursar.PayoutPartialEvent, first.ID))
	for _, row := range f.Transactions(p) { // first in, first out
		want := map[string]string{"4": "4", "6": "1"}[f.USDC.Format(row.Amount)]
		require.Equal(t, want, f.USDC.Format(row.Discharged))
	}
	f.Settle()
	require.Len(t, f.payouts(bursar.PayoutSweep), 2)
	require.Equal(t, p.Amount, f.Chain.BalanceOf(f.Treasury, f.USDC))
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.noBrokenRules()
	f.allSwept()
}

func TestThreat_F3_F7_TheAnswerToABroadcastIsLost(t *testing.T) {
	for _, after := range []bool{false, true} {
		f := newFlow(t, bursartest.Options{})
		p := f.paid("ETH")
		if after {
			f.Chain.FailNextAfter(chaintest.MethodBroadcast, errNode, 2)
		} else {
			f.Chain.FailNext(chaintest.MethodBroadcast, errNode, 2)
		}
		f.Mine(30)
		sweep := f.only(bursar.PayoutSweep)
		require.Len(t, f.attempts(sweep), 1, "one transaction, however often it was sent")
		require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
		require.EqualValues(t, 1, f.Chain.Nonce(p.Address))
		f.noBrokenRules()
		f.allSwept()
	}
}

func TestThreat_F5_TheSweepIsForgottenByTheNetwork(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.paid("ETH")
	f.Mine(3)
	sweep := f.only(bursar.PayoutSweep)
	id := f.attempts(sweep)[0].TxID
	for _, pause := range []time.Duration{1, 1, 2} { // each as long as all before
		require.True(t, f.Chain.Drop(id))
		f.Restart()
		f.Chain.AdvanceTime(pause * time.Minute)
		f.Step()
		require.Contains(t, f.Chain.Mempool(), id)
	}
	f.Settle()
	require.Len(t, f.attempts(sweep), 1)
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.noBrokenRules()
	f.allSwept()
}

func TestThreat_F6_F7_AStuckSweepIsReplaced(t *testing.T) {
	for _, winner := range []int{0, 1} {
		f := newFlow(t, bursartest.Options{})
		p := f.paid("ETH")
		for len(f.payouts(bursar.PayoutSweep)) == 0 || f.only(bursar.PayoutSweep).Status != bursar.PayoutBroadcast {
			f.Mine(1)
		}
		f.Chain.AdvanceTime(10 * time.Minute)
		for range 10 { // blocks that leave it out
			f.Chain.MineOnly()
			f.Step()
		}
		sweep := f.only(bursar.PayoutSweep)
		attempts := f.attempts(sweep)
		require.Len(t, attempts, 2)
		require.Equal(t, attempts[0].Locks, attempts[1].Locks)
		require.Equal(t, 1, f.count(bursar.PayoutBumped, sweep.ID))
		if winner == 0 { // the old one was mined after all
			f.Chain.Drop(attempts[1].TxID)
			_, err := f.Chain.Send(attempts[0].Raw)
			require.NoError(t, err)
		}
		f.Mine(1)
		got := f.payout(sweep)
		require.Equal(t, attempts[winner].TxID, got.TxID)
		require.Equal(t, bursar.PayoutConfirming, got.Status)
		// A reorg, and the other one wins.
		f.Reorg(1, chaintest.ReorgOptions{DropAll: true})
		f.Settle()
		require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
		require.EqualValues(t, 1, f.Chain.Nonce(p.Address))
		f.noBrokenRules()
		f.allSwept()
	}
}

func TestThreat_F9_ASignedSweepLosesItsGas(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.Mine(5)
	f.Chain.Fund(p.Address, chain.NewAmount(1e17)) // not final when it is used
	f.Mine(1)
	sweep := f.only(bursar.PayoutSweep)
	require.Equal(t, bursar.PayoutBroadcast, sweep.Status)
	require.Empty(t, f.payouts(bursar.PayoutTopUp))
	f.Mine(1)
	f.Reorg(2, chaintest.ReorgOptions{DropAll: true})
	require.Zero(t, f.Chain.BalanceOf(p.Address, f.ETH).Big().Sign())
	f.AdvanceTime(time.Hour)
	f.Settle()
	require.Len(t, f.payouts(bursar.PayoutTopUp), 1)
	require.Len(t, f.attempts(sweep), 1)
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.noBrokenRules()
	f.allSwept()
}

func TestThreat_F10_DustIsNotSwept(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: func(c *bursar.Config) {
		for i := range c.Chains[0].Assets {
			c.Chains[0].Assets[i].SweepMinimum = chain.NewAmount(1_000_000)
		}
	}})
	p := f.Create("USDC", "0.5")
	f.Pay(p)
	f.Settle()
	require.Empty(t, f.payouts())
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status, "a residue is settled when it is final")
	f.PayAmount(p, "0.6") // and worth it together
	f.Settle()
	require.Equal(t, units(t, f.USDC, "1.1"), f.Chain.BalanceOf(f.Treasury, f.USDC))
	f.noBrokenRules()
	f.allSwept()
}

func TestThreat_F13_ADepositBetweenReadAndSweep(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.paid("USDC")
	f.Mine(3)
	f.Chain.Pay("again", p.Address, f.USDC, units(t, f.USDC, "3")) // while the sweep waits
	f.Mine(2)
	sweeps := f.payouts(bursar.PayoutSweep)
	require.Equal(t, p.Amount, sweeps[0].Amount, "exactly what was final")
	f.Settle()
	sweeps = f.payouts(bursar.PayoutSweep)
	require.Len(t, sweeps, 2)
	require.Equal(t, units(t, f.USDC, "3"), sweeps[1].Amount)
	f.noBrokenRules()
	f.allSwept()
}

func TestCrashBetweenSignatureAndBroadcast(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.paid("ETH")
	f.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodBroadcast && !c.After {
			panic("killed")
		}
		return nil
	})
	f.Mine(4)
	sweep := f.only(bursar.PayoutSweep)
	raw := f.attempts(sweep)[0].Raw
	f.Chain.Fail(nil)
	f.Restart()
	f.Mine(15)
	attempts := f.attempts(sweep)
	require.Len(t, attempts, 1)
	require.Equal(t, raw, attempts[0].Raw)
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.allSwept()
}

func TestAnAssetIsNoLongerConfigured(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.paid("USDT")
	q := f.Create("USDT", "10")
	f.reconfigure(func(c *bursar.Config) { c.Chains[0].Assets = []chain.Asset{f.USDC} })
	f.Pay(q)
	f.Settle()
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status, "it stays as it is")
	require.Equal(t, bursar.StatusPending, f.Payment(q).Status)
	f.AdvanceTime(25 * time.Hour)
	require.Equal(t, bursar.StatusExpired, f.Payment(q).Status)
	f.reconfigure(func(c *bursar.Config) { c.Chains[0].Assets = []chain.Asset{f.USDC, f.USDT} })
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.Empty(t, f.logs.broken())
}

// pinned lists a token whose code is pinned as it is now.
func TestAnOrphanedSweepIsSentAgainAtOnce(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	f.paid("ETH")
	for len(f.payouts(bursar.PayoutSweep)) == 0 || f.only(bursar.PayoutSweep).Status != bursar.PayoutConfirming {
		f.Mine(1)
	}
	sweep := f.only(bursar.PayoutSweep)
	f.Reorg(1, chaintest.ReorgOptions{DropAll: true})
	require.Contains(t, f.Chain.Mempool(), f.attempts(sweep)[0].TxID)
	f.Settle()
	f.noBrokenRules()
	f.allSwept()
}

// TestEachGroupIsUndoneByItself: what an earlier group cost stays booked when a
// later one leaves the chain.
func TestEachGroupIsUndoneByItself(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.paid("USDC")
	status := func() bursar.PayoutStatus {
		if rows := f.payouts(bursar.PayoutSweep); len(rows) > 0 {
			return rows[0].Status
		}
		return ""
	}
	for status() != bursar.PayoutBroadcast {
		f.Mine(1)
	}
	f.Chain.SetTransferRate(f.USDC, 0, 1)
	f.Mine(1)
	require.Equal(t, bursar.PayoutConfirmingFailed, status())
	f.Chain.SetTransferRate(f.USDC, 1, 1)
	for status() != bursar.PayoutConfirming {
		f.Mine(1)
	}
	require.Equal(t, 2, f.only(bursar.PayoutSweep).Group)
	f.Reorg(1, chaintest.ReorgOptions{Delay: 1})
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.noBrokenRules()
	f.allSwept()
}

func TestNothingIsSignedWhileHalted(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	away := true
	f.Chain.Fail(func(c chaintest.Call) error {
		if away && c.Method == chaintest.MethodPrepare {
			return errNode
		}
		return nil
	})
	p := f.paid("ETH")
	f.Mine(8)
	sweep := f.only(bursar.PayoutSweep)
	away = false
	f.Reorg(3)
	require.Equal(t, "deep_reorg", f.state().Halted)
	f.Chain.AdvanceTime(time.Minute)
	f.Step() // and no error: it is not even tried
	require.Empty(t, f.attempts(sweep))
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.noBrokenRules()
	f.allSwept()
}

func TestTheLedgerIsComparedWhenMoneyLeaves(t *testing.T) {
	f := newFlow(t, bursartest.Options{SkipLedger: true})
	p := f.paid("USDC")
	f.Chain.Grant(p.Address, f.USDC, chain.NewAmount(77)) // what no log shows
	f.Settle()
	alerts := f.count(bursar.AlertLedgerMismatch, string(f.Chain.Info().ID))
	require.Positive(t, alerts)
	q := newFlow(t, bursartest.Options{})
	q.paid("ETH")
	q.Settle()
	require.Zero(t, q.count(bursar.AlertLedgerMismatch, ""))
}
