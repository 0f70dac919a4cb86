package evm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// canned answers the requests of a page from prepared results, so that only the
// client's own work is measured.
type canned struct {
	results map[string][]byte // method → result
	bodies  [][]byte          // what was answered
	keep    bool
}

func (c *canned) RoundTrip(r *http.Request) (*http.Response, error) {
	var batch []struct {
		ID     json.Number `json:"id"`
		Method string      `json:"method"`
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if raw[0] != '[' {
		raw = append(append([]byte{'['}, raw...), ']')
	}
	if err := json.Unmarshal(raw, &batch); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for i, q := range batch {
		fmt.Fprintf(&out, `%c{"jsonrpc":"2.0","id":%s,"result":%s}`, "[,"[min(i, 1)], q.ID, c.results[q.Method])
	}
	out.WriteByte(']')
	if c.keep {
		c.bodies = append(c.bodies, bytes.Clone(out.Bytes()))
	}
	return &http.Response{StatusCode: http.StatusOK, ContentLength: int64(out.Len()), Body: io.NopCloser(&out), Request: r}, nil
}

// busyBlock makes a block of 200 transactions as geth writes them, of which 80
// are token transfers and 40 swaps with two of them each: 160 logs.
func busyBlock() *canned {
	hash := hashOf("busy")
	var txs, logs []string
	long := strings.Repeat("ab", 32)
	for i := range 200 {
		tx := hashOf("tx", i)
		from, to := "0x"+hashOf("from", i)[26:], "0x"+hashOf("to", i)[26:]
		value, input, count := "0x0", "0x", 0
		switch {
		case i < 60:
			value = "0xde0b6b3a7640000"
		case i < 140:
			to, input, count = coin, "0xa9059cbb"+strings.Repeat("0", 24)+hashOf(i)[26:]+word(5)[2:], 1
		case i < 180:
			input, count = "0x38ed1739"+strings.Repeat(long, 8), 2
		default:
			input = "0x12345678" + strings.Repeat(long, 4)
		}
		txs = append(txs, fmt.Sprintf(`{"blockHash":%q,"blockNumber":"0x1","from":%q,"gas":"0x186a0","gasPrice":"0x3b9aca07","maxFeePerGas":"0x77359400","maxPriorityFeePerGas":"0x3b9aca00","hash":%q,"input":%q,"nonce":"0x1f","to":%q,"transactionIndex":"0x%x","value":%q,"type":"0x2","accessList":[],"chainId":"0x539","v":"0x1","r":"0x%s","s":"0x%s","yParity":"0x1"}`,
			hash, from, tx, input, strings.ToLower(to), i, value, long, long))
		for range count {
			logs = append(logs, fmt.Sprintf(`{"address":%q,"topics":[%q,%q,%q],"data":%q,"blockNumber":"0x1","transactionHash":%q,"transactionIndex":"0x%x","blockHash":%q,"blockTimestamp":"0x655f2a10","logIndex":"0x%x","removed":false}`,
				strings.ToLower(coin), transferTopic, padded(from), padded("0x"+hashOf("receiver", i)[26:]), word(uint64(i+1)), tx, i, hash, len(logs)))
		}
	}
	block := fmt.Sprintf(`{"baseFeePerGas":"0x7","difficulty":"0x0","extraData":"0x","gasLimit":"0x1c9c380","gasUsed":"0xabcdef","hash":%q,"logsBloom":"0x%s","miner":%q,"mixHash":%q,"nonce":"0x0000000000000000","number":"0x1","parentHash":%q,"receiptsRoot":%q,"sha3Uncles":%q,"size":"0x8000","stateRoot":%q,"timestamp":"0x655f2a10","transactions":[%s],"transactionsRoot":%q,"uncles":[],"withdrawals":[],"withdrawalsRoot":%q}`,
		hash, strings.Repeat("5a", 256), zeroAddress, hash, hash, hash, hash, hash, strings.Join(txs, ","), hash, hash)
	return &canned{results: map[string][]byte{
		"eth_getBlockByNumber": []byte(block), "eth_getLogs": []byte("[" + strings.Join(logs, ",") + "]"),
		"eth_getBlockTransactionCountByHash": []byte(`"0xc8"`),
	}}
}

func (c *canned) client(tb testing.TB) *Client {
	tb.Helper()
	client, err := New(Config{Preset: Local(1337), URL: "http://canned", HTTP: &http.Client{Transport: c}})
	require.NoError(tb, err)
	return client
}

func TestBusyBlock(t *testing.T) {
	c := busyBlock()
	receiver := "0x" + hashOf("receiver", 150)[26:]
	p, err := c.client(t).Transfers(t.Context(), 1, 1, watching([]string{coin}, receiver))
	require.NoError(t, err)
	require.Equal(t, []string{"1/150 t0 151", "1/150 t1 151"}, ordinalsOf(p))
}

// BenchmarkScan is a page of one busy block, everything included.
func BenchmarkScan(b *testing.B) {
	c := busyBlock()
	client, w := c.client(b), watching([]string{coin}, ann)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Transfers(b.Context(), 1, 1, w); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecode is only the reading of the two bodies.
func BenchmarkDecode(b *testing.B) {
	c := busyBlock()
	c.keep = true
	_, err := c.client(b).Transfers(b.Context(), 1, 1, watching([]string{coin}, ann))
	require.NoError(b, err)
	b.Run("scanner", func(b *testing.B) {
		var blk block
		var logs []logObject
		var n uint64
		b.SetBytes(int64(len(c.bodies[0]) + len(c.bodies[1])))
		b.ReportAllocs()
		for b.Loop() {
			calls := []*call{newCall("", func(s *scanner) { s.block(&blk) })}
			if err := (&response{scanner: scanner{data: c.bodies[0]}, base: 1, calls: calls}).read(); err != nil {
				b.Fatal(err)
			}
			calls = []*call{newCall("", func(s *scanner) { logs, _ = s.logs(logs[:0], nil) }), newCall("", intoUint64(&n))}
			if err := (&response{scanner: scanner{data: c.bodies[1]}, base: 2, calls: calls}).read(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(c.bodies[0]) + len(c.bodies[1])))
		b.ReportAllocs()
		for b.Loop() {
			var blocks []struct {
				Result struct {
					Number, Hash, ParentHash, Timestamp string
					Transactions                        []struct{ Hash, From, To, Value string }
				}
			}
			var logs []struct{ Result json.RawMessage }
			var list []struct {
				Address, Data, BlockHash, TransactionHash, LogIndex string
				Topics                                              []string
			}
			if json.Unmarshal(c.bodies[0], &blocks) != nil || json.Unmarshal(c.bodies[1], &logs) != nil || json.Unmarshal(logs[0].Result, &list) != nil {
				b.Fatal("not decoded")
			}
		}
	})
}

// BenchmarkRaw is the reading of a raw block and the check of its root.
func BenchmarkRaw(b *testing.B) {
	data := []byte(`"` + hexBytes(encoded(b, oracleBlock(b, 200))) + `"`)
	var blk block
	var root rootBuilder
	b.SetBytes(int64(len(data)))
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s := scanner{data: data}
			s.rawBlock(&blk)
		}
	})
	b.Run("root", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = root.root(blk.rawTxs)
		}
	})
}

