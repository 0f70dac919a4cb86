package evm

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// bending returns a bend that changes the results of one method.
func bending(method string, change func(result any) any) func(string, []any, any) (any, object) {
	return func(m string, _ []any, result any) (any, object) {
		if m == method {
			return change(result), nil
		}
		return result, nil
	}
}

// refusing returns a bend that refuses one method with an error.
func refusing(method string, code int, message string) func(string, []any, any) (any, object) {
	return func(m string, _ []any, result any) (any, object) {
		if m == method {
			return nil, object{"code": code, "message": message}
		}
		return result, nil
	}
}

// edited returns a bend that replaces fields in an object, or in each one of a
// list, without touching the node's own copy. A nil value removes the field.
func edited(method string, fields object) func(string, []any, any) (any, object) {
	edit := func(o object) object {
		o = maps.Clone(o)
		for name, value := range fields {
			if value == nil {
				delete(o, name)
				continue
			}
			o[name] = value
		}
		return o
	}
	return bending(method, func(result any) any {
		switch r := result.(type) {
		case object:
			return edit(r)
		case []object:
			out := []object{}
			for _, o := range r {
				out = append(out, edit(o))
			}
			return out
		}
		return result
	})
}

// busyNode has one block with a native payment, a token payment and a spend.
func busyNode(t *testing.T) *fakeNode {
	t.Helper()
	n := newFakeNode(t)
	n.mine(
		fakeTx{from: customer, to: ann, value: 5},
		fakeTx{from: customer, to: coin, nonce: 1, logs: []fakeLog{transferLog(coin, customer, ben, 7), transferLog(coin, customer, ann, 8)}},
		fakeTx{from: ben, to: coin, logs: []fakeLog{transferLog(coin, ben, ann, 1)}},
	)
	return n
}

