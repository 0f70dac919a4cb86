package bursar_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/store/memory"
)

const abandon = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"

// wallets are those that tests share: each gateway derives the same thousand addresses,
// which takes most of a test's time under the race detector.
var wallets sync.Map

func wallet(t testing.TB, words, passphrase string) *hdwallet.Wallet {
	t.Helper()
	made, _ := wallets.LoadOrStore(words+" "+passphrase, sync.OnceValues(func() (*hdwallet.Wallet, error) {
		w, err := hdwallet.FromMnemonic(words, passphrase)
		if err == nil {
			w.Remember(1 << 14)
		}
		return w, err
	}))
	w, err := made.(func() (*hdwallet.Wallet, error))()
	require.NoError(t, err)
	return w
}

// config is a working configuration on a fresh simulated chain.
func config(t testing.TB) (bursar.Config, *chaintest.Chain, chain.Asset) {
	t.Helper()
	c := chaintest.New(chaintest.Options{})
	usdc := c.DeployToken(chaintest.TokenSpec{Symbol: "USDC", Decimals: 6})
	c.Mine(1)
	return bursar.Config{
		Store:  memory.NewWith(memory.Options{Now: c.Now}),
		Wallet: wallet(t, bursartest.Mnemonic, ""),
		Chains: []bursar.Chain{{Client: c.Client(), Assets: []chain.Asset{usdc}, Treasury: c.Payer("treasury")}},
		Logger: slog.New(slog.DiscardHandler),
	}, c, usdc
}

