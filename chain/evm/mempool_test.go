package evm

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bursar-go/bursar/chain"
)

const (
	shop      = "0x00000000000000000000000000000000000000aa"
	buyer     = "0x00000000000000000000000000000000000000bb"
	bystander = "0x00000000000000000000000000000000000000cc"
	dollar    = "0x00000000000000000000000000000000000000dd"
)

// pendingTx is a transaction as a node pushes it.
func pendingTx(name string, change object) object {
	o := object{
		"hash": hashOf(name), "from": buyer, "to": shop, "value": "0x7", "nonce": "0x5", "input": "0x", "blockHash": nil, "blockNumber": nil, "transactionIndex": nil,
		"gas": "0x5208", "type": "0x2",
	}
	for k, v := range change {
		o[k] = v
	}
	return o
}

// calldata is a call with words for arguments.
func calldata(selector string, words ...string) string {
	out := "0x" + selector
	for _, w := range words {
		out += strings.Repeat("0", 64-len(strings.TrimPrefix(w, "0x"))) + strings.TrimPrefix(w, "0x")
	}
	return out
}

func pushed(t *testing.T, result any) string {
	t.Helper()
	raw, err := json.Marshal(object{"jsonrpc": "2.0", "method": "eth_subscription", "params": object{"subscription": "0xcd0c", "result": result}})
	require.NoError(t, err)
	return string(raw)
}

// promises reads one transaction.
func promises(t *testing.T, o object) (chain.Sight, bool) {
	t.Helper()
	c, err := New(Config{Preset: Local(1337), URL: "http://127.0.0.1:1/"})
	require.NoError(t, err)
	w := watching([]string{dollar}, shop)
	listed, err := newTokenTable(c.Info().ID, w.Assets())
	require.NoError(t, err)
	raw, err := json.Marshal(o)
	require.NoError(t, err)
	return (&mempool{client: c, watch: w, listed: listed}).promise(raw)
}

func TestPromises(t *testing.T) {
	to, amount := shop, "0x8"
	transfer := calldata("a9059cbb", to, amount)
	token := canonical(dollar)
	sight := func(edit func(*chain.Sight)) *chain.Sight {
		s := chain.Sight{
			ID: chain.TransferID{Tx: chain.TxID(hashOf("a")), Ordinal: "t:" + string(token) + ":" + string(canonical(shop)) + ":0"}, Asset: watching([]string{dollar}).Assets()[0].ID, Amount: chain.NewAmount(8),
			From: canonical(buyer), To: canonical(shop), Lock: nonceLock(canonical(buyer), 5),
		}
		edit(&s)
		return &s
	}
	same := func(*chain.Sight) {}
	for name, c := range map[string]struct {
		change object
		want   *chain.Sight
	}{
		"coin": {object{}, sight(func(s *chain.Sight) {
			s.ID.Ordinal, s.Asset, s.Amount = "n", Local(1337).Info.Native.ID, chain.NewAmount(7)
		})},
		"transfer":            {object{"to": dollar, "value": "0x0", "input": transfer}, sight(same)},
		"under another name":  {object{"to": dollar, "value": "0x0", "input": "0x", "data": transfer}, sight(same)},
		"more after it":       {object{"to": dollar, "input": transfer + "00ff"}, sight(same)},
		"transferFrom":        {object{"to": dollar, "input": calldata("23b872dd", bystander, to, amount)}, sight(func(s *chain.Sight) { s.From = canonical(bystander) })},
		"no value":            {object{"value": "0x0"}, nil},
		"coin to a stranger":  {object{"to": bystander}, nil},
		"a new contract":      {object{"to": nil}, nil},
		"mined already":       {object{"blockHash": hashOf("b"), "transactionIndex": "0x0"}, nil},
		"no nonce":            {object{"nonce": nil}, nil},
		"token to a stranger": {object{"to": dollar, "input": calldata("a9059cbb", bystander, amount)}, nil},
		"of nothing":          {object{"to": dollar, "input": calldata("a9059cbb", to, "0x0")}, nil},
		"another token":       {object{"to": bystander, "input": transfer}, nil},
		"another call":        {object{"to": dollar, "input": calldata("095ea7b3", to, amount)}, nil},
		"too short":           {object{"to": dollar, "input": transfer[:len(transfer)-2]}, nil},
		"no address":          {object{"to": dollar, "input": calldata("a9059cbb", "1"+to[2:], amount)}, nil},
		"no data":             {object{"to": dollar}, nil},
		"no hex":              {object{"to": dollar, "input": strings.Replace(transfer, "8", "g", 1)}, nil},
		"payer is no address": {object{"to": dollar, "input": calldata("23b872dd", "1"+bystander[2:], to, amount)}, nil},
	} {
		got, ok := promises(t, pendingTx("a", c.change))
		require.Equal(t, c.want != nil, ok, name)
		if ok {
			require.Equal(t, *c.want, got, name)
		}
	}
}

