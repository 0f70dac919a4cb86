package memory

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/bursar-go/bursar"
)

// compareTime orders by time, then by id.
func compareTime(a time.Time, idA string, b time.Time, idB string) int {
	return cmp.Or(a.Compare(b), strings.Compare(idA, idB))
}

// finish sorts rows that were found on several ways, drops what was found
// twice, and cuts the list.
func finish[T any](rows []*T, order func(a, b *T) int, limit int) []*T {
	slices.SortFunc(rows, order)
	rows = slices.Compact(rows)
	if limit > 0 && len(rows) > limit {
		rows = rows[:limit]
	}
	return rows
}

// in reports whether v is wanted: no condition, or in the list.
func in[T comparable](wanted []T, v T) bool {
	return len(wanted) == 0 || slices.Contains(wanted, v)
}

// is reports whether v is wanted: no condition, or equal.
func is[T ~string](wanted, v T) bool { return wanted == "" || wanted == v }

// parts converts typed strings to index parts.
func parts[S ~string](of ...S) []string {
	out := make([]string, len(of))
	for i, s := range of {
		out[i] = string(s)
	}
	return out
}

// within reports whether since <= t < until, where set.
func within(t, since, until time.Time) bool {
	return (since.IsZero() || !t.Before(since)) && (until.IsZero() || t.Before(until))
}

// after reports whether a row with this sort key comes behind the cursor.
func after(c bursar.Cursor, t time.Time, id string, newestFirst bool) bool {
	if c == (bursar.Cursor{}) {
		return true
	}
	order := compareTime(t, id, c.At, c.ID)
	return newestFirst && order < 0 || !newestFirst && order > 0
}

// newest returns the span of parts ordered by time, newest first, between the
// bounds and behind the cursor.
func newest(parts []string, c bursar.Cursor, since, until time.Time, limit int) span {
	sp := span{parts: parts, descending: true, limit: limit}
	if c != (bursar.Cursor{}) {
		sp.from = edgeAt(c)
	}
	if !until.IsZero() && (sp.from == nil || until.Before(c.At)) {
		sp.from = edgeAt(bursar.Cursor{At: until})
	}
	if !since.IsZero() {
		low := at("", since)
		sp.done = func(k key) bool { k.part = ""; return k.compare(low) < 0 }
	}
	return sp
}

// oldest returns the span of parts ordered by time, oldest first, behind the
// cursor.
func oldest(parts []string, c bursar.Cursor, limit int) span {
	sp := span{parts: parts, limit: limit}
	if c != (bursar.Cursor{}) {
		sp.from = edgeAt(c)
	}
	return sp
}

func edgeAt(c bursar.Cursor) *edge {
	k := at("", c.At)
	return &edge{k.hi, k.lo, c.ID}
}

// whole is the only part of an index that has no parts.
func whole() []string { return []string{""} }

// has reports whether the list holds v.
func has[T comparable](list []T, v T) bool { return slices.Contains(list, v) }

// hasAny reports whether one of have is wanted: no condition, or in the list.
func hasAny[T comparable](wanted, have []T) bool {
	return len(wanted) == 0 || slices.ContainsFunc(have, func(v T) bool { return has(wanted, v) })
}
