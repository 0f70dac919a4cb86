package sqlite_test

import (
	"context"

	"github.com/bursar-go/bursar/store/sqlite"
)

// openOnce opens the store and closes it again.
func openOnce(path string) error {
	s, err := sqlite.Open(context.Background(), path)
	if err != nil {
		return err
	}
	return s.Close()
}
