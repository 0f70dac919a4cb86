package bursar_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/storetest"
)

func ids[T any](rows []T, id func(T) string) (out []string) {
	for _, r := range rows {
		out = append(out, id(r))
	}
	return out
}

func paymentID(p bursar.Payment) string           { return p.ID }
func transactionIDOf(t bursar.Transaction) string { return t.ID }

func TestPaymentFiltersOneByOne(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	a := kit.Request(bursar.PaymentRequest{Asset: "local/USDC", Amount: amount("1"), Customer: "ann", IdempotencyKey: "ka", Metadata: map[string]string{"order": "1", "shop": "x"}})
	kit.Mine(1)
	b := kit.Request(bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1"), Customer: "bob", Metadata: map[string]string{"order": "2", "shop": "x"}})
	kit.Mine(1)
	c := kit.Request(bursar.PaymentRequest{Asset: "local/USDC", Amount: amount("2"), Customer: "ann", TTL: time.Hour})
	cancelled(kit, c)
	for name, tc := range map[string]struct {
		filter bursar.PaymentFilter
		want   []string
	}{
		"none":                  {bursar.PaymentFilter{}, []string{c.ID, b.ID, a.ID}},
		"key":                   {bursar.PaymentFilter{IdempotencyKey: "ka"}, []string{a.ID}},
		"unknown key":           {bursar.PaymentFilter{IdempotencyKey: "kb"}, nil},
		"address":               {bursar.PaymentFilter{Address: b.Address}, []string{b.ID}},
		"address without case":  {bursar.PaymentFilter{Address: chain.Address("0x" + strings.ToLower(string(b.Address[2:])))}, []string{b.ID}},
		"no address":            {bursar.PaymentFilter{Address: "nonsense"}, nil},
		"pending":               {bursar.PaymentFilter{Status: bursar.StatusPending}, []string{b.ID, a.ID}},
		"canceled":              {bursar.PaymentFilter{Status: bursar.StatusCanceled}, []string{c.ID}},
		"alias":                 {bursar.PaymentFilter{Asset: "local/USDC"}, []string{c.ID, a.ID}},
		"asset id":              {bursar.PaymentFilter{Asset: string(kit.ETH.ID)}, []string{b.ID}},
		"id not configured":     {bursar.PaymentFilter{Asset: "eip155:1/slip44:60"}, nil},
		"customer":              {bursar.PaymentFilter{Customer: "ann"}, []string{c.ID, a.ID}},
		"metadata":              {bursar.PaymentFilter{Metadata: map[string]string{"shop": "x"}}, []string{b.ID, a.ID}},
		"metadata, both":        {bursar.PaymentFilter{Metadata: map[string]string{"shop": "x", "order": "2"}}, []string{b.ID}},
		"since":                 {bursar.PaymentFilter{Since: b.CreatedAt}, []string{c.ID, b.ID}},
		"until":                 {bursar.PaymentFilter{Until: b.CreatedAt}, []string{a.ID}},
		"an instant is nothing": {bursar.PaymentFilter{Since: b.CreatedAt, Until: b.CreatedAt}, nil},
		"all hold":              {bursar.PaymentFilter{Customer: "ann", Status: bursar.StatusPending}, []string{a.ID}},
	} {
		page, err := kit.Gateway.Payments(t.Context(), tc.filter, 0, "")
		require.NoError(t, err, name)
		require.Equal(t, tc.want, ids(page.Items, paymentID), name)
		require.Empty(t, page.Next, name)
	}
	for field, tc := range map[string]struct {
		filter bursar.PaymentFilter
		code   bursar.Code
	}{
		"Status": {bursar.PaymentFilter{Status: "paid"}, bursar.CodeInvalid},
		"Asset":  {bursar.PaymentFilter{Asset: "local/DOGE"}, bursar.CodeUnknown},
		"Until":  {bursar.PaymentFilter{Since: b.CreatedAt, Until: a.CreatedAt}, bursar.CodeOutOfRange},
	} {
		_, err := kit.Gateway.Payments(t.Context(), tc.filter, 0, "")
		isField(t, err, "PaymentFilter."+field, tc.code)
		for p, err := range kit.Gateway.AllPayments(t.Context(), tc.filter) {
			require.Equal(t, bursar.Payment{}, p)
			isField(t, err, "PaymentFilter."+field, tc.code)
		}
	}
}

func TestTransactionFiltersOneByOne(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	p, q := kit.Create("USDC", "5"), kit.Create("ETH", "1")
	kit.Pay(p)
	kit.Mine(1)
	hash := kit.Pay(q)
	kit.Settle()
	r := kit.Create("USDC", "9")
	kit.Pay(r)
	kit.Mine(1)
	all, err := kit.Gateway.Transactions(t.Context(), bursar.TransactionFilter{}, bursar.MaxPage, "")
	require.NoError(t, err)
	for i := 1; i < len(all.Items); i++ {
		require.False(t, all.Items[i].CreatedAt.After(all.Items[i-1].CreatedAt), "newest first")
	}
	at := kit.Transactions(q)[0].CreatedAt
	lowered := chain.Address("0x" + strings.ToLower(string(q.Address[2:])))
	for name, tc := range map[string]struct {
		filter bursar.TransactionFilter
		keep   func(bursar.Transaction) bool
	}{
		"payment":   {bursar.TransactionFilter{PaymentID: p.ID}, func(x bursar.Transaction) bool { return x.PaymentID == p.ID }},
		"address":   {bursar.TransactionFilter{AddressID: q.AddressID}, func(x bursar.Transaction) bool { return x.AddressID == q.AddressID }},
		"chain":     {bursar.TransactionFilter{Chain: local}, func(x bursar.Transaction) bool { return true }},
		"no chain":  {bursar.TransactionFilter{Chain: "eip155:5"}, func(x bursar.Transaction) bool { return false }},
		"alias":     {bursar.TransactionFilter{Asset: "local/USDC"}, func(x bursar.Transaction) bool { return x.Asset == kit.USDC.ID }},
		"asset":     {bursar.TransactionFilter{Asset: string(kit.ETH.ID)}, func(x bursar.Transaction) bool { return x.Asset == kit.ETH.ID }},
		"incoming":  {bursar.TransactionFilter{Type: bursar.TypeIncoming}, func(x bursar.Transaction) bool { return x.Type == bursar.TypeIncoming }},
		"internal":  {bursar.TransactionFilter{Type: bursar.TypeInternal}, func(x bursar.Transaction) bool { return x.Type == bursar.TypeInternal }},
		"outgoing":  {bursar.TransactionFilter{Type: bursar.TypeOutgoing}, func(x bursar.Transaction) bool { return false }},
		"confirmed": {bursar.TransactionFilter{Status: bursar.TxConfirmed}, func(x bursar.Transaction) bool { return x.Status == bursar.TxConfirmed }},
		"young":     {bursar.TransactionFilter{Status: bursar.TxConfirming}, func(x bursar.Transaction) bool { return x.PaymentID == r.ID }},
		"from":      {bursar.TransactionFilter{From: q.Address}, func(x bursar.Transaction) bool { return x.From == q.Address }},
		"to":        {bursar.TransactionFilter{To: lowered}, func(x bursar.Transaction) bool { return x.To == q.Address }},
		"treasury":  {bursar.TransactionFilter{To: kit.Treasury}, func(x bursar.Transaction) bool { return x.To == kit.Treasury }},
		"hash":      {bursar.TransactionFilter{Hash: hash}, func(x bursar.Transaction) bool { return x.Transfer.Tx == hash }},
		"since":     {bursar.TransactionFilter{Since: at}, func(x bursar.Transaction) bool { return !x.CreatedAt.Before(at) }},
		"until":     {bursar.TransactionFilter{Until: at}, func(x bursar.Transaction) bool { return x.CreatedAt.Before(at) }},
	} {
		var want []string
		for _, x := range all.Items {
			if tc.keep(x) {
				want = append(want, x.ID)
			}
		}
		page, err := kit.Gateway.Transactions(t.Context(), tc.filter, bursar.MaxPage, "")
		require.NoError(t, err, name)
		require.Equal(t, want, ids(page.Items, transactionIDOf), name)
		if name != "no chain" && name != "outgoing" {
			require.NotEmpty(t, want, name)
		}
		var walked []string
		for x, err := range kit.Gateway.AllTransactions(t.Context(), tc.filter) {
			require.NoError(t, err)
			walked = append(walked, x.ID)
		}
		require.Equal(t, want, walked, name)
	}
	for field, tc := range map[string]struct {
		filter bursar.TransactionFilter
		code   bursar.Code
	}{
		"Type":   {bursar.TransactionFilter{Type: "in"}, bursar.CodeInvalid},
		"Status": {bursar.TransactionFilter{Status: "ok"}, bursar.CodeInvalid},
		"Chain":  {bursar.TransactionFilter{Chain: "Ethereum"}, bursar.CodeInvalid},
		"Asset":  {bursar.TransactionFilter{Asset: "x"}, bursar.CodeUnknown},
		"Until":  {bursar.TransactionFilter{Since: at, Until: at.Add(-1)}, bursar.CodeOutOfRange},
	} {
		_, err := kit.Gateway.Transactions(t.Context(), tc.filter, 0, "")
		isField(t, err, "TransactionFilter."+field, tc.code)
	}
	one, err := kit.Gateway.Transaction(t.Context(), all.Items[0].ID)
	require.NoError(t, err)
	require.Equal(t, all.Items[0], one)
	_, err = kit.Gateway.Transaction(t.Context(), "tx_0")
	require.ErrorIs(t, err, bursar.ErrNotFound)
}

func TestThreat_G19_PagesStandStillWhileRowsAppear(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	var want []string
	for range 45 { // several share one creation time
		want = append(want, kit.Create("ETH", "1").ID)
		if len(want)%10 == 0 {
			kit.Chain.AdvanceTime(time.Second)
		}
	}
	slices.Reverse(want)
	var got []string
	cursor := ""
	for pages := 1; ; pages++ {
		page, err := kit.Gateway.Payments(t.Context(), bursar.PaymentFilter{}, 10, cursor)
		require.NoError(t, err)
		got = append(got, ids(page.Items, paymentID)...)
		kit.Chain.AdvanceTime(time.Second)
		kit.Create("ETH", "1")
		if cursor = page.Next; cursor == "" {
			require.Equal(t, 5, pages)
			break
		}
		require.Len(t, page.Items, 10)
	}
	slices.Sort(got)
	slices.Sort(want)
	require.Equal(t, want, got, "each once, none twice, nothing new")
}

func TestThreat_G19_LimitsAndCursors(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	for range 101 {
		kit.Create("ETH", "1")
	}
	for limit, want := range map[int]int{0: 20, 1: 1, 100: 100} {
		page, err := kit.Gateway.Payments(t.Context(), bursar.PaymentFilter{}, limit, "")
		require.NoError(t, err)
		require.Len(t, page.Items, want)
		require.NotEmpty(t, page.Next)
	}
	for _, limit := range []int{-1, 101, 1 << 62, -1 << 63} {
		_, err := kit.Gateway.Payments(t.Context(), bursar.PaymentFilter{}, limit, "")
		isField(t, err, "Limit", bursar.CodeOutOfRange)
		_, err = kit.Gateway.Transactions(t.Context(), bursar.TransactionFilter{}, limit, "")
		isField(t, err, "Limit", bursar.CodeOutOfRange)
		_, err = kit.Gateway.Events(t.Context(), "x", 0, limit)
		isField(t, err, "Limit", bursar.CodeOutOfRange)
		_, err = kit.Gateway.Payouts(t.Context(), bursar.PayoutQuery{Limit: limit})
		isField(t, err, "Limit", bursar.CodeOutOfRange)
	}
	for _, cursor := range []string{"x", "====", "MSA", "bm90IGEgbnVtYmVyIGlk", "IA", strings.Repeat("A", 300), "99999999999999999999 id"} {
		_, err := kit.Gateway.Payments(t.Context(), bursar.PaymentFilter{}, 0, cursor)
		isField(t, err, "Cursor", bursar.CodeInvalid)
		_, err = kit.Gateway.Transactions(t.Context(), bursar.TransactionFilter{}, 0, cursor)
		isField(t, err, "Cursor", bursar.CodeInvalid)
	}
}

func TestIteratorsStop(t *testing.T) {
	down := false
	kit := newKit(t, bursartest.Options{Store: func(now func() time.Time) bursar.Store {
		return storetest.Faulty(memory.NewWith(memory.Options{Now: now}), func(p storetest.Point) storetest.Fault {
			if down && p.Op == storetest.OpRead {
				return storetest.FailBefore
			}
			return storetest.Pass
		})
	}})
	for range 150 {
		kit.Create("ETH", "1")
	}
	n := 0
	for _, err := range kit.Gateway.AllPayments(t.Context(), bursar.PaymentFilter{}) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 150, n)
	n = 0
	for range kit.Gateway.AllPayments(t.Context(), bursar.PaymentFilter{}) {
		if n++; n == 3 {
			break
		}
	}
	require.Equal(t, 3, n)
	n = 0
	var last error
	for _, err := range kit.Gateway.AllPayments(t.Context(), bursar.PaymentFilter{}) {
		require.NoError(t, last, "nothing comes after an error")
		last = err
		n++
		down = n == 100
	}
	require.ErrorIs(t, last, storetest.ErrInjected)
	require.Equal(t, 101, n)
}

