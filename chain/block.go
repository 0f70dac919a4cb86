package chain

import "time"

// BlockHash is a block's hash in the chain's usual text form: 0x and 64 lower
// case hex digits for EVM chains.
type BlockHash string

// TxID is a transaction's id in the chain's usual text form.
type TxID string

// BlockRef points at one block of one branch.
type BlockRef struct {
	// Height is the block's number; slots may leave gaps on some chains.
	Height uint64 `json:"height"`
	// Hash identifies the block.
	Hash BlockHash `json:"hash"`
	// Parent is the hash of the block before.
	Parent BlockHash `json:"parent"`
	// Time is the block's own timestamp, in UTC. It informs and is never used
	// for order: chains permit equal and decreasing ones.
	Time time.Time `json:"time"`
}

// Head is what a node sees as the end of the chain.
type Head struct {
	// Latest is the newest block.
	Latest BlockRef
	// Finalized is the newest block that the chain's consensus calls final;
	// nil where the chain, or the configuration, has no such notion.
	Finalized *BlockRef
}

// Curve names the signature curve of a chain.
type Curve string

// The curves in use.
const (
	Secp256k1 Curve = "secp256k1"
	Ed25519   Curve = "ed25519"
)

// Info describes a chain. It is configuration: a Client returns the same value
// for its whole life, without a call to the node.
type Info struct {
	// ID is the CAIP-2 id.
	ID ID
	// Name is the short lower-case name used in asset aliases: "ethereum".
	Name string
	// Native is the chain's own coin, in which fees are paid.
	Native Asset
	// Curve is the signature curve, CoinType the SLIP-44 number.
	Curve    Curve
	CoinType uint32 // CoinType is the SLIP-44 number.
	// Testnet is true for chains whose coins have no value; a gateway never
	// mixes both kinds.
	Testnet bool
	// BlockTime is the usual time between two blocks.
	BlockTime time.Duration
	// Confirmations is the default number of blocks, the transfer's own block
	// included, after which a transfer counts as confirmed. At least 1.
	Confirmations uint64
	// FinalityDepth is the number of blocks after which a transfer counts as
	// final where Head.Finalized is nil. At least Confirmations.
	FinalityDepth uint64
	// MaxReorg is how many recent block references are kept to find the common
	// ancestor of a reorg. A deeper one stops the chain.
	MaxReorg uint64
	// InclusionSlack is how long after its deadline a payment still accepts a
	// transfer that was seen before the deadline.
	InclusionSlack time.Duration
	// OnDemandBlocks is true for development chains that make a block only
	// when there is a transaction, so that chain time can stand still.
	OnDemandBlocks bool
	// PageBlocks is the most blocks one Transfers call returns. At least 1.
	PageBlocks uint64
}
