// Package evm reaches any EVM chain through the JSON-RPC interface of one node
// or provider, over HTTP. It implements chain.Client and a few of its optional
// capabilities: chain.Identifier, chain.BalanceReader, chain.TokenInspector.
//
// # What counts as money that came in
//
//	native coin   a transaction of a block whose receiver is watched, with a
//	              value above zero and a receipt that says status 1
//	token         a Transfer log of exactly three topics and 32 bytes of data,
//	              emitted by a contract of the watch's list and by no other
//
// Calldata, return values, symbols and traces prove nothing and are not read.
// Native coin that a contract sends leaves no trace in either place and is not
// seen by this package.
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
// # Decoding
//
// A full block has a hundred thousand bytes of which a few thousand matter.
// Blocks, logs and receipts are therefore read by a small scanner over the
// response bytes that checks the whole JSON grammar once, decodes the few
// fields needed and skips the rest. It is strict: a quantity with a leading
// zero, a key that appears twice or a missing field is an error, because a node
// that answers so cannot be trusted with an amount.
//
// # Trust
//
// One node is believed in what it says about the chain, as long as it does not
// contradict itself. Several providers that check each other are a wrapper
// around several Clients.
package evm
