package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"testing"
)

// ErrMissing: a program that is needed is not on this machine, or too old.
var ErrMissing = errors.New("pgtest: missing on this machine")

// MinServer is the oldest major version of PostgreSQL that is used.
const MinServer = 15

// Missing ends a test because of err if err is not nil: it skips the test for an
// ErrMissing unless everything must be there (BURSAR_REQUIRE_ALL=1), and fails it
// otherwise.
func Missing(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, ErrMissing) && os.Getenv("BURSAR_REQUIRE_ALL") != "1":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

// Version is a program's release: major and minor number.
type Version struct{ Major, Minor int }

// String returns it as the program prints it.
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Before reports whether v is older than w.
func (v Version) Before(w Version) bool {
	return v.Major < w.Major || v.Major == w.Major && v.Minor < w.Minor
}

// versionPattern finds "15.18", and "19" of "19devel" or "19beta1".
var versionPattern = regexp.MustCompile(`(?:PostgreSQL\)|PgBouncer) (\d+)(?:\.(\d+))?`)

// parseVersion reads what --version prints.
func parseVersion(printed []byte) (Version, error) {
	m := versionPattern.FindSubmatch(printed)
	if m == nil {
		return Version{}, fmt.Errorf("pgtest: no version in %q", bytes.TrimSpace(printed))
	}
	// The pattern leaves digits or nothing; nothing is the minor 0.
	major, _ := strconv.Atoi(string(m[1]))
	minor, _ := strconv.Atoi(string(m[2]))
	return Version{major, minor}, nil
}

// versionOf asks a program.
func versionOf(ctx context.Context, path string) (Version, error) {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return Version{}, fmt.Errorf("pgtest: %s --version: %w", path, err)
	}
	return parseVersion(out)
}

// FindServer returns the folder of the server's programs and their version.
// Its error is an ErrMissing where there is none of MinServer or newer; a
// BURSAR_PG_BIN that does not work is an error of another kind, since somebody
// meant it.
func FindServer(ctx context.Context) (dir string, version Version, err error) {
	if dir := os.Getenv("BURSAR_PG_BIN"); dir != "" {
		version, err := versionOf(ctx, filepath.Join(dir, "postgres"))
		if err != nil {
			return "", Version{}, fmt.Errorf("BURSAR_PG_BIN: %w", err)
		}
		return dir, version, old(version)
	}
	// The pattern is constant and well formed.
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if dir, version = newest(ctx, dirs); dir == "" {
		if path, err := exec.LookPath("postgres"); err == nil {
			dir, version = newest(ctx, []string{filepath.Dir(path)})
		}
	}
	if err := ctx.Err(); err != nil {
		return "", Version{}, err // nothing was looked at
	}
	if dir == "" {
		return "", Version{}, fmt.Errorf("%w: postgres: neither BURSAR_PG_BIN, nor in /usr/lib/postgresql, nor in PATH", ErrMissing)
	}
	return dir, version, old(version)
}

// newest returns the folder with the newest server that runs.
func newest(ctx context.Context, dirs []string) (dir string, version Version) {
	for _, d := range dirs {
		v, err := versionOf(ctx, filepath.Join(d, "postgres"))
		if err == nil && (dir == "" || version.Before(v)) {
			dir, version = d, v
		}
	}
	return dir, version
}

func old(v Version) error {
	if v.Major < MinServer {
		return fmt.Errorf("%w: PostgreSQL %s is older than %d", ErrMissing, v, MinServer)
	}
	return nil
}

// FindBouncer returns PgBouncer's path and version; its errors are as those of
// FindServer.
func FindBouncer(ctx context.Context) (path string, version Version, err error) {
	if path := os.Getenv("BURSAR_PGBOUNCER"); path != "" {
		if version, err = versionOf(ctx, path); err != nil {
			return "", Version{}, fmt.Errorf("BURSAR_PGBOUNCER: %w", err)
		}
		return path, version, nil
	}
	// Debian's is where ordinary users have no PATH.
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			version, err := versionOf(ctx, path)
			return path, version, err
		}
	}
	return "", Version{}, fmt.Errorf("%w: pgbouncer: neither BURSAR_PGBOUNCER, nor in PATH, nor in /usr/sbin (%s)", ErrMissing, runtime.GOOS)
}
