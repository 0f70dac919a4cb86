package contracts_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// forks are the rules whose prices are told, with the gas that transactions ask for:
// under the coming ones more than today's most, since of what makes state it does not
// count.
func forks() map[contracts.Rules]struct {
	change rules
	gas    uint64
} {
	return map[contracts.Rules]struct {
		change rules
		gas    uint64
	}{
		contracts.Osaka:     {osaka, contracts.TxGas},
		contracts.Amsterdam: {amsterdam, 50_000_000},
	}
}

// TestForecast holds the model of what a sweep costs, today and under the coming rules,
// to 1 percent of what transactions use. Where the same account pays alone one
// transaction tells as much as a hundred.
func TestForecast(t *testing.T) {
	if testing.Short() {
		t.Skip("hundreds of transactions, the same with and without the race detector")
	}
	classes := map[string]contracts.Class{"coin": contracts.Coin, "oz": contracts.Plain, "usdt": contracts.Checked, "usdc": contracts.Proxied}
	for under, fork := range forks() {
		for way := contracts.Fresh; way <= contracts.Transfer; way++ {
			for asset, class := range classes {
				g, err := contracts.GasOf(under, way, class)
				if err != nil {
					continue // nobody does that
				}
				t.Run(fmt.Sprintf("%s_%s_%d", way, asset, under), func(t *testing.T) {
					t.Parallel()
					for _, n := range []int{1, 3, 40} {
						if way >= contracts.TopUp && n > 1 {
							return
						}
						w := newWorldOf(t, fork.change)
						w.gas = fork.gas
						used := w.sweep(way.String(), asset, n)
						t.Logf("%d: %d gas, forecast %d", n, used, g.Of(n))
						require.InEpsilon(t, used, g.Of(n), 0.01, "%d a batch", n)
					}
				})
			}
		}
	}
}

// What some accounts do not use up of the refunds others may have, of both rules.
func TestForecastOfFirstAndLaterOnes(t *testing.T) {
	if testing.Short() {
		t.Skip("the same with and without the race detector")
	}
	for under, fork := range forks() {
		for asset, class := range map[string]contracts.Class{"oz": contracts.Plain, "coin": contracts.Coin} {
			fresh, err := contracts.GasOf(under, contracts.Fresh, class)
			require.NoError(t, err)
			reused, err := contracts.GasOf(under, contracts.Reused, class)
			require.NoError(t, err)
			for _, n := range []int{2, 20} {
				w := newWorldOf(t, fork.change)
				w.gas = fork.gas
				used := w.sweep("7702mixed", asset, n)
				require.InEpsilon(t, used, fresh.With(n/2, reused, n/2), 0.01, "%s %s %d", under, asset, n)
			}
		}
	}
}
