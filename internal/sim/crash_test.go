package sim_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/internal/sim"
)

// D1: whatever a process did last before it died, the next one ends as if nothing
// had happened: each effect that outlives a process is the last one once, in each of
// the scenarios. By default a few of them; -sim.every=1 tries all.
func TestThreat_D1_EveryCrashPointOfEveryScenario(t *testing.T) {
	for i, s := range sim.Scenarios() {
		if testing.Short() && i%5 != 0 {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			whole := bubble(t, told(s))
			require.NoError(t, whole.Err)
			require.Greater(t, whole.Lasting, 15)
			for n := 1; n <= whole.Lasting; n += *every {
				o := told(s)
				o.Crash = sim.Crash{N: n}
				r := bubble(t, o)
				require.NoError(t, r.Err, "crash after effect %d of %d", n, whole.Lasting)
			}
			t.Logf("%d crash points", whole.Lasting)
		})
	}
}

func TestScenariosAreManyAndDiffer(t *testing.T) {
	names := map[string]bool{}
	for _, s := range sim.Scenarios() {
		require.False(t, names[s.Name], s.Name)
		names[s.Name] = true
	}
	require.GreaterOrEqual(t, len(names), 20)
}
