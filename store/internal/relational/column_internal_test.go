package relational

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// plain is a dialect in which every value is what Go has.
func plain() *Dialect {
	return &Dialect{
		Table:       func(name string) string { return "t_" + name },
		Placeholder: func(n int) string { return fmt.Sprint("$", n) },
		Time:        func(t time.Time) any { return t.UnixMicro() },
		Moment: func() (any, func() time.Time) {
			v := new(*int64)
			return v, func() time.Time {
				if *v == nil {
					return time.Time{}
				}
				return time.UnixMicro(**v).UTC()
			}
		},
		OneOf: func(column, placeholder string) string { return column + " = ANY (" + placeholder + ")" },
		List:  func(values []string) any { return values },
		Read:  func(column string, _ bool) string { return column },
		Pairs: func(q *Query, pairs map[string]string) error { q.And("pairs " + q.Arg(len(pairs))); return nil },
	}
}

func TestSnake(t *testing.T) {
	for name, want := range map[string]string{
		"ID": "id", "AddressID": "address_id", "URI": "uri", "TTL": "ttl", "TxID": "tx_id", "IdempotencyKey": "idempotency_key",
		"ConfirmationNo": "confirmation_no", "HTTPServer": "http_server", "A": "a", "": "", "Amount": "amount", "MaxFee": "max_fee",
	} {
		require.Equal(t, want, snake(name), name)
	}
}

// rowTypes are the types of all rows.
func rowTypes() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[bursar.Payment](), reflect.TypeFor[bursar.Transaction](), reflect.TypeFor[bursar.Address](),
		reflect.TypeFor[bursar.Payout](), reflect.TypeFor[bursar.Attempt](), reflect.TypeFor[bursar.Entry](), reflect.TypeFor[bursar.Event](),
		reflect.TypeFor[bursar.Delivery](), reflect.TypeFor[bursar.ChainState](), reflect.TypeFor[bursar.Pool](),
	}
}

// Every field of every row has a column of its own, and every new name is of a
// field that there is.
func TestEveryFieldHasAColumn(t *testing.T) {
	renamed := names()
	for _, row := range rowTypes() {
		seen := map[string]bool{}
		fields := 0
		for _, f := range reflect.VisibleFields(row) {
			delete(renamed, row.Name()+"."+f.Name)
			switch f.Type {
			case reflect.TypeFor[chain.TransferID](), reflect.TypeFor[chain.KeyRef]():
				fields += f.Type.NumField()
				for _, inner := range reflect.VisibleFields(f.Type) {
					delete(renamed, row.Name()+"."+f.Name+"."+inner.Name)
				}
			default:
				fields++
			}
		}
		for _, c := range columnsOf(row) {
			require.False(t, seen[c.name], "%s.%s twice", row.Name(), c.name)
			seen[c.name] = true
			require.Equal(t, strings.ToLower(c.name), c.name)
		}
		require.Len(t, seen, fields, row.Name())
	}
	require.Empty(t, renamed, "names of no field")
}

