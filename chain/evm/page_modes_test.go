package evm

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ethereum/go-ethereum/rlp"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// randomChain makes blocks in which the keys pay each other, watched accounts
// and strangers, in native coin and in two tokens.
func randomChain(t *testing.T, seed uint64, blocks int) (*fakeNode, *fakeWatch) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	n := newFakeNode(t)
	nonces := map[int]uint64{}
	receivers := []string{ann, ben, keyAddress(0), keyAddress(1), stranger, customer, ""}
	for range blocks {
		var list []signedTx
		for range rnd.IntN(9) {
			// The keys 0 and 1 are ours and sign now and then.
			key := 2 + rnd.IntN(4)
			if rnd.IntN(15) == 0 {
				key = rnd.IntN(2)
			}
			tx := signedTx{key: key, to: receivers[rnd.IntN(len(receivers))], value: rnd.Uint64N(3), nonce: nonces[key], failed: rnd.IntN(6) == 0}
			nonces[key]++
			for range rnd.IntN(3) {
				if !tx.failed {
					tx.logs = append(tx.logs, transferLog([]string{coin, other, stranger}[rnd.IntN(3)], customer, receivers[rnd.IntN(6)], rnd.Uint64N(4)))
				}
			}
			list = append(list, tx)
		}
		n.mineReal(t, list...)
	}
	n.pad(t, 100)
	return n, watching([]string{coin, other}, ann, ben, keyAddress(0), keyAddress(1))
}

func TestModesAgree(t *testing.T) {
	for seed := range uint64(12) {
		n, w := randomChain(t, seed, 40)
		full, err := upTo(t, n.client(t), 40, w)
		require.NoError(t, err)
		require.NotEmpty(t, full.Spends)

		n.asked = map[string]int{}
		raw, err := upTo(t, n.far(t, func(c *Config) { c.PageBlocks = 1 + seed*3 }), 40, w)
		require.NoError(t, err)
		require.Equal(t, full, raw, "raw blocks, seed %d", seed)
		require.GreaterOrEqual(t, n.asked["debug_getRawBlock"], 40)
		require.LessOrEqual(t, n.asked["eth_getBlockByHash"], 30, "few blocks have many of the nonces that we used")

		ranged, err := upTo(t, n.far(t, func(c *Config) { c.Native = NativeFull }), 40, w)
		require.NoError(t, err)
		require.Equal(t, full, ranged, "logs by range, seed %d", seed)

		n.traces = true
		traced, err := upTo(t, n.far(t), 40, w)
		require.NoError(t, err)
		require.Equal(t, full, traced, "traces, seed %d", seed)
		require.GreaterOrEqual(t, n.asked["trace_block"], 40)
	}
}

// A node without state has no nonces of the past: every nonce up to those of
// today may be ours then.
func TestThreat_C16_RawBlocksWithoutOldState(t *testing.T) {
	n, w := randomChain(t, 5, 40)
	full, err := upTo(t, n.client(t), 40, w)
	require.NoError(t, err)
	head := n.blocks[len(n.blocks)-1].hash
	n.bend = func(method string, params []any, result any) (any, object) {
		if method == "eth_getTransactionCount" && params[1].(object)["blockHash"] != head {
			return nil, object{"code": -32000, "message": "missing trie node"}
		}
		return result, nil
	}
	raw, err := upTo(t, n.far(t), 40, w)
	require.NoError(t, err)
	require.Equal(t, full, raw)
	require.NotZero(t, n.asked["debug_getRawBlock"])

	n.bend = refusing("eth_getTransactionCount", -32000, "missing trie node")
	n.asked = map[string]int{}
	c := n.far(t)
	raw, err = upTo(t, c, 40, w)
	require.NoError(t, err)
	require.Equal(t, full, raw)
	require.Equal(t, 1, n.asked["debug_getRawBlock"], "the probe; then full blocks")
}

