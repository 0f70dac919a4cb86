package bursar_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/sweeper"
)

// attemptStore tells of each commit that wrote a signature.
type attemptStore struct {
	bursar.Store
	signed func()
}

func (s *attemptStore) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	wrote := false
	err := s.Store.Write(ctx, func(tx bursar.Tx) error {
		spy := &attemptTx{Tx: tx}
		err := fn(spy)
		wrote = spy.wrote
		return err
	})
	if err == nil && wrote {
		s.signed()
	}
	return err
}

type attemptTx struct {
	bursar.Tx
	wrote bool
}

func (t *attemptTx) Apply(ctx context.Context, b bursar.Batch) error {
	for _, a := range b.Attempts {
		t.wrote = t.wrote || a.SentAt.IsZero()
	}
	return t.Tx.Apply(ctx, b)
}

// zombie is an instance that falls asleep in the middle of its round, and another
// one that takes the chain over meanwhile.
type zombie struct {
	*flow
	one, two *bursar.Gateway
	log      *bytes.Buffer // of the one that sleeps
	at       func(moment string)
	asleep   bool // the other one works
	woken    bool
	// calls are those of the first one to its node after it woke up.
	calls []string
	// takeOver is what happens during the sleep.
	takeOver func()
}

// newZombie has three deposits to be swept, of which each takes a signature and
// a broadcast.
func newZombie(t *testing.T) *zombie {
	z := &zombie{flow: newFlow(t, bursartest.Options{Edit: longLease}), log: &bytes.Buffer{}, at: func(string) {}}
	z.two = z.twin("two")
	z.takeOver = func() { require.NoError(t, z.two.Step(t.Context())) }
	z.reconfigure(func(c *bursar.Config) {
		c.Logger = slog.New(slog.NewTextHandler(z.log, nil))
		c.Store = &attemptStore{c.Store, func() { z.at("committed") }}
	})
	z.one = z.Gateway
	for range 3 {
		z.Pay(z.Create("ETH", "10"))
	}
	z.Chain.Mine(12)
	return z
}

// sleeps has the first one fall asleep at the first of these moments, and runs
// its round.
func (z *zombie) sleeps(at string) {
	z.t.Helper()
	notes := func(name string) {
		switch {
		case z.asleep:
		case z.woken:
			z.calls = append(z.calls, name)
		case name == at:
			z.asleep = true
			z.Chain.AdvanceTime(20 * time.Minute)
			z.takeOver()
			z.asleep, z.woken = false, true
		}
	}
	z.at = notes
	z.Chain.Fail(func(c chaintest.Call) error {
		name := string(c.Method)
		if c.After {
			name += " done"
		}
		notes(name)
		return nil
	})
	require.NoError(z.t, z.one.Step(z.t.Context()), "it has nothing to complain about")
	require.True(z.t, z.woken)
	z.Chain.Fail(nil)
}

// TestThreat_D6_AWokenLeaderEndsItsRound: whatever moment of its round it slept
// at, it signs and sends nothing any more, and says so on one line.
func TestThreat_D6_AWokenLeaderEndsItsRound(t *testing.T) {
	for _, at := range []string{"Prepare", "Prepare done", "Sign done", "committed", "Broadcast done"} {
		t.Run(at, func(t *testing.T) {
			z := newZombie(t)
			z.sleeps(at)
			for _, call := range z.calls {
				// The call during which it fell asleep comes to its end.
				if !strings.HasSuffix(call, " done") {
					require.Failf(t, "a call after it woke up", "%v", z.calls)
				}
			}
			require.NoError(t, z.one.Step(t.Context()))
			require.NotContains(t, z.log.String(), "level=ERROR")
			require.NotContains(t, z.log.String(), "level=WARN")
			require.Equal(t, 1, strings.Count(z.log.String(), "the lease went to another instance"), z.log)
			for range 30 {
				z.Chain.Mine(1)
				require.NoError(t, z.two.Step(t.Context()))
				require.NoError(t, z.one.Step(t.Context()))
			}
			z.allSwept()
			z.noBrokenRules()
			for _, p := range z.payouts() {
				require.Len(t, z.attempts(p), 1)
			}
		})
	}
}

// TestThreat_F3_ALeaseThatCameBackIsANewOne: the other one took the chain over
// and is gone again. What the round knows is of before.
func TestThreat_F3_ALeaseThatCameBackIsANewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZombie(t)
		z.takeOver = func() {
			require.NoError(t, z.two.Step(t.Context()))
			require.NoError(t, z.two.Stop(t.Context()))
			time.Sleep(20 * time.Minute) // the first one knows that its lease has ended
		}
		z.sleeps("Prepare done")
		require.Empty(t, z.calls)
		require.Equal(t, 1, strings.Count(z.log.String(), "the lease went to another instance"), z.log)
		z.Settle()
		z.allSwept()
		z.noBrokenRules()
	})
}

// TestASignerSlowerThanTheLease: a lease that ended and that nobody else took
// goes on, or a slow signer's work would be thrown away each time.
func TestASignerSlowerThanTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZombie(t)
		z.takeOver = func() { time.Sleep(20 * time.Minute) }
		z.sleeps("Sign done")
		require.Len(t, slices.DeleteFunc(z.calls, func(c string) bool { return c != "Broadcast done" }), 3)
		require.NotContains(t, z.log.String(), "the lease went to another instance")
		z.Settle()
		z.allSwept()
	})
}

// TestThreat_D9_NoGasForASweepThatIsLost: the store was set back between the look
// and the plan, so that nothing would ever use it.
func TestThreat_D9_NoGasForASweepThatIsLost(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	f.Mine(1)
	sponsor, err := f.Gateway.Sponsor(f.Chain.Info().ID)
	require.NoError(t, err)
	gas := func(parent string) sweeper.Plan {
		return sweeper.Plan{Key: "topup:" + parent, Parent: parent, Intent: chain.Intent{
			Purpose: chain.PurposeTopUp, Moves: []chain.Move{{From: chain.Account{Address: sponsor}, To: p.Address, Asset: f.ETH, Amount: chain.NewAmount(1)}},
		}}
	}
	require.NoError(t, f.Gateway.Plan(t.Context(), f.Chain.Info().ID, gas("po_test_lost")))
	require.Empty(t, f.payouts(bursar.PayoutTopUp))
}
