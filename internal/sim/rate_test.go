package sim_test

import (
	"flag"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/internal/sim"
)

var rate = flag.String("sim.rate", "", "measure blocks per second: calm or chaos")

// TestRate measures for the figures sim_rate and sim_rate_chaos.
func TestRate(t *testing.T) {
	o := sim.Options{Seed: 1, Blocks: *blocks, Brief: true, Instances: 3}
	switch *rate {
	case "chaos":
	case "calm":
		o.Instances, o.Calm, o.Load = 1, true, sim.Load{Open: 20, Transfers: 2}
	default:
		t.Skip("see -sim.rate")
	}
	begin := time.Now()
	r := bubble(t, o)
	took := time.Since(begin)
	require.NoError(t, r.Err)
	t.Logf("rate: %.1f blocks/s, %d effects a block", float64(r.Blocks)/took.Seconds(), r.Steps/r.Blocks)
}
