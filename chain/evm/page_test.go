package evm

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// page reads all blocks from height 1 on.
func page(t *testing.T, n *fakeNode, w chain.Watch, change ...func(*Config)) (chain.Page, error) {
	t.Helper()
	return n.client(t, change...).Transfers(t.Context(), 1, 1000, w)
}

func mustPage(t *testing.T, n *fakeNode, w chain.Watch, change ...func(*Config)) chain.Page {
	t.Helper()
	p, err := page(t, n, w, change...)
	require.NoError(t, err)
	return p
}

// ordinalsOf lists what a page found, without hashes.
func ordinalsOf(p chain.Page) (out []string) {
	for _, t := range p.Transfers {
		kind, _, _ := strings.Cut(t.ID.Ordinal, ":")
		out = append(out, fmt.Sprintf("%d/%d %s%s %s", t.Block, t.TxIndex, kind, t.ID.Ordinal[strings.LastIndexByte(t.ID.Ordinal, ':')+1:], t.Amount))
	}
	return out
}

func TestTransfersNativeAndToken(t *testing.T) {
	n := newFakeNode(t)
	n.mine(fakeTx{from: stranger, to: customer, value: 5})
	native := fakeTx{from: customer, to: ann, value: 77}
	token := fakeTx{from: customer, to: coin, nonce: 1, logs: []fakeLog{transferLog(coin, customer, ben, 25)}}
	b := n.mine(fakeTx{from: stranger, to: customer, value: 1}, native, token)
	p := mustPage(t, n, watching([]string{coin}, ann, ben))

	require.Len(t, p.Blocks, 2)
	require.Equal(t, chain.BlockHash(b.hash), p.Last().Hash)
	require.Equal(t, chain.BlockHash(b.parent), p.Last().Parent)
	require.Equal(t, int64(b.time), p.Last().Time.Unix())
	require.Empty(t, p.Spends)
	require.Equal(t, []chain.Transfer{{
		ID:    chain.TransferID{Tx: chain.TxID(txHashOf(native)), Ordinal: "n"},
		Asset: "eip155:1337/slip44:60", From: canonical(customer), To: canonical(ann), Amount: chain.NewAmount(77),
		Key: 1, Block: 2, Hash: chain.BlockHash(b.hash), TxIndex: 1, Via: chain.ViaDirect,
	}, {
		ID:    chain.TransferID{Tx: chain.TxID(txHashOf(token)), Ordinal: "t:" + string(canonical(coin)) + ":" + string(canonical(ben)) + ":0"},
		Asset: chain.AssetID("eip155:1337/erc20:" + canonical(coin)), From: canonical(customer), To: canonical(ben), Amount: chain.NewAmount(25),
		Key: 2, Block: 2, Hash: chain.BlockHash(b.hash), TxIndex: 2, Via: chain.ViaDirect,
	}}, p.Transfers)
}

func TestTransfersAsksAsLittleAsItCan(t *testing.T) {
	n := newFakeNode(t)
	for range 10 {
		n.mine(fakeTx{from: stranger, to: customer, value: 1})
	}
	c := n.client(t)
	_, err := c.Transfers(t.Context(), 1, 10, watching(nil, ann))
	require.NoError(t, err)
	require.Equal(t, []int{10}, n.batches, "no token, no hit: one request")
	_, err = c.Transfers(t.Context(), 1, 10, watching([]string{coin}, ann))
	require.NoError(t, err)
	require.Equal(t, []int{10, 10, 11}, n.batches, "blocks, then logs and one count")
	require.Zero(t, n.asked["eth_getTransactionReceipt"])
	require.EqualValues(t, 3, c.Stats().Requests)
	require.NotZero(t, c.Stats().Bytes)
}

