package bursar_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// contracts is a flow whose node can be told what it keeps and traces.
type contracts struct {
	*flow
	node *chaintest.Client
}

func newContracts(t *testing.T, o bursartest.Options) *contracts {
	t.Helper()
	f := &contracts{}
	wrap := o.Client
	o.Client = func(c chain.Client) chain.Client {
		f.node = c.(*chaintest.Client)
		if wrap != nil {
			return wrap(c)
		}
		return c
	}
	f.flow = newFlow(t, o)
	return f
}

// batch pays some payments out of one contract, in one transaction.
func (f *contracts) batch(payments ...bursar.Payment) chain.TxID {
	var parts []chaintest.Payment
	for _, p := range payments {
		parts = append(parts, chaintest.Payment{To: p.Address, Asset: f.ETH, Amount: p.Amount})
	}
	return f.Chain.PayMany("exchange", parts...)
}

// row is the one incoming transaction of a payment.
func (f *contracts) row(p bursar.Payment) bursar.Transaction {
	f.t.Helper()
	rows := f.Transactions(p)
	require.Len(f.t, rows, 1)
	return rows[0]
}

// good checks the rules, and that an auditor finds nothing.
func (f *contracts) good() {
	f.t.Helper()
	f.noBrokenRules()
	require.Empty(f.t, f.audited().Findings)
}

func delta(a chain.Address, from, to uint64) chain.TransferID {
	return chain.TransferID{Ordinal: fmt.Sprintf("b:%s:%d-%d", a, from, to)}
}

// An exchange pays many orders out of a contract, and a wallet is emptied by its
// own end: no log and no transaction names the receiver.
func TestThreat_B12_ContractSentCoinPays(t *testing.T) {
	for _, traced := range []bool{true, false} {
		t.Run(fmt.Sprintf("traced %v", traced), func(t *testing.T) {
			f := newContracts(t, bursartest.Options{})
			f.node.Trace(traced)
			a, b, c := f.Create("ETH", "1"), f.Create("ETH", "0.5"), f.Create("ETH", "2")
			payout := f.batch(a, b)
			forced := f.Chain.PaySelfDestruct("wallet", c.Address, c.Amount)
			f.Mine(1)
			at := f.Chain.Head()
			for i, want := range []struct {
				p  bursar.Payment
				id chain.TransferID
			}{{a, chain.TransferID{Tx: payout, Ordinal: "i:0"}}, {b, chain.TransferID{Tx: payout, Ordinal: "i:1"}}, {c, chain.TransferID{Tx: forced, Ordinal: "i:0.0"}}} {
				row, via := f.row(want.p), chain.ViaContract
				if !traced {
					want.id, via = delta(want.p.Address, at.Height, at.Height), chain.ViaDelta
				}
				require.Equal(t, want.id, row.Transfer, i)
				require.Equal(t, via, row.Via)
				require.Equal(t, want.p.Amount, row.Amount)
				require.Equal(t, at.Hash, row.BlockHash)
				require.Equal(t, bursar.StatusDetected, f.Payment(want.p).Status)
				require.Equal(t, via, f.told(want.p.ID)[1].Data.Transaction.Via)
			}
			f.Settle()
			for _, p := range []bursar.Payment{a, b, c} {
				require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
			}
			f.good()
			f.allSwept()
		})
	}
}

// A page of many blocks, as after an outage: each part has its own block.
func TestThreat_B12_EachIncreaseHasItsBlock(t *testing.T) {
	f := newContracts(t, bursartest.Options{})
	f.node.Trace(false)
	p := f.Create("ETH", "9")
	var want []chain.TransferID
	for range 40 {
		f.Chain.Mine(1)
		if h := f.Chain.Head().Height; h%13 == 0 {
			f.Chain.Grant(p.Address, f.ETH, chain.NewAmount(h))
			f.Chain.Mine(1)
			want = append(want, delta(p.Address, h+1, h+1))
		}
	}
	asked := 0
	f.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodBalances && !c.After {
			asked++
		}
		return nil
	})
	f.Step()
	var got []chain.TransferID
	for _, row := range f.Transactions(p) {
		got = append(got, row.Transfer)
	}
	require.ElementsMatch(t, want, got)
	require.LessOrEqual(t, asked, 25, "by halves")
	asked = 0
	f.Mine(1)
	require.Equal(t, 1, asked, "one question a page while nothing comes")
	f.good()
}