func TestConfigErrorsNameTheField(t *testing.T) {
	named := func(name string) bursar.Notifier {
		return bursar.NotifyFunc(name, func(context.Context, bursar.Event) error { return nil })
	}
	for _, tc := range []struct {
		field string
		code  bursar.Code
		edit  func(*bursar.Config, chain.Asset)
	}{
		{"Config.Store", bursar.CodeRequired, func(c *bursar.Config, _ chain.Asset) { c.Store = nil }},
		{"Config.Wallet", bursar.CodeRequired, func(c *bursar.Config, _ chain.Asset) { c.Wallet = nil }},
		{"Config.Retired[0]", bursar.CodeRequired, func(c *bursar.Config, _ chain.Asset) { c.Retired = []*hdwallet.Wallet{nil} }},
		{"Config.Chains", bursar.CodeRequired, func(c *bursar.Config, _ chain.Asset) { c.Chains = nil }},
		{"Config.Chains[0].Client", bursar.CodeRequired, func(c *bursar.Config, _ chain.Asset) { c.Chains[0].Client = nil }},
		{"Config.Chains[1].Client", bursar.CodeDuplicate, func(c *bursar.Config, _ chain.Asset) { c.Chains = append(c.Chains, c.Chains[0]) }},
		{"Config.Chains[1].Client", bursar.CodeMismatch, func(c *bursar.Config, _ chain.Asset) {
			live := chaintest.New(chaintest.Options{Info: chain.Info{ID: "eip155:7", Name: "seven"}, Mainnet: true})
			c.Chains = append(c.Chains, bursar.Chain{Client: live.Client(), Treasury: c.Chains[0].Treasury})
		}},
		{"Config.Chains[0].Treasury", bursar.CodeRequired, func(c *bursar.Config, _ chain.Asset) { c.Chains[0].Treasury = "" }},
		{"Config.Chains[0].Treasury", bursar.CodeInvalid, func(c *bursar.Config, _ chain.Asset) { c.Chains[0].Treasury = "0x12" }},
		{"Config.Chains[0].Confirmations", bursar.CodeOutOfRange, func(c *bursar.Config, _ chain.Asset) { c.Chains[0].Confirmations = 64 }},
		{"Config.Chains[0].Sweep", bursar.CodeInvalid, func(c *bursar.Config, _ chain.Asset) { c.Chains[0].Sweep = "now" }},
		{"Config.Chains[0].SweepDeadline", bursar.CodeMismatch, func(c *bursar.Config, _ chain.Asset) { c.Chains[0].SweepDeadline = time.Hour }},
		{"Config.Chains[0].SweepDeadline", bursar.CodeOutOfRange, func(c *bursar.Config, _ chain.Asset) {
			c.Chains[0].MaxFee, c.Chains[0].SweepDeadline = chain.NewAmount(1), time.Second
		}},
		{"Config.Chains[0].SweepDeadline", bursar.CodeInvalid, func(c *bursar.Config, _ chain.Asset) {
			c.Chains[0].MaxFee, c.Chains[0].SweepDeadline = chain.NewAmount(1), time.Minute // before it counts as stuck
		}},
		{"Config.Chains[0].LowFeePercent", bursar.CodeOutOfRange, func(c *bursar.Config, _ chain.Asset) { c.Chains[0].LowFeePercent = 10_001 }},
		{"Config.Chains[0].SweepWait", bursar.CodeMismatch, func(c *bursar.Config, _ chain.Asset) { c.Chains[0].SweepWait = time.Hour }},
		{"Config.Chains[0].SweepWait", bursar.CodeOutOfRange, func(c *bursar.Config, _ chain.Asset) {
			c.Chains[0].LowFeePercent, c.Chains[0].SweepWait = 100, 721*time.Hour
		}},
		{"Config.Chains[0].Poll", bursar.CodeOutOfRange, func(c *bursar.Config, _ chain.Asset) { c.Chains[0].Poll = -1 }},
		{"Config.Chains[0].Assets[1].ID", bursar.CodeDuplicate, func(c *bursar.Config, a chain.Asset) { c.Chains[0].Assets = []chain.Asset{a, a} }},
		{"Config.Chains[0].Assets[0].ID", bursar.CodeMismatch, func(c *bursar.Config, a chain.Asset) {
			a.ID = "eip155:1/erc20:0x0000000000000000000000000000000000000001"
			c.Chains[0].Assets = []chain.Asset{a}
		}},
		{"Config.Chains[0].Assets[0].Symbol", bursar.CodeRequired, func(c *bursar.Config, a chain.Asset) {
			a.Symbol = ""
			c.Chains[0].Assets = []chain.Asset{a}
		}},
		{"Config.Chains[0].Assets[0].Decimals", bursar.CodeOutOfRange, func(c *bursar.Config, a chain.Asset) {
			a.Decimals = 78
			c.Chains[0].Assets = []chain.Asset{a}
		}},
		{"Config.Chains[0].Assets[0].Contract", bursar.CodeInvalid, func(c *bursar.Config, a chain.Asset) {
			a.Contract = chain.Address(lower(string(a.Contract)))
			c.Chains[0].Assets = []chain.Asset{a}
		}},
		{"Config.TTL", bursar.CodeOutOfRange, func(c *bursar.Config, _ chain.Asset) { c.TTL = time.Second }},
		{"Config.Lease", bursar.CodeOutOfRange, func(c *bursar.Config, _ chain.Asset) { c.Lease = time.Millisecond }},
		{"Config.SkipAhead", bursar.CodeOutOfRange, func(c *bursar.Config, _ chain.Asset) { c.SkipAhead = bursar.MaxSkipAhead + 1 }},
		{"Config.Policy.ToleranceBps", bursar.CodeOutOfRange, func(c *bursar.Config, _ chain.Asset) { c.Policy.ToleranceBps = 10_001 }},
		{"Config.Policy.Grace", bursar.CodeOutOfRange, func(c *bursar.Config, _ chain.Asset) { c.Policy.Grace = -1 }},
		{"Config.Notify[0]", bursar.CodeRequired, func(c *bursar.Config, _ chain.Asset) { c.Notify = []bursar.Notifier{nil} }},
		{"Config.Notify[0]", bursar.CodeInvalid, func(c *bursar.Config, _ chain.Asset) { c.Notify = []bursar.Notifier{named("a b")} }},
		{"Config.Notify[1]", bursar.CodeDuplicate, func(c *bursar.Config, _ chain.Asset) { c.Notify = []bursar.Notifier{named("a"), named("a")} }},
		{"Config.Instance", bursar.CodeInvalid, func(c *bursar.Config, _ chain.Asset) { c.Instance = "a/b" }},
	} {
		t.Run(tc.field+" "+string(tc.code), func(t *testing.T) {
			cfg, _, usdc := config(t)
			tc.edit(&cfg, usdc)
			_, err := bursar.New(cfg)
			var field *bursar.FieldError
			require.ErrorAs(t, err, &field)
			require.Equal(t, tc.field, field.Field)
			require.Equal(t, tc.code, field.Code)
		})
	}
}

