package bursar_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/quorum"
	"github.com/bursar-go/bursar/store/memory"
)

// conditions are the events about conditions of the chain, "kind provider".
func (c *choir) conditionEvents() (out []string) {
	for _, e := range c.told(string(c.Chain.Info().ID)) {
		if d := e.Data.Condition; d != nil {
			out = append(out, strings.TrimSpace(string(e.Kind)+" "+d.Provider))
		}
	}
	return out
}

// health is that of the only chain.
func (c *choir) health() bursar.ChainHealth { return c.Gateway.Health(c.ctx()).Chains[0] }

// reasons are why a payment is not credited.
func (c *choir) reasons(p bursar.Payment) map[bursar.ReasonCode]string {
	x, err := c.Gateway.Explain(c.ctx(), p.ID)
	require.NoError(c.t, err)
	out := map[bursar.ReasonCode]string{}
	for _, r := range x.Reasons {
		out[r.Code] = r.Text
	}
	return out
}

// TestThreat_C8_ALiarIsTold: of three providers of which two must agree, one lies:
// what is true is credited, and the operator learns who, why and for how long.
func TestThreat_C8_ALiarIsTold(t *testing.T) {
	c := newChoir(t, 3, quorum.Config{Agree: 2}, bursartest.Options{Chain: tagged()})
	p := c.Create("USDC", "25")
	c.nodes[1].Lie(c.invented(p))
	c.Pay(p)
	c.Confirm()
	require.Equal(t, bursar.StatusConfirmed, c.Payment(p).Status)
	require.Equal(t, []string{"chain.provider_down b"}, c.conditionEvents())
	told := c.told(string(c.Chain.Info().ID))
	last := told[len(told)-1]
	require.Contains(t, last.Data.Reason, "outvoted on the page")
	require.Equal(t, string(quorum.FaultContradicted), last.Data.Condition.Fault)
	require.Equal(t, "b", last.Data.Condition.Operator)
	require.NotEmpty(t, last.Data.Condition.Until)
	h := c.health()
	require.Len(t, h.Providers, 3)
	b := h.Providers[1]
	require.True(t, b.Aside)
	require.Equal(t, []string{"b", "b", string(quorum.FaultContradicted)}, []string{b.Name, b.Operator, b.Fault})
	require.False(t, b.Until.IsZero())
	require.NotZero(t, b.Head.Height)
	require.False(t, h.Providers[0].Aside)
	require.Len(t, h.Conditions, 1)
	require.True(t, c.Gateway.Health(c.ctx()).Ready, "two are enough")
	require.NotContains(t, c.reasons(p), bursar.ReasonDiverged)
	c.noBrokenRules()
}

// TestThreat_C8_TwoThatDisagree: of two providers that must agree, one makes a
// deposit up and hides another: nothing is credited, the operator is told once, and
// Explain says why. Once they agree, what is true is credited, once.
func TestThreat_C8_TwoThatDisagree(t *testing.T) {
	c := newChoir(t, 2, quorum.Config{Agree: 2}, bursartest.Options{Chain: tagged()})
	paid, forged := c.Create("USDC", "25"), c.Create("USDC", "30")
	lies := c.invented(forged)
	c.nodes[0].Lie(lies)
	tip := c.state().Tip()
	c.Pay(paid)
	for range 8 {
		c.Chain.Mine(2)
		var dispute *quorum.DivergenceError
		require.ErrorAs(t, c.tryStep(), &dispute)
	}
	require.Equal(t, tip, c.state().Tip())
	for _, p := range []bursar.Payment{paid, forged} {
		require.Equal(t, bursar.StatusPending, c.Payment(p).Status)
		require.Contains(t, c.reasons(p)[bursar.ReasonDiverged], "contradict each other")
	}
	require.Contains(t, c.reasons(paid)[bursar.ReasonFailing], "no 2 operators agree")
	require.Equal(t, []string{"chain.diverged", "chain.failing"}, c.conditionEvents())
	require.Len(t, c.health().Conditions, 2)
	x, err := c.another(c.standby()).Explain(c.ctx(), paid.ID)
	require.NoError(t, err)
	require.Contains(t, x.String(), "diverged since")
	require.Len(t, x.Chains[0].Conditions, 2, "an instance that does not read the chain knows it from the events")

	c.nodes[0].Lie(chaintest.Lies{})
	require.NoError(t, c.tryStep())
	c.Confirm()
	require.Equal(t, bursar.StatusConfirmed, c.Payment(paid).Status)
	require.Equal(t, bursar.StatusPending, c.Payment(forged).Status)
	require.Equal(t, 1, c.count(bursar.PaymentConfirmed, paid.ID))
	require.Len(t, c.Transactions(paid), 1)
	require.ElementsMatch(t, []string{"chain.diverged", "chain.failing", "chain.recovered", "chain.recovered"}, c.conditionEvents())
	require.Empty(t, c.health().Conditions)
	require.NotContains(t, c.reasons(forged), bursar.ReasonDiverged)
	c.noBrokenRules()
}

