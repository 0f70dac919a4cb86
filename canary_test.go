package bursar_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/store/memory"
)

// payIndex sends money to a deposit address of the wallet.
func (r *restored) payIndex(index uint32) chain.Address {
	r.t.Helper()
	a := r.address(0, index)
	r.Chain.Pay("stranger", a, r.USDC, units(r.t, r.USDC, "7"))
	return a
}

// TestThreat_D13_MoneyAboveTheMarkMovesThePool: a customer pays what only
// another database of this wallet can have told him.
func TestThreat_D13_MoneyAboveTheMarkMovesThePool(t *testing.T) {
	for _, ahead := range []uint32{0, 500, 999} {
		r := newRestored(t, false)
		require.NoError(t, r.begin())
		r.issue(3)
		mark := r.mark()
		a := r.payIndex(mark + ahead)
		r.Mine(1)
		row, err := r.Gateway.Address(t.Context(), string(a))
		require.NoError(t, err)
		require.Equal(t, bursar.RoleUnissued, row.Role)
		require.Len(t, r.incoming(), 2, "booked, as the sponsor's money is")
		alert := r.told(row.ID)
		require.Equal(t, bursar.AlertUnknownRecipient, alert[1].Kind)
		require.Equal(t, bursar.SkipForeign, alert[1].Data.Reason)

		skipped := r.alarm(bursar.SkipForeign)
		require.GreaterOrEqual(t, skipped.To, mark+ahead+1+shortSkip)
		require.Equal(t, skipped.To, r.mark())
		require.True(t, r.Gateway.Health(t.Context()).Ready)
		p := r.issue(1)
		require.GreaterOrEqual(t, r.index(p), skipped.To, "the stock below may be the other one's too")
		r.Pay(p)
		r.payIndex(mark + ahead)
		r.payIndex(skipped.To - 1)
		r.Mine(4)
		require.Equal(t, bursar.StatusConfirmed, r.Payment(p).Status)
		require.Len(t, r.alarms(), 1, "and what is below the mark now rings no bell")
		r.noBrokenRules2()
	}
}

// noBrokenRules2 is noBrokenRules but for the alarms that were expected.
func (r *restored) noBrokenRules2() {
	r.t.Helper()
	require.Empty(r.t, r.logs.broken())
	r.oneCreditEach()
}

// TestThreat_D13_IssuingHaltsUntilThePoolIsMoved: and goes on by itself.
func TestThreat_D13_IssuingHaltsUntilThePoolIsMoved(t *testing.T) {
	for name, again := range map[string]func(r *restored){
		"by the next request": func(r *restored) {},
		"by the scanner":      func(r *restored) { r.Mine(1); require.True(r.t, r.Gateway.Health(r.ctx()).Ready) },
		"by a restart":        func(r *restored) { require.NoError(r.t, r.begin()) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRestored(t, true)
			require.NoError(t, r.begin())
			known := r.issue(3)
			mark := r.mark()
			r.place.fault = func(call string, after bool) error {
				if call == "reserve" && !after {
					return errPlace
				}
				return nil
			}
			r.payIndex(mark + 10)
			r.Pay(known)
			r.Mine(1)
			h := r.Gateway.Health(t.Context())
			require.False(t, h.Ready)
			require.False(t, h.Chains[0].Ready)
			require.Equal(t, bursar.SkipForeign, h.Chains[0].IssuanceHalted)
			require.Equal(t, bursar.StatusDetected, r.Payment(known).Status, "what was issued goes on")
			for range 2 {
				_, err := r.Gateway.CreatePayment(t.Context(), request("USDC", "10"))
				require.ErrorIs(t, err, bursar.ErrIssuanceHalted)
				require.ErrorIs(t, err, errPlace)
				_, err = r.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: r.Chain.Info().ID, Customer: "ann"})
				require.ErrorIs(t, err, bursar.ErrIssuanceHalted)
			}
			require.Equal(t, mark, r.mark())
			r.place.fault = nil
			again(r)
			p := r.issue(1)
			require.GreaterOrEqual(t, r.index(p), mark+11+shortSkip)
			require.True(t, r.Gateway.Health(t.Context()).Ready)
			require.Len(t, r.alarms(), 1, "told once, however often it was tried")
			require.Equal(t, r.alarm(bursar.SkipForeign).To, r.mark()-256)
		})
	}
}

// TestMoneyForWhatAnotherInstanceReserved rings no bell, even where it was
// reserved after the page was asked for.
func TestMoneyForWhatAnotherInstanceReserved(t *testing.T) {
	r := newRestored(t, true)
	require.NoError(t, r.begin())
	r.issue(3)
	mark, pool := r.mark(), r.pool().Name
	r.payIndex(mark + 200)
	r.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodTransfers && c.After {
			r.Chain.Fail(nil)
			_, err := r.place.Reserve(t.Context(), pool, 256)
			require.NoError(t, err)
		}
		return nil
	})
	r.Mine(1)
	require.Equal(t, mark+256, r.mark())
	require.Empty(t, r.alarms())
	require.Len(t, r.incoming(), 2)
	r.issue(1)
}