func TestThreat_F1_TreasuryNeedsItsChecksum(t *testing.T) {
	cfg, c, _ := config(t)
	good := string(c.Payer("treasury"))
	for _, bad := range []string{
		"0x" + lower(good[2:]), // no checksum: a typing error would pass
		good[:len(good)-1] + flip(good[len(good)-1]),
	} {
		cfg.Chains[0].Treasury = chain.Address(bad)
		_, err := bursar.New(cfg)
		var field *bursar.FieldError
		require.ErrorAs(t, err, &field, bad)
		require.Equal(t, "Config.Chains[0].Treasury", field.Field)
	}
}

func lower(s string) string { return string(bytes.ToLower([]byte(s))) }

func flip(c byte) string {
	if c == '1' {
		return "2"
	}
	return "1"
}

func TestThreat_F2_TreasuryIsNotOurs(t *testing.T) {
	cfg, _, usdc := config(t)
	gw, err := bursar.New(cfg)
	require.NoError(t, err)
	sponsor, err := gw.Sponsor("eip155:1337")
	require.NoError(t, err)
	for name, bad := range map[string]chain.Address{
		"zero": "0x0000000000000000000000000000000000000000", "token": usdc.Contract, "sponsor": sponsor,
	} {
		cfg.Chains[0].Treasury = bad
		_, err := bursar.New(cfg)
		var field *bursar.FieldError
		require.ErrorAs(t, err, &field, name)
		require.Equal(t, "Config.Chains[0].Treasury", field.Field)
	}
	// A deposit address is known only once the store is read: Start refuses it.
	cfg, c, _ := config(t)
	gw, err = bursar.New(cfg)
	require.NoError(t, err)
	require.NoError(t, gw.Start(t.Context()))
	p, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.NewFromInt(1)})
	require.NoError(t, err)
	require.NoError(t, gw.Stop(context.Background()))
	cfg.Chains[0].Treasury = p.Address
	gw, err = bursar.New(cfg)
	require.NoError(t, err)
	var field *bursar.FieldError
	require.ErrorAs(t, gw.Start(t.Context()), &field)
	require.Equal(t, "Config.Chains[0].Treasury", field.Field)
	_ = c
}

func TestThreat_B17_DecimalsAreCheckedAtStart(t *testing.T) {
	cfg, _, usdc := config(t)
	usdc.Decimals = 18
	cfg.Chains[0].Assets = []chain.Asset{usdc}
	gw, err := bursar.New(cfg)
	require.NoError(t, err)
	var field *bursar.FieldError
	require.ErrorAs(t, gw.Start(t.Context()), &field)
	require.Equal(t, "Config.Chains[0].Assets[USDC].Decimals", field.Field)
	require.Contains(t, field.Reason, "6")
	require.Contains(t, field.Reason, "18")
	_, err = gw.CreatePayment(t.Context(), bursar.PaymentRequest{})
	require.ErrorIs(t, err, bursar.ErrNotStarted, "a failed start leaves nothing running")
}

func TestThreat_F16_AddressesOfTheStoreAreDerivedAgain(t *testing.T) {
	cfg, _, _ := config(t)
	gw, err := bursar.New(cfg)
	require.NoError(t, err)
	require.NoError(t, gw.Start(t.Context()))
	p, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.NewFromInt(1)})
	require.NoError(t, err)
	require.NoError(t, gw.Stop(context.Background()))
	// The row says another address at that path: a defect of derivation, or an
	// edited database. Nothing may be issued on top of it.
	require.NoError(t, cfg.Store.Write(t.Context(), func(tx bursar.Tx) error {
		rows, err := tx.Addresses(t.Context(), bursar.AddressQuery{Addresses: []chain.Address{p.Address}})
		require.NoError(t, err)
		rows[0].Address = "0x000000000000000000000000000000000000dEaD"
		return tx.Apply(t.Context(), bursar.Batch{Addresses: rows})
	}))
	gw, err = bursar.New(cfg)
	require.NoError(t, err)
	var field *bursar.FieldError
	require.ErrorAs(t, gw.Start(t.Context()), &field)
	require.Equal(t, "Config.Wallet", field.Field)
	require.Contains(t, field.Reason, string(p.Address))
}

