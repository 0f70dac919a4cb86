package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"io"
	"math/big"
	"net/http"
	"sync"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
	"github.com/bursar-go/bursar/e2e/node"
)

// methods counts the calls of each method, and the requests.
type methods struct {
	mu       sync.Mutex
	calls    map[string]int
	requests int
}

func (m *methods) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.requests++
	for _, part := range bytes.Split(body, []byte(`"method":"`))[1:] {
		name, _, _ := bytes.Cut(part, []byte(`"`))
		m.calls[string(name)]++
	}
	m.mu.Unlock()
	again := r.Clone(r.Context())
	again.Body = io.NopCloser(bytes.NewReader(body))
	return http.DefaultTransport.RoundTrip(again)
}

// Code written by hand, since the compiler would not leave out the checks.
var (
	// paysAndReverts pays its value to the address in its input, then reverts.
	paysAndReverts = []byte{0x5f, 0x5f, 0x5f, 0x5f, 0x34, 0x5f, 0x35, 0x5a, 0xf1, 0x50, 0x5f, 0x5f, 0xfd}
	// pays does the same and ends.
	pays = []byte{0x5f, 0x5f, 0x5f, 0x5f, 0x34, 0x5f, 0x35, 0x5a, 0xf1, 0x00}
	// dies ends itself in favour of the address in its input.
	dies = []byte{0x5f, 0x35, 0xff}
)

// handsOn calls a contract with its own input and value and ends, whatever
// became of the call.
func handsOn(to common.Address) []byte {
	code := append([]byte{0x36, 0x5f, 0x5f, 0x37, 0x5f, 0x5f, 0x36, 0x5f, 0x34, 0x73}, to.Bytes()...)
	return append(code, 0x5a, 0xf1, 0x00)
}

// delegates runs another contract's code in its own place.
func delegates(to common.Address) []byte {
	code := append([]byte{0x36, 0x5f, 0x5f, 0x37, 0x5f, 0x5f, 0x36, 0x5f, 0x73}, to.Bytes()...)
	return append(code, 0x5a, 0xf4, 0x00)
}

// creation makes the code that leaves another one behind.
func creation(code []byte) []byte {
	return append([]byte{0x60, byte(len(code)), 0x80, 0x60, 0x09, 0x5f, 0x39, 0x5f, 0xf3}, code...)
}

// modesWorld is a stretch of blocks in which much happens to watched accounts.
type modesWorld struct {
	n        *node.Network
	c        contracts
	from, to uint64
	watch    *chaintest.WatchSet
	plain    chain.Asset
	// inner are the payments from inside of transactions, in order.
	inner []chain.Amount
}

func newModesWorld(t *testing.T, n *node.Network) *modesWorld {
	w := &modesWorld{n: n, c: deploy(t, n)}
	w.plain = w.c.tokens[chaintest.TokenPlain]
	plain := common.HexToAddress(string(w.plain.Contract))
	at := func(i uint64) common.Address {
		return common.BigToAddress(new(big.Int).SetUint64(0xA11CE0000 + n.Head()<<40 + i))
	}
	ann, ben, eve := at(1), at(2), at(3)
	undone, direct, died := n.Deploy(creation(paysAndReverts)), n.Deploy(creation(pays)), n.Deploy(creation(dies))
	outer, caught := n.Deploy(creation(handsOn(direct))), n.Deploy(creation(handsOn(undone)))
	proxy := n.Deploy(creation(delegates(direct)))
	ours, err := crypto.GenerateKey()
	require.NoError(t, err)
	own := crypto.PubkeyToAddress(ours.PublicKey)
	n.Fund(own, big.NewInt(1e18))
	n.Mine(1)

	w.from = n.Head() + 1
	pay := func(to common.Address, wei int64) { n.Pay(to, big.NewInt(wei)) }
	call := func(to common.Address, wei int64, receiver common.Address) {
		n.Send(&to, big.NewInt(wei), common.LeftPadBytes(receiver.Bytes(), 32), 300_000)
	}
	pay(ann, 11)
	n.Call(plain, tokens.Transfer(ben, big.NewInt(12)))
	n.Call(plain, tokens.Transfer(at(9), big.NewInt(13)))
	n.Mine(1)
	call(direct, 21, ann) // one call deep
	call(outer, 22, ben)  // two calls deep
	call(undone, 23, ann) // the transaction fails
	call(caught, 24, ben) // the call fails, and what was in it
	call(died, 25, eve)   // by the end of a contract
	call(proxy, 0, ann)   // a delegate call without value
	call(proxy, 26, eve)  // and one that pays from the proxy's own balance
	n.Call(w.c.splitter, tokens.Split(plain, ann, big.NewInt(31), big.NewInt(0), big.NewInt(32)))
	n.Mine(1)
	rejecter := w.c.rejecter
	n.Send(&rejecter, big.NewInt(41), nil, 60_000)
	n.Send(nil, big.NewInt(42), creation(pays), 200_000)
	pay(ann, 43)
	w.signed(t, ours, 0, &eve, 51, nil)
	w.signed(t, ours, 1, &plain, 0, tokens.Transfer(ben, big.NewInt(1))) // it has none: fails
	n.Mine(1)
	w.signed(t, ours, 2, nil, 52, creation(pays))
	pay(own, 53)
	pay(own, 0)
	// In and out: nothing before, nothing behind, and a nonce that has gone by.
	swept := crypto.PubkeyToAddress(w.inAndOut(t, eve, 54).PublicKey)
	n.Mine(1)
	n.Mine(20) // in which nothing happens
	w.to = n.Head()
	n.Mine(70) // far behind, but not so far that geth has forgotten the state
	w.inner = amounts(21, 22, 25, 26)
	w.watch = chaintest.NewWatch(evm.Codec(), []chain.Asset{w.plain}, addresses(ann, ben, eve, own, swept)...)
	return w
}

