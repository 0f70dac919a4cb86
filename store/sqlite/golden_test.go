package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/sqlite"
)

// The golden databases are files as releases wrote them, one for each schema, with
// a row in every table. They are never written again. To add the one of a new
// schema, once, before it is released:
//
//	BURSAR_GOLDEN=1 go test -run TestThreat_G20 ./store/sqlite
//
// and commit testdata/schema_<n>.db. A field that came after an older schema is
// listed in laterFields, since files of that schema have its zero value.
const goldenEnv = "BURSAR_GOLDEN"

// laterFields are the fields that a schema did not have yet.
func laterFields(schema int) []string {
	return map[int][]string{1: {}}[schema]
}

// goldenRows has a row for every table, with every field set to what follows from
// its name.
func goldenRows() bursar.Batch {
	var b bursar.Batch
	v := reflect.ValueOf(&b).Elem()
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "Fences" {
			list := reflect.MakeSlice(v.Field(i).Type(), 1, 1)
			set(list.Index(0), name)
			v.Field(i).Set(list)
		}
	}
	b.Payments[0].Version, b.Transactions[0].Version, b.Addresses[0].Version, b.Payouts[0].Version = 0, 0, 0, 0
	b.Attempts[0].Version, b.Deliveries[0].Version, b.Chains[0].Version, b.Endpoints[0].Version = 0, 0, 0, 0
	b.Events[0].Seq = 1
	b.Entries[0].Reverses = ""
	undo := b.Entries[0]
	undo.ID, undo.Reverses, undo.Debit, undo.Credit = "undo", undo.ID, undo.Credit, undo.Debit
	other := b.Entries[0]
	other.ID = "other"
	b.Entries = append(b.Entries, undo, other)
	return b
}

// set gives a value a content that follows from its path.
func set(v reflect.Value, path string) {
	n := uint64(crc32.ChecksumIEEE([]byte(path))%200 + 1)
	switch v.Interface().(type) {
	case chain.Amount:
		v.Set(reflect.ValueOf(chain.NewAmount(n << 40)))
		return
	case time.Time:
		v.Set(reflect.ValueOf(day.Add(time.Duration(n) * time.Minute)))
		return
	case chain.AssetID:
		v.SetString(string(ether))
		return
	case chain.ID:
		v.SetString(string(ether.Chain()))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("text of " + path)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(n))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(n)
	case reflect.Struct:
		for i := range v.NumField() {
			set(v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		set(v.Elem(), path)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			set(v.Index(i), fmt.Sprint(path, i))
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"key": path}))
	}
}

// forget takes a field out of the rows that are expected.
func forget(b *bursar.Batch, table, field string) {
	list := reflect.ValueOf(b).Elem().FieldByName(table)
	for i := range list.Len() {
		list.Index(i).FieldByName(field).SetZero()
	}
}

// all reads every row of a store, by the API.
func all(t *testing.T, s bursar.Store) (b bursar.Batch) {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, s.Read(ctx, func(r bursar.Reader) (err error) {
		read := func(e error) { require.NoError(t, e) }
		b.Payments, err = r.Payments(ctx, bursar.PaymentQuery{})
		read(err)
		b.Transactions, err = r.Transactions(ctx, bursar.TransactionQuery{})
		read(err)
		b.Addresses, err = r.Addresses(ctx, bursar.AddressQuery{})
		read(err)
		b.Payouts, err = r.Payouts(ctx, bursar.PayoutQuery{})
		read(err)
		b.Attempts, err = r.Attempts(ctx, bursar.AttemptQuery{Locks: []chain.Lock{"text of Attempts.Locks0"}})
		read(err)
		b.Deliveries, err = r.Deliveries(ctx, bursar.DeliveryQuery{})
		read(err)
		b.Entries, err = r.Entries(ctx, bursar.EntryQuery{})
		read(err)
		b.Events, err = r.Events(ctx, bursar.EventQuery{})
		read(err)
		b.Endpoints, err = r.Endpoints(ctx, bursar.EndpointQuery{})
		read(err)
		state, err := r.Chain(ctx, ether.Chain())
		b.Chains = []bursar.ChainState{state}
		return err
	}))
	return b
}