// standby is the configuration of another instance on the same store and chain.
func (c *choir) standby() bursar.Config {
	cfg := c.cfg
	cfg.Instance = "standby"
	return cfg
}

// TestProviderComesBack: its return is told, and what another process told is not
// told again by the next one.
func TestProviderComesBack(t *testing.T) {
	c := newChoir(t, 3, quorum.Config{Agree: 2, FailAfter: 2, Cooldown: time.Millisecond, MaxCooldown: time.Millisecond}, bursartest.Options{})
	c.nodes[2].Fail(func(chaintest.Call) error { return errNode })
	c.Mine(1)
	c.Mine(1)
	c.Mine(1)
	require.Equal(t, []string{"chain.provider_down c"}, c.conditionEvents())
	require.Positive(t, c.health().Providers[2].ErrorRate)
	require.Zero(t, c.health().Providers[0].ErrorRate)
	c.reconfigure(func(*bursar.Config) {})
	c.Mine(1)
	require.Equal(t, []string{"chain.provider_down c"}, c.conditionEvents(), "it was told")
	c.nodes[2].Fail(nil)
	require.Eventually(t, func() bool {
		c.Mine(1)
		return len(c.conditionEvents()) == 2
	}, time.Minute, 5*time.Millisecond)
	require.Equal(t, []string{"chain.provider_down c", "chain.provider_back c"}, c.conditionEvents())
	require.Empty(t, c.health().Conditions)
}

// TestThreat_C16_PrunedHistoryIsTold: where no provider keeps what is asked for, the
// cursor stays, the operator is told, and Explain says so; one that keeps it is
// enough to go on.
func TestThreat_C16_PrunedHistoryIsTold(t *testing.T) {
	c := newChoir(t, 3, quorum.Config{}, bursartest.Options{})
	p := c.Create("USDC", "25")
	c.Pay(p)
	pruned := func(call chaintest.Call) error {
		if call.Method == chaintest.MethodTransfers {
			return fmt.Errorf("%w: archive wanted", chain.ErrPruned)
		}
		return nil
	}
	for _, n := range c.nodes {
		n.Fail(pruned)
	}
	tip := c.state().Tip()
	c.Chain.Mine(3)
	for range 6 {
		require.ErrorIs(t, c.tryStep(), chain.ErrPruned)
	}
	require.Equal(t, tip, c.state().Tip())
	require.Equal(t, []string{"chain.failing"}, c.conditionEvents())
	require.Contains(t, c.reasons(p)[bursar.ReasonFailing], "archive wanted")
	c.nodes[2].Fail(nil)
	c.Confirm()
	require.Equal(t, bursar.StatusConfirmed, c.Payment(p).Status)
	require.Equal(t, []string{"chain.failing", "chain.recovered"}, c.conditionEvents())
	require.NotContains(t, c.reasons(p), bursar.ReasonFailing)
}

// TestConditionsOfTwoInstances: whoever has the lease tells; the next one to have it
// does not tell again what holds, and ends what does not.
func TestConditionsOfTwoInstances(t *testing.T) {
	c := newChoir(t, 3, quorum.Config{Agree: 2, FailAfter: 1}, bursartest.Options{})
	c.nodes[2].Fail(func(chaintest.Call) error { return errNode })
	c.Mine(1)
	require.Equal(t, []string{"chain.provider_down c"}, c.conditionEvents())
	cfg := c.standby()
	other := quorum.Config{Agree: 2, FailAfter: 1, HedgeLeast: time.Hour, HedgeMost: time.Hour}
	for i, n := range c.nodes {
		other.Providers = append(other.Providers, quorum.Provider{Name: string(rune('a' + i)), Client: n})
	}
	second, err := quorum.New(other)
	require.NoError(t, err)
	cfg.Chains = slices.Clone(cfg.Chains)
	cfg.Chains[0].Client = second
	gw := c.another(cfg)
	step := func(gw *bursar.Gateway) {
		c.Chain.Mine(1)
		require.NoError(t, gw.Step(c.ctx()))
	}
	require.NoError(t, c.Gateway.Stop(c.ctx()))
	c.Gateway = gw
	step(gw)
	require.Equal(t, []string{"chain.provider_down c"}, c.conditionEvents(), "it holds for the second one too")
	require.True(t, second.Providers()[2].Aside)
	c.nodes[2].Fail(nil)
	third := cfg
	fresh := other
	fresh.Providers = slices.Clone(other.Providers)
	q, err := quorum.New(fresh)
	require.NoError(t, err)
	third.Chains = slices.Clone(cfg.Chains)
	third.Chains[0].Client, third.Instance = q, "third"
	require.NoError(t, gw.Stop(c.ctx()))
	c.Gateway = c.another(third)
	step(c.Gateway)
	require.Equal(t, []string{"chain.provider_down c", "chain.provider_back c"}, c.conditionEvents(), "a stored alarm does not outlive its cause")
}