func amounts(units ...uint64) (out []chain.Amount) {
	for _, u := range units {
		out = append(out, chain.NewAmount(u))
	}
	return out
}

func addresses(list ...common.Address) (out []chain.Address) {
	for _, a := range list {
		out = append(out, chain.Address(a.Hex()))
	}
	return out
}

// inAndOut pays an account of nothing and has it pay all of that on.
func (w *modesWorld) inAndOut(t *testing.T, to common.Address, wei int64) *ecdsa.PrivateKey {
	t.Helper()
	key, err := crypto.GenerateKey()
	require.NoError(t, err)
	price := big.NewInt(100e9)
	fee := new(big.Int).Mul(price, big.NewInt(21_000))
	w.n.Pay(crypto.PubkeyToAddress(key.PublicKey), fee.Add(fee, big.NewInt(wei)))
	if !w.n.MinesAtOnce {
		w.n.Mine(1)
	}
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(new(big.Int).SetUint64(w.n.ChainID)), &types.LegacyTx{To: &to, Value: big.NewInt(wei), Gas: 21_000, GasPrice: price})
	require.NoError(t, err)
	require.NoError(t, w.n.Eth.SendTransaction(t.Context(), tx))
	if w.n.MinesAtOnce {
		require.Eventually(t, func() bool {
			_, err := w.n.Eth.TransactionReceipt(t.Context(), tx.Hash())
			return err == nil
		}, patience, tick)
	}
	return key
}

// signed sends a transaction of a watched account.
func (w *modesWorld) signed(t *testing.T, key *ecdsa.PrivateKey, nonce uint64, to *common.Address, wei int64, data []byte) {
	t.Helper()
	number := new(big.Int).SetUint64(w.n.ChainID)
	var body types.TxData = &types.DynamicFeeTx{
		ChainID: number, Nonce: nonce, To: to, Value: big.NewInt(wei), Data: data, Gas: 300_000,
		GasTipCap: big.NewInt(2e9), GasFeeCap: big.NewInt(100e9),
	}
	switch nonce {
	case 1:
		body = &types.LegacyTx{Nonce: nonce, To: to, Value: big.NewInt(wei), Data: data, Gas: 300_000, GasPrice: big.NewInt(100e9)}
	case 2:
		body = &types.AccessListTx{ChainID: number, Nonce: nonce, To: to, Value: big.NewInt(wei), Data: data, Gas: 300_000, GasPrice: big.NewInt(100e9)}
	}
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(number), body)
	require.NoError(t, err)
	require.NoError(t, w.n.Eth.SendTransaction(t.Context(), tx))
	if w.n.MinesAtOnce {
		require.Eventually(t, func() bool {
			_, err := w.n.Eth.TransactionReceipt(t.Context(), tx.Hash())
			return err == nil
		}, patience, tick)
	}
}

