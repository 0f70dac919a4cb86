package bursar_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/storetest"
)

// badRequests are requests with one bad field each.
var badRequests = []struct {
	name  string
	field string
	code  bursar.Code
	edit  func(*bursar.PaymentRequest)
}{
	{"no asset", "Asset", bursar.CodeRequired, func(r *bursar.PaymentRequest) { r.Asset = "" }},
	{"unknown asset", "Asset", bursar.CodeUnknown, func(r *bursar.PaymentRequest) { r.Asset = "local/DOGE" }},
	{"other chain", "Asset", bursar.CodeUnknown, func(r *bursar.PaymentRequest) { r.Asset = "ethereum/USDC" }},
	{"symbol alone", "Asset", bursar.CodeUnknown, func(r *bursar.PaymentRequest) { r.Asset = "USDC" }},
	{"other case", "Asset", bursar.CodeUnknown, func(r *bursar.PaymentRequest) { r.Asset = "local/usdc" }},
	{"long asset", "Asset", bursar.CodeInvalid, func(r *bursar.PaymentRequest) { r.Asset = strings.Repeat("x", 257) }},
	{"zero", "Amount", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.Amount = decimal.Decimal{} }},
	{"negative", "Amount", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.Amount = amount("-1") }},
	{"too fine", "Amount", bursar.CodeInvalid, func(r *bursar.PaymentRequest) { r.Amount = amount("1.0000001") }},
	{"one digit too fine", "Amount", bursar.CodeInvalid, func(r *bursar.PaymentRequest) { r.Amount = decimal.New(1, -7) }},
	{"beyond 256 bits", "Amount", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.Amount = decimal.New(2, 72) }},
	{"huge exponent", "Amount", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.Amount = decimal.New(1, 1<<30) }},
	{"tiny exponent", "Amount", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.Amount = decimal.New(1, -1<<30) }},
	{"zero with a huge exponent", "Amount", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.Amount = decimal.New(0, 1<<30) }},
	{"many digits", "Amount", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.Amount = amount(strings.Repeat("9", 5000)) }},
	{"below the minimum", "Amount", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.Amount = amount("0.49") }},
	{"short life", "TTL", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.TTL = time.Minute - 1 }},
	{"negative life", "TTL", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.TTL = -time.Hour }},
	{"long life", "TTL", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.TTL = bursar.MaxTTL + 1 }},
	{"tolerance over all", "Policy.ToleranceBps", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.Policy = &bursar.AmountPolicy{ToleranceBps: 10_001} }},
	{"tolerance of all", "Policy.Tolerance", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.Policy = &bursar.AmountPolicy{ToleranceBps: 10_000} }},
	{"absolute tolerance of all", "Policy.Tolerance", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) {
		r.Policy = &bursar.AmountPolicy{Tolerance: chain.NewAmount(10_000_000)}
	}},
	{"negative grace", "Policy.Grace", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.Policy = &bursar.AmountPolicy{Grace: -1} }},
	{"long grace", "Policy.Grace", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.Policy = &bursar.AmountPolicy{Grace: bursar.MaxGrace + 1} }},
	{"long customer", "Customer", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.Customer = strings.Repeat("c", 256) }},
	{"customer with a line", "Customer", bursar.CodeInvalid, func(r *bursar.PaymentRequest) { r.Customer = "a\nb" }},
	{"customer, bad UTF-8", "Customer", bursar.CodeInvalid, func(r *bursar.PaymentRequest) { r.Customer = "\xff" }},
	{"long key", "IdempotencyKey", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.IdempotencyKey = strings.Repeat("k", 256) }},
	{"key with NUL", "IdempotencyKey", bursar.CodeInvalid, func(r *bursar.PaymentRequest) { r.IdempotencyKey = "a\x00" }},
	{"key, bad UTF-8", "IdempotencyKey", bursar.CodeInvalid, func(r *bursar.PaymentRequest) { r.IdempotencyKey = "a\xc3" }},
	{"many pairs", "Metadata", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.Metadata = pairs(51, 1) }},
	{"much metadata", "Metadata", bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.Metadata = pairs(50, 330) }},
	{"empty name", `Metadata[""]`, bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.Metadata = map[string]string{"": "x"} }},
	{"long name", `Metadata["` + strings.Repeat("k", 41) + `"]`, bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) {
		r.Metadata = map[string]string{strings.Repeat("k", 41): "x"}
	}},
	{"long value", `Metadata["k"]`, bursar.CodeOutOfRange, func(r *bursar.PaymentRequest) { r.Metadata = map[string]string{"k": strings.Repeat("v", 501)} }},
	{"name, bad UTF-8", `Metadata["\xff"]`, bursar.CodeInvalid, func(r *bursar.PaymentRequest) { r.Metadata = map[string]string{"\xff": "x"} }},
	{"value, bad UTF-8", `Metadata["k"]`, bursar.CodeInvalid, func(r *bursar.PaymentRequest) { r.Metadata = map[string]string{"k": "\xff"} }},
	{"value with NUL", `Metadata["k"]`, bursar.CodeInvalid, func(r *bursar.PaymentRequest) { r.Metadata = map[string]string{"k": "a\x00b"} }},
	{"name with NUL", `Metadata["a\x00"]`, bursar.CodeInvalid, func(r *bursar.PaymentRequest) { r.Metadata = map[string]string{"a\x00": "b"} }},
	{"name like an index", `Metadata["007"]`, bursar.CodeInvalid, func(r *bursar.PaymentRequest) { r.Metadata = map[string]string{"007": "b"} }},
}