// Coin for permanent customers' addresses is theirs.
func TestThreat_B12_PermanentAddress(t *testing.T) {
	f := newContracts(t, bursartest.Options{})
	a, err := f.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: "ann"})
	require.NoError(t, err)
	f.Mine(1)
	f.Chain.PayMany("exchange", chaintest.Payment{To: a.Address, Asset: f.ETH, Amount: units(t, f.ETH, "3")})
	f.Confirm()
	require.Equal(t, "-"+units(t, f.ETH, "3").String(), f.Balance(f.ETH, "customer:ann").String())
	f.good()
}

// A trace that a node made up, of calls that were reverted, is no money.
func TestThreat_B11_RevertedInnerCall(t *testing.T) {
	f := newContracts(t, bursartest.Options{Client: func(c chain.Client) chain.Client { return boaster{c.(*chaintest.Client)} }})
	p, q := f.Create("ETH", "1"), f.Create("ETH", "1")
	f.Chain.PayReverted("thief", p.Address, p.Amount)
	f.Chain.PayFailed("thief", p.Address, f.ETH, p.Amount)
	f.Mine(1)
	require.Empty(t, f.Transactions(p))
	// Nor is more than what came in the same block.
	f.Chain.PayReverted("thief", q.Address, q.Amount)
	f.Chain.Grant(q.Address, f.ETH, chain.NewAmount(7))
	f.Settle()
	row := f.row(q)
	require.Equal(t, chain.ViaDelta, row.Via)
	require.Equal(t, "7", row.Amount.String())
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
	f.good()
}

// boaster tells of calls to anybody, whatever became of them.
type boaster struct{ *chaintest.Client }

func (b boaster) Internal(_ context.Context, at chain.BlockRef, to []chain.Address) (out chain.Internals, _ error) {
	for i, a := range to {
		out.Transfers = append(out.Transfers, chain.Transfer{
			ID:    chain.TransferID{Tx: chain.TxID(fmt.Sprintf("0x%064x", i+1)), Ordinal: "i:0"},
			Asset: b.Info().Native.ID, To: a, Amount: chain.NewAmount(1e18), Block: at.Height, Hash: at.Hash, Via: chain.ViaContract,
		})
	}
	return out, nil
}

// What the protocol credits is booked and told, and pays for nothing.
func TestThreat_B13_ProtocolCreditPaysForNothing(t *testing.T) {
	f := newContracts(t, bursartest.Options{})
	p := f.short()
	a, err := f.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: "ann"})
	require.NoError(t, err)
	f.Mine(1)
	f.Chain.Withdraw(p.Address, p.Amount)
	f.Chain.Withdraw(a.Address, p.Amount)
	f.Mine(4)
	row := f.row(p)
	require.Equal(t, chain.ViaProtocol, row.Via)
	require.True(t, strings.HasPrefix(row.Transfer.Ordinal, "w:"))
	require.True(t, row.Suspense)
	require.Equal(t, p.Amount, row.Amount)
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
	require.Equal(t, p.Amount.String(), f.minus(f.ETH, "suspense:"+string(p.Address)))
	require.Zero(t, f.Balance(f.ETH, "customer:ann").Sign())
	for _, subject := range []string{p.ID, a.ID} {
		require.Equal(t, 1, f.count(bursar.AlertUnclaimedCredit, subject))
	}
	require.Equal(t, bursar.UnclaimedProtocol, f.WaitEvent(bursar.AlertUnclaimedCredit, p.ID).Data.Reason)
	f.AdvanceTime(2 * time.Hour)
	require.Equal(t, bursar.StatusExpired, f.Payment(p).Status)
	f.good()
}

// A branch that is left takes its increases along; the new one has its own.
func TestThreat_B12_AReorgTakesItBack(t *testing.T) {
	for _, traced := range []bool{true, false} {
		f := newContracts(t, bursartest.Options{})
		f.node.Trace(traced)
		p := f.Create("ETH", "1")
		f.batch(p)
		f.Mine(2)
		old := f.row(p)
		f.Reorg(2, chaintest.ReorgOptions{Delay: 1, Length: 4})
		f.Mine(1)
		live := 0
		for _, row := range f.Transactions(p) {
			if row.Live() {
				live++
				require.NotEqual(t, old.BlockHash, row.BlockHash)
				require.Equal(t, traced, row.ID == old.ID)
			}
		}
		require.Equal(t, 1, live)
		f.Settle()
		require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
		f.good()
	}
}