func TestTransfersSplitsBatches(t *testing.T) {
	n := newFakeNode(t)
	for i := range 7 {
		n.mine(fakeTx{from: customer, to: ann, value: 1, nonce: uint64(i)})
	}
	p := mustPage(t, n, watching([]string{coin}, ann), func(c *Config) { c.MaxBatch = 3 })
	require.Len(t, p.Transfers, 7)
	require.Equal(t, 3, slices.Max(n.batches))
}

func TestTransfersRange(t *testing.T) {
	n := newFakeNode(t)
	for range 9 {
		n.mine()
	}
	c := n.client(t, func(c *Config) { c.PageBlocks = 4 })
	w := watching([]string{coin}, ann)
	for _, r := range []struct{ from, to, blocks uint64 }{{1, 1, 1}, {1, 3, 3}, {1, 9, 4}, {8, 9, 2}, {8, 1000, 2}, {0, math.MaxUint64, 4}} {
		p, err := c.Transfers(t.Context(), r.from, r.to, w)
		require.NoError(t, err)
		require.Len(t, p.Blocks, int(r.blocks), "%d-%d", r.from, r.to)
		require.Equal(t, r.from, p.Blocks[0].Height)
	}
	_, err := c.Transfers(t.Context(), 10, 12, w)
	require.ErrorIs(t, err, chain.ErrNotFound)
	_, err = c.Transfers(t.Context(), 5, 4, w)
	var format *chain.FormatError
	require.ErrorAs(t, err, &format)
	_, err = c.Transfers(t.Context(), 1, 1, nil)
	require.ErrorAs(t, err, &format)
}

func TestTransfersSpends(t *testing.T) {
	n := newFakeNode(t)
	token := fakeTx{from: ann, to: coin, nonce: 3, logs: []fakeLog{transferLog(coin, ann, customer, 9), transferLog(other, ann, customer, 8)}}
	native := fakeTx{from: ann, to: customer, value: 44, nonce: 4, receipt: object{"l1Fee": "0x64"}}
	b := n.mine(token, native)
	p := mustPage(t, n, watching([]string{coin}, ann))
	require.Empty(t, p.Transfers, "nothing came in")
	require.Len(t, p.Spends, 2)

	first := p.Spends[0]
	require.Equal(t, chain.TxID(txHashOf(token)), first.ID)
	require.Equal(t, chain.TxIncluded, first.State)
	require.Equal(t, p.Last(), first.Block)
	require.Equal(t, canonical(ann), first.From)
	require.Equal(t, []chain.Lock{chain.Lock("nonce:" + string(canonical(ann)) + ":3")}, first.Locks)
	require.Equal(t, chain.NewAmount(7*21000), first.Fee)
	require.Equal(t, uint64(21000), first.GasUsed)
	require.Equal(t, chain.NewAmount(7), first.GasPrice)
	require.Len(t, first.Transfers, 1, "the other token is not listed")
	require.Equal(t, chain.NewAmount(9), first.Transfers[0].Amount)
	require.Equal(t, canonical(customer), first.Transfers[0].To)

	second := p.Spends[1]
	require.Equal(t, chain.NewAmount(7*21000+100), second.Fee, "with the layer below")
	require.Equal(t, "n", second.Transfers[0].ID.Ordinal)
	require.Equal(t, uint32(1), second.TxIndex)
	require.Equal(t, chain.BlockHash(b.hash), second.Transfers[0].Hash)
}

func TestTransfersBothSidesWatched(t *testing.T) {
	n := newFakeNode(t)
	n.mine(fakeTx{from: ann, to: ben, value: 3})
	p := mustPage(t, n, watching(nil, ann, ben))
	require.Len(t, p.Transfers, 1)
	require.Len(t, p.Spends, 1)
	require.Equal(t, p.Transfers[0].ID, p.Spends[0].Transfers[0].ID)
	require.Equal(t, 1, n.asked["eth_getTransactionReceipt"], "one receipt serves both")
}

