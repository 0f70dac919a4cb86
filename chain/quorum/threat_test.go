package quorum_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/quorum"
)

// limitedError is what a server says to whom asks too often.
type limitedError struct{ wait time.Duration }

func (e limitedError) Error() string             { return "429: slow down" }
func (e limitedError) RetryDelay() time.Duration { return e.wait }
func (e limitedError) Unwrap() error             { return chain.ErrRateLimited }

// TestThreat_C6_RetryAfterIsHonoured: a provider that wants to be left alone is,
// for as long as it said.
func TestThreat_C6_RetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, nil)
		w.head()
		w.nodes[0].FailNext(chaintest.MethodTransfers, limitedError{40 * time.Second}, 1)
		_, err := w.page(5)
		require.NoError(t, err, "b answers")
		w.out("a", quorum.FaultLimited)
		require.Equal(t, time.Now().Add(40*time.Second), w.status("a").Until)
		require.Equal(t, uint64(1), w.status("a").Counters.Limited)
		before := w.nodes[0].all()
		for range 39 {
			time.Sleep(time.Second)
			w.head()
			_, err := w.page(5)
			require.NoError(t, err)
		}
		require.Equal(t, before, w.nodes[0].all(), "not one call")
		time.Sleep(2 * time.Second)
		w.head()
		require.False(t, w.status("a").Aside)
	})
}

// TestThreat_C6_RetryAfterIsBounded: nobody can send itself away for a year.
func TestThreat_C6_RetryAfterIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, nil)
		w.nodes[0].FailNext(chaintest.MethodHead, limitedError{10000 * time.Hour}, 1)
		w.head()
		require.Equal(t, time.Now().Add(time.Hour), w.status("a").Until)
	})
}

// TestThreat_C6_BudgetIsKept: a provider gets its calls a second and no more; the
// rest goes elsewhere, or waits where there is nowhere else.
func TestThreat_C6_BudgetIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) {
			c.Providers[0].Rate, c.Providers[0].Burst = 2, 4
		})
		w.head()
		began, before := time.Now(), w.nodes[0].all()
		for range 100 {
			_, err := w.page(5)
			require.NoError(t, err)
		}
		require.Equal(t, began, time.Now(), "nobody waited")
		require.LessOrEqual(t, w.nodes[0].all()-before, 4)
		require.GreaterOrEqual(t, w.nodes[1].asked(chaintest.MethodTransfers), 96)
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) {
			c.Providers = c.Providers[:1]
			c.Providers[0].Rate, c.Providers[0].Burst = 2, 4
		})
		began := time.Now()
		for range 40 {
			_, err := w.page(5)
			require.NoError(t, err)
		}
		calls := w.nodes[0].all()
		require.InDelta(t, float64(calls-4)/2, time.Since(began).Seconds(), 1, "%d calls", calls)
	})
}

// TestThreat_C6_HeadsDoNotWaitForABudget: a provider whose budget is spent is left
// out of the question for heads, which comes all the time.
func TestThreat_C6_HeadsDoNotWaitForABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) {
			c.Agree = 2
			c.Providers[1].Rate, c.Providers[1].Burst = 1, 5
		})
		began := time.Now()
		for range 20 {
			w.head()
		}
		require.Equal(t, began, time.Now())
		require.LessOrEqual(t, w.nodes[1].all(), 5)
	})
}

// TestThreat_C7_WrongChain: a provider of another chain is out from the start.
func TestThreat_C7_WrongChain(t *testing.T) {
	for name, lie := range map[string]func(chain.Identity) chain.Identity{
		"id":      func(i chain.Identity) chain.Identity { i.ID = "eip155:5"; return i },
		"genesis": func(i chain.Identity) chain.Identity { i.Genesis = "0xother"; return i },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, chaintest.Options{}, nil)
			w.nodes[0].Lie(chaintest.Lies{Identity: lie})
			p, err := w.page(5)
			require.NoError(t, err)
			require.Equal(t, w.truth(5), p)
			w.out("a", quorum.FaultWrongChain)
			require.Zero(t, w.nodes[0].asked(chaintest.MethodTransfers))
			id, ok := chain.As[chain.Identifier](w.q)
			require.True(t, ok)
			got, err := id.Identify(t.Context())
			require.NoError(t, err)
			truth, err := w.Chain.Client().Identify(t.Context())
			require.NoError(t, err)
			require.Equal(t, truth, got)
		})
	}
}

