package postgres_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/internal/pgtest"
)

// Golden databases. testdata/schema_<n>.sql is a database of the schema at
// migration n with rows in every table, as pg_dump wrote it when that schema was
// released, and schema_<n>.json is what the release of that day read from it. They
// never change: a database of that release must open with every later one, and
// hold the same.
//
// After a migration was added, and before its release, write the next pair:
//
//	go test -run TestThreat_G20 -golden
//
// It writes the pair of the newest migration alone, and leaves older ones as they
// are.
var golden = flag.Bool("golden", false, "write the golden database of the newest migration")

func TestThreat_G20_GoldenDatabases(t *testing.T) {
	if *golden {
		writeGolden(t)
	}
	files, err := filepath.Glob("testdata/schema_*.sql")
	require.NoError(t, err)
	require.Len(t, files, newest(t), "one for each migration")
	for n := range files {
		t.Run(fmt.Sprint("schema ", n+1), func(t *testing.T) {
			dsn := servers.Database(t, "")
			load(t, dsn, goldenFile(n+1, "sql"))
			require.Equal(t, strconv.Itoa(n+1), query(t, dsn, "SELECT max(version) FROM bursar.migrations")[0][0])
			s := open(t, dsn)
			columnsFit(t, dsn)
			var want, got any
			text, err := os.ReadFile(goldenFile(n+1, "json"))
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(text, &want))
			require.NoError(t, json.Unmarshal(marshal(t, contentOf(t, s)), &got))
			holds(t, "", want, got)

			// It is not only to be read.
			fence, err := s.Acquire(t.Context(), "golden", "new", time.Minute)
			require.NoError(t, err)
			require.EqualValues(t, 2, fence.Epoch)
			first, err := s.Reserve(t.Context(), "golden", 1)
			require.NoError(t, err)
			require.EqualValues(t, 5, first)
			o, err := s.Origin(t.Context())
			require.NoError(t, err)
			require.NotEmpty(t, o.Written)
			require.NotEqual(t, o.Here, o.Written, "a restored database is recognised")
			require.NoError(t, write(t.Context(), s, bursar.Batch{Entries: []bursar.Entry{entry("another", "")}, Events: []bursar.Event{event("another", 1)}}))
			require.ErrorIs(t, write(t.Context(), s, bursar.Batch{Entries: []bursar.Entry{entry("a credit twice", "golden live")}}), bursar.ErrConflict)
		})
	}
}

func goldenFile(n int, kind string) string { return fmt.Sprintf("testdata/schema_%d.%s", n, kind) }

// load runs a dump.
func load(t *testing.T, dsn, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	c, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer c.Close(t.Context())
	_, err = c.Exec(t.Context(), string(text))
	require.NoError(t, err)
}