// An account that is watched from now on may have signed before.
func TestRawBlocksLearnNewAccounts(t *testing.T) {
	n, w := randomChain(t, 3, 40)
	full, err := upTo(t, n.client(t), 40, w)
	require.NoError(t, err)
	c := n.far(t)
	_, err = c.Transfers(t.Context(), 1, 5, watching([]string{coin, other}, ann))
	require.NoError(t, err)
	raw, err := upTo(t, c, 40, w)
	require.NoError(t, err)
	require.Equal(t, full.Spends, raw.Spends)
	require.Len(t, c.signers.Load().known, 4)
}

func TestThreat_A1_RawBlocksAreOfTheBranchOfTheNonces(t *testing.T) {
	n, w := randomChain(t, 4, 40)
	c := n.far(t)
	_, err := c.Transfers(t.Context(), 1, 10, w)
	require.NoError(t, err)
	n.drop(20)
	n.mineReal(t, signedTx{key: 5, to: stranger, nonce: 1_000_000})
	n.pad(t, 30)
	_, err = c.Transfers(t.Context(), 11, 20, w)
	require.ErrorIs(t, err, chain.ErrReorg)
	require.Nil(t, c.signers.Load())
	_, err = c.Head(t.Context())
	require.NoError(t, err)
	_, err = c.Transfers(t.Context(), 11, 20, w)
	require.NoError(t, err)
}

// paid makes a chain with one payment of a token and one of native coin.
func paid(t *testing.T) (*fakeNode, *fakeWatch) {
	n := newFakeNode(t)
	n.mineReal(t)
	n.mineReal(t, signedTx{key: 2, to: coin, logs: []fakeLog{transferLog(coin, customer, ben, 10)}}, signedTx{key: 3, to: ben, value: 4})
	n.pad(t, 100)
	return n, watching([]string{coin}, ben)
}

// byRange bends the answers to questions for logs by range alone.
func byRange(change func([]object) []object) func(string, []any, any) (any, object) {
	return func(method string, params []any, result any) (any, object) {
		logs, ok := result.([]object)
		if !ok || method != "eth_getLogs" {
			return result, nil
		}
		if filter, isFilter := params[0].(object); isFilter && filter["fromBlock"] != nil {
			return change(logs), nil
		}
		return result, nil
	}
}

func TestThreat_A17_AnswerByRangeLacksALog(t *testing.T) {
	n, w := paid(t)
	n.bend = byRange(func([]object) []object { return []object{} })
	c := n.far(t)
	_, err := c.Transfers(t.Context(), 1, 10, w)
	require.ErrorIs(t, err, chain.ErrTransient, "the bloom knows better")
	p, err := c.Transfers(t.Context(), 1, 10, w)
	require.NoError(t, err)
	require.Equal(t, []string{"2/0 t0 10", "2/1 nn 4"}, ordinalsOf(p), "by hash, then")
}

func TestThreat_A17_EmptyByHashAgainstTheBloom(t *testing.T) {
	n, w := paid(t)
	silent := true
	n.bend = func(method string, _ []any, result any) (any, object) {
		if method == "eth_getLogs" && silent {
			silent = false
			return []object{}, nil
		}
		return result, nil
	}
	c := n.client(t)
	_, err := c.Transfers(t.Context(), 2, 2, w)
	require.ErrorIs(t, err, chain.ErrTransient)
	p, err := c.Transfers(t.Context(), 2, 2, w)
	require.NoError(t, err)
	require.Len(t, p.Transfers, 2)
}

func TestThreat_A17_EmptyByHashAgainstTheReceipts(t *testing.T) {
	n, w := paid(t)
	c := n.far(t)
	_, err := c.Transfers(t.Context(), 1, 1, w)
	require.NoError(t, err)
	require.True(t, c.Capabilities().BlockReceipts)
	n.bend = func(method string, _ []any, result any) (any, object) {
		if method == "eth_getLogs" {
			return []object{}, nil
		}
		return result, nil
	}
	for range 3 {
		_, err = c.Transfers(t.Context(), 1, 10, w)
		require.ErrorIs(t, err, chain.ErrTransient)
	}
	n.bend = nil
	p, err := c.Transfers(t.Context(), 1, 10, w)
	require.NoError(t, err)
	require.Len(t, p.Transfers, 2)
}

