package evm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// rangeRefusals are the words of nodes and providers for a question for logs
// that is too large. They were collected from their documentation and from
// reports of their users.
var rangeRefusals = []struct {
	who     string
	code    int
	message string
}{
	{"geth", -32602, "block range greater than max range"},
	{"geth", -32000, "exceed maximum block range: 50000"},
	{"geth", -32003, "response too large"},
	{"Erigon", -32000, "query block range exceeds server limit"},
	{"Erigon", -32000, "block range limit exceeded (max: 1000)"},
	{"Nethermind", -32005, "Too many logs requested. Max logs per response is 20000."},
	{"Besu", -32000, "Requested range exceeds maximum RPC range limit"},
	{"Reth", -32602, "query exceeds max block range 100000"},
	{"Reth", -32602, "query exceeds max results 20000, retry with the range 20000000-20000009"},
	{"Alchemy", -32602, "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the response size, or you can request any block range with a cap of 10K logs in the response. Based on your parameters and the response size limit, this block range should work: [0x0, 0xd043b8]"},
	{"Alchemy, free", -32600, "You can make eth_getLogs requests with up to a 500 block range. Based on your parameters, this block range should work: [0x123c9b2, 0x123cba5]"},
	{"Infura", -32005, "query returned more than 10000 results. Try with this block range [0xBDE5F8, 0x102DBCC]."},
	{"Infura", -32602, "range 1000000 exceeds limit of 10000"},
	{"Infura", -32005, "query returned more than 1000 results"},
	{"Infura", -32005, "query timeout exceeded"},
	{"QuickNode", -32614, "eth_getLogs is limited to a 10,000 range"},
	{"Ankr", -32600, "block range is too wide"},
	{"Ankr", -32000, "Response is too big"},
	{"Cloudflare", -32047, "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: 800"},
	{"BSC", -32000, "exceed maximum block range: 5000"},
	{"BSC", -32005, "limit exceeded"},
	{"Chainstack", -32002, "Block range limit exceeded. See more details at https://docs.chainstack.com/docs/limits"},
	{"dRPC", 35, "ranges over 10000 blocks are not supported on freetier"},
	{"Coinbase", -32602, "please limit the query to at most 1000 blocks"},
	{"BlockPI", -32602, "eth_getLogs is limited to 1024 block range. Please check the parameter requirements"},
	{"Merkle", -32602, "eth_getLogs range is too large, max is 1k blocks"},
	{"LlamaRPC", -32602, "query exceeds max results 20000"},
	{"Base", -32000, "block range too large"},
	{"Moonbeam", -32603, "block range is too wide (maximum 1024)"},
	{"Tron", -32602, "exceed max block range: 5000"},
	{"Polygon", -32000, "block range exceeds configured limit"},
	{"Arbitrum", -32000, "logs matched by query exceeds limit of 10000"},
}

var topicRefusals = []string{"exceed max topics", "exceed max addresses or topics per search position", "invalid argument 0: too many topics", "A maximum of 5,000 parameters in a single request"}

var batchRefusals = []struct {
	who     string
	code    int
	message string
}{
	{"geth", -32600, "batch too large"},
	{"Erigon", -32000, "batch limit 100 exceeded (can increase by --rpc.batch.limit)"},
	{"Alchemy", -32600, "Batch size too large"},
	{"Reth", -32600, "Too many requests in a batch"},
	{"Nethermind", -32005, "Batch size limit exceeded"},
	{"Besu", -32000, "Number of requests in batch exceeds max batch size"},
	{"QuickNode", -32600, "maximum batch size exceeded"},
	{"a proxy", -32600, "Batch requests are not supported"},
	{"another", -32601, "batching is disabled"},
}

func refusalOf(code int, message string) error { return &RPCError{Code: int64(code), Message: message} }

func TestThreat_C4_RefusalsAreTold(t *testing.T) {
	for _, r := range rangeRefusals {
		require.True(t, isRangeLimit(refusalOf(r.code, r.message)), "%s: %s", r.who, r.message)
		require.False(t, isBatchLimit(refusalOf(r.code, r.message)), "%s: %s", r.who, r.message)
	}
	for _, message := range topicRefusals {
		require.True(t, isTopicLimit(refusalOf(-32602, message)), message)
	}
	for _, r := range batchRefusals {
		require.True(t, isBatchLimit(refusalOf(r.code, r.message)), "%s: %s", r.who, r.message)
	}
	for _, message := range []string{"execution reverted", "unknown block", "internal error", "invalid argument 0: json: cannot unmarshal", "nonce too low"} {
		require.False(t, isRangeLimit(refusalOf(-32000, message)), message)
		require.False(t, isBatchLimit(refusalOf(-32000, message)), message)
		require.False(t, isTopicLimit(refusalOf(-32000, message)), message)
	}
	// Who asks for patience is not asked for less.
	for _, message := range []string{"Too Many Requests", "rate limit exceeded", "daily request count exceeded, request rate limited", "Your app has exceeded its compute units per second capacity", "project ID request rate exceeded: 10 per second"} {
		require.False(t, isRangeLimit(refusalOf(-32005, message)), message)
	}
	require.False(t, isRangeLimit(&HTTPError{Status: http.StatusTooManyRequests}))
}

