package bursar_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/bursartest"
)

// TestThreat_D6_SilentLeaderIsReplacedInTime: what the store is asked for is
// shorter than the lease by the time that others take to notice its end.
func TestThreat_D6_SilentLeaderIsReplacedInTime(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: longLease})
	two, lease := f.twin("two"), f.cfg.Lease
	f.Restart() // with a fresh lease
	f.Step()
	f.Chain.AdvanceTime(lease * 6 / 8)
	before := f.state().Version
	f.Chain.Mine(1)
	require.NoError(t, two.Step(t.Context()))
	require.Equal(t, before, f.state().Version, "too early")
	f.Chain.AdvanceTime(lease / 8)
	require.NoError(t, two.Step(t.Context()))
	require.Greater(t, f.state().Version, before)
}
