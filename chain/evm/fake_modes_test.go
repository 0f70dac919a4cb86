package evm

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/trie"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// Methods of the fake node that not every node has.

// methodMissing is how a node says that it does not know a method.
func methodMissing(method string) object {
	return object{"code": -32601, "message": "the method " + method + " does not exist/is not available"}
}

// inRange returns the blocks that a filter names; nil where it does not know one.
func (n *fakeNode) inRange(filter object) []*fakeBlock {
	if hash, ok := filter["blockHash"]; ok {
		if b := n.byHash(fmt.Sprint(hash)); b != nil {
			return []*fakeBlock{b}
		}
		return nil
	}
	from, to := heightOf(filter["fromBlock"]), heightOf(filter["toBlock"])
	out := []*fakeBlock{}
	for h := from; h <= to && h < uint64(len(n.blocks)); h++ {
		out = append(out, n.blocks[h])
	}
	return out
}

func heightOf(quantity any) uint64 {
	h, _ := strconv.ParseUint(strings.TrimPrefix(fmt.Sprint(quantity), "0x"), 16, 64)
	return h
}

func (n *fakeNode) more(method string, params []any) (any, object) {
	text, _ := params[0].(string)
	if method == "eth_getTransactionCount" {
		return n.nonce(text, params[1])
	}
	b := n.byHash(text)
	if b == nil && heightOf(text) < uint64(len(n.blocks)) {
		b = n.blocks[heightOf(text)]
	}
	switch {
	case method == "eth_getBlockReceipts" && b != nil:
		return b.receipts, nil
	case method == "debug_getRawBlock" && len(n.blocks) > 1 && n.blocks[1].raw != nil:
		if b == nil || b.raw == nil {
			return "0x", nil
		}
		return hexBytes(b.raw), nil
	case method == "trace_block" && n.traces:
		if b == nil {
			return nil, nil
		}
		return b.trace(), nil
	}
	if len(n.blocks) < 2 || n.blocks[1].raw == nil {
		// Tests that bend these answers must not find them refused.
		return nil, nil
	}
	return nil, methodMissing(method)
}

// nonce counts what an account sent up to a block, as a node that keeps all
// states.
func (n *fakeNode) nonce(account string, at any) (any, object) {
	o, _ := at.(object)
	last := n.byHash(fmt.Sprint(o["blockHash"]))
	if text, ok := at.(string); ok && heightOf(text) < uint64(len(n.blocks)) {
		last = n.blocks[heightOf(text)]
	}
	if last == nil {
		return nil, object{"code": -32000, "message": "header not found"}
	}
	count := uint64(0)
	for _, b := range n.blocks[:last.height+1] {
		for _, t := range b.txs {
			if strings.EqualFold(fmt.Sprint(t["from"]), account) {
				count++
			}
		}
		for _, m := range b.moves {
			if strings.EqualFold(m.account, account) {
				count += m.nonces
			}
		}
	}
	return hexQuantity(count), nil
}

// trace writes the frames of the block, each transaction's own one before those
// inside of it.
func (b *fakeBlock) trace() []object {
	out := []object{}
	for i, t := range b.txs {
		top := object{"type": "call", "action": object{"callType": "call", "from": t["from"], "to": t["to"], "value": t["value"], "gas": "0x1", "input": "0x"},
			"result": object{"gasUsed": "0x0", "output": "0x"}, "subtraces": 0, "traceAddress": []any{}}
		if t["to"] == nil {
			top["type"], top["action"] = "create", object{"from": t["from"], "value": t["value"], "gas": "0x1", "init": "0x"}
			top["result"] = object{"address": b.receipts[i]["contractAddress"], "code": "0x", "gasUsed": "0x0"}
		}
		if b.receipts[i]["status"] == "0x0" {
			top["error"] = "Reverted"
			delete(top, "result")
		}
		frames := []object{top}
		for _, f := range b.frames {
			if f["transactionPosition"] == i {
				frames = append(frames, f)
			}
		}
		for _, f := range frames {
			f["blockHash"], f["blockNumber"], f["transactionHash"], f["transactionPosition"] = b.hash, b.height, t["hash"], i
			out = append(out, f)
		}
	}
	return out
}

// innerCall is a frame inside of a transaction.
func innerCall(tx int, from, to string, value uint64, path ...any) object {
	return object{"type": "call", "transactionPosition": tx, "subtraces": 0, "traceAddress": path,
		"action": object{"callType": "call", "from": strings.ToLower(from), "to": strings.ToLower(to), "value": hexQuantity(value), "gas": "0x1", "input": "0x"},
		"result": object{"gasUsed": "0x0", "output": "0x"}}
}

// bloom is the filter over the block's logs; blocks without an encoding have
// none to speak of.
func (b *fakeBlock) bloom() string {
	if b.raw == nil {
		return "0x00"
	}
	bloom := b.realBloom()
	return hexBytes(bloom[:])
}

func (b *fakeBlock) realBloom() types.Bloom {
	var r types.Receipt
	for _, l := range b.logs {
		log := &types.Log{Address: common.HexToAddress(l["address"].(string))}
		for _, topic := range l["topics"].([]string) {
			log.Topics = append(log.Topics, common.HexToHash(topic))
		}
		r.Logs = append(r.Logs, log)
	}
	return types.CreateBloom(&r)
}

// signedTx is a transaction with a real signature, by the key of a number.
type signedTx struct {
	key    int
	to     string // empty: creates a contract
	value  uint64
	nonce  uint64
	failed bool
	logs   []fakeLog
}

func keyAddress(key int) string { return crypto.PubkeyToAddress(testKey(key).PublicKey).Hex() }