func TestHostileAnswers(t *testing.T) {
	w := watching([]string{coin}, ann, ben)
	foreign := hashOf("foreign")
	transient, reorg := chain.ErrTransient, chain.ErrReorg
	for name, c := range map[string]struct {
		bend func(string, []any, any) (any, object)
		want error
	}{
		"C1 logs of an unknown block":          {refusing("eth_getLogs", -32000, "unknown block"), reorg},
		"C1 logs null":                         {bending("eth_getLogs", func(any) any { return nil }), reorg},
		"C1 logs empty, count unknown":         {both(bending("eth_getLogs", func(any) any { return []any{} }), bending("eth_getBlockTransactionCountByHash", func(any) any { return nil })), reorg},
		"C1 logs empty, count refused":         {refusing("eth_getBlockTransactionCountByHash", -32000, "header not found"), reorg},
		"C1 another count":                     {bending("eth_getBlockTransactionCountByHash", func(any) any { return "0x2" }), transient},
		"C1 logs fail":                         {refusing("eth_getLogs", -32000, "internal error"), transient},
		"C3 logs cut short":                    {bending("eth_getLogs", func(r any) any { return r.([]object)[:2] }), transient},
		"C3 logs all gone":                     {bending("eth_getLogs", func(any) any { return []any{} }), transient},
		"C15 log of another block":             {edited("eth_getLogs", object{"blockHash": foreign}), transient},
		"C15 log of another transaction":       {edited("eth_getLogs", object{"transactionHash": foreign}), transient},
		"C15 log at another place":             {edited("eth_getLogs", object{"transactionIndex": "0x0"}), transient},
		"C15 log beyond the block":             {edited("eth_getLogs", object{"transactionIndex": "0x3"}), transient},
		"C15 log far beyond the block":         {edited("eth_getLogs", object{"transactionIndex": "0xffffffffffffffff"}), transient},
		"C15 two logs with one index":          {edited("eth_getLogs", object{"logIndex": "0x0"}), transient},
		"C15 logs in another order":            {bending("eth_getLogs", reversedIndexes), transient},
		"B4 log of another contract":           {edited("eth_getLogs", object{"address": strings.ToLower(other)}), transient},
		"C5 log without an address":            {edited("eth_getLogs", object{"address": nil}), transient},
		"C5 block without transactions":        {edited("eth_getBlockByNumber", object{"transactions": nil}), transient},
		"C5 block with hashes":                 {edited("eth_getBlockByNumber", object{"transactions": []string{foreign}}), transient},
		"C5 block number with a zero":          {edited("eth_getBlockByNumber", object{"number": "0x01"}), transient},
		"C15 block of another height":          {edited("eth_getBlockByNumber", object{"number": "0x7"}), transient},
		"C15 block of another hash":            {edited("eth_getBlockByNumber", object{"hash": foreign}), transient},
		"C15 receipt of another transaction":   {edited("eth_getTransactionReceipt", object{"transactionHash": foreign}), transient},
		"receipt in another block":             {edited("eth_getTransactionReceipt", object{"blockHash": foreign}), reorg},
		"C15 receipt at another height":        {edited("eth_getTransactionReceipt", object{"blockNumber": "0x9"}), transient},
		"C15 receipt at another place":         {edited("eth_getTransactionReceipt", object{"transactionIndex": "0x9"}), transient},
		"C15 receipt of another sender":        {edited("eth_getTransactionReceipt", object{"from": strings.ToLower(other)}), transient},
		"C15 receipt without logs":             {edited("eth_getTransactionReceipt", object{"logs": []any{}}), transient},
		"C15 receipt failed, with logs":        {edited("eth_getTransactionReceipt", object{"status": "0x0"}), transient},
		"C5 receipt without a price":           {edited("eth_getTransactionReceipt", object{"effectiveGasPrice": nil}), transient},
		"A21 receipt null":                     {bending("eth_getTransactionReceipt", func(any) any { return nil }), transient},
		"receipt refused":                      {refusing("eth_getTransactionReceipt", -32603, "internal"), transient},
		"impossible fee":                       {edited("eth_getTransactionReceipt", object{"effectiveGasPrice": "0x" + strings.Repeat("f", 64)}), transient},
		"block refused":                        {refusing("eth_getBlockByNumber", -32000, "busy"), transient},
		"block unknown":                        {refusing("eth_getBlockByNumber", -32000, "header not found"), chain.ErrNotFound},
		"method missing":                       {refusing("eth_getLogs", -32601, "the method eth_getLogs does not exist"), chain.ErrUnsupported},
		"C15 transactions of another block":    {bending("eth_getBlockByNumber", foreignTx), transient},
		"C15 receipt's log of another tx":      {bending("eth_getTransactionReceipt", func(r any) any { return withLogs(r, object{"transactionHash": foreign}) }), transient},
		"C15 receipt's log of another block":   {bending("eth_getTransactionReceipt", func(r any) any { return withLogs(r, object{"blockHash": foreign}) }), transient},
		"C15 receipt's log marked as removed":  {bending("eth_getTransactionReceipt", func(r any) any { return withLogs(r, object{"removed": true}) }), transient},
		"C15 receipt's logs of the same index": {bending("eth_getTransactionReceipt", doubled), transient},
	} {
		t.Run(name, func(t *testing.T) {
			n := busyNode(t)
			require.Len(t, mustPage(t, n, w).Transfers, 4, "an honest node")
			n.bend = c.bend
			p, err := page(t, n, w)
			require.ErrorIs(t, err, c.want)
			require.Empty(t, p.Blocks)
			require.Empty(t, p.Transfers)
			require.Empty(t, p.Spends)
		})
	}
}

func both(bends ...func(string, []any, any) (any, object)) func(string, []any, any) (any, object) {
	return func(method string, params []any, result any) (any, object) {
		for _, bend := range bends {
			var refusal object
			if result, refusal = bend(method, params, result); refusal != nil {
				return nil, refusal
			}
		}
		return result, nil
	}
}

