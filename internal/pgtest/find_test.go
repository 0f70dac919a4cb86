package pgtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]Version{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": {15, 18},
		"postgres (PostgreSQL) 19devel":                          {19, 0},
		"PgBouncer 1.18.0\nlibevent 2.1.12-stable":               {1, 18},
		"PgBouncer 1.24.1":                                       {1, 24},
	} {
		got, err := parseVersion([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	_, err := parseVersion([]byte("bash: command not found"))
	require.ErrorContains(t, err, "command not found")
}

func TestVersionOrder(t *testing.T) {
	require.True(t, Version{1, 9}.Before(Version{1, 21}))
	require.True(t, Version{1, 21}.Before(Version{2, 0}))
	require.False(t, Version{2, 0}.Before(Version{1, 21}))
	require.False(t, Version{1, 21}.Before(Version{1, 21}))
}

// program writes a script that prints a version.
func program(t *testing.T, name, prints string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho '"+prints+"'\n"), 0o700))
	return dir
}

func TestFindServer(t *testing.T) {
	recent, ancient := program(t, "postgres", "postgres (PostgreSQL) 18.1"), program(t, "postgres", "postgres (PostgreSQL) 14.9")
	t.Setenv("BURSAR_PG_BIN", recent)
	dir, version, err := FindServer(t.Context())
	require.NoError(t, err)
	require.Equal(t, recent, dir)
	require.Equal(t, Version{18, 1}, version)

	t.Setenv("BURSAR_PG_BIN", ancient)
	_, _, err = FindServer(t.Context())
	require.ErrorIs(t, err, ErrMissing)
	require.ErrorContains(t, err, "14.9")

	t.Setenv("BURSAR_PG_BIN", t.TempDir())
	_, _, err = FindServer(t.Context())
	require.ErrorContains(t, err, "BURSAR_PG_BIN")
	require.NotErrorIs(t, err, ErrMissing, "what somebody meant is not skipped")

	dir, version = newest(t.Context(), []string{ancient, t.TempDir(), recent, ancient})
	require.Equal(t, recent, dir)
	require.Equal(t, Version{18, 1}, version)
}

func TestFindBouncer(t *testing.T) {
	path := filepath.Join(program(t, "pooler", "PgBouncer 1.24.1"), "pooler")
	t.Setenv("BURSAR_PGBOUNCER", path)
	found, version, err := FindBouncer(t.Context())
	require.NoError(t, err)
	require.Equal(t, path, found)
	require.Equal(t, Version{1, 24}, version)

	t.Setenv("BURSAR_PGBOUNCER", path+"-not")
	_, _, err = FindBouncer(t.Context())
	require.ErrorContains(t, err, "BURSAR_PGBOUNCER")
	require.NotErrorIs(t, err, ErrMissing)
}

// verdict is a testing.TB that remembers how it was ended.
type verdict struct {
	testing.TB
	skipped, failed bool
}

func (v *verdict) Helper()      {}
func (v *verdict) Skip(...any)  { v.skipped = true }
func (v *verdict) Fatal(...any) { v.failed = true }

func TestMissing(t *testing.T) {
	for _, c := range []struct {
		name, require   string
		err             error
		skipped, failed bool
	}{
		{name: "there"},
		{name: "missing", err: fmt.Errorf("%w: x", ErrMissing), skipped: true},
		{name: "missing and required", err: fmt.Errorf("%w: x", ErrMissing), require: "1", failed: true},
		{name: "broken", err: errors.New("x"), failed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("BURSAR_REQUIRE_ALL", c.require)
			v := &verdict{TB: t}
			Missing(v, c.err)
			require.Equal(t, c.skipped, v.skipped)
			require.Equal(t, c.failed, v.failed)
		})
	}
}

func TestPlace(t *testing.T) {
	require.Equal(t, `"a""b"`, quote(`a"b`))
	require.Equal(t, "postgres://postgres@/db?host=%2Ftmp%2Fx&port=5432", socketDSN("/tmp/x", 5432, "db"))

	closed := t.TempDir()
	require.NoError(t, os.Chmod(closed, 0o700))
	require.False(t, open(filepath.Join(closed)))
	require.False(t, open(filepath.Join(closed, "nowhere")))
	require.True(t, open("/"))

	t.Setenv("TMPDIR", filepath.Join(closed, "a-folder-whose-name-is-so-long-that-no-socket-could-have-a-path-through-it"))
	dir, err := makeDir(account{})
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	require.Equal(t, "/tmp", filepath.Dir(dir))
}

func TestParseRow(t *testing.T) {
	row, err := parseRow([]byte("\x00\x02\x00\x00\x00\x01x\xff\xff\xff\xff"))
	require.NoError(t, err)
	require.Equal(t, []string{"x", ""}, row)
	for _, broken := range []string{"", "\x00", "\x00\x01", "\x00\x01\x00\x00\x00\x02x"} {
		_, err := parseRow([]byte(broken))
		require.Error(t, err, "%q", broken)
	}
}
