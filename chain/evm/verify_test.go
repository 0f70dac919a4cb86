package evm

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/trie"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// oracleHeader is a header as of one of the forks, 0 being the oldest.
func oracleHeader(rnd *rand.Rand, fork int) *types.Header {
	hash := func() (h common.Hash) {
		for i := range h {
			h[i] = byte(rnd.Uint32())
		}
		return h
	}
	h := &types.Header{
		ParentHash: hash(), UncleHash: hash(), Coinbase: common.Address(hash().Bytes()[:20]), Root: hash(), TxHash: hash(), ReceiptHash: hash(),
		Bloom: types.BytesToBloom(bytes.Repeat(hash().Bytes(), 8)), Difficulty: big.NewInt(rnd.Int64N(300)), Number: big.NewInt(rnd.Int64N(1 << 40)),
		GasLimit: rnd.Uint64N(1 << 33), GasUsed: rnd.Uint64N(3), Time: rnd.Uint64N(1 << 34), Extra: hash().Bytes()[:rnd.IntN(33)], MixDigest: hash(),
	}
	copy(h.Nonce[:], hash().Bytes())
	number := func() *uint64 { n := rnd.Uint64N(200); return &n }
	point := func() *common.Hash { p := hash(); return &p }
	for i, add := range []func(){
		func() { h.BaseFee = big.NewInt(rnd.Int64N(1 << 40)) },
		func() { h.WithdrawalsHash = point() },
		func() { h.BlobGasUsed, h.ExcessBlobGas, h.ParentBeaconRoot = number(), number(), point() },
		func() { h.RequestsHash = point() },
		func() { h.BlockAccessListHash = point() },
		func() { h.SlotNumber = number() },
	} {
		if i < fork {
			add()
		}
	}
	return h
}

func readHeaderProof(text []byte) (*headerProof, *DecodeError) {
	h := new(headerProof)
	s := &scanner{data: text}
	s.headerProof(h)
	s.end()
	return h, s.err
}

// TestHeaderHash takes go-ethereum as the oracle, for the headers of all forks.
func TestHeaderHash(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for fork := range 7 {
		for range 50 {
			want := oracleHeader(rnd, fork)
			text, err := json.Marshal(want)
			require.NoError(t, err)
			h, bad := readHeaderProof(text)
			require.Nil(t, bad)
			require.True(t, h.sealed())
			require.False(t, h.strange)
			require.Equal(t, [32]byte(want.Hash()), h.hash(), "fork %d: %s", fork, text)
		}
	}
	// A fork that a chain skipped: go-ethereum writes what is missing as empty.
	h := oracleHeader(rnd, 1)
	h.RequestsHash = &common.Hash{7}
	text, err := json.Marshal(h)
	require.NoError(t, err)
	got, bad := readHeaderProof(text)
	require.Nil(t, bad)
	require.Equal(t, [32]byte(h.Hash()), got.hash())
}

// TestHeaderProofIsStrict: what is not understood is an error or strange, and a
// field that is missing leaves nothing to hash.
func TestHeaderProofIsStrict(t *testing.T) {
	full := map[string]any{}
	text, err := json.Marshal(oracleHeader(rand.New(rand.NewPCG(1, 1)), 6))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &full))
	read := func(change func(map[string]any)) (*headerProof, *DecodeError) {
		m := maps.Clone(full)
		change(m)
		text, err := json.Marshal(m)
		require.NoError(t, err)
		return readHeaderProof(text)
	}
	for _, name := range []string{"parentHash", "sha3Uncles", "miner", "stateRoot", "logsBloom", "difficulty", "extraData", "mixHash", "nonce"} {
		h, bad := read(func(m map[string]any) { delete(m, name) })
		require.Nil(t, bad)
		require.False(t, h.sealed(), name)
		_, bad = read(func(m map[string]any) { m[name] = "0xzz" })
		require.NotNil(t, bad, name)
		_, bad = read(func(m map[string]any) { m[name] = 7 })
		require.NotNil(t, bad, name)
	}
	h, bad := read(func(m map[string]any) { m["futureRoot"] = "0x1" })
	require.Nil(t, bad)
	require.True(t, h.strange)
	h, bad = read(func(m map[string]any) { m["futureRoot"], m["totalDifficulty"] = nil, "0x1" })
	require.Nil(t, bad)
	require.False(t, h.strange)
	_, bad = readHeaderProof([]byte(`{"nonce":"0x0000000000000000","nonce":"0x0000000000000000"}`))
	require.NotNil(t, bad)
	h, bad = readHeaderProof([]byte("null"))
	require.Nil(t, bad)
	require.True(t, h.missing)
}

