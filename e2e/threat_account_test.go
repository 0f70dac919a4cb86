package e2e

import (
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
	"github.com/bursar-go/bursar/e2e/node"
)

// A validator's withdrawal to the address of a payment pays for nothing.
func TestThreat_B13_WithdrawalGeth(t *testing.T) {
	n := nodes.Geth(t)
	x := openTill(t, n, tillOptions{})
	p := x.ask(7e9)
	require.NoError(t, n.RPC.CallContext(t.Context(), nil, "dev_addWithdrawal", map[string]any{
		"index": hexutil.Uint64(n.Head()), "validatorIndex": hexutil.Uint64(3), "address": addressOf(p), "amount": hexutil.Uint64(7), // gwei
	}))
	require.Eventually(t, func() bool { return x.held(addressOf(p), p.Asset).Sign() > 0 }, patience, tick)
	x.mine(3)
	row := x.row(p)
	require.Equal(t, chain.ViaProtocol, row.Via)
	require.True(t, row.Suspense)
	require.Equal(t, chain.NewAmount(7e9), row.Amount)
	require.Equal(t, "w:", row.Transfer.Ordinal[:2])
	require.Equal(t, int64(7e9), x.suspense(p.Address, p.Asset))
	x.is(p, bursar.StatusPending)
	require.Equal(t, 1, x.count(p.ID, bursar.AlertUnclaimedCredit))
	x.good()
}

// Gas for a sweep and the sweep itself are no deposits, nor is what somebody with
// a key of ours moves from one of our addresses to another one; that is told as a
// key in wrong hands.
func TestThreat_B16_FromOurOwnToOurOwn(t *testing.T) {
	n := nodes.Simulated(t)
	usd := newToken(t, n, "USD", tokens.Plain("USD", 6))
	x := openTill(t, n, tillOptions{assets: []chain.Asset{usd}, treasury: vault(t, n)})
	x.enrich(usd)
	p := x.askFor(usd, 500)
	x.pay(p)
	x.settle(p)
	x.mine(8)
	require.Equal(t, usd.ID, x.row(p).Asset, "the gas that its address was given is none of its money")
	gas, err := x.gw.Transactions(t.Context(), bursar.TransactionFilter{Type: bursar.TypeInternal}, bursar.MaxPage, "")
	require.NoError(t, err)
	purposes := map[chain.Purpose]int{}
	for _, row := range gas.Items {
		purposes[row.Purpose]++
	}
	require.Positive(t, purposes[chain.PurposeTopUp])
	require.Positive(t, purposes[chain.PurposeCollection])

	rich, poor := x.ask(5e17), x.ask(1e17)
	own, err := x.gw.Address(t.Context(), string(rich.Address))
	require.NoError(t, err)
	thief := n.Unlocked(x.stolen(own))
	x.pay(rich)
	x.mine(2)
	x.is(rich, bursar.StatusConfirmed)
	thief.Send(node.Tx{To: bill(poor).To, Value: poor.Amount.Big(), Gas: 21_000})
	x.mine(3)
	x.has(addressOf(poor), poor.Asset, 1e17)
	x.untouched(poor)
	require.Equal(t, 1, x.count(x.chain(), bursar.AlertKeyCompromised))
	x.good()
}

// Whoever pays, and whoever is paid, may have code: a payer that is a contract or
// runs one (EIP-7702), a treasury whose code costs gas, and an address of ours that
// runs code.
func TestThreat_B21_AccountsWithCode(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *node.Network{"simulated": nodes.Simulated, "anvil": nodes.Anvil} {
		t.Run(name, func(t *testing.T) {
			n := open(t)
			usd := newToken(t, n, "USD", tokens.Plain("USD", 6))
			counts := n.Deploy(creation(countsPayments))
			x := openTill(t, n, tillOptions{assets: []chain.Asset{usd}, treasury: chain.Address(counts.Hex())})
			forwards := n.Deploy(creation(pays))
			delegate := func(a *node.Account, by *node.Account, to common.Address) {
				tx := by.Send(node.Tx{To: &by.Address, Delegate: []types.SetCodeAuthorization{a.Authorize(to)}})
				x.mine(1)
				x.ended(types.ReceiptStatusSuccessful, tx)
				code, err := n.Eth.CodeAt(t.Context(), a.Address, nil)
				require.NoError(t, err)
				require.Len(t, code, 23, "it runs another one's code")
			}
			smart := n.Account("smart")
			delegate(smart, x.payer, forwards)
			n.Call(contractOf(usd), tokens.Mint(smart.Address, plenty()))
			x.mine(1)

			// By itself, in a token and in coin; and through its code, called by another.
			token, coin, inside, odd := x.askFor(usd, 500), x.ask(3e17), x.ask(2e17), x.ask(1e17)
			smart.Send(bill(token))
			x.mine(1)
			smart.Send(bill(coin))
			x.payer.Send(node.Tx{To: &smart.Address, Value: inside.Amount.Big(), Data: input(inside.Address)})
			x.mine(1)

			// The last payment's address runs code as well.
			own, err := x.gw.Address(t.Context(), string(odd.Address))
			require.NoError(t, err)
			delegate(n.Unlocked(x.stolen(own)), x.payer, counts)
			x.pay(odd)
			for _, p := range []bursar.Payment{token, coin, inside, odd} {
				x.settle(p)
			}
			require.Equal(t, uint64(3), x.stored(counts), "of the coin, three came")
			x.has(counts, usd, 500)
			sweeps, err := x.gw.Payouts(t.Context(), bursar.PayoutQuery{Kinds: []bursar.PayoutKind{bursar.PayoutSweep}, Statuses: []bursar.PayoutStatus{bursar.PayoutConfirmed}})
			require.NoError(t, err)
			require.Len(t, sweeps, 4)
			for _, sweep := range sweeps {
				require.Greater(t, sweep.GasUsed, uint64(21_000), "its gas was estimated")
			}
			x.good()
			report, err := bursar.Preflight(t.Context(), x.cfg)
			require.NoError(t, err)
			require.Contains(t, report.String(), "a contract", "the operator is told what the treasury is")
		})
	}
}

// countsPayments adds one to its first word of storage for each call.
var countsPayments = []byte{0x5f, 0x54, 0x60, 0x01, 0x01, 0x5f, 0x55, 0x00}

// stored is the first word of a contract's storage.
func (x *till) stored(at common.Address) uint64 {
	x.t.Helper()
	word, err := x.n.Eth.StorageAt(x.t.Context(), at, common.Hash{}, nil)
	require.NoError(x.t, err)
	return new(big.Int).SetBytes(word).Uint64()
}