// TestThreat_C7_ConfiguredGenesis: what is configured is not voted on.
func TestThreat_C7_ConfiguredGenesis(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, func(w *world, c *quorum.Config) {
		first, _ := w.Block(0)
		c.Genesis = first.Hash
	})
	for _, n := range w.nodes[:2] {
		n.Lie(chaintest.Lies{Identity: func(i chain.Identity) chain.Identity { i.Genesis = "0xother"; return i }})
	}
	require.Equal(t, w.Head(), w.head().Latest)
	require.Equal(t, quorum.FaultWrongChain, w.status("a").Fault)
	require.Equal(t, quorum.FaultWrongChain, w.status("b").Fault)
	require.False(t, w.status("c").Aside)
}

// TestThreat_C7_AllWrong: nothing is left, and the error says why.
func TestThreat_C7_AllWrong(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, nil)
	for _, n := range w.nodes {
		n.Lie(chaintest.Lies{Identity: func(i chain.Identity) chain.Identity { i.ID = "eip155:5"; return i }})
	}
	_, err := w.q.Head(t.Context())
	require.ErrorIs(t, err, chain.ErrWrongChain)
	require.ErrorContains(t, err, "eip155:5")
	id, _ := chain.As[chain.Identifier](w.q)
	_, err = id.Identify(t.Context())
	require.ErrorIs(t, err, chain.ErrWrongChain)
	require.NotErrorIs(t, err, chain.ErrTransient, "somebody must look")
}

// TestThreat_C7_GenesisTie: two against two, and nobody knows.
func TestThreat_C7_GenesisTie(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) { c.Providers = c.Providers[:2] })
	w.nodes[0].Lie(chaintest.Lies{Identity: func(i chain.Identity) chain.Identity { i.Genesis = "0xother"; return i }})
	_, err := w.page(5)
	var tie *quorum.DivergenceError
	require.ErrorAs(t, err, &tie)
	require.Equal(t, "genesis", tie.What)
	require.True(t, w.q.View().Diverged)
	w.nodes[0].Lie(chaintest.Lies{})
	_, err = w.page(5)
	require.NoError(t, err)
	require.False(t, w.q.View().Diverged)
}

// TestThreat_C7_RepointedLater: the chain is asked for again, at least each
// Recheck and after each failure, and a provider is back once it is right.
func TestThreat_C7_RepointedLater(t *testing.T) {
	wrong := chaintest.Lies{Identity: func(i chain.Identity) chain.Identity { i.Genesis = "0xother"; return i }}
	for name, happens := range map[string]func(*world){
		"in time":         func(*world) { time.Sleep(11 * time.Minute) },
		"after a failure": func(w *world) { w.nodes[0].FailNext(chaintest.MethodHead, errAway, 1); w.head() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, chaintest.Options{}, nil)
				w.head()
				w.nodes[0].Lie(wrong)
				w.head()
				require.False(t, w.status("a").Aside, "nothing asked for it yet")
				happens(w)
				w.head()
				w.out("a", quorum.FaultWrongChain)
				for range 5 {
					time.Sleep(6 * time.Minute)
					w.head()
					w.out("a", quorum.FaultWrongChain)
				}
				w.nodes[0].Lie(chaintest.Lies{})
				time.Sleep(6 * time.Minute)
				w.head()
				require.False(t, w.status("a").Aside)
				last := w.conditions(quorum.ProviderAside)
				require.False(t, last[len(last)-1].Active, "and that is told")
			})
		})
	}
}

// TestThreat_C8_InventedDeposit: no page has what one operator alone tells.
func TestThreat_C8_InventedDeposit(t *testing.T) {
	for liar := range 3 {
		w := newWorld(t, chaintest.Options{}, agree(2))
		w.Pay("alice", w.own.Address, w.eth, chain.NewAmount(7))
		w.Mine(2)
		w.nodes[liar].Lie(chaintest.Inventing(w.made(11)))
		w.head()
		p, err := w.page(10)
		require.NoError(t, err)
		require.Equal(t, w.truth(10), p)
		if liar < 2 {
			w.out(string(rune('a'+liar)), quorum.FaultContradicted)
		}
		s, err := w.q.Status(t.Context(), "0xdead")
		require.NoError(t, err)
		require.Equal(t, chain.TxUnknown, s[0].State)
	}
}

