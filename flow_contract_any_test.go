package bursar_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// TestThreat_B12_AnyAddressThatWasEverGivenOut: the payer owed a token and an exchange
// sent coin, or somebody paid an old invoice once more. Nobody waits for either.
func TestThreat_B12_AnyAddressThatWasEverGivenOut(t *testing.T) {
	f := newContracts(t, bursartest.Options{})
	owed, old := f.Create("USDC", "10"), f.Create("ETH", "1")
	f.Pay(old)
	f.Settle()
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(old).Status)
	f.Chain.PaySelfDestruct("exchange", owed.Address, units(t, f.ETH, "1"))
	f.Settle()
	row := f.row(owed)
	require.Equal(t, units(t, f.ETH, "1"), row.Amount)
	require.Equal(t, 1, f.count(bursar.PaymentUnexpectedAsset, owed.ID))
	require.Equal(t, bursar.StatusPending, f.Payment(owed).Status)

	f.AdvanceTime(60 * 24 * time.Hour)
	f.Chain.PaySelfDestruct("exchange", old.Address, units(t, f.ETH, "2"))
	f.Settle()
	f.Settle()
	require.Len(t, f.Transactions(old), 2)
	require.Equal(t, 1, f.count(bursar.PaymentOverpaid, old.ID))
	f.good()
	f.allSwept()
}

// TestThreat_D9_CoinThatCameAndWentUnseen: another life of the store gave the address
// out, a contract paid it, and it was swept. This one knows of neither, and the node
// told no balance when the sweep was seen.
func TestThreat_D9_CoinThatCameAndWentUnseen(t *testing.T) {
	f := newContracts(t, bursartest.Options{})
	f.node.Trace(false)
	f.Create("ETH", "1")
	next, err := f.Gateway.Derive(f.Chain.Info().Name, "", 3, 3)
	require.NoError(t, err)
	at := next[0].Address
	f.Chain.PaySelfDestruct("exchange", at, units(t, f.ETH, "2"))
	f.Mine(1)
	f.steal(f.account(0, 3, at), f.ETH, units(t, f.ETH, "1.5"), f.Treasury)
	f.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodBalances {
			return errNode
		}
		return nil
	})
	f.Chain.Mine(1)
	require.NoError(t, f.Gateway.Step(t.Context()))
	f.Chain.Fail(nil)
	f.Chain.Mine(1)
	require.NoError(t, f.Gateway.Step(t.Context()))
	rows := f.incoming()
	require.Len(t, rows, 2, "the sponsor's is the other one")
	require.Equal(t, at, rows[0].To)
	require.Equal(t, units(t, f.ETH, "2"), rows[0].Amount)
	f.Settle()
	f.good()
}