// Where the bloom says nothing, one block in turn is asked for again.
func TestThreat_C3_SampleFindsWhatARangeLacks(t *testing.T) {
	n, w := newFakeNode(t), watching([]string{coin}, ben)
	for range 8 {
		n.mine(fakeTx{from: customer, to: coin, nonce: uint64(len(n.blocks)), logs: []fakeLog{transferLog(coin, customer, ben, 10)}})
	}
	n.pad(t, 60)
	n.bend = byRange(func([]object) []object { return []object{} })
	c := n.far(t)
	_, err := c.Transfers(t.Context(), 1, 8, w)
	require.ErrorIs(t, err, chain.ErrTransient)
	p, err := c.Transfers(t.Context(), 1, 8, w)
	require.NoError(t, err)
	require.Len(t, p.Transfers, 8)
}

func TestThreat_C3_RoundNumbersAreNotBelieved(t *testing.T) {
	n, w := newFakeNode(t), watching([]string{coin}, ben)
	for b := range 3 {
		var logs []fakeLog
		for range 600 {
			logs = append(logs, transferLog(coin, customer, ben, 1))
		}
		n.mine(fakeTx{from: customer, to: coin, nonce: uint64(b), logs: logs})
	}
	n.pad(t, 60)
	n.bend = byRange(func(logs []object) []object { return logs[:min(len(logs), 1000)] })
	p, err := upTo(t, n.far(t), 3, w)
	require.NoError(t, err)
	require.Len(t, p.Transfers, 1800)
}

func TestThreat_A15_DuplicatesInAnswersByRange(t *testing.T) {
	n, w := paid(t)
	n.bend = byRange(func(logs []object) []object { return slices.Concat(logs, logs) })
	c := n.far(t)
	p, err := c.Transfers(t.Context(), 1, 10, w)
	require.NoError(t, err)
	require.Len(t, p.Transfers, 2)
	require.NotZero(t, c.Stats().DuplicateLogs)
}

func TestThreat_A16_RemovedLogsInAnswersByRange(t *testing.T) {
	n, w := paid(t)
	n.bend = byRange(func(logs []object) []object {
		gone := maps.Clone(logs[0])
		gone["removed"], gone["blockHash"] = true, hashOf("another branch")
		return append(logs, gone)
	})
	p, err := n.far(t).Transfers(t.Context(), 1, 10, w)
	require.NoError(t, err)
	require.Len(t, p.Transfers, 2)
}

func TestThreat_A21_ReceiptLagsBehindARawBlock(t *testing.T) {
	n, w := paid(t)
	lag := true
	n.bend = func(method string, _ []any, result any) (any, object) {
		if lag && method == "eth_getTransactionReceipt" {
			return nil, nil
		}
		return result, nil
	}
	c := n.far(t)
	_, err := c.Transfers(t.Context(), 1, 10, w)
	require.ErrorIs(t, err, chain.ErrTransient)
	lag = false
	p, err := c.Transfers(t.Context(), 1, 10, w)
	require.NoError(t, err)
	require.Len(t, p.Transfers, 2)
	require.NotZero(t, n.asked["debug_getRawBlock"])
}

func TestThreat_C1_LogsOfAnotherBranch(t *testing.T) {
	for name, change := range map[string]object{
		"another block":       {"blockHash": hashOf("elsewhere")},
		"another transaction": {"transactionHash": hashOf("elsewhere")},
		"another place":       {"transactionIndex": "0x1"},
		"no place":            {"transactionIndex": "0x7"},
		"another contract":    {"address": strings.ToLower(other)},
	} {
		t.Run(name, func(t *testing.T) {
			n, w := paid(t)
			n.bend = byRange(func(logs []object) []object {
				bent := maps.Clone(logs[0])
				maps.Copy(bent, change)
				return []object{bent}
			})
			_, err := n.far(t).Transfers(t.Context(), 1, 10, w)
			require.True(t, isReorgOrTransient(err), "%v", err)
		})
	}
}

