package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bursar-go/bursar"
)

// Backup writes a copy of the database, as it is at one moment, to a file that
// must not exist. It may run while the gateway works. The file is there when it is
// whole and on the disk, and not before; until then it has -new at its end.
//
// A gateway that is started on the copy notices that it is one, and issues no
// address again that was issued after it was made. For that, leave the file with
// -origin at its end where it is: it is no part of a backup.
func (s *Store) Backup(ctx context.Context, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	for _, taken := range []string{path, path + "-new"} {
		if _, err := os.Lstat(taken); !errors.Is(err, fs.ErrNotExist) {
			return &bursar.FieldError{Field: "sqlite.Backup.path", Code: bursar.CodeInvalid, Reason: taken + " is there already, or cannot be looked at", Err: err}
		}
	}
	if err := s.copyTo(ctx, path+"-new"); err != nil {
		return errors.Join(err, remove(path+"-new"), remove(path+"-new-journal"))
	}
	// A link refuses to take the place of a file that appeared meanwhile.
	if err := errors.Join(os.Link(path+"-new", path), os.Remove(path+"-new"), syncDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	return nil
}

// copyTo makes a copy that is on the disk, for which SQLite does not wait.
func (s *Store) copyTo(ctx context.Context, path string) error {
	if s.closed.Load() {
		return bursar.ErrStoreClosed
	}
	c, err := s.read.take(ctx)
	if err != nil {
		return err
	}
	_, err = c.ExecContext(ctx, "VACUUM INTO ?", path)
	s.read.give(c, err != nil)
	if err != nil {
		return explain(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	return nil
}

// remove takes away what was left half done, if it is there.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
