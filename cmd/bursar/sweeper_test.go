package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/contracts"
	"github.com/bursar-go/bursar/config"
)

// coldOwner is an account of the development mnemonic that the gateway does not use.
const coldOwner = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"

// fakeNode is a node that answers what looking for a contract asks.
type fakeNode struct {
	mu      sync.Mutex
	chainID string
	codes   map[string]string // by address in lower case
	balance string
	refuse  string          // a method that is answered with an error
	asked   map[string]bool // methods
}

// openNode starts a node of chain 1337 with the deployment proxy.
func openNode(t *testing.T) (*fakeNode, string) {
	t.Helper()
	n := &fakeNode{
		chainID: "0x539", balance: "0xde0b6b3a7640000", asked: map[string]bool{},
		codes: map[string]string{"0x4e59b44847b379578588920ca78fbf26c0b4956c": hexText(contracts.DeployerCode())},
	}
	s := httptest.NewServer(n)
	t.Cleanup(s.Close)
	return n, s.URL
}

func hexText(raw []byte) string { return fmt.Sprintf("0x%x", raw) }

type rpcCall struct {
	ID     json.RawMessage   `json:"id"`
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
}

func (n *fakeNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var raw json.RawMessage
	if json.NewDecoder(r.Body).Decode(&raw) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var calls []rpcCall
	if json.Unmarshal(raw, &calls) == nil {
		var out []any
		for _, c := range calls {
			out = append(out, n.answer(c))
		}
		_ = json.NewEncoder(w).Encode(out)
		return
	}
	var one rpcCall
	_ = json.Unmarshal(raw, &one)
	_ = json.NewEncoder(w).Encode(n.answer(one))
}

func (n *fakeNode) answer(c rpcCall) map[string]any {
	n.asked[c.Method] = true
	out := map[string]any{"jsonrpc": "2.0", "id": c.ID}
	if c.Method == n.refuse {
		out["error"] = map[string]any{"code": -32000, "message": "refused by the fake"}
		return out
	}
	zeros := func(n int) string { return "0x" + strings.Repeat("0", n) }
	switch c.Method {
	case "eth_chainId":
		out["result"] = n.chainID
	case "eth_getBlockByNumber":
		out["result"] = map[string]any{
			"number": "0x0", "hash": "0x" + strings.Repeat("1", 64), "parentHash": zeros(64), "timestamp": "0x1", "transactions": []any{}, "logsBloom": zeros(512),
			"stateRoot": zeros(64), "transactionsRoot": zeros(64), "receiptsRoot": zeros(64), "baseFeePerGas": "0x3b9aca00",
		}
	case "eth_getCode":
		var at string
		_ = json.Unmarshal(c.Params[0], &at)
		out["result"] = "0x"
		if code, ok := n.codes[strings.ToLower(at)]; ok {
			out["result"] = code
		}
	case "eth_getBalance":
		out["result"] = n.balance
	case "eth_getTransactionCount":
		out["result"] = "0x0"
	case "eth_maxPriorityFeePerGas", "eth_gasPrice":
		out["result"] = "0x3b9aca00"
	case "eth_estimateGas":
		out["result"] = "0x7a120"
	default:
		out["error"] = map[string]any{"code": -32601, "message": "the method does not exist"}
	}
	return out
}

// put gives the nodes code at the contract's address.
func (n *fakeNode) put(at, code string) { n.codes[strings.ToLower(at)] = code }

// sweepers writes the world's configuration with nodes and a sweeper section. The
// store is one that cannot be opened.
func (w *world) sweepers(nodes string) config.Installation {
	w.t.Helper()
	w.write("bursar.yaml", `store: {driver: sqlite, path: /nowhere/at/all.db}
wallet: {mnemonic: {file: mnemonic}}
chains:
  local:
`+nodes+`
    treasury: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    sweeper: {owner: "`+coldOwner+`"}
    describe: {chain_id: 1337}
`)
	f, err := config.Load(w.config, nil)
	require.NoError(w.t, err)
	list, err := f.Installations()
	require.NoError(w.t, err)
	return list[0]
}

func addressText(t *testing.T, raw [20]byte) string {
	t.Helper()
	text, err := evm.Codec().Format(raw[:])
	require.NoError(t, err)
	return string(text)
}

