package bursar_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// longLease: the kit's blocks are minutes apart in no time.
func longLease(c *bursar.Config) { c.Lease = 10 * time.Minute }

// twin starts another instance on the same store.
func (f *flow) twin(name string) *bursar.Gateway {
	f.t.Helper()
	cfg := f.cfg
	cfg.Instance = name
	return f.another(cfg)
}

func ask(t *testing.T, gw *bursar.Gateway, symbol string) bursar.Payment {
	t.Helper()
	p, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/" + symbol, Amount: decimal.NewFromInt(10)})
	require.NoError(t, err)
	return p
}

func TestWhatOneInstanceIssuesAnotherOneSees(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: longLease})
	two := f.twin("two")
	require.NoError(t, two.Step(t.Context()), "the other one has the chain: nothing to do here")
	mine := f.Create("USDC", "10")
	yours := ask(t, two, "USDC")
	require.NotEqual(t, mine.Address, yours.Address)
	f.Pay(mine)
	f.Pay(yours)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(mine).Status)
	require.Equal(t, bursar.StatusSettled, f.Payment(yours).Status)
	f.noBrokenRules()
}

// TestReservedAfterTheLastLook: an address of a block of indexes that nobody
// knew a moment ago is paid in the very block that is read next.
func TestReservedAfterTheLastLook(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: longLease})
	two := f.twin("two")
	var last bursar.Payment
	done := false
	f.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodHead && !c.After && !done {
			done = true
			for range 300 {
				last = ask(t, two, "USDC")
			}
			f.Pay(last)
			f.Chain.Mine(1)
		}
		return nil
	})
	f.Step()
	f.Chain.Fail(nil)
	require.True(t, done)
	require.Equal(t, bursar.StatusDetected, f.Payment(last).Status)
}

func TestThreat_D6_TheZombieIsRefused(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: longLease})
	two := f.twin("two")
	one := f.Gateway
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.Mine(2)
	epoch := f.state().Version
	f.Chain.AdvanceTime(20 * time.Minute) // the first one sleeps beyond its lease
	f.Chain.Mine(1)
	require.NoError(t, two.Step(t.Context()))
	require.Greater(t, f.state().Version, epoch)
	state := f.state()
	f.Chain.Mine(1)
	err := one.Step(t.Context())
	require.ErrorIs(t, err, bursar.ErrFenced)
	require.Equal(t, state, f.state(), "nothing was written")
	require.NoError(t, one.Step(t.Context()), "it steps back")
	require.Equal(t, state, f.state())
	for range 30 {
		f.Chain.Mine(1)
		require.NoError(t, two.Step(t.Context()))
		require.NoError(t, one.Step(t.Context()))
	}
	f.CheckLedger()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.noBrokenRules()
	f.allSwept()
}

func TestThreat_F3_AZombieSignsNothing(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: longLease})
	two, one := f.twin("two"), f.Gateway
	p := f.paid("ETH")
	f.Chain.Mine(5)
	// The first one has prepared its sweep when it falls asleep.
	f.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodSign && c.After {
			f.Chain.Fail(nil)
			f.Chain.AdvanceTime(20 * time.Minute)
			return two.Step(t.Context())
		}
		return nil
	})
	_ = one.Step(t.Context())
	for range 30 {
		f.Chain.Mine(1)
		require.NoError(t, two.Step(t.Context()))
	}
	sweep := f.only(bursar.PayoutSweep)
	require.Len(t, f.attempts(sweep), 1)
	require.EqualValues(t, 1, f.Chain.Nonce(p.Address))
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.Empty(t, f.logs.broken())
}

func TestTakeover(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: longLease})
	two := f.twin("two")
	p := f.Create("USDT", "10")
	f.Pay(p)
	f.Mine(8)
	require.NoError(t, f.Gateway.Stop(t.Context()))
	f.Gateway = two
	f.Chain.AdvanceTime(20 * time.Minute)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.noBrokenRules()
	f.allSwept()
}

// TestManyPaymentsInOneBlock: a page grows, and the work with it, but no faster.
func TestManyPaymentsInOneBlock(t *testing.T) {
	took := func(n int) time.Duration {
		f := newFlow(t, bursartest.Options{Edit: func(c *bursar.Config) { c.Chains[0].Sweep = bursar.SweepOff }})
		for i := range n {
			p := ask(t, f.Gateway, "USDC")
			f.Chain.Pay(fmt.Sprint("payer ", i), p.Address, f.USDC, p.Amount)
		}
		f.Chain.Mine(1)
		begin := time.Now()
		require.NoError(t, f.Gateway.Step(t.Context()))
		d := time.Since(begin)
		begin = time.Now()
		f.Chain.Mine(2)
		require.NoError(t, f.Gateway.Step(t.Context()))
		t.Logf("%d payments: included in %s, confirmed in %s", n, d, time.Since(begin))
		require.Len(t, f.incoming(), n+1)
		return d
	}
	small, large := took(400), took(2_000)
	require.Less(t, large, 20*small+2*time.Second)
}

// TestTwoInstancesOfOneName share a lease and hence an epoch: only the cursor
// tells them apart.
func TestTwoInstancesOfOneName(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: longLease})
	two := f.twin("kit")
	require.NoError(t, two.Step(t.Context()))
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.Chain.Mine(1)
	f.Step()
	require.ErrorIs(t, two.Step(t.Context()), bursar.ErrFenced, "its tip is another one's past")
	require.Len(t, f.Transactions(p), 1)
	for range 30 {
		f.Chain.Mine(1)
		require.NoError(t, f.Gateway.Step(t.Context()))
		_ = two.Step(t.Context())
	}
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.noBrokenRules()
	f.allSwept()
}
