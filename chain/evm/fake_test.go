package evm

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// object is one JSON object of the fake node; tests change its fields at will.
type object = map[string]any

// fakeLog is a log that a transaction emits.
type fakeLog struct {
	address string
	topics  []string
	data    string
}

// fakeTx is a transaction to be mined. Zero values are usual ones: succeeded,
// 21000 gas at 7 wei.
type fakeTx struct {
	from, to string // to empty: creates a contract
	value    uint64
	nonce    uint64
	failed   bool
	logs     []fakeLog
	salt     string // makes the hash differ
	receipt  object // overrides receipt fields; a nil value removes one
}

// fakeBlock is a block as the node would show it.
type fakeBlock struct {
	height   uint64
	hash     string
	parent   string
	time     uint64
	txs      []object
	receipts []object
	logs     []object
	// raw is the block's own encoding, where it has one; frames are the calls
	// inside of its transactions.
	raw    []byte
	frames []object
	// moves are what happened to accounts beside the transactions.
	moves []fakeMove
	// sealed is the header of a block that has an encoding, as JSON.
	sealed object
}

// fakeNode is a node whose every answer a test can bend.
type fakeNode struct {
	*httptest.Server
	mu      sync.Mutex
	chainID uint64
	blocks  []*fakeBlock
	gone    map[string]*fakeBlock // blocks of other branches, still known by hash
	pending map[string]object
	tags    map[string]uint64
	state   map[string]string // "method/address[/data]" → result
	asked   map[string]int    // calls by method
	batches []int             // size of each HTTP request
	size    int               // of the request being answered
	// bend may replace the result of a call, or return an error object.
	bend func(method string, params []any, result any) (any, object)
	// serve may take over a whole HTTP request.
	serve func(w http.ResponseWriter, body []byte) bool
	// left is a block of a branch that was left, for which the node still
	// answers.
	left *fakeBlock
	// traces is whether trace_block is known, states whether balances of the past
	// are, and headers by themselves.
	traces, states bool
	// poor are accounts that begin with nothing.
	poor []string
	// between runs after each HTTP request was answered, with its number.
	between func(n int)
}

func newFakeNode(tb testing.TB) *fakeNode {
	tb.Helper()
	n := &fakeNode{chainID: 1337, gone: map[string]*fakeBlock{}, pending: map[string]object{},
		tags: map[string]uint64{}, state: map[string]string{}, asked: map[string]int{}}
	n.Server = httptest.NewServer(http.HandlerFunc(n.handle))
	tb.Cleanup(n.Close)
	n.mine()
	return n
}

func hashOf(parts ...any) string {
	sum := keccak256([]byte(fmt.Sprint(parts...)))
	return hexHash(&sum)
}

func word(n uint64) string { return fmt.Sprintf("0x%064x", n) }

// padded makes the topic of an address.
func padded(address string) string {
	return "0x" + strings.Repeat("0", 24) + strings.ToLower(address[2:])
}

func transferLog(token, from, to string, amount uint64) fakeLog {
	return fakeLog{address: token, topics: []string{transferTopic, padded(from), padded(to)}, data: word(amount)}
}

// mine adds a block with the transactions and returns it.
func (n *fakeNode) mine(txs ...fakeTx) *fakeBlock { return n.mineSalted("", txs...) }

func (n *fakeNode) mineSalted(salt string, txs ...fakeTx) *fakeBlock {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := &fakeBlock{height: uint64(len(n.blocks)), parent: hashOf("none"), time: 1_700_000_000 + uint64(len(n.blocks))}
	if b.height > 0 {
		b.parent = n.blocks[b.height-1].hash
	}
	b.hash = hashOf("block", b.height, b.parent, salt, fmt.Sprint(txs))
	for i, tx := range txs {
		b.add(i, tx)
	}
	n.blocks = append(n.blocks, b)
	return b
}

