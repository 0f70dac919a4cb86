package bursar_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/storetest"
)

// impostor is a node of another chain than it is configured for.
type impostor struct {
	chain.Client
	says chain.Identity
}

func (i impostor) Identify(context.Context) (chain.Identity, error) { return i.says, nil }

func TestStartRefusesWrongAnswers(t *testing.T) {
	t.Run("another chain", func(t *testing.T) {
		cfg, _, _ := config(t)
		cfg.Chains[0].Client = impostor{cfg.Chains[0].Client, chain.Identity{ID: "eip155:1"}}
		gw, err := bursar.New(cfg)
		require.NoError(t, err)
		err = gw.Start(t.Context())
		isField(t, err, "Config.Chains[0].Client", bursar.CodeMismatch)
		require.ErrorContains(t, err, "eip155:1337")
		require.False(t, gw.Health(t.Context()).Running)
		// The mistake can be put right and the same gateway started again.
		require.Error(t, gw.Start(t.Context()))
	})
	t.Run("another first block", func(t *testing.T) {
		cfg, _, _ := config(t)
		gw, err := bursar.New(cfg)
		require.NoError(t, err)
		require.NoError(t, gw.Start(t.Context()))
		require.NoError(t, gw.Stop(t.Context()))
		cfg.Chains[0].Client = impostor{cfg.Chains[0].Client, chain.Identity{ID: local, Genesis: "0xfeed"}}
		gw, err = bursar.New(cfg)
		require.NoError(t, err)
		err = gw.Start(t.Context())
		isField(t, err, "Config.Chains[0].Client", bursar.CodeMismatch)
		require.ErrorContains(t, err, "0xfeed")
	})
	t.Run("no token there", func(t *testing.T) {
		cfg, c, usdc := config(t)
		nobody := c.Payer("nobody")
		usdc.Contract, usdc.ID = nobody, chain.AssetID("eip155:1337/erc20:"+string(nobody))
		cfg.Chains[0].Assets = []chain.Asset{usdc}
		gw, err := bursar.New(cfg)
		require.NoError(t, err)
		var field *bursar.FieldError
		require.ErrorAs(t, gw.Start(t.Context()), &field)
		require.Equal(t, "Config.Chains[0].Assets[USDC].Contract", field.Field)
	})
	t.Run("a store that does not write", func(t *testing.T) {
		cfg, _, _ := config(t)
		cfg.Store = storetest.Faulty(cfg.Store, func(p storetest.Point) storetest.Fault {
			if p.Op == storetest.OpWrite {
				return storetest.FailBefore
			}
			return storetest.Pass
		})
		gw, err := bursar.New(cfg)
		require.NoError(t, err)
		require.ErrorIs(t, gw.Start(t.Context()), storetest.ErrInjected)
		require.NoError(t, cfg.Store.Close())
		require.ErrorIs(t, gw.Start(t.Context()), bursar.ErrStoreClosed)
	})
}

func TestStartsContextBoundsTheStartAlone(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cfg, _, _ := config(t)
	gw, err := bursar.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, gw.Start(ctx), context.Canceled)
	require.False(t, gw.Health(t.Context()).Running)
	ctx, cancel = context.WithCancel(t.Context())
	require.NoError(t, gw.Start(ctx), "a failed start can be repeated")
	cancel()
	require.True(t, gw.Health(t.Context()).Running, "its end ends nothing else")
	require.NoError(t, gw.Stop(t.Context()))
}

func TestManualHasNoGoroutines(t *testing.T) {
	before := goleak.IgnoreCurrent()
	kit := newKit(t, bursartest.Options{})
	p := kit.Create("USDC", "5")
	kit.Pay(p)
	kit.Settle()
	goleak.VerifyNone(t, before)
}

func TestStepWithinStep(t *testing.T) {
	var kit *bursartest.Kit
	var inner error
	kit = newKit(t, bursartest.Options{Notify: []bursar.Notifier{bursar.NotifyFunc("n", func(ctx context.Context, e bursar.Event) error {
		if e.Kind == bursar.PaymentCreated {
			inner = kit.Gateway.Step(ctx)
		}
		return nil
	})}})
	kit.Create("ETH", "1")
	kit.Step()
	require.ErrorContains(t, inner, "another Step")
	kit.Step()
}