func TestThreat_C15_RawBlockWithOtherTransactions(t *testing.T) {
	n, _ := paid(t)
	n.blocks[3].raw = swapBody(t, n.blocks[3].raw, n.blocks[2].raw)
	c := n.far(t)
	p, err := c.Transfers(t.Context(), 1, 10, watching(nil, ben))
	var incoherent *IncoherentError
	require.ErrorAs(t, err, &incoherent, "%v", p.Transfers)
	require.Equal(t, uint64(3), incoherent.Height)
}

// swapBody puts the transactions of one block under the header of another.
func swapBody(t *testing.T, header, body []byte) []byte {
	parts := func(raw []byte) [][]byte {
		b, bad := readRaw(raw)
		require.Nil(t, bad)
		content, _, err := rlp.SplitList(b.raw)
		require.NoError(t, err)
		var out [][]byte
		for len(content) > 0 {
			_, _, rest, err := rlp.Split(content)
			require.NoError(t, err)
			out, content = append(out, content[:len(content)-len(rest)]), rest
		}
		return out
	}
	h, b := parts(header), parts(body)
	return rlpList(bytes.Join([][]byte{h[0], b[1], b[2]}, nil))
}

func isReorgOrTransient(err error) bool {
	return errors.Is(err, chain.ErrReorg) || errors.Is(err, chain.ErrTransient)
}

func TestMethodThatWentAway(t *testing.T) {
	n, w := paid(t)
	n.traces = true
	c := n.far(t)
	_, err := c.Transfers(t.Context(), 1, 5, w)
	require.NoError(t, err)
	require.True(t, c.Capabilities().TraceBlock)
	n.traces = false
	n.asked = map[string]int{}
	p, err := c.Transfers(t.Context(), 1, 5, w)
	if err != nil {
		require.False(t, c.Capabilities().Probed)
		p, err = c.Transfers(t.Context(), 1, 5, w)
	}
	require.NoError(t, err)
	require.Len(t, p.Transfers, 2)
	require.False(t, c.Capabilities().TraceBlock)
	require.True(t, c.Capabilities().RawBlock)
}

func TestProbeAgainAfterABrokenConnection(t *testing.T) {
	n, w := paid(t)
	var broken atomic.Bool
	n.serve = func(rw http.ResponseWriter, _ []byte) bool {
		if !broken.Load() {
			return false
		}
		conn, _, _ := http.NewResponseController(rw).Hijack()
		_ = conn.Close()
		return true
	}
	c := n.far(t)
	_, err := c.Transfers(t.Context(), 1, 5, w)
	require.NoError(t, err)
	require.True(t, c.Capabilities().Probed)
	broken.Store(true)
	_, err = c.Transfers(t.Context(), 1, 5, w)
	require.ErrorIs(t, err, chain.ErrTransient)
	require.False(t, c.Capabilities().Probed)
	broken.Store(false)
	n.mu.Lock()
	n.traces = true
	n.mu.Unlock()
	_, err = c.Transfers(t.Context(), 1, 5, w)
	require.NoError(t, err)
	require.True(t, c.Capabilities().TraceBlock, "it came back with more")
}

func TestPinnedSource(t *testing.T) {
	n, w := paid(t)
	_, err := n.far(t, func(c *Config) { c.Native = NativeTrace }).Transfers(t.Context(), 1, 5, w)
	require.ErrorIs(t, err, chain.ErrUnsupported)
	c := n.far(t, func(c *Config) { c.Native = NativeRaw })
	p, err := c.Transfers(t.Context(), 1, 5, w)
	require.NoError(t, err)
	require.Len(t, p.Transfers, 2)
	require.False(t, c.Capabilities().Probed)
	require.Equal(t, 5, n.asked["debug_getRawBlock"])
	_, err = New(Config{Preset: Local(1337), URL: n.URL, Native: "best"})
	require.ErrorContains(t, err, "Native")
}

