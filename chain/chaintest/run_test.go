package chaintest_test

import (
	"testing"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

func TestSimulatedChainConforms(t *testing.T) {
	for name, o := range map[string]chaintest.Options{
		"plain":     {},
		"finalized": {Finalized: true},
		"on demand": {Info: chain.Info{OnDemandBlocks: true}},
		"other id":  {Info: chain.Info{ID: "eip155:56", Name: "bsc", PageBlocks: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			chaintest.Run(t, func(*testing.T) chaintest.Harness { return chaintest.New(o).Harness() })
		})
	}
}

func TestSimulatedBatchesConform(t *testing.T) {
	for name, o := range map[string]chaintest.Options{
		"plain":     {},
		"on demand": {Info: chain.Info{OnDemandBlocks: true}},
		"other id":  {Info: chain.Info{ID: "eip155:56", Name: "bsc", PageBlocks: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			chaintest.RunBatches(t, func(*testing.T) chaintest.BatchHarness { return chaintest.NewBatchHarness(o) })
		})
	}
	// With the contract there, everything else is as without.
	chaintest.Run(t, func(*testing.T) chaintest.Harness { return chaintest.NewBatchHarness(chaintest.Options{}).Harness })
}
