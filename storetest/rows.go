package storetest

import (
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/stretchr/testify/require"
)

// rowChecks hold what is written and what is read to be the same.
func rowChecks() []check {
	return []check{
		{"every field of every row survives", everyField},
		{"the smallest rows survive", smallest},
		{"amounts up to 2^256-1 survive", amounts},
		{"times keep microseconds and zero stays zero", times},
		{"any UTF-8 text survives", text},
		{"given slices and maps are not kept", notKept},
		{"returned rows are the caller's own", callersOwn},
		{"a transaction of 2,000 rows a table is one commit", large},
		{"an update replaces the whole row", replace},
	}
}

// fullBatch has one row in every table with every field set.
func fullBatch(seed int) bursar.Batch {
	return bursar.Batch{
		Payments:     []bursar.Payment{full(seed, func(p *bursar.Payment) { p.Version = 0 })},
		Transactions: []bursar.Transaction{full(seed, func(x *bursar.Transaction) { x.Version = 0 })},
		Addresses:    []bursar.Address{full(seed, func(a *bursar.Address) { a.Version = 0 })},
		Payouts:      []bursar.Payout{full(seed, func(p *bursar.Payout) { p.Version = 0 })},
		Attempts:     []bursar.Attempt{full(seed, func(a *bursar.Attempt) { a.Version = 0 })},
		Deliveries:   []bursar.Delivery{full(seed, func(d *bursar.Delivery) { d.Version = 0 })},
		Chains:       []bursar.ChainState{full(seed, func(c *bursar.ChainState) { c.Version, c.Chain = 0, mainnet })},
		Endpoints:    []bursar.EndpointRow{full(seed, func(e *bursar.EndpointRow) { e.Version = 0 })},
		Entries:      []bursar.Entry{full(seed, func(e *bursar.Entry) { e.Reverses = "" })},
		Events:       []bursar.Event{full(seed, func(e *bursar.Event) { e.Seq = 1 })},
	}
}

// stored returns what the store holds after the batches were its first writes.
// Versions count one; sums are those of the entries.
func stored(batches ...bursar.Batch) state {
	m := newModel()
	for _, b := range batches {
		if err := m.apply(b); err != nil {
			panic(fmt.Sprintf("storetest: the model refuses a batch: %v", err))
		}
	}
	return m.state()
}

func everyField(k *kit) {
	batches := []bursar.Batch{fullBatch(1), with(fullBatch(2), []func(*bursar.Batch){func(b *bursar.Batch) {
		b.Chains[0].Chain = base
	}})}
	k.write(batches...)
	require.Empty(k, differ(stored(batches...), k.state()))
}

func smallest(k *kit) {
	b := bursar.Batch{
		Payments: []bursar.Payment{
			{ID: "p", Status: bursar.StatusPending, CreatedAt: t0}, {ID: "q", Status: bursar.StatusPending, CreatedAt: t0},
		},
		Transactions: []bursar.Transaction{{ID: "t", Type: bursar.TypeIncoming, Status: bursar.TxPending, CreatedAt: t0}},
		Addresses: []bursar.Address{
			{ID: "a", Role: bursar.RoleFloat, CreatedAt: t0}, {ID: "b", Role: bursar.RoleFloat, Index: 1, CreatedAt: t0},
		},
		Payouts: []bursar.Payout{
			{ID: "o", Kind: bursar.PayoutSweep, Status: bursar.PayoutPlanned, CreatedAt: t0},
			{ID: "x", Kind: bursar.PayoutSweep, Status: bursar.PayoutPlanned, CreatedAt: t0},
		},
		Attempts:   []bursar.Attempt{{ID: "n", CreatedAt: t0}},
		Deliveries: []bursar.Delivery{{EventID: "e", Endpoint: "h", Status: bursar.DeliveryPending}},
		Chains:     []bursar.ChainState{{Chain: mainnet}},
		Endpoints:  []bursar.EndpointRow{{ID: "w", Revision: 1, Status: bursar.EndpointRemoved}},
		Events:     []bursar.Event{{ID: "e", Subject: "s", Seq: 1}},
	}
	k.write(b)
	require.Empty(k, differ(stored(b), k.state()), "empty keys are no keys: rows may share them")
}

// huge returns 2^256-1 less n.
func huge(n int64) chain.Amount {
	top := new(big.Int).Lsh(big.NewInt(1), 256)
	a, err := chain.AmountFromBig(top.Sub(top, big.NewInt(n+1)))
	if err != nil {
		panic(err)
	}
	return a
}

func amounts(k *kit) {
	b := fullBatch(1)
	b.Payments[0].Amount, b.Payments[0].Excess = huge(0), huge(1)
	b.Transactions[0].Amount, b.Transactions[0].GasPrice = huge(2), huge(3)
	b.Payouts[0].Items[0].Amount = huge(4)
	b.Payouts[0].Approval.Amount = huge(5)
	b.Attempts[0].MaxFee = huge(6)
	b.Entries[0].Amount = huge(0)
	again := b.Entries[0]
	again.ID, again.Live = "again", ""
	b.Entries = append(b.Entries, again)
	k.write(b)
	require.Empty(k, differ(stored(b), k.state()), "sums go beyond 2^256")
}