func TestThreat_F17_AnotherMnemonicOrPassphraseIsRefused(t *testing.T) {
	cfg, _, _ := config(t)
	gw, err := bursar.New(cfg)
	require.NoError(t, err)
	require.NoError(t, gw.Start(t.Context()))
	_, err = gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.NewFromInt(1)})
	require.NoError(t, err)
	require.NoError(t, gw.Stop(context.Background()))
	for name, w := range map[string]*hdwallet.Wallet{
		"mnemonic": wallet(t, abandon, ""), "passphrase": wallet(t, bursartest.Mnemonic, "x"),
	} {
		other := cfg
		other.Wallet = w
		gw, err := bursar.New(other)
		require.NoError(t, err)
		var field *bursar.FieldError
		require.ErrorAs(t, gw.Start(t.Context()), &field, name)
		require.Equal(t, "Config.Wallet", field.Field)
		// As a retired wallet the old one is welcome.
		other.Retired = []*hdwallet.Wallet{cfg.Wallet}
		gw, err = bursar.New(other)
		require.NoError(t, err)
		require.NoError(t, gw.Start(t.Context()))
		require.NoError(t, gw.Stop(context.Background()))
	}
}

func TestThreat_G11_CallsOutsideTheLifeAreErrors(t *testing.T) {
	var zero bursar.Gateway
	var none *bursar.Gateway
	for _, gw := range []*bursar.Gateway{&zero, none} {
		require.ErrorIs(t, gw.Start(t.Context()), bursar.ErrNotStarted)
		require.NoError(t, gw.Stop(t.Context()))
		require.ErrorIs(t, gw.Step(t.Context()), bursar.ErrNotStarted)
		_, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{})
		require.ErrorIs(t, err, bursar.ErrNotStarted)
		_, err = gw.CancelPayment(t.Context(), "x")
		require.ErrorIs(t, err, bursar.ErrNotStarted)
		_, err = gw.AcceptPayment(t.Context(), "x", "k")
		require.ErrorIs(t, err, bursar.ErrNotStarted)
		_, err = gw.RenewPayment(t.Context(), "x")
		require.ErrorIs(t, err, bursar.ErrNotStarted)
		_, err = gw.CreateAddress(t.Context(), bursar.AddressRequest{})
		require.ErrorIs(t, err, bursar.ErrNotStarted)
		_, err = gw.Payment(t.Context(), "x")
		require.ErrorIs(t, err, bursar.ErrNotStarted)
		_, err = gw.Payments(t.Context(), bursar.PaymentFilter{}, 0, "")
		require.ErrorIs(t, err, bursar.ErrNotStarted)
		_, err = gw.Transactions(t.Context(), bursar.TransactionFilter{}, 0, "")
		require.ErrorIs(t, err, bursar.ErrNotStarted)
		_, err = gw.Transaction(t.Context(), "x")
		require.ErrorIs(t, err, bursar.ErrNotStarted)
		_, _, err = gw.Payout(t.Context(), "x")
		require.ErrorIs(t, err, bursar.ErrNotStarted)
		_, err = gw.Payouts(t.Context(), bursar.PayoutQuery{})
		require.ErrorIs(t, err, bursar.ErrNotStarted)
		_, err = gw.Address(t.Context(), "x")
		require.ErrorIs(t, err, bursar.ErrNotStarted)
		_, err = gw.Events(t.Context(), "x", 0, 0)
		require.ErrorIs(t, err, bursar.ErrNotStarted)
		_, err = gw.Balances(t.Context(), "x")
		require.ErrorIs(t, err, bursar.ErrNotStarted)
		_, err = gw.Ledger(t.Context(), "")
		require.ErrorIs(t, err, bursar.ErrNotStarted)
		require.ErrorIs(t, gw.ResumeChain(t.Context(), "eip155:1"), bursar.ErrNotStarted)
		_, err = gw.Sponsor("eip155:1")
		require.Error(t, err)
		require.False(t, gw.Health(t.Context()).Running)
	}
	cfg, _, _ := config(t)
	gw, err := bursar.New(cfg)
	require.NoError(t, err)
	_, err = gw.CreatePayment(t.Context(), bursar.PaymentRequest{})
	require.ErrorIs(t, err, bursar.ErrNotStarted)
	require.NoError(t, gw.Start(t.Context()))
	require.ErrorIs(t, gw.Start(t.Context()), bursar.ErrStarted)
	require.NoError(t, gw.Stop(t.Context()))
	_, err = gw.CreatePayment(t.Context(), bursar.PaymentRequest{})
	require.ErrorIs(t, err, bursar.ErrStopped)
	require.ErrorIs(t, gw.Start(t.Context()), bursar.ErrStopped)
}