// TestScanningResumesAfterStoreErrors, with nothing lost or doubled.
func TestScanningResumesAfterStoreErrors(t *testing.T) {
	for _, fault := range []storetest.Fault{storetest.FailBefore, storetest.LoseAfter, storetest.LoseBefore} {
		fail := 0
		kit := newKit(t, bursartest.Options{Store: func(now func() time.Time) bursar.Store {
			return storetest.Faulty(memory.NewWith(memory.Options{Now: now}), func(p storetest.Point) storetest.Fault {
				if fail > 0 && p.Commits() {
					fail--
					return fault
				}
				return storetest.Pass
			})
		}})
		p := kit.Create("USDC", "5")
		kit.Pay(p)
		for range 5 {
			kit.Chain.Mine(1)
			fail = 2
			for kit.Gateway.Step(t.Context()) != nil {
				require.Error(t, kit.Gateway.Health(t.Context()).Chains[0].Problem)
			}
			require.NoError(t, kit.Gateway.Health(t.Context()).Chains[0].Problem)
		}
		kit.AdvanceTime(2 * time.Minute) // claims of deliveries run out
		kit.Settle()
		require.Equal(t, bursar.StatusSettled, kit.Payment(p).Status)
		require.Equal(t, 1, kit.Payment(p).ConfirmationNo)
		require.True(t, kit.Gateway.Health(t.Context()).Ready)
	}
}

func TestHealthTellsWhatIsKnown(t *testing.T) {
	down := errors.New("connection refused")
	client := &atomic.Pointer[chaintest.Client]{}
	kit := newKit(t, bursartest.Options{Client: func(c chain.Client) chain.Client {
		client.Store(c.(*chaintest.Client))
		return c
	}})
	h := kit.Gateway.Health(t.Context())
	require.True(t, h.Running && h.Ready)
	c := h.Chains[0]
	require.Equal(t, local, c.ID)
	require.Equal(t, "local", c.Name)
	require.True(t, c.Verified && c.Ready && !c.Broken)
	require.Equal(t, kit.Chain.Head(), c.Tip)
	require.Zero(t, c.Lag)
	require.Equal(t, c.Tip.Height-5, c.Final)

	client.Load().FailNext(chaintest.MethodHead, down, 1)
	require.Error(t, kit.Gateway.Step(t.Context()))
	h = kit.Gateway.Health(t.Context())
	require.ErrorIs(t, h.Chains[0].Problem, down)
	require.True(t, h.Ready, "one failed call is no reason to turn customers away")
	kit.Step()
	require.NoError(t, kit.Gateway.Health(t.Context()).Chains[0].Problem)

	require.NoError(t, kit.Store.Close())
	h = kit.Gateway.Health(t.Context())
	require.ErrorIs(t, h.Err, bursar.ErrStoreClosed)
	require.False(t, h.Ready)
	require.Len(t, h.Chains, 1, "what this process knows is still told")
	require.NoError(t, kit.Gateway.Stop(t.Context()))
	require.False(t, kit.Gateway.Health(t.Context()).Running)
}

// untrue refuses the cursor of one chain as if a rule of ours did not hold.
type untrue struct {
	bursar.Store
	chain atomic.Value
}

type untrueTx struct {
	bursar.Tx
	chain bursar.ChainID
}

func (s *untrue) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	id, _ := s.chain.Load().(bursar.ChainID)
	return s.Store.Write(ctx, func(tx bursar.Tx) error { return fn(untrueTx{tx, id}) })
}

func (t untrueTx) Apply(ctx context.Context, b bursar.Batch) error {
	for _, c := range b.Chains {
		if c.Chain == t.chain {
			return fmt.Errorf("%w: on purpose", bursar.ErrInvariant)
		}
	}
	return t.Tx.Apply(ctx, b)
}