// The page of a new block takes one request where Head has named it.
func TestLivePageIsOneRequest(t *testing.T) {
	n, w := newFakeNode(t), watching([]string{coin}, ben)
	n.mine(fakeTx{from: customer, to: coin, logs: []fakeLog{transferLog(coin, customer, ben, 10)}})
	c := n.far(t)
	_, err := c.Transfers(t.Context(), 1, 1, w)
	require.NoError(t, err)
	n.batches = nil
	p, err := c.Transfers(t.Context(), 1, 1, w)
	require.NoError(t, err)
	require.Equal(t, []int{3}, n.batches)
	require.Equal(t, []string{"1/0 t0 10"}, ordinalsOf(p))

	// Another block is there now than the one that Head named.
	n.drop(1)
	n.mineSalted("other", fakeTx{from: customer, to: coin, logs: []fakeLog{transferLog(coin, customer, ben, 20)}})
	p, err = c.Transfers(t.Context(), 1, 1, w)
	require.NoError(t, err)
	require.Equal(t, []string{"1/0 t0 20"}, ordinalsOf(p))
}

// A node still answers for the branch that it left.
func TestThreat_C1_LivePageOfABranchThatWasLeft(t *testing.T) {
	n, w := newFakeNode(t), watching([]string{coin}, ben)
	old := n.mine(fakeTx{from: customer, to: coin})
	c := n.far(t)
	_, err := c.Transfers(t.Context(), 1, 1, w)
	require.NoError(t, err)
	n.drop(1)
	n.mineSalted("other", fakeTx{from: customer, to: coin, logs: []fakeLog{transferLog(coin, customer, ben, 20)}})
	n.left = old
	p, err := c.Transfers(t.Context(), 1, 1, w)
	require.NoError(t, err)
	require.Equal(t, []string{"1/0 t0 20"}, ordinalsOf(p))
}

func TestThreat_A17_EmptyLivePageAgainstTheBloom(t *testing.T) {
	n := newFakeNode(t)
	n.mineReal(t, signedTx{key: 2, to: coin, logs: []fakeLog{transferLog(coin, customer, ben, 10)}})
	c, w := n.far(t), watching([]string{coin}, ben)
	first := true
	n.bend = func(method string, _ []any, result any) (any, object) {
		if method == "eth_getLogs" && first {
			first = false
			return []object{}, nil
		}
		return result, nil
	}
	p, err := c.Transfers(t.Context(), 1, 1, w)
	require.NoError(t, err)
	require.Equal(t, []string{"1/0 t0 10"}, ordinalsOf(p), "asked for once more")
}

// A single transaction of ours has a nonce that only its account tells.
func TestRawBlocksFindASingleSpend(t *testing.T) {
	n := newFakeNode(t)
	n.mineReal(t, signedTx{key: 0, to: stranger, value: 1}, signedTx{key: 2, to: stranger, value: 1, nonce: 9}, signedTx{key: 3, to: stranger, nonce: 8})
	n.mineReal(t, signedTx{key: 0, to: stranger, value: 1, nonce: 1})
	n.pad(t, 100)
	w := watching(nil, keyAddress(0))
	c := n.far(t)
	p, err := c.Transfers(t.Context(), 2, 2, w)
	require.NoError(t, err)
	require.Len(t, p.Spends, 1)
	require.Equal(t, []nonceSpan{{1, 2}}, c.signers.Load().spans)
	require.Zero(t, n.asked["eth_getBlockByHash"])
	p, err = n.far(t).Transfers(t.Context(), 1, 2, w)
	require.NoError(t, err)
	require.Len(t, p.Spends, 2)
}

// opaque puts a transaction of an unknown type into the encoding of a block.
func opaque(t *testing.T) (*fakeNode, *fakeBlock) {
	n := newFakeNode(t)
	b := n.mineReal(t, signedTx{key: 2, to: ben, value: 3}, signedTx{key: 0, to: stranger})
	n.pad(t, 100)
	return n, b
}

