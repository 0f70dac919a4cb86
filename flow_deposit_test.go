package bursar_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/store/memory"
)

func TestThreat_B1_RevertedTransaction(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	for _, symbol := range []string{"ETH", "USDC"} {
		p := f.Create(symbol, "10")
		f.Chain.PayFailed("payer", p.Address, p.Asset, p.Amount)
		f.Settle()
		require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
		require.Empty(t, f.Transactions(p))
	}
	f.noBrokenRules()
}

func TestThreat_B2_B3_B4_B5_OddTokens(t *testing.T) {
	kinds := []chaintest.TokenKind{chaintest.TokenFalse, chaintest.TokenNFT, chaintest.TokenLongData, chaintest.TokenLookAlike, chaintest.TokenSpoofer}
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			f := newFlow(t, bursartest.Options{})
			odd := f.Chain.DeployToken(chaintest.TokenSpec{Kind: kind, Symbol: "USDC", Decimals: 6, Imitates: f.USDC})
			p := f.Create("USDC", "10")
			f.Chain.Pay("thief", p.Address, odd, p.Amount)
			f.Settle()
			require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
			require.Empty(t, f.Transactions(p))
			f.noBrokenRules()
		})
	}
}

func TestThreat_B2_B5_ListedTokensThatMoveNothing(t *testing.T) {
	for _, kind := range []chaintest.TokenKind{chaintest.TokenFalse, chaintest.TokenNFT, chaintest.TokenLongData} {
		f := newFlow(t, bursartest.Options{})
		f.list(f.Chain.DeployToken(chaintest.TokenSpec{Kind: kind, Symbol: "ODD", Decimals: 6}))
		p := f.Create("ODD", "10")
		f.Pay(p)
		f.Settle()
		require.Equal(t, bursar.StatusPending, f.Payment(p).Status, kind)
		require.Empty(t, f.Transactions(p))
		f.noBrokenRules()
	}
}

func TestThreat_B9_ZeroValueSpam(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	parts := make([]chaintest.Payment, 2_000)
	for i := range parts {
		parts[i] = chaintest.Payment{To: p.Address, Asset: f.USDC}
	}
	f.Chain.PayMany("poisoner", parts...)
	f.Chain.Pay("poisoner", p.Address, f.ETH, chain.Amount{})
	rows := len(f.entries())
	f.Mine(4)
	require.Empty(t, f.Transactions(p))
	require.Len(t, f.entries(), rows)
	require.Equal(t, []bursar.Kind{bursar.PaymentCreated}, f.Kinds(p.ID))
}

func TestThreat_B10_DustDoesNotStopAPayment(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	parts := make([]chaintest.Payment, 1_000)
	for i := range parts {
		parts[i] = chaintest.Payment{To: p.Address, Asset: f.USDC, Amount: chain.NewAmount(1)}
	}
	f.Chain.PayMany("duster", parts...)
	f.Pay(p)
	start := time.Now()
	f.Mine(4)
	require.Less(t, time.Since(start), 5*time.Minute) // seconds, also under the race detector, unless the machine is busy
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
	require.Equal(t, chain.NewAmount(1_000), f.Payment(p).Excess)
	f.noBrokenRules()
}

func TestThreat_B15_SeveralTransfersInOneTransaction(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	part := chaintest.Payment{To: p.Address, Asset: f.USDC, Amount: units(t, f.USDC, "2.5")}
	f.Chain.PayMany("payer", part, part, part, part)
	f.Settle()
	rows := f.Transactions(p)
	require.Len(t, rows, 4)
	ids := map[string]bool{}
	for _, row := range rows {
		ids[row.ID] = true
		require.Equal(t, rows[0].Transfer.Tx, row.Transfer.Tx)
	}
	require.Len(t, ids, 4)
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	sweep := f.payouts(bursar.PayoutSweep)
	require.Len(t, sweep, 1)
	var fee chain.Amount
	for _, it := range sweep[0].Items {
		var err error
		fee, err = fee.Add(it.FeeShare)
		require.NoError(t, err)
	}
	require.Equal(t, sweep[0].Fee, fee)
	require.Equal(t, sweep[0].Fee, f.Payment(p).SweepFee)
	f.noBrokenRules()
}