// BenchmarkTraces is the reading of a block's traces as anvil writes them: 200
// transactions, of which 60 make calls.
func BenchmarkTraces(b *testing.B) {
	var frames []string
	for tx := range 200 {
		inner := 0
		if tx%10 > 6 {
			inner = 3
		}
		for k := range inner + 1 {
			path := ""
			if k > 0 {
				path = fmt.Sprint(k - 1)
			}
			input := strings.Repeat("ab", 68)
			frames = append(frames, fmt.Sprintf(`{"type":"call","action":{"from":"0x%s","callType":"call","gas":"0x7a120","input":"0x%s","to":"0x%s","value":"0x0"},"result":{"gasUsed":"0x8fc0","output":"0x0000000000000000000000000000000000000000000000000000000000000001"},"traceAddress":[%s],"subtraces":%d,"transactionHash":%q,"transactionPosition":%d,"blockNumber":77,"blockHash":%q}`,
				hashOf("from", tx)[26:], input, hashOf("to", tx)[26:], path, inner, hashOf("tx", tx), tx, hashOf("busy")))
		}
	}
	data := []byte("[" + strings.Join(frames, ",") + "]")
	var traces []traceObject
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		s := scanner{data: data}
		if traces, _ = s.traces(traces[:0]); s.err != nil {
			b.Fatal(s.err)
		}
	}
}
