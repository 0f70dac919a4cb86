package sim_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/internal/sim"
)

// Each story of a batch or of a payout that is canceled reaches what it is about.
func TestStoriesReachTheirPoint(t *testing.T) {
	t.Parallel()
	points := map[string][]string{
		"a batch of three of which one is frozen":                      {"batch divided for its sources", "batch confirmed whole"},
		"a batch all of which is frozen once it is signed":             {"batch moved nothing", "batch confirmed whole"},
		"a batch leaves the chain and comes back":                      {"batch taken back", "batch confirmed whole"},
		"a final batch of which one was frozen leaves the chain":       {"batch confirmed in part", "batch taken back", "batch confirmed whole"},
		"a batch and the sweep of what it left behind leave the chain": {"batch confirmed in part", "batch taken back", "batch confirmed whole"},
		"a stuck sweep that is canceled":                               {"payout overtaken->sweep"},
		"a top-up that is canceled":                                    {"payout overtaken->gas_topup"},
		"a batch that is canceled":                                     {"payout overtaken->a batch"},
		"a batch that is stuck and replaced":                           {"batch replaced", "batch confirmed whole"},
		"a stranger takes the authorisations of a batch":               {"batch confirmed whole"},
		"a deposit is lost while its batch waits":                      {"batch given up"},
		"a batch that does not fit is divided":                         {"batch divided for its size", "batch confirmed whole"},
	}
	for _, s := range sim.Scenarios() {
		if len(points[s.Name]) == 0 {
			require.False(t, s.Batches, s.Name)
			continue
		}
		r := bubble(t, told(s))
		require.NoError(t, r.Err)
		for _, point := range points[s.Name] {
			require.NotZero(t, r.Marks[point], "%s: %s", s.Name, point)
		}
		delete(points, s.Name)
	}
	require.Empty(t, points)
}
