package sweeper

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// C10: an answer that got lost is answered by the same bytes.
func TestThreat_C10_UnknownOutcomeSameBytes(t *testing.T) {
	for _, after := range []bool{false, true} {
		x := newBench(t)
		x.b.deposit(account("a"), native, 1000, true)
		x.w.fault = failing("Broadcast", 1, after, context.DeadlineExceeded)
		x.step()
		job := x.b.jobs[0]
		require.Equal(t, Broadcast, job.State, "the outcome is open")
		require.NotEmpty(t, job.Attempts[0].Error)
		x.w.fault = never
		x.step()
		require.Equal(t, 1, x.w.calls["Broadcast"], "not due yet")
		x.w.now = x.w.now.Add(x.s.policy.Resend)
		x.step()
		require.Empty(t, job.Attempts[0].Error)
		require.Equal(t, 2, x.b.sends[job.Attempts[0].Signed.ID], "the journal compared the bytes")
		require.Equal(t, 1, x.w.calls["Sign"])
		x.block()
		require.Equal(t, uint64(990), x.balance(treasury, nativeID))
	}
}

// C10: a silent node is asked once for a group, not once for each attempt.
func TestThreat_C10_SilentNodeIsAskedOnce(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	x.w.now = x.w.now.Add(x.s.policy.BumpAfter)
	x.step()
	require.Len(t, x.b.jobs[0].Attempts, 2)
	calls := x.w.calls["Broadcast"]
	x.w.now = x.w.now.Add(time.Minute)
	x.w.fault = failing("Broadcast", 1, false, context.DeadlineExceeded)
	x.step()
	require.Equal(t, calls+1, x.w.calls["Broadcast"])
}

// C11: "nonce too low" after our own success is success.
func TestThreat_C11_SpentByOurselves(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	x.w.price = 11
	x.w.now = x.w.now.Add(x.s.policy.BumpAfter)
	x.step()
	job := x.b.jobs[0]
	require.Len(t, job.Attempts, 2)
	first := parse(job.Attempts[0].Signed.Raw)
	x.w.pool = map[chain.TxID]testTx{first.id(): first}
	x.w.price = 1
	x.w.mine() // the cheaper one wins; our scanner has not seen it yet
	x.w.now = x.w.now.Add(time.Hour)
	x.step()
	require.Empty(t, job.Attempts[1].Error)
	require.Len(t, job.Attempts, 2, "and nothing dearer is made")
	x.b.scan()
	require.Equal(t, Included, job.State)
}

// C11: a node that counts its pool says "spent" while another attempt of the
// group waits there.
func TestThreat_C11_SpentByOurOwnPending(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	x.w.now = x.w.now.Add(time.Minute)
	x.w.fault = failing("Broadcast", 1, false, chain.ErrLockSpent)
	x.step()
	require.Empty(t, x.b.jobs[0].Attempts[0].Error)
	require.Equal(t, 1, x.w.calls["Status"])
}

// C11 and F4: a nonce that a stranger spent is told again and again and leads to
// no new transaction.
func TestThreat_C11_SpentByAStranger(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	clear(x.w.pool)
	foreign := testTx{From: "a", To: stranger, Asset: nativeID, Amount: 5, Fee: 100}
	require.NoError(t, x.w.accept(foreign))
	x.w.mine()
	for range 10 {
		x.w.now = x.w.now.Add(time.Hour)
		_, err := x.s.Step(context.Background())
		require.NoError(t, err)
		require.Contains(t, x.b.jobs[0].Attempts[0].Error, "lock already spent")
	}
	require.Equal(t, 1, x.k.n)
	require.Len(t, x.b.jobs[0].all, 1)

	x.w.fault = failing("Status", 1, false, errLost)
	x.w.now = x.w.now.Add(time.Hour)
	_, err := x.s.Step(context.Background())
	require.NoError(t, err)
	require.Contains(t, x.b.jobs[0].Attempts[0].Error, errLost.Error(), "both facts are told")
}

// C12: "underpriced" and "insufficient funds" are kept and tried again; the
// older attempts of the group get their chance too.
func TestThreat_C12_UnderpricedIsKept(t *testing.T) {
	for _, cause := range []error{chain.ErrUnderpriced, &chain.InsufficientFundsError{Account: "a"}} {
		x := newBench(t)
		x.b.deposit(account("a"), native, 1000, true)
		x.w.fault = failing("Broadcast", 1, false, cause)
		x.step()
		x.w.fault = never
		job := x.b.jobs[0]
		require.Equal(t, cause.Error(), job.Attempts[0].Error)
		x.w.now = x.w.now.Add(x.s.policy.BumpAfter)
		x.step()
		require.Len(t, job.Attempts, 2)
		clear(x.w.pool)
		x.w.fault = failing("Broadcast", 1, false, cause)
		x.w.now = x.w.now.Add(time.Minute)
		x.step()
		require.Contains(t, x.w.pool, job.Attempts[0].Signed.ID)
	}
}

// C12: what the network keeps finding too cheap is outbid.
func TestThreat_C12_UnderpricedIsOutbid(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	first := true
	x.w.fault = func(call string, after bool) error {
		if call == "Broadcast" && !after && first {
			return chain.ErrUnderpriced
		}
		if call == "Bump" {
			first = false
		}
		return nil
	}
	x.step()
	x.w.now = x.w.now.Add(x.s.policy.BumpAfter)
	x.step()
	require.Len(t, x.b.jobs[0].Attempts, 2)
	require.Len(t, x.w.pool, 1)
	require.Equal(t, []chain.Lock{"nonce:a:0"}, x.w.intents[1].Reuse)
	require.Empty(t, x.w.intents[1].Taken, "its own locks are not in its way")
}

// G10: a panic in foreign code costs one job its turn.
func TestThreat_G10_PanicsAreErrors(t *testing.T) {
	for _, call := range []string{"Prepare", "Sign", "Signed", "Broadcast", "Sent", "Plan", "Work"} {
		x := newBench(t)
		x.b.deposit(account("a"), native, 1000, true)
		x.b.deposit(account("b"), native, 1000, true)
		n := 0
		x.w.fault = func(c string, after bool) error {
			if c == call && !after {
				if n++; n == 1 {
					panic("host code")
				}
			}
			return nil
		}
		_, err := x.s.Step(context.Background())
		var p *PanicError
		switch call {
		case "Prepare", "Sign":
			require.NoError(t, err)
			require.ErrorAs(t, x.b.jobs[0].cause[0], &p)
			require.Equal(t, Broadcast, x.b.jobs[1].State, "the other one goes on")
		case "Broadcast":
			require.NoError(t, err)
			require.Contains(t, x.b.jobs[0].Attempts[0].Error, "panicked")
		default:
			require.ErrorAs(t, err, &p, call)
		}
		x.w.fault, x.w.now = never, x.w.now.Add(time.Hour)
		x.rounds(5)
	}
}

// A panic of the signer reaches nobody, and one with a nil error value neither.
func TestThreat_G10_SignerPanics(t *testing.T) {
	x := newBench(t)
	x.b.deposit(account("a"), native, 1000, true)
	x.k.fail = func() error { panic(errors.New("hsm")) }
	x.step()
	var p *PanicError
	require.ErrorAs(t, x.b.jobs[0].cause[0], &p)
	require.Equal(t, "hsm", p.Value)
}