// pairs makes n pairs with values of some bytes.
func pairs(n, size int) map[string]string {
	out := map[string]string{}
	for i := range n {
		out[fmt.Sprintf("key%02d", i)] = strings.Repeat("v", size)
	}
	return out
}

// minimum sets a minimum of 0.5 USDC.
func minimum(c *bursar.Config) {
	c.Chains[0].Assets[0].Minimum = chain.NewAmount(500_000)
}

func TestBadRequestsNameTheFieldAndWriteNothing(t *testing.T) {
	kit := newKit(t, bursartest.Options{Edit: minimum})
	before := dumpOf(t, kit.Store)
	for _, tc := range badRequests {
		t.Run(tc.name, func(t *testing.T) {
			req := usdc("10")
			tc.edit(&req)
			p, err := kit.Gateway.CreatePayment(t.Context(), req)
			isField(t, err, "PaymentRequest."+tc.field, tc.code)
			require.Equal(t, bursar.Payment{}, p)
			require.Equal(t, before, dumpOf(t, kit.Store), "something was written")
		})
	}
	t.Run("the bounds themselves are fine", func(t *testing.T) {
		for _, edit := range []func(*bursar.PaymentRequest){
			func(r *bursar.PaymentRequest) { r.Amount = amount("0.5") },
			func(r *bursar.PaymentRequest) { r.Amount = decimal.New(1, 60) },
			func(r *bursar.PaymentRequest) { r.Amount = amount("1.0000000000") },
			func(r *bursar.PaymentRequest) { r.TTL = bursar.MinTTL },
			func(r *bursar.PaymentRequest) { r.TTL = bursar.MaxTTL },
			func(r *bursar.PaymentRequest) {
				r.Policy = &bursar.AmountPolicy{ToleranceBps: 9_999, Grace: bursar.MaxGrace}
			},
			func(r *bursar.PaymentRequest) { r.Customer = strings.Repeat("c", 255) },
			func(r *bursar.PaymentRequest) { r.IdempotencyKey = strings.Repeat("k", 255) },
			func(r *bursar.PaymentRequest) { r.Metadata = pairs(50, 320) },
			func(r *bursar.PaymentRequest) {
				r.Metadata = map[string]string{strings.Repeat("k", 40): strings.Repeat("v", 500), "line": "a\nb"}
			},
		} {
			req := usdc("10")
			edit(&req)
			_, err := kit.Gateway.CreatePayment(t.Context(), req)
			require.NoError(t, err)
		}
	})
}

