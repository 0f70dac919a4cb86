package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
	"github.com/bursar-go/bursar/e2e/node"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/store/memory"
)

func TestMempoolAnvil(t *testing.T) { streams(t, nodes.Anvil(t)) }
func TestMempoolGeth(t *testing.T)  { streams(t, nodes.Geth(t)) }

func pushing(t *testing.T, n *node.Network, listed ...chain.Asset) *evm.Client {
	t.Helper()
	c, err := evm.New(evm.Config{Preset: evm.Local(n.ChainID), URL: n.URL, WebSocket: "ws" + strings.TrimPrefix(n.URL, "http"), Tokens: listed})
	require.NoError(t, err)
	return c
}

// streams: a node tells of pending transactions, in full or by hash, and the sight
// names the transfer as its block does.
func streams(t *testing.T, n *node.Network) {
	usdc := deploy(t, n).tokens[chaintest.TokenPlain]
	client := pushing(t, n, usdc)
	to := common.HexToAddress("0x00000000000000000000000000000000005ee123")
	watch := chaintest.NewWatch(client.Codec(), []chain.Asset{usdc}, chain.Address(to.Hex()))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, ended := make(chan chain.Sight, 1000), make(chan error, 1)
	go func() { ended <- client.WatchMempool(ctx, watch, out) }()
	next := func(send func() common.Hash) (chain.Sight, chain.TxID) {
		// What was sent before the subscription is not told; then it is sent again.
		for {
			sent := chain.TxID(send().Hex())
			late := time.NewTimer(3 * time.Second)
			for waits := true; waits; {
				select {
				case s := <-out:
					if s.ID.Tx == sent {
						return s, sent
					}
				case err := <-ended:
					require.NoError(t, err, "it ended")
				case <-late.C:
					waits = false
				}
			}
		}
	}
	coin, paid := next(func() common.Hash { return n.Pay(to, plenty().SetUint64(7)) })
	token, called := next(func() common.Hash {
		return n.Call(common.HexToAddress(string(usdc.Contract)), tokens.Transfer(to, plenty().SetUint64(8)))
	})
	if !n.MinesAtOnce {
		fates, err := client.Fates(ctx, "", chain.Waiting{ID: paid, Lock: coin.Lock}, chain.Waiting{ID: chain.TxID("0x" + strings.Repeat("0", 64))})
		require.NoError(t, err)
		require.Equal(t, []chain.Fate{{State: chain.TxPending}, {State: chain.TxUnknown}}, fates)
	}
	n.Mine(1)
	for id, s := range map[chain.TxID]chain.Sight{paid: coin, called: token} {
		status, err := client.Status(ctx, id)
		require.NoError(t, err)
		require.Len(t, status[0].Transfers, 1)
		mined := status[0].Transfers[0]
		require.Equal(t, chain.Sight{ID: mined.ID, Asset: mined.Asset, Amount: mined.Amount, From: mined.From, To: mined.To, Lock: status[0].Locks[0]}, s)
	}
	// Somebody else of that account used the nonce: the one that is mined is it.
	head, err := client.Head(ctx)
	require.NoError(t, err)
	gone := chain.Waiting{ID: chain.TxID("0x" + strings.Repeat("1", 64)), Lock: coin.Lock}
	fates, err := client.Fates(ctx, head.Latest.Hash, gone)
	require.NoError(t, err)
	require.Equal(t, []chain.Fate{{State: chain.TxUnknown, Replaced: true, By: paid}}, fates)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestThreat_B23_APaymentIsSeenPendingAnvil(t *testing.T) { seenPending(t, nodes.Anvil(t)) }
func TestThreat_B23_APaymentIsSeenPendingGeth(t *testing.T)  { seenPending(t, nodes.Geth(t)) }

// seenPending runs a whole gateway: a payment is seen, moves nothing, and the row of
// the sight becomes that of the money. A node that mines at once may be faster than
// its own stream.
func seenPending(t *testing.T, n *node.Network) {
	client := pushing(t, n)
	wallet, err := hdwallet.FromMnemonic("abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about", fmt.Sprint("as of ", n.Head()))
	require.NoError(t, err)
	gw, err := bursar.New(bursar.Config{
		Store: memory.New(), Wallet: wallet, Lease: time.Second,
		Chains: []bursar.Chain{{Client: client, Sweep: bursar.SweepOff, Mempool: true, Poll: 100 * time.Millisecond}},
	})
	require.NoError(t, err)
	require.NoError(t, gw.Start(t.Context()))
	t.Cleanup(func() { _ = gw.Stop(context.Background()) })
	var p bursar.Payment
	require.Eventually(t, func() bool {
		p, err = gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.NewFromInt(1)})
		return err == nil
	}, patience, tick, "%v", err)
	rows := func() []bursar.Transaction {
		page, err := gw.Transactions(t.Context(), bursar.TransactionFilter{PaymentID: p.ID}, bursar.MaxPage, "")
		require.NoError(t, err)
		return page.Items
	}
	// The first may be from before the subscription.
	ticker, sent := time.NewTicker(20*time.Millisecond), time.Time{}
	defer ticker.Stop()
	for began := time.Now(); len(rows()) == 0; <-ticker.C {
		require.Less(t, time.Since(began), time.Minute, "nothing is seen")
		if time.Since(sent) > 3*time.Second {
			sent = time.Now()
			n.Pay(common.HexToAddress(string(p.Address)), p.Amount.Big())
		}
	}
	if !n.MinesAtOnce {
		row := rows()[0]
		require.Equal(t, bursar.TxPending, row.Status)
		got, err := gw.Payment(t.Context(), p.ID)
		require.NoError(t, err)
		require.Equal(t, bursar.StatusPending, got.Status)
		require.False(t, got.SeenAt.IsZero())
	}
	seen := rows()[0]
	n.Mine(1)
	require.Eventually(t, func() bool {
		for _, row := range rows() {
			if row.ID == seen.ID && row.Live() {
				return true
			}
		}
		return false
	}, time.Minute, 50*time.Millisecond)
	report, err := gw.Verify(t.Context())
	require.NoError(t, err)
	require.Empty(t, report.Findings)
}