// reversedIndexes gives the logs indexes that count down.
func reversedIndexes(result any) any {
	logs := slices.Clone(result.([]object))
	for i := range logs {
		logs[i] = maps.Clone(logs[i])
		logs[i]["logIndex"] = hexQuantity(uint64(len(logs) - i))
	}
	return logs
}

func foreignTx(result any) any {
	if result == nil {
		return nil // a block above the head
	}
	o := maps.Clone(result.(object))
	txs := slices.Clone(o["transactions"].([]any))
	first := maps.Clone(txs[0].(object))
	first["blockHash"] = hashOf("foreign")
	txs[0] = first
	o["transactions"] = txs
	return o
}

// withLogs changes fields of all logs of a receipt.
func withLogs(result any, fields object) any {
	r := maps.Clone(result.(object))
	logs := []any{}
	for _, l := range r["logs"].([]any) {
		o := maps.Clone(l.(object))
		maps.Copy(o, fields)
		logs = append(logs, o)
	}
	r["logs"] = logs
	return r
}

// doubled adds a second log with the index of the first one.
func doubled(result any) any {
	r := maps.Clone(result.(object))
	logs := r["logs"].([]any)
	if len(logs) == 0 {
		return r
	}
	o := maps.Clone(logs[0].(object))
	o["data"] = word(99)
	r["logs"] = append(slices.Clone(logs), o)
	return r
}

func TestThreat_C15_TransactionsGoneButLogsThere(t *testing.T) {
	n := busyNode(t)
	n.bend = both(edited("eth_getBlockByNumber", object{"transactions": []any{}}),
		bending("eth_getBlockTransactionCountByHash", func(any) any { return "0x0" }))
	_, err := page(t, n, watching([]string{coin}, ann))
	require.ErrorIs(t, err, chain.ErrTransient)
}

func TestThreat_A1_ReorgBetweenTheRequestsOfAPage(t *testing.T) {
	w := watching([]string{coin}, ann, ben)
	for stage := 1; stage <= 2; stage++ {
		n := busyNode(t)
		n.between = func(count int) {
			if count == stage {
				n.drop(1)
				n.mineSalted("other branch", fakeTx{from: customer, to: ann, value: 5})
			}
		}
		_, err := page(t, n, w)
		require.ErrorIs(t, err, chain.ErrReorg, "after request %d", stage)
		n.between = nil
		p := mustPage(t, n, w)
		require.Len(t, p.Transfers, 1, "and then the new branch")
	}
}

func TestThreat_A19_PageThatIsNoChain(t *testing.T) {
	n := newFakeNode(t)
	for range 4 {
		n.mine()
	}
	n.blocks[3].parent = hashOf("elsewhere")
	_, err := page(t, n, watching(nil, ann))
	require.ErrorIs(t, err, chain.ErrReorg)
	_, err = n.client(t).Headers(t.Context(), 1, 4)
	require.ErrorIs(t, err, chain.ErrReorg)
	refs, err := n.client(t).Headers(t.Context(), 3, 4)
	require.NoError(t, err, "what lies before the range is the caller's to compare")
	require.Equal(t, chain.BlockHash(hashOf("elsewhere")), refs[0].Parent)
}

func TestThreat_A9_HeadersToWalkBack(t *testing.T) {
	n := newFakeNode(t)
	for range 10 {
		n.mine()
	}
	c := n.client(t, func(c *Config) { c.PageBlocks = 6 })
	before, err := c.Headers(t.Context(), 5, 10)
	require.NoError(t, err)
	require.Len(t, before, 6)
	n.drop(4)
	n.mineSalted("new")
	after, err := c.Headers(t.Context(), 5, 10)
	require.NoError(t, err)
	require.Len(t, after, 3, "the new branch is shorter")
	require.Equal(t, before[:2], after[:2])
	require.NotEqual(t, before[2].Hash, after[2].Hash)
	none, err := c.Headers(t.Context(), 100, 200)
	require.NoError(t, err)
	require.Empty(t, none)
	many, err := c.Headers(t.Context(), 0, 1<<63)
	require.NoError(t, err)
	require.Len(t, many, 6, "at most a page")
	_, err = c.Headers(t.Context(), 3, 2)
	require.Error(t, err)
	n.bend = refusing("eth_getBlockByNumber", -32000, "busy")
	_, err = c.Headers(t.Context(), 1, 2)
	require.ErrorIs(t, err, chain.ErrTransient)
	n.bend = edited("eth_getBlockByNumber", object{"number": "0x9"})
	_, err = c.Headers(t.Context(), 1, 2)
	require.ErrorIs(t, err, chain.ErrTransient)
}