func TestConfirmationsAreThoseOfTheNewestBlock(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	p := kit.Create("USDC", "10")
	read := func() []uint64 {
		page, err := kit.Gateway.Payments(t.Context(), bursar.PaymentFilter{Customer: ""}, 0, "")
		require.NoError(t, err)
		return []uint64{kit.Payment(p).Confirmations, page.Items[0].Confirmations}
	}
	require.Equal(t, []uint64{0, 0}, read())
	kit.PayAmount(p, "4")
	for i := range 2 {
		kit.Mine(1)
		require.Equal(t, []uint64{uint64(i + 1), uint64(i + 1)}, read())
	}
	kit.PayAmount(p, "6") // the least deep one counts
	kit.Mine(1)
	require.Equal(t, []uint64{1, 1}, read())
	kit.Mine(5)
	require.Equal(t, []uint64{3, 3}, read(), "at most what is required")
}

func TestBalancesOfAnAddress(t *testing.T) {
	kit := newKit(t, bursartest.Options{Edit: func(c *bursar.Config) { c.Chains[0].Sweep = bursar.SweepOff }})
	p := kit.Create("USDC", "10")
	kit.Pay(p)
	kit.Confirm()
	kit.PayAmount(p, "1")
	kit.PayAsset(p, kit.ETH, "0.5")
	kit.Mine(1)
	read := func(form string) map[chain.AssetID][3]string {
		rows, err := kit.Gateway.Balances(t.Context(), chain.Address(form))
		require.NoError(t, err)
		out := map[chain.AssetID][3]string{}
		for i, b := range rows {
			require.True(t, i == 0 || rows[i-1].Asset < b.Asset, "in the order of assets")
			out[b.Asset] = [3]string{b.Unconfirmed.String(), b.Confirmed.String(), b.Final.String()}
		}
		return out
	}
	const half = "500000000000000000"
	want := map[chain.AssetID][3]string{kit.USDC.ID: {"1000000", "10000000", "0"}, kit.ETH.ID: {half, "0", "0"}}
	require.Equal(t, want, read(string(p.Address)))
	require.Equal(t, want, read("0x"+strings.ToLower(string(p.Address[2:]))))
	require.Equal(t, want, read(p.AddressID))
	kit.Mine(2)
	require.Equal(t, map[chain.AssetID][3]string{kit.USDC.ID: {"0", "11000000", "10000000"}, kit.ETH.ID: {"0", half, "0"}}, read(p.AddressID))
	kit.Mine(6)
	require.Equal(t, map[chain.AssetID][3]string{kit.USDC.ID: {"0", "11000000", "11000000"}, kit.ETH.ID: {"0", half, half}}, read(p.AddressID))
	for _, bad := range []chain.Address{"", "x", "addr_", kit.Treasury} {
		_, err := kit.Gateway.Balances(t.Context(), bad)
		require.ErrorIs(t, err, bursar.ErrNotFound)
		_, err = kit.Gateway.Address(t.Context(), string(bad))
		require.ErrorIs(t, err, bursar.ErrNotFound)
	}
}