// TestThreat_C8_OperatorsCountNotURLs: two URLs of the liar are one voice.
func TestThreat_C8_OperatorsCountNotURLs(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) {
		c.Agree = 2
		c.Providers[0].Operator, c.Providers[1].Operator = "liar", "liar"
	})
	w.Mine(1)
	for _, n := range w.nodes[:2] {
		n.Lie(chaintest.Inventing(w.made(11)))
	}
	_, err := w.page(11)
	var split *quorum.DivergenceError
	require.ErrorAs(t, err, &split)
	require.ErrorContains(t, err, "no 2 operators agree on the page at height 11")
	require.ErrorContains(t, err, "1 transfers")
	for _, n := range w.nodes[:2] {
		n.Lie(chaintest.Lies{})
	}
	before := w.nodes[1].asked(chaintest.MethodTransfers)
	_, err = w.page(11)
	require.NoError(t, err)
	require.Equal(t, before, w.nodes[1].asked(chaintest.MethodTransfers), "the second URL is asked where the first fails")
	w.nodes[0].FailNext(chaintest.MethodTransfers, errAway, 1)
	_, err = w.page(11)
	require.NoError(t, err)
	require.Equal(t, before+1, w.nodes[1].asked(chaintest.MethodTransfers))
}

// TestThreat_C8_EveryFieldCounts: a lie in any field of a page is a lie.
func TestThreat_C8_EveryFieldCounts(t *testing.T) {
	first := func(change func(*chain.Transfer)) func(chain.Page) chain.Page {
		return func(p chain.Page) chain.Page {
			p.Transfers = append([]chain.Transfer(nil), p.Transfers...)
			change(&p.Transfers[0])
			return p
		}
	}
	spend := func(change func(*chain.TxStatus)) func(chain.Page) chain.Page {
		return func(p chain.Page) chain.Page {
			p.Spends = append([]chain.TxStatus(nil), p.Spends...)
			change(&p.Spends[0])
			return p
		}
	}
	block := func(change func(*chain.BlockRef)) func(chain.Page) chain.Page {
		return func(p chain.Page) chain.Page {
			p.Blocks = append([]chain.BlockRef(nil), p.Blocks...)
			change(&p.Blocks[0])
			return p
		}
	}
	for name, lie := range map[string]func(chain.Page) chain.Page{
		"amount":        first(func(x *chain.Transfer) { x.Amount = chain.NewAmount(8) }),
		"receiver":      first(func(x *chain.Transfer) { x.To = "0x1" }),
		"sender":        first(func(x *chain.Transfer) { x.From = "0x1" }),
		"asset":         first(func(x *chain.Transfer) { x.Asset = "eip155:1337/erc20:0x1" }),
		"transaction":   first(func(x *chain.Transfer) { x.ID.Tx = "0x1" }),
		"ordinal":       first(func(x *chain.Transfer) { x.ID.Ordinal = "i:0" }),
		"index":         first(func(x *chain.Transfer) { x.TxIndex = 9 }),
		"via":           first(func(x *chain.Transfer) { x.Via = chain.ViaDelta }),
		"spend's state": spend(func(x *chain.TxStatus) { x.State = chain.TxFailed }),
		"spend's fee":   spend(func(x *chain.TxStatus) { x.Fee = chain.NewAmount(1) }),
		"spend's lock":  spend(func(x *chain.TxStatus) { x.Locks = []chain.Lock{"nonce:0x1:9"} }),
		"spend's from":  spend(func(x *chain.TxStatus) { x.From = "0x1" }),
		"spend's gas":   spend(func(x *chain.TxStatus) { x.GasUsed = 1 }),
		"spend's price": spend(func(x *chain.TxStatus) { x.GasPrice = chain.NewAmount(1) }),
		"spend's moves": spend(func(x *chain.TxStatus) { x.Transfers = nil }),
		"spend's index": spend(func(x *chain.TxStatus) { x.TxIndex = 9 }),
		"block's time":  block(func(x *chain.BlockRef) { x.Time = x.Time.Add(-time.Hour) }),
		"parent":        block(func(x *chain.BlockRef) { x.Parent = "0x1" }),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, chaintest.Options{}, agree(2))
			s := w.signed()
			require.NoError(t, w.q.Broadcast(t.Context(), s))
			w.Pay("alice", w.own.Address, w.eth, chain.NewAmount(7))
			w.Mine(1)
			height := w.Head().Height
			require.NotEmpty(t, w.truth(height).Transfers)
			require.NotEmpty(t, w.truth(height).Spends)
			w.nodes[0].Lie(chaintest.Lies{Page: lie})
			p, err := w.page(height)
			require.NoError(t, err)
			require.Equal(t, w.truth(height), p)
			require.Equal(t, 1, w.nodes[2].asked(chaintest.MethodTransfers), "the third one decided")
		})
	}
}

