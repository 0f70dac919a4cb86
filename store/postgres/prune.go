package postgres

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/internal/relational"
)

// pruneBatch bounds how many rows one statement deletes, so that nobody waits long
// for a row, and little is done again where the statement is undone.
const pruneBatch = 5000

var _ bursar.Pruner = (*Store)(nil)

// Prune implements bursar.Pruner. Rows that somebody has locked stay for the next
// time.
func (s *Store) Prune(ctx context.Context, before time.Time) (deleted int64, err error) {
	own := dialect(s.name).Table("deliveries")
	text := "WITH ended AS (SELECT event_id, endpoint FROM " + own +
		" WHERE done_at < $1 AND status IN ('" + string(bursar.DeliveryDone) + "', '" + string(bursar.DeliveryDead) + "')" +
		" ORDER BY done_at LIMIT $2 FOR UPDATE SKIP LOCKED)" +
		" DELETE FROM " + own + " AS d USING ended AS e WHERE d.event_id = e.event_id AND d.endpoint = e.endpoint"
	for {
		n := int64(0)
		err := relational.Retry(ctx, rand.Int64N, func() (bool, error) {
			if s.closed.Load() {
				return false, bursar.ErrStoreClosed
			}
			tag, err := s.pool.Exec(ctx, text, before.UTC(), pruneBatch)
			n = tag.RowsAffected()
			return lostRace(err), explain(err)
		})
		deleted += n
		if err != nil || n < pruneBatch {
			return deleted, err
		}
	}
}