// TestThreat_D13_TheOtherInstancesDropTheirStock when one of them has moved the
// pool: what they reserved before may be somebody else's too.
func TestThreat_D13_TheOtherInstancesDropTheirStock(t *testing.T) {
	r := newRestored(t, true)
	longLease(&r.cfg)
	require.NoError(t, r.begin())
	cfg := r.cfg
	cfg.Instance = "two"
	two, err := bursar.New(cfg)
	require.NoError(t, err)
	two.SkipAhead(shortSkip)
	require.NoError(t, two.Start(t.Context()))
	defer func() { _ = two.Stop(t.Context()) }()
	r.Mine(1) // the first one has the chain
	ask(t, two, "USDC")
	r.issue(1)
	r.payIndex(r.mark())
	r.Mine(1)
	skipped := r.alarm(bursar.SkipForeign)
	require.NoError(t, two.Step(t.Context()))
	p := ask(t, two, "USDC")
	require.GreaterOrEqual(t, r.index(p), skipped.To)
}

func TestThreat_D14_AWalletInUseIsRefused(t *testing.T) {
	r := newRestored(t, true)
	require.NoError(t, r.begin())
	p := r.issue(5) // production
	r.Pay(p)
	r.Mine(1)
	cfg := r.cfg
	staging := newPlace(t, "staging", r.Chain.Now)
	cfg.Store = marked{staging}
	gw, err := bursar.New(cfg)
	require.NoError(t, err)
	err = gw.Start(t.Context())
	var field *bursar.FieldError
	require.ErrorAs(t, err, &field)
	require.Equal(t, "Config.Wallet", field.Field)
	require.Equal(t, bursar.CodeMismatch, field.Code)
	require.Contains(t, field.Reason, string(p.Address))
	require.Contains(t, field.Reason, "ReuseWallet")
	require.Empty(t, staging.written, "nothing was begun")

	cfg.ReuseWallet = true
	r.cfg, r.place, r.Store = cfg, staging, staging
	require.NoError(t, r.begin())
	skipped := r.alarm(bursar.SkipReused)
	require.GreaterOrEqual(t, skipped.To, uint32(5+shortSkip))
	require.Equal(t, "staging", staging.written)
	r.issue(5)
	require.NoError(t, r.begin())
	require.Len(t, r.alarms(), 1, "later starts have a store that knows the wallet")
}

// TestThreat_D14_ANodeThatIsAwayIsAskedLater: and before the first address.
func TestThreat_D14_ANodeThatIsAwayIsAskedLater(t *testing.T) {
	r := newRestored(t, true)
	require.NoError(t, r.begin())
	r.Pay(r.issue(1))
	r.Mine(1)
	for _, method := range []chaintest.Method{chaintest.MethodIdentify, chaintest.MethodBalances} {
		cfg := r.cfg
		cfg.Store = memory.NewWith(memory.Options{Now: r.Chain.Now})
		r.Chain.Fail(func(c chaintest.Call) error {
			if c.Method == method {
				return errNode
			}
			return nil
		})
		gw := r.another(cfg)
		_, err := gw.CreatePayment(t.Context(), request("USDC", "10"))
		require.ErrorIs(t, err, bursar.ErrChainNotReady)
		r.Chain.Fail(nil)
		var field *bursar.FieldError
		require.ErrorAs(t, gw.Step(t.Context()), &field)
		require.Equal(t, "Config.Wallet", field.Field)
		_, err = gw.CreatePayment(t.Context(), request("USDC", "10"))
		require.ErrorIs(t, err, bursar.ErrChainNotReady)
		require.ErrorAs(t, gw.Health(t.Context()).Chains[0].Problem, &field)
	}
}

// TestAFundedSponsorIsNoUse of the wallet: it may be funded before the first
// start, and the store of a restored place is no first use.
func TestAFundedSponsorIsNoUse(t *testing.T) {
	f := newFlow(t, bursartest.Options{}) // its sponsor is funded
	require.NotEmpty(t, f.incoming())
	cfg := f.cfg
	cfg.Store = memory.NewWith(memory.Options{Now: f.Chain.Now})
	gw := f.another(cfg)
	require.True(t, gw.Health(t.Context()).Ready)
}

// TestAnotherWalletIsNobodysBusiness: what lies on its addresses is not ours.
func TestAnotherWalletIsNobodysBusiness(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	f.Pay(f.Create("ETH", "1"))
	f.Mine(1)
	cfg := f.cfg
	var err error
	cfg.Wallet, err = hdwallet.FromMnemonic(bursartest.Mnemonic, "staging")
	require.NoError(t, err)
	cfg.Store = memory.NewWith(memory.Options{Now: f.Chain.Now})
	require.True(t, f.another(cfg).Health(t.Context()).Ready)
}
