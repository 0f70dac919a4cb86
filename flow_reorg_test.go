package bursar_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

func TestThreat_A1_ShallowReorgDropsASeenDeposit(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	one, two := f.Create("USDC", "10"), f.Create("USDC", "10")
	f.Pay(one)
	f.PayLess(two, "5")
	f.Mine(1)
	f.PayAmount(two, "5")
	f.Mine(1)
	require.Equal(t, bursar.StatusDetected, f.Payment(one).Status)
	f.Reorg(2, chaintest.ReorgOptions{DropAll: true})
	require.Equal(t, bursar.StatusPending, f.Payment(one).Status)
	require.Equal(t, bursar.StatusPending, f.Payment(two).Status)
	require.Zero(t, f.count(bursar.TransactionConfirmed, one.ID))
	require.Equal(t, 1, f.count(bursar.PaymentReverted, one.ID))
	require.Equal(t, 1, f.count(bursar.PaymentReverted, two.ID), "only when nothing is left")
	require.Empty(t, f.chainKinds(), "no alarm for a shallow one")
	require.Zero(t, f.Balance(f.USDC, bursar.Account("pending:"+one.ID)).Sign())
	f.AdvanceTime(26 * time.Hour)
	f.AdvanceTime(2 * time.Hour)
	require.Equal(t, bursar.StatusExpired, f.Payment(one).Status)
	f.noBrokenRules()
}

func TestThreat_A2_DeepReorgOpensTheBreaker(t *testing.T) {
	for _, o := range []chaintest.Options{{}, tagged()} {
		f := newFlow(t, bursartest.Options{Chain: o})
		p, q := f.Create("USDC", "10"), f.Create("USDC", "10")
		f.Pay(p)
		f.Confirm()
		require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
		tip := f.Chain.Head()
		f.Reorg(3, chaintest.ReorgOptions{DropAll: true})
		require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
		require.Equal(t, []bursar.Kind{bursar.ChainDeepReorg, bursar.ChainHalted}, f.chainKinds())
		require.Equal(t, 1, f.count(bursar.PaymentReverted, p.ID))
		var reversals int
		f.read(func(r bursar.Reader) error {
			rows, err := r.Entries(t.Context(), bursar.EntryQuery{Subject: p.ID})
			for _, e := range rows {
				if e.Reverses != "" {
					reversals++
				}
			}
			return err
		})
		require.Equal(t, 3, reversals, "L1 and both halves of L2; L3 is cut back by an entry of its own")
		require.Zero(t, f.Balance(f.USDC, bursar.Account("paid:"+p.ID)).Sign())

		// Nothing is credited, judged or swept meanwhile; what comes is noted.
		f.Pay(q)
		f.Mine(3)
		require.Equal(t, bursar.StatusDetected, f.Payment(q).Status)
		require.Equal(t, "deep_reorg", f.state().Halted)
		for f.Chain.Head().Height < tip.Height+f.Chain.Info().FinalityDepth-1 {
			f.Mine(1)
			require.Equal(t, bursar.StatusDetected, f.Payment(q).Status)
			require.Empty(t, f.payouts())
		}
		f.Mine(1)
		require.Empty(t, f.state().Halted, "beyond the height of the old tip the new branch is final")
		require.Equal(t, bursar.ChainResumed, f.chainKinds()[2])
		require.Equal(t, bursar.StatusConfirmed, f.Payment(q).Status)
		f.Settle()
		require.Equal(t, bursar.StatusSettled, f.Payment(q).Status)
		f.noBrokenRules()
	}
}

func TestThreat_A2_AnOperatorResumes(t *testing.T) {
	f := newFlow(t, bursartest.Options{Chain: tagged()})
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.Confirm()
	f.Mine(4)
	final := f.state().Final
	f.Chain.SetFinalized(final - 8)
	f.Reorg(10)
	require.Equal(t, "deep_reorg", f.state().Halted)
	require.Equal(t, bursar.StatusDetected, f.Payment(p).Status)
	require.NoError(t, f.Gateway.ResumeChain(t.Context(), f.Chain.Info().ID))
	require.NoError(t, f.Gateway.ResumeChain(t.Context(), f.Chain.Info().ID), "again is nothing")
	require.Error(t, f.Gateway.ResumeChain(t.Context(), "eip155:5"))
	f.Mine(4)
	require.Equal(t, 1, f.count(bursar.ChainResumed, ""))
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
	require.Equal(t, 2, f.Payment(p).ConfirmationNo)
	require.False(t, f.Payment(p).Final, "the old mark of finality does not make the new branch final")
	for _, po := range f.payouts() {
		require.NotEqual(t, bursar.PayoutConfirmed, po.Status)
	}
	f.Chain.FollowFinalized()
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.noBrokenRules()
	f.allSwept()
}