// TestAPromiseIsNamedAsItsBlockNamesIt: the row of the one becomes that of the
// other.
func TestAPromiseIsNamedAsItsBlockNamesIt(t *testing.T) {
	n := newFakeNode(t)
	b := n.mine(fakeTx{from: buyer, to: shop, value: 7}, fakeTx{from: buyer, to: dollar, nonce: 1, logs: []fakeLog{transferLog(dollar, buyer, shop, 8)}})
	page, err := n.client(t).Transfers(t.Context(), 1, 1, watching([]string{dollar}, shop))
	require.NoError(t, err)
	require.Len(t, page.Transfers, 2)
	for i, input := range []string{"0x", calldata("a9059cbb", shop, "0x8")} {
		s, ok := promises(t, pendingTx("", object{"hash": b.txs[i]["hash"], "to": b.txs[i]["to"], "value": []string{"0x7", "0x0"}[i], "input": input}))
		require.True(t, ok)
		require.Equal(t, page.Transfers[i].ID, s.ID)
		require.Equal(t, page.Transfers[i].Asset, s.Asset)
		require.Equal(t, page.Transfers[i].To, s.To)
	}
}

// watched follows a mempool; stop ends it and returns its error.
func watched(t *testing.T, c *Client, room int) (out chan chain.Sight, ended chan error, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, ended = make(chan chain.Sight, room), make(chan error, 1)
	go func() { ended <- c.watchMempool(ctx, watching([]string{dollar}, shop), out, patient) }()
	return out, ended, func() error { cancel(); return <-ended }
}

func TestPendingTransactionsInFull(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	p := newPusher(t)
	defer p.Close()
	out, _, stop := watched(t, p.client(t, nil), 2)
	<-p.calls
	<-p.calls
	for _, o := range []any{"nothing", 7, nil, []string{}, object{"hash": "0x"}, object{"deposit": true}, pendingTx("s", object{"to": bystander}), pendingTx("a", nil)} {
		p.send <- pushed(t, o)
	}
	require.Equal(t, chain.TxID(hashOf("a")), (<-out).ID.Tx)
	// Nobody takes these: two wait, and the reader goes on.
	for i := range 50 {
		p.send <- pushed(t, pendingTx(fmt.Sprint(i), nil))
	}
	p.send <- pushed(t, pendingTx("large", object{"input": "0x" + strings.Repeat("00", 200<<10)}))
	for len(p.send) > 0 {
		<-time.After(time.Millisecond)
	}
	require.Equal(t, chain.TxID(hashOf("0")), (<-out).ID.Tx)
	require.Equal(t, chain.TxID(hashOf("1")), (<-out).ID.Tx)
	require.ErrorIs(t, stop(), context.Canceled)
}

