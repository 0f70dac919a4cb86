package bursar

import (
	"encoding/base64"
	"iter"
	"strconv"
	"strings"
	"time"
)

// pageSize applies the bounds of a list.
func pageSize(limit int) (int, error) {
	switch {
	case limit == 0:
		return DefaultPage, nil
	case limit < 0 || limit > MaxPage:
		return 0, fieldErr("Limit", CodeOutOfRange, "%d is not between 1 and %d", limit, MaxPage)
	}
	return limit, nil
}

// listPage reads one row more than asked for, to know whether there is a next
// page.
func listPage[T any](limit int, cursor string, read func(n int, after Cursor) ([]T, error), key func(T) Cursor) (Page[T], error) {
	n, err := pageSize(limit)
	if err != nil {
		return Page[T]{}, err
	}
	after, err := parseCursor(cursor)
	if err != nil {
		return Page[T]{}, err
	}
	rows, err := read(n+1, after)
	if err != nil {
		return Page[T]{}, err
	}
	if len(rows) <= n {
		return Page[T]{Items: rows}, nil
	}
	return Page[T]{Items: rows[:n], Next: key(rows[n-1]).text()}, nil
}

// all walks through the pages of a list.
func all[T any](page func(cursor string) (Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		cursor := ""
		for {
			p, err := page(cursor)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range p.Items {
				if !yield(item, nil) {
					return
				}
			}
			if cursor = p.Next; cursor == "" {
				return
			}
		}
	}
}

// text writes a cursor as an opaque token: hosts hand it through URLs.
func (c Cursor) text() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.At.UnixNano(), 10) + " " + c.ID))
}

func parseCursor(text string) (Cursor, error) {
	if text == "" {
		return Cursor{}, nil
	}
	bad := fieldErr("Cursor", CodeInvalid, "not a cursor of this list")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(text) > 200 {
		return Cursor{}, bad
	}
	at, id, ok := strings.Cut(string(raw), " ")
	nanos, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || !validName(id) {
		return Cursor{}, bad
	}
	return Cursor{At: time.Unix(0, nanos).UTC(), ID: id}, nil
}