func withTag(tag string) func(*Config) { return func(c *Config) { c.Preset.FinalityTag = tag } }

func TestHead(t *testing.T) {
	n := newFakeNode(t)
	for range 5 {
		n.mine()
	}
	head, err := n.client(t).Head(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 5, head.Latest.Height)
	require.Equal(t, chain.BlockHash(n.blocks[5].hash), head.Latest.Hash)
	require.Nil(t, head.Finalized, "no tag configured")

	n.tags["finalized"], n.tags["safe"] = 2, 3
	for tag, height := range n.tags {
		head, err = n.client(t, withTag(tag)).Head(t.Context())
		require.NoError(t, err)
		require.Equal(t, height, head.Finalized.Height)
		require.Equal(t, chain.BlockHash(n.blocks[height].hash), head.Finalized.Hash)
	}
	require.Equal(t, []int{2, 3, 3}, n.batches, "one request each")
}

func TestThreat_A11_FinalityTagMissing(t *testing.T) {
	n := newFakeNode(t)
	n.mine()
	c := n.client(t, withTag("finalized"))
	for _, message := range []string{"finalized block not found", "Unknown block", "invalid block tag: finalized"} {
		n.bend = func(_ string, params []any, result any) (any, object) {
			if len(params) > 0 && params[0] == "finalized" {
				return nil, object{"code": -32000, "message": message}
			}
			return result, nil
		}
		head, err := c.Head(t.Context())
		require.NoError(t, err, message)
		require.Nil(t, head.Finalized)
	}
	n.bend = func(_ string, params []any, result any) (any, object) {
		if len(params) > 0 && params[0] == "finalized" {
			return nil, object{"code": -32000, "message": "too many requests"}
		}
		return result, nil
	}
	_, err := c.Head(t.Context())
	require.ErrorIs(t, err, chain.ErrTransient, "a busy node does not mean that nothing is final")
}

func TestThreat_A12_FinalAboveTheNewest(t *testing.T) {
	n := newFakeNode(t)
	n.mine()
	n.tags["finalized"] = 1
	n.bend = func(_ string, params []any, result any) (any, object) {
		if len(params) > 0 && params[0] == "latest" {
			return n.blocks[0].object(false), nil
		}
		return result, nil
	}
	_, err := n.client(t, withTag("finalized")).Head(t.Context())
	require.ErrorIs(t, err, chain.ErrTransient)
}

func TestThreat_C7_WrongChain(t *testing.T) {
	n := newFakeNode(t)
	genesis := chain.BlockHash(n.blocks[0].hash)
	c := n.client(t, func(c *Config) { c.Genesis = genesis })
	id, err := c.Identify(t.Context())
	require.NoError(t, err)
	require.Equal(t, chain.Identity{ID: "eip155:1337", Genesis: genesis}, id)

	// The provider points the URL to another chain while we run.
	n.chainID = 1
	_, err = c.Head(t.Context())
	var wrong *WrongChainError
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, &WrongChainError{Field: "chain id", Want: "1337", Got: "1"}, wrong)
	require.NotErrorIs(t, err, chain.ErrTransient)
	id, err = c.Identify(t.Context())
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, chain.ID("eip155:1"), id.ID, "it says what it found")

	n.chainID = 1337
	c = n.client(t, func(c *Config) { c.Genesis = chain.BlockHash(hashOf("fork")) })
	_, err = c.Identify(t.Context())
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, "genesis hash", wrong.Field)
	n.bend = bending("eth_getBlockByNumber", func(any) any { return nil })
	_, err = c.Identify(t.Context())
	require.ErrorIs(t, err, chain.ErrTransient)
	_, err = c.Head(t.Context())
	require.ErrorIs(t, err, chain.ErrTransient)
	n.bend = refusing("eth_chainId", -32000, "busy")
	_, err = c.Identify(t.Context())
	require.ErrorIs(t, err, chain.ErrTransient)
}

