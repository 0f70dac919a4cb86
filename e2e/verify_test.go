package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/quorum"
	"github.com/bursar-go/bursar/e2e/node"
)

// rewriting changes the bytes of each answer.
type rewriting struct{ old, new string }

func (w rewriting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	body = bytes.ReplaceAll(body, []byte(w.old), []byte(w.new))
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Del("Content-Length")
	return resp, err
}

// noRaw answers for a node that has no debug_getRawBlock.
func noRaw() http.RoundTripper {
	return &falsifier{change: map[string]func(json.RawMessage) json.RawMessage{
		"debug_getRawBlock": func(json.RawMessage) json.RawMessage { return json.RawMessage(`"0x"`) },
	}}
}

// verifying is a client of the world's node that verifies, over a transport.
func (w *modesWorld) verifying(t *testing.T, native evm.NativeSource, over http.RoundTripper) *evm.Client {
	t.Helper()
	c, err := evm.New(evm.Config{
		Preset: evm.Local(w.n.ChainID), URL: w.n.URL, HTTP: &http.Client{Transport: over}, PageBlocks: 7, Native: native, Verify: true,
	})
	require.NoError(t, err)
	_, err = c.Head(t.Context())
	require.NoError(t, err)
	return c
}

// TestRealBlocksVerify: header, receipts and, where the node has them, transactions
// of real nodes fit their hashes, whichever way the blocks are read.
func TestRealBlocksVerify(t *testing.T) {
	var nodes node.Pool
	defer nodes.Close()
	for name, open := range map[string]func(testing.TB) *node.Network{"anvil": nodes.Anvil, "geth": nodes.Geth, "simulated": nodes.Simulated} {
		t.Run(name, func(t *testing.T) {
			w := newModesWorld(t, open(t))
			for _, native := range []evm.NativeSource{evm.NativeFull, evm.NativeBlocks, evm.NativeProbe} {
				for way, over := range map[string]http.RoundTripper{"as it is": http.DefaultTransport, "without raw blocks": noRaw()} {
					want, _ := w.read(t, true, func(c *evm.Config) { c.Native = native })
					c := w.verifying(t, native, over)
					var got chain.Page
					for from := w.from; from <= w.to; {
						p, err := c.Transfers(t.Context(), from, w.to, w.watch)
						require.NoError(t, err, "%s %s", native, way)
						got.Transfers = append(got.Transfers, p.Transfers...)
						from = p.Last().Height + 1
					}
					require.Equal(t, want.Transfers, got.Transfers)
					require.Greater(t, c.Stats().Verified, uint64(3), "%s %s", native, way)
					require.Zero(t, c.Stats().Unverifiable, "%s %s", native, way)
				}
			}
		})
	}
}

// TestThreat_C8_ARealBlockWithAnotherAmount: what a node in between changes, in each
// of its answers alike, does not fit the block; a quorum that believes one alone
// puts the liar aside at once and goes on with the next.
func TestThreat_C8_ARealBlockWithAnotherAmount(t *testing.T) {
	var nodes node.Pool
	defer nodes.Close()
	for name, open := range map[string]func(testing.TB) *node.Network{"anvil": nodes.Anvil, "geth": nodes.Geth} {
		t.Run(name, func(t *testing.T) {
			w := newModesWorld(t, open(t))
			lie := rewriting{fmt.Sprintf("0x%064x", 12), fmt.Sprintf("0x%064x", 12_000_000)}
			_, err := w.verifying(t, evm.NativeFull, lie).Transfers(t.Context(), w.from, w.to, w.watch)
			require.ErrorIs(t, err, chain.ErrForged)
			q, err := quorum.New(quorum.Config{HedgeLeast: time.Minute, HedgeMost: time.Minute, Providers: []quorum.Provider{
				{Name: "liar", Client: w.verifying(t, evm.NativeFull, lie)}, {Name: "honest", Client: w.verifying(t, evm.NativeFull, http.DefaultTransport)},
			}})
			require.NoError(t, err)
			page, err := q.Transfers(t.Context(), w.from, w.to, w.watch)
			require.NoError(t, err)
			want, err := w.verifying(t, evm.NativeFull, http.DefaultTransport).Transfers(t.Context(), w.from, w.to, w.watch)
			require.NoError(t, err)
			require.Equal(t, want, page)
			require.Equal(t, quorum.FaultForged, q.Providers()[0].Fault)
			require.True(t, q.Providers()[0].Aside)
		})
	}
}