// TestThreat_C9_SamplingFindsHiddenDeposits: where one provider is believed, a
// second one reads some of the pages, and the third one decides.
func TestThreat_C9_SamplingFindsHiddenDeposits(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) {
		c.Sample, c.Rand = 4, rand.NewPCG(1, 4)
	})
	w.head()
	missed := 0
	for i := range 60 {
		id := w.Pay("alice", w.own.Address, w.eth, chain.NewAmount(7))
		w.Mine(1)
		w.nodes[0].Lie(chaintest.Hiding(id))
		p, err := w.page(w.Head().Height)
		require.NoError(t, err)
		if len(p.Transfers) == 1 {
			require.Less(t, i, 30)
			w.out("a", quorum.FaultContradicted)
			require.Equal(t, uint64(1), w.q.View().Sampling.Compared)
			break
		}
		missed++
	}
	require.Positive(t, missed, "not every page is compared")
	require.True(t, w.status("a").Aside)
}

// TestThreat_C9_DisputeHoldsUp: with two providers nobody can decide, and from
// then on the page in dispute is not told, also where it is not sampled again.
func TestThreat_C9_DisputeHoldsUp(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) {
		c.Sample, c.Rand = 3, rand.NewPCG(1, 2)
		c.Providers = c.Providers[:2]
	})
	id := w.Pay("alice", w.own.Address, w.eth, chain.NewAmount(7))
	w.Mine(1)
	w.nodes[0].Lie(chaintest.Hiding(id))
	var err error
	for range 50 {
		if _, err = w.page(11); err != nil {
			break
		}
	}
	var split *quorum.DivergenceError
	require.ErrorAs(t, err, &split)
	for range 50 {
		_, err = w.page(11)
		require.ErrorAs(t, err, &split)
	}
	w.nodes[1].Fail(func(chaintest.Call) error { return errAway })
	_, err = w.page(11)
	require.ErrorIs(t, err, chain.ErrTransient, "nor while the other one is away")
	w.nodes[1].Fail(nil)
	w.nodes[0].Lie(chaintest.Lies{})
	p, err := w.page(11)
	require.NoError(t, err)
	require.Len(t, p.Transfers, 1)
	w.nodes[1].Fail(func(chaintest.Call) error { return errAway })
	_, err = w.page(11)
	require.NoError(t, err, "settled: one is enough again")
}

// TestThreat_C17_AllAwayForDays: no call answers, none loops, nothing piles up,
// and soon after the end of it everything works.
func TestThreat_C17_AllAwayForDays(t *testing.T) {
	for _, k := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, chaintest.Options{}, agree(k))
			w.head()
			w.Chain.Fail(func(chaintest.Call) error { return errAway })
			before := w.nodes[0].all()
			const days = 3
			for range days * 24 * 60 {
				_, err := w.q.Head(t.Context())
				require.ErrorIs(t, err, chain.ErrTransient)
				_, err = w.page(5)
				require.ErrorIs(t, err, chain.ErrTransient)
				time.Sleep(time.Minute)
			}
			require.LessOrEqual(t, w.nodes[0].all()-before, days*24*60*2+10, "at most as often as it was asked")
			require.GreaterOrEqual(t, w.nodes[0].all()-before, days*24*60, "and tried again all the time")
			require.Less(t, len(w.conditions(quorum.ProviderAside)), 10, "told once, not each time")
			w.Chain.Fail(nil)
			w.Mine(1)
			time.Sleep(quorum.DefaultCooldown)
			require.Equal(t, w.Head(), w.head().Latest)
			_, err := w.page(5)
			require.NoError(t, err)
		})
	}
}

// TestThreat_C17_EarlyAttemptsCostNothing: trying those that are away before their
// time does not make it longer.
func TestThreat_C17_EarlyAttemptsCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, nil)
		w.head()
		w.Chain.Fail(func(chaintest.Call) error { return errAway })
		for range 100 {
			_, _ = w.q.Head(t.Context())
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, w.status("a").Counters.Aside, uint64(4), "after 10, 30 and 70 seconds")
		require.Less(t, time.Until(w.status("a").Until), 80*time.Second)
	})
}

