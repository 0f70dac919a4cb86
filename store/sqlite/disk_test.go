package sqlite_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/sqlite"
)

// D10: a database that was opened for reading alone is refused, though nothing has
// to be made in it.
func TestThreat_D10_ReadOnlyConnection(t *testing.T) {
	path := fileIn(t)
	s := openAt(t, path)
	_, err := sqlite.New(t.Context(), raw(t, path, "?mode=ro"))
	require.ErrorContains(t, err, "read-only")
	require.NoError(t, put(t.Context(), s, sale("a")))
}

// D10: what is no database is not touched.
func TestThreat_D10_NotADatabase(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	content := bytes.Repeat([]byte("not a database\n"), 1000)
	require.NoError(t, os.WriteFile(text, content, 0o600))
	for path, want := range map[string]string{
		text:                                   "no database",
		dir:                                    "cannot be opened",
		filepath.Join(dir, "missing", "a.db"):  "cannot be opened",
		filepath.Join(text, "below a file.db"): "cannot be opened",
		"":                                     "sqlite.Open.path",
		":memory:":                             "not wal",
	} {
		_, err := sqlite.Open(t.Context(), path)
		require.ErrorContains(t, err, want, path)
	}
	after, err := os.ReadFile(text)
	require.NoError(t, err)
	require.Equal(t, content, after)
	_, err = os.Stat(":memory:")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Names of files are names, whatever they contain.
func TestAnyFileName(t *testing.T) {
	for _, name := range []string{"a b?c.db", "100%.db", "#1&_pragma=synchronous(OFF).db", "ü'\".db", "file:x.db"} {
		path := filepath.Join(t.TempDir(), name)
		s := openAt(t, path)
		require.NoError(t, put(t.Context(), s, sale("a")), name)
		require.NoError(t, s.Settle(t.Context()), name)
		for _, file := range []string{path, path + "-origin"} {
			_, err := os.Stat(file)
			require.NoError(t, err)
		}
		require.NoError(t, s.Backup(t.Context(), path+" copy"))
		require.Equal(t, []string{"a"}, sales(t, openAt(t, path+" copy")))
	}
}

// damaged is a database with many rows of which one page is overwritten.
func damaged(t *testing.T, page int) (path string) {
	t.Helper()
	path = fileIn(t)
	s, err := sqlite.Open(t.Context(), path)
	require.NoError(t, err)
	batches := make([]bursar.Batch, 300)
	for n := range batches {
		batches[n] = sale(fmt.Sprint(n))
	}
	require.NoError(t, put(t.Context(), s, batches...))
	require.NoError(t, s.Close())
	spoil(t, path, page)
	return path
}

func spoil(t *testing.T, path string, page int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = f.WriteAt(bytes.Repeat([]byte{0x5a}, 4096), int64(page)*4096)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// D12: damage is found at the opening, wherever it is.
func TestThreat_D12_DamageIsFoundAtOpen(t *testing.T) {
	for _, page := range []int{0, 1, 2, 40, 90, 150} {
		_, err := sqlite.Open(t.Context(), damaged(t, page))
		require.Error(t, err, "page %d", page)
		require.Regexp(t, "damaged|no database", err, "page %d", page)
	}
}

// D12: damage under a running store is an error that says what to do, and never a
// panic.
func TestThreat_D12_DamageWhileOpen(t *testing.T) {
	path := damaged(t, 1_000_000) // far behind the end
	require.NoError(t, os.Truncate(path, 4096*int64(pagesOf(t, path))))
	s := openAt(t, path)
	for page := 1; page < pagesOf(t, path); page++ {
		spoil(t, path, page)
	}
	_, err := s.OnWriter(t.Context(), "PRAGMA shrink_memory") // and what it had read
	require.NoError(t, err)
	err = s.Read(t.Context(), func(r bursar.Reader) error {
		_, err := r.Payments(t.Context(), bursar.PaymentQuery{})
		return err
	})
	require.ErrorContains(t, err, "damaged; restore a backup")
	require.ErrorContains(t, put(t.Context(), s, sale("a")), "damaged; restore a backup")
}

// pagesOf is the number of pages that the file's own header tells.
func pagesOf(t *testing.T, path string) int {
	t.Helper()
	head := make([]byte, 32)
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.ReadAt(head, 0)
	require.NoError(t, err)
	return int(head[28])<<24 | int(head[29])<<16 | int(head[30])<<8 | int(head[31])
}

// A closure that goes on after its transaction could not begin reads nothing: it
// would be of another moment.
func TestASnapshotThatFailedStaysFailed(t *testing.T) {
	s := openAt(t, fileIn(t))
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	// Where a connection is free and the caller has left, either may be noticed first.
	for n := range 40 {
		require.ErrorIs(t, s.Write(t.Context(), func(tx bursar.Tx) error {
			_, err := tx.Pools(dead)
			require.Error(t, err)
			before, err := tx.Payments(t.Context(), bursar.PaymentQuery{})
			if err != nil {
				return errRollback
			}
			require.NoError(t, put(t.Context(), s, sale(fmt.Sprint(n))))
			after, err := tx.Payments(t.Context(), bursar.PaymentQuery{})
			require.NoError(t, err)
			require.Len(t, after, len(before), "later writes do not show through")
			return errRollback
		}), errRollback)
	}
}