func TestTransfersContractCreation(t *testing.T) {
	n := newFakeNode(t)
	n.mine(fakeTx{from: ann, value: 3, receipt: object{"contractAddress": strings.ToLower(other)}})
	p := mustPage(t, n, watching(nil, ann))
	require.Equal(t, canonical(other), p.Spends[0].Transfers[0].To)
}

func TestThreat_A3_RemintedSameID(t *testing.T) {
	n, w := newFakeNode(t), watching([]string{coin}, ann, ben)
	native, token := fakeTx{from: customer, to: ann, value: 1}, fakeTx{from: customer, to: coin, nonce: 1, logs: []fakeLog{transferLog(coin, customer, ben, 2)}}
	n.mine(native, token)
	before := mustPage(t, n, w)
	n.drop(1)
	n.mine()
	n.mine(native, token)
	after := mustPage(t, n, w)
	require.Len(t, before.Transfers, 2)
	require.Len(t, after.Transfers, 2)
	for i := range before.Transfers {
		require.Equal(t, before.Transfers[i].ID, after.Transfers[i].ID)
		require.NotEqual(t, before.Transfers[i].Hash, after.Transfers[i].Hash)
	}
}

func TestThreat_A4_OrdinalSurvivesOtherPlace(t *testing.T) {
	n, w := newFakeNode(t), watching([]string{coin, other}, ben)
	logs := []fakeLog{transferLog(coin, customer, ben, 1), transferLog(other, customer, ben, 2), transferLog(coin, customer, ann, 3), transferLog(coin, customer, ben, 4)}
	tx := fakeTx{from: customer, to: stranger, logs: logs}
	n.mine(tx)
	before := mustPage(t, n, w)
	n.drop(1)
	// Another transaction with logs of the same token comes first: both the
	// transaction's and the logs' indexes change.
	n.mine(fakeTx{from: stranger, to: coin, logs: []fakeLog{transferLog(coin, stranger, ben, 9)}}, tx)
	after := mustPage(t, n, w)
	require.Len(t, before.Transfers, 3)
	require.Len(t, after.Transfers, 4)
	for i, old := range before.Transfers {
		require.Equal(t, old.ID, after.Transfers[i+1].ID)
		require.Equal(t, old.Amount, after.Transfers[i+1].Amount)
		require.NotEqual(t, old.TxIndex, after.Transfers[i+1].TxIndex)
	}
}

func TestThreat_A5_AmountBelongsToObservation(t *testing.T) {
	n, w := newFakeNode(t), watching([]string{coin}, ben)
	run := func(first, second uint64) chain.Page {
		n.mine(fakeTx{from: customer, to: coin, logs: []fakeLog{transferLog(coin, customer, ben, first), transferLog(coin, customer, ben, second)}})
		return mustPage(t, n, w)
	}
	before := run(10, 20)
	n.drop(1)
	after := run(0, 20)
	require.Len(t, before.Transfers, 2)
	require.Len(t, after.Transfers, 1, "the first one moved nothing this time")
	require.Equal(t, before.Transfers[1].ID, after.Transfers[0].ID, "the second one keeps its name")
}

func TestThreat_A15_DuplicateLogsCollapse(t *testing.T) {
	n := newFakeNode(t)
	n.mine(fakeTx{from: customer, to: coin, logs: []fakeLog{transferLog(coin, customer, ben, 10), transferLog(coin, customer, ben, 10)}})
	n.bend = func(method string, _ []any, result any) (any, object) {
		if logs, ok := result.([]object); ok && method == "eth_getLogs" {
			return slices.Concat(logs[1:], logs, logs[:1]), nil
		}
		return result, nil
	}
	c := n.client(t)
	p, err := c.Transfers(t.Context(), 1, 1, watching([]string{coin}, ben))
	require.NoError(t, err)
	require.Equal(t, []string{"1/0 t0 10", "1/0 t1 10"}, ordinalsOf(p), "two logs, each of them twice")
	require.EqualValues(t, 2, c.Stats().DuplicateLogs)
}

