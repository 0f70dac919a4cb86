package evm

import (
	"testing"

	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
)

// bidOf sets a budget and a bid.
func bidOf(in chain.Intent, maxFee, part, of uint64) chain.Intent {
	in.MaxFee, in.Bid = chain.NewAmount(maxFee), &chain.Bid{Part: part, Of: of}
	return in
}

// TestBidIsAPureRise: between the least that is mined and the whole budget,
// monotone, and exact at both ends, for whatever market and budget.
func TestBidIsAPureRise(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		q := quote{Dynamic: true}
		q.Base.SetUint64(rapid.Uint64Range(0, absurdPrice).Draw(r, "base"))
		q.LowTip.SetUint64(rapid.Uint64Range(1, absurdPrice).Draw(r, "tip"))
		least := q.bid(new(uint256.Int), chain.Bid{Of: 1})
		lowest := new(uint256.Int).Add(&q.Base, &q.LowTip)
		require.False(r, least.Floor.Lt(lowest), "pays the present block")
		require.Equal(r, least.Floor, least.Cap)

		spare := rapid.Uint64Range(0, absurdPrice).Draw(r, "spare")
		most := new(uint256.Int).AddUint64(&least.Floor, spare)
		of := rapid.Uint64Range(1, 1<<63).Draw(r, "of")
		part := rapid.Uint64Range(0, of).Draw(r, "part")
		later := rapid.Uint64Range(part, of).Draw(r, "later")
		a, b := q.bid(most, chain.Bid{Part: part, Of: of}), q.bid(most, chain.Bid{Part: later, Of: of})
		for _, p := range []price{a, b} {
			require.False(r, p.Cap.Lt(&least.Floor), "never below what is mined")
			require.False(r, p.Cap.Gt(most), "never above the budget")
			require.False(r, p.Tip.Gt(&p.Cap))
			require.Equal(r, least.Floor, p.Floor)
		}
		require.False(r, b.Cap.Lt(&a.Cap), "never falls")
		require.False(r, b.Tip.Lt(&a.Tip))
		require.Equal(r, least.Cap, q.bid(most, chain.Bid{Of: of}).Cap, "begins at the least")
		require.Equal(r, *most, q.bid(most, chain.Bid{Part: of, Of: of}).Cap, "ends at the budget")
	})
}

func TestPrepareBids(t *testing.T) {
	const gas, low = 21000, 11.25*gwei + 500 // next block's base fee and the low tip
	node := func() *figures {
		n := newNode(t)
		n.answers["eth_feeHistory"] = historyOf([2]uint64{500, gwei}, [2]uint64{500, gwei}, [2]uint64{500, gwei})
		return n
	}
	for _, in := range []chain.Intent{payNative(1e15), payAll(nativeAsset(1))} {
		n := node()
		d, err := prepare(t, n, bidOf(in, gas*100*gwei, 0, 1))
		require.NoError(t, err)
		tx := txOf(t, d)
		require.Equal(t, uint64(low), tx.FeeCap.Uint64(), "cheap while there is time")
		if in.Moves[0].All {
			require.Equal(t, tx.FeeCap, tx.TipCap, "a sweep still leaves nothing")
		} else {
			require.Equal(t, uint64(500), tx.TipCap.Uint64())
		}

		d, err = prepare(t, n, bidOf(in, gas*100*gwei, 1, 2))
		require.NoError(t, err)
		tx = txOf(t, d)
		require.Equal(t, uint64(low+(100*gwei-low)/2), tx.FeeCap.Uint64())
		if !in.Moves[0].All {
			require.Equal(t, uint64(500+(100*gwei-low)/2), tx.TipCap.Uint64(), "what is offered more is for the block's maker")
		}

		d, err = prepare(t, n, bidOf(in, gas*100*gwei, 7, 7))
		require.NoError(t, err)
		require.Equal(t, chain.NewAmount(gas*100*gwei), d.Fee, "all of the budget in the end")

		_, err = prepare(t, n, bidOf(in, gas*low-1, 0, 1))
		var high *chain.FeeTooHighError
		require.ErrorAs(t, err, &high)
		require.Equal(t, &chain.FeeTooHighError{Fee: chain.NewAmount(gas * low), Cap: chain.NewAmount(gas*low - 1)}, high)
	}
}