// holds fails where something of old is not in new. What an old release did not
// know may be there.
func holds(t *testing.T, path string, old, now any) {
	t.Helper()
	switch old := old.(type) {
	case map[string]any:
		now, ok := now.(map[string]any)
		require.True(t, ok, path)
		for key := range old {
			holds(t, path+"."+key, old[key], now[key])
		}
	case []any:
		now, ok := now.([]any)
		require.True(t, ok, path)
		require.Len(t, now, len(old), path)
		for i := range old {
			holds(t, fmt.Sprintf("%s[%d]", path, i), old[i], now[i])
		}
	default:
		require.Equal(t, old, now, path)
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	require.NoError(t, err)
	return append(text, '\n')
}

// writeGolden makes the pair of the newest migration.
func writeGolden(t *testing.T) {
	t.Helper()
	dsn := servers.Database(t, "")
	s := open(t, dsn)
	require.NoError(t, write(t.Context(), s, goldenRows()))
	for _, step := range scenario() {
		require.NoError(t, step.in(t.Context(), s))
	}
	_, err := s.Reserve(t.Context(), "golden", 5)
	require.NoError(t, err)
	_, err = s.Acquire(t.Context(), "golden", "old", time.Nanosecond)
	require.NoError(t, err)
	require.NoError(t, s.Settle(t.Context()))
	for _, row := range query(t, dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'bursar'") {
		require.NotEqual(t, "0", query(t, dsn, "SELECT count(*) FROM bursar."+row[0])[0][0], "%s has no row", row[0])
	}
	bin, _, err := pgtest.FindServer(t.Context())
	require.NoError(t, err)
	dump := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_dump"), "--schema=bursar", "--inserts", "--no-owner", "--no-privileges", "--dbname="+dsn)
	text, err := dump.Output()
	require.NoError(t, err)
	var kept bytes.Buffer
	for line := range strings.Lines(string(text)) {
		// Commands of psql, settings that older servers do not know, and comments with
		// versions in them.
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, `\`) || strings.HasPrefix(line, "SET ") || strings.HasPrefix(line, "--") {
			continue
		}
		kept.WriteString(line)
	}
	require.NoError(t, os.MkdirAll("testdata", 0o750))
	require.NoError(t, os.WriteFile(goldenFile(newest(t), "sql"), kept.Bytes(), 0o600))
	require.NoError(t, os.WriteFile(goldenFile(newest(t), "json"), marshal(t, contentOf(t, s)), 0o600))
}

// goldenRows has a row of each type with a value in each field.
func goldenRows() bursar.Batch {
	n := uint64(0)
	b := bursar.Batch{
		Payments: make([]bursar.Payment, 1), Transactions: make([]bursar.Transaction, 1), Addresses: make([]bursar.Address, 1),
		Payouts: make([]bursar.Payout, 1), Attempts: make([]bursar.Attempt, 1), Deliveries: make([]bursar.Delivery, 1),
		Chains: make([]bursar.ChainState, 1), Entries: make([]bursar.Entry, 1), Events: make([]bursar.Event, 1),
		Endpoints: make([]bursar.EndpointRow, 1),
	}
	filled(reflect.ValueOf(&b.Payments[0]).Elem(), &n)
	filled(reflect.ValueOf(&b.Transactions[0]).Elem(), &n)
	filled(reflect.ValueOf(&b.Addresses[0]).Elem(), &n)
	filled(reflect.ValueOf(&b.Payouts[0]).Elem(), &n)
	filled(reflect.ValueOf(&b.Attempts[0]).Elem(), &n)
	filled(reflect.ValueOf(&b.Deliveries[0]).Elem(), &n)
	filled(reflect.ValueOf(&b.Chains[0]).Elem(), &n)
	filled(reflect.ValueOf(&b.Endpoints[0]).Elem(), &n)
	filled(reflect.ValueOf(&b.Entries[0]).Elem(), &n)
	filled(reflect.ValueOf(&b.Events[0]).Elem(), &n)
	b.Payments[0].Version, b.Transactions[0].Version, b.Addresses[0].Version, b.Payouts[0].Version = 0, 0, 0, 0
	b.Attempts[0].Version, b.Deliveries[0].Version, b.Chains[0].Version, b.Endpoints[0].Version = 0, 0, 0, 0
	b.Entries[0].Reverses, b.Entries[0].Live, b.Events[0].Seq = "", "golden live", 1
	b.Chains[0].Chain = mainnet
	return b
}

// filled puts a value of its own into every field.
func filled(v reflect.Value, n *uint64) {
	*n++
	switch v.Interface().(type) {
	case chain.Amount:
		v.Set(reflect.ValueOf(chain.NewAmount(*n)))
		return
	case time.Time:
		v.Set(reflect.ValueOf(t0.Add(time.Duration(*n) * time.Microsecond)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d ' \" \\ é €", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint64, reflect.Uint32, reflect.Uint8:
		v.SetUint(*n % 251)
	case reflect.Struct:
		for i := range v.NumField() {
			filled(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		filled(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		filled(v.Index(0), n)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"order": fmt.Sprint(*n)}))
	}
}
