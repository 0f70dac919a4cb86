package e2e

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
	"github.com/bursar-go/bursar/e2e/node"
)

// interrupted runs something once, before the request with that number.
type interrupted struct {
	requests atomic.Int64
	before   int64
	run      func()
}

func (i *interrupted) RoundTrip(r *http.Request) (*http.Response, error) {
	if i.requests.Add(1) == i.before {
		i.run()
	}
	return http.DefaultTransport.RoundTrip(r)
}

// A node may go on answering for a branch that it left, or forget it; how it
// says so differs. In no case may a page mix two branches, or lose the logs of
// the one that it shows.
func TestThreat_A1_ReorgWhileAPageIsRead(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *node.Network{"simulated": nodes.Simulated, "anvil": nodes.Anvil, "geth": nodes.Geth} {
		t.Run(name, func(t *testing.T) {
			n := open(t)
			c := deploy(t, n)
			plain := c.tokens[chaintest.TokenPlain]
			for request := int64(2); request <= 3; request++ {
				to := common.BigToAddress(plenty().SetUint64(n.Head() + 1_000_000))
				from := n.Head() + 1
				n.Pay(to, plenty().SetUint64(5))
				n.Call(common.HexToAddress(string(plain.Contract)), tokens.Transfer(to, plenty().SetUint64(7)))
				n.Mine(1)
				old := n.Head()
				hook := &interrupted{before: request, run: func() { n.Reorg(int(old - from + 1)) }}
				preset := evm.Local(n.ChainID)
				client, err := evm.New(evm.Config{Preset: preset, URL: n.URL, HTTP: &http.Client{Transport: hook}})
				require.NoError(t, err)
				watch := chaintest.NewWatch(client.Codec(), []chain.Asset{plain}, chain.Address(to.Hex()))

				before, err := client.Headers(t.Context(), from, old)
				require.NoError(t, err)
				hook.requests.Store(0)
				page, err := client.Transfers(t.Context(), from, old, watch)
				if err == nil {
					require.Equal(t, before, page.Blocks, "the branch that was there when it began")
					require.Len(t, page.Transfers, 2, "with all that was in it")
				} else {
					t.Logf("reorg before request %d: %v", request, err)
					require.True(t, errors.Is(err, chain.ErrReorg) || errors.Is(err, chain.ErrTransient), "%v", err)
				}
				after, err := client.Transfers(t.Context(), from, n.Head(), watch)
				require.NoError(t, err)
				require.Len(t, after.Transfers, 2, "and then the new one")
				require.NotEqual(t, before[0].Hash, after.Blocks[0].Hash)
			}
		})
	}
}
