package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/e2e/node"
)

func TestEstimateFeesAnvil(t *testing.T) { estimatesFees(t, nodes.Anvil) }
func TestEstimateFeesGeth(t *testing.T)  { estimatesFees(t, nodes.Geth) }

// estimatesFees: a real node's fee history is read, and a bid of nothing of the way
// is still mined.
func estimatesFees(t *testing.T, open func(testing.TB) *node.Network) {
	n := open(t)
	deployed := deploy(t, n)
	h := deployed.harness(t, n)
	e, ok := chain.As[chain.FeeEstimator](h.Client)
	require.True(t, ok)
	m, err := e.EstimateFees(t.Context())
	require.NoError(t, err)
	require.False(t, m.Now.IsZero())
	require.False(t, m.Usual.IsZero(), "the blocks of its deployment had traffic")

	signer := chaintest.NewSigner(h.Client.Codec(), t.Name())
	from, to := signer.Account("from"), signer.Account("to").Address
	h.Fund(from.Address, chain.NewAmount(1e18))
	in := chain.Intent{
		Purpose: chain.PurposeCollection, MaxFee: chain.NewAmount(1e17), Bid: &chain.Bid{Of: 1},
		Moves: []chain.Move{{From: from, To: to, Asset: h.Client.Info().Native, Amount: chain.NewAmount(1000)}},
	}
	low, err := h.Client.Prepare(t.Context(), in)
	require.NoError(t, err)
	in.Bid = &chain.Bid{Part: 1, Of: 2}
	dear, err := h.Client.Prepare(t.Context(), in)
	require.NoError(t, err)
	require.True(t, low.Fee.Less(dear.Fee))
	s, err := h.Client.Sign(t.Context(), low, signer)
	require.NoError(t, err)
	require.NoError(t, h.Client.Broadcast(t.Context(), s))
	h.Mine(1)
	found, err := h.Client.Status(t.Context(), s.ID)
	require.NoError(t, err)
	require.Equal(t, chain.TxIncluded, found[0].State)
}
