package sweeper

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func TestStep_NativeToTreasury(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	require.Len(t, x.w.pool, 1, "planned, signed and sent in one step")
	require.Equal(t, Broadcast, x.b.jobs[0].State)
	x.rounds(4)
	require.Equal(t, uint64(990), x.balance(treasury, nativeID))
	require.Zero(t, x.balance("a", nativeID))
}

func TestStep_TokenWithTopUp(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), usdc, 1000, true)
	x.step()
	topUp := x.b.jobKey("topup:j00:0:a")
	require.Equal(t, "j00", topUp.Parent)
	require.Equal(t, Broadcast, topUp.State, "the top-up leaves in the step that finds the need")
	require.Equal(t, Planned, x.b.jobs[0].State)
	x.step()
	require.Equal(t, 2, x.w.calls["Prepare"], "the job waits, unprepared, for its top-up")
	x.block()
	x.step()
	require.Equal(t, Broadcast, x.b.jobs[0].State, "in a block is enough")
	x.rounds(4)
	require.Equal(t, uint64(1000), x.balance(treasury, usdcID))
	require.Zero(t, x.balance("a", nativeID), "exactly what was missing")
}

func TestStep_OneBadTokenHoldsUpNobody(t *testing.T) {
	x := newBench(t)
	x.w.frozen[usdtID] = true
	x.w.balances[place{"a", nativeID}] = 0
	x.b.deposit(account("a"), usdt, 500, true)
	x.b.deposit(account("a"), usdc, 1000, true)
	x.b.deposit(account("a"), native, 1000, true)
	x.b.deposit(account("b"), usdt, 500, true)
	x.b.deposit(account("c"), native, 1000, true)
	for range 60 {
		x.step()
		x.block()
		x.w.now = x.w.now.Add(time.Minute)
	}
	require.Equal(t, 2, x.b.unswept(), x.b.dump())
	require.Equal(t, uint64(1000), x.balance(treasury, usdcID))
	require.Equal(t, uint64(1000-10)+uint64(1000-20-10), x.balance(treasury, nativeID), "the token's gas came out of the coin that was there")
	for _, r := range x.b.jobs {
		if r.Intent.Moves[0].Asset.ID == usdtID {
			var revert *chain.RevertError
			require.ErrorAs(t, r.cause[0], &revert)
			require.Greater(t, r.Failures, DefaultQuarantineAfter)
		}
	}
	x.w.frozen[usdtID] = false
	x.w.now = x.w.now.Add(2 * time.Hour)
	x.rounds(10)
	require.Equal(t, uint64(1000), x.balance(treasury, usdtID), "it was never given up")
}

// TestStep_OneTransactionPerAddress: with two under way the first would use up
// the gas of the second.
func TestStep_OneTransactionPerAddress(t *testing.T) {
	x := newBench(t)
	x.w.balances[place{"a", nativeID}] = 20 // for one transfer
	x.b.deposit(account("a"), usdc, 1000, true)
	x.b.deposit(account("a"), usdt, 500, true)
	for range 12 {
		x.step()
		under := 0
		for _, r := range x.b.jobs {
			if r.inFlight() && r.Intent.Purpose == chain.PurposeCollection {
				under++
			}
		}
		require.LessOrEqual(t, under, 1)
		x.block()
	}
	require.Zero(t, x.b.unswept(), x.b.dump())
}

func TestStep_SponsorIsEmpty(t *testing.T) {
	x := newBench(t)
	x.w.balances[place{sponsor.Address, nativeID}] = 5
	x.b.deposit(account("a"), usdc, 1000, true)
	x.b.deposit(account("b"), native, 1000, true)
	x.step()
	topUp := x.b.jobKey("topup:")
	var funds *chain.InsufficientFundsError
	require.ErrorAs(t, topUp.cause[0], &funds)
	require.Equal(t, sponsor.Address, funds.Account)
	require.Equal(t, units(5), funds.Available)
	require.Empty(t, x.b.jobs[0].cause, "it is the top-up's trouble")
	require.Len(t, x.w.pool, 1, "native coin needs no sponsor")
	x.w.balances[place{sponsor.Address, nativeID}] = 1000
	x.w.now = x.w.now.Add(time.Hour)
	x.rounds(6)
}