func TestThreat_B16_OurOwnMovementsAreNoDeposits(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.Settle()
	topUps := f.payouts(bursar.PayoutTopUp)
	require.Len(t, topUps, 1)
	require.Equal(t, p.Address, topUps[0].To)
	require.Len(t, f.Transactions(p), 1, "the gas for the sweep is no payment")
	require.Zero(t, f.count(bursar.PaymentUnexpectedAsset, p.ID))
	page, err := f.Gateway.Transactions(t.Context(), bursar.TransactionFilter{Type: bursar.TypeInternal}, bursar.MaxPage, "")
	require.NoError(t, err)
	require.Len(t, page.Items, 2, "top-up and sweep")
	for _, row := range page.Items {
		require.Equal(t, bursar.TxConfirmed, row.Status)
		require.False(t, row.Fee.IsZero())
	}
	f.noBrokenRules()
}

func TestThreat_B18_TheBridgedTwin(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	f.PayAsset(p, f.USDT, "10")
	f.Settle()
	got := f.Payment(p)
	require.Equal(t, bursar.StatusPending, got.Status)
	require.True(t, got.Received.IsZero() && got.Held.IsZero())
	require.Equal(t, 1, f.count(bursar.PaymentUnexpectedAsset, p.ID))
	require.Equal(t, units(t, f.USDT, "10").Big().String(), f.minus(f.USDT, "held:"+string(p.Address)))
	require.Equal(t, units(t, f.USDT, "10"), f.Chain.BalanceOf(f.Treasury, f.USDT), "and swept")
	_, err := f.Gateway.AcceptPayment(t.Context(), p.ID, "k")
	require.ErrorIs(t, err, bursar.ErrNothingToAccept)
	f.noBrokenRules()
	f.allSwept()
}

// minus is what an account owes, in base units.
func (f *flow) minus(a chain.Asset, account string) string {
	b := f.Balance(a, bursar.Account(account))
	return b.Neg(b).String()
}

func TestThreat_B22_AmountsAndPayers(t *testing.T) {
	for _, c := range []struct {
		name         string
		pays         []string
		status       bursar.Status
		excess, left string
		kind         bursar.Kind
	}{
		{"exact", []string{"10"}, bursar.StatusSettled, "0", "0", bursar.PaymentSettled},
		{"two payers", []string{"4", "6"}, bursar.StatusSettled, "0", "0", bursar.PaymentSettled},
		{"over", []string{"12"}, bursar.StatusSettled, "2", "0", bursar.PaymentOverpaid},
		{"twice", []string{"10", "10"}, bursar.StatusSettled, "10", "0", bursar.PaymentOverpaid},
		{"under", []string{"9.999999"}, bursar.StatusDetected, "0", "0.000001", bursar.PaymentPartial},
		{"nothing", nil, bursar.StatusPending, "0", "10", bursar.PaymentCreated},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFlow(t, bursartest.Options{})
			p := f.Create("USDC", "10")
			for i, n := range c.pays {
				f.Chain.Pay(fmt.Sprint("payer", i), p.Address, f.USDC, units(t, f.USDC, n))
			}
			f.Settle()
			f.Settle()
			got := f.Payment(p)
			require.Equal(t, c.status, got.Status)
			require.Equal(t, c.excess, f.USDC.Format(got.Excess))
			require.Equal(t, c.left, f.USDC.Format(got.Shortfall))
			require.Contains(t, f.Kinds(p.ID), c.kind)
			f.noBrokenRules()
			f.allSwept()
		})
	}
}

func TestThreat_B24_G7_MoneyAfterTheEnd(t *testing.T) {
	for _, end := range []string{"expired", "canceled", "settled"} {
		t.Run(end, func(t *testing.T) {
			f := newFlow(t, bursartest.Options{})
			p := f.Create("USDC", "10")
			switch end {
			case "expired":
				f.AdvanceTime(25 * time.Hour)
			case "canceled":
				_, err := f.Gateway.CancelPayment(t.Context(), p.ID)
				require.NoError(t, err)
			case "settled":
				f.Pay(p)
				f.Settle()
			}
			require.EqualValues(t, end, f.Payment(p).Status)
			f.AdvanceTime(300 * 24 * time.Hour)
			f.Pay(p)
			f.Settle()
			got := f.Payment(p)
			require.EqualValues(t, end, got.Status)
			if end == "settled" {
				require.Equal(t, p.Amount, got.Excess)
				require.Equal(t, 1, f.count(bursar.PaymentOverpaid, p.ID))
			} else {
				require.Equal(t, p.Amount, got.Held)
				require.Equal(t, 1, f.count(bursar.PaymentLate, p.ID))
				_, err := f.Gateway.AcceptPayment(t.Context(), p.ID, "k")
				require.NoError(t, err)
			}
			f.Settle()
			require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
			f.noBrokenRules()
			f.allSwept()
		})
	}
}

