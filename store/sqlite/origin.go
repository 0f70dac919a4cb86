package sqlite

import (
	"context"
	"crypto/rand"
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
)

// originFile is the file beside the database that remembers what was handed out.
// A restored backup brings the database back to an earlier time, not this file.
type originFile struct {
	mu   sync.Mutex
	path string // empty: the database is in memory, and cannot be restored
	have originState
	// loaded is true once have is what the file says.
	loaded bool
}

type originState struct {
	// Mark is the same as in the database where both belong together.
	Mark string `json:"mark"`
	// Reserved is the first index never handed out, of each pool.
	Reserved map[string]uint32 `json:"reserved"`
}

func newOriginFile(database string) *originFile {
	if database == "" {
		return &originFile{}
	}
	return &originFile{path: database + "-origin"}
}

// load reads the file once; one that is not there is empty.
func (f *originFile) load() error {
	if f.loaded || f.path == "" {
		return nil
	}
	b, err := os.ReadFile(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.have = originState{}
	case err != nil:
		return fmt.Errorf("sqlite: %w", err)
	default:
		var s originState
		if err := json.Unmarshal(b, &s); err != nil {
			return fmt.Errorf("sqlite: %s is damaged: %w; move it away and start again: the gateway then takes the database for a restored one", f.path, err)
		}
		f.have = s
	}
	f.loaded = true
	return nil
}

// raise remembers that indexes below next were handed out.
func (f *originFile) raise(pool string, next uint64) error {
	if f.path == "" {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.load(); err != nil {
		return err
	}
	if f.have.Mark == "" || next <= uint64(f.have.Reserved[pool]) {
		return nil // before the first Settle nothing is lost by a restore
	}
	s := originState{Mark: f.have.Mark, Reserved: maps.Clone(f.have.Reserved)}
	if s.Reserved == nil {
		s.Reserved = map[string]uint32{}
	}
	s.Reserved[pool] = uint32(next) //nolint:gosec // At most 2^31.
	return f.store(s)
}

// store replaces the file, all or nothing, and waits for the disk.
func (f *originFile) store(s originState) (err error) {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	t, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+"-*")
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("sqlite: %w", err), os.Remove(t.Name()))
		}
	}()
	_, err = t.Write(b)
	if err = errors.Join(err, t.Sync(), t.Close()); err != nil {
		return err
	}
	if err = os.Rename(t.Name(), f.path); err != nil {
		return err
	}
	f.have, f.loaded = s, true
	return syncDir(filepath.Dir(f.path))
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
// database is missing.
func (s *Store) Origin(ctx context.Context) (bursar.Origin, error) {
	o := bursar.Origin{Here: "memory"}
	err := s.alone(ctx, func(c *conn) error {
		rows, err := c.Query(ctx, "SELECT value FROM "+prefix+"facts WHERE name = ?", []any{originFact})
		if err != nil {
			return err
		}
		for rows.Next() {
			if err := rows.Scan(&o.Written); err != nil {
				return errors.Join(explain(err), rows.Close())
			}
		}
		return errors.Join(rows.Err(), rows.Close())
	})
	if err != nil || s.origin.path == "" {
		return o, err
	}
	s.origin.mu.Lock()
	defer s.origin.mu.Unlock()
	s.origin.loaded = false // another process may have written it
	if err := s.origin.load(); err != nil {
		return o, err
	}
	o.Here, o.Reserved = s.origin.have.Mark, maps.Clone(s.origin.have.Reserved)
	if o.Here == "" {
		o.Here = "none"
	}
	return o, nil
}

// Settle implements bursar.Original. The file is written before the database: a
// crash between leaves two that differ, which is taken for a restore once more.
func (s *Store) Settle(ctx context.Context) error {
	mark := "memory"
	if s.origin.path != "" {
		b := make([]byte, 16)
		if _, err := rand.Read(b); err != nil {
			return fmt.Errorf("sqlite: %w", err)
		}
		mark = hex.EncodeToString(b)
	}
	pools, err := s.pools(ctx)
	if err != nil {
		return err
	}
	if s.origin.path != "" {
		if err := s.origin.begin(mark, pools); err != nil {
			return err
		}
	}
	return s.alone(ctx, func(c *conn) error {
		_, err := c.Exec(ctx, "INSERT INTO "+prefix+"facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
			[]any{originFact, mark})
		return explain(err)
	})
}

func (s *Store) pools(ctx context.Context) (map[string]uint32, error) {
	next := map[string]uint32{}
	err := s.Read(ctx, func(r bursar.Reader) error {
		pools, err := r.Pools(ctx)
		for _, p := range pools {
			next[p.Name] = p.Next
		}
		return err
	})
	return next, err
}

// begin makes the file anew.
func (f *originFile) begin(mark string, next map[string]uint32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.load(); err != nil {
		return err
	}
	for pool, n := range f.have.Reserved {
		next[pool] = max(next[pool], n)
	}
	return f.store(originState{Mark: mark, Reserved: next})
}
