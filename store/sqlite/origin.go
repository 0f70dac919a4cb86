package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/internal/relational"
)

// originFile is the file beside the database that remembers what was handed out.
// A restored backup brings the database back to an earlier time, not this file.
//
// Whoever reads or writes it is the writer of the database, which keeps other
// processes away. It is small, and read each time.
type originFile struct {
	path string
}

type originState struct {
	// Mark is the same as in the database where both belong together; empty
	// before the first Settle.
	Mark string `json:"mark"`
	// Reserved is the first index never handed out, of each pool.
	Reserved map[string]uint32 `json:"reserved"`
	// Open is the same with what transactions of the host's took that had not ended
	// yet, where it goes further.
	Open map[string]uint32 `json:"open,omitempty"`
}

// hostMarks tells apart what a host's transaction reserves and what was committed
// before it.
type hostMarks struct {
	mu sync.Mutex
	// tx is the transaction that reserved last, before the first index that each
	// pool had free when it began to.
	tx     *sql.Tx
	before map[string]uint32
}

// committed is the first index of a pool that no transaction which was committed
// has taken; first is the one that tx was given. All others have ended, because
// tx is the only writer.
func (m *hostMarks) committed(tx *sql.Tx, pool string, first uint32) uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tx != tx {
		m.tx, m.before = tx, map[string]uint32{}
	}
	before, known := m.before[pool]
	if !known {
		before = first
		m.before[pool] = first
	}
	return before
}

func newOriginFile(database string) *originFile { return &originFile{path: database + "-origin"} }

// load reads the file; one that is not there is empty.
func (f *originFile) load() (s originState, err error) {
	b, err := os.ReadFile(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return originState{}, nil
	case err != nil:
		return originState{}, fmt.Errorf("sqlite: %w", err)
	}
	if err = json.Unmarshal(b, &s); err == nil && s.Mark == "" {
		err = errors.New("it has no mark")
	}
	if err != nil {
		return originState{}, fmt.Errorf("sqlite: %s is damaged: %w; move it away and start again: the gateway then takes the database for a restored one", f.path, err)
	}
	return s, nil
}

// raise remembers that indexes below committed were handed out, and those below
// open perhaps.
func (f *originFile) raise(pool string, committed, open uint32) error {
	s, err := f.load()
	if err != nil {
		return err
	}
	if s.Mark == "" || committed <= s.Reserved[pool] && open <= max(s.Open[pool], s.Reserved[pool]) {
		return nil // before the first Settle nothing is lost by a restore
	}
	s.merge(map[string]uint32{pool: committed}, map[string]uint32{pool: open})
	return f.store(s)
}

// merge raises the marks, and forgets those that say nothing.
func (s *originState) merge(reserved, open map[string]uint32) {
	s.Reserved, s.Open = highest(s.Reserved, reserved), highest(s.Open, open)
	maps.DeleteFunc(s.Reserved, func(_ string, n uint32) bool { return n == 0 })
	maps.DeleteFunc(s.Open, func(pool string, n uint32) bool { return n <= s.Reserved[pool] })
}

func highest(a, b map[string]uint32) map[string]uint32 {
	out := make(map[string]uint32, len(a)+len(b))
	for _, m := range []map[string]uint32{a, b} {
		for pool, n := range m {
			out[pool] = max(out[pool], n)
		}
	}
	return out
}

// renew writes the file again, as it is, which takes the same room on the disk as
// to raise it.
func (f *originFile) renew() error {
	s, err := f.load()
	if err != nil || s.Mark == "" {
		return err
	}
	return f.store(s)
}

// store replaces the file, all or nothing, and waits for the disk. A crash leaves
// at most the file that was to become the new one, which the next call overwrites.
func (f *originFile) store(s originState) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	fresh := f.path + "-new"
	if err = write(fresh, b); err == nil {
		if err = os.Rename(fresh, f.path); err == nil {
			err = syncDir(filepath.Dir(f.path))
		}
	}
	if err != nil {
		return &bursar.StoreError{Store: "sqlite", Code: fileCode(err), Reason: "what was handed out cannot be remembered", Err: err}
	}
	return nil
}

// write makes a file that is on the disk when it returns.
func write(path string, b []byte) error {
	t, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = t.Write(b)
	return errors.Join(err, t.Sync(), t.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// originFact is where the database keeps its mark.
const originFact = "origin"

// Origin implements bursar.Original. Here is "none" where the file beside the
// database is missing. Reserved lacks at most what the last transaction of a
// host's reserved; Open has it, until the next reservation or the next call.
func (s *Store) Origin(ctx context.Context) (bursar.Origin, error) {
	var o bursar.Origin
	err := s.alone(ctx, func(ctx context.Context, c *conn) (err error) {
		if o.Written, err = fact(ctx, c, originFact); err != nil {
			return err
		}
		have, err := s.origin.load()
		if err == nil && have.Mark == o.Written && len(have.Open) > 0 {
			have, err = s.ended(ctx, c, have)
		}
		o.Here, o.Reserved, o.Open = have.Mark, have.Reserved, have.Open
		if o.Here == "" {
			o.Here = "none"
		}
		return err
	})
	return o, err
}

// ended takes over into the file what transactions of the host's have committed by
// now: they all have ended, because we are the only writer.
func (s *Store) ended(ctx context.Context, c *conn, have originState) (originState, error) {
	pools, err := s.pools(ctx, c)
	if err != nil {
		return have, err
	}
	before := len(have.Open)
	have.merge(pools, nil)
	if len(have.Open) == before {
		return have, nil
	}
	return have, s.origin.store(have)
}

// fact reads what the database knows of itself; empty: nothing.
func fact(ctx context.Context, c *conn, name string) (value string, err error) {
	rows, err := c.Query(ctx, "SELECT value FROM "+prefix+"facts WHERE name = ?", []any{name})
	if err != nil {
		return "", err
	}
	for rows.Next() {
		if err := rows.Scan(&value); err != nil {
			return "", errors.Join(explain(err), rows.Close())
		}
	}
	return value, errors.Join(rows.Err(), rows.Close())
}

// Settle implements bursar.Original. The file is written before the database: a
// crash between leaves two that differ, which is taken for a restore once more.
func (s *Store) Settle(ctx context.Context) error {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	mark := hex.EncodeToString(b)
	return s.alone(ctx, func(ctx context.Context, c *conn) error {
		have, err := s.origin.load()
		if err != nil {
			return err
		}
		reserved, err := s.pools(ctx, c)
		if err != nil {
			return err
		}
		have.Mark = mark
		have.merge(reserved, nil)
		if err := s.origin.store(have); err != nil {
			return err
		}
		_, err = c.Exec(ctx, "INSERT INTO "+prefix+"facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
			[]any{originFact, mark})
		return explain(err)
	})
}

// pools reads what the database has handed out.
func (s *Store) pools(ctx context.Context, c *conn) (map[string]uint32, error) {
	r := &relational.Reader{S: s.schema, C: c}
	pools, err := r.Pools(ctx)
	next := make(map[string]uint32, len(pools))
	for _, p := range pools {
		next[p.Name] = p.Next
	}
	return next, err
}
