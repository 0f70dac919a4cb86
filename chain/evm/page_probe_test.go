package evm

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func native(source NativeSource) func(*Config) { return func(c *Config) { c.Native = source } }

func paged(n uint64) func(*Config) { return func(c *Config) { c.PageBlocks = n } }

// Whatever happens, a page read by balances is the page read by blocks.
func TestThreat_A2_ProbedPagesAreThePagesOfBlocks(t *testing.T) {
	spared, each := 0, uint64(1)
	if testing.Short() {
		each = 5
	}
	for seed := uint64(0); seed < 40; seed += each {
		m := newMovingChain(t, seed)
		if seed%2 == 1 {
			m.poor = []string{strings.ToLower(ann), strings.ToLower(ben)}
		}
		m.grow(120, 1+int(seed%20))
		last := m.last()
		m.pad(t, 100)
		w := m.watch()
		full, err := upTo(t, m.client(t), last, w)
		require.NoError(t, err)

		size := 3 + seed*7%100
		m.asked = map[string]int{}
		probed, err := upTo(t, m.far(t, paged(size)), last, w)
		require.NoError(t, err)
		require.Equal(t, full, probed, "seed %d", seed)
		if m.asked["debug_getRawBlock"] < int(last)/2 {
			spared++
		}

		again, err := upTo(t, m.far(t, paged(size), native(NativeBlocks)), last, w)
		require.NoError(t, err)
		require.Equal(t, full, again, "seed %d", seed)
		if seed%4 > 0 {
			continue
		}
		// The same up to the head, where what the catch-up knew still serves.
		m.grow(9, 1)
		full, err = upTo(t, m.client(t), m.last(), w)
		require.NoError(t, err)
		m.asked = map[string]int{}
		probed, err = upTo(t, m.far(t, paged(size)), m.last(), w)
		require.NoError(t, err)
		require.Equal(t, full, probed, "up to the head, seed %d", seed)
	}
	require.GreaterOrEqual(t, spared, 16/int(each), "most blocks are not read where little happens")
}

// The same where the node traces: then the calls inside of transactions are in the
// page too.
func TestProbedPagesAreThePagesOfTraces(t *testing.T) {
	inner := 0
	for seed := range uint64(20) {
		m := newMovingChain(t, seed)
		m.traces = true
		m.grow(100, 3+int(seed))
		for _, b := range m.blocks {
			for _, move := range b.moves {
				if move.amount == 7 && len(b.txs) > 0 {
					b.frames = append(b.frames, innerCall(len(b.txs)-1, stranger, move.account, 7, len(b.frames)))
				}
			}
		}
		last := m.last()
		m.pad(t, 100)
		w := m.watch()
		traced, err := upTo(t, m.far(t, native(NativeTrace)), last, w)
		require.NoError(t, err)
		m.asked = map[string]int{}
		probed, err := upTo(t, m.far(t), last, w)
		require.NoError(t, err)
		require.Equal(t, traced, probed, "seed %d", seed)
		require.NotZero(t, m.asked["eth_call"])
		for _, transfer := range probed.Transfers {
			if transfer.Via == chain.ViaContract {
				inner++
			}
		}
	}
	require.Positive(t, inner)
}

// one makes a chain of which the watched account with key 0 has what happens in
// block 30, and the page over it.
func one(t *testing.T, happen func(m *movingChain)) (*movingChain, *fakeWatch) {
	t.Helper()
	m := newMovingChain(t, 1)
	for len(m.blocks) < 30 {
		m.seal()
	}
	happen(m)
	m.seal()
	for len(m.blocks) < 70 {
		m.seal()
	}
	m.pad(t, 100)
	return m, watching([]string{coin}, ann, ben, keyAddress(0))
}

// sameAsBlocks compares a page by balances with one by blocks, and returns what the
// first one asked.
func sameAsBlocks(t *testing.T, m *movingChain, w *fakeWatch, want int) map[string]int {
	t.Helper()
	full, err := upTo(t, m.client(t), 69, w)
	require.NoError(t, err)
	require.Len(t, append(slices.Clone(ordinalsOf(full)), make([]string, len(full.Spends))...), want)
	m.asked = map[string]int{}
	probed, err := upTo(t, m.far(t), 69, w)
	require.NoError(t, err)
	require.Equal(t, full, probed)
	return m.asked
}

