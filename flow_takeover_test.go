package bursar_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// orphanSwept mines until a sweep is in a block, and takes its deposit and all that
// came after it from the chain. What was signed stays good.
func (f *flow) orphanSwept(id chain.TxID) bursar.Payout {
	f.t.Helper()
	for range 40 {
		if rows := f.payouts(bursar.PayoutSweep); len(rows) == 1 && rows[0].Status == bursar.PayoutConfirming {
			depth := f.Chain.Head().Height - f.incoming()[0].Block + 1
			f.Chain.Reorg(int(depth), chaintest.ReorgOptions{Drop: []chain.TxID{id}})
			return rows[0]
		}
		f.Mine(1)
	}
	f.t.Fatal("no sweep was made")
	return bursar.Payout{}
}

// TestThreat_F14_ASignedSweepTakesWhatCameInstead: the deposit is gone, and what came
// in its place has another name. The sweep that was signed moves it all the same.
func TestThreat_F14_ASignedSweepTakesWhatCameInstead(t *testing.T) {
	for _, symbol := range []string{"ETH", "USDC"} {
		for _, c := range []struct {
			name   string
			again  []string
			total  string
			first  bursar.PayoutStatus
			sweeps int
		}{
			{"the same", []string{"10"}, "10", bursar.PayoutConfirmed, 1},
			{"in parts", []string{"4", "6"}, "10", bursar.PayoutConfirmed, 1},
			{"more", []string{"9", "6"}, "15", bursar.PayoutConfirmed, 2},
			{"less", []string{"3"}, "3", bursar.PayoutCanceled, 2},
		} {
			if symbol == "ETH" && c.name == "less" {
				continue // such a sweep can be mined again once there is enough
			}
			for _, atOnce := range []bool{false, true} {
				t.Run(fmt.Sprint(symbol, " ", c.name, " ", atOnce), func(t *testing.T) {
					f := newFlow(t, bursartest.Options{})
					a, err := f.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: "c"})
					require.NoError(t, err)
					asset := map[string]chain.Asset{"ETH": f.ETH, "USDC": f.USDC}[symbol]
					first := f.orphanSwept(f.Chain.Pay("one", a.Address, asset, units(t, asset, "10")))
					for _, n := range c.again {
						f.Chain.Pay("one", a.Address, asset, units(t, asset, n))
					}
					if atOnce {
						f.Chain.Mine(20) // the reorg and all that follows is one page
					}
					for range 4 {
						f.Settle()
					}
					require.Equal(t, units(t, asset, c.total).String(), f.minus(asset, "customer:c"))
					rows := f.payouts(bursar.PayoutSweep)
					require.Len(t, rows, c.sweeps)
					require.Equal(t, first.ID, rows[0].ID)
					require.Equal(t, c.first, rows[0].Status)
					f.noBrokenRules()
					f.allSwept()
				})
			}
		}
	}
}