func TestThreat_G9_StopInAnyOrderLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 20 {
		cfg, _, _ := config(t)
		cfg.Chains[0].Poll = time.Millisecond
		cfg.Notify = []bursar.Notifier{bursar.NotifyFunc("n", func(context.Context, bursar.Event) error { return nil })}
		gw, err := bursar.New(cfg)
		require.NoError(t, err)
		if i%4 == 0 {
			require.NoError(t, gw.Stop(t.Context()), "before Start")
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := gw.Start(t.Context()); err != nil && !errors.Is(err, bursar.ErrStopped) && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		for range 3 {
			wg.Go(func() { _ = gw.Stop(ended) }) // its time is over at once
			wg.Go(func() {
				if i%2 == 0 {
					_ = gw.Stop(context.Background())
				}
			})
		}
		wg.Wait()
		require.NoError(t, gw.Stop(context.Background()))
		require.NoError(t, gw.Stop(context.Background()))
	}
}

func TestRunWorksUntilItsContextEnds(t *testing.T) {
	defer goleak.VerifyNone(t)
	cfg, c, _ := config(t)
	cfg.Chains[0].Poll = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	confirmed := make(chan string, 1)
	cfg.Notify = []bursar.Notifier{bursar.NotifyFunc("n", func(_ context.Context, e bursar.Event) error {
		if e.Kind == bursar.PaymentConfirmed {
			confirmed <- e.Subject
		}
		return nil
	})}
	gw, err := bursar.New(cfg)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- gw.Run(ctx) }()
	require.Eventually(t, func() bool { return gw.Health(t.Context()).Ready }, time.Minute, time.Millisecond)
	p, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.NewFromInt(1)})
	require.NoError(t, err)
	c.Pay("payer", p.Address, p.Asset, p.Amount)
	c.Mine(3)
	select {
	case id := <-confirmed:
		require.Equal(t, p.ID, id)
	case <-time.After(time.Minute):
		t.Fatal("not confirmed")
	}
	cancel()
	require.NoError(t, <-done)
}

func TestTwoGatewaysInOneProcessShareNothing(t *testing.T) {
	a, b := bursartest.New(t, bursartest.Options{}), bursartest.New(t, bursartest.Options{})
	p := a.Create("ETH", "1")
	a.Pay(p)
	a.Settle()
	b.Mine(3)
	_, err := b.Gateway.Payment(t.Context(), p.ID)
	require.ErrorIs(t, err, bursar.ErrNotFound)
	require.Empty(t, b.Events(p.ID))
	require.Equal(t, bursar.StatusSettled, a.Payment(p).Status)
}

func TestUnreachableChainStartsDegraded(t *testing.T) {
	cfg, c, _ := config(t)
	client := c.Client()
	down := errors.New("connection refused")
	client.FailNext(chaintest.MethodIdentify, down, 2)
	cfg.Chains[0].Client, cfg.Manual = client, true
	gw, err := bursar.New(cfg)
	require.NoError(t, err)
	require.NoError(t, gw.Start(t.Context()))
	defer gw.Stop(context.Background())
	h := gw.Health(t.Context())
	require.True(t, h.Running)
	require.False(t, h.Ready)
	require.ErrorIs(t, h.Chains[0].Problem, down)
	_, err = gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.NewFromInt(1)})
	require.ErrorIs(t, err, bursar.ErrChainNotReady)
	require.Error(t, gw.Step(t.Context()), "still down")
	require.NoError(t, gw.Step(t.Context()))
	require.True(t, gw.Health(t.Context()).Ready)
	_, err = gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.NewFromInt(1)})
	require.NoError(t, err)
}

func TestThreat_F18_NoSecretInAnyOutput(t *testing.T) {
	var log bytes.Buffer
	secrets := []string{"junk", "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80", "5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc1"}
	kit := bursartest.New(t, bursartest.Options{
		Edit: func(c *bursar.Config) {
			c.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		},
		Notify: []bursar.Notifier{bursar.NotifyFunc("panics", func(context.Context, bursar.Event) error { panic("host code") })},
	})
	p := kit.Create("USDC", "5")
	kit.Pay(p)
	kit.Settle()
	require.Equal(t, bursar.StatusSettled, kit.Payment(p).Status)
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		fmt.Fprintf(&out, verb, kit.Gateway)
		fmt.Fprintf(&out, verb, kit)
		fmt.Fprintf(&out, verb, wallet(t, bursartest.Mnemonic, ""))
		fmt.Fprintf(&out, verb, kit.Gateway.Health(t.Context()))
	}
	rows, err := json.Marshal(kit.Transactions(p))
	require.NoError(t, err)
	out.Write(rows)
	out.Write(log.Bytes())
	require.Contains(t, log.String(), "host code")
	for _, s := range secrets {
		require.NotContains(t, out.String(), s)
	}
}

