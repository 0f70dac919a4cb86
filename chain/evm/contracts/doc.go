// Package contracts is the contract that collects deposits of an EVM chain in
// few transactions, and what a program needs to use it: its code and address for
// an installation, the calls, what they cost. It has no network and signs
// nothing. The source is src/sweeper.yul; docs/contracts.md says who can do what.
//
// One contract is three things, told apart by where it runs:
//
//	                    sweepBatch, flushBatch, deployBatch
//	sponsor ───────────────────────► Sweeper ──────────────┐ sweep(asset, amount)
//	                                                       ▼
//	                     account that delegates (EIP-7702), or forwarder (CREATE2)
//	                                                       │ transfer
//	                                                       ▼
//	                                                    treasury
//
// The three addresses are part of the code. What a sweep moves goes to the treasury,
// whoever calls, and only in transactions that the sponsor signed: what leaves a
// deposit address does so in one of ours, and nobody empties one before us. Without a
// sponsor anybody may sweep. The owner alone can have an address do something else
// (Execute), which is also the way out where the sponsor's key is lost.
//
// A transaction of a batch that was included has not, for that, moved anything.
// Count Transfer logs and balances; Unswept says which entries failed, so that
// they need not be searched for.
//
// Everything here is a value or a pure function, and safe for concurrent use.
package contracts
