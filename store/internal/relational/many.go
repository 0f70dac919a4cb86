package relational

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/bursar-go/bursar"
)

// atLeast is how many rows are worth a statement for all of them.
const atLeast = 4

// many writes rows by one statement where that is possible: updates of different
// rows, in a dialect with lists, of a table without JSON. ok is false elsewhere.
func (t *table[T]) many(list []T) (op Op, ok bool, err error) {
	if t.d.Arrays == nil || t.version < 0 || len(list) < atLeast || len(t.derived) > 0 || len(t.key) > 2 {
		return Op{}, false, nil
	}
	seen := make(map[[2]string]bool, len(list))
	lists := make([]any, len(t.columns))
	for i := range list {
		v := reflect.ValueOf(&list[i]).Elem()
		var id [2]string
		for i, k := range t.key {
			id[i] = v.FieldByIndex(t.columns[k].path).String()
		}
		if seen[id] || v.FieldByIndex(t.columns[t.version].path).Int() == 0 {
			return Op{}, false, nil
		}
		seen[id] = true
		for c := range t.columns {
			value, err := t.columns[c].value(t.d, v)
			if err != nil {
				return Op{}, false, fmt.Errorf("%s: %w", t.name, err)
			}
			if c == t.version {
				value = v.FieldByIndex(t.columns[c].path).Int() + 1
			}
			if lists[c], ok = appendTo(lists[c], t.columns[c].kind, value, len(list)); !ok {
				return Op{}, false, nil
			}
		}
	}
	for c := range lists {
		lists[c] = listed(lists[c])
	}
	first, err := t.write(&list[0])
	return Op{
		Table: t.name, Row: append(first.Row, fmt.Sprintf("and %d more", len(list)-1)), SQL: t.updateMany(), Args: lists,
		Want: int64(len(list)), Fail: bursar.ErrConflict, Probe: first.Probe,
	}, true, err
}

// appendTo adds a value to the list of its column, which will have n of them.
func appendTo(list any, k kind, value any, n int) (any, bool) {
	switch k {
	case text, amount:
		return grow[string](list, value, n)
	case integer:
		return grow[int64](list, value, n)
	case boolean:
		return grow[bool](list, value, n)
	case moment:
		if value == nil {
			return grow[*time.Time](list, (*time.Time)(nil), n)
		}
		at, ok := value.(time.Time)
		out, _ := grow[*time.Time](list, &at, n)
		return out, ok
	}
	return nil, false
}

// listed is the list itself.
func listed(list any) any { return reflect.ValueOf(list).Elem().Interface() }

// grow appends to a list behind a pointer, which an interface holds without a copy.
func grow[T any](list, value any, n int) (any, bool) {
	l, _ := list.(*[]T)
	if l == nil {
		made := make([]T, 0, n)
		l = &made
	}
	v, ok := value.(T)
	*l = append(*l, v)
	return l, ok
}

// updateMany is the statement that changes rows by a list for each column.
func (t *table[T]) updateMany() string {
	var sets, names, marks, where []string
	for i, c := range t.columns {
		name := quote(c.name)
		if !slices.Contains(t.key, i) {
			sets = append(sets, name+" = v."+name)
		}
		names = append(names, name)
		marks = append(marks, t.d.Placeholder(i+1)+"::"+t.d.Arrays[c.kind.String()])
	}
	for _, k := range t.key {
		name := quote(t.columns[k].name)
		where = append(where, "t."+name+" = v."+name)
	}
	return "UPDATE " + t.d.Table(t.name) + " AS t SET " + strings.Join(sets, ", ") +
		" FROM unnest(" + strings.Join(marks, ", ") + ") AS v(" + strings.Join(names, ", ") + ") WHERE " + strings.Join(where, " AND ") + " AND t.version = v.version - 1"
}
