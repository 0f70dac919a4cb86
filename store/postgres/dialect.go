package postgres

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bursar-go/bursar/store/internal/relational"
)

// dialect is PostgreSQL's, for tables in a schema. Arguments that are text and
// meant as another type are cast, so that they work in every mode of the protocol.
func dialect(schema string) *relational.Dialect {
	qualified := pgx.Identifier{schema}.Sanitize() + "."
	return &relational.Dialect{
		Table:       func(name string) string { return qualified + name },
		Placeholder: func(n int) string { return "$" + strconv.Itoa(n) },
		Number:      "::numeric",
		Moments:     "::timestamptz",
		JSON: func(column string) string {
			if column == "metadata" {
				return "::jsonb"
			}
			return "::json"
		},
		Alike: func(column, quoted, placeholder string) string {
			if column == "metadata" {
				return quoted + " IS NOT DISTINCT FROM " + placeholder + "::jsonb"
			}
			return quoted + "::text IS NOT DISTINCT FROM " + placeholder + "::text"
		},
		Arrays: map[string]string{
			"text": "text[]", "integer": "bigint[]", "boolean": "boolean[]", "moment": "timestamptz[]", "amount": "numeric[]",
		},
		Time: func(t time.Time) any { return t },
		Moment: func() (any, func() time.Time) {
			v := new(*time.Time)
			return v, func() time.Time {
				if *v == nil {
					return time.Time{}
				}
				return (*v).UTC()
			}
		},
		OneOf: func(column, placeholder string) string { return column + " = ANY(" + placeholder + "::text[])" },
		List:  func(values []string) any { return values },
		Read: func(column string, convert bool) string {
			if convert {
				return column + "::text"
			}
			return column
		},
		Pairs: func(q *relational.Query, pairs map[string]string) error {
			b, err := json.Marshal(pairs)
			if err != nil {
				return fmt.Errorf("postgres: %w", err)
			}
			q.And("metadata @> " + q.Arg(string(b)) + "::jsonb")
			return nil
		},
		Now:   "now()",
		After: func(placeholder string) string { return "now() + make_interval(secs => " + placeholder + "::float8)" },
		Skip:  " FOR UPDATE SKIP LOCKED",
		Lock:  " FOR SHARE",
	}
}