// limitedChain has a payment in each of its blocks, far below the head.
func limitedChain(t *testing.T) (*fakeNode, *fakeWatch) {
	n := newFakeNode(t)
	for range 64 {
		n.mine(fakeTx{from: customer, to: coin, nonce: uint64(len(n.blocks)), logs: []fakeLog{transferLog(coin, customer, ben, 10)}})
	}
	n.pad(t, 40)
	return n, watching([]string{coin}, ben)
}

func TestThreat_C4_RangesShrinkAndGrow(t *testing.T) {
	for i, r := range rangeRefusals {
		for _, most := range []uint64{1, 3, 20} {
			n, w := limitedChain(t)
			widest := uint64(0)
			n.bend = func(method string, params []any, result any) (any, object) {
				if method != "eth_getLogs" || params[0].(object)["fromBlock"] == nil {
					return result, nil
				}
				size := heightOf(params[0].(object)["toBlock"]) - heightOf(params[0].(object)["fromBlock"]) + 1
				if size > most {
					return nil, object{"code": r.code, "message": r.message}
				}
				widest = max(widest, size)
				return result, nil
			}
			c := n.far(t, func(c *Config) { c.PageBlocks = 16 })
			p, err := upTo(t, c, 64, w)
			require.NoError(t, err, r.who)
			require.Len(t, p.Transfers, 64, "%s, at most %d blocks", r.who, most)
			if most == 20 {
				require.Zero(t, c.Capabilities().LogRange, "pages of 16 were taken")
				continue
			}
			if i > 0 {
				continue
			}
			n.bend = nil
			for range 40 {
				_, err = upTo(t, c, 64, w)
				require.NoError(t, err)
			}
			require.Zero(t, c.Capabilities().LogRange, "the limit is gone: %s", r.who)
		}
	}
}

func TestThreat_C4_ReceiversShrink(t *testing.T) {
	for _, message := range topicRefusals {
		n, _ := limitedChain(t)
		addresses := []string{ben}
		for i := range 1500 {
			addresses = append(addresses, "0x"+hashOf("watched", i)[26:])
		}
		named := 0
		n.bend = func(method string, params []any, result any) (any, object) {
			if method != "eth_getLogs" || params[0].(object)["fromBlock"] == nil {
				return result, nil
			}
			if topics := params[0].(object)["topics"].([]any); len(topics) > 2 {
				if len(topics[2].([]any)) > 200 {
					return nil, object{"code": -32602, "message": message}
				}
				named++
			}
			return result, nil
		}
		c := n.far(t, func(c *Config) { c.PageBlocks = 8 })
		p, err := upTo(t, c, 64, watching([]string{coin}, addresses...))
		require.NoError(t, err)
		require.Len(t, p.Transfers, 64)
		require.LessOrEqual(t, c.Capabilities().LogReceivers, 200)
		require.NotZero(t, named)
	}
}

func TestManyWatchedReceiversAreNotNamed(t *testing.T) {
	n, _ := limitedChain(t)
	addresses := []string{ben}
	for i := range maxReceivers * maxQuestions {
		addresses = append(addresses, fmt.Sprintf("0x%040x", i+1_000_000))
	}
	n.bend = func(method string, params []any, result any) (any, object) {
		if method == "eth_getLogs" {
			require.Equal(t, 1, len(params[0].(object)["topics"].([]any)))
		}
		return result, nil
	}
	p, err := upTo(t, n.far(t), 64, watching([]string{coin}, addresses...))
	require.NoError(t, err)
	require.Len(t, p.Transfers, 64)
}

// Providers cap batches, or take single calls alone.
func TestBatchesShrinkAndGrow(t *testing.T) {
	refuse := map[string]func(rw http.ResponseWriter, calls []json.RawMessage, code int, message string){
		"as a whole": func(rw http.ResponseWriter, _ []json.RawMessage, code int, message string) {
			_ = json.NewEncoder(rw).Encode(object{"jsonrpc": "2.0", "id": nil, "error": object{"code": code, "message": message}})
		},
		"call by call": func(rw http.ResponseWriter, calls []json.RawMessage, code int, message string) {
			var out []object
			for _, c := range calls {
				var q struct{ ID json.RawMessage }
				_ = json.Unmarshal(c, &q)
				out = append(out, object{"jsonrpc": "2.0", "id": q.ID, "error": object{"code": code, "message": message}})
			}
			_ = json.NewEncoder(rw).Encode(out)
		},
		"by status": func(rw http.ResponseWriter, _ []json.RawMessage, _ int, message string) {
			http.Error(rw, message, http.StatusBadRequest)
		},
	}
	for name, answer := range refuse {
		for i, r := range batchRefusals {
			most := []int{1, 7}[i%2]
			n, w := limitedChain(t)
			n.serve = func(rw http.ResponseWriter, body []byte) bool {
				var calls []json.RawMessage
				if json.Unmarshal(body, &calls) != nil || len(calls) <= most {
					return false
				}
				answer(rw, calls, r.code, r.message)
				return true
			}
			c := n.far(t, func(c *Config) { c.PageBlocks = 40; c.MaxBatch = 20 })
			p, err := upTo(t, c, 64, w)
			require.NoError(t, err, "%s %s", r.who, name)
			require.Len(t, p.Transfers, 64)
			// Both halves of a page may just have tried one more.
			require.LessOrEqual(t, c.Capabilities().Batch, most+2)
			n.serve = nil
			for range 20 {
				_, err = upTo(t, c, 64, w)
				require.NoError(t, err)
			}
			require.Equal(t, 20, c.Capabilities().Batch, "%s %s", r.who, name)
		}
	}
}