func TestThreat_A2_TheSameBranchIsLeftTwice(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("ETH", "1")
	f.Pay(p)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	depth := int(f.Chain.Head().Height) - 15
	for range 3 {
		a := f.Chain.Reorg(depth)
		f.Step()
		require.Equal(t, "deep_reorg", f.state().Halted)
		f.Chain.Return(a)
		f.Step()
		require.Equal(t, a, f.state().Tip().Hash)
	}
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.Equal(t, 6, f.count(bursar.ChainDeepReorg, ""))
	f.noBrokenRules()
	f.allSwept()
}

func TestThreat_A3_MinedAgainInAnotherBlock(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.Mine(2)
	before := f.Transactions(p)
	require.Len(t, before, 1)
	f.Reorg(2, chaintest.ReorgOptions{Delay: 2})
	after := f.Transactions(p)
	require.Len(t, after, 1)
	require.Equal(t, before[0].ID, after[0].ID)
	require.NotEqual(t, before[0].BlockHash, after[0].BlockHash)
	require.Equal(t, before[0].Block+2, after[0].Block)
	require.Equal(t, 2, after[0].Inclusion)
	require.EqualValues(t, 1, f.Payment(p).Confirmations, "counted from the new height")
	f.Mine(1)
	require.Equal(t, bursar.StatusDetected, f.Payment(p).Status)
	f.Mine(1)
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
	require.Equal(t, 1, f.count(bursar.PaymentConfirmed, p.ID))
	f.noBrokenRules()
}

func TestThreat_A4_MinedAgainBehindOthers(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p, q := f.Create("USDC", "10"), f.Create("USDC", "10")
	f.Chain.Pay("a", p.Address, f.USDC, p.Amount)
	f.Chain.Pay("b", q.Address, f.USDC, q.Amount)
	f.Mine(1)
	index := f.Transactions(p)[0].TxIndex
	f.Reorg(1, chaintest.ReorgOptions{Reverse: true})
	require.NotEqual(t, index, f.Transactions(p)[0].TxIndex)
	require.Len(t, f.Transactions(p), 1)
	f.Confirm()
	require.Equal(t, p.Amount, f.Payment(p).Confirmed)
	f.noBrokenRules()
}

func TestThreat_A5_MinedAgainWithAnotherAmount(t *testing.T) {
	for _, deep := range []bool{false, true} {
		f := newFlow(t, bursartest.Options{})
		p := f.Create("USDC", "10")
		f.Pay(p)
		f.Mine(2)
		depth := 2
		if deep {
			f.Mine(2)
			depth = 4
			require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
		}
		f.Chain.SetTransferRate(f.USDC, 1, 2)
		f.Reorg(depth)
		f.Chain.SetTransferRate(f.USDC, 1, 1)
		f.Settle()
		got := f.Payment(p)
		require.Equal(t, "5", p.Asset.Format(got.Confirmed))
		require.Equal(t, bursar.StatusDetected, got.Status)
		require.Equal(t, units(t, f.USDC, "5").Big(), f.Chain.BalanceOf(f.Treasury, f.USDC).Big())
		f.noBrokenRules()

		// And without any event at all the next time.
		f2 := newFlow(t, bursartest.Options{})
		p = f2.Create("USDC", "10")
		f2.Pay(p)
		f2.Mine(1)
		f2.Chain.SetTransferRate(f2.USDC, 0, 1)
		f2.Reorg(1)
		f2.Settle()
		require.Equal(t, bursar.StatusPending, f2.Payment(p).Status)
		require.Equal(t, bursar.TxFailed, f2.Transactions(p)[0].Status)
		f2.noBrokenRules()
	}
}

