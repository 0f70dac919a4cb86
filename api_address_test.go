package bursar_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/storetest"
)

const local bursar.ChainID = "eip155:1337"

func permanent(customer string) bursar.AddressRequest {
	return bursar.AddressRequest{Chain: local, Customer: customer, Metadata: map[string]string{"tier": "gold"}}
}

func TestAddressBadInput(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	before := dumpOf(t, kit.Store)
	for _, tc := range []struct {
		field string
		code  bursar.Code
		edit  func(*bursar.AddressRequest)
	}{
		{"Chain", bursar.CodeUnknown, func(r *bursar.AddressRequest) { r.Chain = "" }},
		{"Chain", bursar.CodeUnknown, func(r *bursar.AddressRequest) { r.Chain = "local" }},
		{"Customer", bursar.CodeRequired, func(r *bursar.AddressRequest) { r.Customer = "" }},
		{"Customer", bursar.CodeOutOfRange, func(r *bursar.AddressRequest) { r.Customer = strings.Repeat("c", 256) }},
		{"Customer", bursar.CodeInvalid, func(r *bursar.AddressRequest) { r.Customer = "a\x00" }},
		{"Metadata", bursar.CodeOutOfRange, func(r *bursar.AddressRequest) { r.Metadata = pairs(51, 1) }},
		{`Metadata["1"]`, bursar.CodeInvalid, func(r *bursar.AddressRequest) { r.Metadata = map[string]string{"1": "x"} }},
	} {
		req := permanent("ann")
		tc.edit(&req)
		row, err := kit.Gateway.CreateAddress(t.Context(), req)
		isField(t, err, "AddressRequest."+tc.field, tc.code)
		require.Equal(t, bursar.Address{}, row)
	}
	require.Equal(t, before, dumpOf(t, kit.Store))
}

func TestAddressOnePerCustomerAndFamily(t *testing.T) {
	other := chaintest.New(chaintest.Options{Info: chain.Info{ID: "eip155:7", Name: "seven"}})
	utxo := chaintest.New(chaintest.Options{Info: chain.Info{ID: "eip155:8", Name: "eight", CoinType: 1}})
	kit := newKit(t, bursartest.Options{Edit: func(c *bursar.Config) {
		for _, x := range []*chaintest.Chain{other, utxo} {
			x.Mine(1)
			c.Chains = append(c.Chains, bursar.Chain{Client: x.Client(), Treasury: c.Chains[0].Treasury})
		}
	}})
	ann, err := kit.Gateway.CreateAddress(t.Context(), permanent("ann"))
	require.NoError(t, err)
	require.Equal(t, bursar.RolePermanent, ann.Role)
	require.Equal(t, "ann", ann.Customer)
	require.Equal(t, map[string]string{"tier": "gold"}, ann.Metadata)
	stored, err := kit.Gateway.Address(t.Context(), ann.ID)
	require.NoError(t, err)
	require.Equal(t, stored, ann)

	again, err := kit.Gateway.CreateAddress(t.Context(), permanent("ann"))
	require.NoError(t, err)
	require.Equal(t, ann, again)
	req := permanent("ann")
	req.Chain = "eip155:7"
	again, err = kit.Gateway.CreateAddress(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, ann, again, "the same family, the same address")
	req.Chain = "eip155:8"
	family, err := kit.Gateway.CreateAddress(t.Context(), req)
	require.NoError(t, err)
	require.NotEqual(t, ann.ID, family.ID, "another family, another address")

	bob, err := kit.Gateway.CreateAddress(t.Context(), permanent("bob"))
	require.NoError(t, err)
	require.NotEqual(t, ann.Address, bob.Address)
	require.EqualValues(t, ann.Index+1, bob.Index, "repetitions use no index up")
	// Names that could run into each other do not.
	odd, err := kit.Gateway.CreateAddress(t.Context(), permanent("60/ann"))
	require.NoError(t, err)
	require.NotEqual(t, ann.Address, odd.Address)

	before := dumpOf(t, kit.Store)
	for _, m := range []map[string]string{nil, {"tier": "silver"}, {"tier": "gold", "x": "y"}} {
		req := permanent("ann")
		req.Metadata = m
		_, err = kit.Gateway.CreateAddress(t.Context(), req)
		require.ErrorIs(t, err, bursar.ErrIdempotencyConflict)
	}
	require.Equal(t, before, dumpOf(t, kit.Store))
	// No address is shared between a customer and a payment.
	require.NotEqual(t, ann.Address, kit.Create("ETH", "1").Address)
}