// TestThreat_G10_ABrokenRuleStopsThatChainAlone.
func TestThreat_G10_ABrokenRuleStopsThatChainAlone(t *testing.T) {
	cfg, c, _ := config(t)
	seven := chaintest.New(chaintest.Options{Info: chain.Info{ID: "eip155:7", Name: "seven"}})
	seven.Mine(1)
	store := &untrue{Store: cfg.Store}
	cfg.Store, cfg.Manual = store, true
	cfg.Chains = append(cfg.Chains, bursar.Chain{Client: seven.Client(), Treasury: cfg.Chains[0].Treasury})
	gw, err := bursar.New(cfg)
	require.NoError(t, err)
	require.NoError(t, gw.Start(t.Context()))
	t.Cleanup(func() { _ = gw.Stop(context.Background()) })
	pay := func(c *chaintest.Chain, asset string) bursar.Payment {
		p, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: asset, Amount: amount("1")})
		require.NoError(t, err)
		c.Pay("payer", p.Address, p.Asset, p.Amount)
		c.Mine(7)
		return p
	}
	store.chain.Store(local)
	bad, good := pay(c, "local/ETH"), pay(seven, "seven/ETH")
	require.ErrorIs(t, gw.Step(t.Context()), bursar.ErrInvariant)
	store.chain.Store(bursar.ChainID("")) // it is not asked again in this process
	for range 3 {
		require.ErrorIs(t, gw.Step(t.Context()), bursar.ErrInvariant)
		seven.Mine(4)
	}
	h := gw.Health(t.Context())
	require.True(t, h.Running)
	require.False(t, h.Ready)
	require.True(t, h.Chains[0].Broken)
	require.ErrorIs(t, h.Chains[0].Problem, bursar.ErrInvariant)
	require.False(t, h.Chains[1].Broken)
	status := func(p bursar.Payment) bursar.Status {
		p, err := gw.Payment(t.Context(), p.ID)
		require.NoError(t, err)
		return p.Status
	}
	require.Equal(t, bursar.StatusPending, status(bad))
	require.Equal(t, bursar.StatusSettled, status(good))
	// Another instance takes over once the lease has run out.
	c.AdvanceTime(time.Minute)
	cfg.Instance = "mended"
	other, err := bursar.New(cfg)
	require.NoError(t, err)
	require.NoError(t, other.Start(t.Context()))
	t.Cleanup(func() { _ = other.Stop(context.Background()) })
	require.NoError(t, other.Step(t.Context()))
	require.Equal(t, bursar.StatusConfirmed, status(bad))
	require.True(t, other.Health(t.Context()).Ready)
}

// TestAProblemEndsWithTheLease: what went wrong here is history once another
// instance does the work.
func TestAProblemEndsWithTheLease(t *testing.T) {
	var client *chaintest.Client
	kit := newKit(t, bursartest.Options{Client: func(c chain.Client) chain.Client {
		client = c.(*chaintest.Client)
		return c
	}})
	client.FailNext(chaintest.MethodHead, errors.New("down"), 1)
	require.Error(t, kit.Gateway.Step(t.Context()))
	require.Error(t, kit.Gateway.Health(t.Context()).Chains[0].Problem)
	// The lease runs out, another instance takes it, and this one notices.
	kit.Chain.AdvanceTime(time.Hour)
	_, err := kit.Store.Acquire(t.Context(), "chain/eip155:1337", "other", time.Hour)
	require.NoError(t, err)
	kit.Chain.Mine(1)
	_ = kit.Gateway.Step(t.Context()) // with a fence that is stale
	require.NoError(t, kit.Gateway.Step(t.Context()))
	require.NoError(t, kit.Gateway.Health(t.Context()).Chains[0].Problem)
}

