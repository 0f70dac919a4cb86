package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/sqlite"
)

// failingDisk lets every write that makes the journal longer fail, as a disk that
// breaks in the middle of a commit does, until it is mended.
func failingDisk(t *testing.T, path string) (mend func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	info, err := os.Stat(path + "-wal")
	require.NoError(t, err)
	var was syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(info.Size()), Max: was.Max}))
	done := false
	mend = func() {
		if !done {
			done = true
			require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was))
		}
	}
	t.Cleanup(mend)
	return mend
}

// D2: after a disk that failed during COMMIT nobody can say whether a restart will
// find the transaction. The store does not say that nothing was written, to none
// of those who shared the commit; whoever does the same again by the same keys
// ends with one of each.
func TestThreat_D2_TheDiskFailsDuringACommit(t *testing.T) {
	again := func(s *sqlite.Store, id string) error {
		if err := put(t.Context(), s, sale(id)); !errors.Is(err, bursar.ErrConflict) {
			return err
		}
		return nil // it was there
	}
	path := fileIn(t)
	s := openAt(t, path)
	require.NoError(t, put(t.Context(), s, sale("before")))
	want := []string{"before"}
	for name, calls := range map[string][]func(id string) error{
		"one": {func(id string) error { return put(t.Context(), s, sale(id)) }},
		"several": {
			func(id string) error { return put(t.Context(), s, sale(id)) },
			func(id string) error { return put(t.Context(), s, sale(id)) },
			func(id string) error { return put(t.Context(), s, sale(id)) },
		},
		"host": {func(id string) error {
			return s.WriteHost(t.Context(), func(tx bursar.Tx) error { return tx.Apply(t.Context(), sale(id)) })
		}},
	} {
		var writes []func() error
		var ids []string
		for n, call := range calls {
			id := fmt.Sprint(name, n)
			ids = append(ids, id)
			writes = append(writes, func() error { return call(id) })
		}
		mend := failingDisk(t, path)
		var got []error
		if len(writes) == 1 {
			got = append(got, writes[0]())
		} else {
			got = together(t, s, writes...)
		}
		mend()
		for _, err := range got {
			require.ErrorIs(t, err, bursar.ErrUnknownOutcome, name)
			require.ErrorContains(t, err, "the disk failed", name)
		}
		sales(t, s) // whole, whatever is there
		for _, id := range ids {
			require.NoError(t, again(s, id), name)
		}
		want = append(want, ids...)
		require.ElementsMatch(t, want, sales(t, s), name)
	}
	require.NoError(t, s.Close())
	sound(t, path)
	require.ElementsMatch(t, want, sales(t, openAt(t, path)), "and after a restart")
}

// D2: a full disk leaves no doubt. SQLite has undone the commit, and the error does
// not make anybody look for what cannot be there.
func TestThreat_D2_AFullDiskLeavesNoDoubt(t *testing.T) {
	dir, _ := smallDisk(t, 8)
	s := openAt(t, dir+"/bursar.db")
	require.NoError(t, put(t.Context(), s, sale("before")))
	var st syscall.Statfs_t
	require.NoError(t, syscall.Statfs(dir, &st))
	require.NoError(t, os.WriteFile(dir+"/ballast", make([]byte, max(0, int64(st.Bfree)*st.Bsize)), 0o600))
	var err error
	var written []string
	for n := 0; n < 1000 && err == nil; n++ {
		id := fmt.Sprint(n)
		if err = put(t.Context(), s, sale(id)); err == nil {
			written = append(written, id)
		}
	}
	require.ErrorContains(t, err, "the disk is full")
	require.NotErrorIs(t, err, bursar.ErrUnknownOutcome)
	require.ElementsMatch(t, append(written, "before"), sales(t, s))
}
