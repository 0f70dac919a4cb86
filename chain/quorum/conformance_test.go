package quorum_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/quorum"
)

// TestConformance: a quorum keeps the contract of the port, whatever it asks for.
func TestConformance(t *testing.T) {
	for name, o := range map[string]chaintest.Options{
		"plain":     {},
		"finalized": {Finalized: true},
		"on demand": {Info: chain.Info{OnDemandBlocks: true}},
		"small":     {Info: chain.Info{PageBlocks: 3}},
	} {
		for agree := 1; agree <= 3; agree++ {
			t.Run(fmt.Sprintf("%s/%d of 3", name, agree), func(t *testing.T) {
				chaintest.Run(t, func(t *testing.T) chaintest.Harness {
					sim := chaintest.New(o)
					h := sim.Harness()
					cfg := quorum.Config{Agree: agree, HedgeLeast: time.Hour, HedgeMost: time.Hour}
					for _, name := range []string{"a", "b", "c"} {
						cfg.Providers = append(cfg.Providers, quorum.Provider{Name: name, Client: sim.Client()})
					}
					if agree == 1 {
						cfg.Sample = 2
					}
					q, err := quorum.New(cfg)
					require.NoError(t, err)
					h.Client = q
					return h
				})
			})
		}
	}
}
