package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/e2e/node"
)

func TestHeadsAnvil(t *testing.T) { pushes(t, nodes.Anvil(t)) }
func TestHeadsGeth(t *testing.T)  { pushes(t, nodes.Geth(t)) }

// pushes: a node pushes each head, and one of another chain is refused.
func pushes(t *testing.T, n *node.Network) {
	open := func(id uint64) *evm.Client {
		c, err := evm.New(evm.Config{Preset: evm.Local(id), URL: n.URL, WebSocket: "ws" + strings.TrimPrefix(n.URL, "http")})
		require.NoError(t, err)
		return c
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	wake, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- open(n.ChainID).SubscribeHeads(ctx, wake) }()
	next := func() {
		select {
		case <-wake:
		case err := <-ended:
			require.NoError(t, err, "it ended")
		}
	}
	next() // it begins
	for range 3 {
		n.Mine(1)
		next()
	}
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.ErrorIs(t, open(n.ChainID+1).SubscribeHeads(t.Context(), wake), chain.ErrWrongChain)
}
