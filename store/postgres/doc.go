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
// Connections of the pool that have broken are replaced without an error. While
// the server is away each call fails and says so, at once where the server's
// machine answers; where the network is silent, after the connection string's
// connect_timeout, which should be a few seconds. The same Store goes on once the
// server is back.
//
// # Rights
//
// Migrate needs the right to create in the schema, and New runs it unless
// Options.KeepSchema is set. The work itself needs USAGE on the schema; SELECT,
// INSERT and UPDATE on its tables; and DELETE on deliveries, locks and
// attempt_locks. Entries and events refuse changes from everybody, their owner
// included, unless he disables their triggers.
//
// # Isolation
//
// Transactions are REPEATABLE READ. A writer that lost a race (40001, 40P01, and
// 55P03 where the role has a lock_timeout) runs its closure again, up to 32 times.
// A batch is one pipeline with its COMMIT: one round trip.
//
// In a transaction of the host's, any isolation level will do. A conflict is
// bursar.ErrConflict (CreatePaymentTx: *bursar.RetryTxError) and undoes only the
// batch, by a savepoint; under REPEATABLE READ and SERIALIZABLE the host has to
// begin again all the same, because its snapshot will not show what it lost to.
//
// # Order of locks, and timeouts
//
// A batch locks rows in this order: fences of leases, payments, transactions,
// addresses, payouts, attempts with their locks, deliveries, chains, entries,
// balances by asset and account, events. Reading locks nothing, but claims of
// deliveries, which lock what they return and skip what others have locked.
// WriteHost locks the delivery before it runs the host's handler.
//
// So a host locks its own rows either always before it calls CreatePaymentTx or
// always after, and never a row that a NotifyTx handler waits for while it holds
// one of the store's. Deadlocks that happen nevertheless are found by the server
// within its deadlock_timeout, and run again.
//
// The store sets no timeouts. lock_timeout and statement_timeout of the role apply
// and are told as errors; idle_in_transaction_session_timeout below 30 s cuts
// handlers off. After the caller's context has ended, up to 10 s go into leaving
// nothing open, and into finding out what became of a commit.
//
// # When the connection breaks at the commit
//
// Then nobody has said whether it happened. The store asks the server, on another
// connection, by the transaction's number, and waits while it is still at work:
// a server goes on with what it has received although nobody listens. Then it
// looks for the rows. It either reports success, or runs the closure again.
//
// Where the server has no number for the transaction (a batch without any reading
// before it, a database that only speaks PostgreSQL's protocol) the rows alone
// tell: those that never change, or all of them together. Where they cannot,
// because others have written them since, or nobody answers, the error is
// bursar.ErrUnknownOutcome.
//
// # Origin
//
// Origin names the server, its timeline, the database and the table that it is
// kept in, so that restored dumps, restores to a point in time and promoted
// replicas are told from the original. It needs the functions pg_control_system
// and pg_walfile_name, which everybody may call by default; without them it knows
// database and table. To give or take these rights is to move, as far as Origin
// can tell.
package postgres
