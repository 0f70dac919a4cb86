package bursar_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/store/memory"
)

// late is a gateway with an empty store, on a chain on which its sponsor has been
// paid before.
type late struct {
	*flow
	gw    *bursar.Gateway
	store bursar.Store
}

func newLate(t *testing.T, before func(*flow), edit func(*bursar.Config)) *late {
	t.Helper()
	f := newFlow(t, bursartest.Options{})
	f.Step()
	require.NoError(t, f.Gateway.Stop(f.ctx()))
	if before != nil {
		before(f)
	}
	cfg := f.cfg
	store := memory.NewWith(memory.Options{Now: f.Chain.Now})
	cfg.Store = store
	if edit != nil {
		cfg.Chains = append([]bursar.Chain(nil), cfg.Chains...)
		edit(&cfg)
	}
	return &late{f, f.another(cfg), store}
}

// opened are the entries about capital that stand.
func (l *late) opened() (out []bursar.Entry) {
	l.t.Helper()
	require.NoError(l.t, l.store.Read(l.ctx(), func(r bursar.Reader) error {
		rows, err := r.Entries(l.ctx(), bursar.EntryQuery{Subject: string(l.Chain.Info().ID), Unreversed: true})
		for _, e := range rows {
			if e.Rule == "open" {
				out = append(out, e)
			}
		}
		return err
	}))
	return out
}

func (l *late) clean() {
	l.t.Helper()
	report, err := l.gw.Verify(l.ctx())
	require.NoError(l.t, err)
	require.True(l.t, report.Clean(), "%s", report)
	require.NotEmpty(l.t, report.Heights, "the balances were compared")
}

func TestCapitalFromBeforeTheFirstBlock(t *testing.T) {
	l := newLate(t, func(f *flow) { // in the first block, which is scanned
		f.Chain.Fund(f.Sponsor, chain.NewAmount(7))
		f.Chain.Mine(1)
	}, nil)
	before := l.Chain.Head().Height - 1
	require.NoError(t, l.gw.Step(l.ctx()))
	got := l.opened()
	require.Len(t, got, 1)
	require.Equal(t, "F:"+string(l.Sponsor), string(got[0].Debit))
	require.Equal(t, bursar.AccountOwner, got[0].Credit)
	require.Equal(t, "1000000000000000000", got[0].Amount.String())
	require.Equal(t, before, got[0].Height)
	l.clean()
	l.Chain.Mine(20)
	require.NoError(t, l.gw.Step(l.ctx()))
	require.Equal(t, got, l.opened(), "once")
	l.clean()
}

func TestCapitalOfTheFirstBlockOfAll(t *testing.T) {
	sim := chaintest.New(chaintest.Options{})
	l := newLate(t, nil, nil)
	cfg := l.cfg
	cfg.Store = memory.NewWith(memory.Options{Now: sim.Now})
	cfg.Chains = []bursar.Chain{{Client: sim.Client(), Treasury: sim.Payer("treasury")}}
	l.flow.Chain, l.store, l.gw = sim, cfg.Store, l.another(cfg)
	require.Zero(t, sim.Head().Height)
	require.NoError(t, l.gw.Step(l.ctx()))
	require.Empty(t, l.opened())
	l.clean()
}

// A reorg below the first block brings another past: what the sponsor had then
// takes the place of what it had.
func TestThreat_A1_CapitalFollowsAReorg(t *testing.T) {
	l := newLate(t, func(f *flow) {
		f.Chain.Fund(f.Sponsor, chain.NewAmount(7))
		f.Chain.Mine(2)
	}, nil)
	require.NoError(t, l.gw.Step(l.ctx()))
	old := l.opened()
	require.Len(t, old, 1)
	require.Equal(t, "1000000000000000007", old[0].Amount.String())
	l.Chain.Reorg(3, chaintest.ReorgOptions{DropAll: true})
	for range 3 {
		require.NoError(t, l.gw.Step(l.ctx()))
	}
	got := l.opened()
	require.Len(t, got, 1)
	require.Equal(t, "1000000000000000000", got[0].Amount.String())
	require.Equal(t, old[0].Height-2, got[0].Height)
	l.clean()
	l.Chain.Mine(2)
	require.NoError(t, l.gw.Step(l.ctx()))
	l.Chain.Reorg(1)
	require.NoError(t, l.gw.Step(l.ctx()))
	require.Equal(t, got, l.opened(), "a reorg above the first block changes nothing")
	l.clean()
}

