package e2e

import (
	"math/big"
	"sync"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/evm"
	sweeping "github.com/bursar-go/bursar/chain/evm/contracts"
	"github.com/bursar-go/bursar/e2e/node"
)

func TestBatchConformanceSimulated(t *testing.T) { conformBatches(t, nodes.Simulated) }
func TestBatchConformanceAnvil(t *testing.T)     { conformBatches(t, nodes.Anvil) }
func TestBatchConformanceGeth(t *testing.T)      { conformBatches(t, nodes.Geth) }

// conformBatches runs the suite on the real contract.
func conformBatches(t *testing.T, open func(testing.TB) *node.Network) {
	seed := t.Name()
	var once sync.Once
	var deployed contracts
	chaintest.RunBatches(t, func(t *testing.T) chaintest.BatchHarness {
		n := open(t)
		keys := chaintest.NewSigner(evm.Codec(), seed)
		h := chaintest.BatchHarness{Sponsor: keys.Account("sponsor"), Treasury: keys.Account("treasury").Address}
		raw := func(a chain.Address) common.Address { return common.HexToAddress(string(a)) }
		sweeper, err := sweeping.New(sweeping.Params{
			Treasury: raw(h.Treasury), Owner: raw(keys.Account("owner").Address), Sponsor: raw(h.Sponsor.Address),
		})
		require.NoError(t, err)
		once.Do(func() {
			deployed = deploy(t, n)
			(&fleet{t: t, n: n, sweeper: sweeper}).proxy()
			to, data := sweeper.Deployment()
			at := common.Address(to)
			n.Send(&at, nil, data, 2_000_000)
			n.Fund(raw(h.Sponsor.Address), new(big.Int).Mul(big.NewInt(1e18), big.NewInt(100)))
			n.Mine(1)
		})
		h.Harness, h.Signer = deployed.harness(t, n), chaintest.NewSigner(evm.CodecWith(sweeper), seed)
		h.Client, err = evm.New(evm.Config{
			Preset: evm.Local(n.ChainID), URL: n.URL, Sweeper: sweeper, Tokens: []chain.Asset{deployed.tokens[chaintest.TokenPlain]},
		})
		require.NoError(t, err)
		return h
	})
}
