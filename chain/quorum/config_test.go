package quorum_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/quorum"
)

// TestConfigRefused: every field that cannot work is named.
func TestConfigRefused(t *testing.T) {
	sim := chaintest.New(chaintest.Options{})
	other := chaintest.New(chaintest.Options{Info: chain.Info{ID: "eip155:56"}})
	deeper := chaintest.New(chaintest.Options{Info: chain.Info{Confirmations: 5}})
	good := func() quorum.Config {
		return quorum.Config{Providers: []quorum.Provider{{Name: "a", Client: sim.Client()}, {Name: "b", Client: sim.Client()}}}
	}
	_, err := quorum.New(good())
	require.NoError(t, err)
	for _, c := range []struct {
		field string
		edit  func(*quorum.Config)
	}{
		{"Providers", func(c *quorum.Config) { c.Providers = nil }},
		{"Providers", func(c *quorum.Config) { c.Providers = make([]quorum.Provider, 65) }},
		{"Providers[1].Name", func(c *quorum.Config) { c.Providers[1].Name = "" }},
		{"Providers[1].Name", func(c *quorum.Config) { c.Providers[1].Name = "a" }},
		{"Providers[0].Name", func(c *quorum.Config) { c.Providers[0].Name = "https://node/v2/KEY" }},
		{"Providers[0].Name", func(c *quorum.Config) { c.Providers[0].Name = "a\nb" }},
		{"Providers[0].Name", func(c *quorum.Config) { c.Providers[0].Name = strings.Repeat("x", 65) }},
		{"Providers[0].Operator", func(c *quorum.Config) { c.Providers[0].Operator = "é" }},
		{"Providers[1].Client", func(c *quorum.Config) { c.Providers[1].Client = nil }},
		{"Providers[1].Client", func(c *quorum.Config) { c.Providers[1].Client = other.Client() }},
		{"Providers[1].Client", func(c *quorum.Config) { c.Providers[1].Client = deeper.Client() }},
		{"Providers[0].Rate", func(c *quorum.Config) { c.Providers[0].Rate = -1 }},
		{"Providers[0].Burst", func(c *quorum.Config) { c.Providers[0].Burst = 3 }},
		{"Agree", func(c *quorum.Config) { c.Agree = 3 }},
		{"Agree", func(c *quorum.Config) { c.Agree = -1 }},
		{"Agree", func(c *quorum.Config) { c.Agree = 2; c.Providers[1].Operator = "a" }},
		{"Sample", func(c *quorum.Config) { c.Agree, c.Sample = 2, 5 }},
		{"Sample", func(c *quorum.Config) { c.Sample = 5; c.Providers = c.Providers[:1] }},
		{"Checkpoints[0].Hash", func(c *quorum.Config) { c.Checkpoints = []chain.BlockRef{{Height: 4}} }},
		{"FailAfter", func(c *quorum.Config) { c.FailAfter = -1 }},
		{"FeeRatio", func(c *quorum.Config) { c.FeeRatio = 1 }},
		{"Recheck", func(c *quorum.Config) { c.Recheck = time.Millisecond }},
		{"Cooldown", func(c *quorum.Config) { c.Cooldown = -1 }},
		{"MaxCooldown", func(c *quorum.Config) { c.Cooldown, c.MaxCooldown = time.Minute, time.Second }},
		{"HedgeLeast", func(c *quorum.Config) { c.HedgeLeast = -1 }},
		{"HedgeMost", func(c *quorum.Config) { c.HedgeLeast, c.HedgeMost = time.Minute, time.Second }},
		{"HeadAge", func(c *quorum.Config) { c.HeadAge = -1 }},
	} {
		cfg := good()
		c.edit(&cfg)
		_, err := quorum.New(cfg)
		var bad *quorum.ConfigError
		require.ErrorAs(t, err, &bad, c.field)
		require.Equal(t, c.field, bad.Field, bad.Reason)
		require.NotContains(t, err.Error(), "KEY")
	}
}

// secretive is a client that would print its key.
type secretive struct {
	*chaintest.Client
	Key string
}

// TestNothingPrintsClients: whatever verb, what a client holds stays there.
func TestNothingPrintsClients(t *testing.T) {
	cfg := quorum.Config{Agree: 1, Providers: []quorum.Provider{{Name: "a", Operator: "acme", Client: secretive{chaintest.New(chaintest.Options{}).Client(), "s3cret"}}}}
	q, err := quorum.New(cfg)
	require.NoError(t, err)
	for _, x := range []any{cfg, q, cfg.Providers[0], &cfg} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			got := fmt.Sprintf(verb, x)
			require.NotContains(t, got, "s3cret")
			require.Contains(t, got, "a (acme)")
		}
	}
}

// TestConfigIsCopied: what the caller does to it later has no effect.
func TestConfigIsCopied(t *testing.T) {
	sim := chaintest.New(chaintest.Options{})
	list := []quorum.Provider{{Name: "a", Client: sim.Client()}, {Name: "b", Client: sim.Client()}}
	q, err := quorum.New(quorum.Config{Providers: list})
	require.NoError(t, err)
	list[0].Name, list[1] = "z", quorum.Provider{}
	require.Equal(t, "a", q.Providers()[0].Name)
	require.Equal(t, "b", q.Providers()[1].Operator)
}

// TestPageBlocks: the least of all providers' is what can be promised.
func TestPageBlocks(t *testing.T) {
	small, large := chaintest.New(chaintest.Options{Info: chain.Info{PageBlocks: 3}}), chaintest.New(chaintest.Options{})
	q, err := quorum.New(quorum.Config{Providers: []quorum.Provider{{Name: "a", Client: large.Client()}, {Name: "b", Client: small.Client()}}})
	require.NoError(t, err)
	require.Equal(t, uint64(3), q.Info().PageBlocks)
	large.Mine(20)
	small.Mine(20)
	p, err := q.Transfers(t.Context(), 1, ^uint64(0), chaintest.NewWatch(q.Codec(), nil))
	require.NoError(t, err)
	require.Len(t, p.Blocks, 3)
}