func TestThreat_G2_AmountsAreExactOrRefused(t *testing.T) {
	kit := bursartest.New(t, bursartest.Options{})
	// Where a quote would have to be rounded, the request is refused instead:
	// rounding is the host's decision, in the payee's favour.
	for _, tooFine := range []string{"0.0000001", "25.0000001", "1.23456789012345678901"} {
		_, err := kit.Gateway.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/USDC", Amount: decimal.RequireFromString(tooFine)})
		var field *bursar.FieldError
		require.ErrorAs(t, err, &field, tooFine)
		require.Equal(t, "PaymentRequest.Amount", field.Field)
	}
	// A binary fraction is not what a person typed: 0.1+0.2 as a float is refused,
	// as decimals it is exact.
	_, err := kit.Gateway.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/USDC", Amount: decimal.NewFromFloat(0.1).Add(decimal.New(3, -17))})
	require.Error(t, err)
	p := kit.Request(bursar.PaymentRequest{Asset: "local/USDC", Amount: decimal.RequireFromString("0.1").Add(decimal.RequireFromString("0.2"))})
	require.Equal(t, "300000", p.Amount.String())
	// What was quoted stays: the payment keeps its amount for its whole life.
	kit.AdvanceTime(2 * time.Hour)
	require.Equal(t, p.Amount, kit.Payment(p).Amount)
}

func TestThreat_B16_MoneyBetweenOurOwnIsNoDeposit(t *testing.T) {
	kit := bursartest.New(t, bursartest.Options{})
	p := kit.Create("USDC", "5")
	kit.Pay(p)
	kit.Settle()
	// The sweep needed gas at the deposit address: the top-up came from the
	// sponsor and is no payer's money.
	require.Len(t, kit.Transactions(p), 1)
	require.Equal(t, bursar.StatusSettled, kit.Payment(p).Status)
	page, err := kit.Gateway.Transactions(t.Context(), bursar.TransactionFilter{Type: bursar.TypeInternal}, 0, "")
	require.NoError(t, err)
	purposes := map[chain.Purpose]int{}
	for _, row := range page.Items {
		purposes[row.Purpose]++
	}
	require.Equal(t, 1, purposes[chain.PurposeTopUp])
	require.Positive(t, purposes[chain.PurposeCollection])
	require.Zero(t, kit.Balance(kit.ETH, bursar.Account("held:"+string(p.Address))).Sign())
}

func TestStopGivesTheLeaseUp(t *testing.T) {
	cfg, c, _ := config(t)
	cfg.Manual, cfg.Instance = true, "one"
	first, err := bursar.New(cfg)
	require.NoError(t, err)
	require.NoError(t, first.Start(t.Context()))
	c.Mine(1)
	require.NoError(t, first.Step(t.Context()))
	cfg.Instance = "two"
	second, err := bursar.New(cfg)
	require.NoError(t, err)
	require.NoError(t, second.Start(t.Context()))
	defer second.Stop(context.Background())
	tip := func() uint64 { return second.Health(t.Context()).Chains[0].Tip.Height }
	c.Mine(1)
	require.NoError(t, second.Step(t.Context()))
	require.Equal(t, uint64(2), tip(), "the chain belongs to the first instance")
	require.NoError(t, first.Stop(t.Context()))
	require.NoError(t, second.Step(t.Context()))
	require.Equal(t, uint64(3), tip(), "no clock has moved, and the second one has it")
}

func TestChainWithoutBlocksStillGivesVerdicts(t *testing.T) {
	kit := bursartest.New(t, bursartest.Options{Chain: chaintest.Options{Info: chain.Info{OnDemandBlocks: true}}})
	p := kit.Create("ETH", "1")
	height := kit.Chain.Head().Height
	kit.Chain.AdvanceTime(24*time.Hour + kit.Chain.Info().InclusionSlack - time.Second)
	kit.Step()
	require.Equal(t, bursar.StatusPending, kit.Payment(p).Status, "within the slack for a late inclusion")
	kit.Chain.AdvanceTime(2 * time.Second)
	kit.Step()
	require.Equal(t, bursar.StatusExpired, kit.Payment(p).Status)
	require.Equal(t, height, kit.Chain.Head().Height, "no block came")
}
