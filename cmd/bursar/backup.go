package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/config"
	"github.com/bursar-go/bursar/store/sqlite"
)

func backupCommand() *command {
	return &command{
		name: "backup", args: "PATH", operands: 1, short: "copies an SQLite database while the gateway works",
		long: `Writes a copy of the SQLite database, as it is at one moment, to a file that must not
exist. It may run beside the gateway. The file is there once it is whole and on the
disk; until then it has -new at its end. Leave the file with -origin at its end where
it is: it is no part of a backup, and tells a gateway that a database was restored.

PostgreSQL is backed up by its own tools.`,
		prepare: func(*flag.FlagSet) func(context.Context, *call) error {
			return func(ctx context.Context, c *call) error { return c.backup(ctx, c.operands[0]) }
		},
	}
}

func (c *call) backup(ctx context.Context, path string) error {
	return c.withStore(ctx, func(f *config.File, store bursar.Store) error {
		lite, ok := store.(*sqlite.Store)
		if !ok {
			return c.storeFault("store.driver", errors.New("backup is for sqlite; a PostgreSQL server is backed up by pg_basebackup or pg_dump"))
		}
		if err := lite.Backup(ctx, path); err != nil {
			return err
		}
		return c.print(map[string]string{"from": f.Store.Path, "to": path}, fmt.Sprintf("%s was copied to %s\n", f.Store.Path, path))
	})
}