func TestThreat_A16_RemovedLogsAreNoData(t *testing.T) {
	n := newFakeNode(t)
	b := n.mine(fakeTx{from: customer, to: coin, logs: []fakeLog{transferLog(coin, customer, ben, 10), transferLog(coin, customer, ben, 20)}})
	b.logs[0]["removed"] = true
	c := n.client(t)
	p, err := c.Transfers(t.Context(), 1, 1, watching([]string{coin}, ben))
	require.NoError(t, err)
	require.Equal(t, []string{"1/0 t0 20"}, ordinalsOf(p))
	require.EqualValues(t, 1, c.Stats().RemovedLogs)
}

func TestThreat_A18_TimesDecideNothing(t *testing.T) {
	n := newFakeNode(t)
	n.mine().time = 100
	n.mine().time = 100
	n.mine().time = 50
	n.mine().time = math.MaxUint64
	p := mustPage(t, n, watching(nil, ben))
	require.Len(t, p.Blocks, 4)
	require.Equal(t, int64(50), p.Blocks[2].Time.Unix())
	require.Equal(t, 9999, p.Blocks[3].Time.Year())
	_, err := p.Blocks[3].Time.MarshalJSON()
	require.NoError(t, err)
}

func TestThreat_A21_ReceiptLagsBehind(t *testing.T) {
	n := newFakeNode(t)
	n.mine(fakeTx{from: customer, to: ben, value: 10})
	lag := true
	n.bend = func(method string, _ []any, result any) (any, object) {
		if lag && method == "eth_getTransactionReceipt" {
			return nil, nil
		}
		return result, nil
	}
	_, err := page(t, n, watching(nil, ben))
	require.ErrorIs(t, err, chain.ErrTransient)
	lag = false
	require.Len(t, mustPage(t, n, watching(nil, ben)).Transfers, 1)
}

func TestThreat_B1_FailedTransactionPaysNothing(t *testing.T) {
	n := newFakeNode(t)
	n.mine(fakeTx{from: customer, to: ben, value: 10, failed: true}, fakeTx{from: ben, to: ann, value: 3, failed: true})
	p := mustPage(t, n, watching([]string{coin}, ann, ben))
	require.Empty(t, p.Transfers)
	require.Len(t, p.Spends, 1)
	require.Equal(t, chain.TxFailed, p.Spends[0].State)
	require.Equal(t, chain.NewAmount(7*21000), p.Spends[0].Fee)
	require.Empty(t, p.Spends[0].Transfers)
}

func TestThreat_B1_ReceiptWithoutStatus(t *testing.T) {
	n := newFakeNode(t)
	n.mine(fakeTx{from: customer, to: ben, value: 10, receipt: object{"status": nil, "root": hashOf("root")}})
	_, err := page(t, n, watching(nil, ben))
	var decode *DecodeError
	require.ErrorAs(t, err, &decode)
}

func TestThreat_B2_CalldataProvesNothing(t *testing.T) {
	n := newFakeNode(t)
	b := n.mine(fakeTx{from: customer, to: coin})
	b.txs[0]["input"] = "0xa9059cbb" + padded(ben)[2:] + word(1000)[2:]
	require.Empty(t, mustPage(t, n, watching([]string{coin}, ben)).Transfers)
}

func TestThreat_B3_FakeTokenIsNotAsked(t *testing.T) {
	n := newFakeNode(t)
	n.mine(fakeTx{from: customer, to: other, logs: []fakeLog{transferLog(other, customer, ben, 1000)}})
	var asked []any
	n.bend = func(method string, params []any, result any) (any, object) {
		if method == "eth_getLogs" {
			asked = params[0].(object)["address"].([]any)
		}
		return result, nil
	}
	require.Empty(t, mustPage(t, n, watching([]string{coin}, ben)).Transfers)
	require.Equal(t, []any{string(canonical(coin))}, asked)
}

