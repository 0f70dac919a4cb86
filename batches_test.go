package bursar_test

import (
	"crypto/ed25519"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// batched is a flow whose tokens go together at once.
func batched(t *testing.T, change ...func(*bursartest.Options)) *flow {
	o := bursartest.Options{Batches: true}
	o.Edit = func(c *bursar.Config) { c.Chains[0].Gather = -1 }
	for _, edit := range change {
		edit(&o)
	}
	return newFlow(t, o)
}

// crowd makes payments of 10 each and brings their money to where it can be swept.
func (f *flow) crowd(symbol string, n int) (out []bursar.Payment) {
	f.t.Helper()
	for range n {
		p := f.Create(symbol, "10")
		f.Pay(p)
		out = append(out, p)
	}
	f.Confirm()
	return out
}

// caught is a crowd whose batch cannot go on, because a method of the node fails: it is
// planned, or signed and sent to nobody.
func (f *flow) caught(symbol string, n int, method chaintest.Method) ([]bursar.Payment, bursar.Payout) {
	f.t.Helper()
	f.refuse(method)
	payments := f.crowd(symbol, n)
	f.until(func() bool {
		rows := f.payouts(bursar.PayoutSweep)
		return len(rows) > 0 && (method == chaintest.MethodPrepare || rows[0].Status == bursar.PayoutBroadcast)
	})
	return payments, f.only(bursar.PayoutSweep)
}

// blacklisting is batched with a token BLK, whose owner can freeze addresses.
func blacklisting(t *testing.T) (*flow, chain.Asset) {
	f := batched(t)
	token := f.list(f.Chain.DeployToken(chaintest.TokenSpec{Kind: chaintest.TokenBlacklist, Symbol: "BLK", Decimals: 6}))
	f.honest = append(f.honest, token.ID)
	return f, token
}

func TestABatchSweepsManyAddresses(t *testing.T) {
	f := batched(t)
	payments := f.crowd("USDC", 5)
	f.Settle()
	sweep := f.only(bursar.PayoutSweep)
	require.Len(t, sweep.Sources, 5)
	require.Len(t, sweep.Items, 5)
	require.Equal(t, f.Sponsor, sweep.From.Address)
	require.Empty(t, f.payouts(bursar.PayoutTopUp))
	require.Equal(t, sweep.Amount, sweep.Moved)
	require.Equal(t, sweep.Moved, f.Chain.BalanceOf(f.Treasury, f.USDC))
	for _, p := range payments {
		require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
		e := f.WaitEvent(bursar.PaymentSettled, p.ID)
		require.Equal(t, "10", e.Data.Gross)
	}
	require.Equal(t, []bursar.Kind{bursar.PayoutCreatedEvent, bursar.PayoutSentEvent, bursar.PayoutConfirmedEvent}, f.Kinds(sweep.ID))
	require.Equal(t, 5, f.told(sweep.ID)[0].Data.Payout.Sources)
	f.noBrokenRules()
	f.allSwept()
}

// What one address has wrong holds up no other one, and it is swept by itself when it
// can be.
func TestThreat_F11_ABatchLeavesABadAddressBehind(t *testing.T) {
	f, token := blacklisting(t)
	payments := f.crowd("BLK", 4)
	frozen := payments[2]
	f.Chain.Blacklist(token, frozen.Address, true)
	f.Mine(30)
	for _, p := range payments {
		want := bursar.StatusSettled
		if p.ID == frozen.ID {
			want = bursar.StatusConfirmed
		}
		require.Equal(t, want, f.Payment(p).Status)
	}
	var divided, alone bursar.Payout
	for _, p := range f.payouts(bursar.PayoutSweep) {
		switch {
		case p.FailureCode == "DIVIDED":
			divided = p
		case len(p.Sources) == 0:
			alone = p
		}
	}
	require.Equal(t, bursar.PayoutCanceled, divided.Status)
	require.Equal(t, frozen.Address, alone.From.Address)
	require.Equal(t, bursar.PayoutPlanned, alone.Status)
	require.Empty(t, alone.Items[0].From)
	f.audited()
	f.Chain.Blacklist(token, frozen.Address, false)
	f.AdvanceTime(2 * time.Hour)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(frozen).Status)
	f.noBrokenRules()
	f.allSwept()
}