// oracleReceipts are receipts of all types with logs of all sizes.
func oracleReceipts(n int) types.Receipts {
	rnd := rand.New(rand.NewPCG(uint64(n), 3))
	var out types.Receipts
	for i := range n {
		r := &types.Receipt{Type: uint8(i % 5), Status: uint64(i / 2 % 2), CumulativeGasUsed: rnd.Uint64N(1 << 36), Logs: []*types.Log{}}
		for k := range rnd.IntN(5) {
			l := &types.Log{Address: common.BigToAddress(big.NewInt(rnd.Int64())), Data: bytes.Repeat([]byte{byte(k * 50)}, []int{0, 1, 32, 55, 56, 300}[rnd.IntN(6)]), Topics: []common.Hash{}}
			for range rnd.IntN(5) {
				l.Topics = append(l.Topics, common.BigToHash(big.NewInt(rnd.Int64())))
			}
			r.Logs = append(r.Logs, l)
		}
		r.Bloom = types.CreateBloom(r)
		out = append(out, r)
	}
	return out
}

func readReceiptsProof(text []byte) (*receiptsProof, *DecodeError) {
	r := new(receiptsProof)
	s := &scanner{data: text}
	s.receiptsProof(r)
	s.end()
	return r, s.err
}

// TestReceiptsRoot takes go-ethereum as the oracle.
func TestReceiptsRoot(t *testing.T) {
	reused := new(rootBuilder)
	for _, n := range []int{0, 1, 2, 3, 15, 16, 17, 127, 128, 129, 300} {
		want := oracleReceipts(n)
		text, err := json.Marshal(want)
		require.NoError(t, err)
		if n == 0 {
			text = []byte("[]")
		}
		r, bad := readReceiptsProof(text)
		require.Nil(t, bad)
		require.False(t, r.strange)
		require.Equal(t, [32]byte(types.DeriveSha(want, trie.NewStackTrie(nil))), r.root(reused), "%d receipts", n)
		for i := range want {
			require.Equal(t, want[i].Status == 1, r.ok[i])
		}
	}
}

// paidBlock is a node with one block in which somebody pays and stays unpaid.
func paidBlock(t *testing.T, change ...func(*Config)) (*fakeNode, *Client, *fakeBlock) {
	t.Helper()
	n := newFakeNode(t)
	b := n.mineReal(t,
		signedTx{key: 0, to: stranger, value: 1}, signedTx{key: 1, to: customer, value: 500}, signedTx{key: 2, to: coin, logs: []fakeLog{transferLog(coin, stranger, customer, 77), transferLog(coin, stranger, ben, 5)}},
		signedTx{key: 0, to: stranger, nonce: 1, failed: true})
	n.mineReal(t)
	return n, n.far(t, append([]func(*Config){func(c *Config) { c.Verify, c.Native = true, NativeFull }}, change...)...), b
}

func payees() *fakeWatch { return watching([]string{coin}, customer) }

// noRaw hides debug_getRawBlock.
func noRaw(method string, _ []any, result any) (any, object) {
	if method == "debug_getRawBlock" {
		return nil, methodMissing(method)
	}
	return result, nil
}

