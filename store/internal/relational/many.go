package relational

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/bursar-go/bursar"
)

// atLeast is how many rows are worth a statement for all of them.
const atLeast = 4

// many writes rows by one statement where that is possible: updates of different
// rows, in a dialect with lists, of a table without JSON. ok is false elsewhere.
func (t *table[T]) many(list []T) (op Op, ok bool, err error) {
	if t.d.Arrays == nil || t.version < 0 || len(list) < atLeast || len(t.derived) > 0 {
		return Op{}, false, nil
	}
	seen := map[string]bool{}
	lists := make([]any, len(t.columns))
	for i := range list {
		v := reflect.ValueOf(&list[i]).Elem()
		id := ""
		for _, k := range t.key {
			id += v.FieldByIndex(t.columns[k].path).String() + "\x00"
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
			if lists[c], ok = appendTo(lists[c], t.columns[c].kind, value); !ok {
				return Op{}, false, nil
			}
		}
	}
	first, err := t.write(&list[0])
	return Op{
		Table: t.name, Row: append(first.Row, fmt.Sprintf("and %d more", len(list)-1)), SQL: t.updateMany(), Args: lists,
		Want: int64(len(list)), Fail: bursar.ErrConflict, Probe: first.Probe,
	}, true, err
}

// appendTo adds a value to the list of its column.
func appendTo(list any, k kind, value any) (any, bool) {
	switch k {
	case text, amount:
		l, _ := list.([]string)
		v, ok := value.(string)
		return append(l, v), ok
	case integer:
		l, _ := list.([]int64)
		v, ok := value.(int64)
		return append(l, v), ok
	case boolean:
		l, _ := list.([]bool)
		v, ok := value.(bool)
		return append(l, v), ok
	case moment:
		l, _ := list.([]*time.Time)
		if at, ok := value.(time.Time); ok {
			return append(l, &at), true
		}
		return append(l, nil), value == nil
	}
	return nil, false
}

// updateMany is the statement that changes rows by a list for each column.
func (t *table[T]) updateMany() string {
	var sets, names, marks, where []string
	for i, c := range t.columns {
		name := quote(c.name)
		sets, names = append(sets, name+" = v."+name), append(names, name)
		marks = append(marks, t.d.Placeholder(i+1)+"::"+t.d.Arrays[c.kind.String()])
	}
	for _, k := range t.key {
		name := quote(t.columns[k].name)
		where = append(where, "t."+name+" = v."+name)
	}
	return "UPDATE " + t.d.Table(t.name) + " AS t SET " + strings.Join(sets, ", ") +
		" FROM unnest(" + strings.Join(marks, ", ") + ") AS v(" + strings.Join(names, ", ") + ") WHERE " + strings.Join(where, " AND ") + " AND t.version = v.version - 1"
}
