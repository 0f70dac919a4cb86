package postgres

import (
	"context"
	"errors"
	"io"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/internal/relational"
)

// Unnumbered has the store work as on a server that does not number transactions.
func (s *Store) Unnumbered() { s.numbers = false }

// Numbered tells whether the server numbers transactions.
func (s *Store) Numbered() bool { return s.numbers }

// Columns are those of every table.
func (s *Store) Columns() map[string][]string { return s.schema.Columns() }

// Known are the steps of the schema without its name.
func Known() ([]relational.Migration, error) { return relational.Load(files) }

// Judge is what the store makes of a lost commit of these rows under a number.
func (s *Store) Judge(ctx context.Context, xid string, d bursar.Delivery, e bursar.Event) (present, again bool, err error) {
	ops, err := s.schema.Ops(&bursar.Batch{Deliveries: []bursar.Delivery{d}, Events: []bursar.Event{e}})
	if err != nil {
		return false, false, err
	}
	again, err = s.outcome(ctx, xid, ops, io.ErrUnexpectedEOF)
	switch {
	case errors.Is(err, bursar.ErrUnknownOutcome):
		return false, false, nil
	case again:
		return false, true, nil
	}
	return true, false, err
}

// ReaderOn reads by a connection of the test's.
func (s *Store) ReaderOn(c relational.Conn) *relational.Reader {
	return &relational.Reader{S: s.schema, C: c, Writes: true}
}
