// Package memory is a bursar.Store that lives in the memory of the process.
//
// It is for tests, demonstrations and simulations. Everything in it is lost
// when the process ends: addresses that were given out would be given out
// again, and money sent to them would belong to nobody. Never take real money
// with it; the durable stores beside it have the same contract.
//
// # How it works
//
// Rows are kept in versions. Every commit has a number; a transaction reads
// the newest version whose number is not above the one it began with, so that
// a snapshot costs nothing to take and nothing to keep but the versions it
// still sees. Indexes lead to rows, not to versions: a row stays under an old
// key as long as some snapshot sees it there, and a read compares what it
// found with what it asked for.
//
//	Write: begin (number) ── closure reads, Apply copies ── commit
//	                          no lock held                   │ one short lock:
//	                                                         │ fences, versions,
//	                                                         │ unique keys, rules
//	                                                         └ publish or undo
//
// The only lock is held for single look-ups, for slices of long scans and for
// commits, never while a closure runs: a closure that is parked for hours
// blocks nobody.
//
// Time is Options.Now, in whole microseconds, as databases keep it. It may
// jump: nothing is decided by it but when a lease may be taken over, and a
// lease is guarded by its epoch, not by its end.
package memory
