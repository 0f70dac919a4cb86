package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/quorum"
	"github.com/bursar-go/bursar/e2e/node"
)

func TestConformanceQuorumSimulated(t *testing.T) { conformQuorum(t, nodes.Simulated) }
func TestConformanceQuorumAnvil(t *testing.T)     { conformQuorum(t, nodes.Anvil) }
func TestConformanceQuorumGeth(t *testing.T)      { conformQuorum(t, nodes.Geth) }

// conformQuorum runs the suite over two honest clients of a real node and one
// whose answers are falsified on the way: it hides logs, asks a thousand times the
// price, and is too busy now and then.
func conformQuorum(t *testing.T, open func(testing.TB) *node.Network) {
	var once sync.Once
	var deployed contracts
	chaintest.Run(t, func(t *testing.T) chaintest.Harness {
		n := open(t)
		once.Do(func() { deployed = deploy(t, n) })
		h := deployed.harness(t, n)
		tag := "finalized"
		if n.Name != "anvil" {
			// A development chain of geth's calls each 32nd block final at once, and takes
			// it back with its branch, for which a provider is put aside.
			tag = ""
		}
		liar := deployed.clientOver(t, n, &http.Client{Transport: &falsifier{change: map[string]func(json.RawMessage) json.RawMessage{
			"eth_getLogs":              func(json.RawMessage) json.RawMessage { return json.RawMessage("[]") },
			"eth_maxPriorityFeePerGas": func(json.RawMessage) json.RawMessage { return json.RawMessage(`"0x174876e800"`) },
			"eth_feeHistory": func(json.RawMessage) json.RawMessage {
				const row = `["0x174876e800","0x174876e800"]`
				return json.RawMessage(`{"oldestBlock":"0x1","reward":[` + row + `,` + row + `,` + row + `]}`)
			},
		}, busy: 40}}, tag)
		h.Client = three(t, liar, deployed.clientOver(t, n, nil, tag), deployed.clientOver(t, n, nil, tag))
		return h
	})
}

// three is a quorum of which two must agree. It waits for all of them: who is slow is
// so by the machine's doing.
func three(t *testing.T, clients ...chain.Client) *quorum.Client {
	t.Helper()
	cfg := quorum.Config{Agree: 2, HedgeLeast: time.Minute, HedgeMost: time.Minute}
	for i, c := range clients {
		cfg.Providers = append(cfg.Providers, quorum.Provider{Name: string(rune('a' + i)), Client: c})
	}
	q, err := quorum.New(cfg)
	require.NoError(t, err)
	return q
}

// falsifier changes results of JSON-RPC on their way back.
type falsifier struct {
	// change is what becomes of the result of a method.
	change map[string]func(json.RawMessage) json.RawMessage
	// busy has every so-many-th request refused; 0: none.
	busy  int64
	count atomic.Int64
	// lied counts changed results.
	lied atomic.Int64
}

type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
}

func (f *falsifier) RoundTrip(r *http.Request) (*http.Response, error) {
	if n := f.count.Add(1); f.busy > 0 && n%f.busy == 0 {
		return &http.Response{StatusCode: 429, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	again := r.Clone(r.Context())
	again.Body = io.NopCloser(bytes.NewReader(asked))
	resp, err := http.DefaultTransport.RoundTrip(again)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	body = f.falsify(asked, body)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Del("Content-Length")
	return resp, nil
}

// falsify changes the results of a batch, or of a single call.
func (f *falsifier) falsify(asked, body []byte) []byte {
	var calls []message
	single := json.Unmarshal(asked, &calls) != nil
	if single {
		calls = make([]message, 1)
		if json.Unmarshal(asked, &calls[0]) != nil {
			return body
		}
	}
	methods := map[string]string{}
	for _, c := range calls {
		methods[string(c.ID)] = c.Method
	}
	var answers []map[string]json.RawMessage
	if single {
		answers = make([]map[string]json.RawMessage, 1)
		if json.Unmarshal(body, &answers[0]) != nil {
			return body
		}
	} else if json.Unmarshal(body, &answers) != nil {
		return body
	}
	for _, a := range answers {
		change, ok := f.change[methods[string(a["id"])]]
		if result := a["result"]; ok && result != nil {
			a["result"] = change(result)
			f.lied.Add(1)
		}
	}
	var out []byte
	if single {
		out, _ = json.Marshal(answers[0])
	} else {
		out, _ = json.Marshal(answers)
	}
	return out
}

// TestThreat_C9_HiddenLogsOfARealNode: one who keeps a token's logs to itself is
// outvoted, or contradicts itself, and the deposit is told.
func TestThreat_C9_HiddenLogsOfARealNode(t *testing.T) {
	n := nodes.Simulated(t)
	c := deploy(t, n)
	hides := &falsifier{change: map[string]func(json.RawMessage) json.RawMessage{
		"eth_getLogs": func(json.RawMessage) json.RawMessage { return json.RawMessage("[]") },
		// Without its bloom the block does not give the lie away.
		"eth_getBlockByNumber": withoutBloom,
	}}
	liar := c.clientOver(t, n, &http.Client{Transport: hides}, "finalized")
	h := c.harness(t, n)
	own := chaintest.NewSigner(h.Client.Codec(), t.Name()).Account("own").Address
	watch := chaintest.NewWatch(h.Client.Codec(), []chain.Asset{c.tokens[chaintest.TokenPlain]}, own)
	h.PayToken(chaintest.TokenPlain, own, chain.NewAmount(7))
	h.Mine(1)
	head, err := h.Client.Head(t.Context())
	require.NoError(t, err)
	alone, err := liar.Transfers(t.Context(), head.Latest.Height-1, head.Latest.Height, watch)
	require.NoError(t, err)
	require.Empty(t, alone.Transfers, "who asks it alone believes it")

	q := three(t, liar, c.client(t, n), c.client(t, n))
	page, err := q.Transfers(t.Context(), head.Latest.Height-1, head.Latest.Height, watch)
	require.NoError(t, err)
	require.Len(t, page.Transfers, 1)
	require.Equal(t, chain.NewAmount(7), page.Transfers[0].Amount)
	require.Equal(t, quorum.FaultContradicted, q.Providers()[0].Fault)
	require.Positive(t, hides.lied.Load())
}

// withoutBloom empties the bloom of a block.
func withoutBloom(result json.RawMessage) json.RawMessage {
	var block map[string]json.RawMessage
	if json.Unmarshal(result, &block) != nil || block == nil {
		return result
	}
	block["logsBloom"] = json.RawMessage(`"0x` + string(bytes.Repeat([]byte("0"), 512)) + `"`)
	out, err := json.Marshal(block)
	if err != nil {
		return result
	}
	return out
}