func TestThreat_G17_CancelAgainstMoney(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.Mine(1)
	_, err := f.Gateway.CancelPayment(t.Context(), p.ID)
	require.ErrorIs(t, err, bursar.ErrPaymentHasFunds)
	f.Reorg(1, chaintest.ReorgOptions{Delay: 5})
	// Nothing is live: the cancel wins, and the money that returns is held.
	_, err = f.Gateway.CancelPayment(t.Context(), p.ID)
	require.NoError(t, err)
	f.Settle()
	f.noBrokenRules()
	f.allSwept()
}

func TestVerdictsOnAChainThatStandsStill(t *testing.T) {
	info := chain.Info{OnDemandBlocks: true, Confirmations: 1, FinalityDepth: 1, InclusionSlack: time.Hour}
	f := newFlow(t, bursartest.Options{Chain: chaintest.Options{Info: info}})
	p, q := f.Create("USDC", "10"), f.Create("USDC", "10")
	f.PayLess(q, "1")
	f.Step()
	f.Chain.AdvanceTime(24*time.Hour + 30*time.Minute)
	f.Step()
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status, "the slack is not over")
	f.Chain.AdvanceTime(time.Hour)
	f.Step()
	require.Equal(t, bursar.StatusExpired, f.Payment(p).Status)
	require.Equal(t, bursar.StatusUnderpaid, f.Payment(q).Status)
	require.Equal(t, 1, f.count(bursar.PaymentExpired, p.ID))
	f.noBrokenRules()
}

func TestMoneyForAnAddressThatNobodyIssuedYet(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "1")
	// The next address of the wallet is reserved and watched already.
	next := f.address(0, 1)
	f.Chain.Pay("early", next, f.USDC, units(t, f.USDC, "7"))
	f.Settle()
	require.Equal(t, 1, f.count(bursar.AlertUnknownRecipient, ""))
	require.Equal(t, units(t, f.USDC, "7").String(), f.minus(f.USDC, "held:"+string(next)))
	q := f.Create("USDC", "1")
	require.NotEqual(t, next, q.Address, "an address with a past is issued to nobody")
	require.NotEqual(t, p.Address, q.Address)
	f.Settle()
	f.noBrokenRules()
	f.allSwept()
}

func TestPermanentAddress(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	a, err := f.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: "ann"})
	require.NoError(t, err)
	for i := range 3 {
		f.Chain.Pay(fmt.Sprint(i), a.Address, f.USDC, units(t, f.USDC, "2"))
		f.Mine(1)
	}
	f.Reorg(2, chaintest.ReorgOptions{Reverse: true})
	f.Settle()
	f.Chain.Pay("x", a.Address, f.USDT, units(t, f.USDT, "3"))
	f.Settle()
	require.Equal(t, units(t, f.USDC, "6").String(), f.minus(f.USDC, "customer:ann"))
	require.Equal(t, units(t, f.USDT, "3").String(), f.minus(f.USDT, "customer:ann"))
	require.Equal(t, units(t, f.USDC, "6"), f.Chain.BalanceOf(f.Treasury, f.USDC))
	require.Equal(t, 2, f.count(bursar.TransactionOrphaned, a.ID))
	require.Equal(t, 4, f.count(bursar.TransactionConfirmed, a.ID))
	f.noBrokenRules()
	f.allSwept()
}