func TestEventsAndPayoutsOfASubject(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	p := kit.Create("USDC", "10")
	kit.Pay(p)
	kit.Settle()
	all, err := kit.Gateway.Events(t.Context(), p.ID, 0, 0)
	require.NoError(t, err)
	require.Equal(t, kit.Events(p.ID), all, "what was told is what is kept")
	rest, err := kit.Gateway.Events(t.Context(), p.ID, 2, 2)
	require.NoError(t, err)
	require.Equal(t, all[2:4], rest)
	none, err := kit.Gateway.Events(t.Context(), p.ID, 1<<62, 0)
	require.NoError(t, err)
	require.Empty(t, none)
	_, err = kit.Gateway.Events(t.Context(), "", 0, 0)
	isField(t, err, "Events.Subject", bursar.CodeRequired)

	rows, err := kit.Gateway.Payouts(t.Context(), bursar.PayoutQuery{Kinds: []bursar.PayoutKind{bursar.PayoutSweep}})
	require.NoError(t, err)
	require.Len(t, rows, 1)
	one, attempts, err := kit.Gateway.Payout(t.Context(), rows[0].ID)
	require.NoError(t, err)
	require.Equal(t, rows[0], one)
	require.NotEmpty(t, attempts)
	_, err = kit.Gateway.Payouts(t.Context(), bursar.PayoutQuery{Kinds: []bursar.PayoutKind{"sweep", ""}})
	isField(t, err, "PayoutQuery.Kinds", bursar.CodeInvalid)
	_, err = kit.Gateway.Payouts(t.Context(), bursar.PayoutQuery{Statuses: []bursar.PayoutStatus{"done"}})
	isField(t, err, "PayoutQuery.Statuses", bursar.CodeInvalid)
	_, _, err = kit.Gateway.Payout(t.Context(), "po_x")
	require.ErrorIs(t, err, bursar.ErrNotFound)
}

// TestReadingNeedsNoStart: queries work before Start and after Stop.
func TestReadingNeedsNoStart(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	p := kit.Create("ETH", "1")
	require.NoError(t, kit.Gateway.Stop(t.Context()))
	require.Equal(t, p, kit.Payment(p))
	_, err := kit.Gateway.CancelPayment(t.Context(), p.ID)
	require.ErrorIs(t, err, bursar.ErrStopped)
	require.NoError(t, kit.Store.Close())
	_, err = kit.Gateway.Payment(context.Background(), p.ID)
	require.True(t, errors.Is(err, bursar.ErrStoreClosed))
}
