package evm

import (
	"testing"

	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
)

func bump(t testing.TB, n *figures, in chain.Intent, old chain.Signed) (chain.Draft, error) {
	return n.writer().bump(t.Context(), in, old)
}

// Pools compare new*100 with old*112.5: an eighth, and never a unit less.
func TestThreat_C12_BumpRaisesBothFees(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := newNode(t)
		n.base = uint256.NewInt(rapid.Uint64Range(1, 1000*gwei).Draw(r, "base"))
		n.tip = rapid.Uint64Range(1, 20*gwei).Draw(r, "tip")
		n.balance = "1000000000000000000000"
		in := payNative(1000)
		if rapid.Bool().Draw(r, "all") {
			in = payAll(nativeAsset(1))
		}
		s := sent(t, n, in)
		old, _, err := decodeSigned(s.Raw)
		require.NoError(r, err)
		n.base = uint256.NewInt(rapid.Uint64Range(1, 1000*gwei).Draw(r, "new base"))
		d, err := bump(t, n, in, s)
		require.NoError(r, err)
		tx := txOf(t, d)
		require.True(r, !in.Moves[0].All || tx.TipCap == tx.FeeCap, "a sweep still leaves nothing")
		enough := func(now, before *uint256.Int) bool {
			left := new(uint256.Int).Mul(now, uint256.NewInt(1000))
			return !left.Lt(new(uint256.Int).Mul(before, uint256.NewInt(1125)))
		}
		require.True(r, enough(&tx.TipCap, &old.TipCap))
		require.True(r, enough(&tx.FeeCap, &old.FeeCap))
		q, err := n.writer().market(t.Context())
		require.NoError(r, err)
		floor := q.floor()
		require.False(r, tx.FeeCap.Lt(&floor), "and what the market wants")
		require.Equal(r, old.Nonce, tx.Nonce)
		require.Equal(r, s.Locks, d.Locks)
	})
}

func TestBumpFigures(t *testing.T) {
	n := newNode(t)
	n.tip = 9
	n.base = uint256.NewInt(0)
	s := sent(t, n, payNative(1000))
	d, err := bump(t, n, payNative(1000), s)
	require.NoError(t, err)
	require.Equal(t, uint64(11), txOf(t, d).TipCap.Uint64(), "9 and an eighth, rounded up")
	require.Equal(t, uint64(11), txOf(t, d).FeeCap.Uint64())
	require.Equal(t, payNative(1000).Moves, d.Intent.Moves)
	_, err = n.writer().sign(t.Context(), d, &fakeSigner{key: aliceKey(t)})
	require.NoError(t, err)
}

func TestBumpOfSweepGivesUpNoMore(t *testing.T) {
	n := newNode(t)
	in := payAll(nativeAsset(1))
	d, err := prepare(t, n, in)
	require.NoError(t, err)
	s := sent(t, n, in)
	n.balance = "5000000000000000000" // four more arrived
	for _, in := range []chain.Intent{in, d.Intent} {
		d, err := bump(t, n, in, s)
		require.NoError(t, err)
		sum, err := d.Fee.Add(d.Intent.Moves[0].Amount)
		require.NoError(t, err)
		require.Equal(t, "1000000000000000000", sum.String())
	}

	token := payAll(tokenAsset(1, usdc))
	s = sent(t, n, token)
	n.units = 500_000_000
	d, err = bump(t, n, token, s)
	require.NoError(t, err)
	require.Equal(t, chain.NewAmount(100_000_000), d.Intent.Moves[0].Amount)
}

func TestBumpWithinMaxFee(t *testing.T) {
	n := newNode(t)
	s := sent(t, n, payNative(1000))
	in := payNative(1000)
	least := uint64(21000) * (21*gwei + 21*gwei/8)
	in.MaxFee = chain.NewAmount(least)
	d, err := bump(t, n, in, s)
	require.NoError(t, err)
	require.Equal(t, in.MaxFee, d.Fee)
	in.MaxFee = chain.NewAmount(least - 1)
	_, err = bump(t, n, in, s)
	var high *chain.FeeTooHighError
	require.ErrorAs(t, err, &high)
	require.Equal(t, &chain.FeeTooHighError{Fee: chain.NewAmount(least), Cap: in.MaxFee}, high)
}

func TestBumpToCancel(t *testing.T) {
	n := newNode(t)
	s := sent(t, n, payToken(1000))
	d, err := bump(t, n, cancellation(), s)
	require.NoError(t, err)
	require.Equal(t, s.Locks, d.Locks)
	require.Equal(t, rawAddress(t, alice), txOf(t, d).To)
}

func TestBumpLegacy(t *testing.T) {
	n := newNode(t)
	n.base, n.tip = nil, 1000
	s := sent(t, n, payNative(1000))
	d, err := bump(t, n, payNative(1000), s)
	require.NoError(t, err)
	tx := txOf(t, d)
	require.True(t, tx.Legacy)
	require.Equal(t, uint64(1125), tx.FeeCap.Uint64())
}

func TestBumpRefuses(t *testing.T) {
	n := newNode(t)
	s := sent(t, n, payNative(1000))
	cut, renamed := s, s
	cut.Raw = s.Raw[:50]
	renamed.ID = chain.TxID(hexWord(1))
	bobs := payNative(1000)
	bobs.Moves[0].From.Address, bobs.Moves[0].To = bob, alice
	sweep := payAll(nativeAsset(1))
	swept := sent(t, n, sweep)
	sweep.Moves[0].To = usdc
	for name, c := range map[string]struct {
		in  chain.Intent
		old chain.Signed
	}{
		"no transaction": {payNative(1000), cut},
		"other id":       {payNative(1000), renamed},
		"other account":  {bobs, s},
		"other receiver": {sweep, swept},
		"other asset":    {payAll(tokenAsset(1, usdc)), swept},
	} {
		_, err := bump(t, n, c.in, c.old)
		requireFormat(t, err, "signed transaction")
		_ = name
	}
	_, err := bump(t, n, chain.Intent{}, s)
	requireFormat(t, err, "intent's moves")
	n.count = 6
	_, err = bump(t, n, payNative(1000), s)
	require.ErrorIs(t, err, chain.ErrLockSpent)
}
