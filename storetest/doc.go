// Package storetest is the contract of bursar.Store as tests, and a store that
// fails on purpose.
//
// # The suite
//
// Run checks one store against the whole contract, a named subtest for each
// rule. A store that passes may hold the gateway's money:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) bursar.Store { return memory.New() })
//	}
//
// The rules fall into groups: rows (what is written is what is read), writes
// (all or nothing, versions, unique keys), snapshots, races, leases and pools,
// ledger and events, queries, paging, deliveries, and a random workload that
// is compared, step by step, with a model that knows no index and no
// concurrency.
//
// Names carry the threat they answer where there is one: D6 is the zombie that
// writes after it lost its lease.
//
// # Faults
//
// Faulty wraps a store and lets chosen calls fail as databases do: before the
// commit, after it with the outcome unknown, by a conflict, or by the death of
// the process. Every commit is a numbered point, so that a test can count the
// points of a scenario and then crash at each of them once.
package storetest
