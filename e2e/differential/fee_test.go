package differential

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/ethereum/go-ethereum/consensus/misc/eip1559"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain/chaintest"
)

// TestBaseFeeWalks: the simulated chain's base fee takes the steps of EIP-1559,
// also upwards, where the small blocks of the scripts never go.
func TestBaseFeeWalks(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 0xfee))
	for range 20_000 {
		base := new(big.Int).Rsh(new(big.Int).SetUint64(r.Uint64()), uint(r.IntN(62)))
		base.Add(base, big.NewInt(7)) // below that no chain's base fee falls
		limit := uint64(2 + r.IntN(60_000_000))
		limit -= limit % 2
		used := r.Uint64N(limit + 1)
		sim := chaintest.New(chaintest.Options{Fees: fees(base)})
		sim.WalkFees(used, limit/2)
		parent := &types.Header{Number: big.NewInt(1), GasLimit: limit, GasUsed: used, BaseFee: base}
		want := eip1559.CalcBaseFee(params.AllDevChainProtocolChanges, parent)
		require.Equal(t, want.String(), sim.Fees().BaseFee.String(), "from %s after %d of %d", base, used, limit)
	}
}