// read reads the stretch in pages and returns all of them as one. far is whether
// the client knows how far the head is.
func (w *modesWorld) read(t *testing.T, far bool, change func(*evm.Config)) (chain.Page, *methods) {
	t.Helper()
	m := &methods{calls: map[string]int{}}
	cfg := evm.Config{Preset: evm.Local(w.n.ChainID), URL: w.n.URL, HTTP: &http.Client{Transport: m}, PageBlocks: 7}
	change(&cfg)
	client, err := evm.New(cfg)
	require.NoError(t, err)
	if far {
		_, err = client.Head(t.Context())
		require.NoError(t, err)
	}
	var out chain.Page
	for from := w.from; from <= w.to; {
		p, err := client.Transfers(t.Context(), from, w.to, w.watch)
		require.NoError(t, err)
		out.Blocks = append(out.Blocks, p.Blocks...)
		out.Transfers = append(out.Transfers, p.Transfers...)
		out.Spends = append(out.Spends, p.Spends...)
		from = p.Last().Height + 1
	}
	return out, m
}

// Whichever way blocks are read, what is in them is the same.
func TestModesAgree(t *testing.T) {
	// Nodes of its own: so many blocks in a moment leave the clock of an anvil
	// ahead, and then a reorg makes the same empty blocks again.
	var nodes node.Pool
	defer nodes.Close()
	for name, open := range map[string]func(testing.TB) *node.Network{"anvil": nodes.Anvil, "geth": nodes.Geth, "simulated": nodes.Simulated} {
		t.Run(name, func(t *testing.T) {
			w := newModesWorld(t, open(t))
			full, m := w.read(t, false, func(c *evm.Config) { c.Native = evm.NativeFull })
			require.Len(t, full.Blocks, int(w.to-w.from+1))
			require.Len(t, full.Spends, 4)
			require.NotEmpty(t, full.Transfers)
			require.Zero(t, m.calls["debug_getRawBlock"]+m.calls["trace_block"])

			ranged, m := w.read(t, true, func(c *evm.Config) { c.Native = evm.NativeFull })
			require.Equal(t, full, ranged, "logs by range and logs by hash")
			require.Less(t, m.calls["eth_getLogs"], len(full.Blocks))

			probed, m := w.read(t, true, func(*evm.Config) {})
			require.Less(t, m.calls["debug_getRawBlock"]+m.calls["trace_block"], len(full.Blocks)-10, "blocks in which nothing happened are not read")
			require.NotZero(t, m.calls["eth_getTransactionCount"])

			auto, m := w.read(t, true, func(c *evm.Config) { c.Native = evm.NativeBlocks })
			require.Equal(t, auto, probed, "by balances and by blocks")
			if name == "anvil" {
				require.NotZero(t, m.calls["trace_block"])
				require.Equal(t, full, w.direct(t, auto))
				return
			}
			require.NotZero(t, m.calls["debug_getRawBlock"])
			require.Zero(t, m.calls["trace_block"]-1, "the probe alone")
			require.Equal(t, full, auto)
		})
	}
}

// Geth takes a thousand receivers in a question for logs and no more: of a larger
// set they are named in several questions.
func TestThreat_C4_MoreReceiversThanGethTakes(t *testing.T) {
	n := nodes.Geth(t)
	c := deploy(t, n)
	plain := c.tokens[chaintest.TokenPlain]
	var list []common.Address
	for i := range uint64(2500) {
		list = append(list, common.BigToAddress(new(big.Int).SetUint64(0xB0B<<40+n.Head()<<16+i)))
	}
	from := n.Head() + 1
	for _, i := range []int{0, 999, 1000, 2499} {
		n.Call(common.HexToAddress(string(plain.Contract)), tokens.Transfer(list[i], big.NewInt(int64(i+1))))
	}
	to := n.Head()
	n.Mine(20)
	w := &modesWorld{n: n, from: from, to: to, watch: chaintest.NewWatch(evm.Codec(), []chain.Asset{plain}, addresses(list...)...)}
	got, m := w.read(t, true, func(*evm.Config) {})
	require.Len(t, got.Transfers, 4)
	require.GreaterOrEqual(t, m.calls["eth_getLogs"], 3)
}

// direct checks the payments from inside of transactions and leaves them out.
func (w *modesWorld) direct(t *testing.T, p chain.Page) chain.Page {
	var inner []chain.Amount
	var rest []chain.Transfer
	for _, transfer := range p.Transfers {
		if transfer.Via != chain.ViaContract {
			rest = append(rest, transfer)
			continue
		}
		inner = append(inner, transfer.Amount)
		require.Equal(t, "i:", transfer.ID.Ordinal[:2])
	}
	require.Equal(t, w.inner, inner)
	p.Transfers = rest
	return p
}
