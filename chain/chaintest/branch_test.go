package chaintest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

func TestBlocksOfEveryBranchAreFoundByHash(t *testing.T) {
	c := chaintest.New(chaintest.Options{})
	c.Mine(2)
	id := c.Pay("p", c.Payer("q"), c.Info().Native, chain.NewAmount(7))
	c.Mine(1)
	old := c.Head()
	c.Reorg(1, chaintest.ReorgOptions{DropAll: true})

	at, ok := c.BlockByHash(old.Hash)
	require.True(t, ok)
	require.Equal(t, old, at)
	txs, ok := c.TransactionsIn(old.Hash)
	require.True(t, ok)
	require.Len(t, txs, 1)
	require.Equal(t, id, txs[0].ID)
	require.Equal(t, chain.NewAmount(7), txs[0].Transfers[0].Amount)

	txs, ok = c.TransactionsIn(c.Head().Hash)
	require.True(t, ok)
	require.Empty(t, txs)
	_, ok = c.BlockByHash("0x00")
	require.False(t, ok)
	_, ok = c.TransactionsIn("0x00")
	require.False(t, ok)
}