func ids(txs ...fakeTx) (out []chain.TxID) {
	for _, tx := range txs {
		out = append(out, chain.TxID(txHashOf(tx)))
	}
	return out
}

func TestStatus(t *testing.T) {
	n := newFakeNode(t)
	included := fakeTx{from: ann, to: coin, nonce: 3, logs: []fakeLog{transferLog(coin, ann, customer, 9), transferLog(coin, ann, customer, 0), transferLog(other, ann, customer, 8)}}
	failed := fakeTx{from: ann, to: customer, nonce: 4, value: 6, failed: true}
	native := fakeTx{from: ann, to: customer, nonce: 5, value: 7}
	b := n.mine(fakeTx{from: stranger, to: customer}, included, failed, native)
	pending := fakeTx{from: ann, to: customer, nonce: 6}
	n.pending[txHashOf(pending)] = object{"hash": txHashOf(pending), "from": strings.ToLower(ann), "to": nil, "value": "0x0", "nonce": "0x6", "blockHash": nil, "transactionIndex": nil}
	c := n.client(t, func(c *Config) { c.Tokens = watching([]string{coin}).assets })
	unknown := fakeTx{from: ann, nonce: 99}
	got, err := c.Status(t.Context(), ids(pending, native, unknown, failed, included)...)
	require.NoError(t, err)
	require.Equal(t, []int{10, 1}, n.batches, "one block for three transactions")

	require.Equal(t, chain.TxStatus{ID: ids(pending)[0], State: chain.TxPending}, got[0])
	require.Equal(t, chain.TxStatus{ID: ids(unknown)[0], State: chain.TxUnknown}, got[2])
	require.Equal(t, chain.TxFailed, got[3].State)
	require.Empty(t, got[3].Transfers)
	require.Equal(t, chain.NewAmount(7*21000), got[3].Fee)
	require.Equal(t, []chain.Lock{nonceLock(canonical(ann), 4)}, got[3].Locks)
	require.Equal(t, chain.TxIncluded, got[1].State)
	require.Equal(t, "n", got[1].Transfers[0].ID.Ordinal)
	require.Equal(t, chain.NewAmount(7), got[1].Transfers[0].Amount)
	require.Len(t, got[4].Transfers, 1, "not the transfer of nothing, not the unlisted token")
	require.Equal(t, chain.NewAmount(9), got[4].Transfers[0].Amount)
	require.Equal(t, chain.BlockHash(b.hash), got[4].Block.Hash)
	require.Equal(t, int64(b.time), got[4].Block.Time.Unix())
	require.Equal(t, uint32(1), got[4].TxIndex)

	// The page says the same of the same transactions.
	p, err := c.Transfers(t.Context(), 1, 1, watching([]string{coin}, ann))
	require.NoError(t, err)
	require.Equal(t, []chain.TxStatus{got[4], got[3], got[1]}, p.Spends)
	empty, err := c.Status(t.Context())
	require.NoError(t, err)
	require.Empty(t, empty)
}

func TestStatusLearnsTokensOfWatches(t *testing.T) {
	n := newFakeNode(t)
	tx := fakeTx{from: ann, to: coin, logs: []fakeLog{transferLog(coin, ann, customer, 9)}}
	n.mine(tx)
	c := n.client(t)
	got, err := c.Status(t.Context(), ids(tx)...)
	require.NoError(t, err)
	require.Empty(t, got[0].Transfers)
	_, err = c.Transfers(t.Context(), 1, 1, watching([]string{coin}))
	require.NoError(t, err)
	got, err = c.Status(t.Context(), ids(tx)...)
	require.NoError(t, err)
	require.Len(t, got[0].Transfers, 1)
}