func TestPrepareBids_Legacy(t *testing.T) {
	n := newNode(t)
	n.base = nil
	n.answers["eth_feeHistory"] = historyOf([2]uint64{3 * gwei, 5 * gwei}, [2]uint64{3 * gwei, 5 * gwei}, [2]uint64{3 * gwei, 5 * gwei})
	d, err := prepare(t, n, bidOf(payNative(1), 21000*9*gwei, 1, 2))
	require.NoError(t, err)
	require.Equal(t, uint64(6*gwei), txOf(t, d).FeeCap.Uint64())
}

func TestPrepareRefusesBids(t *testing.T) {
	for name, in := range map[string]chain.Intent{
		"no budget": bidOf(payNative(1), 0, 0, 1),
		"of none":   bidOf(payNative(1), 1e18, 0, 0),
		"too much":  bidOf(payNative(1), 1e18, 2, 1),
	} {
		_, err := prepare(t, newNode(t), in)
		var format *chain.FormatError
		require.ErrorAs(t, err, &format, name)
		require.Equal(t, "intent's bid", format.What)
	}
}

// A replacement with a bid outbids the old one whatever the time, and never
// leaves the budget for it.
func TestThreat_F6_BidRaisesAnEighthWithinTheBudget(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := newNode(t)
		n.base = uint256.NewInt(rapid.Uint64Range(1, 100*gwei).Draw(r, "base"))
		n.balance = "1000000000000000000000"
		in := payNative(1000)
		if rapid.Bool().Draw(r, "all") {
			in = payAll(nativeAsset(1))
		}
		budget := 21000 * rapid.Uint64Range(gwei, 1000*gwei).Draw(r, "budget")
		in = bidOf(in, budget, rapid.Uint64Range(0, 1000).Draw(r, "part"), 1000)
		d, err := prepare(t, n, in)
		if err != nil {
			return // the market is above the budget already
		}
		s, err := n.writer().sign(t.Context(), d, &fakeSigner{key: aliceKey(t)})
		require.NoError(r, err)
		old := txOf(t, d)
		n.base = uint256.NewInt(rapid.Uint64Range(1, 100*gwei).Draw(r, "new base"))
		in.Bid.Part = rapid.Uint64Range(in.Bid.Part, 1000).Draw(r, "later")
		d, err = bump(t, n, in, s)
		if err != nil {
			var high *chain.FeeTooHighError
			require.ErrorAs(r, err, &high)
			require.Equal(r, in.MaxFee, high.Cap)
			require.True(r, in.MaxFee.Less(high.Fee))
			return
		}
		require.False(r, in.MaxFee.Less(d.Fee))
		tx := txOf(t, d)
		enough := func(now, before *uint256.Int) bool {
			return !new(uint256.Int).Mul(now, uint256.NewInt(1000)).Lt(new(uint256.Int).Mul(before, uint256.NewInt(1125)))
		}
		require.True(r, enough(&tx.TipCap, &old.TipCap))
		require.True(r, enough(&tx.FeeCap, &old.FeeCap))
	})
}

// TestBidOfTokenAsksForTheUsualGas: a cheap bid does not buy gas for itself alone.
func TestBidOfTokenAsksForTheUsualGas(t *testing.T) {
	n := newNode(t)
	n.gas, n.balance = 48_000, "0"
	const gas, usual = 60_000, 21 * gwei
	d, err := prepare(t, n, bidOf(payToken(1), gas*100*gwei, 0, 1))
	require.NoError(t, err)
	require.Equal(t, chain.NewAmount(gas*usual), d.Needs[0].Amount)

	d, err = prepare(t, n, bidOf(payToken(1), gas*15*gwei, 0, 1))
	require.NoError(t, err)
	require.Equal(t, chain.NewAmount(gas*15*gwei), d.Needs[0].Amount, "within the budget")

	n.balance = chain.NewAmount(gas * usual).String()
	d, err = prepare(t, n, bidOf(payToken(1), gas*100*gwei, 0, 1))
	require.NoError(t, err)
	require.Empty(t, d.Needs)
	require.Equal(t, chain.NewAmount(gas*12.25*gwei), d.Fee, "and offers no more than it has to")
}
