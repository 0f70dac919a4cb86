package quorum_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/quorum"
)

// TestReport: each provider with what it did, and each time that it was put aside
// from being in counted once, however often it fails to come back.
func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) { c.Agree = 2 })
		r, ok := chain.As[chain.Reporter](w.q)
		require.True(t, ok)
		w.Mine(3)
		head, err := w.q.Head(t.Context())
		require.NoError(t, err)
		got := r.Report()
		require.Empty(t, got.Conditions, "what never happened is missing")
		require.Len(t, got.Providers, 3)
		for _, p := range got.Providers {
			require.Equal(t, head.Latest, p.Head)
			require.Zero(t, p.ErrorRate)
			require.False(t, p.Aside)
		}
		w.nodes[1].Fail(func(chaintest.Call) error { return errAway })
		for range 40 {
			_, err := w.q.Head(t.Context())
			require.NoError(t, err)
			time.Sleep(time.Minute)
		}
		got = r.Report()
		require.Len(t, got.Conditions, 1)
		c := got.Conditions[0]
		require.Equal(t, chain.ConditionProviderDown, c.Kind)
		require.Equal(t, "b", c.Provider)
		require.True(t, c.Active)
		require.EqualValues(t, 1, c.Times)
		require.Equal(t, string(quorum.FaultTransport), c.Fault)
		require.Contains(t, c.Reason, "connection refused")
		require.Equal(t, got.Providers[1].Until, c.Until)
		require.Greater(t, got.Providers[1].ErrorRate, uint32(300))
		require.LessOrEqual(t, got.Providers[1].ErrorRate, uint32(1000))
		require.Greater(t, w.q.Providers()[1].Counters.Aside, uint64(1))
		w.nodes[1].Fail(nil)
		time.Sleep(10 * time.Minute)
		_, err = w.q.Head(t.Context())
		require.NoError(t, err)
		c = r.Report().Conditions[0]
		require.False(t, c.Active)
		require.EqualValues(t, 1, c.Times)
		require.True(t, c.Until.IsZero())
		require.Contains(t, c.Reason, "connection refused", "why it was")
	})
}