func TestStatusHostile(t *testing.T) {
	tx := fakeTx{from: ann, to: customer, value: 7}
	foreign := hashOf("foreign")
	for name, c := range map[string]struct {
		bend func(string, []any, any) (any, object)
		want error
	}{
		"A21 receipt null":             {bending("eth_getTransactionReceipt", func(any) any { return nil }), chain.ErrTransient},
		"transaction null":             {bending("eth_getTransactionByHash", func(any) any { return nil }), chain.ErrTransient},
		"another transaction":          {edited("eth_getTransactionByHash", object{"hash": foreign}), chain.ErrTransient},
		"another receipt":              {edited("eth_getTransactionReceipt", object{"transactionHash": foreign}), chain.ErrTransient},
		"two blocks":                   {edited("eth_getTransactionByHash", object{"blockHash": foreign}), chain.ErrReorg},
		"two places":                   {edited("eth_getTransactionByHash", object{"transactionIndex": "0x5"}), chain.ErrTransient},
		"another sender":               {edited("eth_getTransactionReceipt", object{"from": strings.ToLower(ben)}), chain.ErrTransient},
		"block gone":                   {bending("eth_getBlockByHash", func(any) any { return nil }), chain.ErrReorg},
		"block unknown":                {refusing("eth_getBlockByHash", -32000, "unknown block"), chain.ErrReorg},
		"block fails":                  {refusing("eth_getBlockByHash", -32000, "busy"), chain.ErrTransient},
		"another block":                {edited("eth_getBlockByHash", object{"hash": foreign}), chain.ErrReorg},
		"another height":               {edited("eth_getBlockByHash", object{"number": "0x5"}), chain.ErrTransient},
		"lookup fails":                 {refusing("eth_getTransactionByHash", -32000, "busy"), chain.ErrTransient},
		"impossible fee":               {edited("eth_getTransactionReceipt", object{"effectiveGasPrice": "0x" + strings.Repeat("f", 64)}), chain.ErrTransient},
		"receipt of a foreign log":     {edited("eth_getTransactionReceipt", object{"logs": []any{object{"address": strings.ToLower(coin), "topics": []string{transferTopic}, "data": "0x", "blockHash": foreign, "transactionHash": foreign, "transactionIndex": "0x0", "logIndex": "0x0"}}}), chain.ErrTransient},
		"mined, then no longer, block": {both(bending("eth_getTransactionReceipt", func(any) any { return nil })), chain.ErrTransient},
	} {
		n := newFakeNode(t)
		n.mine(tx)
		n.bend = c.bend
		_, err := n.client(t, func(c *Config) { c.Tokens = watching([]string{coin}).assets }).Status(t.Context(), ids(tx)...)
		require.ErrorIs(t, err, c.want, name)
	}
	n := newFakeNode(t)
	for _, id := range []chain.TxID{"", "0x12", chain.TxID("0X" + strings.Repeat("1", 64)), chain.TxID(strings.ToUpper(foreign)), chain.TxID(foreign + "0")} {
		_, err := n.client(t).Status(t.Context(), id)
		var format *chain.FormatError
		require.ErrorAs(t, err, &format, "%q", id)
	}
}

func TestStatusMinedBetweenTheTwoAnswers(t *testing.T) {
	n := newFakeNode(t)
	tx := fakeTx{from: ann, to: customer, value: 7, nonce: 2}
	n.mine(tx)
	n.bend = edited("eth_getTransactionByHash", object{"blockHash": nil, "transactionIndex": nil})
	got, err := n.client(t).Status(t.Context(), ids(tx)...)
	require.NoError(t, err)
	require.Equal(t, chain.TxIncluded, got[0].State)
	require.Equal(t, []chain.Lock{nonceLock(canonical(ann), 2)}, got[0].Locks)
}