func TestProbeReadsTheBlocksThatMatter(t *testing.T) {
	for name, c := range map[string]struct {
		happen    func(m *movingChain)
		want, raw int // transfers and spends; blocks that are read, with one of the capability probe
	}{
		"nothing":                 {func(*movingChain) {}, 0, 1},
		"a payment":               {func(m *movingChain) { m.send(5, ann, 4) }, 1, 2},
		"two in two blocks":       {func(m *movingChain) { m.send(5, ann, 4); m.seal(); m.send(5, ben, 4) }, 2, 3},
		"a failed payment":        {func(m *movingChain) { m.send(5, ann, 4, func(tx *signedTx) { tx.failed = true }) }, 0, 1},
		"a token":                 {func(m *movingChain) { m.send(5, coin, 0, logging(transferLog(coin, stranger, ben, 4))) }, 1, 1},
		"a token of strangers":    {func(m *movingChain) { m.send(5, coin, 0, logging(transferLog(coin, stranger, other, 4))) }, 0, 1},
		"coin of a contract":      {func(m *movingChain) { m.moves = []fakeMove{{account: ann, amount: 4}} }, 0, 2},
		"in and out in one block": {func(m *movingChain) { m.send(5, keyAddress(0), fakeFee+4); m.send(0, stranger, 4) }, 2, 2},
		"in and out in two":       {func(m *movingChain) { m.send(5, keyAddress(0), fakeFee+4); m.seal(); m.send(0, stranger, 4) }, 2, 3},
		"a failed one of ours":    {func(m *movingChain) { m.send(0, stranger, 4, func(tx *signedTx) { tx.failed = true }) }, 1, 2},
		"one for nothing and refund": {func(m *movingChain) {
			m.send(0, stranger, 0)
			m.moves = []fakeMove{{account: keyAddress(0), amount: fakeFee}}
		}, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			m, w := one(t, c.happen)
			asked := sameAsBlocks(t, m, w, c.want)
			require.Equal(t, c.raw, asked["debug_getRawBlock"])
			require.LessOrEqual(t, asked["eth_getBlockByHash"], 1, "hashes for a log, or where one has few transactions")
		})
	}
}

func logging(logs ...fakeLog) func(*signedTx) { return func(tx *signedTx) { tx.logs = logs } }

// An account with code can be emptied by anybody: equal balances and nonces say
// nothing of it.
func TestThreat_A2_DelegatedAccountSweptByAStranger(t *testing.T) {
	for name, after := range map[string]bool{"delegated for good": false, "delegated for a while": true} {
		t.Run(name, func(t *testing.T) {
			m, w := one(t, func(m *movingChain) {
				m.delegate(0)
				for range 5 {
					m.seal()
				}
				m.send(5, keyAddress(0), 11)
				m.seal()
				m.moves = []fakeMove{{account: keyAddress(0), amount: -11}}
				for range 5 {
					m.seal()
				}
				if after {
					m.delegate(0)
				}
			})
			asked := sameAsBlocks(t, m, w, 1)
			if after {
				require.Less(t, asked["debug_getRawBlock"], 30)
			} else {
				require.GreaterOrEqual(t, asked["debug_getRawBlock"], 69)
			}
		})
	}
}

// A chain on which coin leaves accounts in other ways is found out.
func TestThreat_A2_CoinThatLeavesWithoutASignature(t *testing.T) {
	for name, back := range map[string]int64{"for good": 0, "for a while": 5} {
		t.Run(name, func(t *testing.T) {
			m, w := one(t, func(m *movingChain) {
				m.moves = []fakeMove{{account: ann, amount: -5}}
				m.seal()
				m.send(5, ann, 2)
				m.moves = []fakeMove{{account: ann, amount: back}}
			})
			c := m.far(t)
			got, err := upTo(t, c, 69, w)
			require.NoError(t, err)
			require.Equal(t, []string{"31/0 nn 2"}, ordinalsOf(got))
			require.False(t, c.Capabilities().Balances)
			require.Len(t, c.Capabilities().Faults, 1)
			require.Contains(t, c.Capabilities().Faults[0], "balance")
		})
	}
}