// TestVerifyHonestNode: what an honest node tells verifies, with and without the
// block's own encoding, and costs one request more.
func TestVerifyHonestNode(t *testing.T) {
	for _, raw := range []bool{false, true} {
		n, c, _ := paidBlock(t)
		if !raw {
			n.bend = noRaw
		}
		page, err := c.Transfers(t.Context(), 1, 2, payees())
		require.NoError(t, err)
		require.Len(t, page.Transfers, 2)
		require.Equal(t, []uint64{1, 0}, []uint64{c.Stats().Verified, c.Stats().Unverifiable}, "raw %t: the block with a hit alone", raw)
		plain := n.far(t, func(c *Config) { c.Native = NativeFull })
		cost := func(c *Client) uint64 {
			_, err := c.Transfers(t.Context(), 1, 1, payees())
			require.NoError(t, err)
			before := c.Stats().Requests
			_, err = c.Transfers(t.Context(), 1, 1, payees())
			require.NoError(t, err)
			return c.Stats().Requests - before
		}
		require.Equal(t, cost(plain)+1, cost(c))
	}
}

// without leaves a member out of each receipt or of the header.
func without(name string) func(any) any {
	return func(result any) any {
		switch v := result.(type) {
		case object:
			out := maps.Clone(v)
			delete(out, name)
			return out
		case []object:
			out := make([]object, len(v))
			for i := range v {
				out[i] = maps.Clone(v[i])
				delete(out[i], name)
			}
			return out
		}
		return result
	}
}

// TestThreat_C8_ForgedBlocks: a node that makes money up has to tell a header or
// receipts that do not fit their hashes. Each such lie is found, and nothing of the
// page is used.
func TestThreat_C8_ForgedBlocks(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		raw          bool
		lie          func(n *fakeNode, b *fakeBlock)
	}{
		{"a log more, everywhere", "receipts are not those", false, func(_ *fakeNode, b *fakeBlock) {
			forgeLog(b, transferLog(coin, stranger, customer, 1_000_000))
		}},
		{"a log more, beside the block's own encoding", "receipts are not those", true, func(_ *fakeNode, b *fakeBlock) {
			forgeLog(b, transferLog(coin, stranger, customer, 1_000_000))
		}},
		{"another amount", "receipts are not those", false, func(_ *fakeNode, b *fakeBlock) { b.logs[0]["data"] = word(7_700_000) }},
		{"a failed one that succeeded", "receipts are not those", false, func(_ *fakeNode, b *fakeBlock) {
			b.txs[3]["to"], b.receipts[3]["status"] = strings.ToLower(customer), "0x1"
		}},
		{"receipts of an honest node beside its own logs", "other logs than the page", false, func(n *fakeNode, b *fakeBlock) {
			honest := deepCopy(b.receipts)
			forgeLog(b, transferLog(coin, stranger, customer, 1_000_000))
			n.bendMore(func(method string, result any) any {
				if method == "eth_getBlockReceipts" {
					return honest
				}
				return result
			})
		}},
		{"a hidden log in a block with another hit", "other logs than the page", false, func(n *fakeNode, b *fakeBlock) {
			b.logs, b.receipts[2]["logs"] = b.logs[1:], b.receipts[2]["logs"].([]any)[1:]
			honest := deepCopy(b.receipts)
			honest[2]["logs"] = append([]any{object{"address": strings.ToLower(coin), "topics": []string{transferTopic, padded(stranger), padded(customer)}, "data": word(77)}}, honest[2]["logs"].([]any)...)
			n.bendMore(func(method string, result any) any {
				if method == "eth_getBlockReceipts" {
					return honest
				}
				return result
			})
		}},
		{"a header changed to fit", "another hash", false, func(_ *fakeNode, b *fakeBlock) {
			forgeLog(b, transferLog(coin, stranger, customer, 1_000_000))
			root := types.DeriveSha(b.sealReceipts(), trie.NewStackTrie(nil))
			b.sealed["receiptsRoot"] = root.Hex()
		}},
		{"a transaction more than receipts", "another number of receipts", false, func(n *fakeNode, b *fakeBlock) {
			honest := deepCopy(b.receipts)
			b.add(4, fakeTx{from: stranger, to: customer, value: 1_000_000})
			n.bendMore(func(method string, result any) any {
				if method == "eth_getBlockReceipts" {
					return honest
				}
				return result
			})
		}},
		{"a transaction that the header does not have", "transactions are not those", true, func(n *fakeNode, b *fakeBlock) {
			forged, err := types.SignNewTx(testKey(1), types.LatestSignerForChainID(new(big.Int).SetUint64(n.chainID)), &types.LegacyTx{
				GasPrice: big.NewInt(7), Gas: 21000, To: (*common.Address)(common.FromHex(customer)), Value: big.NewInt(1_000_000),
			})
			require.NoError(t, err)
			var was types.Block
			require.NoError(t, rlp.DecodeBytes(b.raw, &was))
			list := append(types.Transactions{}, was.Transactions()...)
			list[1] = forged
			b.raw, err = rlp.EncodeToBytes(types.NewBlockWithHeader(was.Header()).WithBody(types.Body{Transactions: list}))
			require.NoError(t, err)
			b.txs[1]["hash"], b.txs[1]["value"], b.receipts[1]["transactionHash"] = hexBytes(forged.Hash().Bytes()), hexQuantity(1_000_000), hexBytes(forged.Hash().Bytes())
		}},
		{"a value that the transaction does not pay", "a transaction says something else", true, func(_ *fakeNode, b *fakeBlock) { b.txs[1]["value"] = hexQuantity(5_000_000) }},
		{"a receiver that the transaction does not pay", "a transaction says something else", true, func(_ *fakeNode, b *fakeBlock) {
			b.txs[0]["to"], b.txs[0]["value"] = strings.ToLower(customer), hexQuantity(1)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, client, b := paidBlock(t)
			if !c.raw {
				n.bend = noRaw
			}
			c.lie(n, b)
			page, err := client.Transfers(t.Context(), 1, 2, payees())
			var forged *ForgedError
			require.ErrorAs(t, err, &forged)
			require.ErrorIs(t, err, chain.ErrForged)
			require.ErrorIs(t, err, chain.ErrIncoherent)
			require.Contains(t, forged.Reason, c.reason)
			require.EqualValues(t, 1, forged.Height)
			require.Empty(t, page.Transfers)
			believing := n.far(t, func(cfg *Config) { cfg.Native = NativeFull })
			_, err = believing.Transfers(t.Context(), 1, 2, payees())
			require.NoError(t, err, "without it the lie is believed")
		})
	}
}