// reporter is a client of somebody else's that tells of itself.
type reporter struct {
	chain.Client
	mu     sync.Mutex
	report chain.Report
}

func (r *reporter) Report() chain.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.report
}

func (r *reporter) As(target any) bool {
	if t, ok := target.(*chain.Reporter); ok {
		*t = r
		return true
	}
	return false
}

// TestConditionsWaitForTheStore: while the store takes no writes nothing is told
// and nothing lost, and reading the chain goes on meanwhile.
func TestConditionsWaitForTheStore(t *testing.T) {
	c := &choir{}
	r := &reporter{}
	var broken *brokenOutbox
	c.flow = newFlow(t, bursartest.Options{
		Client: func(client chain.Client) chain.Client { r.Client = client; return r },
		Edit: func(cfg *bursar.Config) {
			broken = &brokenOutbox{Store: cfg.Store}
			cfg.Store = broken
		},
	})
	broken.set(true)
	r.mu.Lock()
	r.report.Conditions = []chain.Condition{
		{Kind: chain.ConditionProviderDown, Provider: "x", Active: true, Times: 1, Reason: "away"}, {Kind: "of_its_own", Active: true, Times: 1, Reason: "odd"},
	}
	r.mu.Unlock()
	tip := c.state().Tip().Height
	c.Mine(3)
	require.Equal(t, tip+3, c.state().Tip().Height)
	require.Empty(t, c.conditionEvents())
	require.Len(t, c.health().Conditions, 2)
	broken.set(false)
	c.Mine(1)
	require.Equal(t, []string{"chain.provider_down x"}, c.conditionEvents())
}

// brokenOutbox refuses batches with events about conditions.
type brokenOutbox struct {
	bursar.Store
	mu  sync.Mutex
	bad bool
}

func (b *brokenOutbox) set(bad bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bad = bad
}

func (b *brokenOutbox) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	return b.Store.Write(ctx, func(tx bursar.Tx) error { return fn(brokenTx{tx, b}) })
}

type brokenTx struct {
	bursar.Tx
	store *brokenOutbox
}

func (t brokenTx) Apply(ctx context.Context, batch bursar.Batch) error {
	t.store.mu.Lock()
	bad := t.store.bad
	t.store.mu.Unlock()
	for _, e := range batch.Events {
		if bad && e.Data.Condition != nil {
			return errNode
		}
	}
	return t.Tx.Apply(ctx, batch)
}

// TestStalledChainIsTold: a running gateway tells that blocks have stopped, once,
// and that they go on.
func TestStalledChainIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := chaintest.New(chaintest.Options{})
		told := make(chan bursar.Event, 100)
		cfg := bursar.Config{
			Store: memory.New(), Wallet: wallet(t, bursartest.Mnemonic, ""), Logger: slog.New(slog.DiscardHandler),
			Chains: []bursar.Chain{{Client: c.Client(), Sweep: bursar.SweepOff}},
			Notify: []bursar.Notifier{bursar.NotifyFunc("duty", func(_ context.Context, e bursar.Event) error {
				told <- e
				return nil
			})},
		}
		gw, err := bursar.New(cfg)
		require.NoError(t, err)
		c.Mine(1)
		require.NoError(t, gw.Start(t.Context()))
		defer func() { _ = gw.Stop(context.Background()) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, told, 1)
		require.Equal(t, bursar.ChainStalled, (<-told).Kind)
		c.Mine(1)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, told, 2, "it went on, and stopped again")
		e := <-told
		require.Equal(t, bursar.ChainRecovered, e.Kind)
		require.Equal(t, chain.ConditionStalled, e.Data.Condition.Kind)
	})
}
