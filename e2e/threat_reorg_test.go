package e2e

import (
	"bytes"
	"io"
	"math/big"
	"net/http"
	"testing"

	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
	"github.com/bursar-go/bursar/e2e/node"
)

// A payment is in a block, the block is not deep enough, and another branch has a
// payment of the same nonce to somebody else.
func TestThreat_A1_DoubleSpendInAReorg(t *testing.T) {
	n := nodes.Simulated(t)
	x := openTill(t, n, tillOptions{})
	p := x.ask(500)
	tx := x.pay(p)
	x.mine(1)
	x.is(p, bursar.StatusDetected)
	n.Rewrite(1, x.payer.Sign(elsewhere(tx)))
	x.step()
	x.mine(4)
	x.is(p, bursar.StatusPending)
	row := x.row(p)
	require.Equal(t, bursar.TxFailed, row.Status)
	require.Equal(t, bursar.ReasonOrphaned, row.FailureReason)
	require.Equal(t, 1, x.count(p.ID, bursar.PaymentReverted))
	require.Zero(t, x.count(p.ID, bursar.PaymentConfirmed), "nothing had been confirmed")
	require.Empty(t, x.kinds(x.chain()), "no alarm for a shallow one")
	x.has(addressOf(p), p.Asset, 0)
	x.good()
}

// Confirmed money goes the same way: it is taken back by entries of its own, the
// host is told, and nothing is credited until the new branch is final.
func TestThreat_A2_DoubleSpendBelowTheConfirmations(t *testing.T) {
	n := nodes.Simulated(t)
	usd := newToken(t, n, "USD", tokens.Plain("USD", 6))
	x := openTill(t, n, tillOptions{assets: []chain.Asset{usd}, treasury: vault(t, n)})
	x.enrich(usd)
	p, q := x.askFor(usd, 500), x.askFor(usd, 300)
	tx := x.pay(p)
	x.mine(3)
	x.is(p, bursar.StatusConfirmed)
	n.Rewrite(3, x.payer.Sign(elsewhere(tx)))
	x.step()
	x.is(p, bursar.StatusPending)
	require.Equal(t, 1, x.count(p.ID, bursar.PaymentReverted))
	require.Equal(t, []bursar.Kind{bursar.ChainDeepReorg, bursar.ChainHalted}, x.kinds(x.chain()))
	require.Equal(t, "deep_reorg", x.health().Halted)
	x.pay(q)
	x.mine(2)
	x.is(q, bursar.StatusDetected)
	x.settle(q)
	require.Equal(t, 1, x.count(x.chain(), bursar.ChainResumed), "the new branch is final")
	x.is(p, bursar.StatusPending)
	x.has(x.treasury, usd, 300)
	x.good()
}

// The same transaction is in another block of the other branch, behind one that
// emits a log of the same token.
func TestThreat_A3_A4_MinedAgainBehindAnother(t *testing.T) {
	n := nodes.Simulated(t)
	usd := newToken(t, n, "USD", tokens.Plain("USD", 6))
	x := openTill(t, n, tillOptions{assets: []chain.Asset{usd}, treasury: vault(t, n)})
	x.enrich(usd)
	p := x.askFor(usd, 500)
	other := n.Account("other")
	tx := x.pay(p)
	x.mine(1)
	before, was := x.row(p), x.receipt(tx.Hash())
	contract := contractOf(usd)
	ahead := other.Sign(node.Tx{To: &contract, Data: tokens.Mint(other.Address, big.NewInt(1)), Tip: 40})
	n.Rewrite(1, ahead)
	now := x.receipt(tx.Hash())
	require.NotEqual(t, was.BlockHash, now.BlockHash)
	require.NotEqual(t, was.Logs[0].Index, now.Logs[0].Index, "its log has another place")
	require.NotEqual(t, was.TransactionIndex, now.TransactionIndex)
	x.step()
	after := x.row(p)
	require.Equal(t, before.ID, after.ID)
	require.Equal(t, string(after.BlockHash), now.BlockHash.Hex())
	require.Equal(t, 2, after.Inclusion)
	require.Equal(t, n.Head()-now.BlockNumber.Uint64()+1, x.payment(p).Confirmations, "counted from its new block")
	x.settle(p)
	require.Equal(t, 1, x.count(p.ID, bursar.PaymentConfirmed))
	require.Equal(t, p.Amount, x.payment(p).Confirmed)
	x.has(x.treasury, usd, 500)
	x.good()
}

// The branch that was left comes back.
func TestThreat_A6_ThereAndBack(t *testing.T) {
	n := nodes.Simulated(t)
	x := openTill(t, n, tillOptions{treasury: vault(t, n)})
	p := x.ask(5e17)
	tx := x.pay(p)
	x.mine(1)
	block := x.receipt(tx.Hash()).BlockHash
	for range 2 {
		n.Rewrite(int(n.Head()-x.receipt(tx.Hash()).BlockNumber.Uint64())+1, x.payer.Sign(elsewhere(tx)))
		x.step()
		x.is(p, bursar.StatusPending)
		n.SwitchTo(block)
		x.mine(1)
		row := x.row(p)
		require.True(t, row.Live())
		require.Equal(t, block.Hex(), string(row.BlockHash))
		x.good()
	}
	x.settle(p)
	require.Equal(t, p.Amount, x.payment(p).Confirmed)
	require.Equal(t, 2, x.count(p.ID, bursar.PaymentReverted))
	require.Equal(t, 1, x.count(p.ID, bursar.PaymentConfirmed))
	x.good()
}