// A node that does not tell balances keeps nobody's payment from being looked at
// once it does: no verdict, and what came meanwhile is in its own block.
func TestThreat_C9_NoVerdictBeforeTheBalanceIsKnown(t *testing.T) {
	f := newContracts(t, bursartest.Options{})
	p, q, token := f.short(), f.short(), f.Request(bursar.PaymentRequest{Asset: "local/USDC", Amount: decimal.NewFromInt(1), TTL: time.Hour})
	f.Mine(1)
	f.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodBalances {
			return errNode
		}
		return nil
	})
	f.batch(p)
	f.mine(1)
	at := f.Chain.Head()
	f.Chain.AdvanceTime(3 * time.Hour)
	f.mine(6)
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
	require.Equal(t, bursar.StatusPending, f.Payment(q).Status, "nobody knows")
	require.Equal(t, bursar.StatusExpired, f.Payment(token).Status, "a token has its logs")
	require.Error(t, f.Gateway.Health(t.Context()).Chains[0].Unprobed)
	f.Chain.Fail(nil)
	f.Mine(1)
	require.NoError(t, f.Gateway.Health(t.Context()).Chains[0].Unprobed)
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status, "it came in time")
	require.Equal(t, at.Hash, f.row(p).BlockHash)
	require.Equal(t, bursar.StatusExpired, f.Payment(q).Status)
	f.good()
}

// mine is Mine while balances cannot be compared.
func (f *contracts) mine(n int) {
	f.t.Helper()
	for range n {
		f.Chain.Mine(1)
		require.NoError(f.t, f.Gateway.Step(f.ctx()))
	}
}

// A client that cannot tell balances works as if there were none to look at.
func TestANodeWithoutBalances(t *testing.T) {
	for name, client := range map[string]func(chain.Client) chain.Client{
		"no capability": func(c chain.Client) chain.Client { return bare{c} },
		"it refuses": func(c chain.Client) chain.Client {
			c.(*chaintest.Client).Fail(func(call chaintest.Call) error {
				if call.Method == chaintest.MethodBalances {
					return chain.ErrUnsupported
				}
				return nil
			})
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newContracts(t, bursartest.Options{SkipLedger: true, Client: func(c chain.Client) chain.Client { return client(c) }})
			p := f.short()
			f.AdvanceTime(2 * time.Hour)
			require.Equal(t, bursar.StatusExpired, f.Payment(p).Status)
			f.noBrokenRules()
		})
	}
}

// Where the state of old blocks is gone, the increase has a longer interval, and
// its money is there.
func TestThreat_B12_StateIsPruned(t *testing.T) {
	f := newContracts(t, bursartest.Options{})
	p := f.Create("ETH", "1")
	f.Mine(1)
	f.batch(p)
	f.Chain.Mine(180)
	f.node.KeepState(10)
	f.Step()
	row, head := f.row(p), f.Chain.Head().Height
	require.Equal(t, chain.ViaDelta, row.Via)
	require.Equal(t, delta(p.Address, 0, head-10), row.Transfer)
	require.Equal(t, p.Amount, row.Amount)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.good()
}

// Coin that was at an address before anybody was told of it pays for nothing.
func TestThreat_B12_CoinFromBeforeTheAddressWasIssued(t *testing.T) {
	f := newContracts(t, bursartest.Options{})
	first := f.Create("ETH", "1")
	row, err := f.Gateway.Address(t.Context(), first.AddressID)
	require.NoError(t, err)
	next, err := f.Gateway.Derive(f.Chain.Info().Name, "", row.Index+1, row.Index+1)
	require.NoError(t, err)
	f.Chain.PaySelfDestruct("long ago", next[0].Address, first.Amount)
	f.Mine(1)
	f.Chain.AdvanceTime(24 * time.Hour)
	f.Mine(1)
	p := f.Create("ETH", "1")
	require.Equal(t, next[0].Address, p.Address)
	f.Settle()
	require.True(t, f.row(p).Suspense)
	require.Equal(t, bursar.UnclaimedBefore, f.WaitEvent(bursar.AlertUnclaimedCredit, p.ID).Data.Reason)
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
	f.good()
}

// Chains without a block before the next transaction give verdicts by the clock.
func TestThreat_C9_OnDemand(t *testing.T) {
	f := newContracts(t, bursartest.Options{Chain: chaintest.Options{Info: chain.Info{OnDemandBlocks: true, InclusionSlack: time.Minute}}})
	p, q := f.short(), f.short()
	f.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodBalances {
			return errNode
		}
		return nil
	})
	f.batch(p)
	require.NoError(t, f.Gateway.Step(t.Context()))
	f.Chain.AdvanceTime(2 * time.Hour)
	require.NoError(t, f.Gateway.Step(t.Context()))
	require.Equal(t, bursar.StatusPending, f.Payment(q).Status)
	f.Chain.Fail(nil)
	f.Step()
	require.Equal(t, bursar.StatusDetected, f.Payment(p).Status)
	require.Equal(t, bursar.StatusExpired, f.Payment(q).Status)
	f.noBrokenRules()
}