func TestThreat_C4_UnknownRefusalIsReadByHash(t *testing.T) {
	n, w := limitedChain(t)
	n.bend = func(method string, params []any, result any) (any, object) {
		if method == "eth_getLogs" && params[0].(object)["fromBlock"] != nil {
			return nil, object{"code": -32099, "message": "the dog ate it"}
		}
		return result, nil
	}
	p, err := upTo(t, n.far(t), 64, w)
	require.NoError(t, err)
	require.Len(t, p.Transfers, 64)
}

func TestSignersSpans(t *testing.T) {
	s := &signers{spans: merge([]nonceSpan{{9, 12}, {0, 3}, {2, 5}, {5, 6}, {20, 21}})}
	require.Equal(t, []nonceSpan{{0, 6}, {9, 12}, {20, 21}}, s.spans)
	for nonce := range uint64(30) {
		in := nonce < 6 || nonce >= 9 && nonce < 12 || nonce == 20
		require.Equal(t, in, s.possible(nonce), "%d", nonce)
	}
	require.False(t, (&signers{}).possible(0))
	require.False(t, (*signers)(nil).covers(&plan{from: 1, n: 1}))
}

// What a trace says is read by hand: nothing of it may crash, and what is taken
// must be there.
func FuzzTraces(f *testing.F) {
	f.Add([]byte(`[{"action":{"callType":"call","from":"0x00000000000000000000000000000000000a11ce","gas":"0x1","input":"0x","to":"0x0000000000000000000000000000000000000b0b","value":"0x5"},"blockHash":"0x` + strings.Repeat("ab", 32) + `","blockNumber":1,"result":{"gasUsed":"0x0","output":"0x"},"subtraces":0,"traceAddress":[0,12],"transactionHash":"0x` + strings.Repeat("cd", 32) + `","transactionPosition":3,"type":"call"}]`))
	f.Add([]byte(`[{"action":{"author":"0x0000000000000000000000000000000000000b0b","rewardType":"block","value":"0x5"},"blockHash":"0x` + strings.Repeat("ab", 32) + `","result":null,"traceAddress":[],"transactionHash":null,"transactionPosition":null,"type":"reward"}]`))
	f.Add([]byte(`[{"action":{"address":"0x0000000000000000000000000000000000000b0b","refundAddress":"0x0000000000000000000000000000000000000b0b","balance":"0x0"},"blockHash":"0x` + strings.Repeat("ab", 32) + `","error":"x","traceAddress":[1],"transactionHash":"0x` + strings.Repeat("cd", 32) + `","transactionPosition":0,"type":"suicide"}]`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &scanner{data: data}
		traces, ok := s.traces(nil)
		s.end()
		if s.err != nil || !ok {
			return
		}
		require.True(t, json.Valid(data))
		b := block{traces: traces}
		_ = b.checkTraces()
		for i := range traces {
			if traces[i].moves && traces[i].value != [32]byte{} {
				require.Contains(t, string(data), fmt.Sprintf("%x", traces[i].to[19:]))
			}
		}
	})
}

// tardy hands requests to a node without a network between, so that in a bubble
// nothing takes time; of many calls at once the answer never comes.
type tardy struct {
	node http.HandlerFunc
	most int
}

func (d tardy) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if bytes.Count(body, []byte("method")) > d.most {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	w := httptest.NewRecorder()
	d.node(w, r)
	return w.Result(), nil
}

// A node that needs too long for many blocks may have the time for few.
func TestPageShrinksWhenLate(t *testing.T) {
	n, w := limitedChain(t)
	synctest.Test(t, func(t *testing.T) {
		c := n.client(t, func(c *Config) {
			c.HTTP, c.Timeout, c.PageBlocks = &http.Client{Transport: tardy{n.handle, 8}}, 20*time.Second, 10
		})
		began := time.Now()
		p, err := c.Transfers(t.Context(), 1, 10, w)
		require.NoError(t, err)
		require.Len(t, p.Blocks, 5)
		require.Equal(t, 20*time.Second, time.Since(began))
	})
}