// TestThreat_B19_ArrivedOnTheOtherChain: one address serves both chains.
func TestThreat_B19_ArrivedOnTheOtherChain(t *testing.T) {
	var other *chaintest.Chain
	var twin chain.Asset
	f := newFlow(t, bursartest.Options{SkipLedger: true, Edit: func(c *bursar.Config) {
		other = chaintest.New(chaintest.Options{Info: chain.Info{ID: "eip155:4242", Name: "other"}})
		twin = other.DeployToken(chaintest.TokenSpec{Symbol: "USDC", Decimals: 6})
		other.Mine(1)
		c.Chains = append(c.Chains, bursar.Chain{Client: other.Client(), Assets: []chain.Asset{twin}, Treasury: c.Chains[0].Treasury})
	}})
	sponsor, err := f.Gateway.Sponsor("eip155:4242")
	require.NoError(t, err)
	require.Equal(t, f.Sponsor, sponsor, "one address on both")
	other.Fund(sponsor, chain.NewAmount(1e18))
	mine := func(n int) {
		for range n {
			other.Mine(1)
			f.Mine(1)
		}
	}
	mine(8)
	p := f.Create("USDC", "10")
	other.Pay("lost", p.Address, twin, p.Amount)
	mine(20)
	got := f.Payment(p)
	require.Equal(t, bursar.StatusPending, got.Status)
	require.Equal(t, 1, f.count(bursar.PaymentUnexpectedAsset, p.ID))
	require.Equal(t, p.Amount, other.BalanceOf(f.Treasury, twin), "found and swept on its own chain")
	other.Reorg(2)
	mine(2)
	f.Pay(p)
	mine(20)
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.Empty(t, f.logs.broken())
	for _, po := range f.payouts() {
		require.Equal(t, bursar.PayoutConfirmed, po.Status)
	}
}

func TestThreat_B17_DecimalsAreVerified(t *testing.T) {
	c := chaintest.New(chaintest.Options{})
	usdt := c.DeployToken(chaintest.TokenSpec{Symbol: "USDT", Decimals: 6})
	usdt.Decimals = 18
	wallet, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "")
	require.NoError(t, err)
	gw, err := bursar.New(bursar.Config{
		Store: memory.NewWith(memory.Options{Now: c.Now}), Wallet: wallet, Manual: true,
		Chains: []bursar.Chain{{Client: c.Client(), Assets: []chain.Asset{usdt}, Treasury: c.Payer("treasury")}},
	})
	require.NoError(t, err)
	err = gw.Start(t.Context())
	var field *bursar.FieldError
	require.ErrorAs(t, err, &field)
	require.Equal(t, bursar.CodeMismatch, field.Code)
	require.True(t, strings.HasSuffix(field.Field, "Decimals"), field.Field)
	require.NoError(t, gw.Stop(t.Context()))
}

func TestNoVerdictWhileCatchingUpWithAChainThatStoodStill(t *testing.T) {
	info := chain.Info{OnDemandBlocks: true, Confirmations: 1, FinalityDepth: 1, InclusionSlack: time.Hour, PageBlocks: 2}
	f := newFlow(t, bursartest.Options{Chain: chaintest.Options{Info: info}})
	p := f.Create("USDC", "10")
	for i := range 6 {
		f.Chain.Pay(fmt.Sprint("stranger", i), f.Treasury, f.ETH, chain.NewAmount(1))
	}
	f.Pay(p)
	f.Chain.AdvanceTime(30 * time.Hour)
	f.Step() // the gateway slept all the time
	require.Zero(t, f.count(bursar.PaymentExpired, p.ID))
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
}

func TestTheOwnersCapitalIsNobodysClaim(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	require.Equal(t, "1000000000000000000", f.minus(f.ETH, string(bursar.AccountOwner)))
	float := f.address(1, 1)
	f.Chain.Pay("owner", float, f.USDC, units(t, f.USDC, "100"))
	f.Settle()
	require.Empty(t, f.payouts(), "what works is not swept")
	require.Equal(t, units(t, f.USDC, "100").String(), f.minus(f.USDC, string(bursar.AccountOwner)))
	f.noBrokenRules()
}

// address is an address of the wallet, issued or not.
func (f *flow) address(change, index uint32) chain.Address {
	f.t.Helper()
	wallet, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "")
	require.NoError(f.t, err)
	account, err := wallet.Account(f.Chain.Info().CoinType)
	require.NoError(f.t, err)
	var key []byte
	codec := f.Chain.Client().Codec()
	require.NoError(f.t, account.PublicKeys(change, index, 1, func(_ uint32, public []byte) error {
		key, err = codec.FromPublicKey(nil, public)
		return err
	}))
	a, err := codec.Format(key)
	require.NoError(f.t, err)
	return a
}
