// Package postgres is a bursar.Store in PostgreSQL 15 or newer: the store for a
// host with a database server, and for several instances that share the work.
//
//	store, err := postgres.New(ctx, pool, postgres.Options{})
//
// The tables live in a schema of their own, "bursar" unless Options says another,
// in the database that the pool connects to. A host that keeps its own tables in
// the same database can create payments inside its own transactions; see Store.Tx
// and Store.SQLTx.
//
// # Connections
//
// Nothing is kept in a session: no setting, no advisory lock, no temporary table,
// no LISTEN. The store works behind a pooler that gives each transaction another
// connection. A pooler without support for prepared statements (PgBouncer before
// 1.21, or with max_prepared_statements = 0) needs default_query_exec_mode=exec in
// the connection string. Each transaction holds one connection of the pool.
//
// # Isolation
//
// Transactions are REPEATABLE READ. A writer that lost a race (40001, 40P01) runs
// its closure again. A batch is one pipeline with its COMMIT: one round trip.
//
// # When the connection breaks at the commit
//
// Then nobody has said whether it happened. The store looks for the rows that it
// wrote, on another connection, after whatever is left of the transaction has
// ended, and either reports success or runs the closure again. Where it cannot
// tell, the error is bursar.ErrUnknownOutcome.
package postgres