// exotic fills a value with what is far from the ordinary.
func exotic(v reflect.Value, n *int) {
	*n++
	switch v.Interface().(type) {
	case chain.Amount:
		top, err := chain.ParseUnits("115792089237316195423570985008687907853269984665640564039457584007913129639935")
		if err != nil {
			panic(err)
		}
		v.Set(reflect.ValueOf(top))
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(1969, 12, 31, 23, 59, 59, *n*1000, time.UTC)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("'%d\"\\ü🪙\n", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(math.MaxInt64 - int64(*n))
	case reflect.Uint8, reflect.Uint32:
		v.SetUint(200)
	case reflect.Uint64:
		v.SetUint(math.MaxInt64 - uint64(*n))
	case reflect.Struct:
		for i := range v.NumField() {
			exotic(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		exotic(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		exotic(v.Index(0), n)
		exotic(v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"'": "\"", "": "🪙"}))
	}
}

// through writes a row to columns and reads them back, as a database would that
// changes nothing.
func through(t *testing.T, row reflect.Value) reflect.Value {
	t.Helper()
	d := plain()
	columns := columnsOf(row.Type())
	cells := newCells(d, columns)
	out := reflect.New(row.Type()).Elem()
	for i := range columns {
		value, err := columns[i].value(d, row)
		require.NoError(t, err, columns[i].name)
		require.NoError(t, scan(cells.dest[i], value), columns[i].name)
	}
	for i, put := range cells.put {
		require.NoError(t, put(out), columns[i].name)
	}
	return out
}

// scan puts a value where a database driver would.
func scan(dest, value any) error {
	d := reflect.ValueOf(dest).Elem()
	switch {
	case value == nil && d.Kind() == reflect.Pointer:
		d.SetZero()
	case value == nil:
		return errors.New("NULL where none can be")
	case d.Kind() == reflect.Pointer:
		p := reflect.New(d.Type().Elem())
		p.Elem().Set(reflect.ValueOf(value).Convert(d.Type().Elem()))
		d.Set(p)
	default:
		d.Set(reflect.ValueOf(value).Convert(d.Type()))
	}
	return nil
}

func TestRowsComeBackAsTheyWere(t *testing.T) {
	for _, typ := range rowTypes() {
		row := reflect.New(typ).Elem()
		require.Equal(t, row.Interface(), through(t, row).Interface(), "zero %s", typ)
		n := 0
		exotic(row, &n)
		require.Equal(t, row.Interface(), through(t, row).Interface(), "%s", typ)
	}
}

// What is written is the store's own: the caller may go on changing it.
func TestWrittenBytesAreCopied(t *testing.T) {
	a := bursar.Attempt{Raw: []byte{1, 2}}
	for _, c := range columnsOf(reflect.TypeFor[bursar.Attempt]()) {
		if c.kind == blob {
			v, err := c.value(plain(), reflect.ValueOf(a))
			require.NoError(t, err)
			a.Raw[0] = 9
			require.Equal(t, []byte{1, 2}, v)
		}
	}
}

// G19: a number that a column cannot hold is refused with its column's name, and
// is never another number.
func TestThreat_G19_NumbersThatDoNotFit(t *testing.T) {
	_, err := New(plain()).Ops(&bursar.Batch{Payments: []bursar.Payment{{Block: math.MaxInt64 + 1}}})
	require.ErrorIs(t, err, bursar.ErrInvariant)
	require.ErrorContains(t, err, "column block cannot hold 9223372036854775808")

	type narrow struct {
		Small uint8
		Int   int64
		Big   uint64
	}
	columns := columnsOf(reflect.TypeFor[narrow]())
	for i, cases := range []map[int64]bool{
		{0: true, 255: true, 256: false, -1: false, math.MaxInt64: false, math.MinInt64: false},
		{math.MaxInt64: true, math.MinInt64: true},
		{0: true, math.MaxInt64: true, -1: false},
	} {
		for n, ok := range cases {
			var row narrow
			err := columns[i].setInt(reflect.ValueOf(&row).Elem().Field(i), n)
			require.Equal(t, ok, err == nil, "%s %d", columns[i].name, n)
			if err != nil {
				require.ErrorIs(t, err, bursar.ErrInvariant)
				require.ErrorContains(t, err, columns[i].name)
			}
		}
	}
}

// rowsOf is a result with rows of texts and numbers, which scans as drivers do.
type rowsOf struct {
	rows [][]any
	err  error
}

func (r *rowsOf) Next() bool {
	return len(r.rows) > 0
}

func (r *rowsOf) Scan(dest ...any) error {
	row := r.rows[0]
	r.rows = r.rows[1:]
	for i := range dest {
		if err := scanAny(dest[i], row[i]); err != nil {
			return err
		}
	}
	return nil
}
func (r *rowsOf) Err() error   { return r.err }
func (r *rowsOf) Close() error { return nil }

// scanAny refuses what does not fit.
func scanAny(dest, value any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("scan: %v", p)
		}
	}()
	return scan(dest, value)
}

// asked is a connection that notes what it was asked, and answers always the same.
type asked struct {
	sql  []string
	args [][]any
	rows rowsOf
	err  error
}