func TestThreat_B4_NodeThatIgnoresTheFilter(t *testing.T) {
	n := newFakeNode(t)
	b := n.mine(fakeTx{from: customer, to: other, logs: []fakeLog{transferLog(other, customer, ben, 1000)}})
	n.bend = func(method string, _ []any, result any) (any, object) {
		if method == "eth_getLogs" {
			return b.logs, nil
		}
		return result, nil
	}
	p, err := page(t, n, watching([]string{coin}, ben))
	require.ErrorIs(t, err, chain.ErrTransient)
	require.Empty(t, p.Transfers)
}

// odd logs of a listed contract: each is ignored, counted, and does not disturb
// the good one behind it.
func oddLogs() map[string]fakeLog {
	good := func() fakeLog { return transferLog(coin, customer, ben, 1000) }
	out := map[string]fakeLog{}
	edit := func(name string, f func(*fakeLog)) { l := good(); f(&l); out[name] = l }
	edit("ERC-721, four topics", func(l *fakeLog) { l.topics, l.data = append(l.topics, word(7)), "0x" })
	edit("four topics with data", func(l *fakeLog) { l.topics = append(l.topics, word(7)) })
	edit("five topics", func(l *fakeLog) { l.topics = append(l.topics, word(7), word(8)) })
	edit("two topics", func(l *fakeLog) { l.topics = l.topics[:2] })
	edit("one topic", func(l *fakeLog) {
		l.topics, l.data = l.topics[:1], padded(customer)+padded(ben)[2:]+word(1000)[2:]
	})
	edit("no data", func(l *fakeLog) { l.data = "0x" })
	edit("31 bytes", func(l *fakeLog) { l.data = l.data[:64] })
	edit("33 bytes", func(l *fakeLog) { l.data += "00" })
	edit("two words", func(l *fakeLog) { l.data += word(1)[2:] })
	edit("dirty receiver", func(l *fakeLog) { l.topics[2] = "0x01" + l.topics[2][4:] })
	edit("dirty sender", func(l *fakeLog) { l.topics[1] = "0x80" + l.topics[1][4:] })
	return out
}

func TestThreat_B4_OddLogsIgnored(t *testing.T) {
	for name, odd := range oddLogs() {
		t.Run(name, func(t *testing.T) {
			n := newFakeNode(t)
			n.mine(fakeTx{from: customer, to: coin, logs: []fakeLog{odd, transferLog(coin, customer, ben, 5)}})
			c := n.client(t)
			p, err := c.Transfers(t.Context(), 1, 1, watching([]string{coin}, ben))
			require.NoError(t, err)
			require.Equal(t, []string{"1/0 t0 5"}, ordinalsOf(p))
			require.EqualValues(t, 1, c.Stats().OddLogs)
		})
	}
}

func TestThreat_B5_ERC721Ignored(t *testing.T) {
	n := newFakeNode(t)
	nft := fakeLog{address: coin, topics: []string{transferTopic, padded(customer), padded(ben), word(1000)}, data: "0x"}
	n.mine(fakeTx{from: ben, to: coin, logs: []fakeLog{nft}})
	p := mustPage(t, n, watching([]string{coin}, ben))
	require.Empty(t, p.Transfers)
	require.Empty(t, p.Spends[0].Transfers)
}

func TestThreat_B8_HugeAmounts(t *testing.T) {
	n := newFakeNode(t)
	most := "0x" + strings.Repeat("f", 64)
	huge := transferLog(coin, customer, ben, 0)
	huge.data = most
	b := n.mine(fakeTx{from: customer, to: ben, value: 1, logs: []fakeLog{huge}})
	b.txs[0]["value"] = most
	p := mustPage(t, n, watching([]string{coin}, ben))
	require.Len(t, p.Transfers, 2)
	for _, transfer := range p.Transfers {
		require.Equal(t, "115792089237316195423570985008687907853269984665640564039457584007913129639935", transfer.Amount.String())
	}
}

