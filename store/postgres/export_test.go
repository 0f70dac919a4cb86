package postgres

import "github.com/bursar-go/bursar/store/internal/relational"

// Unnumbered has the store work as on a server that does not number transactions.
func (s *Store) Unnumbered() { s.numbers = false }

// Columns are those of every table.
func (s *Store) Columns() map[string][]string { return s.schema.Columns() }

// Known are the steps of the schema without its name.
func Known() ([]relational.Migration, error) { return relational.Load(files) }
