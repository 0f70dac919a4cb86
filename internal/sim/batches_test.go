package sim_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/internal/sim"
)

// Each story of a batch reaches what it is about.
func TestStoriesOfBatchesReachTheirPoint(t *testing.T) {
	t.Parallel()
	points := map[string][]string{
		"a batch of three of which one is frozen":                      {"divided for its sources", "confirmed whole"},
		"a batch all of which is frozen once it is signed":             {"moved nothing", "confirmed whole"},
		"a batch leaves the chain and comes back":                      {"taken back", "confirmed whole"},
		"a final batch of which one was frozen leaves the chain":       {"confirmed in part", "taken back", "confirmed whole"},
		"a batch and the sweep of what it left behind leave the chain": {"confirmed in part", "taken back", "confirmed whole"},
		"a batch that is stuck and replaced":                           {"replaced", "confirmed whole"},
		"a stranger takes the authorisations of a batch":               {"confirmed whole"},
		"a deposit is lost while its batch waits":                      {"given up"},
		"a batch that does not fit is divided":                         {"divided for its size", "confirmed whole"},
	}
	for _, s := range sim.Scenarios() {
		if !s.Batches {
			continue
		}
		r := bubble(t, told(s))
		require.NoError(t, r.Err)
		require.NotEmpty(t, points[s.Name], s.Name)
		for _, point := range points[s.Name] {
			require.NotZero(t, r.Marks["batch "+point], "%s: %s", s.Name, point)
		}
		delete(points, s.Name)
	}
	require.Empty(t, points)
}
