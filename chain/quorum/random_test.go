package quorum_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/quorum"
)

// TestFewerLiarsThanVotesChangeNothing: whatever fewer than k operators tell,
// each on its own or all the same, what is answered is true; and while k honest
// ones are there, something is.
func TestFewerLiarsThanVotesChangeNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		sim := chaintest.New(chaintest.Options{Finalized: true})
		sim.Mine(2)
		n := rapid.IntRange(1, 6).Draw(r, "providers")
		k := rapid.IntRange(1, n).Draw(r, "agree")
		liars := rapid.IntRange(0, k-1).Draw(r, "liars")
		lying := rapid.Permutation(slices.Repeat([]bool{true}, liars)).Draw(r, "none")
		lying = append(lying, slices.Repeat([]bool{false}, n-liars)...)
		lying = rapid.Permutation(lying).Draw(r, "who lies")
		cfg := quorum.Config{Agree: k, HedgeLeast: time.Hour, HedgeMost: time.Hour}
		var clients []*chaintest.Client
		for i := range n {
			c := sim.Client()
			clients = append(clients, c)
			cfg.Providers = append(cfg.Providers, quorum.Provider{Name: fmt.Sprint("p", i), Client: c})
		}
		q, err := quorum.New(cfg)
		require.NoError(r, err)
		own := chaintest.NewSigner(q.Codec(), "random").Account("own").Address
		watch := chaintest.NewWatch(q.Codec(), nil, own)
		truth := sim.Client()
		final := uint64(0)
		for range rapid.IntRange(1, 6).Draw(r, "rounds") {
			id := sim.Pay("alice", own, sim.Info().Native, chain.NewAmount(7))
			sim.Mine(rapid.IntRange(1, 4).Draw(r, "blocks"))
			head := sim.Head()
			for i, c := range clients {
				if lying[i] {
					c.Lie(drawLie(r, sim, id, own))
					c.Lag(uint64(rapid.IntRange(0, 3).Draw(r, "lag")))
				}
			}
			h, err := q.Head(t.Context())
			if n-liars >= k {
				require.NoError(r, err)
				require.LessOrEqual(r, h.Latest.Height, head.Height)
			}
			if err != nil {
				require.ErrorIs(r, err, chain.ErrTransient)
			} else {
				at, ok := sim.Block(h.Latest.Height)
				require.True(r, ok)
				require.Equal(r, at, h.Latest, "a head that is there")
				require.GreaterOrEqual(r, h.Finalized.Height, final, "finality never falls")
				final = h.Finalized.Height
				true1, err := truth.Head(t.Context())
				require.NoError(r, err)
				require.LessOrEqual(r, final, true1.Finalized.Height, "nor runs ahead")
			}
			want, err := truth.Transfers(t.Context(), 1, head.Height, watch)
			require.NoError(r, err)
			p, err := q.Transfers(t.Context(), 1, head.Height, watch)
			if err != nil {
				require.ErrorIs(r, err, chain.ErrTransient)
				require.Less(r, n-liars, k)
				continue
			}
			require.Equal(r, want.Blocks[:len(p.Blocks)], p.Blocks)
			shown := slices.DeleteFunc(slices.Clone(want.Transfers), func(t chain.Transfer) bool { return t.Block > p.Last().Height })
			require.True(r, slices.Equal(shown, p.Transfers), "%v, the truth is %v", p.Transfers, shown)
			if n-liars >= k && liars == 0 {
				require.Equal(r, want, p)
			}
		}
	})
}

// drawLie draws what a liar tells this time.
func drawLie(r *rapid.T, sim *chaintest.Chain, id chain.TxID, own chain.Address) chaintest.Lies {
	switch rapid.IntRange(0, 5).Draw(r, "lie") {
	case 0:
		return chaintest.Hiding(id)
	case 1:
		return chaintest.Inventing(chain.Transfer{
			ID: chain.TransferID{Tx: "0xdead", Ordinal: "n"}, Asset: sim.Info().Native.ID, To: own, Amount: chain.NewAmount(1e18),
			Block: uint64(rapid.IntRange(1, 12).Draw(r, "block")), Via: chain.ViaDirect,
		})
	case 2:
		return chaintest.Lies{Head: func(h chain.Head) chain.Head {
			h.Latest.Height += 5
			h.Latest.Hash = "0xahead"
			f := h.Latest
			h.Finalized = &f
			return h
		}}
	case 3:
		return chaintest.Lies{Head: func(h chain.Head) chain.Head { h.Finalized = nil; return h }}
	case 4:
		return chaintest.Lies{
			Head: func(h chain.Head) chain.Head { h.Latest.Hash = "0xfork"; return h },
			Headers: func(refs []chain.BlockRef) []chain.BlockRef {
				refs = slices.Clone(refs)
				for i := range refs {
					refs[i].Hash = "0xfork"
				}
				return refs
			},
			Page: func(p chain.Page) chain.Page {
				p.Blocks = slices.Clone(p.Blocks)
				p.Blocks[len(p.Blocks)-1].Hash = "0xfork"
				p.Transfers = slices.DeleteFunc(slices.Clone(p.Transfers), func(t chain.Transfer) bool { return t.Block == p.Last().Height })
				return p
			},
		}
	}
	return chaintest.Lies{Page: func(p chain.Page) chain.Page { p.Blocks = p.Blocks[:1]; p.Transfers = nil; return p }}
}