func TestThreat_B9_ZeroTransfersSkipped(t *testing.T) {
	n := newFakeNode(t)
	var spam []fakeLog
	for range 500 {
		spam = append(spam, transferLog(coin, stranger, ben, 0))
	}
	n.mine(fakeTx{from: stranger, to: coin, logs: append(spam, transferLog(coin, stranger, ben, 1))}, fakeTx{from: stranger, to: ben, nonce: 1})
	c := n.client(t)
	p, err := c.Transfers(t.Context(), 1, 1, watching([]string{coin}, ben))
	require.NoError(t, err)
	require.Equal(t, []string{"1/0 t500 1"}, ordinalsOf(p))
	require.EqualValues(t, 500, c.Stats().ZeroTransfers)
	require.Zero(t, n.asked["eth_getTransactionReceipt"], "no receipt for nothing")
}

func TestThreat_B15_SeveralTransfersInOneTransaction(t *testing.T) {
	n := newFakeNode(t)
	n.mine(fakeTx{from: customer, to: ben, value: 7, logs: []fakeLog{
		transferLog(coin, customer, ben, 1), transferLog(coin, stranger, ben, 2), transferLog(coin, customer, ann, 3), transferLog(other, customer, ben, 4),
	}})
	p := mustPage(t, n, watching([]string{coin, other}, ann, ben))
	require.Len(t, p.Transfers, 5)
	seen := map[chain.TransferID]bool{}
	for _, transfer := range p.Transfers {
		require.False(t, seen[transfer.ID], "two transfers share %s", transfer.ID)
		seen[transfer.ID] = true
	}
	require.True(t, slices.IsSortedFunc(p.Transfers, func(a, b chain.Transfer) int { return strings.Compare(a.ID.Ordinal, b.ID.Ordinal) }))
}

func TestThreat_B18_BridgedTokenIsAnotherAsset(t *testing.T) {
	n := newFakeNode(t)
	n.mine(fakeTx{from: customer, to: other, logs: []fakeLog{transferLog(other, customer, ben, 5)}})
	p := mustPage(t, n, watching([]string{coin, other}, ben))
	require.Equal(t, chain.AssetID("eip155:1337/erc20:"+canonical(other)), p.Transfers[0].Asset)
}

func TestTransfersPageShrinksAndGrows(t *testing.T) {
	n := newFakeNode(t)
	for i := range 40 {
		n.mine(fakeTx{from: customer, to: ann, value: 1, nonce: uint64(i)})
	}
	n.bend = func(method string, params []any, result any) (any, object) {
		if method == "eth_getBlockByNumber" && n.size > 4 {
			return nil, object{"code": -32003, "message": "batch response too large"}
		}
		return result, nil
	}
	c := n.client(t)
	w := watching(nil, ann)
	p, err := c.Transfers(t.Context(), 1, 40, w)
	require.NoError(t, err)
	require.Len(t, p.Blocks, 2, "40, 20, 10, 5, 2")
	n.bend = nil
	for from := uint64(3); from <= 40; from += uint64(len(p.Blocks)) {
		p, err = c.Transfers(t.Context(), from, 40, w)
		require.NoError(t, err)
	}
	require.Greater(t, c.page.Load(), uint64(3), "and grows again")
}

func TestTransfersOneBlockTooLarge(t *testing.T) {
	n := newFakeNode(t)
	b := n.mine(fakeTx{from: customer, to: ann, value: 1})
	b.txs[0]["input"] = "0x" + strings.Repeat("00", minMaxResponse)
	_, err := page(t, n, watching(nil, ann), func(c *Config) { c.MaxResponse = minMaxResponse })
	var large *TooLargeError
	require.ErrorAs(t, err, &large)
	require.ErrorIs(t, err, chain.ErrTransient)
	require.NotErrorIs(t, err, chain.ErrNotFound)
	require.NotErrorIs(t, err, chain.ErrReorg)
}
