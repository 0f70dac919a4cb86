package e2e

import (
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
	"github.com/bursar-go/bursar/e2e/node"
	"github.com/bursar-go/bursar/store/memory"
)

// failed and succeeded check how transactions ended on the chain.
func (x *till) ended(status uint64, list ...*types.Transaction) {
	x.t.Helper()
	for _, tx := range list {
		require.Equal(x.t, status, x.receipt(tx.Hash()).Status)
	}
}

// Value and calls that name a payment, in transactions that failed.
func TestThreat_B1_Reverted(t *testing.T) {
	n := nodes.Simulated(t)
	usd := newToken(t, n, "USD", tokens.Plain("USD", 6))
	x := openTill(t, n, tillOptions{assets: []chain.Asset{usd}})
	rejecter := n.Deploy(tokens.Rejecter())
	p, coin, direct := x.askFor(usd, 500), x.ask(700), x.ask(900)
	undone := n.Deploy(creation(paysAndReverts))
	// The account of the third payment runs code that takes nothing.
	own, err := x.gw.Address(t.Context(), string(direct.Address))
	require.NoError(t, err)
	x.payer.Send(node.Tx{To: &x.payer.Address, Delegate: []types.SetCodeAuthorization{n.Unlocked(x.stolen(own)).Authorize(rejecter)}})
	x.mine(1)

	list := []*types.Transaction{x.payer.Send(bill(p))} // of a token that the payer has none of
	x.mine(1)
	list = append(list, x.payer.Send(node.Tx{To: &undone, Value: big.NewInt(700), Data: input(coin.Address)}))
	x.mine(1)
	list = append(list, x.payer.Send(bill(direct)))
	x.mine(3)
	x.ended(types.ReceiptStatusFailed, list...)
	x.untouched(p, coin, direct)
	x.good()
}

// A call inside is undone, and the transaction around it succeeds. In the same
// block, a call that lasts brings less: that is what came, as the trace tells too
// where the node has one.
func TestThreat_B11_RevertedInside(t *testing.T) {
	for name, via := range map[string]chain.Via{"simulated": chain.ViaDelta, "anvil": chain.ViaContract} {
		t.Run(name, func(t *testing.T) {
			n := map[string]func(testing.TB) *node.Network{"simulated": nodes.Simulated, "anvil": nodes.Anvil}[name](t)
			x := openTill(t, n, tillOptions{})
			p, q := x.ask(700), x.ask(700)
			caught, lasts := n.Deploy(creation(handsOn(n.Deploy(creation(paysAndReverts))))), n.Deploy(creation(pays))
			var list []common.Hash
			for _, to := range []bursar.Payment{p, q} {
				list = append(list, n.Send(&caught, big.NewInt(700), input(to.Address), 300_000))
			}
			list = append(list, n.Send(&lasts, big.NewInt(300), input(q.Address), 300_000))
			x.mine(3)
			for _, hash := range list {
				require.Equal(t, types.ReceiptStatusSuccessful, x.receipt(hash).Status)
				require.Equal(t, x.receipt(list[0]).BlockHash, x.receipt(hash).BlockHash)
			}
			x.untouched(p)
			row := x.row(q)
			require.Equal(t, via, row.Via)
			require.Equal(t, chain.NewAmount(300), row.Amount)
			x.is(q, bursar.StatusDetected)
			x.has(caught, p.Asset, 1400)
			x.good()
		})
	}
}

// The token says false, the transaction succeeds, and nothing has moved.
func TestThreat_B2_TokenThatReturnsFalse(t *testing.T) {
	n := nodes.Simulated(t)
	usd := newToken(t, n, "USD", tokens.ReturnsFalse("USD", 6))
	x := openTill(t, n, tillOptions{assets: []chain.Asset{usd}})
	x.enrich(usd)
	p := x.askFor(usd, 500)
	tx := x.pay(p)
	x.mine(3)
	x.ended(types.ReceiptStatusSuccessful, tx)
	require.Empty(t, x.receipt(tx.Hash()).Logs)
	x.untouched(p)
	x.good()
}

// Tokens of the same name and decimals, of other contracts, and one whose events
// name the real contract.
func TestThreat_B3_B4_SameNameAnotherContract(t *testing.T) {
	n := nodes.Simulated(t)
	usd := newToken(t, n, "USD", tokens.Plain("USD", 6))
	x := openTill(t, n, tillOptions{assets: []chain.Asset{usd}})
	p := x.askFor(usd, 500)
	for _, code := range [][]byte{tokens.Plain("USD", 6), tokens.Spoofer("USD", 6, contractOf(usd))} {
		fake := newToken(t, n, "USD", code)
		x.enrich(fake)
		forged := p
		forged.Asset = fake
		tx := x.pay(forged)
		x.mine(3)
		require.NotEmpty(t, x.receipt(tx.Hash()).Logs)
		x.has(addressOf(p), fake, 500)
		x.untouched(p)
	}
	x.enrich(usd)
	x.pay(p)
	x.mine(3)
	x.is(p, bursar.StatusConfirmed)
	x.good()
}