func TestThreat_G1_AmountsStrict(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	for _, tc := range []struct{ asset, in, want string }{
		{"local/USDC", "0.000001", "1"}, {"local/USDC", "25.5", "25500000"}, {"local/ETH", "0.000000000000000001", "1"},
		{"local/ETH", "1", "1000000000000000000"}, {"local/USDC", "1e3", "1000000000"},
	} {
		p, err := kit.Gateway.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: tc.asset, Amount: amount(tc.in)})
		require.NoError(t, err)
		require.Equal(t, tc.want, p.Amount.String(), tc.in)
	}
	for _, bad := range []string{"0", "-0.000001", "0.0000001", "1e-7", "1e80"} {
		_, err := kit.Gateway.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/USDC", Amount: amount(bad)})
		var field *bursar.FieldError
		require.ErrorAs(t, err, &field, bad)
		require.Equal(t, "PaymentRequest.Amount", field.Field)
	}
}

func TestThreat_G3_UnknownAssetBeforeAnyWrite(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	before := dumpOf(t, kit.Store)
	for _, name := range []string{"local/DAI", "eip155:1/slip44:60", "eip155:1337/erc20:0x000000000000000000000000000000000000dEaD", " local/ETH", "local/ETH "} {
		_, err := kit.Gateway.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: name, Amount: amount("1")})
		isField(t, err, "PaymentRequest.Asset", bursar.CodeUnknown)
	}
	require.Equal(t, before, dumpOf(t, kit.Store))
}

func TestThreat_G4_MetadataSurvivesUnchanged(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	req := usdc("1")
	req.Metadata = map[string]string{"order": "№ 7 <script>\u2028", "a.b": "", "-1": "minus", "1e3": "x"}
	want := maps.Clone(req.Metadata)
	p, err := kit.Gateway.CreatePayment(t.Context(), req)
	require.NoError(t, err)
	req.Metadata["order"] = "changed by the host afterwards"
	require.Equal(t, want, p.Metadata)
	p.Metadata["order"] = "changed in the answer"
	require.Equal(t, want, kit.Payment(p).Metadata)
	require.Equal(t, want, kit.WaitEvent(bursar.PaymentCreated, p.ID).Data.Metadata)
}