func TestThreat_A6_BackToTheFirstBranch(t *testing.T) {
	for _, depth := range []int{1, 2, 5} {
		f := newFlow(t, bursartest.Options{})
		p := f.Create("USDT", "10")
		f.Pay(p)
		f.Mine(depth)
		block := f.Transactions(p)[0].BlockHash
		a := f.Chain.Reorg(depth, chaintest.ReorgOptions{DropAll: true})
		f.Step()
		require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
		f.Chain.Return(a)
		f.Step()
		rows := f.Transactions(p)
		require.Len(t, rows, 1)
		require.Equal(t, block, rows[0].BlockHash)
		require.True(t, rows[0].Live())
		kinds := f.Kinds(p.ID)
		f.Settle()
		require.Equal(t, bursar.StatusSettled, f.Payment(p).Status, "%v", kinds)
		f.noBrokenRules()
		f.allSwept()
	}
}

func TestThreat_A7_ReplacedBeforeItWasMined(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("ETH", "1")
	id := f.Pay(p)
	f.Step()
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
	f.Chain.Replace(id, f.Chain.Payer("herself"), f.ETH, chain.NewAmount(1))
	f.Settle()
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
	require.Empty(t, f.incoming()[1:], "the sponsor's funding only")
	f.noBrokenRules()
}

func TestThreat_A8_DroppedFromTheMempool(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("ETH", "1")
	id := f.Pay(p)
	f.Step()
	f.Chain.Drop(id)
	f.Mine(3)
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
	require.Equal(t, []bursar.Kind{bursar.PaymentCreated}, f.Kinds(p.ID))
	require.Empty(t, f.Transactions(p))
}

func TestThreat_B23_TheMempoolMovesNothing(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("ETH", "1")
	f.Pay(p)
	entries := len(f.entries())
	f.Step()
	require.Len(t, f.entries(), entries)
	f.Mine(1) // mined at once, seen in both in the same look
	require.Len(t, f.entries(), entries+1)
	f.noBrokenRules()
}

func TestThreat_A9_ReorgWhileWeAreDown(t *testing.T) {
	for _, drop := range []bool{false, true} {
		f := newFlow(t, bursartest.Options{})
		p := f.Create("USDC", "10")
		f.Pay(p)
		f.Confirm()
		require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
		require.NoError(t, f.Gateway.Stop(t.Context()))
		f.Chain.Reorg(3, chaintest.ReorgOptions{DropAll: drop})
		f.Chain.Mine(2)
		f.Restart()
		f.Step()
		require.Contains(t, f.chainKinds(), bursar.ChainDeepReorg)
		f.Settle()
		want, no := bursar.StatusSettled, 2
		if drop {
			want, no = bursar.StatusPending, 1
		}
		require.Equal(t, want, f.Payment(p).Status)
		require.Equal(t, no, f.Payment(p).ConfirmationNo)
		f.noBrokenRules()
	}
}

func TestThreat_A10_NoAncestorHalts(t *testing.T) {
	info := chain.Info{MaxReorg: 8}
	f := newFlow(t, bursartest.Options{Chain: chaintest.Options{Info: info}})
	p := f.Create("USDC", "10")
	f.Mine(12)
	f.Pay(p)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	q := f.Create("USDC", "10")
	tip := f.state().Tip()
	a := f.Chain.Reorg(12)
	f.Pay(q)
	for range 3 {
		f.Chain.Mine(1)
		require.Error(t, f.tryStep())
	}
	require.Equal(t, "no_ancestor", f.state().Halted)
	require.Equal(t, tip, f.state().Tip(), "it does not guess where to go on")
	require.Equal(t, []bursar.Kind{bursar.ChainHalted}, f.chainKinds())
	require.Equal(t, bursar.StatusPending, f.Payment(q).Status)
	f.Chain.Return(a)
	f.Mine(1)
	require.Empty(t, f.state().Halted, "the node is back on our branch")
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(q).Status)
	f.noBrokenRules()
}

func TestADeepReorgOutlastsTheHaltBeforeIt(t *testing.T) {
	f := newFlow(t, bursartest.Options{Chain: chaintest.Options{Info: chain.Info{MaxReorg: 8}}})
	f.Mine(12)
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.Confirm()
	a := f.Chain.Reorg(12)
	f.Chain.Mine(1)
	require.Error(t, f.tryStep())
	require.Equal(t, "no_ancestor", f.state().Halted)
	f.Chain.Return(a)
	f.Chain.Reorg(4) // on our branch, and four blocks less of it
	f.Step()
	require.Equal(t, "deep_reorg", f.state().Halted)
	f.Settle()
	require.Empty(t, f.state().Halted)
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.noBrokenRules()
}