// Events of a listed token that are not quite those of ERC-20: the value as a
// fourth topic, as an NFT has it, and a word too many.
func TestThreat_B4_B5_EventsOfAnotherShape(t *testing.T) {
	n := nodes.Simulated(t)
	nft, long := newToken(t, n, "NFT", tokens.FourTopics("NFT", 6)), newToken(t, n, "LONG", tokens.LongData("LONG", 6))
	x := openTill(t, n, tillOptions{assets: []chain.Asset{nft, long}})
	for _, a := range []chain.Asset{nft, long} {
		x.enrich(a)
		p := x.askFor(a, 500)
		tx := x.pay(p)
		x.mine(3)
		require.Len(t, x.receipt(tx.Hash()).Logs, 1)
		x.has(addressOf(p), a, 500)
		x.untouched(p)
	}
}

// One transaction pays the same address several times: by a batch, and by a hook
// that pays from inside of a payment. Each counts, once.
func TestThreat_B15_ManyTransfersInOne(t *testing.T) {
	n := nodes.Simulated(t)
	usd, hooked := newToken(t, n, "USD", tokens.Plain("USD", 6)), newToken(t, n, "HOOK", tokens.Hooked("HOOK", 6))
	x := openTill(t, n, tillOptions{assets: []chain.Asset{usd, hooked}, treasury: vault(t, n)})
	splitter, hooks := n.Deploy(tokens.Splitter()), n.Deploy(tokens.HookPayer())
	n.Call(contractOf(usd), tokens.Mint(splitter, plenty()))
	n.Call(contractOf(hooked), tokens.Mint(hooks, plenty()))
	x.mine(1)
	for _, c := range []struct {
		asset chain.Asset
		from  common.Address
		data  func(to common.Address) []byte
		parts []int64
	}{
		{usd, splitter, func(to common.Address) []byte {
			return tokens.Split(contractOf(usd), to, big.NewInt(200), big.NewInt(0), big.NewInt(200), big.NewInt(100))
		}, []int64{200, 200, 100}},
		{hooked, hooks, func(to common.Address) []byte { return tokens.HookPay(contractOf(hooked), to, big.NewInt(20)) }, []int64{20, 10, 5, 2, 1}},
	} {
		total := int64(0)
		for _, part := range c.parts {
			total += part
		}
		p := x.askFor(c.asset, total)
		tx := x.payer.Send(node.Tx{To: &c.from, Data: c.data(addressOf(p))})
		x.mine(3)
		rows, status := x.rows(p)
		require.Equal(t, bursar.StatusConfirmed, status)
		var got []int64
		places := map[string]bool{}
		for _, row := range rows {
			require.Equal(t, tx.Hash().Hex(), string(row.Transfer.Tx))
			places[row.Transfer.Ordinal] = true
			got = append(got, row.Amount.Big().Int64())
		}
		require.ElementsMatch(t, c.parts, got)
		require.Len(t, places, len(c.parts))
		require.Equal(t, p.Amount, x.payment(p).Confirmed)
		x.settle(p)
		x.has(x.treasury, c.asset, total)
		x.good()
	}
}

// A token that is not what the configuration says stops the start, which names
// both sides.
func TestThreat_B17_DecimalsThatLie(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *node.Network{"simulated": nodes.Simulated, "anvil": nodes.Anvil} {
		t.Run(name, func(t *testing.T) {
			n := open(t)
			eighteen, none := newToken(t, n, "USD", tokens.Plain("USD", 18)), newToken(t, n, "USD", creation(pays))
			nothing, err := evm.Token(eighteen.Chain(), "0x00000000000000000000000000000000000bad00", "USD", 6)
			require.NoError(t, err)
			for _, c := range []struct {
				asset chain.Asset
				field string
				code  bursar.Code
				says  string
			}{
				{eighteen, "Config.Chains[0].Assets[USD].Decimals", bursar.CodeMismatch, "the contract says 18, configured are 6"},
				{none, "Config.Chains[0].Assets[USD].Contract", bursar.CodeInvalid, string(none.Contract)},
				{nothing, "Config.Chains[0].Assets[USD].Contract", bursar.CodeUnknown, string(nothing.Contract)},
			} {
				x := &till{t: t, n: n}
				gw, err := bursar.New(bursar.Config{
					Store: memory.New(), Wallet: walletOf(t, t.Name()), Manual: true,
					Chains: []bursar.Chain{{Client: x.node(tillOptions{}), Assets: []chain.Asset{c.asset}, Sweep: bursar.SweepOff}},
				})
				require.NoError(t, err)
				err = gw.Start(t.Context())
				var bad *bursar.FieldError
				require.ErrorAs(t, err, &bad)
				require.Equal(t, c.field, bad.Field)
				require.Equal(t, c.code, bad.Code)
				require.ErrorContains(t, err, c.says)
			}
		})
	}
}