// mineReal adds a block whose hashes are those of its encoding.
func (n *fakeNode) mineReal(tb testing.TB, list ...signedTx) *fakeBlock {
	tb.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	id := new(big.Int).SetUint64(n.chainID)
	b := &fakeBlock{height: uint64(len(n.blocks)), parent: n.blocks[len(n.blocks)-1].hash, time: 1_700_000_000 + uint64(len(n.blocks))}
	var txs []*types.Transaction
	for i, s := range list {
		var to *common.Address
		if s.to != "" {
			a := common.HexToAddress(s.to)
			to = &a
		}
		var body types.TxData = &types.DynamicFeeTx{ChainID: id, Nonce: s.nonce, GasTipCap: big.NewInt(7), GasFeeCap: big.NewInt(7), Gas: 21000, To: to, Value: new(big.Int).SetUint64(s.value)}
		if i%2 == 1 {
			body = &types.LegacyTx{Nonce: s.nonce, GasPrice: big.NewInt(7), Gas: 21000, To: to, Value: new(big.Int).SetUint64(s.value)}
		}
		tx, err := types.SignNewTx(testKey(s.key), types.LatestSignerForChainID(id), body)
		require.NoError(tb, err)
		txs = append(txs, tx)
		b.add(i, fakeTx{from: keyAddress(s.key), to: s.to, value: s.value, nonce: s.nonce, failed: s.failed, logs: s.logs})
	}
	header := &types.Header{
		Number: new(big.Int).SetUint64(b.height), Time: b.time, ParentHash: common.HexToHash(b.parent), Difficulty: new(big.Int), Bloom: b.realBloom(),
		Extra: []byte("fake"), BaseFee: big.NewInt(7), GasLimit: 30_000_000,
	}
	made := types.NewBlock(header, &types.Body{Transactions: txs}, nil, trie.NewStackTrie(nil))
	// NewBlock makes the bloom of receipts, of which it got none.
	sealed := made.Header()
	sealed.Bloom = b.realBloom()
	sealed.ReceiptHash = types.DeriveSha(b.sealReceipts(), trie.NewStackTrie(nil))
	made = made.WithSeal(sealed)
	b.hash = hexBytes(made.Hash().Bytes())
	raw, err := rlp.EncodeToBytes(made)
	require.NoError(tb, err)
	b.raw = raw
	for i, tx := range txs {
		hash := hexBytes(tx.Hash().Bytes())
		if tx.To() == nil {
			made := crypto.CreateAddress(common.HexToAddress(keyAddress(list[i].key)), tx.Nonce())
			b.receipts[i]["contractAddress"] = hexBytes(made[:])
		}
		b.txs[i]["hash"], b.txs[i]["blockHash"] = hash, b.hash
		b.receipts[i]["transactionHash"], b.receipts[i]["blockHash"] = hash, b.hash
		for _, l := range b.receipts[i]["logs"].([]any) {
			l.(object)["transactionHash"], l.(object)["blockHash"] = hash, b.hash
		}
	}
	text, err := json.Marshal(sealed)
	require.NoError(tb, err)
	require.NoError(tb, json.Unmarshal(text, &b.sealed))
	n.blocks = append(n.blocks, b)
	return b
}

// sealReceipts gives the receipts what is hashed of them, and returns them as
// go-ethereum has them.
func (b *fakeBlock) sealReceipts() types.Receipts {
	var out types.Receipts
	for i, r := range b.receipts {
		made := &types.Receipt{Type: types.DynamicFeeTxType, Status: heightOf(r["status"]), CumulativeGasUsed: uint64(21000 * (i + 1))}
		if i%2 == 1 {
			made.Type = types.LegacyTxType
		}
		for _, l := range r["logs"].([]any) {
			log := &types.Log{Address: common.HexToAddress(l.(object)["address"].(string)), Data: common.FromHex(l.(object)["data"].(string))}
			for _, topic := range l.(object)["topics"].([]string) {
				log.Topics = append(log.Topics, common.HexToHash(topic))
			}
			made.Logs = append(made.Logs, log)
		}
		made.Bloom = types.CreateBloom(made)
		r["type"], r["cumulativeGasUsed"], r["logsBloom"] = hexQuantity(uint64(made.Type)), hexQuantity(made.CumulativeGasUsed), hexBytes(made.Bloom[:])
		out = append(out, made)
	}
	return out
}

// pad adds empty blocks, so that what is below lies far behind the head.
func (n *fakeNode) pad(tb testing.TB, count int) {
	tb.Helper()
	encoded := len(n.blocks) > 1 && n.blocks[1].raw != nil
	for range count {
		if encoded {
			n.mineReal(tb)
		} else {
			n.mine()
		}
	}
}

// far returns a client that knows the head.
func (n *fakeNode) far(tb testing.TB, change ...func(*Config)) *Client {
	tb.Helper()
	c := n.client(tb, change...)
	_, err := c.Head(tb.Context())
	require.NoError(tb, err)
	return c
}

// upTo reads the blocks from height 1 on, in as many pages as it takes.
func upTo(tb testing.TB, c *Client, last uint64, w chain.Watch) (out chain.Page, err error) {
	tb.Helper()
	for from := uint64(1); from <= last; {
		p, err := c.Transfers(tb.Context(), from, last, w)
		if err != nil {
			return out, err
		}
		out.Blocks = append(out.Blocks, p.Blocks...)
		out.Transfers = append(out.Transfers, p.Transfers...)
		out.Spends = append(out.Spends, p.Spends...)
		from = p.Last().Height + 1
	}
	return out, nil
}