func TestThreat_A11_FinalityStands(t *testing.T) {
	f := newFlow(t, bursartest.Options{Chain: tagged()})
	f.Chain.SetFinalized(f.Chain.Head().Height)
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.Mine(60)
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
	require.False(t, f.Payment(p).Final)
	require.Empty(t, f.payouts(), "only final money is swept")
	f.Chain.FollowFinalized()
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
}

func TestThreat_A12_FinalityGoesBackwards(t *testing.T) {
	f := newFlow(t, bursartest.Options{Chain: tagged()})
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.Settle()
	final := f.state().Final
	f.Chain.SetFinalized(1)
	q := f.Create("USDC", "10")
	f.Pay(q)
	f.Mine(20)
	require.Equal(t, final, f.state().Final, "our own floor stands")
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.True(t, f.Payment(p).Final)
	require.False(t, f.Payment(q).Final)
	f.Chain.FollowFinalized()
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(q).Status)
	f.noBrokenRules()
}

func TestThreat_A13_NoVerdictWithoutBlocks(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	f.Chain.AdvanceTime(48 * time.Hour)
	for range 3 {
		f.Step()
	}
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status, "the chain stands still, the payment's deadline too")
	// The chain bursts: the payer was in time by the blocks' clock.
	f.Chain.MineAt(p.ExpiresAt.Add(-time.Minute))
	f.Pay(p)
	f.Chain.MineAt(p.ExpiresAt)
	f.Step()
	require.Equal(t, bursar.StatusDetected, f.Payment(p).Status)
	f.Mine(3)
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
	require.False(t, f.Payment(p).Late)
}

func TestThreat_A15_A16_ToldTwice(t *testing.T) {
	// What a node repeats, or forgets to take back, changes nothing: the same
	// block once more is not another one.
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.Mine(1)
	for range 4 {
		a := f.Chain.Reorg(1)
		f.Step()
		f.Chain.Return(a)
		f.Step()
	}
	require.Equal(t, 9, f.Transactions(p)[0].Inclusion)
	f.Settle()
	require.Equal(t, p.Amount, f.Payment(p).Confirmed)
	f.noBrokenRules()
}

func TestThreat_A18_TimesThatFallAndFly(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p, q := f.Create("USDC", "10"), f.Create("USDC", "10")
	// A block from the future does not end the time of anybody.
	now := f.Chain.Now()
	f.Chain.MineAt(now.Add(20 * time.Minute))
	f.Step()
	f.Chain.MineAt(now)
	f.Chain.MineAt(now.Add(-time.Hour))
	f.Step()
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status)

	// The scan is behind: only the newest block claims a later time.
	f.Chain.MineAt(p.ExpiresAt.Add(time.Hour))
	f.Step()
	for range 2 {
		f.Chain.MineAt(p.ExpiresAt.Add(-time.Hour))
		f.Step()
	}
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status, "blocks behind it are older than the deadline")
	f.Pay(p)
	f.Chain.MineAt(p.ExpiresAt.Add(-time.Minute))
	f.Step()
	f.Chain.MineAt(p.ExpiresAt.Add(time.Minute))
	f.Mine(4)
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
	require.False(t, f.Payment(p).Late)
	require.Equal(t, bursar.StatusExpired, f.Payment(q).Status)
	f.noBrokenRules()
}

func TestThreat_F14_SweptMoneyIsOrphaned(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	id := f.Pay(p)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	depth := int(f.Chain.Head().Height-f.Transactions(p)[0].Block) + 1

	// Deposit, top-up and sweep come again.
	f.Reorg(depth)
	require.Equal(t, "deep_reorg", f.state().Halted)
	require.Contains(t, f.Kinds(p.ID), bursar.PaymentReverted)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.Equal(t, 2, f.Payment(p).SettleNo)
	require.Equal(t, units(t, f.USDC, "10"), f.Chain.BalanceOf(f.Treasury, f.USDC))
	f.noBrokenRules()
	f.allSwept()

	// The deposit is gone for ever, and so is what was swept of it.
	depth = int(f.Chain.Head().Height-f.Transactions(p)[0].Block) + 1
	f.Reorg(depth, chaintest.ReorgOptions{Drop: []chain.TxID{id}})
	f.Settle()
	f.Settle()
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
	require.True(t, f.Chain.BalanceOf(f.Treasury, f.USDC).IsZero())
	require.Zero(t, f.Balance(f.USDC, bursar.AccountTreasuryF).Sign())
	require.Zero(t, f.Balance(f.USDC, bursar.Account("paid:"+p.ID)).Sign())
	require.Empty(t, f.logs.broken())
}