// Where the node does not have what it takes, blocks are read.
func TestThreat_C16_ProbeWithoutOldState(t *testing.T) {
	// without refuses what is asked of the state of blocks that are not kept.
	without := func(kept ...any) func(string, []any, any) (any, object) {
		return func(method string, params []any, result any) (any, object) {
			if method != "eth_call" {
				return result, nil
			}
			if at, ok := params[1].(object); ok && !slices.Contains(kept, at["blockHash"]) {
				return nil, object{"code": -32000, "message": "missing trie node 12 (path )"}
			}
			return result, nil
		}
	}
	for name, bend := range map[string]func(string, []any, any) (any, object){
		"no state":        without(),
		"no overrides":    refusing("eth_call", codeInvalidParams, "too many arguments"),
		"no notice":       bending("eth_call", func(any) any { return "0x" }),
		"no headers":      refusing("eth_getHeaderByNumber", codeMethodNotFound, "method not found"),
		"no nonces":       refusing("eth_getTransactionCount", -32000, "missing trie node"),
		"no logs":         byRangeRefused,
		"no state inside": nil,
	} {
		t.Run(name, func(t *testing.T) {
			m, w := one(t, func(m *movingChain) {
				m.send(5, keyAddress(0), fakeFee+4)
				m.send(0, stranger, 4)
				m.seal()
				m.send(5, coin, 0, logging(transferLog(coin, stranger, ben, 4)))
			})
			full, err := upTo(t, m.client(t), 69, w)
			require.NoError(t, err)
			require.Len(t, full.Transfers, 2)
			if bend == nil {
				bend = without(m.blocks[0].hash, m.blocks[len(m.blocks)-1].hash)
			}
			m.bend = bend
			c := m.far(t)
			got, err := upTo(t, c, 69, w)
			require.NoError(t, err)
			require.Equal(t, full, got)
		})
	}
}

// byRangeRefused refuses questions for logs by range.
func byRangeRefused(method string, params []any, result any) (any, object) {
	if method == "eth_getLogs" && params[0].(object)["fromBlock"] != nil {
		return nil, object{"code": -32000, "message": "query timeout exceeded"}
	}
	return result, nil
}

// A branch that changes while a page is put together is noticed: the page is whole
// and of one branch, or it is none.
func TestThreat_A1_ReorgWhileAPageIsProbed(t *testing.T) {
	happened := 0
	for stage := 1; stage <= 14; stage++ {
		m, w := one(t, func(m *movingChain) { m.send(5, ann, 4); m.seal(); m.send(5, ben, 4) })
		before, err := upTo(t, m.client(t), 69, w)
		require.NoError(t, err)
		c := m.far(t)
		m.batches = nil
		m.between = func(k int) {
			if k != stage {
				return
			}
			happened++
			m.drop(len(m.blocks) - 31) // the payment to ann stays, that to ben does not
			m.nonces[5]--
			m.send(6, ben, 9)
			m.mu.Lock()
			m.between = nil
			m.mu.Unlock()
			m.seal()
			m.pad(t, 150)
		}
		page, err := c.Transfers(t.Context(), 1, 69, w)
		for range 2 {
			if err == nil {
				break
			}
			require.ErrorIs(t, err, chain.ErrReorg, "stage %d", stage)
			_, err = c.Head(t.Context())
			require.NoError(t, err)
			page, err = c.Transfers(t.Context(), 1, 69, w)
		}
		require.NoError(t, err)
		m.between = nil
		if after, err := upTo(t, m.client(t), 69, w); page.Last().Hash == after.Last().Hash {
			require.NoError(t, err)
			before = after
		}
		require.Equal(t, before, page, "stage %d", stage)
	}
	require.GreaterOrEqual(t, happened, 8)
}