// forgeLog adds a log to the last transaction of a block, in all answers.
func forgeLog(b *fakeBlock, l fakeLog) {
	r := b.receipts[3]
	r["status"] = "0x1"
	log := object{"address": strings.ToLower(l.address), "topics": l.topics, "data": l.data, "blockHash": b.hash, "blockNumber": hexQuantity(b.height),
		"transactionHash": r["transactionHash"], "transactionIndex": "0x3", "logIndex": hexQuantity(uint64(len(b.logs))), "removed": false}
	b.logs, r["logs"] = append(b.logs, log), []any{log}
}

func deepCopy(list []object) (out []object) {
	for _, o := range list {
		c := maps.Clone(o)
		c["logs"] = append([]any{}, o["logs"].([]any)...)
		out = append(out, c)
	}
	return out
}

// bendMore changes results behind what the node bends already.
func (n *fakeNode) bendMore(change func(method string, result any) any) {
	before := n.bend
	n.bend = func(method string, params []any, result any) (any, object) {
		if before != nil {
			var refusal object
			if result, refusal = before(method, params, result); refusal != nil {
				return nil, refusal
			}
		}
		return change(method, result), nil
	}
}

// TestUnverifiableIsNoLie: where the node or the chain tells too little, or
// something new, the block is counted and believed.
func TestUnverifiableIsNoLie(t *testing.T) {
	for name, bend := range map[string]func(method string, result any) any{
		"a header without its mix": func(method string, result any) any {
			if method == "eth_getBlockByHash" {
				return without("mixHash")(result)
			}
			return result
		},
		"a field of a later fork": func(method string, result any) any {
			if o, ok := result.(object); ok && method == "eth_getBlockByHash" {
				o = maps.Clone(o)
				o["futureRoot"], o["stateRoot"] = word(1), word(2)
				return o
			}
			return result
		},
		"a type of the chain's own": func(method string, result any) any {
			if list, ok := result.([]object); ok && len(list) > 0 && method == "eth_getBlockReceipts" {
				list = deepCopy(list)
				list[0]["type"] = "0x7e"
				return list
			}
			return result
		},
	} {
		t.Run(name, func(t *testing.T) {
			n, c, _ := paidBlock(t)
			n.bend = noRaw
			n.bendMore(bend)
			page, err := c.Transfers(t.Context(), 1, 2, payees())
			require.NoError(t, err)
			require.Len(t, page.Transfers, 2)
			require.Equal(t, []uint64{0, 1}, []uint64{c.Stats().Verified, c.Stats().Unverifiable})
		})
	}
	t.Run("no receipts of blocks", func(t *testing.T) {
		n, c, _ := paidBlock(t)
		n.bend = func(method string, params []any, result any) (any, object) {
			if method == "eth_getBlockReceipts" {
				return nil, methodMissing(method)
			}
			return noRaw(method, params, result)
		}
		_, err := c.Transfers(t.Context(), 1, 2, payees())
		require.NoError(t, err)
		require.EqualValues(t, 1, c.Stats().Unverifiable)
	})
}

