package sweeper

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// F1: a job whose destination was tampered with in the store is not signed.
func TestThreat_F1_TreasuryFromConfigurationAlone(t *testing.T) {
	x := newBench(t)
	x.w.balances[place{"a", nativeID}] = 1000
	x.b.deposit(account("a"), usdc, 1000, true)
	x.k.fail = func() error { return chain.ErrTransient }
	x.step()
	x.b.jobs[0].Intent.Moves[0].To = stranger
	x.k.fail, x.k.n = nil, 0
	x.w.now = x.w.now.Add(time.Hour)
	x.step()
	require.Zero(t, x.k.n, "the signer was not even asked")
	refusedField(t, x.b.jobs[0].cause[len(x.b.jobs[0].cause)-1], "move.to")
}

// F1: nor is a stuck payment to a treasury of yesterday made dearer.
func TestThreat_F1_NoBumpToAnotherTreasury(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	x.p.Treasury = "new treasury"
	x.restart()
	x.w.now = x.w.now.Add(x.s.policy.BumpAfter)
	x.step()
	require.Equal(t, 1, x.k.n)
	refusedField(t, x.b.jobs[0].cause[0], "move.to")
	require.Equal(t, 2, x.w.calls["Broadcast"], "what was decided then is still sent")
}

// F3: two workers with the same key and the same snapshot: one signature is
// recorded and sent, the other one is refused and stays unsent.
func TestThreat_F3_TwoWorkersOneRecordedTransaction(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.w.fault = failing("Sign", 1, false, chain.ErrTransient)
	x.step()
	x.w.fault, x.w.now = never, x.w.now.Add(time.Hour)
	_, err := x.b.Work(context.Background())
	require.NoError(t, err)
	snapshot := x.b.last

	x.step()
	require.Equal(t, 1, x.w.calls["Broadcast"])
	x.w.price = 11 // so that the second worker's transaction is another one
	x.restart()
	x.b.stale = &snapshot
	_, err = x.s.Step(context.Background())
	require.ErrorIs(t, err, errFenced)
	require.Equal(t, 1, x.w.calls["Broadcast"], "what was refused is not sent")
	require.Len(t, x.w.pool, 1)
}

// F3: nothing reaches the network before its bytes are durable.
func TestThreat_F3_PersistedBeforeSent(t *testing.T) {
	for _, after := range []bool{false, true} {
		x := newBench(t)
		x.b.deposit(account("a"), native, 1000, true)
		x.w.fault = failing("Signed", 1, after, errLost)
		_, err := x.s.Step(context.Background())
		var job *JobError
		require.ErrorAs(t, err, &job)
		require.Equal(t, "Signed", job.Call)
		require.Zero(t, x.w.calls["Broadcast"])

		// The next process goes on from what the journal has: the recorded bytes,
		// or a new draft where nothing was recorded.
		x.w.fault = never
		x.restart()
		x.step()
		require.Equal(t, 1, x.w.calls["Broadcast"])
		want := map[bool]int{false: 2, true: 1}[after]
		require.Equal(t, want, x.w.calls["Sign"])
		x.block()
		require.Equal(t, uint64(990), x.balance(treasury, nativeID))
	}
}

// F5: after a write whose fate is unknown no later nonce of that account is
// used in the round; a gap would hold up everything behind it.
func TestThreat_F5_NoNonceGapAfterLostWrite(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), usdc, 1000, true)
	x.b.deposit(account("b"), usdc, 1000, true)
	x.w.fault = failing("Signed", 1, false, errLost)
	_, err := x.s.Step(context.Background())
	require.Error(t, err)
	require.Empty(t, x.w.pool, "the sponsor's second top-up waits for the fate of its first")
	x.w.fault = never
	x.step()
	require.Len(t, x.w.pool, 2)
	x.rounds(6)
}

// F5: what was lost from the pools is sent again, the lowest nonce first.
func TestThreat_F5_LowestFirst(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), usdc, 1000, true)
	x.b.deposit(account("b"), usdc, 1000, true)
	x.step()
	clear(x.w.pool)
	x.w.now = x.w.now.Add(time.Minute)
	var nonces []uint64
	x.w.sent = func(s chain.Signed) { x.b.checkSent(s); nonces = append(nonces, parse(s.Raw).Nonce) }
	x.step()
	require.Equal(t, []uint64{0, 1}, nonces)
}

