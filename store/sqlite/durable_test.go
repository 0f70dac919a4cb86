package sqlite_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/sqlite"
)

// D12: what durability rests on is in effect on every connection, whoever opened
// the database.
func TestThreat_D12_EveryConnection(t *testing.T) {
	path := fileIn(t)
	for name, s := range map[string]*sqlite.Store{"own": openAt(t, path), "host's": onHost(t, path, "")} {
		for _, pragma := range []string{"journal_mode=wal", "synchronous=2", "foreign_keys=1", "busy_timeout=5000"} {
			pragma, want, _ := strings.Cut(pragma, "=")
			got, err := s.OnWriter(t.Context(), "PRAGMA "+pragma)
			require.NoError(t, err)
			require.Equal(t, want, got, "%s: %s", name, pragma)
			all, err := s.OnReaders(t.Context(), "PRAGMA "+pragma)
			require.NoError(t, err)
			require.Len(t, all, 16)
			for _, got := range all {
				require.Equal(t, want, got, "%s: %s", name, pragma)
			}
		}
	}
}

// D12: a host's database that would lose what it confirmed is refused.
func TestThreat_D12_WeakDatabasesAreRefused(t *testing.T) {
	for options, want := range map[string]string{
		"?_pragma=journal_mode(DELETE)":                          "not wal",
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)": "below FULL",
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)":    "below FULL",
	} {
		_, err := sqlite.New(t.Context(), raw(t, fileIn(t), options))
		var wrong *bursar.FieldError
		require.ErrorAs(t, err, &wrong, options)
		require.Equal(t, "sqlite.New.db", wrong.Field)
		require.ErrorContains(t, err, want)
	}
	db := raw(t, fileIn(t), "?_pragma=journal_mode(WAL)")
	db.SetMaxOpenConns(7)
	_, err := sqlite.New(t.Context(), db)
	require.ErrorContains(t, err, "below 8")
	_, err = sqlite.New(t.Context(), nil)
	require.ErrorContains(t, err, "sqlite.New.db")
}

// copyFile copies one file as cp does.
func copyFile(t testing.TB, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	require.NoError(t, err)
	defer src.Close()
	dst, err := os.Create(to)
	require.NoError(t, err)
	_, err = io.Copy(dst, src)
	require.NoError(t, err)
	require.NoError(t, dst.Close())
}

// D12: a file that was copied without its -wal lacks the newest commits and
// nothing else, and is known for a copy.
func TestThreat_D12_CopyWithoutTheJournal(t *testing.T) {
	path := fileIn(t)
	s := openAt(t, path)
	require.NoError(t, s.Settle(t.Context()))
	for n := range 10 {
		require.NoError(t, put(t.Context(), s, sale(fmt.Sprint(n))))
	}
	_, err := s.OnWriter(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)")
	require.NoError(t, err)
	for n := range 5 {
		require.NoError(t, put(t.Context(), s, sale(fmt.Sprint("late", n))))
	}
	other := fileIn(t)
	copyFile(t, path, other)
	copied := openAt(t, other)
	require.Len(t, sales(t, copied), 10)
	require.Len(t, sales(t, s), 15)
	o, err := copied.Origin(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, o.Written)
	require.NotEqual(t, o.Written, o.Here, "a copy")
	require.NoError(t, copied.Settle(t.Context()))
	o, err = copied.Origin(t.Context())
	require.NoError(t, err)
	require.Equal(t, o.Written, o.Here, "its own now")
	o, err = s.Origin(t.Context())
	require.NoError(t, err)
	require.Equal(t, o.Written, o.Here, "the original stays what it is")
}

// D12: a backup that is made while writers work is whole, of one moment, and known
// for a copy.
func TestThreat_D12_BackupUnderLoad(t *testing.T) {
	path := fileIn(t)
	s := openAt(t, path)
	require.NoError(t, s.Settle(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := put(t.Context(), s, sale(fmt.Sprintf("%d_%d", g, n))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	last := 0
	for n := range 4 {
		until(t, "some sales", func() bool { return len(sales(t, s)) > last })
		to := filepath.Join(filepath.Dir(path), fmt.Sprint("backup", n))
		require.NoError(t, s.Backup(t.Context(), to))
		sound(t, to)
		b := openAt(t, to)
		got := len(sales(t, b))
		require.Greater(t, got, last)
		last = got
		o, err := b.Origin(t.Context())
		require.NoError(t, err)
		require.NotEqual(t, o.Written, o.Here)
	}
	cancel()
	wg.Wait()
}

// D12: a backup takes no file's place, and leaves nothing where it fails.
func TestThreat_D12_BackupOverwritesNothing(t *testing.T) {
	s := openAt(t, fileIn(t))
	require.NoError(t, put(t.Context(), s, sale("a")))
	dir := t.TempDir()
	taken, free := filepath.Join(dir, "taken"), filepath.Join(dir, "free")
	require.NoError(t, os.WriteFile(taken, []byte("precious"), 0o600))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "link")))
	for _, path := range []string{taken, filepath.Join(dir, "link"), dir} {
		var wrong *bursar.FieldError
		require.ErrorAs(t, s.Backup(t.Context(), path), &wrong, path)
	}
	require.Error(t, s.Backup(t.Context(), filepath.Join(dir, "missing", "b")))
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, s.Backup(dead, free))
	content, err := os.ReadFile(taken)
	require.NoError(t, err)
	require.Equal(t, "precious", string(content))
	require.NoError(t, s.Backup(t.Context(), free))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 3, "%v", files)
}