// TestSweeper: before the contract is there, and after.
func TestSweeper(t *testing.T) {
	w := newWorld(t)
	n, url := openNode(t)
	it := w.sweepers("    url: " + url + "/" + nodeKey)
	to, data := it.Contract.Deployment()
	hash, at := it.Contract.CodeHash(), addressText(t, it.Contract.Address())

	text := w.fails(exitFailed, "sweeper")
	for _, want := range []string{
		"local (eip155:1337)", "contract   " + at, "treasury   0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "owner      " + coldOwner,
		"sponsor    " + addressText(t, it.Contract.Params().Sponsor), "code hash  " + hexText(hash[:]), "  not deployed\n",
		"none of the gateway's own", "to    " + hexText(to[:]), "data  " + hexText(data) + "\n", "costs at most 0.00",
	} {
		require.Contains(t, text, want)
	}
	found := decode[[]installation](t, w.fails(exitFailed, "sweeper", "-json", "-chain", "eip155:1337"))
	require.Len(t, found, 1)
	require.False(t, found[0].Deployed)
	require.Equal(t, []nodeLine{{State: stateMissing}}, found[0].Nodes)
	require.Equal(t, hexText(data), found[0].Deployment.Data)
	require.Contains(t, found[0].Deployment.MaxCost, " ETH")

	// Nobody has to have coin to be told.
	n.balance = "0x0"
	require.Contains(t, w.fails(exitFailed, "sweeper"), "costs at most 0.00")

	n.put(at, hexText(it.Contract.Code()))
	text = w.ok("sweeper", "-chain", "local")
	require.Contains(t, text, "  deployed\n")
	require.NotContains(t, text, hexText(data), "what is done needs no transaction")
	require.NotContains(t, text, "data")
	require.Equal(t, text, w.ok("sweeper"), "as often as one likes")
	done := decode[[]installation](t, w.ok("sweeper", "-json"))
	require.True(t, done[0].Deployed)
	require.Nil(t, done[0].Deployment)
	require.False(t, n.asked["eth_sendRawTransaction"], "nothing is ever sent")
}

// TestSweeperInTheWay: what keeps the contract from being used is told, and no
// transaction that would be in vain.
func TestSweeperInTheWay(t *testing.T) {
	w := newWorld(t)
	n, url := openNode(t)
	it := w.sweepers("    url: " + url)
	at, hash := addressText(t, it.Contract.Address()), it.Contract.CodeHash()

	n.put(at, "0x6001")
	text := w.fails(exitFailed, "sweeper")
	require.Contains(t, text, "other code is there: want code with the hash "+hexText(hash[:])+", there is code with the hash 0x")
	require.NotContains(t, text, "data  ")

	// The contract has the same address on every chain.
	n.put(at, hexText(it.Contract.Code()))
	n.chainID = "0x1"
	text = w.fails(exitFailed, "sweeper")
	require.Contains(t, text, "  not known: ")
	require.Contains(t, text, "chain id")
	require.NotContains(t, text, "data  ")

	n.chainID = "0x539"
	delete(n.codes, strings.ToLower(at))
	n.refuse = "eth_estimateGas"
	text = w.fails(exitFailed, "sweeper")
	require.Contains(t, text, "the deployment could not be tried: ")
	require.Contains(t, text, "data  0x", "somebody else's estimate may work")
	require.NotContains(t, text, "costs at most")

	n.refuse = ""
	n.codes = nil
	text = w.fails(exitFailed, "sweeper")
	require.Contains(t, text, "it cannot be deployed yet: evm: no deployment proxy at 0x4e59b44847b379578588920cA78FbF26c0B4956C")
	require.NotContains(t, text, "data  ", "it would do nothing there, and cost")
}

// TestSweeperOfProviders: each node is asked, and one that has it not is enough.
func TestSweeperOfProviders(t *testing.T) {
	w := newWorld(t)
	first, one := openNode(t)
	second, two := openNode(t)
	it := w.sweepers("    providers: {a: {url: " + one + "}, b: {url: " + two + "}, c: {url: http://127.0.0.1:1/" + nodeKey + "}}\n    quorum: {agree: 1}")
	at := addressText(t, it.Contract.Address())
	text := w.fails(exitFailed, "sweeper")
	require.Contains(t, text, "  a: not deployed\n  b: not deployed\n  c: not known: ")
	require.Contains(t, text, "data  0x")
	second.put(at, hexText(it.Contract.Code()))
	text = w.fails(exitFailed, "sweeper")
	require.Contains(t, text, "  a: not deployed\n  b: deployed\n")
	require.NotContains(t, text, "data  ", "a node that is behind is no reason to send it again")
	second.put(at, "0x6001")
	text = w.fails(exitFailed, "sweeper")
	require.Contains(t, text, "  a: not deployed\n  b: other code is there: ")
	require.NotContains(t, text, "data  ", "somebody lies, or asks another chain: look first")
	second.put(at, hexText(it.Contract.Code()))
	first.put(at, hexText(it.Contract.Code()))
	require.Contains(t, w.fails(exitFailed, "sweeper"), "  a: deployed\n  b: deployed\n  c: not known: ")
	w.sweepers("    providers: {a: {url: " + one + "}, b: {url: " + two + "}}\n    quorum: {agree: 2}")
	require.Contains(t, w.ok("sweeper"), "  a: deployed\n  b: deployed\n")
}

func TestSweeperIsNotConfigured(t *testing.T) {
	w := newWorld(t)
	require.Contains(t, w.fails(exitFailed, "sweeper"), "no chain of the configuration has a sweeper section")
	text, err := os.ReadFile(w.config)
	require.NoError(t, err)
	require.NotContains(t, string(text), "sweeper")
	_, url := openNode(t)
	w.sweepers("    url: " + url)
	require.Contains(t, w.fails(exitFailed, "sweeper", "-chain", "base"), "chains.base.sweeper is not configured")
}
