// Package sqlite is a bursar.Store in one SQLite file: the store for a host that
// runs as one process and has no database server.
//
//	store, err := sqlite.Open(ctx, "bursar.db")
//
// A host that has an SQLite database of its own gives it to New, and can then
// create payments inside its own transactions; see Store.Tx. The tables are
// called bursar_…, so that they get along with the host's.
//
// # Durability
//
// The journal is a write-ahead log and every commit waits for the disk
// (synchronous=FULL): what was confirmed to a caller survives the loss of power.
// The file must lie on a local disk. Network file systems lack the locks that
// SQLite relies on.
//
// Copy a database only with Backup. A copy of the file alone, without the -wal
// file beside it, lacks the newest commits.
//
// # Concurrency
//
// A Write runs its closure on a snapshot and holds no lock meanwhile. At the end
// its rows are checked and written in one short transaction; SQLite has one
// writer, so that these come one after the other. Commits of writers that wait at
// the same time share one transaction and one wait for the disk, and what one of
// them does wrong, its cancellation or a row for which the disk has no room, is
// nobody else's affair.
//
// Other processes may use the file. A write waits 5 s for them, and then fails with
// an error that says so; what they change is noticed, and closures are run again.
//
// # The file beside the database
//
// A file with -origin at the end of its name remembers, apart from the database,
// which addresses were handed out. It tells the gateway that a database was
// restored from a backup or copied, and has forgotten addresses. Leave it where
// it is when you restore a backup.
package sqlite