// TestThreat_C21_PriceAgainstTheMedian: a provider that asks a thousand times the
// price, or a thousandth, makes no draft of ours.
func TestThreat_C21_PriceAgainstTheMedian(t *testing.T) {
	for name, lie := range map[string]func(chain.Amount) chain.Amount{
		"dear": func(f chain.Amount) chain.Amount { f, _ = f.Mul(1000); return f },
		"cheap": func(f chain.Amount) chain.Amount {
			f, _ = f.MulDiv(chain.NewAmount(1), chain.NewAmount(1000))
			return f
		},
	} {
		for _, k := range []int{1, 2, 3} {
			for liar := range 3 {
				t.Run(fmt.Sprintf("%s, agree %d, liar %d", name, k, liar), func(t *testing.T) {
					w := newWorld(t, chaintest.Options{}, agree(k))
					w.signed()
					w.head()
					w.nodes[liar].Lie(chaintest.Lies{Draft: func(d chain.Draft) chain.Draft { d.Fee = lie(d.Fee); return d }})
					truth, err := w.Chain.Client().Prepare(t.Context(), w.send(9))
					require.NoError(t, err)
					d, err := w.q.Prepare(t.Context(), w.send(9))
					require.NoError(t, err)
					require.Equal(t, truth, d)
					w.out(string(rune('a'+liar)), quorum.FaultPrice)
				})
			}
		}
	}
}

// TestThreat_C21_TwoPrices: of two that differ, the lower one cannot cost us what
// the higher one could.
func TestThreat_C21_TwoPrices(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) { c.Providers = c.Providers[:2] })
	w.signed()
	w.nodes[0].Lie(chaintest.Lies{Draft: func(d chain.Draft) chain.Draft { d.Fee, _ = d.Fee.Mul(1000); return d }})
	truth, err := w.Chain.Client().Prepare(t.Context(), w.send(9))
	require.NoError(t, err)
	d, err := w.q.Prepare(t.Context(), w.send(9))
	require.NoError(t, err)
	require.Equal(t, truth, d)
}

// TestThreat_C21_EstimateOfAnotherFork: a node on another branch drafts with
// another nonce, and is outvoted.
func TestThreat_C21_EstimateOfAnotherFork(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, agree(2))
	s := w.signed()
	w.nodes[0].Pin(w.Head().Hash)
	require.NoError(t, w.q.Broadcast(t.Context(), s))
	w.Mine(1)
	d, err := w.q.Prepare(t.Context(), w.send(9))
	require.NoError(t, err)
	truth, err := w.Chain.Client().Prepare(t.Context(), w.send(9))
	require.NoError(t, err)
	require.Equal(t, truth.Locks, d.Locks)
	require.NotEqual(t, s.Locks, d.Locks)
}

// TestThreat_B7_CodeHashNeedsAgreement: a pin on a token's code is as good as the
// one who tells the hash: one alone cannot tell an old one for an upgrade.
func TestThreat_B7_CodeHashNeedsAgreement(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, agree(2))
	truth, err := w.Chain.Client().Inspect(t.Context(), w.usd)
	require.NoError(t, err)
	lie := chaintest.Lies{Token: func(k chain.Token) chain.Token { k.CodeHash = "0xold"; return k }}
	w.nodes[0].Lie(lie)
	inspector, ok := chain.As[chain.TokenInspector](w.q)
	require.True(t, ok)
	got, err := inspector.Inspect(t.Context(), w.usd)
	require.NoError(t, err)
	require.Equal(t, truth, got)
	w.nodes[2].Fail(func(chaintest.Call) error { return errAway })
	_, err = inspector.Inspect(t.Context(), w.usd)
	var split *quorum.DivergenceError
	require.True(t, errors.As(err, &split), "%v", err)
}

// TestThreat_C8_ForgedIsOutAtOnce: an answer that does not fit its own hash puts a
// provider aside at the first time, also where one alone is believed, and the next
// one answers.
func TestThreat_C8_ForgedIsOutAtOnce(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, nil)
	w.nodes[0].Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodTransfers {
			return fmt.Errorf("receipts of block 5: %w", chain.ErrForged)
		}
		return nil
	})
	page, err := w.page(5)
	require.NoError(t, err)
	require.Equal(t, w.truth(5), page)
	w.out("a", quorum.FaultForged)
	require.Contains(t, w.status("a").Reason, "receipts of block 5")
	for _, n := range w.nodes {
		n.Fail(func(chaintest.Call) error { return chain.ErrForged })
	}
	_, err = w.page(5)
	require.ErrorIs(t, err, chain.ErrTransient)
	require.ErrorContains(t, err, "does not fit its hash")
	for _, s := range w.q.Providers() {
		require.True(t, s.Aside, s.Name)
	}
}