// D13: after a backup was put back, the file beside the database still knows what
// was handed out since.
func TestThreat_D13_RestoreInPlace(t *testing.T) {
	path := fileIn(t)
	s, err := sqlite.Open(t.Context(), path)
	require.NoError(t, err)
	_, err = s.Reserve(t.Context(), "pool", 256)
	require.NoError(t, err)
	require.NoError(t, s.Settle(t.Context()))
	backup := path + ".bak"
	require.NoError(t, s.Backup(t.Context(), backup))
	for range 3 {
		_, err = s.Reserve(t.Context(), "pool", 256)
		require.NoError(t, err)
	}
	_, err = s.Reserve(t.Context(), "new", 5)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, os.Rename(backup, path))
	_ = os.Remove(path + "-wal")
	_ = os.Remove(path + "-shm")

	s = openAt(t, path)
	o, err := s.Origin(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]uint32{"pool": 1024, "new": 5}, o.Reserved)
	require.Equal(t, []bursar.Pool{{Name: "pool", Next: 256}}, poolsOf(t, s), "the database has forgotten")
	require.NoError(t, s.Settle(t.Context()))
	o, err = s.Origin(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1024, o.Reserved["pool"], "to settle forgets nothing")
}

func poolsOf(t testing.TB, s bursar.Store) (pools []bursar.Pool) {
	t.Helper()
	require.NoError(t, s.Read(context.Background(), func(r bursar.Reader) (err error) {
		pools, err = r.Pools(context.Background())
		return err
	}))
	return pools
}