// A batch whose dry run was good and of which one address moves nothing on the chain is
// counted by what moved.
func TestThreat_F12_ABatchIsCountedByItsLogs(t *testing.T) {
	f, token := blacklisting(t)
	payments, _ := f.caught("BLK", 4, chaintest.MethodBroadcast)
	frozen := payments[1]
	f.Chain.Blacklist(token, frozen.Address, true)
	f.Chain.Mine(1)
	f.Chain.Fail(nil)
	f.AdvanceTime(time.Hour)
	f.until(func() bool { return f.payouts(bursar.PayoutSweep)[0].Status == bursar.PayoutConfirming })
	batch := f.payouts(bursar.PayoutSweep)[0]
	require.True(t, batch.Moved.Less(batch.Amount))
	for _, s := range batch.Sources {
		require.Equal(t, s.Account.Address != frozen.Address, s.Moved == s.Amount)
	}
	require.Equal(t, 1, f.count(bursar.PayoutPartialEvent, batch.ID))
	f.audited()

	// Until it is final a reorg takes it back, whole.
	f.Reorg(1)
	f.audited()
	f.Mine(20)
	for _, p := range payments {
		require.Equal(t, p.ID == frozen.ID, f.Payment(p).Status == bursar.StatusConfirmed)
	}
	rows := f.payouts(bursar.PayoutSweep)
	alone := rows[len(rows)-1]
	require.Empty(t, alone.Sources, "by itself: a batch has missed it")
	require.Equal(t, frozen.Address, alone.From.Address)
	missed := 0
	for _, row := range f.incoming() {
		missed += row.Missed
	}
	require.Equal(t, 1, missed)
	f.audited()
	f.Chain.Blacklist(token, frozen.Address, false)
	f.AdvanceTime(2 * time.Hour)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(frozen).Status)
	f.noBrokenRules()
	f.allSwept()
}

// until steps and mines until something is so, at most a hundred times.
func (f *flow) until(so func() bool) {
	f.t.Helper()
	for range 100 {
		if so() {
			return
		}
		f.Mine(1)
	}
	f.t.Fatal("never")
}

// A contract that pays another treasury is refused before anything is swept.
func TestThreat_F1_ABatchPaysTheConfiguredTreasury(t *testing.T) {
	f := batched(t)
	cfg := f.cfg
	cfg.Chains = append([]bursar.Chain(nil), cfg.Chains...)
	cfg.Chains[0].Treasury = f.Chain.Payer("new treasury")
	_, err := bursar.New(cfg)
	var field *bursar.FieldError
	require.ErrorAs(t, err, &field, "the contract pays another one")
	require.Equal(t, "Config.Chains[0].Treasury", field.Field)
}

func TestBatchesOfAConfiguration(t *testing.T) {
	f := batched(t)
	for _, c := range []struct {
		field string
		code  bursar.Code
		edit  func(*bursar.Chain)
	}{
		{"MaxBatch", bursar.CodeOutOfRange, func(c *bursar.Chain) { c.MaxBatch = 101 }},
		{"Gather", bursar.CodeOutOfRange, func(c *bursar.Chain) { c.Gather = 31 * 24 * time.Hour }},
		{"Gather", bursar.CodeMismatch, func(c *bursar.Chain) { c.MaxBatch, c.Gather = -1, time.Hour }},
		{"Gather", bursar.CodeMismatch, func(c *bursar.Chain) { c.Client, c.Gather = chaintest.New(chaintest.Options{}).Client(), time.Hour }},
	} {
		cfg := f.cfg
		cfg.Chains = append([]bursar.Chain(nil), cfg.Chains...)
		c.edit(&cfg.Chains[0])
		_, err := bursar.New(cfg)
		f.field(err, "Config.Chains[0]."+c.field, c.code)
	}
}