// F6: a transaction that nobody mines is outbid under the same lock, within the
// fee cap, and any of them may win.
func TestThreat_F6_StuckIsOutbid(t *testing.T) {
	for _, winner := range []int{0, 1} {
		x := newBench(t)
		x.b.deposit(account("a"), native, 1000, true)
		x.step()
		x.w.price = 14
		x.w.now = x.w.now.Add(x.s.policy.BumpAfter)
		x.step()
		job := x.b.jobs[0]
		require.Len(t, job.Attempts, 2)
		require.Equal(t, job.Attempts[0].Signed.Locks, job.Attempts[1].Signed.Locks)
		first, second := parse(job.Attempts[0].Signed.Raw), parse(job.Attempts[1].Signed.Raw)
		require.Less(t, first.Fee, second.Fee)
		require.Contains(t, x.w.pool, second.id(), "the dearer one is on its way")

		won := parse(job.Attempts[winner].Signed.Raw)
		x.w.pool = map[chain.TxID]testTx{won.id(): won}
		x.w.price = 1
		x.block()
		require.Equal(t, won.Amount, x.balance(treasury, nativeID))
		require.Equal(t, Included, job.State)
		sends := x.w.calls["Broadcast"]
		x.w.now = x.w.now.Add(time.Hour)
		x.step()
		require.Equal(t, sends, x.w.calls["Broadcast"], "a mined group is left alone")
	}
}

func TestThreat_F6_BumpsAreLimited(t *testing.T) {
	x := newBench(t, func(p *Policy) { p.MaxBumps = 2 })
	x.b.deposit(account("a"), native, 100_000, true)
	for range 6 {
		x.step()
		x.w.price *= 2
		x.w.now = x.w.now.Add(x.s.policy.BumpAfter + x.s.policy.RetryCap)
	}
	require.Len(t, x.b.jobs[0].Attempts, 3)

	x = newBench(t, func(p *Policy) { p.BumpAfter = -1 })
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	x.w.now = x.w.now.Add(24 * time.Hour)
	x.step()
	require.Len(t, x.b.jobs[0].Attempts, 1, "bumping is switched off")
	require.Equal(t, 2, x.w.calls["Broadcast"], "sending is not")
}

// F7: bytes believed lost are sent again; nothing at another nonce is made.
func TestThreat_F7_LostIsSentAgainUnchanged(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	for range 20 {
		x.step()
		clear(x.w.pool)
		x.w.now = x.w.now.Add(time.Minute)
		x.restart()
	}
	require.Equal(t, 1, x.w.calls["Prepare"], "one transaction was ever made")
	for _, a := range x.b.jobs[0].all {
		require.Equal(t, []chain.Lock{"nonce:a:0"}, a.Signed.Locks, "replacements stay at the nonce")
	}
	x.rounds(5)
}

// F7: a replacement that shares no lock would be a second payment.
func TestThreat_F7_ReplacementWithoutCommonLockRefused(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	x.w.editDraft = func(d *chain.Draft) { d.Locks = []chain.Lock{"nonce:a:1"} }
	x.w.now = x.w.now.Add(x.s.policy.BumpAfter)
	signatures := x.k.n
	x.step()
	require.Equal(t, signatures, x.k.n)
	require.Len(t, x.b.jobs[0].Attempts, 1)
	refusedField(t, x.b.jobs[0].cause[0], "draft.locks")
}

// F8: the cap of today counts, also for what was planned under another one.
func TestThreat_F8_LowerCapHoldsAtOnce(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.k.fail = func() error { return chain.ErrTransient }
	x.step()
	x.k.fail, x.k.n = nil, 0
	x.p.MaxFee = units(9)
	x.restart()
	x.w.now = x.w.now.Add(time.Hour)
	x.step()
	require.Zero(t, x.k.n)
	require.Equal(t, units(9), x.w.intents[1].MaxFee)
}

