package bursar_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
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
