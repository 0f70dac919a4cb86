package relational

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/bursar-go/bursar"
)

// derived is a column that follows from a row and is never read back: something
// to search by that is not a field.
type derived[T any] struct {
	name  string
	value func(row *T) any
}

// table is a table of rows of one type, with the SQL that was made for it once.
type table[T any] struct {
	d       *Dialect
	name    string
	columns []column
	derived []derived[T]
	key     []int // of columns: what names a row
	version int   // of columns; -1: rows never change
	insert  string
	update  string
	list    string // SELECT … FROM
	probe   string // SELECT version, whether it is exactly this row
}

func newTable[T any](d *Dialect, name string, key []string, more ...derived[T]) *table[T] {
	t := &table[T]{d: d, name: name, columns: columnsOf(reflect.TypeFor[T]()), derived: more, version: -1}
	for i, c := range t.columns {
		if c.name == "version" {
			t.version = i
		}
	}
	for _, k := range key {
		t.key = append(t.key, t.place(k))
	}
	t.compile()
	return t
}

// place returns the place of a column. A name that is none is a mistake in this
// package, and shows in every test.
func (t *table[T]) place(name string) int {
	for i, c := range t.columns {
		if c.name == name {
			return i
		}
	}
	panic(fmt.Sprintf("relational: table %s has no column %s", t.name, name))
}

func (t *table[T]) compile() {
	var names, marks, sets, reads []string
	for i, c := range t.columns {
		mark := t.mark(i)
		names, marks = append(names, quote(c.name)), append(marks, mark)
		reads = append(reads, t.d.Read(quote(c.name), c.kind == amount || c.kind == object))
		sets = append(sets, quote(c.name)+" = "+mark)
	}
	n := len(t.columns)
	for i, c := range t.derived {
		names, marks = append(names, quote(c.name)), append(marks, t.d.Placeholder(n+i+1))
		sets = append(sets, quote(c.name)+" = "+t.d.Placeholder(n+i+1))
	}
	n += len(t.derived)
	var where []string
	for _, k := range t.key {
		n++
		where = append(where, quote(t.columns[k].name)+" = "+t.d.Placeholder(n))
	}
	full := t.d.Table(t.name)
	t.insert = "INSERT INTO " + full + " (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(marks, ", ") + ") ON CONFLICT DO NOTHING"
	t.probe = t.compileProbe(full)
	t.list = "SELECT " + strings.Join(reads, ", ") + " FROM " + full
	if t.version >= 0 {
		where = append(where, "version = "+t.d.Placeholder(n+1))
		t.update = "UPDATE " + full + " SET " + strings.Join(sets, ", ") + " WHERE " + strings.Join(where, " AND ")
	}
}

// compileProbe makes the query of Probe. Its arguments are those of comparable,
// then the key.
func (t *table[T]) compileProbe(full string) string {
	var same, key []string
	n := 0
	for i := range t.columns {
		if t.comparable(i) {
			n++
			same = append(same, t.alike(i, t.d.Placeholder(n)))
		}
	}
	for _, k := range t.key {
		n++
		key = append(key, quote(t.columns[k].name)+" = "+t.d.Placeholder(n))
	}
	version := "0"
	if t.version >= 0 {
		version = quote(t.columns[t.version].name)
	}
	return "SELECT " + version + ", " + strings.Join(same, " AND ") + " FROM " + full + " WHERE " + strings.Join(key, " AND ")
}

// alike is the condition that a column is what was written; never NULL.
func (t *table[T]) alike(i int, mark string) string {
	c := &t.columns[i]
	switch c.kind {
	case amount:
		mark += t.d.Number
	case moment:
		mark += t.d.Moments
	case object:
		return t.d.Alike(c.name, quote(c.name), mark)
	}
	return quote(c.name) + " IS NOT DISTINCT FROM " + mark
}

// comparable reports whether the database can compare a column.
func (t *table[T]) comparable(i int) bool {
	return t.columns[i].kind != object || t.d.Alike != nil
}

// probeOf makes the probe of a row with these arguments, which wants a version.
func (t *table[T]) probeOf(args []any, wants int64) *Probe {
	p := &Probe{SQL: t.probe, wants: wants, fleeting: t.name == "deliveries"}
	for i := range t.columns {
		if t.comparable(i) {
			p.Args = append(p.Args, args[i])
		}
	}
	for _, k := range t.key {
		p.Args = append(p.Args, args[k])
	}
	return p
}

// mark is the placeholder of a column's value.
func (t *table[T]) mark(i int) string {
	mark := t.d.Placeholder(i + 1)
	switch t.columns[i].kind {
	case amount:
		mark += t.d.Number
	case object:
		if t.d.JSON != nil {
			mark += t.d.JSON(t.columns[i].name)
		}
	}
	return mark
}

func quote(name string) string { return `"` + name + `"` }