// makeGolden writes the golden database of the present schema, unless it is there.
func makeGolden(t *testing.T, path string) {
	t.Helper()
	ctx := t.Context()
	db, err := sql.Open("sqlite", "file:"+path)
	require.NoError(t, err)
	_, err = db.ExecContext(ctx, "PRAGMA page_size = 1024; VACUUM;") // a small file
	require.NoError(t, err)
	require.NoError(t, db.Close())
	s, err := sqlite.Open(ctx, path)
	require.NoError(t, err)
	require.NoError(t, put(ctx, s, goldenRows()))
	_, err = s.Reserve(ctx, "pool", 77)
	require.NoError(t, err)
	_, err = s.Acquire(ctx, "lease", "golden", -time.Second)
	require.NoError(t, err)
	require.NoError(t, s.Settle(ctx))
	require.NoError(t, s.Close())
	require.NoError(t, os.Remove(path+"-origin"))
}

// G20: databases of every schema that was released are opened, brought up to the
// present one, and have all their rows.
func TestThreat_G20_GoldenDatabases(t *testing.T) {
	steps, err := sqlite.Migrations()
	require.NoError(t, err)
	if os.Getenv(goldenEnv) != "" {
		path := filepath.Join("testdata", fmt.Sprintf("schema_%d.db", len(steps)))
		if _, err := os.Stat(path); os.IsNotExist(err) {
			makeGolden(t, path)
		}
	}
	for schema := 1; schema <= len(steps); schema++ {
		path := fileIn(t)
		copyFile(t, filepath.Join("testdata", fmt.Sprintf("schema_%d.db", schema)), path)
		s := openAt(t, path)
		want := goldenRows()
		for _, later := range laterFields(schema) {
			var table, field string
			_, err := fmt.Sscanf(later, "%s %s", &table, &field)
			require.NoError(t, err)
			forget(&want, table, field)
		}
		want.Payments[0].Version, want.Transactions[0].Version, want.Addresses[0].Version, want.Payouts[0].Version = 1, 1, 1, 1
		want.Attempts[0].Version, want.Deliveries[0].Version, want.Chains[0].Version, want.Endpoints[0].Version = 1, 1, 1, 1
		require.Equal(t, want, all(t, s), "schema %d", schema)

		// What is not rows is there too: reservations, epochs, sums, locks, the mark.
		first, err := s.Reserve(t.Context(), "pool", 1)
		require.NoError(t, err)
		require.EqualValues(t, 77, first)
		fence, err := s.Acquire(t.Context(), "lease", "test", time.Minute)
		require.NoError(t, err)
		require.EqualValues(t, 2, fence.Epoch)
		o, err := s.Origin(t.Context())
		require.NoError(t, err)
		require.NotEmpty(t, o.Written)
		require.Equal(t, "none", o.Here, "it is not where it was written")
		require.NoError(t, s.Read(t.Context(), func(r bursar.Reader) error {
			sums, err := r.Balances(t.Context(), bursar.BalanceQuery{})
			require.Len(t, sums, 2)
			require.Equal(t, want.Entries[0].Amount.Big(), sums[1].Sum)
			return err
		}))
		thief := want.Attempts[0]
		thief.ID, thief.PayoutID, thief.Version = "thief", "another", 0
		require.ErrorIs(t, put(t.Context(), s, bursar.Batch{Attempts: []bursar.Attempt{thief}}), bursar.ErrConflict, "its locks are held")
		next := want.Payments[0]
		next.Metadata = nil
		require.NoError(t, put(t.Context(), s, bursar.Batch{Payments: []bursar.Payment{next}}))
		for table := range tables() {
			n := number(t, s.DB(), "SELECT count(*) FROM bursar_"+table)
			require.Equal(t, n == 0, table == "payment_metadata", table)
		}
		sound(t, path)
	}
}

// tables are all of ours.
func tables() map[string]bool {
	out := map[string]bool{
		"attempt_locks": true, "locks": true, "balances": true, "leases": true, "facts": true, "payment_metadata": true, "migrations": true,
	}
	for table := range sqlite.Columns() {
		out[table] = true
	}
	return out
}

// The golden databases hold rows of every table that there is.
func TestGoldenTablesAreAll(t *testing.T) {
	s := openAt(t, fileIn(t))
	rows, err := s.DB().QueryContext(context.Background(), "SELECT substr(name, 8) FROM sqlite_schema WHERE type = 'table' AND name LIKE 'bursar_%'")
	require.NoError(t, err)
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		require.True(t, tables()[name], name)
	}
	require.NoError(t, rows.Err())
	require.NoError(t, rows.Close())
}