func TestAddressConcurrently(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	var rows [50]bursar.Address
	many(len(rows), func(i int) {
		var err error
		if rows[i], err = kit.Gateway.CreateAddress(context.Background(), permanent("ann")); err != nil {
			t.Error(err)
		}
	})
	for _, row := range rows {
		require.Equal(t, rows[0], row)
	}
	require.Equal(t, []chain.Address{rows[0].Address}, dumpOf(t, kit.Store).issued())
}

func TestAddressAfterUnknownOutcome(t *testing.T) {
	armed := false
	kit := newKit(t, bursartest.Options{Store: func(now func() time.Time) bursar.Store {
		return storetest.Faulty(memory.NewWith(memory.Options{Now: now}), func(p storetest.Point) storetest.Fault {
			if armed && p.Op == storetest.OpWrite {
				armed = false
				return storetest.LoseAfter
			}
			return storetest.Pass
		})
	}})
	armed = true
	_, err := kit.Gateway.CreateAddress(t.Context(), permanent("ann"))
	require.ErrorIs(t, err, bursar.ErrUnknownOutcome)
	row, err := kit.Gateway.CreateAddress(t.Context(), permanent("ann"))
	require.NoError(t, err)
	require.Equal(t, []chain.Address{row.Address}, dumpOf(t, kit.Store).issued())
}

// TestDepositsToAPermanentAddress: S20.
func TestDepositsToAPermanentAddress(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	a, err := kit.Gateway.CreateAddress(t.Context(), permanent("ann"))
	require.NoError(t, err)
	kit.Chain.Pay("payer", a.Address, kit.USDC, chain.NewAmount(3_000_000))
	kit.Mine(1)
	kit.Chain.Pay("payer", a.Address, kit.ETH, chain.NewAmount(5))
	kit.Confirm()
	customer := func(asset chain.Asset) string { return kit.Balance(asset, "customer:ann").String() }
	require.Equal(t, "-3000000", customer(kit.USDC))
	require.Equal(t, "-5", customer(kit.ETH))
	events := kit.Events(a.ID)
	require.Equal(t, []bursar.Kind{
		bursar.TransactionDetected, bursar.TransactionDetected, bursar.TransactionConfirmed, bursar.TransactionConfirmed,
	}, kit.Kinds(a.ID))
	for i, e := range events {
		require.EqualValues(t, i+1, e.Seq)
		require.Equal(t, a.ID, e.Subject)
		require.Equal(t, a.ID, e.Data.AddressID)
		require.Equal(t, "ann", e.Data.Customer)
		require.Equal(t, map[string]string{"tier": "gold"}, e.Data.Metadata)
		require.Empty(t, e.Data.PaymentID)
		require.NotNil(t, e.Data.Transaction)
	}
	page, err := kit.Gateway.Transactions(t.Context(), bursar.TransactionFilter{AddressID: a.ID}, 0, "")
	require.NoError(t, err)
	require.Len(t, page.Items, 2)
	for _, tx := range page.Items {
		require.Equal(t, "ann", tx.Customer)
		require.True(t, tx.Counting)
	}
	require.Empty(t, dumpOf(t, kit.Store).Payments)
	// It does not expire.
	kit.AdvanceTime(400 * 24 * time.Hour)
	kit.Chain.Pay("payer", a.Address, kit.USDC, chain.NewAmount(1))
	kit.Confirm()
	require.Equal(t, "-3000001", customer(kit.USDC))
}

func TestDepositOrphanedAfterConfirmed(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	a, err := kit.Gateway.CreateAddress(t.Context(), permanent("ann"))
	require.NoError(t, err)
	kit.Chain.Pay("payer", a.Address, kit.USDC, chain.NewAmount(7))
	kit.Confirm()
	require.Equal(t, "-7", kit.Balance(kit.USDC, "customer:ann").String())
	kit.Reorg(3, chaintest.ReorgOptions{DropAll: true})
	require.Equal(t, "0", kit.Balance(kit.USDC, "customer:ann").String())
	kinds := kit.Kinds(a.ID)
	require.Equal(t, bursar.TransactionOrphaned, kinds[len(kinds)-1])
	require.NotEmpty(t, kit.Gateway.Health(t.Context()).Chains[0].Halted, "a reorg as deep as the confirmations")
}
