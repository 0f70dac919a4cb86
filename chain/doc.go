// Package chain holds the words that every part of bursar uses to speak of a
// blockchain, and the one small port through which a chain is reached.
//
// It is a leaf: it imports nothing else of bursar, so that a scanner needs no
// word of payments and a payment needs no word of RPC.
//
//	words      ID, AssetID, Asset, Address, Amount, BlockRef, Head, Transfer …
//	reading    Reader: headers, pages of transfers, transaction status
//	writing    Intent → Draft → Signed → broadcast, through Writer
//	signing    Signer, SignRequest, Approval: keys stay behind this line
//	meaning    Codec: pure functions of one chain family, no I/O
//
// The chain is the authority for what happened. Whatever a Client returns is
// an observation of one block hash and can be revoked by a reorg; nothing here
// decides what an observation is worth.
//
// All value types are safe to copy and to compare; a Client must be safe for
// concurrent use.
package chain
