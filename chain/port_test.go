package chain_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// identified is a client with one capability.
type identified struct{ id chain.ID }

func (c *identified) Identify(context.Context) (chain.Identity, error) {
	return chain.Identity{ID: c.id}, nil
}

// gate wraps a client and counts what goes through it.
type gate struct {
	inner any
	calls *int
	// lie makes As claim success without a target, refuse makes it fail after
	// it set one.
	lie, refuse bool
}

func (g gate) As(target any) bool {
	want, ok := target.(*chain.Identifier)
	if !ok {
		return false
	}
	if g.lie {
		return true
	}
	inner, ok := chain.As[chain.Identifier](g.inner)
	if !ok {
		return false
	}
	*want = gated{inner, g.calls}
	return !g.refuse
}

// Identify makes the gate itself look like an Identifier: As must be asked.
func (g gate) Identify(context.Context) (chain.Identity, error) {
	return chain.Identity{ID: "wrong:gate"}, nil
}

type gated struct {
	chain.Identifier
	calls *int
}

func (g gated) Identify(ctx context.Context) (chain.Identity, error) {
	*g.calls++
	return g.Identifier.Identify(ctx)
}

func TestAsFindsACapability(t *testing.T) {
	c, ok := chain.As[chain.Identifier](&identified{id: "eip155:1"})
	require.True(t, ok)
	who, err := c.Identify(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, "eip155:1", who.ID)

	_, ok = chain.As[chain.BalanceReader](&identified{})
	require.False(t, ok)
	none, ok := chain.As[chain.Identifier](nil)
	require.False(t, ok)
	require.Nil(t, none)
}

func TestAsNeverGoesAroundAWrapper(t *testing.T) {
	calls := 0
	twice := gate{inner: gate{inner: &identified{id: "eip155:1"}, calls: &calls}, calls: &calls}
	c, ok := chain.As[chain.Identifier](twice)
	require.True(t, ok)
	who, err := c.Identify(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, "eip155:1", who.ID, "the wrapper's own method is not the capability")
	require.Equal(t, 2, calls, "through both gates")

	_, ok = chain.As[chain.Identifier](gate{inner: 1})
	require.False(t, ok, "the inner one has it not, so that the wrapper has it not")
	_, ok = chain.As[chain.BalanceReader](gate{inner: &identified{}})
	require.False(t, ok)
}

func TestAsDoesNotBelieveAnEmptyTarget(t *testing.T) {
	c, ok := chain.As[chain.Identifier](gate{lie: true})
	require.False(t, ok)
	require.Nil(t, c)
	calls := 0
	c, ok = chain.As[chain.Identifier](gate{inner: &identified{}, calls: &calls, refuse: true})
	require.False(t, ok)
	require.Nil(t, c, "what a refusal left behind does not get out")
}
