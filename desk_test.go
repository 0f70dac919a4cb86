package bursar

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/scanner"
)

// TestFeeSharesSumToTheFee is S13: by amount, largest remainder first, and
// never a unit more or less than the fee.
func TestFeeSharesSumToTheFee(t *testing.T) {
	amount := func(t *rapid.T, name string) chain.Amount {
		b := rapid.SliceOfN(rapid.Byte(), 0, 14).Draw(t, name)
		a, err := chain.AmountFromBytes(b)
		require.NoError(t, err)
		return a
	}
	rapid.Check(t, func(t *rapid.T) {
		p := &payoutFile{Payout: Payout{Fee: amount(t, "fee")}}
		total := chain.Amount{}
		for range rapid.IntRange(1, 8).Draw(t, "items") {
			n := amount(t, "item")
			p.Items = append(p.Items, PayoutItem{Amount: n})
			total = sum(total, n)
		}
		before := p.Items
		p.shareFee()
		if total.IsZero() {
			return
		}
		got := chain.Amount{}
		for _, it := range p.Items {
			got = sum(got, it.FeeShare)
			low, err := p.Fee.MulDiv(it.Amount, total)
			require.NoError(t, err)
			require.False(t, it.FeeShare.Less(low), "at least the share rounded down")
			require.False(t, sum(low, chain.NewAmount(1)).Less(it.FeeShare), "at most one unit more")
		}
		require.Equal(t, p.Fee, got)
		require.True(t, before[0].FeeShare.IsZero(), "the caller's slice is left alone")
	})
	p := &payoutFile{Payout: Payout{Fee: chain.NewAmount(10), Items: []PayoutItem{
		{Amount: chain.NewAmount(1)}, {Amount: chain.NewAmount(1)}, {Amount: chain.NewAmount(4)},
	}}}
	p.shareFee() // 10/6, 10/6, 40/6: remainders 4, 4, 4
	require.Equal(t, []chain.Amount{chain.NewAmount(2), chain.NewAmount(2), chain.NewAmount(6)},
		[]chain.Amount{p.Items[0].FeeShare, p.Items[1].FeeShare, p.Items[2].FeeShare})
}

func TestCoveredTo(t *testing.T) {
	at := func(minutes ...int) (out []chain.BlockRef) {
		for i, m := range minutes {
			out = append(out, chain.BlockRef{Height: uint64(i), Time: time.Unix(int64(60*m), 0)})
		}
		return out
	}
	for _, c := range []struct {
		blocks []chain.BlockRef
		k      uint64
		want   int
	}{
		{at(1, 2, 3, 4), 1, 4},
		{at(1, 2, 3, 4), 3, 2},
		{at(1, 2, 3, 4), 4, 1},
		{at(1, 90, 3, 4), 1, 4},
		{at(1, 90, 3, 4), 3, 3},
		{at(1, 2, 90, 4), 2, 4},
		{at(1, 2, 3, 90), 1, 90},
		{at(5, 4, 3, 4), 2, 3},
	} {
		require.Equal(t, int64(60*c.want), coveredTo(c.blocks, c.k).Unix(), "%v %d", c.blocks, c.k)
	}
	require.True(t, coveredTo(nil, 1).IsZero())
	require.True(t, coveredTo(at(1, 2), 3).IsZero(), "nothing is that deep")
	require.True(t, coveredTo(at(1, 2), 0).IsZero())
}

func TestFinalHeight(t *testing.T) {
	n := &network{cfg: Chain{Confirmations: 3}, info: chain.Info{FinalityDepth: 6}}
	recent := []chain.BlockRef{{Height: 9, Hash: "a"}, {Height: 10, Hash: "b"}}
	final := func(h chain.Head, tip uint64) int {
		got, ok := n.finalHeight(h, tip, recent)
		if !ok {
			return -1
		}
		return int(got)
	}
	require.Equal(t, 5, final(chain.Head{}, 10))
	require.Equal(t, -1, final(chain.Head{}, 4))
	require.Equal(t, 0, final(chain.Head{}, 5))
	require.Equal(t, 9, final(chain.Head{Finalized: &recent[0]}, 10))
	require.Equal(t, 10, final(chain.Head{Finalized: &chain.BlockRef{Height: 12, Hash: "x"}}, 10), "no further than we have read")
	require.Equal(t, -1, final(chain.Head{Finalized: &chain.BlockRef{Height: 9, Hash: "x"}}, 10), "of another branch")
	n.cfg.Confirmations = 8
	require.Equal(t, 3, final(chain.Head{}, 10), "never before it is confirmed")
}

// A transition of a transaction that its table does not allow fails the whole
// step, whoever made it: nothing of the page is written.
func TestForbiddenTransitionFailsTheStep(t *testing.T) {
	d := &desk{net: &network{}, state: ChainState{Halted: haltWindow}}
	require.NoError(t, d.take(scanner.Step{}))
	row := Transaction{ID: "tx_1", Status: TxPending}
	d.turn(&row, txDeep) // never seen in a block
	require.Equal(t, TxPending, row.Status)
	require.ErrorIs(t, d.take(scanner.Step{}), ErrInvariant)
}
