// Package contracts is the contract that collects deposits of an EVM chain in
// few transactions, and what a program needs to use it: its code and address for
// an installation, the calls, what they cost. It has no network and signs
// nothing. The source is src/sweeper.yul; docs/contracts.md says who can do what.
//
// One contract is three things, told apart by where it runs:
//
//	                    sweepBatch, flushBatch, deployBatch
//	anybody, sponsor ──────────────► Sweeper ──────────────┐ sweep(asset, amount)
//	                                                       ▼
//	                     account that delegates (EIP-7702), or forwarder (CREATE2)
//	                                                       │ transfer
//	                                                       ▼
//	                                                    treasury
//
// The treasury and the owner are part of the code. Whoever calls, what a sweep
// moves goes to the treasury; the owner alone can have an address do something
// else (Execute). So it is no secret who may sweep, and losing the key that pays
// the gas loses nothing.
//
// A transaction of a batch that was included has not, for that, moved anything.
// Count Transfer logs and balances; Unswept says which entries failed, so that
// they need not be searched for.
//
// Everything here is a value or a pure function, and safe for concurrent use.
package contracts