// What the last page found out is not asked for again.
func TestProbeTellsBalancesOfTheLastBlock(t *testing.T) {
	m, w := one(t, func(m *movingChain) { m.send(5, ann, 4) })
	c := m.far(t)
	p, err := c.Transfers(t.Context(), 1, 60, w)
	require.NoError(t, err)
	m.asked = map[string]int{}
	native := c.Info().Native
	of := []chain.Holding{{Address: canonical(ann), Asset: native}, {Address: canonical(ben), Asset: native}}
	got, err := c.Balances(t.Context(), p.Last().Hash, of)
	require.NoError(t, err)
	require.Equal(t, []chain.Amount{chain.NewAmount(rich + 4), chain.NewAmount(rich)}, got)
	require.Empty(t, m.asked)

	_, err = c.Balances(t.Context(), p.Blocks[5].Hash, of)
	require.NoError(t, err)
	require.NotEmpty(t, m.asked, "another block")
	m.asked = map[string]int{}
	_, err = c.Balances(t.Context(), p.Last().Hash, append(of, chain.Holding{Address: canonical(stranger), Asset: native}))
	require.NoError(t, err)
	require.NotEmpty(t, m.asked, "an account that nobody watches")
}

// A chain of which nothing is known is not probed, unless it is asked for.
func TestProbeIsForPlainAccounts(t *testing.T) {
	require.False(t, Arbitrum().PlainAccounts)
	require.True(t, Ethereum().PlainAccounts)
	for name, c := range map[string]struct {
		change func(*Config)
		probed bool
	}{
		"plain":     {func(*Config) {}, true},
		"own":       {func(c *Config) { c.Preset.PlainAccounts = false }, false},
		"forced":    {func(c *Config) { c.Preset.PlainAccounts, c.Native = false, NativeProbe }, true},
		"forbidden": {native(NativeBlocks), false},
	} {
		t.Run(name, func(t *testing.T) {
			m, w := one(t, func(m *movingChain) { m.send(5, ann, 4) })
			_, err := upTo(t, m.far(t, c.change), 69, w)
			require.NoError(t, err)
			require.Equal(t, c.probed, m.asked["debug_getRawBlock"] < 60)
		})
	}
}

// Where somebody moves in most blocks they are read right away.
func TestProbeGivesUpOnBusyAccounts(t *testing.T) {
	m := newMovingChain(t, 2)
	for range 400 {
		m.send(5, ann, 1)
		m.seal()
	}
	m.pad(t, 100)
	c := m.far(t)
	_, err := upTo(t, c, 400, m.watch())
	require.NoError(t, err)
	require.True(t, c.signers.Load().still.off.Load())
	require.Less(t, m.asked["eth_call"], 260)
}

// Pages need not be read in their order.
func TestProbedPagesInAnyOrder(t *testing.T) {
	m, w := one(t, func(m *movingChain) { m.send(5, ann, 4) })
	c := m.far(t)
	_, err := c.Transfers(t.Context(), 10, 20, w)
	require.NoError(t, err)
	for _, from := range []uint64{50, 21, 50, 25} {
		p, err := c.Transfers(t.Context(), from, from+15, w)
		require.NoError(t, err)
		require.Len(t, p.Blocks, 16)
		require.Equal(t, from < 30, len(p.Transfers) == 1, "from %d", from)
		require.True(t, c.Capabilities().Balances)
	}
}

// Addresses that come while it goes on are compared too, from where it began.
func TestProbeLearnsNewAccounts(t *testing.T) {
	m, _ := one(t, func(m *movingChain) {
		m.send(5, ann, 4)
		m.send(5, ben, 4)
		m.send(0, customer, 1)
		m.send(0, customer, 2)
	})
	c := m.far(t)
	p, err := c.Transfers(t.Context(), 1, 10, watching([]string{coin}, ann))
	require.NoError(t, err)
	require.Empty(t, p.Transfers)
	p, err = c.Transfers(t.Context(), 11, 40, watching([]string{coin}, ann, ben, keyAddress(0), customer))
	require.NoError(t, err)
	require.Len(t, p.Transfers, 4)
	require.Len(t, p.Spends, 2)
	require.Less(t, m.asked["debug_getRawBlock"], 5)
}