// What a node hid of a plain payment is found by the balance; a Rescan, which sees
// the payment itself later, does not book it once more.
func TestThreat_B14_ARescanKnowsWhatTheBalanceTold(t *testing.T) {
	b := newPoorSight(t, bursartest.Options{})
	p, q := b.Create("ETH", "1"), b.Create("ETH", "2")
	b.hidden(func() { b.Pay(p) })
	b.Pay(q)
	b.Mine(1)
	require.Equal(t, bursar.StatusConfirmed, b.Payment(p).Status)
	require.Len(t, b.Transactions(p), 1)
	require.Equal(t, chain.ViaDelta, b.Transactions(p)[0].Via)
	require.Empty(t, b.rescan(1, 0).Found)
	b.Mine(3)
	require.Equal(t, b.Payment(p).Amount, b.Payment(p).Received)
	b.CheckLedger()
}

// The commit of a page that was compared with an older ledger is refused, and the
// page is compared anew.
func TestThreat_B14_ARescanBetweenComparisonAndCommit(t *testing.T) {
	b := newPoorSight(t, bursartest.Options{})
	p := b.Create("ETH", "1")
	b.Mine(1)
	// The balance is hidden too, until the page after.
	b.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodBalances {
			return errNode
		}
		return nil
	})
	at := b.hidden(func() { b.Pay(p) })
	raced := false
	b.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodBalances && c.After && !raced {
			raced = true
			require.Len(t, b.rescan(at, at).Found, 1)
		}
		return nil
	})
	b.Chain.Mine(1)
	require.ErrorIs(t, b.Gateway.Step(t.Context()), bursar.ErrFenced)
	require.True(t, raced)
	b.Chain.Fail(nil)
	b.Step()
	require.Len(t, b.Transactions(p), 1)
	b.Mine(3)
	b.CheckLedger()
	require.Equal(t, b.Payment(p).Amount, b.Payment(p).Received)
}

// Whatever way coin comes, and whatever nodes and chain do, it is counted once:
// after each step the ledger is exactly the chain.
func TestThreat_B14_NeverCountedTwice(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			f := newContracts(t, bursartest.Options{})
			rnd := rand.New(rand.NewPCG(seed, 14))
			var open []bursar.Payment
			for range 120 {
				if len(open) < 3 || rnd.IntN(10) == 0 {
					open = append(open, f.Create("ETH", "0.01"))
				}
				f.random(rnd, open)
				mined := rnd.IntN(3)
				f.Chain.Mine(mined)
				f.seen(mined > 0)
			}
			f.Chain.Fail(nil)
			f.node.KeepState(0)
			f.Settle()
			f.Mine(2)
			f.good()
		})
	}
}

// random does one thing that moves coin, or changes what the node tells.
func (f *contracts) random(rnd *rand.Rand, open []bursar.Payment) {
	p, q := open[rnd.IntN(len(open))], open[rnd.IntN(len(open))]
	amount := chain.NewAmount(1 + rnd.Uint64N(2e16))
	part := func(p bursar.Payment) chaintest.Payment {
		return chaintest.Payment{To: p.Address, Asset: f.ETH, Amount: amount}
	}
	switch rnd.IntN(12) {
	case 0, 1:
		f.Chain.Pay("payer", p.Address, f.ETH, amount)
	case 2, 3:
		f.Chain.PayMany("exchange", part(p), part(q), part(p))
	case 4:
		f.Chain.PaySelfDestruct("wallet", p.Address, amount)
	case 5:
		f.Chain.Grant(p.Address, f.ETH, amount)
	case 6:
		f.Chain.Withdraw(p.Address, amount)
	case 7:
		f.node.Trace(rnd.IntN(2) == 0)
	case 8:
		if f.Chain.Head().Height > 20 {
			f.Chain.Reorg(1+rnd.IntN(2), chaintest.ReorgOptions{Delay: rnd.IntN(2), Length: 3 + rnd.IntN(2), Reverse: rnd.IntN(2) == 0})
		}
	case 9:
		f.Chain.FailNext(chaintest.MethodBalances, errNode, rnd.IntN(4))
	case 10:
		f.Chain.FailNext(chaintest.MethodInternal, errNode, rnd.IntN(5))
	case 11:
		f.Restart()
	}
}