// What waits in a pool is no money: the payer takes it back there.
func TestThreat_A7_ReplacedInThePool(t *testing.T) {
	n := nodes.Simulated(t)
	x := openTill(t, n, tillOptions{})
	p := x.ask(500)
	tx := x.pay(p)
	x.step()
	x.is(p, bursar.StatusPending)
	replacement := x.payer.Send(elsewhere(tx))
	x.mine(4)
	require.EqualValues(t, 1, x.receipt(replacement.Hash()).Status)
	x.is(p, bursar.StatusPending)
	require.Zero(t, x.count(p.ID, bursar.PaymentDetected))
	require.True(t, x.payment(p).Received.IsZero())
	x.has(addressOf(p), p.Asset, 0)
	x.good()
}

// The chain leaves the branch that the store knows while no gateway runs.
func TestThreat_A9_ReorgWhileAway(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *node.Network{"simulated": nodes.Simulated, "anvil": nodes.Anvil} {
		t.Run(name, func(t *testing.T) {
			n := open(t)
			x := openTill(t, n, tillOptions{})
			p, q := x.ask(500), x.ask(700)
			tx := x.pay(p)
			x.mine(1)
			from := n.Head()
			second := x.pay(q)
			x.mine(2)
			x.is(p, bursar.StatusConfirmed)
			x.stop()
			n.Rewrite(int(n.Head()-from)+1, x.payer.Sign(elsewhere(tx)))
			n.Mine(2)
			x.start()
			require.Contains(t, x.kinds(x.chain()), bursar.ChainDeepReorg)
			x.is(p, bursar.StatusPending)
			require.Equal(t, x.receipt(second.Hash()).BlockHash.Hex(), string(x.row(q).BlockHash))
			x.mine(8)
			require.Empty(t, x.health().Halted)
			x.is(q, bursar.StatusConfirmed)
			x.good()
		})
	}
}

// Finality that stands still is waited for, however deep the payment is: the
// simulated node has a final block in 32, anvil's is 64 blocks behind.
func TestThreat_A11_FinalityStandsStill(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *node.Network{"simulated": nodes.Simulated, "anvil": nodes.Anvil} {
		t.Run(name, func(t *testing.T) {
			n := open(t)
			for name == "simulated" && n.Head()%32 > 2 {
				n.Mine(1)
			}
			x := openTill(t, n, tillOptions{treasury: vault(t, n), tag: "finalized"})
			p := x.ask(5e17)
			tx := x.pay(p)
			x.mine(8)
			block := x.receipt(tx.Hash()).BlockNumber.Uint64()
			for finalOf(t, n) < block {
				require.False(t, x.payment(p).Final)
				x.is(p, bursar.StatusConfirmed)
				x.mine(1)
			}
			require.GreaterOrEqual(t, n.Head(), block+6, "by depth it had been final")
			require.True(t, x.payment(p).Final)
			x.has(x.treasury, p.Asset, 0)
			for x.payment(p).Status != bursar.StatusSettled {
				x.mine(32)
			}
			x.good()
		})
	}
}

// Where a node does not tell what is final, the depth of the preset decides, which
// is more than the confirmations.
func TestThreat_A11_FinalityIsMissing(t *testing.T) {
	n := nodes.Simulated(t)
	lacks := asks(func(body []byte) []byte { return bytes.ReplaceAll(body, []byte("finalized"), []byte("0xffffffff")) })
	x := openTill(t, n, tillOptions{treasury: vault(t, n), tag: "finalized", over: lacks})
	p := x.ask(5e17)
	tx := x.pay(p)
	x.mine(1)
	block := x.receipt(tx.Hash()).BlockNumber.Uint64()
	for depth := uint64(1); depth <= x.client.Info().FinalityDepth; depth++ {
		require.Equal(t, depth == x.client.Info().FinalityDepth, x.payment(p).Final, "at depth %d", depth)
		require.Equal(t, block+depth-1, n.Head())
		x.has(x.treasury, p.Asset, 0)
		x.mine(1)
	}
	x.settle(p)
	x.good()
}

// asks changes what a node is asked.
type asks func([]byte) []byte

func (a asks) RoundTrip(q *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	q, body = q.Clone(q.Context()), a(body)
	q.Body, q.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return http.DefaultTransport.RoundTrip(q)
}

func finalOf(t *testing.T, n *node.Network) uint64 {
	t.Helper()
	final, err := n.Eth.HeaderByNumber(t.Context(), big.NewInt(int64(rpc.FinalizedBlockNumber)))
	require.NoError(t, err)
	return final.Number.Uint64()
}
