package node

import (
	"math/big"
	"os"
	"regexp"
	"testing"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

var nodes Pool

func TestMain(m *testing.M) { os.Exit(nodes.Main(m)) }

func TestNodes(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *Network{"anvil": nodes.Anvil, "geth": nodes.Geth, "simulated": nodes.Simulated} {
		t.Run(name, func(t *testing.T) {
			n := open(t)
			require.Same(t, n.RPC, open(t).RPC, "one node for all tests")
			before := n.Head()
			n.Mine(2)
			require.GreaterOrEqual(t, n.Head(), before+2)
			to := common.Address{17: 1, 18: byte(n.Head() >> 8), 19: byte(n.Head())} // no precompiled contract
			hash := n.Pay(to, big.NewInt(5))
			n.Mine(1)
			first, err := n.receipt(hash)
			require.NoError(t, err)
			for range 3 {
				head := n.Head()
				n.Reorg(int(head - first.BlockNumber.Uint64() + 1))
				again, err := n.receipt(hash)
				require.NoError(t, err)
				require.Greater(t, n.Head(), head)
				require.NotEqual(t, first.BlockHash, again.BlockHash)
				first = again
			}
			balance, err := n.Eth.BalanceAt(t.Context(), to, nil)
			require.NoError(t, err)
			require.Equal(t, int64(5), balance.Int64(), "mined once on each branch")
		})
	}
}

func TestStartTellsWhyItFailed(t *testing.T) {
	_, _, err := start(regexp.MustCompile(`never (\S+)`), "/bin/sh", "-c", "echo it is broken; exit 3")
	require.ErrorContains(t, err, "it is broken")
	_, _, err = start(regexp.MustCompile(`never (\S+)`), "/nowhere/program")
	require.Error(t, err)
	p, url, err := start(regexp.MustCompile(`at (\S+)`), "/bin/sh", "-c", "echo listening at 127.0.0.1:5; exec sleep 600")
	require.NoError(t, err)
	require.Equal(t, "http://127.0.0.1:5", url)
	p.stop()
	require.NotNil(t, p.cmd.ProcessState, "it is gone")
}

func TestGethOnDemand(t *testing.T) {
	n := nodes.GethOnDemand(t)
	pending := func(hash common.Hash) bool {
		_, waits, err := n.Eth.TransactionByHash(t.Context(), hash)
		require.NoError(t, err)
		return waits
	}
	base := func() *big.Int {
		fee, err := n.baseFee(t.Context())
		require.NoError(t, err)
		return fee
	}
	a := n.Account("payer")
	low := new(big.Int).Add(base(), big.NewInt(1e9))
	before := n.Head()
	cheap := a.Send(Tx{To: &a.Address, Cap: low})
	require.True(t, pending(cheap.Hash()), "nothing is mined by itself")
	require.Equal(t, before, n.Head())

	twice := new(big.Int).Lsh(low, 1)
	n.Crowd(twice)
	require.Positive(t, base().Cmp(twice))
	require.Greater(t, n.Head(), before)
	require.True(t, pending(cheap.Hash()), "full blocks have no room for it")
	head := n.Head()
	n.Mine(1)
	require.Equal(t, head+1, n.Head(), "no more than that for what offers too little")
	require.True(t, pending(cheap.Hash()))

	dear := a.Send(Tx{To: &a.Address, Instead: cheap})
	n.Mine(1)
	require.False(t, pending(dear.Hash()))
	for base().Cmp(low) > 0 {
		n.Mine(1)
	}
	_, _, err := n.Eth.TransactionByHash(t.Context(), cheap.Hash())
	require.ErrorIs(t, err, ethereum.NotFound, "its nonce is used")
}
