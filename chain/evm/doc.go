// Package evm reaches any EVM chain through the JSON-RPC interface of one node
// or provider, over HTTP. It implements chain.Client and a few of its optional
// capabilities: chain.Identifier, chain.BalanceReader, chain.TokenInspector,
// chain.DryRunner, chain.FeeBumper, chain.FeeEstimator and chain.Batcher.
//
// # What counts as money that came in
//
//	native coin   a transaction of a block whose receiver is watched, with a
//	              value above zero and a receipt that says status 1
//	token         a Transfer log of exactly three topics and 32 bytes of data,
//	              emitted by a contract of the watch's list and by no other
//
// Calldata, return values and symbols prove nothing and are not read. Native
// coin that a contract sends is in neither place: pages have it where the node
// offers trace_block, and then only from calls that lasted in transactions whose
// receipts say status 1. Client.Internal looks it up for one block.
//
// # What one page rests on
//
//	blocks by number ──► hash-linked? ──► logs by block hash ──► receipts
//
// Blocks are asked for by number, because that is the question: which blocks
// are there now. Everything after that is asked for by block hash, and each
// answer must name the hash it belongs to. Node software behind a balancer
// lags, prunes and reorganises between two calls; an answer that does not fit
// the blocks of the page is an error (chain.ErrReorg, chain.ErrTransient) and
// never an empty list.
//
// With Config.Verify the blocks in which something was found are also held against
// their own hashes, which one node alone cannot forge: *ForgedError.
//
// # Far below the head
//
// A client that knows from Head how far it is behind reads in the cheapest sound
// way that its node has (see Capabilities), and says nothing else by it:
//
//	raw      debug_getRawBlock: the hash of the header's bytes is the block's,
//	         and the transactions are those of the header's root. Senders are
//	         recovered only for nonces that watched accounts used in the
//	         stretch, which one question for each account's nonce tells
//	traces   trace_block: every transaction must be there once, in its place
//	full     every node has it; and blocks of which the others do not tell
//	         enough are read so again, by hash
//
// Logs are asked for by range there, with the receivers named while they are few.
// Each log must belong to a block of the page and to a transaction in it. A block
// without an answer is asked for again by hash where its bloom speaks of a log,
// and where all blooms do, one block of the page in turn; the answer of a node
// that lacked a log is thrown away, and its ranges with it for a long time.
//
// # Decoding
//
// A full block has a hundred thousand bytes of which a few thousand matter.
// Blocks, logs and receipts are therefore read by a small scanner over the
// response bytes that checks the whole JSON grammar once, decodes the few
// fields needed and skips the rest. It is strict: a quantity with a leading
// zero, a key that appears twice or a missing field is an error, because a node
// that answers so cannot be trusted with an amount.
//
// # Writing
//
// Prepare makes one transaction of one move: the nonce above the chain's latest
// and above every lock that is taken, fees by EIP-1559 or the old way, a dry run
// first. A sweep of native coin offers exactly its cap, so that nothing is left
// behind. Sign reads the payload again before the signer sees it, and checks
// that the signature is the account's. Broadcast may be repeated: a node that
// knows the transaction, in its pool or in a block, is success.
//
// With Config.Sweeper, a contract of package contracts, a collection of many sources
// is one transaction of a fee payer, the contract's sponsor, in which sources that were
// not swept before delegate to the contract:
//
//	what stands ──► amounts, authorisations ──► estimate ──► dry run of all ──► draft
//	draft ──► authorisations signed ──► transaction signed ──► broadcast
//
// It leaves nothing to chance that can be known before: what each account has and
// delegates to, the contract's own code, and what a run with the delegations in force
// says of each entry. What happened after all is in TxStatus: Transfers are what
// moved, Unswept is what the contract says did not, Locks are whose nonces were used.
//
// # Trust
//
// One node is believed in what it says about the chain, as long as it does not
// contradict itself. Several providers that check each other are a wrapper
// around several Clients.
package evm
