package relational

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// kind is how a field is kept.
type kind int

const (
	text    kind = iota
	integer      // at most 2^63-1, as SQL has nothing larger
	boolean
	moment // whole microseconds; the zero time is NULL
	amount // a whole number of up to 78 digits
	object // JSON; an empty map or list is NULL
	blob
)

func (k kind) String() string {
	return [...]string{"text", "integer", "boolean", "moment", "amount", "object", "blob"}[k]
}

// column is one column of a table and the field behind it.
type column struct {
	name string
	kind kind
	path []int // of the field
}

// names are the columns that are not called as their fields, because SQL has
// another use for the word or a reader of the table would be misled.
func names() map[string]string {
	return map[string]string{
		"Address.Index": "address_index", "Address.Key.Wallet": "key_wallet", "Address.Key.Path": "key_path",
		"Transaction.Transfer.Tx": "tx_hash", "Transaction.Transfer.Ordinal": "tx_ordinal",
		"Transaction.From": "from_address", "Transaction.To": "to_address", "Transaction.Lock": "tx_lock",
		"Payout.From": "from_account", "Payout.To": "to_address", "Payout.Group": "attempt_group", "Payout.Own": "own_key",
		"Attempt.Group": "attempt_group", "Attempt.Open": "is_open", "Attempt.Error": "last_error",
		"Entry.Debit": "debit_account", "Entry.Credit": "credit_account", "Entry.Transaction": "transaction_id",
		"Entry.Live": "live_key", "Entry.At": "posted_at",
		"Event.Time":    "occurred_at",
		"Payment.Final": "is_final", "Transaction.Final": "is_final", "ChainState.Final": "final_height",
	}
}

// columnsOf lists the columns of a row type.
func columnsOf(row reflect.Type) []column {
	return appendColumns(nil, names(), row, row.Name(), nil)
}

func appendColumns(to []column, renamed map[string]string, t reflect.Type, prefix string, path []int) []column {
	for i := range t.NumField() {
		f := t.Field(i)
		name := prefix + "." + f.Name
		at := append(append([]int(nil), path...), i)
		switch f.Type {
		case reflect.TypeFor[chain.TransferID](), reflect.TypeFor[chain.KeyRef]():
			to = appendColumns(to, renamed, f.Type, name, at)
			continue
		}
		c := column{name: renamed[name], kind: kindOf(f.Type), path: at}
		if c.name == "" {
			c.name = snake(f.Name)
		}
		to = append(to, c)
	}
	return to
}

func kindOf(t reflect.Type) kind {
	switch t {
	case reflect.TypeFor[time.Time]():
		return moment
	case reflect.TypeFor[chain.Amount]():
		return amount
	case reflect.TypeFor[[]byte]():
		return blob
	}
	switch t.Kind() {
	case reflect.String:
		return text
	case reflect.Bool:
		return boolean
	case reflect.Int, reflect.Int64, reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return integer
	}
	return object
}

