package relational

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/bursar-go/bursar"
)

// Migration is one step of a schema. Steps that were released never change.
type Migration struct {
	// Version counts from 1.
	Version int
	// Name says what it does.
	Name string
	// SQL is its text, several statements.
	SQL string

	sum string
}

// Checksum is a fingerprint of the text as it was released, whatever a store has
// filled in since.
func (m Migration) Checksum() string { return m.sum }

func checksum(sql []byte) string {
	sum := sha256.Sum256(sql)
	return hex.EncodeToString(sum[:8])
}

// Load reads migrations from files called 0001_name.sql.
func Load(files fs.FS) ([]Migration, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	out := make([]Migration, 0, len(names))
	for i, path := range names {
		number, name, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(path, "migrations/"), ".sql"), "_")
		v, err := strconv.Atoi(number)
		if !ok || err != nil || v != i+1 {
			return nil, fmt.Errorf("migration %d is called %s", i+1, path)
		}
		sql, err := fs.ReadFile(files, path)
		if err != nil {
			return nil, err
		}
		out = append(out, Migration{Version: v, Name: name, SQL: string(sql), sum: checksum(sql)})
	}
	return out, nil
}

// Applied is a migration as the database remembers it.
type Applied struct {
	Version  int
	Name     string
	Checksum string
}

// Pending returns the migrations that the database lacks. It is a
// *bursar.SchemaError where the database has others than the known ones.
func Pending(known []Migration, have []Applied) ([]Migration, error) {
	bad := func(format string, args ...any) ([]Migration, error) {
		newest := 0
		for _, a := range have {
			newest = max(newest, a.Version)
		}
		return nil, &bursar.SchemaError{Have: newest, Want: len(known), Reason: fmt.Sprintf(format, args...)}
	}
	// First of all: a release that knows what is there may also know that steps in
	// between are none.
	for _, a := range have {
		if a.Version > len(known) {
			return bad("the database is newer than this release: migration %d, %s, is unknown", a.Version, a.Name)
		}
	}
	for i, a := range have {
		switch {
		case a.Version != i+1:
			return bad("migration %d is missing", i+1)
		case a.Checksum != known[i].Checksum():
			return bad("migration %d, %s, was another one when it was applied", a.Version, a.Name)
		}
	}
	return known[len(have):], nil
}
