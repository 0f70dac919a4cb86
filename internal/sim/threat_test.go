package sim_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/internal/sim"
)

// only runs some seeds with a few kinds of faults and no others, and returns how
// often each mark was reached.
func only(t *testing.T, faults ...sim.Fault) map[string]int {
	t.Helper()
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	var sum summary
	for seed := range uint64(3) {
		r := bubble(t, sim.Options{Seed: 900 + seed, Blocks: 100, Only: faults})
		require.NoError(t, r.Err, "seed %d", 900+seed)
		sum.add(r)
	}
	for _, f := range faults {
		require.NotZero(t, sum.marks["fault "+string(f)], f)
	}
	return sum.marks
}

// A14: a sequencer, or the chain below it, takes blocks back at any depth, while the
// finalized tag stands still: nothing is credited twice and nothing is lost.
func TestThreat_A14_ReorgsOfEveryDepthAndAStalledTag(t *testing.T) {
	t.Parallel()
	marks := only(t, sim.ChainReorg, sim.ChainDeep, sim.ChainReturn, sim.ChainStall, sim.ChainHalt)
	require.NotZero(t, marks["event chain.deep_reorg"])
	require.NotZero(t, marks["reversal L1"])
}

// C18: the clock of the store jumps by minutes, forward and back, and a process
// stands still beyond its lease: timeouts go by a process's own monotonic clock,
// leases by the store's, verdicts at a deadline by the chain's.
func TestThreat_C18_ClocksJump(t *testing.T) {
	t.Parallel()
	marks := only(t, sim.StoreClock, sim.Freeze)
	require.NotZero(t, marks["event payment.expired"])
	require.NotZero(t, marks["event payment.settled"])
}

// E16: whoever was told that a payment is confirmed is told when it is not any more,
// in order, though receivers fail and answers are lost: a receiver that keeps the
// newest sequence number ends where the gateway does, which the oracle checks (Q7).
func TestThreat_E16_AConfirmationIsTakenBackInTheOpen(t *testing.T) {
	t.Parallel()
	marks := only(t, sim.ChainDeep, sim.ChainReturn, sim.TellFail, sim.TellLost)
	require.NotZero(t, marks["event payment.reverted"])
	require.NotZero(t, marks["event transaction.orphaned"])
}