// A node that knows no full transactions sends hashes, which are asked for at a
// bounded pace.
func TestPendingTransactionsByHash(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	n := newFakeNode(t)
	p := newPusher(t)
	p.plain = true
	defer p.Close()
	var first []chain.TxID // two requests go at once, and either may be answered first
	for i := range 5 * hashRoom {
		n.pending[hashOf(i)] = pendingTx("", object{"hash": hashOf(i)})
		if i < hashBatch {
			first = append(first, chain.TxID(hashOf(i)))
		}
	}
	out, _, stop := watched(t, p.client(t, func(c *Config) { c.URL = n.URL }), hashRoom)
	for range 3 {
		<-p.calls // the chain, the one that is refused, the plain one
	}
	for i := range 5 * hashRoom {
		p.send <- pushed(t, hashOf(i))
	}
	require.Contains(t, first, (<-out).ID.Tx)
	require.ErrorIs(t, stop(), context.Canceled)
	n.CloseClientConnections()
	n.Close() // waits for the requests that were given up
	require.LessOrEqual(t, n.asked["eth_getTransactionByHash"], 30*hashBatch, "of %d", 5*hashRoom)
}

func TestNoMempoolWithoutSubscriptions(t *testing.T) {
	p := newPusher(t)
	err := p.client(t, func(c *Config) { c.WebSocket = "" }).WatchMempool(t.Context(), watching(nil), nil)
	require.ErrorIs(t, err, chain.ErrUnsupported)
	p.answers["eth_subscribe"] = `"error":{"code":-32601,"message":"notifications not supported"}`
	_, ended, _ := watched(t, p.client(t, nil), 1)
	require.ErrorIs(t, <-ended, chain.ErrUnsupported)
	p.answers["eth_subscribe"] = `"error":{"code":-32602,"message":"never heard of it"}`
	_, ended, _ = watched(t, p.client(t, nil), 1)
	require.ErrorIs(t, <-ended, chain.ErrTransient, "both ways were tried")
	p.answers["eth_chainId"] = `"result":"0x1"`
	_, ended, _ = watched(t, p.client(t, nil), 1)
	require.ErrorIs(t, <-ended, chain.ErrWrongChain)
}

// FuzzPromise: nothing that is pushed breaks anything.
func FuzzPromise(f *testing.F) {
	for _, o := range []object{pendingTx("a", nil), pendingTx("a", object{"to": dollar, "input": calldata("a9059cbb", shop, "0x8")}), {}} {
		raw, err := json.Marshal(o)
		require.NoError(f, err)
		f.Add(raw)
	}
	c, err := New(Config{Preset: Local(1337), URL: "http://127.0.0.1:1/"})
	require.NoError(f, err)
	w := watching([]string{dollar}, shop)
	listed, err := newTokenTable(c.Info().ID, w.Assets())
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text []byte) {
		m := &mempool{client: c, watch: w, listed: listed, out: make(chan chain.Sight, 1), hashes: make(chan [32]byte, 1)}
		m.note(text)
		if s, ok := m.promise(text); ok {
			require.Equal(t, canonical(shop), s.To)
			require.False(t, s.Amount.IsZero())
		}
	})
}