func TestStep_NoSponsor(t *testing.T) {
	x := newBench(t, func(p *Policy) { p.Sponsor = chain.Account{} })
	x.b.deposit(account("a"), usdc, 1000, true)
	x.step()
	require.ErrorIs(t, x.b.jobs[0].cause[0], ErrNoSponsor)
	x.w.balances[place{"a", nativeID}] = 20
	x.w.now = x.w.now.Add(time.Hour)
	x.rounds(4)
}

func TestStep_TopUpWithoutParentIsNotSent(t *testing.T) {
	x := newBench(t)
	x.w.balances[place{sponsor.Address, nativeID}] = 5
	x.b.deposit(account("a"), usdc, 1000, true)
	x.step()
	x.w.balances[place{sponsor.Address, nativeID}] = 1000
	x.b.jobs[0].closed = true // an operator gave it up
	x.w.now = x.w.now.Add(time.Hour)
	x.step()
	topUp := x.b.jobKey("topup:")
	require.ErrorIs(t, topUp.cause[len(topUp.cause)-1], ErrTopUpObsolete)
	require.Empty(t, x.w.pool)
}

// TestStep_StuckTokenGetsMoreGas: the dearer replacement of a token's transfer
// needs more gas than the address has.
func TestStep_StuckTokenGetsMoreGas(t *testing.T) {
	x := newBench(t)
	x.w.balances[place{"a", nativeID}] = 20
	x.b.deposit(account("a"), usdc, 1000, true)
	x.step()
	x.w.price = 20
	x.w.now = x.w.now.Add(x.s.policy.BumpAfter)
	x.step()
	require.Equal(t, units(20), x.b.jobKey("topup:j00:0:a").Intent.Moves[0].Amount)
	require.Len(t, x.b.jobs[0].Attempts, 1)
	clear(x.w.pool)
	x.step()
	require.Equal(t, 1, x.w.calls["Bump"], "first the top-up has to be in a block")
	x.w.now = x.w.now.Add(time.Minute)
	x.rounds(6)
	require.Equal(t, uint64(1000), x.balance(treasury, usdcID))
	require.Len(t, x.b.jobs[0].all, 2)
}

// TestStep_StuckTopUpIsFinished although nobody needs it any more: it holds a
// nonce of the sponsor, and everything behind it waits.
func TestStep_StuckTopUpIsFinished(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), usdc, 1000, true)
	x.step()
	x.b.jobs[0].closed = true
	x.w.price = 20
	x.w.now = x.w.now.Add(x.s.policy.BumpAfter)
	x.step()
	require.Len(t, x.b.jobKey("topup:").Attempts, 2)
}

// TestStep_FirstSendIsNoBump: what a crash kept from being sent was never
// refused for its fee, however old it is.
func TestStep_FirstSendIsNoBump(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.w.fault = failing("Signed", 1, true, errLost)
	_, err := x.s.Step(context.Background())
	require.ErrorIs(t, err, errLost)
	x.w.fault, x.w.now = never, x.w.now.Add(24*time.Hour)
	x.restart()
	x.step()
	require.Len(t, x.w.pool, 1)
	require.Zero(t, x.w.calls["Bump"])
}

func TestStep_FailedBumpRests(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	x.w.now = x.w.now.Add(x.s.policy.BumpAfter)
	x.w.price = 1000 // over the cap
	x.step()
	x.step()
	require.Equal(t, 1, x.w.calls["Bump"])
	var fee *chain.FeeTooHighError
	require.ErrorAs(t, x.b.jobs[0].cause[0], &fee)
}

