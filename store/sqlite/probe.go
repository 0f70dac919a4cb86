package sqlite

import (
	"context"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/internal/relational"
)

var _ bursar.Prober = (*Store)(nil)

// probeFact is the row that a probe writes. It stays, empty.
const probeFact = "probe"

// Probe implements bursar.Prober. It also renews the file beside the database,
// without which no index is handed out. The two writes are commits of their own:
// what a transaction takes back itself never reaches the disk.
func (s *Store) Probe(ctx context.Context) error {
	for _, value := range []string{relational.Ballast(), ""} {
		err := s.alone(ctx, func(ctx context.Context, c *conn) error {
			_, err := c.Exec(ctx, "INSERT INTO "+prefix+"facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
				[]any{probeFact, value})
			return explain(err)
		})
		if err != nil {
			return err
		}
	}
	return s.alone(ctx, func(context.Context, *conn) error { return s.origin.renew() })
}
