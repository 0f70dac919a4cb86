package sqlite

import (
	"context"
	"time"

	"github.com/bursar-go/bursar"
)

// pruneBatch bounds how many rows one transaction deletes, so that nobody waits
// long for the writer.
const pruneBatch = 1000

var _ bursar.Pruner = (*Store)(nil)

// Prune implements bursar.Pruner.
func (s *Store) Prune(ctx context.Context, before time.Time) (deleted int64, err error) {
	const own = prefix + "deliveries"
	text := "DELETE FROM " + own + " WHERE rowid IN (SELECT rowid FROM " + own +
		" WHERE done_at < ? AND \"status\" IN ('" + string(bursar.DeliveryDone) + "', '" + string(bursar.DeliveryDead) + "') LIMIT ?)"
	for {
		var n int64
		err := s.alone(ctx, func(ctx context.Context, c *conn) (err error) {
			n, err = c.Exec(ctx, text, []any{before.UnixMicro(), pruneBatch})
			return explain(err)
		})
		if err != nil {
			return deleted, err
		}
		deleted += n
		if n < pruneBatch {
			return deleted, nil
		}
	}
}