func TestThreat_C15_FullBlockInsteadOfARawOneIsChecked(t *testing.T) {
	for name, edit := range map[string]func(o object){
		"another hash":       func(o object) { o["hash"] = hashOf("x") },
		"fewer transactions": func(o object) { o["transactions"] = o["transactions"].([]any)[:1] },
		"other transactions": func(o object) {
			txs := o["transactions"].([]any)
			txs[0], txs[1] = changedTx(txs[1], 0), changedTx(txs[0], 1)
		},
		"of another block": func(o object) {
			txs := o["transactions"].([]any)
			c := maps.Clone(txs[0].(object))
			c["blockHash"] = hashOf("x")
			txs[0] = c
		},
		"nothing is the same": func(o object) { clear(o) },
	} {
		t.Run(name, func(t *testing.T) {
			n, b := opaque(t)
			// With two of its two nonces ours, the block is read in full.
			w := watching(nil, ben, keyAddress(0), keyAddress(2))
			c := n.far(t)
			bend := func(method string, _ []any, result any) (any, object) {
				if o, ok := result.(object); ok && method == "eth_getBlockByHash" && o["hash"] == b.hash {
					o = maps.Clone(o)
					edit(o)
					return o, nil
				}
				return result, nil
			}
			n.bend = bend
			p, err := c.Transfers(t.Context(), 1, 1, w)
			require.NotZero(t, n.asked["eth_getBlockByHash"])
			require.ErrorIs(t, err, chain.ErrTransient, "%v", p)
			n.bend = nil
			p, err = c.Transfers(t.Context(), 1, 1, w)
			require.NoError(t, err)
			require.Len(t, p.Spends, 2)
			require.Len(t, p.Transfers, 1)
		})
	}
}

func changedTx(tx any, place int) object {
	o := maps.Clone(tx.(object))
	o["transactionIndex"] = hexQuantity(uint64(place))
	return o
}

// Raw blocks of which most must be read again are not asked for any longer.
func TestRawBlocksThatAreNoUse(t *testing.T) {
	n := newFakeNode(t)
	for i := range uint64(120) {
		n.mineReal(t, signedTx{key: 0, to: stranger, nonce: i}, signedTx{key: 2, to: stranger, nonce: i}, signedTx{key: 3, to: ben, value: 1, nonce: i})
	}
	n.pad(t, 80)
	c := n.far(t, func(c *Config) { c.PageBlocks = 20 })
	p, err := upTo(t, c, 120, watching(nil, ben, keyAddress(0)))
	require.NoError(t, err)
	require.Len(t, p.Transfers, 120)
	require.Len(t, p.Spends, 120)
	require.LessOrEqual(t, n.asked["debug_getRawBlock"], 61)
}

// A provider may refuse a whole request because it does not like a method.
func TestProbeOfAProviderThatRefusesMethods(t *testing.T) {
	n, w := limitedChain(t)
	n.serve = func(rw http.ResponseWriter, body []byte) bool {
		if bytes.Contains(body, []byte("debug_")) || bytes.Contains(body, []byte("trace_")) {
			http.Error(rw, "not in your plan", http.StatusForbidden)
			return true
		}
		return false
	}
	c := n.far(t)
	p, err := upTo(t, c, 64, w)
	require.NoError(t, err)
	require.Len(t, p.Transfers, 64)
	require.True(t, c.Capabilities().Probed)
	require.False(t, c.Capabilities().RawBlock || c.Capabilities().TraceBlock)
	require.Equal(t, 100, c.Capabilities().Batch)
}

func TestCatchUpRequests(t *testing.T) {
	n, w := randomChain(t, 9, 100)
	c := n.far(t)
	_, err := upTo(t, c, 100, w)
	require.NoError(t, err)
	require.LessOrEqual(t, len(n.batches), 16, "two pages, and what is asked once")
}
