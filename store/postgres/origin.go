package postgres

import (
	"context"

	"github.com/bursar-go/bursar"
)

// originFact is where the database keeps its mark.
const originFact = "origin"

// place names the place of the data: the server that initdb made, its timeline,
// which a restore to a point in time and the promotion of a replica raise, the
// database, which a dump that is restored beside the old one changes, and the
// table, which a dump that is restored over the old one makes anew.
const place = `(SELECT system_identifier FROM pg_control_system())::text || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
 || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())::text || '/' || $1::regclass::oid::text`

// modestPlace is what remains where the role may not ask the server for its
// identity, or the server has none.
const modestPlace = `current_database() || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())::text || '/' || $1::regclass::oid::text`

// Origin implements bursar.Original. Here is the same as long as the data are on
// the server, the timeline, the database and in the tables that they were written
// in: it changes with a restored dump, with a restore to a point in time, with a
// promoted replica (which may lack the last commits), and with pg_upgrade. It does
// not show a disk that was put back as it was.
func (s *Store) Origin(ctx context.Context) (o bursar.Origin, err error) {
	if s.closed.Load() {
		return o, bursar.ErrStoreClosed
	}
	if o.Here, err = s.here(ctx); err != nil {
		return bursar.Origin{}, explain(err)
	}
	err = s.pool.QueryRow(ctx, "SELECT coalesce((SELECT value FROM "+s.facts()+" WHERE name = $1), '')", originFact).Scan(&o.Written)
	return o, explain(err)
}

// Settle implements bursar.Original.
func (s *Store) Settle(ctx context.Context) error {
	if s.closed.Load() {
		return bursar.ErrStoreClosed
	}
	here, err := s.here(ctx)
	if err != nil {
		return explain(err)
	}
	_, err = s.pool.Exec(ctx, "INSERT INTO "+s.facts()+" (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", originFact, here)
	return explain(err)
}

func (s *Store) facts() string { return dialect(s.name).Table("facts") }

// here asks for the place.
func (s *Store) here(ctx context.Context) (here string, err error) {
	err = s.pool.QueryRow(ctx, "SELECT "+place, s.facts()).Scan(&here)
	switch state(err) {
	case stateNoFunction, statePrivilege, stateNoFeature:
		err = s.pool.QueryRow(ctx, "SELECT "+modestPlace, s.facts()).Scan(&here)
	}
	return here, err
}