// seen steps, and compares ledger and chain: where a page was read and the node
// told its balances they are equal.
func (f *contracts) seen(read bool) {
	f.t.Helper()
	if err := f.Gateway.Step(f.ctx()); err != nil {
		require.ErrorIs(f.t, err, errNode)
	}
	tip := f.Gateway.Health(f.ctx()).Chains[0]
	if tip.Tip.Hash != f.Chain.Head().Hash {
		return
	}
	for _, a := range f.addresses() {
		have := f.Balance(f.ETH, bursar.Account("U:"+string(a)))
		have.Add(have, f.Balance(f.ETH, bursar.Account("F:"+string(a))))
		there := f.Chain.BalanceOf(a, f.ETH).Big()
		require.LessOrEqual(f.t, have.Cmp(there), 0, "%s: the ledger has %s, the chain %s", a, have, there)
		if read && tip.Unprobed == nil {
			require.Equal(f.t, there.String(), have.String(), "%s", a)
		}
	}
}

// addresses are those of all payments.
func (f *contracts) addresses() (out []chain.Address) {
	f.t.Helper()
	f.read(func(r bursar.Reader) error {
		rows, err := r.Addresses(f.ctx(), bursar.AddressQuery{Roles: []bursar.Role{bursar.RolePayment}})
		for _, a := range rows {
			out = append(out, a.Address)
		}
		return err
	})
	return out
}

// short is a payment of a coin that waits for an hour.
func (f *contracts) short() bursar.Payment {
	f.t.Helper()
	return f.Request(bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.NewFromInt(1), TTL: time.Hour})
}

// What only a balance told is explained in words.
func TestExplainCoinWithoutATransaction(t *testing.T) {
	f := newContracts(t, bursartest.Options{})
	f.node.Trace(false)
	p, q := f.Create("ETH", "1"), f.Create("ETH", "1")
	f.batch(p)
	f.Chain.Withdraw(q.Address, q.Amount)
	f.Mine(1)
	text := f.explain(p.ID).String()
	require.Contains(t, text, fmt.Sprintf("no transaction known, by the balance in block %d, from nobody that is known to %s", f.Chain.Head().Height, p.Address))
	f.node.Trace(true)
	f.Chain.Withdraw(p.Address, p.Amount)
	f.Mine(1)
	x := f.explain(p.ID)
	require.Contains(t, codes(x), bursar.ReasonSuspense)
	require.Contains(t, x.String(), "no transaction, credited by the protocol (w:")
	require.Contains(t, x.String(), "the protocol credited it")
}

// Nor is a part that becomes deep after the deadline a verdict, while the rest may
// lie at the address unseen.
func TestThreat_C9_NoVerdictByAPartBeforeTheBalanceIsKnown(t *testing.T) {
	f := newContracts(t, bursartest.Options{})
	p := f.Request(bursar.PaymentRequest{
		Asset: "local/ETH", Amount: decimal.NewFromInt(1), TTL: time.Hour, Policy: &bursar.AmountPolicy{Grace: 5 * time.Hour},
	})
	q := p
	f.Mine(1)
	f.Chain.AdvanceTime(2 * time.Hour)
	f.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodBalances {
			return errNode
		}
		return nil
	})
	q.Amount = units(t, f.ETH, "0.4")
	f.Chain.Pay("payer", p.Address, f.ETH, q.Amount)
	q.Amount = units(t, f.ETH, "0.6")
	f.batch(q)
	f.mine(4)
	require.Equal(t, bursar.StatusDetected, f.Payment(p).Status, "the rest may be there")
	f.Chain.Fail(nil)
	f.Mine(1)
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
	f.good()
}

// TestThreat_B12_WhatIsFoundWhereTheWindowBegins: the page that tells of it is so
// long that the block in which it is booked is remembered no more.
func TestThreat_B12_WhatIsFoundWhereTheWindowBegins(t *testing.T) {
	f := newContracts(t, bursartest.Options{})
	window := int(f.Chain.Info().MaxReorg)
	p := f.Request(bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1"), TTL: 300 * time.Hour})
	f.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodBalances && !c.After {
			return chain.ErrPruned // for longer than anything is remembered
		}
		return nil
	})
	f.batch(p)
	f.Mine(2 * window)
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
	f.Chain.Mine(int(f.Chain.Info().PageBlocks))
	f.Chain.Fail(nil)
	f.Step()
	row := f.row(p)
	require.Equal(t, chain.ViaDelta, row.Via)
	require.Less(t, row.Block, f.Chain.Head().Height-uint64(window), "the block is one that has left the window")
	f.Mine(1)
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
	f.good()
}