func TestStep_ClientThatCannotBump(t *testing.T) {
	x := newBench(t)
	x.w.noBump = true
	x.restart()
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	x.w.now = x.w.now.Add(24 * time.Hour)
	x.step()
	require.Len(t, x.b.jobs[0].Attempts, 1)
	require.Equal(t, 2, x.w.calls["Broadcast"])
}

func TestStep_BumpOnlyWhatIsStillOpen(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	x.w.mine() // not scanned yet
	x.w.now = x.w.now.Add(x.s.policy.BumpAfter)
	x.step()
	require.Zero(t, x.w.calls["Bump"])

	y := newBench(t)
	y.b.deposit(account("a"), native, 1000, true)
	y.step()
	y.w.now = y.w.now.Add(y.s.policy.BumpAfter)
	y.w.fault = failing("Status", 1, false, errLost)
	y.step()
	require.Zero(t, y.w.calls["Bump"], "when in doubt, not")
}

func TestStep_WatchOnly(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	x.b.deposit(account("b"), native, 1000, true)
	x.k.fail = func() error { return chain.ErrTransient }
	x.step()
	x.k.n = 1
	prepares, defers := x.w.calls["Prepare"], x.w.calls["Defer"]
	clear(x.w.pool)
	x.w.now = x.w.now.Add(time.Hour)
	s, err := New(Config{Client: x.w.client(), Journal: x.b, Logger: quiet()})
	require.NoError(t, err)
	_, err = s.Step(context.Background())
	require.NoError(t, err)
	require.Equal(t, prepares, x.w.calls["Prepare"], "nothing is prepared")
	require.Equal(t, defers, x.w.calls["Defer"], "nor is that a failure of the job")
	require.Equal(t, 1, x.k.n, "nothing is signed")
	require.Len(t, x.w.pool, 1, "what was signed before is sent")
}

func TestStep_NodeDown(t *testing.T) {
	x := newBench(t)
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		x.b.deposit(account(n), native, 1000, true)
	}
	x.w.fault = func(call string, after bool) error {
		if call == "Prepare" {
			return chain.ErrTransient
		}
		return nil
	}
	x.step()
	require.Equal(t, nodeDownAfter, x.w.calls["Prepare"], "no use in asking for every job")
	x.step()
	require.Equal(t, 5, x.w.calls["Prepare"], "the others have their turn")
	x.w.fault, x.w.now = never, x.w.now.Add(time.Minute)
	x.rounds(4)
}

// TestStep_SignedWithoutBytes: a job that says it is signed and has no bytes is
// never prepared anew, for the bytes may be out there.
func TestStep_SignedWithoutBytes(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.b.deposit(account("b"), native, 1000, true)
	x.k.fail = func() error { return chain.ErrTransient }
	x.step()
	x.k.fail = nil
	x.b.jobs[0].State = Broadcast
	x.w.now = x.w.now.Add(time.Hour)
	_, err := x.s.Step(context.Background())
	refusedField(t, err, "job.attempts")
	require.Empty(t, x.b.jobs[0].Attempts)
	require.Len(t, x.b.jobs[1].Attempts, 1, "the other one goes on")
}

func TestStep_AttemptsWithoutCommonLock(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	x.b.jobs[0].Attempts = append(x.b.jobs[0].Attempts, x.b.jobs[0].Attempts[0])
	x.b.jobs[0].Attempts[1].Signed.Locks = []chain.Lock{"nonce:a:5"}
	x.w.now = x.w.now.Add(x.s.policy.BumpAfter)
	_, err := x.s.Step(context.Background())
	refusedField(t, err, "job.attempts")
	require.Equal(t, 1, x.k.n)
}

func TestStep_BadSignatureIsNotRecorded(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.w.editSigned = func(s *chain.Signed) { s.Locks = nil }
	x.step()
	refusedField(t, x.b.jobs[0].cause[0], "signed.locks")
	require.Zero(t, x.w.calls["Signed"])
}