func (b *fakeBlock) add(i int, tx fakeTx) {
	hash := txHashOf(tx)
	t := object{"blockHash": b.hash, "blockNumber": hexQuantity(b.height), "from": strings.ToLower(tx.from), "gas": "0x5208",
		"gasPrice": "0x7", "hash": hash, "input": "0x", "nonce": hexQuantity(tx.nonce), "to": nil,
		"transactionIndex": hexQuantity(uint64(i)), "value": hexQuantity(tx.value), "type": "0x0", "v": "0x1b"}
	if tx.to != "" {
		t["to"] = strings.ToLower(tx.to)
	}
	status := "0x1"
	if tx.failed {
		status = "0x0"
	}
	logs := []any{}
	for _, l := range tx.logs {
		log := object{"address": strings.ToLower(l.address), "topics": l.topics, "data": l.data, "blockHash": b.hash,
			"blockNumber": hexQuantity(b.height), "transactionHash": hash, "transactionIndex": hexQuantity(uint64(i)),
			"logIndex": hexQuantity(uint64(len(b.logs))), "removed": false}
		b.logs = append(b.logs, log)
		logs = append(logs, log)
	}
	r := object{"transactionHash": hash, "blockHash": b.hash, "blockNumber": hexQuantity(b.height),
		"transactionIndex": hexQuantity(uint64(i)), "from": strings.ToLower(tx.from), "status": status, "gasUsed": "0x5208",
		"effectiveGasPrice": "0x7", "logs": logs, "contractAddress": nil, "logsBloom": "0x00"}
	for name, value := range tx.receipt {
		if value == nil {
			delete(r, name)
			continue
		}
		r[name] = value
	}
	b.txs, b.receipts = append(b.txs, t), append(b.receipts, r)
}

// txHashOf is the hash of a transaction wherever it is mined.
func txHashOf(tx fakeTx) string {
	return hashOf("tx", strings.ToLower(tx.from), strings.ToLower(tx.to), tx.value, tx.nonce, tx.salt)
}

// drop removes the newest blocks, as a reorg does.
func (n *fakeNode) drop(count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for range count {
		last := n.blocks[len(n.blocks)-1]
		n.gone[last.hash] = last
		n.blocks = n.blocks[:len(n.blocks)-1]
	}
}

func (n *fakeNode) handle(w http.ResponseWriter, r *http.Request) {
	var body json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, "no JSON", http.StatusBadRequest)
		return
	}
	if n.serve != nil && n.serve(w, body) {
		return
	}
	type request struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params []any           `json:"params"`
	}
	var batch []request
	single := json.Unmarshal(body, &batch) != nil
	if single {
		batch = make([]request, 1)
		_ = json.Unmarshal(body, &batch[0])
	}
	n.mu.Lock()
	answers := make([]any, 0, len(batch))
	n.size = len(batch)
	for _, q := range batch {
		n.asked[q.Method]++
		result, refusal := n.answer(q.Method, q.Params)
		if n.bend != nil {
			if bent, e := n.bend(q.Method, q.Params, result); e != nil {
				refusal = e
			} else {
				result = bent
			}
		}
		if refusal != nil {
			answers = append(answers, object{"jsonrpc": "2.0", "id": q.ID, "error": refusal})
			continue
		}
		answers = append(answers, object{"jsonrpc": "2.0", "id": q.ID, "result": result})
	}
	n.batches = append(n.batches, len(batch))
	count, between := len(n.batches), n.between
	n.mu.Unlock()
	if single {
		_ = json.NewEncoder(w).Encode(answers[0])
	} else {
		_ = json.NewEncoder(w).Encode(answers)
	}
	if between != nil {
		between(count)
	}
}

func (n *fakeNode) answer(method string, params []any) (any, object) {
	text := func(i int) string { s, _ := params[i].(string); return s }
	flag := func(i int) bool { b, _ := params[i].(bool); return b }
	switch method {
	case "eth_chainId":
		return hexQuantity(n.chainID), nil
	case "eth_getBlockByNumber":
		return n.byNumber(text(0), flag(1))
	case "eth_getBlockByHash":
		if b := n.byHash(text(0)); b != nil {
			return b.object(flag(1)), nil
		}
		return nil, nil
	case "eth_getBlockTransactionCountByHash":
		if b := n.byHash(text(0)); b != nil {
			return hexQuantity(uint64(len(b.txs))), nil
		}
		return nil, nil
	case "eth_getLogs":
		return n.logs(params[0].(object))
	case "debug_getRawBlock", "trace_block", "eth_getBlockReceipts", "eth_getTransactionCount":
		return n.more(method, params)
	case "eth_getTransactionReceipt":
		_, r := n.find(text(0))
		return r, nil
	case "eth_getTransactionByHash":
		if t, ok := n.pending[text(0)]; ok {
			return t, nil
		}
		t, _ := n.find(text(0))
		return t, nil
	}
	if n.states {
		if result, refusal, ok := n.ofState(method, params); ok {
			return result, refusal
		}
	}
	key := method + "/"
	switch p := params[0].(type) {
	case string:
		key += p
	case object:
		key += fmt.Sprint(p["to"], "/", p["data"])
	}
	if at, ok := params[len(params)-1].(object); ok && at["blockHash"] != nil && n.byHash(fmt.Sprint(at["blockHash"])) == nil {
		return nil, object{"code": -32000, "message": "header for hash not found"}
	}
	if result, ok := n.state[strings.ToLower(key)]; ok {
		if reason, reverted := strings.CutPrefix(result, "revert:"); reverted {
			return nil, object{"code": 3, "message": "execution reverted: " + reason, "data": "0x08c379a0"}
		}
		return result, nil
	}
	if method == "eth_getBalance" {
		return "0x0", nil
	}
	return "0x", nil
}

