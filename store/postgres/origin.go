package postgres

import (
	"context"

	"github.com/bursar-go/bursar"
)

// originFact is where the database keeps its mark.
const originFact = "origin"

// here names the place of the data: the server that initdb made, its timeline,
// which a restore to a point in time and the promotion of a replica raise, and the
// database, which a dump that is restored beside the old one changes.
const here = `SELECT s.system_identifier::text || '/' || c.timeline_id::text || '/' || d.oid::text
 FROM pg_control_system() AS s, pg_control_checkpoint() AS c, pg_database AS d WHERE d.datname = current_database()`

// Origin implements bursar.Original.
func (s *Store) Origin(ctx context.Context) (o bursar.Origin, err error) {
	err = s.pool.QueryRow(ctx, "SELECT ("+here+"), coalesce((SELECT value FROM "+dialect(s.name).Table("facts")+" WHERE name = $1), '')", originFact).Scan(&o.Here, &o.Written)
	return o, explain(err)
}

// Settle implements bursar.Original.
func (s *Store) Settle(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, "INSERT INTO "+dialect(s.name).Table("facts")+" (name, value) SELECT $1, ("+here+") ON CONFLICT (name) DO UPDATE SET value = excluded.value", originFact)
	return explain(err)
}
