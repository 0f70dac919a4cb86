// Package crash has tests with real processes: hosts that take payments on one
// database and are killed, frozen and cut off while they work.
//
// The test binary runs itself again as a host: a gateway on SQLite or PostgreSQL
// with its scanner, sweeper and outbox. The test proper is the world around it:
// one simulated chain that all hosts reach over HTTP, customers who pay in every
// way there is, and whatever goes wrong.
//
//	test (the world) ── HTTP ──┬── host a ──┐
//	  chain, customers, faults ├── host b ──┤── PostgreSQL, perhaps through a proxy
//	  books of its own         └── host c ──┘
//
// Everything a host does passes the world, which can therefore kill it at a
// chosen moment: between a broadcast and its answer, inside the transaction of a
// handler, after a payment was made and before anybody heard of it.
//
// At the end the faults stop, the world waits until nothing moves any more, and
// compares the database with books of its own, made of what it saw on the chain
// and of what hosts have confirmed.
//
// BURSAR_CRASH_KILLS is how many hosts TestThreat_D1_… kill in all (usually 20),
// BURSAR_CRASH_SEED what the choices follow from; the moments remain those of the
// machine.
package crash