func (n *fakeNode) byNumber(name string, full bool) (any, object) {
	height, isTag := n.tags[name]
	switch {
	case name == "latest":
		height = uint64(len(n.blocks)) - 1
	case isTag:
	case !strings.HasPrefix(name, "0x"):
		return nil, object{"code": -39001, "message": "Unknown block"}
	default:
		height, _ = strconv.ParseUint(name[2:], 16, 64)
	}
	if height >= uint64(len(n.blocks)) {
		return nil, nil
	}
	return n.blocks[height].object(full), nil
}

func (n *fakeNode) byHash(hash string) *fakeBlock {
	if n.left != nil && n.left.hash == hash {
		return n.left
	}
	for _, b := range n.blocks {
		if b.hash == hash {
			return b
		}
	}
	return nil
}

func (n *fakeNode) find(hash string) (tx, receipt any) {
	for _, b := range n.blocks {
		for i, t := range b.txs {
			if t["hash"] == hash {
				return t, b.receipts[i]
			}
		}
	}
	return nil, nil
}

func (n *fakeNode) logs(filter object) (any, object) {
	blocks := n.inRange(filter)
	if blocks == nil {
		return nil, object{"code": -32000, "message": "unknown block"}
	}
	wanted := filter["topics"].([]any)
	out := []object{}
	for _, b := range blocks {
		for _, l := range b.logs {
			topics, _ := l["topics"].([]string)
			for _, a := range filter["address"].([]any) {
				if strings.EqualFold(a.(string), l["address"].(string)) && len(topics) > 0 && topics[0] == wanted[0] &&
					(len(wanted) < 3 || len(topics) > 2 && slices.Contains(wanted[2].([]any), any(topics[2]))) {
					out = append(out, l)
				}
			}
		}
	}
	return out, nil
}

func (b *fakeBlock) object(full bool) object {
	txs := make([]any, len(b.txs))
	for i, t := range b.txs {
		txs[i] = t["hash"]
		if full {
			txs[i] = t
		}
	}
	if b.sealed != nil {
		out := maps.Clone(b.sealed)
		out["transactions"], out["uncles"], out["size"] = txs, []any{}, "0x1"
		return out
	}
	return object{"number": hexQuantity(b.height), "hash": b.hash, "parentHash": b.parent, "timestamp": hexQuantity(b.time),
		"transactions": txs, "miner": "0x0000000000000000000000000000000000000000", "logsBloom": b.bloom(), "uncles": []any{}}
}

// Accounts and tokens of the tests.
const (
	ann      = "0x00000000000000000000000000000000000A11ce"
	ben      = "0x0000000000000000000000000000000000000B0b"
	customer = "0x00000000000000000000000000000000C0570Aaa"
	stranger = "0x0000000000000000000000000000000057A49E12"
	coin     = "0x000000000000000000000000000000000000C014"
	other    = "0x00000000000000000000000000000000000007E4"
)

// canonical spells a test account as the client does.
func canonical(text string) chain.Address {
	raw, err := parseAddress(strings.ToLower(text))
	if err != nil {
		panic(err)
	}
	return checksummed(raw)
}

// fakeWatch is a chain.Watch over a few addresses.
type fakeWatch struct {
	keys   map[[20]byte]uint32
	assets []chain.Asset
}

func watching(tokens []string, addresses ...string) *fakeWatch {
	w := &fakeWatch{keys: map[[20]byte]uint32{}}
	for i, a := range addresses {
		raw, _ := parseAddress(strings.ToLower(a))
		w.keys[raw] = uint32(i + 1)
	}
	for _, t := range tokens {
		asset, err := Token("eip155:1337", strings.ToLower(t), "TKN", 6)
		if err != nil {
			panic(err)
		}
		w.assets = append(w.assets, asset)
	}
	return w
}

func (w *fakeWatch) Match(key []byte) (uint32, bool) {
	k, ok := w.keys[[20]byte(key)]
	return k, ok
}
func (w *fakeWatch) Len() int              { return len(w.keys) }
func (w *fakeWatch) Assets() []chain.Asset { return w.assets }
func (w *fakeWatch) Keys() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for k := range maps.Keys(w.keys) {
			if !yield(k[:]) {
				return
			}
		}
	}
}

// client returns a client of the node, changed as wanted.
func (n *fakeNode) client(tb testing.TB, change ...func(*Config)) *Client {
	tb.Helper()
	cfg := Config{Preset: Local(1337), URL: n.URL}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	require.NoError(tb, err)
	return c
}