// TestABrokenChainSweepsNothing: no money moves by a ledger that is in doubt.
func TestABrokenChainSweepsNothing(t *testing.T) {
	store := &untrue{}
	var failing atomic.Bool
	kit := newKit(t, bursartest.Options{
		SkipLedger: true,
		Store: func(now func() time.Time) bursar.Store {
			store.Store = memory.NewWith(memory.Options{Now: now})
			return store
		},
		Client: func(c chain.Client) chain.Client {
			c.(*chaintest.Client).Fail(func(call chaintest.Call) error {
				if failing.Load() && call.Method == chaintest.MethodPrepare {
					return errors.New("no fees today")
				}
				return nil
			})
			return c
		},
	})
	p := kit.Create("ETH", "1")
	kit.Pay(p)
	failing.Store(true)
	kit.Mine(8)
	require.Len(t, dumpOf(t, kit.Store).Payouts, 1)
	store.chain.Store(local)
	kit.Chain.Mine(1)
	require.ErrorIs(t, kit.Gateway.Step(t.Context()), bursar.ErrInvariant)
	store.chain.Store(bursar.ChainID(""))
	failing.Store(false)
	kit.Chain.AdvanceTime(time.Hour)
	for range 3 {
		require.ErrorIs(t, kit.Gateway.Step(t.Context()), bursar.ErrInvariant)
		kit.Chain.AdvanceTime(time.Hour)
	}
	require.Empty(t, kit.Chain.Mempool())
	require.Empty(t, dumpOf(t, kit.Store).Attempts)
	kit.Restart()
	kit.Settle()
	require.Equal(t, bursar.StatusSettled, kit.Payment(p).Status, "a restart goes on where it stopped")
}

// TestASecondInstanceServesWithoutTheLease: it creates payments, and takes over
// when the first one dies.
func TestASecondInstanceServesWithoutTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := chaintest.New(chaintest.Options{Start: time.Now().Add(-time.Hour)})
		c.Mine(1)
		store := memory.New()
		open := func(name string) *bursar.Gateway {
			cfg := bursar.Config{Store: store, Wallet: wallet(t, bursartest.Mnemonic, ""), Instance: name, Chains: []bursar.Chain{{Client: c.Client(), Treasury: c.Payer("treasury")}}}
			quiet(&cfg)
			gw, err := bursar.New(cfg)
			require.NoError(t, err)
			require.NoError(t, gw.Start(t.Context()))
			return gw
		}
		a := open("a")
		b := open("b")
		time.Sleep(time.Minute)
		h := b.Health(t.Context())
		require.True(t, h.Ready)
		require.NoError(t, h.Chains[0].Problem, "that another instance works is no problem")
		p, err := b.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
		require.NoError(t, err)
		c.Pay("payer", p.Address, p.Asset, p.Amount)
		c.Mine(1)
		time.Sleep(time.Minute)
		got, err := b.Payment(t.Context(), p.ID)
		require.NoError(t, err)
		require.Equal(t, bursar.StatusDetected, got.Status, "the first instance scans what the second issued")
		require.NoError(t, a.Stop(context.Background()))
		c.Mine(2)
		time.Sleep(2 * time.Minute)
		got, err = b.Payment(t.Context(), p.ID)
		require.NoError(t, err)
		require.Equal(t, bursar.StatusConfirmed, got.Status, "the second takes over")
		require.NoError(t, b.Stop(context.Background()))
	})
}

// TestTwoInstancesOnAFreshChain: the one that comes second does not need the
// cursor to be its own work.
func TestTwoInstancesOnAFreshChain(t *testing.T) {
	cfg, c, _ := config(t)
	cfg.Manual, cfg.Instance = true, "b"
	// Another process holds the lease and has not set the cursor yet.
	_, err := cfg.Store.Acquire(t.Context(), "chain/eip155:1337", "a", 30*time.Second)
	require.NoError(t, err)
	gw, err := bursar.New(cfg)
	require.NoError(t, err)
	require.NoError(t, gw.Start(t.Context()))
	t.Cleanup(func() { _ = gw.Stop(context.Background()) })
	h := gw.Health(t.Context())
	require.False(t, h.Ready)
	require.NoError(t, h.Chains[0].Problem)
	_, err = gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
	require.ErrorIs(t, err, bursar.ErrChainNotReady)
	_, err = gw.CreateAddress(t.Context(), bursar.AddressRequest{Chain: local, Customer: "ann"})
	require.ErrorIs(t, err, bursar.ErrChainNotReady)
	require.Empty(t, dumpOf(t, cfg.Store).Pools, "before any write")
	c.AdvanceTime(time.Minute)
	require.NoError(t, gw.Step(t.Context()))
	require.True(t, gw.Health(t.Context()).Ready)
}
