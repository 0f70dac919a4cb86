package e2e

import (
	"testing"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// TestThreat_F6_AStuckSweepIsReplacedAnvil: blocks are dearer than a sweep offers. An
// operator has it replaced, at the price of the day, and it is mined once.
func TestThreat_F6_AStuckSweepIsReplacedAnvil(t *testing.T) {
	n := nodes.Anvil(t)
	x := openTill(t, n, tillOptions{treasury: vault(t, n)})
	p := x.ask(5_000_000_000_000_000_000)
	x.pay(p)
	cost := func(gwei uint64) {
		require.NoError(t, n.RPC.CallContext(t.Context(), nil, "anvil_setNextBlockBaseFeePerGas", hexutil.Uint64(gwei*1_000_000_000)))
		n.Mine(1)
		x.step()
	}
	dear := func() { cost(200) }
	sweep := func() (got bursar.Payout, attempts []bursar.Attempt) {
		rows, err := x.gw.Payouts(t.Context(), bursar.PayoutQuery{Kinds: []bursar.PayoutKind{bursar.PayoutSweep}})
		require.NoError(t, err)
		if len(rows) > 0 {
			got, attempts, err = x.gw.Payout(t.Context(), rows[0].ID)
			require.NoError(t, err)
		}
		return got, attempts
	}
	for range 40 {
		if got, _ := sweep(); got.Status == bursar.PayoutBroadcast {
			break
		}
		x.mine(1)
	}
	for range 3 {
		dear()
	}
	got, attempts := sweep()
	require.Equal(t, bursar.PayoutBroadcast, got.Status, "it is stuck")
	require.Len(t, attempts, 1)
	_, err := x.gw.BumpPayout(t.Context(), got.ID, chain.Amount{})
	require.NoError(t, err)
	x.step()
	_, attempts = sweep()
	require.Len(t, attempts, 2)
	require.Equal(t, attempts[0].Locks, attempts[1].Locks)
	dear()
	got, _ = sweep()
	require.Equal(t, bursar.PayoutConfirming, got.Status)
	require.Equal(t, attempts[1].TxID, got.TxID)
	x.settle(p)
	cost(1) // other tests use the node too
	x.good()
}