func TestT30_SweepIsOrphanedAndSettledOnceMore(t *testing.T) {
	for _, symbol := range []string{"ETH", "USDC"} {
		f := newFlow(t, bursartest.Options{})
		p := f.Create(symbol, "10")
		f.Pay(p)
		f.Settle()
		sweep := f.payouts(bursar.PayoutSweep)[0]
		require.Equal(t, bursar.PayoutConfirmed, sweep.Status)
		raw := f.attempts(sweep)[0].Raw
		depth := int(f.Chain.Head().Height-sweep.Block) + 1
		f.Reorg(depth, chaintest.ReorgOptions{DropAll: true}) // the network forgot it too
		require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
		require.Equal(t, 1, f.count(bursar.PayoutRevertedEvent, sweep.ID))
		e := f.WaitEvent(bursar.PaymentReverted, p.ID)
		require.Equal(t, bursar.StatusSettled, e.Data.From)
		f.Settle()
		f.Settle()
		require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
		require.Equal(t, 2, f.count(bursar.PaymentSettled, p.ID))
		require.Equal(t, 1, f.count(bursar.PaymentConfirmed, p.ID))
		again := f.attempts(sweep)
		require.Len(t, again, 1, "the same bytes, and no others")
		require.Equal(t, raw, again[0].Raw)
		require.Equal(t, bursar.PayoutConfirmed, f.payout(sweep).Status)
		f.noBrokenRules()
		f.allSwept()
	}
}

func TestASignedSweepOfALostDepositIsGivenUpWhenItFailed(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	a, err := f.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: "c"})
	require.NoError(t, err)
	id := f.Chain.Pay("one", a.Address, f.USDC, units(t, f.USDC, "10"))
	for len(f.payouts(bursar.PayoutSweep)) == 0 || f.payouts(bursar.PayoutSweep)[0].Status != bursar.PayoutConfirming {
		f.Mine(1)
	}
	f.Reorg(10, chaintest.ReorgOptions{Drop: []chain.TxID{id}})
	f.Settle()
	f.Settle()
	require.Equal(t, bursar.PayoutCanceled, f.payouts(bursar.PayoutSweep)[0].Status)
	f.Chain.Pay("two", a.Address, f.USDC, units(t, f.USDC, "12"))
	f.Settle()
	f.Settle()
	require.Equal(t, units(t, f.USDC, "12"), f.Chain.BalanceOf(f.Treasury, f.USDC))
	require.Equal(t, units(t, f.USDC, "12").String(), f.minus(f.USDC, "customer:c"))
	f.noBrokenRules()
	f.allSwept()
}

func TestAPlannedSweepOfALostDepositIsGivenUp(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	a, err := f.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: "c"})
	require.NoError(t, err)
	f.Chain.Fail(func(c chaintest.Call) error { // nothing can be prepared
		if c.Method == chaintest.MethodPrepare {
			return errNode
		}
		return nil
	})
	f.Chain.Pay("one", a.Address, f.USDC, units(t, f.USDC, "10"))
	f.Mine(7)
	require.Len(t, f.payouts(bursar.PayoutSweep), 1)
	f.Reorg(7, chaintest.ReorgOptions{DropAll: true})
	require.Equal(t, bursar.PayoutCanceled, f.payouts(bursar.PayoutSweep)[0].Status)
	f.Chain.Fail(nil)
	// The customer's next deposit is not used for the one that is gone.
	f.Chain.Pay("two", a.Address, f.USDC, units(t, f.USDC, "12"))
	f.Settle()
	f.Settle()
	require.Equal(t, units(t, f.USDC, "12"), f.Chain.BalanceOf(f.Treasury, f.USDC))
	f.noBrokenRules()
	f.allSwept()
}

func TestFinalIsToldWithoutASweep(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: func(c *bursar.Config) { c.Chains[0].Sweep = bursar.SweepOff }})
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.Confirm()
	require.False(t, f.Payment(p).Final)
	f.Mine(3)
	require.True(t, f.Payment(p).Final)
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
}