func TestStep_JournalFailures(t *testing.T) {
	for _, call := range []string{"Work", "Plan", "Sent"} {
		x := newBench(t)
		x.b.deposit(account("a"), native, 1000, true)
		x.w.fault = failing(call, 1, false, errLost)
		wait, err := x.s.Step(context.Background())
		require.ErrorIs(t, err, errLost, call)
		require.ErrorContains(t, err, call)
		require.Equal(t, blockTime, wait)
		x.w.fault = never
		x.rounds(4)
	}
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.k.fail = func() error { return chain.ErrTransient }
	x.w.fault = failing("Defer", 1, false, errLost)
	_, err := x.s.Step(context.Background())
	require.ErrorIs(t, err, errLost)
	require.ErrorIs(t, err, chain.ErrTransient, "the cause is told too")
	require.Equal(t, 1, x.k.n, "no second turn in the same step")
}

// TestStep_OneTurnPerStep also where the journal did not take the reason down,
// while other jobs make the step look again.
func TestStep_OneTurnPerStep(t *testing.T) {
	x := newBench(t)
	x.w.frozen[usdtID] = true
	x.b.deposit(account("a"), usdt, 1000, true)
	x.b.deposit(account("b"), usdc, 1000, true)
	x.w.fault = failing("Defer", 1, false, errLost)
	_, err := x.s.Step(context.Background())
	require.ErrorIs(t, err, errLost)
	require.Equal(t, 3, x.w.calls["Prepare"], "each job and the top-up, once")
}

// TestStep_EndedContext: what stops because we stop is no failure of a job.
func TestStep_EndedContext(t *testing.T) {
	for _, call := range []string{"Prepare", "Sign", "Signed", "Broadcast"} {
		x := newBench(t)
		x.b.deposit(account("a"), native, 1000, true)
		x.b.deposit(account("b"), native, 1000, true)
		ctx, cancel := context.WithCancel(context.Background())
		x.w.fault = func(c string, after bool) error {
			if c == call {
				cancel()
			}
			return ctx.Err()
		}
		_, err := x.s.Step(ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, x.w.calls["Defer"], call)
		require.LessOrEqual(t, x.k.n, 1)
		x.w.fault = never
		x.restart()
		x.rounds(4)
	}
}

func TestStep_Next(t *testing.T) {
	x := newBench(t)
	next := func() time.Duration {
		wait, err := x.s.Step(context.Background())
		require.NoError(t, err)
		return wait
	}
	require.Equal(t, blockTime, next(), "nothing to do: the interval")
	x.b.deposit(account("a"), native, 1000, true)
	next()
	x.w.now = x.w.now.Add(x.s.policy.Resend - 3*time.Second)
	require.Equal(t, 3*time.Second, next(), "until it is sent again")
	x.w.now = x.w.now.Add(3*time.Second - time.Millisecond)
	require.Equal(t, MinInterval, next(), "but no hot loop")
}

// TestStep_ReorgSendsAtOnce: a sweep whose block left the chain is sent again,
// unchanged, without waiting for its turn.
func TestStep_ReorgSendsAtOnce(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	x.w.now = x.w.now.Add(time.Hour)
	x.step()
	x.block()
	require.Equal(t, Included, x.b.jobs[0].State)
	x.w.reorg(true)
	x.b.scan()
	require.Equal(t, Broadcast, x.b.jobs[0].State)
	x.step()
	require.Len(t, x.w.pool, 1)
	require.Equal(t, 1, x.k.n-len(x.b.jobs[0].all)+1, "signatures are attempts, nothing else")
	x.rounds(5)
	require.LessOrEqual(t, x.balance(treasury, nativeID), uint64(990))
}

func TestStep_Busy(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	var inner error
	x.k.fail = func() error {
		_, inner = x.s.Step(context.Background())
		return nil
	}
	x.step()
	require.ErrorIs(t, inner, ErrBusy)
	require.Len(t, x.w.pool, 1)
	require.False(t, errors.Is(inner, errFenced))
}