// TestVerifyOtherBranch: a block that is gone by the time of the proof is a reorg,
// and nobody's lie.
func TestVerifyOtherBranch(t *testing.T) {
	for _, raw := range []bool{false, true} {
		n, c, _ := paidBlock(t)
		if !raw {
			n.bend = noRaw
		}
		n.bendMore(func(method string, result any) any {
			if method == "eth_getBlockReceipts" && len(n.batches) > 6 {
				return nil
			}
			return result
		})
		_, err := c.Transfers(t.Context(), 1, 2, payees())
		require.ErrorIs(t, err, chain.ErrReorg, "raw %t", raw)
	}
}

// TestVerifyNeedsAKnownHash: a chain that hashes in its own way would seem to lie.
func TestVerifyNeedsAKnownHash(t *testing.T) {
	_, err := New(Config{Preset: Polygon(), URL: "http://node", Verify: true})
	var field *ConfigError
	require.ErrorAs(t, err, &field)
	require.Equal(t, "Verify", field.Field)
}

func FuzzHeaderProof(f *testing.F) {
	for fork := range 7 {
		text, err := json.Marshal(oracleHeader(rand.New(rand.NewPCG(uint64(fork), 2)), fork))
		require.NoError(f, err)
		f.Add(text)
	}
	f.Add([]byte(`{"number":"0x1","strange":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, bad := readHeaderProof(text)
		if bad != nil || h.missing || !h.sealed() {
			return
		}
		var want types.Header
		if json.Unmarshal(text, &want) == nil && !h.strange && !hasOther(text) {
			require.Equal(t, [32]byte(want.Hash()), h.hash(), string(text))
		}
	})
}

// hasOther reports whether a header has members that encoding/json takes for
// fields though their names are spelt otherwise.
func hasOther(text []byte) bool {
	var m map[string]json.RawMessage
	if json.Unmarshal(text, &m) != nil {
		return true
	}
	for name := range m {
		if _, _, known := headerField(name); !known {
			return true
		}
	}
	return false
}

func FuzzReceiptsProof(f *testing.F) {
	for _, n := range []int{1, 5, 20} {
		text, err := json.Marshal(oracleReceipts(n))
		require.NoError(f, err)
		f.Add(text)
	}
	f.Add([]byte(`[{}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, bad := readReceiptsProof(text)
		if bad != nil {
			return
		}
		require.Equal(t, len(r.encodings), len(r.ok))
		_ = r.root(new(rootBuilder))
		for _, e := range r.encodings {
			require.NotEmpty(t, e)
		}
	})
}