// snake writes a field's name as SQL is written: AddressID is address_id.
func snake(name string) string {
	var b strings.Builder
	letters := []rune(name)
	for i, r := range letters {
		if unicode.IsUpper(r) && i > 0 &&
			(unicode.IsLower(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// value returns what is written of a field.
func (c *column) value(d *Dialect, row reflect.Value) (any, error) {
	f := row.FieldByIndex(c.path)
	switch c.kind {
	case text:
		return f.String(), Storable(c.name, f.String())
	case boolean:
		return f.Bool(), nil
	case integer:
		if f.CanInt() {
			return f.Int(), nil
		}
		if n := f.Uint(); n <= math.MaxInt64 {
			return int64(n), nil
		}
		return nil, fmt.Errorf("%w: column %s cannot hold %d", bursar.ErrInvariant, c.name, f.Uint())
	case moment:
		at, _ := f.Interface().(time.Time) // its kind says so
		return d.time(at), nil
	case amount:
		n, _ := f.Interface().(chain.Amount) // its kind says so
		return n.String(), nil
	case blob:
		if f.Len() == 0 {
			return []byte{}, nil
		}
		return bytes.Clone(f.Bytes()), nil // the caller may change its own
	}
	if pairs, ok := f.Interface().(map[string]string); ok {
		for _, name := range slices.Sorted(maps.Keys(pairs)) {
			if err := storablePair(c.name, name, pairs[name]); err != nil {
				return nil, err
			}
		}
	}
	return encode(f)
}

// Storable refuses a text that not every database can hold: PostgreSQL knows no
// NUL in a text, and wants UTF-8. The gateway lets none in; what comes from
// elsewhere must not end in an error that nobody understands.
func Storable(name, s string) error {
	if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		return &bursar.FieldError{Field: name, Code: bursar.CodeInvalid, Reason: fmt.Sprintf("%.80q is not UTF-8, or holds a NUL", s)}
	}
	return nil
}

// storablePair checks both by themselves: halves of a character join to a valid
// text.
func storablePair(column, name, value string) error {
	if err := Storable(column, name); err != nil {
		return err
	}
	return Storable(column, value)
}

// encode writes a field with a structure; nothing is NULL.
func encode(f reflect.Value) (any, error) {
	switch f.Kind() {
	case reflect.Map, reflect.Slice:
		if f.Len() == 0 {
			return nil, nil
		}
	case reflect.Pointer:
		if f.IsNil() {
			return nil, nil
		}
	}
	b, err := json.Marshal(f.Interface())
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", bursar.ErrInvariant, f.Type(), err)
	}
	return string(b), nil
}

// cells are the destinations of one row's columns. They are used again for each
// row of a result.
type cells struct {
	dest []any
	put  []func(row reflect.Value) error
}

func newCells(d *Dialect, columns []column) *cells {
	c := &cells{dest: make([]any, len(columns)), put: make([]func(reflect.Value) error, len(columns))}
	for i := range columns {
		c.dest[i], c.put[i] = columns[i].cell(d)
	}
	return c
}

// fill puts what was read into a row. Objects wait in later, for place n of the rows.
func (c *cells) fill(row reflect.Value, n int, columns []column, later *[]undecoded) error {
	for i, put := range c.put {
		if columns[i].kind == object {
			text, _ := c.dest[i].(**string)
			*later = append(*later, undecoded{row: n, column: i, text: *text})
		} else if err := put(row); err != nil {
			return err
		}
	}
	return nil
}

// cell returns where a column is read to, and what puts it into its field.
func (c *column) cell(d *Dialect) (dest any, put func(reflect.Value) error) {
	field := func(row reflect.Value) reflect.Value { return row.FieldByIndex(c.path) }
	switch c.kind {
	case text:
		v := new(string)
		return v, func(row reflect.Value) error { field(row).SetString(*v); return nil }
	case boolean:
		v := new(bool)
		return v, func(row reflect.Value) error { field(row).SetBool(*v); return nil }
	case integer:
		v := new(int64)
		return v, func(row reflect.Value) error { return c.setInt(field(row), *v) }
	case moment:
		v, read := d.moment()
		return v, func(row reflect.Value) error { field(row).Set(reflect.ValueOf(read())); return nil }
	case amount:
		v := new(string)
		return v, func(row reflect.Value) error {
			n, err := chain.ParseUnits(*v)
			if err != nil {
				return c.corrupt(*v, err)
			}
			field(row).Set(reflect.ValueOf(n))
			return nil
		}
	case blob:
		v := new([]byte)
		return v, func(row reflect.Value) error { field(row).SetBytes(append([]byte(nil), *v...)); return nil }
	}
	v := new(*string)
	return v, func(row reflect.Value) error { return c.decode(*v, row) }
}

// decode puts what an object holds into its field; nil is NULL, and leaves it empty.
func (c *column) decode(text *string, row reflect.Value) error {
	if text == nil {
		return nil
	}
	if err := json.Unmarshal([]byte(*text), row.FieldByIndex(c.path).Addr().Interface()); err != nil {
		return c.corrupt(*text, err)
	}
	return nil
}

func (c *column) setInt(f reflect.Value, n int64) error {
	if f.CanInt() {
		if f.OverflowInt(n) {
			return c.corrupt(fmt.Sprint(n), nil)
		}
		f.SetInt(n)
		return nil
	}
	if n < 0 || f.OverflowUint(uint64(n)) {
		return c.corrupt(fmt.Sprint(n), nil)
	}
	f.SetUint(uint64(n))
	return nil
}

// corrupt is a value that the store never wrote.
func (c *column) corrupt(value string, err error) error {
	if len(value) > 80 {
		value = value[:80] + "…"
	}
	return fmt.Errorf("%w: column %s holds %q: %w", bursar.ErrInvariant, c.name, value, cmpErr(err))
}

func cmpErr(err error) error {
	if err == nil {
		return errRange
	}
	return err
}