func TestPaymentSnapshot(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	now := kit.Chain.Now().UTC()
	p, err := kit.Gateway.CreatePayment(t.Context(), bursar.PaymentRequest{
		Asset: string(kit.USDC.ID), Amount: amount("25.5"), TTL: 90 * time.Minute, Customer: "ann", IdempotencyKey: "k",
		Policy: &bursar.AmountPolicy{ToleranceBps: 100, Grace: time.Hour, OverpaidMin: chain.NewAmount(5)},
	})
	require.NoError(t, err)
	require.Regexp(t, `^pay_test_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, p.ID)
	require.Equal(t, bursar.StatusPending, p.Status)
	require.False(t, p.Livemode)
	require.Equal(t, kit.USDC, p.Asset)
	require.Equal(t, "25500000", p.Amount.String())
	require.Equal(t, "25245000", p.Required.String())
	require.Equal(t, "25500000", p.Shortfall.String())
	require.True(t, p.Received.IsZero() && p.Confirmed.IsZero() && p.Excess.IsZero() && p.Held.IsZero() && p.Refunded.IsZero())
	require.EqualValues(t, 3, p.RequiredConfirmations)
	require.Zero(t, p.Confirmations)
	require.Equal(t, now, p.CreatedAt)
	require.Equal(t, now.Add(90*time.Minute), p.ExpiresAt)
	require.Equal(t, p.ExpiresAt, p.Deadline)
	require.Equal(t, 90*time.Minute, p.TTL)
	require.Equal(t, "ann", p.Customer)
	require.Equal(t, 1, p.Attempt)
	require.EqualValues(t, 1, p.Seq)
	require.EqualValues(t, 1, p.Version)
	require.Contains(t, p.URI, string(kit.USDC.Contract))
	require.Contains(t, p.URI, string(p.Address))
	require.Contains(t, p.URI, "uint256=25500000")
	row, err := kit.Gateway.Address(t.Context(), string(p.Address))
	require.NoError(t, err)
	require.Equal(t, p.AddressID, row.ID)
	require.Equal(t, bursar.RolePayment, row.Role)
	require.Equal(t, p.ID, row.PaymentID)
	require.Equal(t, p, kit.Payment(p), "what is returned is what is stored")

	live := newKit(t, bursartest.Options{Chain: chaintest.Options{Mainnet: true}})
	q := live.Create("ETH", "1")
	require.True(t, q.Livemode)
	require.Regexp(t, `^pay_[0-9a-f]{8}-`, q.ID)
	require.True(t, live.WaitEvent(bursar.PaymentCreated, q.ID).Livemode)
}

// full is a request with every field set.
func full() bursar.PaymentRequest {
	return bursar.PaymentRequest{
		Asset: "local/USDC", Amount: amount("10"), TTL: time.Hour, Policy: &bursar.AmountPolicy{ToleranceBps: 50},
		Customer: "ann", Metadata: map[string]string{"order": "7", "cart": "x"}, IdempotencyKey: "order-7",
	}
}

func TestThreat_G5_SameKeySameRequest(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	first := kit.Request(full())
	before := dumpOf(t, kit.Store)
	for range 20 { // the order of a map's keys differs from run to run
		again := full()
		again.Asset, again.Amount = string(kit.USDC.ID), amount("10.000")
		again.Metadata = map[string]string{"cart": "x", "order": "7"}
		require.Equal(t, first, kit.Request(again))
	}
	require.Equal(t, before, dumpOf(t, kit.Store))
	// The address that a repetition took in vain is issued next.
	next := kit.Create("USDC", "1")
	row, err := kit.Gateway.Address(t.Context(), next.AddressID)
	require.NoError(t, err)
	require.EqualValues(t, 1, row.Index)

	for name, edit := range map[string]func(*bursar.PaymentRequest){
		"asset":          func(r *bursar.PaymentRequest) { r.Asset = "local/USDT" },
		"amount":         func(r *bursar.PaymentRequest) { r.Amount = amount("10.000001") },
		"TTL":            func(r *bursar.PaymentRequest) { r.TTL = 2 * time.Hour },
		"default TTL":    func(r *bursar.PaymentRequest) { r.TTL = 0 },
		"no policy":      func(r *bursar.PaymentRequest) { r.Policy = nil },
		"tolerance":      func(r *bursar.PaymentRequest) { r.Policy.Tolerance = chain.NewAmount(1) },
		"share":          func(r *bursar.PaymentRequest) { r.Policy.ToleranceBps = 51 },
		"grace":          func(r *bursar.PaymentRequest) { r.Policy.Grace = 1 },
		"overpaid":       func(r *bursar.PaymentRequest) { r.Policy.OverpaidMin = chain.NewAmount(2) },
		"customer":       func(r *bursar.PaymentRequest) { r.Customer = "bob" },
		"metadata value": func(r *bursar.PaymentRequest) { r.Metadata["order"] = "8" },
		"metadata more":  func(r *bursar.PaymentRequest) { r.Metadata["x"] = "" },
		"metadata less":  func(r *bursar.PaymentRequest) { delete(r.Metadata, "cart") },
		"metadata shift": func(r *bursar.PaymentRequest) {
			r.Metadata = map[string]string{"order": "7cart", "": ""}
			delete(r.Metadata, "")
		},
	} {
		req := full()
		edit(&req)
		before := dumpOf(t, kit.Store)
		_, err := kit.Gateway.CreatePayment(t.Context(), req)
		require.ErrorIs(t, err, bursar.ErrIdempotencyConflict, name)
		require.Contains(t, err.Error(), first.ID, "it says whose the key is")
		require.Equal(t, before, dumpOf(t, kit.Store), name)
	}
}

// TestIdempotencyOutlivesDefaults: a repetition after a release with other
// defaults is still the same request.
func TestIdempotencyOutlivesDefaults(t *testing.T) {
	cfg, _, _ := config(t)
	cfg.Manual = true
	start := func() *bursar.Gateway {
		gw, err := bursar.New(cfg)
		require.NoError(t, err)
		require.NoError(t, gw.Start(t.Context()))
		t.Cleanup(func() { _ = gw.Stop(context.Background()) })
		return gw
	}
	req := bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1"), IdempotencyKey: "k"}
	p, err := start().CreatePayment(t.Context(), req)
	require.NoError(t, err)
	cfg.TTL, cfg.Policy.ToleranceBps = 2*time.Hour, 10
	q, err := start().CreatePayment(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, p, q)
}

func TestSameKeyAfterExpiryIsTheExpiredPayment(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	p := kit.Request(full())
	kit.AdvanceTime(2 * time.Hour)
	again := kit.Request(full())
	require.Equal(t, p.ID, again.ID)
	require.Equal(t, bursar.StatusExpired, again.Status)
	// And a paid one tells its confirmations.
	req := full()
	req.IdempotencyKey = "order-8"
	q := kit.Request(req)
	kit.Pay(q)
	kit.Mine(2)
	require.EqualValues(t, 2, kit.Request(req).Confirmations)
	require.Equal(t, kit.Payment(q), kit.Request(req))
}

func TestThreat_G5_ConcurrentCallsWithOneKey(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	ids := make([]string, 50)
	many(len(ids), func(i int) {
		p, err := kit.Gateway.CreatePayment(context.Background(), full())
		if err != nil {
			t.Error(err)
		}
		ids[i] = p.ID
	})
	require.Len(t, slices.Compact(slices.Clone(ids)), 1)
	d := dumpOf(t, kit.Store)
	require.Len(t, d.Payments, 1)
	require.Len(t, d.issued(), 1)
	require.Equal(t, 1, d.created())
	require.Equal(t, ids[0], d.Events[len(d.Events)-1].Subject)
	require.Len(t, d.Deliveries, len(d.Events))
}

func TestThreat_G5_ConcurrentCallsWithOneKeyAndDifferentRequests(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	won := make([]bool, 20)
	many(len(won), func(i int) {
		req := full()
		req.Amount = decimal.NewFromInt(int64(i + 1))
		_, err := kit.Gateway.CreatePayment(context.Background(), req)
		won[i] = err == nil
		if err != nil && !strings.Contains(err.Error(), bursar.ErrIdempotencyConflict.Error()) {
			t.Error(err)
		}
	})
	n := 0
	for _, w := range won {
		if w {
			n++
		}
	}
	require.Equal(t, 1, n)
	require.Len(t, dumpOf(t, kit.Store).Payments, 1)
}

func TestThreat_F25_UnknownOutcomeThenRetryByKey(t *testing.T) {
	for fault, stored := range map[storetest.Fault]int{storetest.LoseAfter: 1, storetest.LoseBefore: 0, storetest.FailBefore: 0, storetest.ConflictOnce: 1} {
		var armed bool
		kit := newKit(t, bursartest.Options{Store: func(now func() time.Time) bursar.Store {
			return storetest.Faulty(memory.NewWith(memory.Options{Now: now}), func(p storetest.Point) storetest.Fault {
				if armed && len(p.Batches) > 0 && len(p.Batches[0].Payments) > 0 {
					armed = false
					return fault
				}
				return storetest.Pass
			})
		}})
		armed = true
		p, err := kit.Gateway.CreatePayment(t.Context(), full())
		require.Equal(t, fault != storetest.ConflictOnce, err != nil, "%v", fault)
		require.Len(t, dumpOf(t, kit.Store).Payments, stored)
		if err != nil {
			require.Equal(t, bursar.Payment{}, p, "no address leaves the gateway before the commit")
		}
		again := kit.Request(full())
		d := dumpOf(t, kit.Store)
		require.Len(t, d.Payments, 1)
		require.Equal(t, []chain.Address{again.Address}, d.issued(), "one address, the payment's")
		require.Equal(t, 1, d.created())
		// An address whose fate is unknown is not issued again.
		require.NotEqual(t, again.Address, kit.Create("USDC", "1").Address)
	}
}

func TestReserveFailure(t *testing.T) {
	fail := true
	kit := newKit(t, bursartest.Options{Store: func(now func() time.Time) bursar.Store {
		return storetest.Faulty(memory.NewWith(memory.Options{Now: now}), func(p storetest.Point) storetest.Fault {
			if p.Op == storetest.OpReserve && fail {
				fail = false
				return storetest.LoseAfter
			}
			return storetest.Pass
		})
	}})
	_, err := kit.Gateway.CreatePayment(t.Context(), full())
	require.ErrorIs(t, err, bursar.ErrUnknownOutcome)
	p := kit.Request(full())
	row, err := kit.Gateway.Address(t.Context(), p.AddressID)
	require.NoError(t, err)
	require.EqualValues(t, 256, row.Index, "indexes that may have been handed out are not")
	// Those are watched all the same.
	require.EqualValues(t, 512, dumpOf(t, kit.Store).Pools[0].Next)
}

// TestPaymentsNeverShareAnAddress: 200 creators and two gateways on one store.
func TestPaymentsNeverShareAnAddress(t *testing.T) {
	cfg, c, _ := config(t)
	cfg.Manual = true
	var gws []*bursar.Gateway
	for _, name := range []string{"a", "b"} {
		cfg.Instance = name
		gw, err := bursar.New(cfg)
		require.NoError(t, err)
		require.NoError(t, gw.Start(t.Context()))
		t.Cleanup(func() { _ = gw.Stop(context.Background()) })
		gws = append(gws, gw)
	}
	const n = 400 // more than one block of indexes each
	got := make([]bursar.Payment, n)
	many(n, func(i int) {
		var err error
		if got[i], err = gws[i%2].CreatePayment(context.Background(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")}); err != nil {
			t.Error(err)
		}
	})
	seen := map[chain.Address]bool{}
	for _, p := range got {
		require.False(t, seen[p.Address], p.Address)
		seen[p.Address] = true
	}
	// Whichever instance scans sees them all.
	for _, p := range []bursar.Payment{got[0], got[1], got[n-1], got[n-2]} {
		c.Pay("payer", p.Address, p.Asset, p.Amount)
	}
	c.Mine(3)
	require.NoError(t, gws[0].Step(t.Context()))
	for _, p := range []bursar.Payment{got[0], got[1], got[n-1], got[n-2]} {
		p, err := gws[1].Payment(t.Context(), p.ID)
		require.NoError(t, err)
		require.Equal(t, bursar.StatusConfirmed, p.Status)
	}
}

// TestAnAddressThatWasPaidBeforeIsNotIssued: money came to a reserved address,
// so it is somebody's already.
func TestAnAddressThatWasPaidBeforeIsNotIssued(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	p := kit.Create("ETH", "1")
	w, err := wallet(t, bursartest.Mnemonic, "").Account(60)
	require.NoError(t, err)
	codec := kit.Chain.Client().Codec()
	var next chain.Address
	require.NoError(t, w.PublicKeys(0, 1, 1, func(_ uint32, key []byte) error {
		raw, err := codec.FromPublicKey(nil, key)
		require.NoError(t, err)
		next, err = codec.Format(raw)
		return err
	}))
	kit.Chain.Pay("payer", next, kit.ETH, chain.NewAmount(5))
	kit.Mine(1)
	row, err := kit.Gateway.Address(t.Context(), string(next))
	require.NoError(t, err)
	require.Equal(t, bursar.RoleUnissued, row.Role)
	q := kit.Create("ETH", "1")
	require.NotEqual(t, next, q.Address)
	require.NotEqual(t, p.Address, q.Address)
	require.Equal(t, []bursar.Kind{bursar.AlertUnknownRecipient, bursar.TransactionDetected}, sorted(kit.Kinds(row.ID)))
}

func sorted(kinds []bursar.Kind) []bursar.Kind {
	slices.Sort(kinds)
	return kinds
}

func TestCreateWithAnEndedContextWritesNothing(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	kit.Create("ETH", "1")
	before := dumpOf(t, kit.Store)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := kit.Gateway.CreatePayment(ctx, full())
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, before, dumpOf(t, kit.Store))
}
