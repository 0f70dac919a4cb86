// Package store is the home of the stores that come with the gateway, and of
// the guide to writing another one. It has no code.
//
// # Choosing
//
// Package memory keeps everything in the process and loses it with the
// process: for tests, demonstrations and simulations. Money needs a durable
// store.
//
// Package sqlite keeps one file: for a host that is one process, with or without a
// database of its own. Package postgres keeps tables in a schema of the host's
// PostgreSQL: for any number of processes. Both are modules of their own, so that a
// host downloads no driver that it does not use, and both take part in the host's
// transactions.
//
// # Writing a store
//
// A store implements bursar.Store. The doc comments there are the contract;
// storetest.Run is the same contract as tests, a named subtest for each rule:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) bursar.Store { return open(t) })
//	}
//
// The port is small on purpose: a store reads lists by queries that are plain
// structs, and writes one Batch, which is plain data. What follows is how its
// rules are met by the means that databases have.
//
// Snapshots. Every query of a closure reads the same snapshot: REPEATABLE READ
// or better on PostgreSQL, a read transaction on SQLite in WAL mode. READ
// COMMITTED is not enough: two queries of one closure would see two worlds.
//
// Versions. An update is "UPDATE … SET version = version + 1 WHERE id = … AND
// version = …", an insert "INSERT … ON CONFLICT DO NOTHING"; a row count other
// than one is a conflict. Snapshot isolation alone admits write skew, where
// two writers read the same and write different rows; versions and unique keys
// are what keeps them apart, so a unique key of the contract is a unique index
// of the database and never a query before an insert.
//
// Order. Rows count in the order of the batch, table by table: a key that a
// row gives up can be taken by a later row of the same table. Fences come
// first, then rows, then entries and events, so that a writer that lost its
// lease hears ErrFenced, and one that was too slow ErrConflict, before it can
// be accused of a broken rule.
//
// Conflicts. A serialization failure, a deadlock, a busy database and a taken
// key all mean: roll back, wait a random moment, run the closure again from
// the start. After a bounded number of tries the answer is ErrConflict. A
// closure's own error, and its panic, roll back and are passed on unchanged.
//
// Unknown outcomes. When the connection breaks under COMMIT nobody knows what
// happened. The store says so in its error, and does not run the closure
// again by itself. The gateway repeats its business step, whose rows have
// natural keys: it finds them written, or writes them.
//
// Money. Amounts reach 2^256-1, above every integer type of a database:
// NUMERIC(78,0) or text. Balances are sums of entries and may be kept beside
// them only if they change in the same transaction.
//
// Time. Reader.Now is one time for the closure, in UTC and whole microseconds.
// It may jump. A lease is taken over by time and is defended by its epoch,
// which only rises.
//
// Text. All text is UTF-8 and is compared byte by byte: a collation that
// orders or equates differently breaks paging and unique keys.
//
// # What the SQL stores do
//
// They have their tables and statements in common, made from the row types by
// reflection: a field that is added to a row needs a column in a new migration, and
// nothing works, nor passes a test, before it has one. What was released of a
// migration never changes; a database that is newer than the program, or was made
// by another text, is refused.
//
// Statements are guarded twice. Each is told how many rows it must touch, which
// finds conflicts; unique indexes, checks and triggers hold what must hold even
// where somebody writes by hand, and are not relied on for anything else.
//
// Index by what is there. Most text columns of a row are empty, and their indexes
// leave the empty out. A query that binds its argument has to say as well that the
// column is not empty, because the planner does not know the argument.
//
// Optional interfaces (bursar.HostWriter, TxReserver, Original, Pruner) say what a
// store can do beyond the port, and what becomes of a gateway on one that cannot.
package store
