package e2e

import (
	"math/big"
	"net/http"
	"sync"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
	"github.com/bursar-go/bursar/e2e/node"
)

func TestConformanceSimulated(t *testing.T) { conform(t, nodes.Simulated) }
func TestConformanceAnvil(t *testing.T)     { conform(t, nodes.Anvil) }
func TestConformanceGeth(t *testing.T)      { conform(t, nodes.Geth) }

func conform(t *testing.T, open func(testing.TB) *node.Network) {
	var once sync.Once
	var deployed contracts
	chaintest.Run(t, func(t *testing.T) chaintest.Harness {
		n := open(t)
		once.Do(func() { deployed = deploy(t, n) })
		return deployed.harness(t, n)
	})
}

// contracts are the contracts of the suite on one node.
type contracts struct {
	tokens             map[chaintest.TokenKind]chain.Asset
	splitter, rejecter common.Address
	// forwarder sends its value on, dier ends itself in favour of somebody, and
	// caught has a call that does so reverted.
	forwarder, dier, caught common.Address
}

// plenty is how much of each token the payers have.
func plenty() *big.Int { return new(big.Int).Lsh(big.NewInt(1), 128) }

func deploy(t *testing.T, n *node.Network) contracts {
	t.Helper()
	c := contracts{tokens: map[chaintest.TokenKind]chain.Asset{}}
	c.splitter, c.rejecter = n.Deploy(tokens.Splitter()), n.Deploy(tokens.Rejecter())
	c.forwarder, c.dier = n.Deploy(tokens.Forwarder()), n.Deploy(creation(dies))
	c.caught = n.Deploy(creation(handsOn(n.Deploy(creation(paysAndReverts)))))
	add := func(kind chaintest.TokenKind, code []byte) {
		contract := n.Deploy(code)
		n.Call(contract, tokens.Mint(n.Stranger(), plenty()))
		n.Call(contract, tokens.Mint(c.splitter, plenty()))
		asset, err := evm.Token(evm.Local(n.ChainID).Info.ID, contract.Hex(), "USDC", 6)
		require.NoError(t, err)
		c.tokens[kind] = asset
	}
	add(chaintest.TokenPlain, tokens.Plain("USDC", 6))
	add(chaintest.TokenNoReturn, tokens.NoReturn("USDC", 6))
	add(chaintest.TokenFalse, tokens.ReturnsFalse("USDC", 6))
	add(chaintest.TokenLookAlike, tokens.Plain("USDC", 6))
	add(chaintest.TokenSpoofer, tokens.Spoofer("USDC", 6, common.HexToAddress(string(c.tokens[chaintest.TokenPlain].Contract))))
	add(chaintest.TokenNFT, tokens.FourTopics("USDC", 6))
	add(chaintest.TokenLongData, tokens.LongData("USDC", 6))
	n.Mine(1)
	return c
}

// client returns a client of the node that lists all but the tokens that nobody
// would list.
func (c contracts) client(t *testing.T, n *node.Network) *evm.Client {
	t.Helper()
	return c.clientOver(t, n, nil, "finalized")
}

// clientOver is client with an HTTP client of the test's own, nil: the usual one, and
// with the tag of final blocks, empty: none.
func (c contracts) clientOver(t *testing.T, n *node.Network, over *http.Client, tag string) *evm.Client {
	t.Helper()
	preset := evm.Local(n.ChainID)
	preset.FinalityTag = tag
	cfg := evm.Config{Preset: preset, URL: n.URL, HTTP: over}
	for kind, asset := range c.tokens {
		if kind != chaintest.TokenLookAlike && kind != chaintest.TokenSpoofer {
			cfg.Tokens = append(cfg.Tokens, asset)
		}
	}
	client, err := evm.New(cfg)
	require.NoError(t, err)
	return client
}

func (c contracts) harness(t *testing.T, n *node.Network) chaintest.Harness {
	contract := func(kind chaintest.TokenKind) common.Address {
		return common.HexToAddress(string(c.tokens[kind].Contract))
	}
	id := func(h common.Hash) chain.TxID { return chain.TxID(h.Hex()) }
	h := chaintest.Harness{
		Client: c.client(t, n),
		Mine:   n.Mine,
		Fund:   func(to chain.Address, amount chain.Amount) { n.Fund(common.HexToAddress(string(to)), amount.Big()) },
		PayNative: func(to chain.Address, amount chain.Amount) chain.TxID {
			return id(n.Pay(common.HexToAddress(string(to)), amount.Big()))
		},
		PayToken: func(kind chaintest.TokenKind, to chain.Address, amount chain.Amount) chain.TxID {
			return id(n.Call(contract(kind), tokens.Transfer(common.HexToAddress(string(to)), amount.Big())))
		},
		PayMany: func(kind chaintest.TokenKind, to chain.Address, amounts ...chain.Amount) chain.TxID {
			var parts []*big.Int
			for _, a := range amounts {
				parts = append(parts, a.Big())
			}
			return id(n.Call(c.splitter, tokens.Split(contract(kind), common.HexToAddress(string(to)), parts...)))
		},
		SendCoin: func(to chain.Address, amount chain.Amount) chain.TxID {
			return id(n.Send(&c.forwarder, amount.Big(), tokens.Forward(common.HexToAddress(string(to))), 300_000))
		},
		ForceCoin: func(to chain.Address, amount chain.Amount) chain.TxID {
			return id(n.Send(&c.dier, amount.Big(), input(to), 300_000))
		},
		SendReverted: func(to chain.Address, amount chain.Amount) chain.TxID {
			return id(n.Send(&c.caught, amount.Big(), input(to), 300_000))
		},
		Traces:      n.Name != "simulated", // it has no tracers
		Tokens:      c.tokens,
		Rejecter:    chain.Address(c.rejecter.Hex()),
		MinesAtOnce: n.MinesAtOnce,
	}
	if n.CanReorg() {
		h.Reorg = n.Reorg
	}
	return h
}

// input is what contracts take that pay the addresses in their input.
func input(to ...chain.Address) (out []byte) {
	for _, a := range to {
		out = append(out, common.LeftPadBytes(common.HexToAddress(string(a)).Bytes(), 32)...)
	}
	return out
}