func times(k *kit) {
	stamps := []time.Time{
		t0, t0.Add(time.Microsecond), time.Date(1970, 1, 1, 0, 0, 0, 1000, time.UTC),
		time.Date(2299, 12, 31, 23, 59, 59, 999999000, time.UTC), t0.In(time.FixedZone("", 5*3600+1800)),
	}
	for i, stamp := range stamps {
		k.write(bursar.Batch{Payments: []bursar.Payment{payment(fmt.Sprint(i), func(p *bursar.Payment) {
			p.CreatedAt, p.Deadline = stamp, stamp
		})}})
	}
	k.read(func(v view) {
		for i, stamp := range stamps {
			found := v.payments(bursar.PaymentQuery{IDs: []string{fmt.Sprint(i)}})
			require.Len(k, found, 1)
			require.True(k, found[0].CreatedAt.Equal(stamp), "want %v, got %v", stamp, found[0].CreatedAt)
			require.True(k, found[0].SettledAt.IsZero(), "a time that was not reached reads %v", found[0].SettledAt)
		}
	})
}

func text(k *kit) {
	metadata := map[string]string{
		"emoji": "👩‍👩‍👧‍👦 🏴‍☠️", "right to left": "שלום ‮مرحبا‬", "combining": "é e\u0301",
		"quotes": `"'` + "`" + `\\%_;--/*`, "white\tspace": " \t\r\n\u00a0\u2028 ", "long": strings.Repeat("ü", 250),
		"Case": "A", "case": "a", "json": `{"a":[1,null]}`, "empty": "",
	}
	for i := range 40 {
		metadata[fmt.Sprintf("k%02d", i)] = fmt.Sprint(i)
	}
	id := "pay_Ü'\"%_\\ 🙂"
	b := bursar.Batch{
		Payments:  []bursar.Payment{payment(id, func(p *bursar.Payment) { p.Metadata = metadata })},
		Addresses: []bursar.Address{address(id, 0, func(a *bursar.Address) { a.Metadata = metadata })},
		Events:    []bursar.Event{event("e", id, 1, func(e *bursar.Event) { e.Data.Metadata = metadata })},
	}
	k.write(b)
	require.Empty(k, differ(stored(b), k.state()))
	k.read(func(v view) {
		q := bursar.PaymentQuery{Metadata: map[string]string{"Case": "A", "emoji": metadata["emoji"]}}
		require.Len(k, v.payments(q), 1)
		q.Metadata["Case"] = "a"
		require.Empty(k, v.payments(q), "text is compared byte by byte")
	})
}

// scramble changes everything that a value shares with a store that kept it:
// all that lies behind a slice, a map or a pointer, fields added later
// included.
func scramble(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if _, ok := v.Interface().(*big.Int); !ok && !v.IsNil() {
			scramble(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				scramble(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			scramble(v.Index(i))
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			v.SetMapIndex(k, reflect.ValueOf("scrambled"))
		}
	case reflect.String:
		v.SetString("scrambled")
	case reflect.Uint8:
		v.SetUint(v.Uint() ^ 0xff)
	}
}

func notKept(k *kit) {
	given := fullBatch(1)
	require.NoError(k, k.s.Write(k.ctx, func(tx bursar.Tx) error {
		if err := tx.Apply(k.ctx, given); err != nil {
			return err
		}
		scramble(reflect.ValueOf(&given))
		return nil
	}))
	require.Empty(k, differ(stored(fullBatch(1)), k.state()), "changed between Apply and commit")
}

func callersOwn(k *kit) {
	k.write(fullBatch(1))
	got := k.state()
	scramble(reflect.ValueOf(&got))
	got.Balances[0].Sum.SetInt64(42)
	got.Pools = append(got.Pools, bursar.Pool{})
	require.Empty(k, differ(stored(fullBatch(1)), k.state()))
}

func large(k *kit) {
	const n = 2000
	var b bursar.Batch
	for i := range n {
		id := fmt.Sprintf("%05d", i)
		b.Payments = append(b.Payments, payment(id))
		b.Transactions = append(b.Transactions, transaction(id))
		b.Addresses = append(b.Addresses, address(id, uint32(i)))
		b.Payouts = append(b.Payouts, payout(id))
		b.Attempts = append(b.Attempts, attempt(id, id))
		b.Deliveries = append(b.Deliveries, delivery("e"+id, "hook", id, 1))
		b.Events = append(b.Events, event("e"+id, id, 1))
		b.Entries = append(b.Entries, entry(id))
	}
	k.write(b)
	require.Empty(k, differ(stored(b), k.state()))
}

func replace(k *kit) {
	k.write(fullBatch(1))
	b := bursar.Batch{
		Payments:  []bursar.Payment{{ID: fullBatch(1).Payments[0].ID, Version: 1, Status: bursar.StatusPending, CreatedAt: t0}},
		Payouts:   []bursar.Payout{{ID: fullBatch(1).Payouts[0].ID, Version: 1, Kind: bursar.PayoutSweep, Status: bursar.PayoutFailed, CreatedAt: t0}},
		Chains:    []bursar.ChainState{{Chain: mainnet, Version: 1}},
		Endpoints: []bursar.EndpointRow{{ID: fullBatch(1).Endpoints[0].ID, Version: 1, Revision: 1, Status: bursar.EndpointRemoved}},
	}
	k.write(b)
	require.Empty(k, differ(stored(fullBatch(1), b), k.state()), "fields that became empty are empty")
}
