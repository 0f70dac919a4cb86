package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bursar-go/bursar/store/sqlite"
)

// database is the file that everything is kept in.
type database struct {
	*sqlite.Store
	path string
	// folder is removed in the end; empty where the file is kept.
	folder string
}

// openDatabase makes a new file. One that is there already is left alone: it has
// the payments of another run, whose wallet is gone, and whose chain too where that
// was in the process. A host goes on with its file, its wallet and its chain.
func openDatabase(ctx context.Context, path string) (_ *database, err error) {
	d := &database{path: path}
	if path == "" {
		if d.folder, err = os.MkdirTemp("", "quickstart-"); err != nil {
			return nil, err
		}
		d.path = filepath.Join(d.folder, "bursar.db")
	} else if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("-db: %s is there already. Each run has a wallet and a chain of its own, which an earlier one cannot be continued with: name another file, or remove this one and those whose names begin with it", path)
	}
	if d.Store, err = sqlite.Open(ctx, d.path); err != nil {
		return nil, errors.Join(err, d.remove())
	}
	return d, nil
}

// close closes the file, and removes it unless it is to be kept.
func (d *database) close() error { return errors.Join(d.Close(), d.remove()) }

func (d *database) remove() error {
	if d.folder == "" {
		return nil
	}
	return os.RemoveAll(d.folder)
}
