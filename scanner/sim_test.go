package scanner_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/scanner"
)

// one watches a single account.
type one struct{ key []byte }

func (o one) Match(key []byte) (uint32, bool) { return 7, string(key) == string(o.key) }
func (o one) Len() int                        { return 1 }
func (o one) Keys() iter.Seq[[]byte]          { return func(yield func([]byte) bool) { yield(o.key) } }
func (o one) Assets() []chain.Asset           { return nil }

// TestSimulatedChain follows a simulated chain through payments, reorgs, lag
// and failing calls: in the end exactly the transfers of the node's branch are
// known, each by the block it is in now.
func TestSimulatedChain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sim := chaintest.New(chaintest.Options{Info: chain.Info{PageBlocks: 5, MaxReorg: 1000}, Finalized: true})
		sim.Mine(3)
		client := sim.Client()
		to := sim.Payer("shop")
		keys, err := client.Codec().WatchKeys(to)
		require.NoError(t, err)
		s := newSink(t)
		s.start = 1
		cfg := scanner.Config{Client: client, Sink: watching{s, one{keys[0]}}, Logger: quiet()}
		sc, err := scanner.New(cfg)
		require.NoError(t, err)

		sim.Fund(sim.Payer("payer"), chain.NewAmount(1_000_000_000_000_000_000))
		sim.Mine(1)
		var left chain.BlockHash
		for range rapid.IntRange(1, 25).Draw(rt, "acts") {
			switch rapid.IntRange(0, 6).Draw(rt, "act") {
			case 0:
				sim.Pay("payer", to, sim.Info().Native, chain.NewAmount(rapid.Uint64Range(1, 1000).Draw(rt, "amount")))
			case 1:
				sim.Mine(rapid.IntRange(1, 12).Draw(rt, "blocks"))
			case 2:
				depth := min(rapid.IntRange(1, 6).Draw(rt, "depth"), int(sim.Head().Height)-3)
				left = sim.Reorg(depth, chaintest.ReorgOptions{Delay: rapid.IntRange(0, 2).Draw(rt, "delay"), Reverse: rapid.Bool().Draw(rt, "reverse")})
			case 3:
				if left != "" {
					sim.Return(left)
				}
			case 4:
				client.Lag(rapid.Uint64Range(0, 3).Draw(rt, "lag"))
			case 5:
				m := rapid.SampledFrom([]chaintest.Method{chaintest.MethodHead, chaintest.MethodHeaders, chaintest.MethodTransfers}).Draw(rt, "method")
				client.FailNext(m, errNode, 1)
			case 6:
				sc, err = scanner.New(cfg)
				require.NoError(t, err)
			}
			if _, err := sc.Step(rt.Context()); err != nil && !errors.Is(err, errNode) {
				rt.Fatalf("step: %v", err)
			}
		}
		client.Lag(0)
		sim.Mine(40)
		for tries := 0; sc.Progress().Tip != sim.Head(); tries++ {
			if _, err := sc.Step(rt.Context()); err != nil && !errors.Is(err, errNode) || tries > 100 {
				rt.Fatalf("it does not catch up: %v", err)
			}
		}
		want := map[chain.TransferID]chain.BlockHash{}
		for from := uint64(1); from <= sim.Head().Height; {
			page, err := client.Transfers(rt.Context(), from, sim.Head().Height, one{keys[0]})
			require.NoError(t, err)
			for _, tr := range page.Transfers {
				want[tr.ID] = tr.Hash
			}
			from = page.Last().Height + 1
		}
		require.Equal(t, want, s.seen)
	})
}

// watching is a sink with another watched set.
type watching struct {
	*sink
	watch chain.Watch
}

func (w watching) Watch(context.Context) (chain.Watch, error) { return w.watch, nil }