func TestWhoReplacedATransaction(t *testing.T) {
	n := newFakeNode(t)
	var used *fakeBlock
	for i := range 300 {
		if i == 250 {
			used = n.mine(fakeTx{from: bystander, to: shop}, fakeTx{from: buyer, to: bystander})
			continue
		}
		n.mine()
	}
	final, before := chain.BlockHash(n.blocks[290].hash), chain.BlockHash(n.blocks[250].hash)
	by := chain.TxID(used.txs[1]["hash"].(string))
	gone := chain.Waiting{ID: chain.TxID(hashOf("gone")), Lock: nonceLock(canonical(buyer), 0)}
	next := chain.Waiting{ID: chain.TxID(hashOf("next")), Lock: nonceLock(canonical(buyer), 1)}
	itself := chain.Waiting{ID: by, Lock: gone.Lock}
	nobody := chain.Waiting{ID: chain.TxID(hashOf("x"))}
	n.pending[hashOf("waits")] = pendingTx("waits", nil)
	waits := chain.Waiting{ID: chain.TxID(hashOf("waits")), Lock: nonceLock(canonical(buyer), 0)}
	c := n.client(t)
	fates := func(at chain.BlockHash) []chain.Fate {
		got, err := c.Fates(t.Context(), at, gone, next, itself, nobody, waits)
		require.NoError(t, err)
		return got
	}
	mined := chain.BlockRef{Height: used.height, Hash: chain.BlockHash(used.hash), Parent: chain.BlockHash(used.parent), Time: time.Unix(int64(used.time), 0).UTC()}
	unknown := chain.Fate{State: chain.TxUnknown}
	want := []chain.Fate{{State: chain.TxUnknown, Replaced: true, By: by}, unknown, {State: chain.TxIncluded, Block: mined}, unknown, {State: chain.TxPending}}
	require.Equal(t, want, fates(final))
	require.Equal(t, want, fates(chain.BlockHash(used.hash)), "in the very block")
	want[0] = unknown
	require.Equal(t, want, fates(before))
	require.Equal(t, want, fates(""))
	require.Equal(t, want, fates(chain.BlockHash(hashOf("no block"))))

	// A node without old states cannot say who, or not even whether.
	n.bend = func(method string, params []any, result any) (any, object) {
		if at, ok := params[len(params)-1].(string); method == "eth_getTransactionCount" && ok && heightOf(at) < 280 {
			return nil, object{"code": -32000, "message": "missing trie node"}
		}
		return result, nil
	}
	require.Equal(t, chain.Fate{State: chain.TxUnknown, Replaced: true}, fates(final)[0])
	n.bend = func(method string, _ []any, result any) (any, object) {
		if method == "eth_getTransactionCount" {
			return nil, object{"code": -32000, "message": "missing trie node"}
		}
		return result, nil
	}
	require.Equal(t, want, fates(final))
	n.bend = func(method string, _ []any, result any) (any, object) {
		if method == "eth_getTransactionCount" {
			return nil, object{"code": -32005, "message": "limit exceeded"}
		}
		return result, nil
	}
	_, err := c.Fates(t.Context(), final, gone)
	require.ErrorIs(t, err, chain.ErrTransient)

	// So many at once, the others the next time.
	n.bend = nil
	many := make([]chain.Waiting, 3*maxSpenders)
	for i := range many {
		many[i] = chain.Waiting{ID: chain.TxID(hashOf("many", i)), Lock: gone.Lock}
	}
	got, err := c.Fates(t.Context(), final, many...)
	require.NoError(t, err)
	told := 0
	for _, f := range got {
		if f.Replaced {
			told++
		}
	}
	require.Equal(t, maxSpenders, told)
}

// It is found in however old a block, down to where the search ends.
func TestWhoReplacedATransactionLongAgo(t *testing.T) {
	n := newFakeNode(t)
	for range 200 {
		n.mine()
	}
	for _, back := range []uint64{0, 1, 2, 3, 5, 64, 127} {
		m := newFakeNode(t)
		for h := range uint64(199) {
			if h+1 == 199-back {
				m.mine(fakeTx{from: buyer, to: bystander})
				continue
			}
			m.mine()
		}
		by, err := m.client(t).spender(t.Context(), &lockSearch{owner: canonical(buyer)}, 199)
		require.NoError(t, err)
		require.Equal(t, m.blocks[199-back].txs[0]["hash"], string(by), "%d", back)
		require.LessOrEqual(t, m.asked["eth_getTransactionCount"], 16)
		by, err = m.client(t).spender(t.Context(), &lockSearch{owner: canonical(buyer)}, 199-back+spenderDepth)
		if back > 0 && back < 3 {
			require.NoError(t, err)
			require.Empty(t, by, "below the search")
		}
	}
}
