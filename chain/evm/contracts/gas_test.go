package contracts

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A transaction takes 480 accounts at once, and 1,400 that were used before.
func TestFitWhatWasPromised(t *testing.T) {
	for way, least := range map[Way]int{Fresh: 480, Reused: 1400, ForwarderFirst: 340, ForwarderLater: 1400} {
		cost, err := CostOf(way, Plain)
		require.NoError(t, err)
		require.GreaterOrEqual(t, cost.Fit(100_000), least, way.String())
	}
}

func TestCostOfEveryWayAndClass(t *testing.T) {
	for way := Way(0); way <= ForwarderLater+1; way++ {
		for class := Class(0); class <= Proxied+1; class++ {
			cost, err := CostOf(way, class)
			if way == 0 || way > ForwarderLater || class == 0 || class > Proxied {
				var bad *FieldError
				require.ErrorAs(t, err, &bad)
				require.Zero(t, cost)
				continue
			}
			require.NoError(t, err)
			require.Greater(t, cost.Entry, uint64(10_000), "%s %d", way, class)
		}
	}
}

// What fits does, and one more does not.
func TestFitIsTheMost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cost := Cost{Base: rapid.Uint64Range(0, TxGas).Draw(t, "base"), Entry: rapid.Uint64Range(0, TxGas).Draw(t, "entry")}
		gas := rapid.Uint64().Draw(t, "gas")
		n := cost.Fit(gas)
		if n > 0 {
			require.LessOrEqual(t, cost.Limit(n, gas), uint64(TxGas))
		}
		if n < MaxEntries && cost.Entry > 0 && gas <= TxGas {
			require.Greater(t, cost.Limit(n+1, gas), uint64(TxGas))
		}
	})
}
