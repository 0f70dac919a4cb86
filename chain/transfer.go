package chain

import "iter"

// TransferID names one movement of value for ever: the transaction and an
// ordinal inside that transaction. Neither a block hash nor a block-wide log
// index is part of it, because both change when a transaction is mined again
// after a reorg.
//
// Ordinals: "n" the native value of the transaction itself,
// "t:<token>:<to>:<k>" the k-th such log of this transaction, counted from 0 and
// with those of amount zero,
// "i:<path>" an internal call (the place of each call among those of its caller,
// counted from 0 and joined by dots), "o:<n>" a transaction output,
// "w:<n>" the chain's n-th withdrawal (EIP-4895),
// "b:<address>:<from>-<to>" a balance increase without a visible transaction, in
// the blocks from height from to height to, both included; from 0 means that
// nobody knows since when it is there.
type TransferID struct {
	// Tx is the transaction's id. It is empty where no transaction is known or
	// none was: ordinals that begin with "w:" and "b:" are unique without it.
	Tx TxID `json:"tx"`
	// Ordinal is the place inside the transaction.
	Ordinal string `json:"ordinal"`
}

// String returns "tx/ordinal".
func (id TransferID) String() string { return string(id.Tx) + "/" + id.Ordinal }

// Via tells how an incoming transfer was made visible.
type Via string

// The ways a transfer becomes visible.
const (
	// ViaDirect is a plain transaction or a token's own log.
	ViaDirect Via = "direct"
	// ViaContract is native coin sent by a contract, seen in a trace.
	ViaContract Via = "contract"
	// ViaDelta is a balance increase that no transaction explains.
	ViaDelta Via = "delta"
	// ViaProtocol is a credit by the protocol itself (block reward, withdrawal).
	ViaProtocol Via = "protocol"
)

// Transfer is one observation: value that moved in one block of one branch.
// The same TransferID may be observed again in another block with another
// amount; each observation can be revoked.
type Transfer struct {
	// ID is the identity that survives reorgs.
	ID TransferID `json:"id"`
	// Asset is the exact asset; transfers of unlisted tokens are never returned.
	Asset AssetID `json:"asset"`
	// From is the sender as the chain names it; it may be empty and is often
	// an exchange or a contract. Never refund to it.
	From Address `json:"from"`
	// To is the receiver.
	To Address `json:"to"`
	// Amount is above zero.
	Amount Amount `json:"amount"`
	// Key is what Watch.Match returned for the receiver.
	Key uint32 `json:"-"`
	// Block is the height and Hash the hash of the block it was seen in.
	Block uint64    `json:"block"`
	Hash  BlockHash `json:"hash"` // Hash is the transaction's hash.
	// TxIndex is the transaction's place in the block; it orders transfers and
	// may change with a reorg.
	TxIndex uint32 `json:"tx_index"`
	// Via tells how it was seen.
	Via Via `json:"via"`
}

// Watch is the set of receivers a scanner looks for, up to millions of them.
// It is a snapshot: safe for concurrent reads and unchanged during a call.
type Watch interface {
	// Match looks up a raw key (20 bytes for an EVM address) and returns the
	// number under which it was watched. It must not keep key.
	Match(key []byte) (uint32, bool)
	// Len is the number of keys.
	Len() int
	// Keys yields every key once; a key must not be changed or kept.
	Keys() iter.Seq[[]byte]
	// Assets are the tokens whose transfers count, beside the native coin.
	Assets() []Asset
}

// Page is a run of blocks and all that concerns the watched set in them. It is
// atomic: everything in it was read by the hashes in Blocks.
type Page struct {
	// Blocks are hash-linked, in order, without a gap, at least one. The first
	// has the height that was asked for.
	Blocks []BlockRef
	// Transfers are those to watched receivers, ordered by height, transaction
	// index and ordinal; zero amounts and failed transactions are left out.
	Transfers []Transfer
	// Spends are the transactions that watched accounts signed, whether they
	// succeeded or not, complete with fee, locks and transfers, in chain order.
	Spends []TxStatus
}

// Last returns the newest block of the page.
func (p Page) Last() BlockRef { return p.Blocks[len(p.Blocks)-1] }

// TxState says what a node knows about a transaction.
type TxState string

// The states of a transaction.
const (
	// TxUnknown: the node has never heard of it, or forgot it.
	TxUnknown TxState = "unknown"
	// TxPending: in the mempool.
	TxPending TxState = "pending"
	// TxIncluded: in a block, and it succeeded.
	TxIncluded TxState = "included"
	// TxFailed: in a block, and it reverted; only the fee was paid.
	TxFailed TxState = "failed"
)

// TxStatus is what happened to one transaction. All but ID and State are set
// only where State is TxIncluded or TxFailed.
type TxStatus struct {
	// ID is the transaction.
	ID TxID
	// State is how far it came.
	State TxState
	// Block is where it was included.
	Block BlockRef
	// TxIndex is its place in the block.
	TxIndex uint32
	// From is who signed it and paid the fee.
	From Address
	// Locks are what it consumed: its nonce, its outpoints. As in Draft.Locks the first
	// is the transaction's own; of an authorisation in it that did not count, the
	// nonce may be named and not be used up by it.
	Locks []Lock
	// Fee is what it cost, in base units of the native coin; on rollups with
	// the share for the layer below.
	Fee Amount
	// GasUsed is the gas (or the like) that was used; GasPrice what one unit
	// cost. Zero where a chain has no such notion.
	GasUsed  uint64
	GasPrice Amount // GasPrice is what a unit of gas cost.
	// Transfers are all movements of the native coin and of listed tokens that
	// it caused, also those to strangers; Key is not set.
	Transfers []Transfer
	// Unswept is what a batch of ours says that it did not move; nil where it says
	// nothing. That it says nothing does not mean that all has moved: Transfers do.
	Unswept *Unswept
}

// Unswept is what a batch did not move.
type Unswept struct {
	// Tried is how many of its moves were tried, from the first on; for the others
	// the gas was short.
	Tried int
	// Failed are those that were tried in vain, in the order of the moves.
	Failed []UnsweptMove
}

// UnsweptMove is one move of a batch that was tried in vain.
type UnsweptMove struct {
	// Account is the source, Amount what was to move in base units of the batch's asset.
	Account Address
	Amount  Amount // Amount is how much was to move.
}