// What waits for company is swept when it has waited long enough, or at once where it
// has enough of it.
func TestSweepsGather(t *testing.T) {
	f := batched(t, func(o *bursartest.Options) {
		o.Edit = func(c *bursar.Config) { c.Chains[0].Gather, c.Chains[0].MaxBatch = time.Hour, 3 }
	})
	f.crowd("USDC", 2)
	f.Mine(20)
	require.Empty(t, f.payouts(bursar.PayoutSweep))
	f.crowd("USDC", 1)
	f.Mine(20)
	require.Len(t, f.only(bursar.PayoutSweep).Sources, 3)
	p := f.crowd("USDC", 1)[0]
	f.Mine(20)
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
	f.AdvanceTime(2 * time.Hour)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.noBrokenRules()
}

// Two instances with one store make one batch.
func TestThreat_F3_ABatchIsMadeByOneInstance(t *testing.T) {
	f := batched(t)
	f.crowd("USDC", 3)
	f.Mine(3)
	twin := f.twin("twin")
	for range 20 {
		// One of the two has the lease.
		_, _ = f.Gateway.Step(t.Context()), twin.Step(t.Context())
		f.Chain.Mine(1)
	}
	f.Settle()
	sweep := f.only(bursar.PayoutSweep)
	require.Equal(t, bursar.PayoutConfirmed, sweep.Status)
	require.Len(t, f.attempts(sweep), 1)
	f.noBrokenRules()
}

func TestVerifyABatch(t *testing.T) {
	f := batched(t)
	f.crowd("USDC", 3)
	f.Settle()
	f.audited()
	batch := f.only(bursar.PayoutSweep)
	sources := func(edit func(*bursar.PayoutSource)) func(*bursar.Payout) {
		return func(p *bursar.Payout) {
			p.Sources = slices.Clone(p.Sources)
			edit(&p.Sources[1])
		}
	}
	for name, c := range map[string]struct {
		rule string
		edit func(*bursar.Payout)
	}{
		"amount":    {"payout.items", sources(func(s *bursar.PayoutSource) { s.Amount = more(s.Amount) })},
		"moved":     {"payout.items", sources(func(s *bursar.PayoutSource) { s.Moved = s.Moved.SubFloor(one()) })},
		"address":   {"payout.account", sources(func(s *bursar.PayoutSource) { s.Account.Address = f.Treasury })},
		"key":       {"payout.account", sources(func(s *bursar.PayoutSource) { s.Account.Key.Path = "m/44'/60'/0'/0/99" })},
		"one more":  {"payout.items", func(p *bursar.Payout) { p.Sources = append(slices.Clone(p.Sources), p.Sources[0]) }},
		"one fewer": {"payout.items", func(p *bursar.Payout) { p.Sources = p.Sources[1:] }},
		"told":      {"payout.created", func(p *bursar.Payout) { p.Sources = p.Sources[1:] }},
		"item":      {"payout.items", func(p *bursar.Payout) { p.Items = slices.Clone(p.Items); p.Items[0].From = p.Items[1].From }},
		"posting": {"payout.posting", func(p *bursar.Payout) {
			p.Sources = slices.Clone(p.Sources)
			p.Sources[0].Moved, p.Sources[1].Moved = more(p.Sources[0].Moved), p.Sources[1].Moved.SubFloor(one())
		}},
	} {
		s := &tampered{}
		s.edit = change(c.rule, "payouts", []bursar.Payout{batch}, func(p bursar.Payout) string { return p.ID }, func(bursar.Payout) bool { return true }, c.edit).edit
		found := f.audit(s).Findings
		require.True(t, slices.ContainsFunc(found, func(x bursar.Finding) bool { return x.Rule == c.rule && x.ID == batch.ID }), "%s: %v", name, found)
	}
}