func (c *asked) Query(_ context.Context, sql string, args []any) (Rows, error) {
	c.sql, c.args = append(c.sql, sql), append(c.args, args)
	if c.err != nil {
		return nil, c.err
	}
	again := c.rows
	again.rows = slices.Clone(c.rows.rows)
	return &again, nil
}

func (c *asked) Exec(_ context.Context, sql string, args []any) (int64, error) {
	c.sql, c.args = append(c.sql, sql), append(c.args, args)
	return 1, c.err
}

// FuzzCorrupt: a row that the store never wrote is an error that names the column,
// or a row; never a panic.
func FuzzCorrupt(f *testing.F) {
	f.Add("", int64(0))
	f.Add("null", int64(-1))
	f.Add(`{"id":1}`, int64(math.MaxInt64))
	f.Add("[[[", int64(math.MinInt64))
	f.Add(strings.Repeat("9", 100), int64(256))
	f.Add("\xff\x00", int64(1<<32))
	f.Fuzz(func(t *testing.T, text string, n int64) {
		s := New(plain())
		c := &asked{}
		r := &Reader{S: s, C: c}
		ctx := context.Background()
		for name, read := range map[string]func() (int, error){
			"payments": func() (int, error) { rows, err := r.Payments(ctx, bursar.PaymentQuery{}); return len(rows), err },
			"transactions": func() (int, error) {
				rows, err := r.Transactions(ctx, bursar.TransactionQuery{})
				return len(rows), err
			},
			"addresses":  func() (int, error) { rows, err := r.Addresses(ctx, bursar.AddressQuery{}); return len(rows), err },
			"payouts":    func() (int, error) { rows, err := r.Payouts(ctx, bursar.PayoutQuery{}); return len(rows), err },
			"attempts":   func() (int, error) { rows, err := r.Attempts(ctx, bursar.AttemptQuery{}); return len(rows), err },
			"entries":    func() (int, error) { rows, err := r.Entries(ctx, bursar.EntryQuery{}); return len(rows), err },
			"events":     func() (int, error) { rows, err := r.Events(ctx, bursar.EventQuery{}); return len(rows), err },
			"deliveries": func() (int, error) { rows, err := r.Deliveries(ctx, bursar.DeliveryQuery{}); return len(rows), err },
			"pools":      func() (int, error) { rows, err := r.Pools(ctx); return len(rows), err },
		} {
			for _, corrupt := range columnsNamed(s, name) {
				row := make([]any, 0, 64)
				for _, c := range columnsNamed(s, name) {
					row = append(row, sane(c, c.name == corrupt.name, text, n))
				}
				c.rows = rowsOf{rows: [][]any{row}}
				got, err := read()
				if err == nil {
					require.Equal(t, 1, got)
					continue
				}
				require.ErrorContains(t, err, name)
				if corrupt.kind == amount || corrupt.kind == object || corrupt.kind == integer {
					require.ErrorContains(t, err, corrupt.name)
					require.ErrorIs(t, err, bursar.ErrInvariant)
				}
			}
		}
		c.rows = rowsOf{rows: [][]any{{"asset", "account", text}}}
		if _, err := r.Balances(ctx, bursar.BalanceQuery{}); err != nil {
			require.ErrorIs(t, err, bursar.ErrInvariant)
		}
	})
}

// columnsNamed are the columns of a table, as they are read.
func columnsNamed(s *Schema, table string) []column {
	return map[string][]column{
		"payments": s.payments.columns, "transactions": s.transactions.columns, "addresses": s.addresses.columns, "payouts": s.payouts.columns,
		"attempts": s.attempts.columns, "entries": s.entries.columns, "events": s.events.columns, "deliveries": s.deliveries.columns,
		"pools": s.pools.columns,
	}[table]
}

// sane is a value that a column may have, or the given one where it is corrupt.
func sane(c column, corrupt bool, s string, n int64) any {
	switch c.kind {
	case integer, moment:
		if corrupt {
			return n
		}
		return int64(1)
	case boolean:
		return true
	case blob:
		return []byte(s)
	case object:
		if corrupt {
			return s
		}
		return nil
	case amount:
		if corrupt {
			return s
		}
		return "1"
	}
	return s
}