// F8: a fee spike defers, and the sweep goes on by itself when it is over.
func TestThreat_F8_FeeSpikeDefers(t *testing.T) {
	coin := usdc
	coin.MaxSweepFee = units(40)
	x := newBench(t)
	x.w.price = 21
	x.b.deposit(account("a"), coin, 1000, true)
	x.b.deposit(account("b"), native, 30, true)
	x.step()
	for _, r := range x.b.jobs {
		var fee *chain.FeeTooHighError
		require.ErrorAs(t, r.cause[0], &fee, r.Key)
		require.True(t, r.NotBefore.After(x.w.now))
	}
	require.Zero(t, x.k.n)
	prepares := x.w.calls["Prepare"]
	x.step()
	require.Equal(t, prepares, x.w.calls["Prepare"], "it rests until then")
	x.w.price, x.w.now = 10, x.w.now.Add(time.Hour)
	x.rounds(6)
}

// F8 and C21: a draft over the cap is refused also when the client made it.
func TestThreat_C21_FeeOverCapIsNotSigned(t *testing.T) {
	x := newBench(t, func(p *Policy) { p.MaxFee = units(15) })
	x.w.editDraft = func(d *chain.Draft) { d.Fee = units(10_000) }
	x.b.deposit(account("a"), native, 100_000, true)
	x.step()
	var fee *chain.FeeTooHighError
	require.ErrorAs(t, x.b.jobs[0].cause[0], &fee)
	require.Equal(t, units(15), fee.Cap)
	require.Zero(t, x.k.n)
}

// F9: however often the process dies around a top-up, there is one of it.
func TestThreat_F9_TopUpIsNeverRepeated(t *testing.T) {
	for _, call := range []string{"Plan", "Signed", "Broadcast", "Sent"} {
		for _, after := range []bool{false, true} {
			x := newBench(t)
			x.b.deposit(account("a"), usdc, 1000, true)
			for n := 1; n <= 3; n++ {
				x.w.fault = failing(call, n, after, errLost)
				_, _ = x.s.Step(context.Background())
				x.restart()
			}
			x.w.fault = never
			x.rounds(8)
			require.Equal(t, 1, x.b.topUps, "%s %v", call, after)
			require.Equal(t, uint64(1_000_000-20-10), x.balance(sponsor.Address, nativeID))
		}
	}
}

// F9: a node that shows the old balance after the top-up gets no second one
// while the first is not final.
func TestThreat_F9_StaleBalanceBuysNoSecondTopUp(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), usdc, 1000, true)
	x.step()
	x.block()
	x.w.balances[place{"a", nativeID}] = 0
	plans := x.w.calls["Plan"]
	x.step()
	require.Equal(t, plans, x.w.calls["Plan"], "not even asked for")
	require.Equal(t, 1, x.b.topUps)
	x.w.balances[place{"a", nativeID}] = 20
	x.rounds(6)
	require.Equal(t, 1, x.b.topUps)
}

// F9: gas that an earlier try left behind is used up before any is bought.
func TestThreat_F9_StrandedGasIsUsed(t *testing.T) {
	x := newBench(t)
	x.w.balances[place{"a", nativeID}] = 13
	x.b.deposit(account("a"), usdc, 1000, true)
	x.rounds(6)
	require.Equal(t, uint64(1_000_000-7-10), x.balance(sponsor.Address, nativeID), "seven were missing")
}

// F9: gas that came for the older of two sweeps of an address is not spent by
// the younger one, which may be ready sooner.
func TestThreat_F9_GasIsForWhomItCame(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), usdc, 1000, true)
	x.step() // the first is planned, and its top-up sent
	x.b.deposit(account("a"), usdt, 1000, true)
	x.step()
	x.block()
	x.w.fault = failing("Prepare", 1, false, errLost) // the older one has to rest
	_, _ = x.s.Step(context.Background())
	x.w.fault = never
	require.Empty(t, x.b.jobs[2].Attempts, "the gas is not the younger one's")
	x.rounds(12)
	require.Equal(t, uint64(1000), x.balance(treasury, usdcID))
	require.Equal(t, uint64(1000), x.balance(treasury, usdtID))
	require.Equal(t, 2, x.b.topUps, "one for each, none twice")
}

// F9: fees rose between top-up and sweep: the difference is bought once the
// first top-up is final, under a key of its own.
func TestThreat_F9_SpikeBetween(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), usdc, 1000, true)
	x.step()
	x.block()
	x.w.price = 15
	x.step()
	require.Equal(t, 1, x.b.topUps)
	x.rounds(10)
	require.Equal(t, 2, x.b.topUps)
	x.b.jobKey("topup:j00:0:a")
	second := x.b.jobKey("topup:j00:1:a")
	require.Equal(t, units(10), second.Intent.Moves[0].Amount)
}

