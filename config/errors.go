package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bursar-go/bursar"
)

// Error is one thing that is wrong with a configuration. It never repeats the
// value, which may be a secret in the wrong place.
type Error struct {
	// File and Line are where the field, or the nearest field around it, stands;
	// Line is 0 where that is not known.
	File string
	Line int // Line counts from 1.
	// Env is the variable that set the field, where one did.
	Env string
	// Field is the path: "chains.ethereum.treasury". Empty: the file as a whole.
	Field string
	// Code is what kind of problem it is, as in bursar.FieldError.
	Code bursar.Code
	// Reason says what is wrong.
	Reason string
	// Err is the cause where there is one.
	Err error
}

// Error tells where and what.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("config: ")
	switch {
	case e.Env != "":
		b.WriteString(e.Env + ": ")
	case e.Line > 0:
		fmt.Fprintf(&b, "%s:%d: ", e.File, e.Line)
	case e.File != "":
		b.WriteString(e.File + ": ")
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Reason)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// place is where a value came from.
type place struct {
	line int
	env  string
}

// report collects errors. Of a field only the first is kept: what follows from
// a value that could not be read helps nobody.
type report struct {
	file   string
	places map[string]place
	seen   map[string]bool
	errs   []error
}

func newReport(file string, places map[string]place) *report {
	return &report{file: file, places: places, seen: map[string]bool{}}
}

// add reports a field, at its own place or that of the nearest field around it.
func (r *report) add(field string, code bursar.Code, format string, args ...any) {
	r.wrap(field, code, nil, format, args...)
}

func (r *report) wrap(field string, code bursar.Code, err error, format string, args ...any) {
	if r.seen[field] {
		return
	}
	r.seen[field] = true
	at := r.find(field)
	r.errs = append(r.errs, &Error{
		File: r.file, Line: at.line, Env: at.env, Field: field, Code: code, Reason: fmt.Sprintf(format, args...), Err: err,
	})
}

func (r *report) find(field string) place {
	for path := field; path != ""; {
		if at, known := r.places[path]; known {
			if path != field {
				at.env = "" // it set a neighbour, not this
			}
			return at
		}
		cut := strings.LastIndexByte(path, '.')
		if cut < 0 {
			break
		}
		path = path[:cut]
	}
	return place{}
}

func (r *report) err() error { return errors.Join(r.errs...) }

// join makes the path of a field inside another one.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// shown is a key for an error: a key may be anything, a secret with a colon in
// it included, so only what looks like a name is repeated.
func shown(key string) string {
	plain := strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
	if key == "" || len(key) > 40 || !plain {
		return "(unreadable key)"
	}
	return key
}