// Where coin may come too an address stays an account without code.
func TestBatchesAreOfAddressesForTokens(t *testing.T) {
	f := batched(t)
	address := func(customer string, tokensOnly bool) bursar.Address {
		at, err := f.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: customer, TokensOnly: tokensOnly})
		require.NoError(t, err)
		require.Equal(t, tokensOnly, at.TokensOnly)
		return at
	}
	all, tokens := address("ann", false), address("ann", true)
	require.NotEqual(t, all.Address, tokens.Address, "a customer has two")
	require.Equal(t, all, address("ann", false))
	require.Equal(t, tokens, address("ann", true))
	other := address("bob", true)
	coin := f.Create("ETH", "1")
	for _, at := range []chain.Address{all.Address, tokens.Address, other.Address, coin.Address} {
		f.Chain.Pay("payer", at, f.USDC, units(t, f.USDC, "5"))
	}
	f.Settle()
	for _, p := range f.payouts(bursar.PayoutSweep) {
		for _, s := range p.Sources {
			require.Contains(t, []chain.Address{tokens.Address, other.Address}, s.Account.Address)
		}
	}
	require.Empty(t, f.Chain.Delegate(all.Address))
	require.Empty(t, f.Chain.Delegate(coin.Address))
	require.NotEmpty(t, f.Chain.Delegate(tokens.Address))
	require.Equal(t, units(t, f.USDC, "20"), f.Chain.BalanceOf(f.Treasury, f.USDC))

	// The second time it delegates already.
	f.Chain.Pay("payer", tokens.Address, f.USDC, units(t, f.USDC, "5"))
	f.Settle()
	rows := f.payouts(bursar.PayoutSweep)
	last := f.attempts(rows[len(rows)-1])
	require.Len(t, last[0].Locks, 1, "the sponsor's alone")
	f.noBrokenRules()
	f.allSwept()
}

// Each of a customer's addresses is paid out by itself.
func TestWithdrawFromTheAddressForTokens(t *testing.T) {
	f := batched(t, func(o *bursartest.Options) {
		edit := o.Edit
		o.Edit = func(c *bursar.Config) {
			edit(c)
			public, _ := approver()
			c.Approvers = []ed25519.PublicKey{public}
		}
	})
	at, err := f.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: "ann", TokensOnly: true})
	require.NoError(t, err)
	f.Chain.Pay("ann's", at.Address, f.USDC, units(t, f.USDC, "7"))
	f.Settle()
	_, err = f.draw("ann", some("3"))
	require.ErrorIs(t, err, bursar.ErrNotFound)
	p, err := f.draw("ann", func(r *bursar.WithdrawRequest) { some("3")(r); r.TokensOnly = true })
	require.NoError(t, err)
	require.Equal(t, at.ID, p.Parent)
}

// A key of a source signs something else while a batch is under way: the source is left
// behind, and the others go.
func TestThreat_F4_AForeignTransactionOfASource(t *testing.T) {
	f := batched(t)
	payments, batch := f.caught("USDC", 3, chaintest.MethodBroadcast)
	f.Chain.Fund(payments[1].Address, chain.NewAmount(1e16))
	f.Mine(1)
	account := batch.Sources[slices.IndexFunc(batch.Sources, func(s bursar.PayoutSource) bool { return s.Account.Address == payments[1].Address })].Account
	f.steal(account, f.USDC, units(t, f.USDC, "1"), f.Treasury)
	f.Mine(12)
	require.Equal(t, 1, f.count(bursar.AlertKeyCompromised, string(f.Chain.Info().ID)))
	require.Equal(t, bursar.PayoutBroadcast, f.payout(batch).Status, "its own nonce is unused")
	f.Chain.Fail(nil)
	f.AdvanceTime(time.Hour)
	f.until(func() bool { return f.payout(batch).Status == bursar.PayoutConfirmed })
	require.Equal(t, units(t, f.USDC, "20"), f.payout(batch).Moved)
	f.noBrokenRules()
}

// A token that moves from nobody is one payout that waits, and not as many as there are
// addresses; it goes on by itself.
func TestThreat_F11_AFrozenTokenIsOnePayout(t *testing.T) {
	f := batched(t)
	token := f.list(f.Chain.DeployToken(chaintest.TokenSpec{Kind: chaintest.TokenPausable, Symbol: "PSE", Decimals: 6}))
	f.honest = append(f.honest, token.ID)
	payments := f.crowd("PSE", 3)
	f.Chain.Pause(token, true)
	f.Mine(20)
	batch := f.only(bursar.PayoutSweep)
	require.Equal(t, bursar.PayoutPlanned, batch.Status)
	require.Len(t, batch.Sources, 3)
	require.Equal(t, 1, f.count(bursar.PayoutDeferred, batch.ID))
	f.Chain.Pause(token, false)
	f.AdvanceTime(2 * time.Hour)
	f.Settle()
	for _, p := range payments {
		require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	}
	f.only(bursar.PayoutSweep)
	f.noBrokenRules()
	f.allSwept()
}

