package e2e

import (
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
)

// transferAt is what a transfer of coin costs at a price of gas, with room.
func transferAt(gwei uint64) chain.Amount { return chain.NewAmount(gwei * 21_000 * 1_000_000_000 * 2) }

// price has the next block of an anvil cost so much for a unit of gas.
func (x *till) price(gwei uint64) {
	x.t.Helper()
	require.NoError(x.t, x.n.RPC.CallContext(x.t.Context(), nil, "anvil_setNextBlockBaseFeePerGas", hexutil.Uint64(gwei*1_000_000_000)))
	x.mine(1)
}

// Blocks are dearer than a sweep offers. An operator has it replaced, at the price of the
// day, and it is mined once.
func TestThreat_F6_AStuckSweepIsReplacedAnvil(t *testing.T) {
	n := nodes.Anvil(t)
	x := openTill(t, n, tillOptions{treasury: vault(t, n)})
	p := x.ask(5_000_000_000_000_000_000)
	x.pay(p)
	x.untilSwept()
	for range 3 {
		x.price(200)
	}
	got, attempts := x.sweep()
	require.Equal(t, bursar.PayoutBroadcast, got.Status, "it is stuck")
	require.Len(t, attempts, 1)
	_, err := x.gw.BumpPayout(t.Context(), got.ID, chain.Amount{})
	require.NoError(t, err)
	x.step()
	_, attempts = x.sweep()
	require.Len(t, attempts, 2)
	require.Equal(t, attempts[0].Locks, attempts[1].Locks)
	x.price(200)
	got, _ = x.sweep()
	require.Equal(t, bursar.PayoutConfirming, got.Status)
	require.Equal(t, attempts[1].TxID, got.TxID)
	x.settle(p)
	x.price(1) // other tests use the node too
	x.good()
}

// While gas is dearer than a sweep may cost it waits, and says for what; when it is cheap
// again it goes by itself.
func TestThreat_F8_AFeeSpikeDefersASweepAnvil(t *testing.T) {
	n := nodes.Anvil(t)
	x := openTill(t, n, tillOptions{treasury: vault(t, n), edit: func(c *bursar.Config) { c.Chains[0].MaxFee = transferAt(20) }})
	p := x.ask(5_000_000_000_000_000_000)
	x.pay(p)
	x.mine(1)
	for range 10 {
		x.price(200)
	}
	x.is(p, bursar.StatusConfirmed)
	got, attempts := x.sweep()
	require.Equal(t, bursar.PayoutPlanned, got.Status)
	require.Equal(t, "FEE_TOO_HIGH", got.FailureCode)
	require.Empty(t, attempts)
	require.Equal(t, 1, x.count(got.ID, bursar.PayoutDeferred), "told once")

	x.price(1)
	x.wait(time.Hour)
	x.settle(p)
	got, attempts = x.sweep()
	require.Len(t, attempts, 1)
	require.False(t, transferAt(20).Less(got.Fee))
	x.good()
}

// A sweep that a reorg takes from the chain comes back as the same bytes, and moves what
// it moves once: of coin, and of tokens at several addresses.
func TestThreat_F14_ASweepLeavesTheChain(t *testing.T) {
	n := nodes.Anvil(t)
	for _, together := range []bool{false, true} {
		asset := newToken(t, n, "USD", tokens.Plain("USD", 6))
		x := openTill(t, n, tillOptions{assets: []chain.Asset{asset}, treasury: vault(t, n), together: together, edit: func(c *bursar.Config) {
			if together {
				c.Chains[0].Gather = time.Hour
			}
		}})
		x.enrich(asset)
		pay := func() bursar.Payment {
			if together {
				return x.askFor(asset, 5_000_000)
			}
			return x.ask(5_000_000_000_000_000_000)
		}
		all := []bursar.Payment{pay()}
		if together {
			all = append(all, pay())
		}
		for _, p := range all {
			x.pay(p)
			n.Mine(1)
		}
		if together {
			x.mine(8)
			x.wait(2 * time.Hour)
		}
		x.untilSwept()
		x.mine(1)
		before, _ := x.sweep()
		require.Equal(t, bursar.PayoutConfirming, before.Status)
		require.Equal(t, n.Head(), before.Block)
		n.Reorg(1)
		x.step()
		for _, p := range all {
			x.settle(p)
		}
		after, attempts := x.sweep()
		require.Len(t, attempts, 1, "nothing new was signed")
		require.NotEqual(t, before.BlockHash, after.BlockHash)
		require.Equal(t, before.TxID, after.TxID)
		require.Equal(t, 1, x.count(after.ID, bursar.PayoutRevertedEvent))
		require.Equal(t, after.Moved.Big(), x.held(x.treasury, after.Asset))
		x.good()
	}
}