// D13: several stores on one database keep one file, and none takes back what
// another has told it.
func TestThreat_D13_SeveralProcessesOneFile(t *testing.T) {
	path := fileIn(t)
	stores := []*sqlite.Store{openAt(t, path), openAt(t, path), openAt(t, path)}
	require.NoError(t, stores[0].Settle(t.Context()))
	var wg sync.WaitGroup
	for i, s := range stores {
		wg.Go(func() {
			for n := range 20 {
				pool := fmt.Sprint("pool", (i+n)%4)
				first, err := s.Reserve(t.Context(), pool, 3)
				if err != nil {
					t.Error(err)
					return
				}
				o, err := s.Origin(t.Context())
				if err != nil || o.Reserved[pool] < first+3 || o.Written != o.Here {
					t.Errorf("%s: handed out up to %d, remembered %d (%v)", pool, first+3, o.Reserved[pool], err)
				}
				if n == 10 {
					if err := s.Settle(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	o, err := stores[0].Origin(t.Context())
	require.NoError(t, err)
	next := map[string]uint32{}
	for _, p := range poolsOf(t, stores[0]) {
		next[p.Name] = p.Next
	}
	require.Equal(t, next, o.Reserved)
}

// D13: a file beside the database that cannot be read or written stops the handing
// out, and says what to do.
func TestThreat_D13_DamagedOriginFile(t *testing.T) {
	path := fileIn(t)
	s := openAt(t, path)
	require.NoError(t, s.Settle(t.Context()))
	for _, content := range []string{"", "{", "[]", "{}", `{"mark":""}`, `{"mark":"a","reserved":{"pool":-1}}`, "\x00\x00"} {
		require.NoError(t, os.WriteFile(path+"-origin", []byte(content), 0o600))
		_, err := s.Reserve(t.Context(), "pool", 1)
		require.ErrorContains(t, err, "is damaged", content)
		_, err = s.Origin(t.Context())
		require.ErrorContains(t, err, "is damaged", content)
		require.ErrorContains(t, s.Settle(t.Context()), "is damaged", content)
	}
	require.NoError(t, os.Remove(path+"-origin"))
	o, err := s.Origin(t.Context())
	require.NoError(t, err)
	require.Equal(t, "none", o.Here)
	require.NotEmpty(t, o.Written, "taken for a restored one")
}

// D13: a crash between the file and the database is taken for a restore, which a
// second try ends.
func TestThreat_D13_CrashWhileSettling(t *testing.T) {
	path := fileIn(t)
	s := openAt(t, path)
	o, err := s.Origin(t.Context())
	require.NoError(t, err)
	require.Equal(t, bursar.Origin{Here: "none"}, o, "before the first")
	require.NoError(t, s.Settle(t.Context()))
	require.NoError(t, s.SettleHalf("other"))
	o, err = s.Origin(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, o.Written, o.Here)
	require.NoError(t, os.WriteFile(path+"-origin-new", []byte("cut sh"), 0o600), "a crash while the file was written")
	require.NoError(t, s.Settle(t.Context()))
	o, err = s.Origin(t.Context())
	require.NoError(t, err)
	require.Equal(t, o.Written, o.Here)
}

// D15: the ledger and the events cannot be edited, by whatever means.
func TestThreat_D15_LedgerAndEventsAreSealed(t *testing.T) {
	path := fileIn(t)
	s := openAt(t, path)
	require.NoError(t, put(t.Context(), s, sale("a"), bursar.Batch{Entries: []bursar.Entry{{
		ID: "undo", Rule: "L1", Asset: ether, Debit: "pending:pay_a", Credit: "U:h", Amount: chain.NewAmount(7), Reverses: "entry_a", At: day,
	}}}))
	db := raw(t, path, "")
	read := func() (entries []bursar.Entry) {
		require.NoError(t, s.Read(t.Context(), func(r bursar.Reader) (err error) {
			entries, err = r.Entries(t.Context(), bursar.EntryQuery{})
			return err
		}))
		return entries
	}
	before := read()
	for _, text := range []string{
		"UPDATE bursar_entries SET amount = '8'", "UPDATE bursar_entries SET debit_account = 'mine'", "UPDATE bursar_entries SET live_key = ''",
		"UPDATE bursar_entries SET reversed_by = '' WHERE id = 'entry_a'", "UPDATE bursar_entries SET pos = pos + 9", "UPDATE OR IGNORE bursar_entries SET subject = 'x'",
		"DELETE FROM bursar_entries", "DELETE FROM bursar_events", "UPDATE bursar_events SET seq = 2", "UPDATE bursar_events SET data = NULL",
	} {
		_, err := db.ExecContext(t.Context(), text)
		require.Error(t, err, text)
	}
	require.Equal(t, before, read())
	for _, column := range sqlite.Columns()["entries"] {
		_, err := db.ExecContext(t.Context(), `UPDATE bursar_entries SET "`+column+`" = "`+column+`"`)
		require.ErrorContains(t, err, "never changed", column)
	}
}

// D16: deliveries that ended are dropped, those that have not are kept, however
// old, and so are the events.
func TestThreat_D16_Prune(t *testing.T) {
	s := openAt(t, fileIn(t))
	statuses := []bursar.DeliveryStatus{bursar.DeliveryDone, bursar.DeliveryDead, bursar.DeliveryPending, bursar.DeliveryParked}
	var b bursar.Batch
	for n := range 3000 {
		d := bursar.Delivery{EventID: fmt.Sprint("evt", n), Endpoint: "n", Subject: "s", Seq: int64(n), Status: statuses[n%4], NextAt: day, DoneAt: day}
		if n%4 == 0 && n%8 != 0 {
			d.DoneAt = day.AddDate(0, 0, 1)
		}
		b.Deliveries = append(b.Deliveries, d)
	}
	require.NoError(t, put(t.Context(), s, b, sale("a")))
	n, err := s.Prune(t.Context(), day)
	require.NoError(t, err)
	require.Zero(t, n, "before that time, not at it")
	n, err = s.Prune(t.Context(), day.AddDate(0, 0, 1))
	require.NoError(t, err)
	require.EqualValues(t, 375+750, n)
	var left []bursar.Delivery
	require.NoError(t, s.Read(t.Context(), func(r bursar.Reader) error {
		left, err = r.Deliveries(t.Context(), bursar.DeliveryQuery{})
		require.NoError(t, err)
		events, err := r.Events(t.Context(), bursar.EventQuery{})
		require.Len(t, events, 1)
		return err
	}))
	require.Len(t, left, 3001-1125)
	for _, d := range left {
		require.True(t, d.Status == bursar.DeliveryPending || d.Status == bursar.DeliveryParked || d.DoneAt.After(day), d)
	}
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Prune(dead, day.AddDate(1, 0, 0))
	require.ErrorIs(t, err, context.Canceled)
}