// A node that gives another block than the one whose state was compared is not
// believed.
func TestThreat_C15_ProbeFillsWithAnotherBlock(t *testing.T) {
	for _, headers := range []bool{true, false} {
		m, w := one(t, func(m *movingChain) {
			m.send(5, ann, 4)
			m.seal()
			m.send(5, coin, 0, logging(transferLog(coin, stranger, ben, 4)))
		})
		sibling := newMovingChain(t, 1)
		for len(sibling.blocks) < 30 {
			sibling.seal()
		}
		sibling.send(6, stranger, 4)
		sibling.seal()
		m.bend = func(method string, params []any, result any) (any, object) {
			if method == "debug_getRawBlock" && params[0] == hexQuantity(30) {
				return hexBytes(sibling.blocks[30].raw), nil
			}
			if method == "eth_getBlockByHash" && headers {
				return nil, nil
			}
			return result, nil
		}
		_, err := m.far(t).Transfers(t.Context(), 1, 69, w)
		require.ErrorIs(t, err, chain.ErrReorg)
	}
}

// An empty account has never signed; one that only has no coin may have.
func TestProbeAsksForFewNonces(t *testing.T) {
	m, _ := one(t, func(m *movingChain) {
		m.send(0, stranger, 4)
		m.moves = []fakeMove{{account: keyAddress(0), amount: fakeFee + 4}}
	})
	w := watching([]string{coin}, ann, ben, customer, keyAddress(0), keyAddress(1))
	for key := range w.keys {
		m.poor = append(m.poor, strings.ToLower(string(checksummed(key))))
	}
	full, err := upTo(t, m.client(t), 69, w)
	require.NoError(t, err)
	require.Len(t, full.Spends, 1)
	m.asked = map[string]int{}
	probed, err := upTo(t, m.far(t, paged(69)), 69, w)
	require.NoError(t, err)
	require.Equal(t, full, probed)
	// The one that has signed: at the ends of the stretch, of the page and inside.
	balance, _ := m.account(keyAddress(0), 60)
	require.Zero(t, balance)
	require.Positive(t, m.asked["eth_getTransactionCount"])
	require.LessOrEqual(t, m.asked["eth_getTransactionCount"], 2+2+8+8)
	require.Equal(t, 2, m.asked["debug_getRawBlock"])
}

// The last blocks before the head are read as raw ones, as long as they are those of
// the branch of which the nonces are known.
func TestThreat_A1_RawBlocksUpToTheHead(t *testing.T) {
	for name, old := range map[string]bool{"it says so": false, "it answers with both": true} {
		m, w := one(t, func(*movingChain) {})
		c := m.far(t, native(NativeBlocks))
		for from := uint64(1); from < m.last()-15; {
			p, err := c.Transfers(t.Context(), from, m.last(), w)
			require.NoError(t, err)
			from = p.Last().Height + 1
		}
		from, head := m.last()-15, m.last()
		was := m.blocks[head]
		m.asked = map[string]int{}
		p, err := c.Transfers(t.Context(), from, head, w)
		require.NoError(t, err)
		require.Len(t, p.Blocks, 16)
		require.Equal(t, 16, m.asked["debug_getRawBlock"])

		// A longer page ends there too, a later one is of full blocks.
		p, err = c.Transfers(t.Context(), from, head+20, w)
		require.NoError(t, err)
		require.Equal(t, head, p.Last().Height)

		m.drop(8)
		m.send(0, stranger, 4)
		m.seal()
		m.pad(t, 20)
		if old {
			m.bend = func(method string, params []any, result any) (any, object) {
				if method == "eth_getBlockByNumber" && params[0] == hexQuantity(head) {
					return was.object(false), nil
				}
				return result, nil
			}
		}
		_, err = c.Transfers(t.Context(), from, head, w)
		require.ErrorIs(t, err, chain.ErrReorg, name)
	}
}
