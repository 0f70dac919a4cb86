package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/bursar-go/bursar"
)

// Backup writes a copy of the database, as it is at one moment, to a file that
// must not exist. It may run while the gateway works. A gateway that is started on
// the copy notices that it is one, and issues no address again that was issued
// after it was made.
func (s *Store) Backup(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return &bursar.FieldError{Field: "sqlite.Backup.path", Code: bursar.CodeInvalid, Reason: fmt.Sprintf("%s exists", path), Err: err}
	}
	if s.closed.Load() {
		return bursar.ErrStoreClosed
	}
	c, err := s.read.take(ctx)
	if err != nil {
		return err
	}
	_, err = c.ExecContext(ctx, "VACUUM INTO ?", path)
	s.read.give(c, err != nil)
	return explain(err)
}