// write makes the statement that writes a row: an insert at version 0, else an
// update of exactly that version.
func (t *table[T]) write(row *T) (Op, error) {
	v := reflect.ValueOf(row).Elem()
	args := make([]any, 0, len(t.columns)+len(t.derived)+len(t.key)+1)
	for i := range t.columns {
		a, err := t.columns[i].value(t.d, v)
		if err != nil {
			return Op{}, fmt.Errorf("%s: %w", t.name, err)
		}
		args = append(args, a)
	}
	for _, d := range t.derived {
		args = append(args, d.value(row))
	}
	op := Op{Table: t.name, SQL: t.insert, Want: 1, Fail: bursar.ErrConflict}
	for _, k := range t.key {
		op.Row = append(op.Row, fmt.Sprint(args[k]))
	}
	if t.version < 0 {
		op.Args, op.Probe = args, func() *Probe { return t.probeOf(args, 0) }
		return op, nil
	}
	old := v.FieldByIndex(t.columns[t.version].path).Int()
	op.Probe = func() *Probe { return t.probeOf(args, old+1) }
	args[t.version] = old + 1
	if old != 0 {
		op.SQL = t.update
		for _, k := range t.key {
			args = append(args, args[k])
		}
		args = append(args, old)
	}
	op.Args = args
	return op, nil
}

// read runs a query and returns its rows.
func (t *table[T]) read(ctx context.Context, c Conn, q *Query) ([]T, error) {
	if q.err != nil {
		return nil, q.err
	}
	rows, err := c.Query(ctx, t.list+q.String(), q.args)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err below tells what there is to tell.
	cells := newCells(t.d, t.columns)
	out := []T{}
	var later []undecoded
	for rows.Next() {
		if err := rows.Scan(cells.dest...); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		var row T
		if err := cells.fill(reflect.ValueOf(&row).Elem(), len(out), t.columns, &later); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return out, t.decode(out, later)
}

// undecoded is an object of a row that was read.
type undecoded struct {
	row, column int
	text        *string
}

// apiece is how many objects are worth a goroutine.
const apiece = 16

// decode puts objects into their rows. It is most of the work of reading many rows
// and the connection has nothing to do meanwhile, so that all processors share it.
func (t *table[T]) decode(out []T, objects []undecoded) error {
	var group errgroup.Group
	share := max(apiece, (len(objects)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	for part := range slices.Chunk(objects, share) {
		decode := func() error {
			for _, o := range part {
				if err := t.columns[o.column].decode(o.text, reflect.ValueOf(&out[o.row]).Elem()); err != nil {
					return fmt.Errorf("%s: %w", t.name, err)
				}
			}
			return nil
		}
		if len(part) == len(objects) {
			return decode()
		}
		group.Go(decode)
	}
	return group.Wait()
}

// Query is what follows after FROM.
type Query struct {
	d     *Dialect
	where []string
	tail  string
	args  []any
	// err is why nothing can be asked.
	err error
}

func newQuery(d *Dialect) *Query { return &Query{d: d} }

// Arg adds an argument and returns its placeholder.
func (q *Query) Arg(v any) string {
	q.args = append(q.args, v)
	return q.d.Placeholder(len(q.args))
}

// Text adds an argument that is the host's own text.
func (q *Query) Text(column, s string) string {
	if err := Storable(column, s); q.err == nil {
		q.err = err
	}
	return q.Arg(s)
}

// And adds a condition.
func (q *Query) And(condition string) { q.where = append(q.where, condition) }

// is adds column = value unless the value is empty: no condition.
func (q *Query) is(column, value string) {
	if value != "" {
		q.present(column)
		q.And(quote(column) + " = " + q.Text(column, value))
	}
}

// present says of a column whose index leaves out empty texts what a condition on
// it implies: a planner that does not know the argument cannot use the index
// otherwise.
func (q *Query) present(column string) {
	switch column {
	case "idempotency_key", "address", "customer", "payment_id", "address_id", "payout_id", "from_address", "to_address",
		"key", "tx_id", "block_hash", "parent", "transaction_id":
		q.And(quote(column) + " <> ''")
	}
}

// limit ends the query.
func (q *Query) limit(n int) {
	if n > 0 {
		q.tail += " LIMIT " + q.Arg(n)
	}
}

// String returns the text.
func (q *Query) String() string {
	if len(q.where) == 0 {
		return q.tail
	}
	return " WHERE " + strings.Join(q.where, " AND ") + q.tail
}

// oneOf adds a condition that a column is among values; none: no condition.
func oneOf[S ~string](q *Query, column string, values []S) {
	if len(values) > 0 && !slices.Contains(values, "") {
		q.present(column)
	}
	switch len(values) {
	case 0:
	case 1:
		q.And(quote(column) + " = " + q.Text(column, string(values[0])))
	default:
		list := make([]string, len(values))
		for i, v := range values {
			list[i] = string(v)
			if err := Storable(column, list[i]); q.err == nil {
				q.err = err
			}
		}
		q.And(q.d.OneOf(quote(column), q.Arg(q.d.List(list))))
	}
}
