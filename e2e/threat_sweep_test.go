package e2e

import (
	"math/big"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
	"github.com/bursar-go/bursar/e2e/node"
)

// transferAt is what a transfer of coin costs at a price of gas, with room.
func transferAt(gwei uint64) chain.Amount { return chain.NewAmount(gwei * 21_000 * 1_000_000_000 * 2) }

// price has the next block of an anvil cost so much for a unit of gas.
func (x *till) price(gwei uint64) {
	x.t.Helper()
	require.NoError(x.t, x.n.RPC.CallContext(x.t.Context(), nil, "anvil_setNextBlockBaseFeePerGas", hexutil.Uint64(gwei*1_000_000_000)))
	x.mine(1)
}

func TestThreat_F6_AStuckSweepIsReplacedAnvil(t *testing.T) { stuck(t, nodes.Anvil) }
func TestThreat_F6_AStuckSweepIsReplacedGeth(t *testing.T)  { stuck(t, nodes.GethOnDemand) }

// stuck: blocks are dearer than a transaction of ours offers, so that it stays in the
// node's pool: a sweep of coin, or what pays for the gas of a token's. It is replaced at
// the price of the day, under its nonce, by itself after a while and at once where an
// operator wants it. One of the two is mined.
func stuck(t *testing.T, open func(testing.TB) *node.Network) {
	t.Run("Coin", func(t *testing.T) {
		n := open(t)
		x := openTill(t, n, tillOptions{treasury: vault(t, n)})
		x.outbid(x.ask(5_000_000_000_000_000_000), bursar.PayoutSweep, x.byItself)
	})
	t.Run("CoinByAnOperator", func(t *testing.T) {
		n := open(t)
		x := openTill(t, n, tillOptions{treasury: vault(t, n)})
		x.outbid(x.ask(5_000_000_000_000_000_000), bursar.PayoutSweep, func(p bursar.Payout) {
			_, err := x.gw.BumpPayout(t.Context(), p.ID, chain.Amount{})
			require.NoError(t, err)
			x.step()
		})
	})
	t.Run("GasForAToken", func(t *testing.T) {
		n := open(t)
		asset := newToken(t, n, "USD", tokens.Plain("USD", 6))
		x := openTill(t, n, tillOptions{treasury: vault(t, n), assets: []chain.Asset{asset}})
		x.enrich(asset)
		x.outbid(x.askFor(asset, 5_000_000), bursar.PayoutTopUp, x.byItself)
	})
}

// byItself waits until a replacement is due, and checks that none is made before.
func (x *till) byItself(p bursar.Payout) {
	x.t.Helper()
	x.wait(4 * time.Minute)
	x.tried(p, 1)
	x.wait(2 * time.Minute)
}

// outbid has a payment paid and the payout of a kind that follows get stuck and replaced.
func (x *till) outbid(p bursar.Payment, kind bursar.PayoutKind, replace func(bursar.Payout)) {
	x.t.Helper()
	x.pay(p)
	x.untilSigned(kind)
	payout, attempts := x.payout(kind)
	old := x.decoded(attempts[0])
	x.waits(old)
	x.crowdOut(old)
	x.mine(3) // they have room, and are still too dear
	now, _ := x.tried(payout, 1)
	require.Equal(x.t, bursar.PayoutBroadcast, now.Status, "it is stuck")
	if x.n.Name != "anvil" { // which forgets what offers too little for a block
		x.waits(old)
	}

	replace(payout)
	_, attempts = x.tried(payout, 2)
	dear := x.decoded(attempts[1])
	require.Equal(x.t, old.Nonce(), dear.Nonce())
	require.Equal(x.t, attempts[0].Locks, attempts[1].Locks)
	x.waits(dear)

	x.mine(1)
	now, _ = x.tried(payout, 2)
	require.Equal(x.t, bursar.PayoutConfirming, now.Status)
	require.Equal(x.t, attempts[1].TxID, now.TxID)
	require.Equal(x.t, types.ReceiptStatusSuccessful, x.receipt(dear.Hash()).Status)
	x.settle(p)
	now, _ = x.tried(payout, 2)
	require.Equal(x.t, bursar.PayoutConfirmed, now.Status)
	_, _, err := x.n.Eth.TransactionByHash(x.t.Context(), old.Hash())
	require.ErrorIs(x.t, err, ethereum.NotFound, "its nonce is used")
	sweep, _ := x.sweep()
	require.False(x.t, sweep.Moved.IsZero())
	require.Equal(x.t, sweep.Moved.Big(), x.held(x.treasury, p.Asset), "once")
	require.Zero(x.t, x.held(addressOf(p), p.Asset).Sign())
	x.good()
	x.calm()
}

// tried is a payout as it is now, which so many attempts were made at.
func (x *till) tried(p bursar.Payout, times int) (bursar.Payout, []bursar.Attempt) {
	x.t.Helper()
	now, attempts, err := x.gw.Payout(x.t.Context(), p.ID)
	require.NoError(x.t, err)
	require.Len(x.t, attempts, times)
	return now, attempts
}

// decoded is the transaction of an attempt.
func (x *till) decoded(a bursar.Attempt) *types.Transaction {
	x.t.Helper()
	tx := new(types.Transaction)
	require.NoError(x.t, tx.UnmarshalBinary(a.Raw))
	return tx
}

// waits checks that a transaction is in the node's pool and in no block.
func (x *till) waits(tx *types.Transaction) {
	x.t.Helper()
	_, pending, err := x.n.Eth.TransactionByHash(x.t.Context(), tx.Hash())
	require.NoError(x.t, err)
	require.True(x.t, pending)
}

// crowdOut makes blocks dearer than twice what a transaction offers.
func (x *till) crowdOut(tx *types.Transaction) {
	x.t.Helper()
	twice := new(big.Int).Lsh(tx.GasFeeCap(), 1)
	if x.n.Name == "anvil" {
		require.NoError(x.t, x.n.RPC.CallContext(x.t.Context(), nil, "anvil_setNextBlockBaseFeePerGas", (*hexutil.Big)(twice)))
		x.n.Mine(1)
	} else {
		x.n.Crowd(twice)
	}
	x.step()
}

// calm makes blocks in which gas costs what it usually does, since other tests use the
// node too.
func (x *till) calm() {
	x.t.Helper()
	for range 20 {
		x.n.Pay(x.n.Stranger(), new(big.Int))
		x.n.Mine(1)
	}
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
