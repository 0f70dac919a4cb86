package sqlite_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/store/sqlite"
)

// nasty are texts that mean something somewhere between here and the file.
func nasty() []string {
	return []string{
		`'`, `"`, "''", `' OR '1'='1`, `'); DROP TABLE bursar_payments; --`, "`", `\`, `\u0000`, "%", "_", "*", "?", "?1", "$1", ":a", "@a",
		`{"a":1}`, `["a"]`, `$.a`, `"a"`, "null", "true", "0", "-1", "1e9", "a\nb", "\t", "é", "e\u0301", "🪙", "\u202e", "\uffff", "\U0010ffff",
		"--", "/*", " ", "a ", "A", "a", "x'00'", "\x01", "\x7f", strings.Repeat("a", 5000), "]", "}", "<&>", "\u2028",
	}
}

// G12: text is data, in every field and every filter.
func TestThreat_G12_TextIsData(t *testing.T) {
	s := openAt(t, fileIn(t))
	var b bursar.Batch
	for _, text := range nasty() {
		row := sale(text)
		row.Payments[0].Customer = text
		row.Payments[0].Metadata = map[string]string{text: text, "same": text}
		row.Payments[0].FailureReason = text
		b.Payments = append(b.Payments, row.Payments...)
		b.Events = append(b.Events, row.Events...)
	}
	require.NoError(t, put(t.Context(), s, b))
	require.NoError(t, s.Read(t.Context(), func(r bursar.Reader) error {
		for i, text := range nasty() {
			want := b.Payments[i]
			want.Version = 1
			other := nasty()[(i+1)%len(nasty())]
			for name, q := range map[string]bursar.PaymentQuery{
				"id":       {IDs: []string{"pay_" + text}},
				"ids":      {IDs: []string{"pay_" + text, "none", `"`}},
				"key":      {IdempotencyKeys: []string{"key_" + text}},
				"address":  {Addresses: []chain.Address{chain.Address("0x" + text), "'"}},
				"customer": {Customer: text},
				"metadata": {Metadata: map[string]string{text: text}},
				"pairs":    {Metadata: map[string]string{text: text, "same": text}},
			} {
				got, err := r.Payments(t.Context(), q)
				require.NoError(t, err, "%s %q", name, text)
				require.Equal(t, []bursar.Payment{want}, got, "%s %q", name, text)
			}
			got, err := r.Payments(t.Context(), bursar.PaymentQuery{Metadata: map[string]string{text: other}})
			require.NoError(t, err)
			require.Empty(t, got, "%q", text)
			events, err := r.Events(t.Context(), bursar.EventQuery{Subject: "pay_" + text})
			require.NoError(t, err)
			require.Len(t, events, 1)
		}
		return nil
	}))
	require.EqualValues(t, len(nasty()), number(t, s.DB(), "SELECT count(*) FROM bursar_payments"))
}

// G12: names of pools and leases are data too.
func TestThreat_G12_NamesAreData(t *testing.T) {
	s := openAt(t, fileIn(t))
	for _, text := range nasty() {
		for n := range uint32(2) {
			first, err := s.Reserve(t.Context(), text, 1)
			require.NoError(t, err)
			require.Equal(t, n, first)
		}
		f, err := s.Acquire(t.Context(), text, text, time.Hour)
		require.NoError(t, err)
		_, err = s.Acquire(t.Context(), text, text+"'", time.Hour)
		require.ErrorIs(t, err, bursar.ErrLeaseHeld)
		require.NoError(t, put(t.Context(), s, bursar.Batch{Fences: []bursar.Fence{f}}))
	}
	require.Len(t, poolsOf(t, s), len(nasty()))
}

// catalogue are payments to ask for, the same in every store.
func catalogue() (b bursar.Batch) {
	texts := []string{"", "a", "A", "'", "\"", "é", "🪙", "%", "a b"}
	for i := range 40 {
		row := sale(texts[i%len(texts)] + string(rune('a'+i))).Payments[0]
		row.Status = []bursar.Status{bursar.StatusPending, bursar.StatusDetected, bursar.StatusSettled}[i%3]
		row.Customer = texts[i%len(texts)]
		row.Metadata = map[string]string{"k": texts[(i+1)%len(texts)], texts[i%4]: "v"}
		row.CreatedAt = day.Add(time.Duration(i/3) * time.Microsecond)
		if i%4 > 0 {
			row.Deadline = day.Add(time.Duration(i) * time.Microsecond)
		}
		if i%5 == 0 {
			row.Asset.ID = "eip155:10/slip44:60"
		}
		b.Payments = append(b.Payments, row)
	}
	return b
}

// FuzzPaymentQuery: whatever is asked, the database answers as the memory store.
func FuzzPaymentQuery(f *testing.F) {
	ctx := context.Background()
	lite, err := sqlite.Open(ctx, fileIn(f))
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, lite.Close()) })
	model := memory.New()
	require.NoError(f, put(ctx, lite, catalogue()))
	require.NoError(f, put(ctx, model, catalogue()))
	f.Add("", "", "", "", "", uint16(0), int64(0), int64(0), int64(0), int64(0), 0)
	f.Add("pay_a", "a", "k", "'", "pay_'d", uint16(0xffff), int64(1), int64(5000), int64(12), int64(3000), 7)
	f.Add("pay_🪙g", "🪙", "", "v", "", uint16(0x1ff), int64(-500), int64(3500), int64(1), int64(0), -1)
	f.Add("", "", "", "", "", uint16(0x30), int64(500), int64(3500), int64(0), int64(0), 0)
	f.Add("", "", "", "", "", uint16(0x40), int64(0), int64(0), int64(7), int64(0), 0)
	f.Fuzz(func(t *testing.T, id, customer, name, value, after string, parts uint16, since, until, due, at int64, limit int) {
		moment := func(n int64) time.Time { return day.Add(time.Duration(n % 100_000)) } // of nanoseconds
		has := func(bit int) bool { return parts>>bit&1 == 1 }
		q := bursar.PaymentQuery{Limit: limit % 50}
		if has(0) {
			q.IDs = []string{id, "pay_a", "pay_'d"}
		}
		if has(1) {
			q.Customer = customer
		}
		if has(2) {
			q.Metadata = map[string]string{name: value}
		}
		if has(3) {
			q.Statuses = []bursar.Status{bursar.StatusPending, bursar.Status(value)}
		}
		if has(4) {
			q.Since = moment(since)
		}
		if has(5) {
			q.Until = moment(until)
		}
		if has(6) {
			q.DueBy, q.DueChain = moment(due*1000), chain.ID(customer)
		}
		if has(7) {
			q.After = bursar.Cursor{At: moment(at).Truncate(time.Microsecond), ID: after}
		}
		if has(8) {
			q.Assets = []chain.AssetID{ether, chain.AssetID(name)}
		}
		if has(9) {
			q.IdempotencyKeys = []string{"key_" + id}
		}
		got, err := ask(lite, q)
		if err != nil {
			// What no database can hold cannot be asked for.
			var wrong *bursar.FieldError
			require.ErrorAs(t, err, &wrong)
			return
		}
		want, err := ask(model, q)
		require.NoError(t, err)
		require.Equal(t, want, got, "%+v", q)
	})
}

func ask(s bursar.Store, q bursar.PaymentQuery) (rows []bursar.Payment, err error) {
	ctx := context.Background()
	err = s.Read(ctx, func(r bursar.Reader) (err error) {
		rows, err = r.Payments(ctx, q)
		return err
	})
	if len(rows) == 0 {
		rows = nil
	}
	return rows, err
}
