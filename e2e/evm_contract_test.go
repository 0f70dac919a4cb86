package e2e

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/e2e/node"
)

// paysBoth pays half of its value to each of the two addresses in its input.
var paysBoth = []byte{
	0x5f, 0x5f, 0x5f, 0x5f, 0x34, 0x60, 0x01, 0x1c, 0x5f, 0x35, 0x5a, 0xf1, 0x50,
	0x5f, 0x5f, 0x5f, 0x5f, 0x34, 0x60, 0x01, 0x1c, 0x60, 0x20, 0x35, 0x5a, 0xf1, 0x00,
}

// dull is a client that cannot trace.
type dull struct{ *evm.Client }

func (d dull) As(target any) bool {
	if to, ok := target.(*chain.BalanceReader); ok {
		*to = d.Client
		return true
	}
	return false
}

// paid checks that one transfer has paid a payment.
func (x *till) paid(p bursar.Payment, via chain.Via, hash common.Hash) {
	x.t.Helper()
	rows, status := x.rows(p)
	require.Len(x.t, rows, 1)
	require.Equal(x.t, bursar.StatusConfirmed, status)
	require.Equal(x.t, via, rows[0].Via)
	require.Equal(x.t, p.Amount, rows[0].Amount)
	if via == chain.ViaContract {
		require.Equal(x.t, hash.Hex(), string(rows[0].Transfer.Tx))
	} else {
		require.Empty(x.t, rows[0].Transfer.Tx)
		require.Equal(x.t, fmt.Sprintf("b:%s:%d-%d", p.Address, rows[0].Block, rows[0].Block), rows[0].Transfer.Ordinal)
	}
}

func TestThreat_B12_ContractsPayAnvil(t *testing.T) { contractsPay(t, nodes.Anvil) }
func TestThreat_B12_ContractsPayGeth(t *testing.T)  { contractsPay(t, nodes.Geth) }

// contractsPay: an exchange's batch, a wallet that forwards, one that ends itself,
// and calls that are reverted; with a node that traces and one that does not.
func contractsPay(t *testing.T, open func(testing.TB) *node.Network) {
	for via, wrap := range map[chain.Via]func(*evm.Client) chain.Client{
		chain.ViaContract: func(c *evm.Client) chain.Client { return c },
		chain.ViaDelta:    func(c *evm.Client) chain.Client { return dull{c} },
	} {
		t.Run(string(via), func(t *testing.T) {
			n := open(t)
			x := newTill(t, n, wrap)
			a, b, forwarded, forced, reverted, failed := x.ask(500), x.ask(500), x.ask(700), x.ask(900), x.ask(1100), x.ask(1300)
			send := func(to common.Address, wei int64, data []byte) common.Hash {
				return n.Send(&to, big.NewInt(wei), data, 300_000)
			}
			h := x.c.harness(t, n)
			batch := send(x.batch, 1000, input(a.Address, b.Address))
			direct := common.HexToHash(string(h.SendCoin(forwarded.Address, forwarded.Amount)))
			end := common.HexToHash(string(h.ForceCoin(forced.Address, forced.Amount)))
			h.SendReverted(reverted.Address, reverted.Amount)
			rejecter := x.c.rejecter
			send(rejecter, 1300, input(failed.Address))
			n.Mine(3)
			x.step()
			x.paid(a, via, batch)
			x.paid(b, via, batch)
			x.paid(forwarded, via, direct)
			x.paid(forced, via, end)
			for _, p := range []bursar.Payment{reverted, failed} {
				rows, status := x.rows(p)
				require.Empty(t, rows)
				require.Equal(t, bursar.StatusPending, status)
			}
			x.good()
		})
	}
}

// A block's fees for the address of a payment pay for nothing.
func TestThreat_B13_CoinbaseAnvil(t *testing.T) {
	n := nodes.Anvil(t)
	x := newTill(t, n, func(c *evm.Client) chain.Client { return c })
	p := x.ask(1)
	remote, err := ethclient.Dial(n.URL)
	require.NoError(t, err)
	defer remote.Close()
	coinbase := func(a chain.Address) {
		require.NoError(t, remote.Client().CallContext(t.Context(), nil, "anvil_setCoinbase", common.HexToAddress(string(a))))
	}
	coinbase(p.Address)
	n.Pay(common.HexToAddress(string(chaintest.NewSigner(x.client.Codec(), t.Name()).Account("elsewhere").Address)), big.NewInt(1))
	n.Mine(1)
	coinbase("0x0000000000000000000000000000000000000000")
	n.Mine(3)
	x.step()
	rows, status := x.rows(p)
	require.Equal(t, bursar.StatusPending, status)
	require.Len(t, rows, 1)
	require.Equal(t, chain.ViaProtocol, rows[0].Via)
	require.True(t, rows[0].Suspense)
	require.True(t, strings.HasPrefix(rows[0].Transfer.Ordinal, "b:"))
	x.good()
}
