package evm

import (
	"bytes"
	"errors"
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// farFull reads full blocks, far below the head, forty at a time: in halves of
// twenty.
func farFull(t *testing.T, n *fakeNode) *Client {
	return n.far(t, func(c *Config) { c.Native, c.PageBlocks = NativeFull, 40 })
}

// atHeight returns a bend that changes what the node shows of the blocks of the
// heights.
func atHeight(from, to uint64, change func(block any) (any, object)) func(string, []any, any) (any, object) {
	return func(method string, params []any, result any) (any, object) {
		if method != "eth_getBlockByNumber" {
			return result, nil
		}
		if full, _ := params[1].(bool); !full {
			return result, nil // a look at the head
		}
		if h := heightOf(params[0]); h < from || h > to {
			return result, nil
		}
		return change(result)
	}
}

func TestHalvesAreOnePage(t *testing.T) {
	n, w := randomChain(t, 3, 40)
	page, err := farFull(t, n).Transfers(t.Context(), 1, 40, w)
	require.NoError(t, err)
	require.Len(t, page.Blocks, 40)
	single, err := upTo(t, n.far(t, func(c *Config) { c.Native, c.PageBlocks = NativeFull, 1 }), 40, w)
	require.NoError(t, err)
	require.Equal(t, single, page)
}

// The requests of both halves are under way at the same time.
func TestHalvesAreReadAtOnce(t *testing.T) {
	n, w := randomChain(t, 3, 40)
	c := farFull(t, n)
	_, err := c.Head(t.Context())
	require.NoError(t, err)
	var mu sync.Mutex
	waiting, both := 0, make(chan struct{})
	n.serve = func(_ http.ResponseWriter, body []byte) bool {
		if !bytes.Contains(body, []byte(`"eth_getBlockByNumber"`)) || !bytes.Contains(body, []byte("true")) {
			return false
		}
		mu.Lock()
		if waiting++; waiting == 2 {
			close(both)
		}
		mu.Unlock()
		select {
		case <-both:
		case <-time.After(time.Minute):
			t.Error("the second half is not asked for while the first waits")
		}
		return false
	}
	page, err := c.Transfers(t.Context(), 1, 40, w)
	require.NoError(t, err)
	require.Len(t, page.Blocks, 40)
}

func TestThreat_A1_HalvesOfTwoBranches(t *testing.T) {
	n, w := randomChain(t, 3, 40)
	n.bend = atHeight(21, 21, func(block any) (any, object) {
		other := maps.Clone(block.(object))
		other["parentHash"] = hashOf("another branch")
		return other, nil
	})
	page, err := farFull(t, n).Transfers(t.Context(), 1, 40, w)
	require.ErrorIs(t, err, chain.ErrReorg)
	require.Empty(t, page.Blocks)
}

func TestHalvesWhereTheBranchEnds(t *testing.T) {
	for _, missing := range []uint64{15, 21, 25} {
		n, w := randomChain(t, 3, 40)
		n.bend = atHeight(missing, 1000, func(any) (any, object) { return nil, nil })
		page, err := farFull(t, n).Transfers(t.Context(), 1, 40, w)
		require.NoError(t, err, missing)
		require.Len(t, page.Blocks, int(missing)-1)
	}
}

// A gap in the lower half is not jumped over, whatever the upper one has.
func TestThreat_A2_GapInTheLowerHalf(t *testing.T) {
	n, w := randomChain(t, 3, 40)
	n.bend = atHeight(9, 12, func(any) (any, object) { return nil, nil })
	page, err := farFull(t, n).Transfers(t.Context(), 1, 40, w)
	require.NoError(t, err)
	require.Len(t, page.Blocks, 8)
}

func TestHalvesFailTogether(t *testing.T) {
	for _, height := range []uint64{3, 33} {
		n, w := randomChain(t, 3, 40)
		n.bend = atHeight(height, height, func(any) (any, object) { return nil, object{"code": -32000, "message": "busy"} })
		page, err := farFull(t, n).Transfers(t.Context(), 1, 40, w)
		var refusal *RPCError
		require.True(t, errors.As(err, &refusal), "%v", err)
		require.Equal(t, "busy", refusal.Message)
		require.Empty(t, page)
	}
}