// F10: dust is not worth gas.
func TestThreat_F10_DustIsNotSwept(t *testing.T) {
	dust := usdc
	dust.SweepMinimum = units(1000)
	x := newBench(t)
	x.b.deposit(account("a"), dust, 999, true)
	x.step()
	require.Empty(t, x.b.jobs)
}

// F12: nothing here concludes from an accepted broadcast that money moved.
func TestThreat_F12_AcceptedIsNotDone(t *testing.T) {
	x := newBench(t)
	x.w.balances[place{"a", nativeID}] = 100
	x.b.deposit(account("a"), usdt, 1000, true)
	x.step()
	x.w.frozen[usdtID] = true // it reverts when mined
	x.block()
	x.block()
	x.block()
	job := x.b.jobs[0]
	require.Equal(t, 2, job.Group, "the journal opened a new group for a transaction that is finally dead")
	require.Zero(t, x.balance(treasury, usdtID))
	x.w.frozen[usdtID] = false
	x.rounds(6)
	require.Equal(t, uint64(1000), x.balance(treasury, usdtID))
}

// F13: money that comes between snapshot and sweep stays for the next round.
func TestThreat_F13_LateDepositStays(t *testing.T) {
	x := newBench(t)
	x.w.balances[place{"a", nativeID}] = 20
	x.b.deposit(account("a"), usdc, 1000, true)
	x.b.deposit(account("a"), usdc, 7, false)
	x.b.deposit(account("b"), native, 1000, true)
	x.b.deposit(account("b"), native, 9, false)
	x.rounds(4)
	require.Equal(t, uint64(1000), x.balance(treasury, usdcID))
	require.Equal(t, uint64(7), x.balance("a", usdcID))
	require.Equal(t, uint64(990), x.balance(treasury, nativeID))
	require.Equal(t, uint64(9), x.balance("b", nativeID), "not even as a fee")
}

// F14: only what the journal calls final is touched, and nothing new while a
// deep reorg has it halted; what was decided before is still sent.
func TestThreat_F14_HaltedDecidesNothing(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	x.k.fail = func() error { return chain.ErrTransient }
	x.b.deposit(account("c"), native, 1000, true)
	x.step()
	x.b.deposit(account("b"), native, 1000, true)
	x.b.halted, x.k.fail, x.k.n = true, nil, 1
	prepares, plans := x.w.calls["Prepare"], x.w.calls["Plan"]
	clear(x.w.pool)
	x.w.now = x.w.now.Add(time.Hour)
	x.step()
	require.Len(t, x.b.jobs, 2)
	require.Equal(t, 1, x.k.n, "no signature, not even a dearer one")
	require.Len(t, x.w.pool, 1, "sent again")
	require.Equal(t, plans, x.w.calls["Plan"])
	require.Equal(t, prepares, x.w.calls["Prepare"])
	x.b.halted = false
	x.rounds(5)
}

// F22: whatever nonce the node proposes, a lock of another attempt is not used.
func TestThreat_F22_TakenLockRefused(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), usdc, 1000, true)
	x.b.deposit(account("b"), usdc, 1000, true)
	n := 0
	x.w.editDraft = func(d *chain.Draft) {
		if n++; n == 2 {
			d.Locks = []chain.Lock{nonceOf(sponsor.Address, 0)}
		}
	}
	x.step()
	require.Equal(t, 1, x.k.n)
	second := x.b.jobKey("topup:j01")
	refusedField(t, second.cause[0], "draft.locks")
	require.Len(t, x.w.pool, 1)
	x.w.now = x.w.now.Add(time.Hour)
	x.rounds(8)
}

// F22: the locks of a round are taken at once, not only in the next snapshot.
func TestThreat_F22_LocksOfTheRoundCount(t *testing.T) {
	x := newBench(t)
	for _, n := range []string{"a", "b", "c"} {
		x.b.deposit(account(n), usdc, 1000, true)
	}
	x.step()
	var nonces []uint64
	for _, tx := range x.w.pool {
		nonces = append(nonces, tx.Nonce)
	}
	slices.Sort(nonces)
	require.Equal(t, []uint64{0, 1, 2}, nonces)
}
