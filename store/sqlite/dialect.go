package sqlite

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/bursar-go/bursar/store/internal/relational"
)

// prefix keeps our tables apart from the host's.
const prefix = "bursar_"

// dialect is SQLite's: times are microseconds, amounts text, lists JSON.
func dialect() *relational.Dialect {
	return &relational.Dialect{
		Table:       func(name string) string { return prefix + name },
		Placeholder: func(int) string { return "?" },
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
		// One text for lists of any length, so that statements can be kept.
		OneOf: func(column, placeholder string) string {
			return column + " IN (SELECT value FROM json_each(" + placeholder + "))"
		},
		List: func(values []string) any {
			b, _ := json.Marshal(values) // strings can always be written
			return string(b)
		},
		Read: func(column string, _ bool) string { return column },
		Pairs: func(q *relational.Query, pairs map[string]string) error {
			for _, name := range slices.Sorted(maps.Keys(pairs)) {
				q.And("id IN (SELECT payment_id FROM " + prefix + "payment_metadata WHERE name = " + q.Arg(name) + " AND value = " + q.Arg(pairs[name]) + ")")
			}
			return nil
		},
	}
}
