package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bursar-go/bursar/config"
)

// shortestSecret is the length from which a text is searched for. A shorter one
// would be found in every second word, and hides nothing.
const shortestSecret = 4

// secrets is the last line of defence: everything that is printed is searched for
// the secrets of the configuration, whoever wrote it.
type secrets struct{ texts [][]byte }

// learn collects every secret of a configuration file.
func (s *secrets) learn(f *config.File) {
	s.walk(reflect.ValueOf(f).Elem())
	if parsed, err := pgconn.ParseConfig(f.Store.DSN.Reveal()); err == nil && !f.Store.DSN.IsZero() {
		s.add(parsed.Password)
	}
	// The longest first: one may be a part of another.
	slices.SortFunc(s.texts, func(a, b []byte) int { return cmp.Compare(len(b), len(a)) })
}

func (s *secrets) walk(v reflect.Value) {
	if secret, ok := reflect.TypeAssert[config.Secret](v); ok {
		s.add(secret.Reveal())
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			s.walk(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				s.walk(v.Field(i))
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			s.walk(v.MapIndex(key))
		}
	}
}

// add remembers a text as it is, and as JSON writes it.
func (s *secrets) add(text string) {
	if len(text) < shortestSecret {
		return
	}
	s.parts(text)
	s.texts = append(s.texts, []byte(text))
	if quoted, err := json.Marshal(text); err == nil {
		s.texts = append(s.texts, bytes.Trim(quoted, `"`))
	}
}

// shortestPart is the length from which a part of a URL is taken for a key.
const shortestPart = 8

// parts remembers what providers put their keys into: an error may quote the path
// of a URL alone.
func (s *secrets) parts(text string) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return
	}
	parts := strings.Split(u.Path, "/")
	for _, values := range u.Query() {
		parts = append(parts, values...)
	}
	if password, ok := u.User.Password(); ok {
		parts = append(parts, password)
	}
	for _, part := range parts {
		if len(part) >= shortestPart {
			s.texts = append(s.texts, []byte(part))
		}
	}
}

func (s *secrets) scrub(text []byte) []byte {
	for _, secret := range s.texts {
		text = bytes.ReplaceAll(text, secret, []byte("[secret]"))
	}
	return text
}

// scrubber hides the secrets in each write.
type scrubber struct {
	to     io.Writer
	hidden *secrets
}

// Write implements io.Writer.
func (s *scrubber) Write(text []byte) (int, error) {
	if _, err := s.to.Write(s.hidden.scrub(bytes.Clone(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}