// pruned is a node that does not tell balances.
type pruned struct {
	chain.Client
	err     error
	answers bool
	native  bool // it tells those of the native coin
}

// Balances tells those of canaries: they are asked for by the newest block.
func (p *pruned) Balances(ctx context.Context, at chain.BlockHash, of []chain.Holding) ([]chain.Amount, error) {
	if p.answers || len(of) > 10 || p.native && of[0].Asset.Native() {
		reader, _ := chain.As[chain.BalanceReader](p.Client)
		return reader.Balances(ctx, at, of)
	}
	return nil, p.err
}

func TestCapitalThatNobodyKnows(t *testing.T) {
	for name, err := range map[string]error{"no answers": nil, "no state": errors.New("missing trie node"), "pruned": fmt.Errorf("%w: block 7", chain.ErrPruned)} {
		t.Run(name, func(t *testing.T) {
			node := &pruned{err: err}
			l := newLate(t, nil, func(c *bursar.Config) {
				node.Client = c.Chains[0].Client
				c.Chains[0].Client = node
			})
			require.NoError(t, l.gw.Step(l.ctx()))
			require.Empty(t, l.opened())
			require.NotEmpty(t, l.recent(), "the chain is scanned all the same")
		})
	}
}

// A token that was deployed after the block has no balance there.
func TestCapitalBesideAYoungToken(t *testing.T) {
	node := &pruned{err: fmt.Errorf("token 7: %w", chain.ErrNoContract)}
	l := newLate(t, nil, func(c *bursar.Config) {
		node.Client, node.native = c.Chains[0].Client, true
		c.Chains[0].Client = node
	})
	require.NoError(t, l.gw.Step(l.ctx()))
	require.Len(t, l.opened(), 1)
	node.answers = true
	l.clean()
}

// A node that lags behind does not know the block: that says nothing of the coin.
func TestThreat_C1_CapitalAtABlockThatANodeLacks(t *testing.T) {
	node := &pruned{err: fmt.Errorf("no such block: %w", chain.ErrNotFound)}
	l := newLate(t, nil, func(c *bursar.Config) {
		node.Client = c.Chains[0].Client
		c.Chains[0].Client = node
	})
	for range 100 {
		require.ErrorIs(t, l.gw.Step(l.ctx()), chain.ErrTransient)
	}
	require.Empty(t, l.recent())
	node.answers = true
	require.NoError(t, l.gw.Step(l.ctx()))
	require.Len(t, l.opened(), 1)
	l.clean()
}

func TestCapitalThatIsToldLater(t *testing.T) {
	node := &pruned{err: fmt.Errorf("%w: busy", chain.ErrTransient)}
	l := newLate(t, nil, func(c *bursar.Config) {
		node.Client = c.Chains[0].Client
		c.Chains[0].Client = node
	})
	require.Error(t, l.gw.Step(l.ctx()))
	require.Empty(t, l.recent(), "it begins when the answer is there")
	node.answers = true
	require.NoError(t, l.gw.Step(l.ctx()))
	require.Len(t, l.opened(), 1)
	l.clean()
}

func (l *late) recent() (out []chain.BlockRef) {
	l.t.Helper()
	require.NoError(l.t, l.store.Read(l.ctx(), func(r bursar.Reader) error {
		st, err := r.Chain(l.ctx(), l.Chain.Info().ID)
		out = st.Recent
		return err
	}))
	return out
}