// What a former sponsor was to pay for is given up and planned anew.
func TestThreat_F1_ABatchIsPaidForByTheSponsor(t *testing.T) {
	f := batched(t)
	payments, old := f.caught("USDC", 3, chaintest.MethodPrepare)
	old.From = f.account(1, 1, f.float())
	require.NoError(t, f.Store.Write(t.Context(), func(tx bursar.Tx) error {
		return tx.Apply(t.Context(), bursar.Batch{Payouts: []bursar.Payout{old}})
	}))
	f.Chain.Fail(nil)
	f.AdvanceTime(time.Hour)
	f.Settle()
	require.Equal(t, bursar.PayoutCanceled, f.payout(old).Status)
	require.Empty(t, f.attempts(old))
	for _, p := range payments {
		require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	}
	require.Empty(t, f.logs.broken())
}

func TestExplainABatch(t *testing.T) {
	f := batched(t)
	p := f.crowd("USDC", 3)[1]
	f.Settle()
	require.Contains(t, f.explain(p.ID).String(), "from 3 addresses, by "+string(f.Sponsor)+", to")
}

// A foreign transaction of the sponsor's key kills a batch before any of its sources
// delegated. What they had signed is used by nobody, and their nonces are free for the
// next one.
func TestThreat_F4_ABatchWhoseNonceWasTaken(t *testing.T) {
	for _, how := range []string{"retried", "canceled"} {
		t.Run(how, func(t *testing.T) {
			f := batched(t)
			payments, batch := f.caught("USDC", 3, chaintest.MethodBroadcast)
			f.steal(f.account(1, 0, f.Sponsor), f.ETH, chain.NewAmount(1e9), f.Treasury)
			f.until(func() bool { return f.payout(batch).Status == bursar.PayoutHalted })
			f.Chain.Fail(nil)
			var err error
			if how == "retried" {
				_, err = f.Gateway.RetryPayout(t.Context(), batch.ID)
			} else {
				_, err = f.Gateway.CancelPayout(t.Context(), batch.ID)
			}
			require.NoError(t, err)
			f.AdvanceTime(time.Hour)
			f.Settle()
			for _, p := range payments {
				require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
			}
			require.Equal(t, how == "retried", f.payout(batch).Status == bursar.PayoutConfirmed)
			f.noBrokenRules()
			f.allSwept()
		})
	}
}

// A batch that is stuck when one of its addresses is frozen is replaced all the same:
// the sponsor's nonce holds up everything else.
func TestThreat_F6_AStuckBatchWithAFrozenAddressIsReplaced(t *testing.T) {
	f, token := blacklisting(t)
	payments := f.crowd("BLK", 3)
	for range 30 {
		if len(f.payouts(bursar.PayoutSweep)) == 0 {
			f.Mine(1)
		}
	}
	batch := f.only(bursar.PayoutSweep)
	require.Equal(t, bursar.PayoutBroadcast, batch.Status)
	f.Chain.SetFees(chaintest.Fees{BaseFee: chain.NewAmount(50e9)})
	f.Chain.Blacklist(token, payments[1].Address, true)
	f.Mine(3)
	require.Equal(t, bursar.PayoutBroadcast, f.payout(batch).Status, "it is stuck")
	f.AdvanceTime(time.Hour)
	f.until(func() bool { return f.payout(batch).Status == bursar.PayoutConfirmed })
	require.Greater(t, len(f.attempts(batch)), 1)
	require.Equal(t, units(t, token, "20"), f.payout(batch).Moved)
	f.Chain.Blacklist(token, payments[1].Address, false)
	f.AdvanceTime(2 * time.Hour)
	f.Settle()
	for _, p := range payments {
		require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	}
	f.noBrokenRules()
	f.allSwept()
}
