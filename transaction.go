package bursar

import (
	"time"

	"github.com/bursar-go/bursar/chain"
)

// TransactionType says which way value moved.
type TransactionType string

// The types of transactions.
const (
	// TypeIncoming: from outside to an address of ours.
	TypeIncoming TransactionType = "incoming"
	// TypeOutgoing: from us to a stranger (refund, withdrawal).
	TypeOutgoing TransactionType = "outgoing"
	// TypeInternal: between our own addresses, or to the treasury.
	TypeInternal TransactionType = "internal"
)

// TransactionStatus is how far a transaction has come.
type TransactionStatus string

// The statuses of a transaction.
const (
	// TxPending: in the mempool alone, 0 confirmations: never mined, or back there
	// after a reorg. It never counts.
	TxPending TransactionStatus = "pending"
	// TxConfirming: in a block, not yet deep enough.
	TxConfirming TransactionStatus = "confirming"
	// TxConfirmed: at least as deep as required.
	TxConfirmed TransactionStatus = "confirmed"
	// TxFailed: reverted, dropped or orphaned; FailureReason says which.
	TxFailed TransactionStatus = "failed"
	// TxReplaced: another transaction took its place for good.
	TxReplaced TransactionStatus = "replaced"
)

// The failure reasons of transactions.
const (
	ReasonReverted = "reverted" // ReasonReverted: the chain executed what was announced, and it failed or did not pay us.
	ReasonDropped  = "dropped"  // ReasonDropped: it left the mempool without a block.
	ReasonOrphaned = "orphaned" // ReasonOrphaned: its block left the chain.
)

// Transaction is one transfer identity that concerns us: one movement of one
// asset inside one on-chain transaction. Several can share a Hash.
type Transaction struct {
	// ID is "tx_" and a hash of chain, hash and ordinal: a restored database
	// makes the same ids again.
	ID string `json:"id"`
	// Version counts the writes of the row; see Batch.
	Version int64 `json:"version"`
	// Chain is the network, Transfer the identity on it.
	Chain    chain.ID         `json:"chain"`
	Transfer chain.TransferID `json:"transfer"` // Transfer is the identity on it.
	// Type, Purpose, Via and Status classify it; Purpose is set on our own only.
	Type    TransactionType   `json:"type"`
	Purpose chain.Purpose     `json:"purpose,omitempty"` // Purpose is why, on our own only.
	Via     chain.Via         `json:"via,omitempty"`     // Via tells how it was seen.
	Status  TransactionStatus `json:"status"`            // Status is how far it has come.
	// FailureReason is set where Status is failed, ReplacedBy where replaced.
	FailureReason string     `json:"failure_reason,omitempty"`
	ReplacedBy    chain.TxID `json:"replaced_by,omitempty"` // ReplacedBy is what took its place.
	// Asset and Amount are what moved, as last observed.
	Asset  chain.AssetID `json:"asset"`
	Amount chain.Amount  `json:"amount"` // Amount is how much, in base units.
	// From and To are as the chain names them. Never refund to From.
	From chain.Address `json:"from_address"`
	To   chain.Address `json:"to_address"` // To is the receiver.
	// AddressID is our address's row, PaymentID and Customer whose it is.
	AddressID string `json:"address_id,omitempty"`
	PaymentID string `json:"payment_id,omitempty"` // PaymentID is the payment.
	Customer  string `json:"customer,omitempty"`   // Customer is the host's name of the payer.
	// PayoutID is the payout behind an outgoing or internal transaction.
	PayoutID string `json:"payout_id,omitempty"`
	// Fee is our share of the network's fee in base units of the chain's coin:
	// set on our own transactions only.
	Fee      chain.Amount `json:"fee"`
	GasUsed  uint64       `json:"gas_used,omitempty"` // GasUsed is the gas that was used.
	GasPrice chain.Amount `json:"gas_price"`          // GasPrice is what a unit of gas cost.
	// Lock is what it consumes, its nonce: set on our own transactions, and on what
	// was seen in a mempool.
	Lock chain.Lock `json:"lock,omitempty"`
	// Block is where the live observation is; zero while there is none.
	Block     uint64          `json:"block"`
	BlockHash chain.BlockHash `json:"block_hash,omitempty"` // BlockHash is the hash of its block.
	BlockTime time.Time       `json:"block_time,omitzero"`  // BlockTime is its block's own time.
	TxIndex   uint32          `json:"tx_index"`             // TxIndex is its place in the block.
	// Required is the depth at which it is confirmed, ConfirmAt the height of
	// the block that makes it so.
	Required  uint64 `json:"required"`
	ConfirmAt uint64 `json:"confirm_at"` // ConfirmAt is the height that makes it confirmed.
	// Final is true once the chain calls its block final.
	Final bool `json:"final"`
	// Inclusion counts the blocks it was seen in, orphaned ones included.
	Inclusion int `json:"inclusion"`
	// Counting is the verdict of the first inclusion: the money counts toward
	// its payment by itself. Late is set where it came after the deadline.
	Counting bool `json:"counting"`
	Late     bool `json:"late,omitempty"` // Late is true where money came after the deadline.
	// Suspense is set where the token did not do what its events say: Amount is
	// what really arrived, and nobody is credited.
	Suspense bool `json:"suspense,omitempty"`
	// Accepted is set when the host bound it with AcceptPayment.
	Accepted bool `json:"accepted,omitempty"`
	// Discharged is how much of Amount was swept or refunded, final.
	Discharged chain.Amount `json:"discharged"`
	// Reserved is how much of Amount a payout under way covers.
	Reserved chain.Amount `json:"reserved"`
	// Missed is how many sweeps of many addresses that are final were to take it and did
	// not, or not all of it: it is swept by itself then.
	Missed int `json:"missed,omitempty"`

	// The times of the row: first seen, first in a block, confirmed.
	CreatedAt   time.Time `json:"created_at"`
	SeenAt      time.Time `json:"seen_at,omitzero"`      // SeenAt is the first sight.
	ConfirmedAt time.Time `json:"confirmed_at,omitzero"` // ConfirmedAt is when it was confirmed.
}

// Live reports whether the transaction is in a block of the canonical view.
func (t Transaction) Live() bool {
	return t.Status == TxConfirming || t.Status == TxConfirmed
}

// Confirmations returns the depth of the transaction under a tip: 1 in the
// newest block, 0 in none.
func (t Transaction) Confirmations(tip uint64) uint64 {
	if !t.Live() || tip < t.Block {
		return 0
	}
	return tip - t.Block + 1
}

// Role is what an address of ours is for.
type Role string

// The roles of addresses.
const (
	// RolePayment: belongs to one payment, never issued again.
	RolePayment Role = "payment"
	// RolePermanent: belongs to one customer, reusable.
	RolePermanent Role = "permanent"
	// RoleUnissued: reserved and watched; money came before it was issued.
	RoleUnissued Role = "unissued"
	// RoleSponsor pays gas, RoleFloat pays refunds and withdrawals.
	RoleSponsor Role = "sponsor"
	RoleFloat   Role = "float"
)

// Address is an address of ours. Addresses stay watched for ever.
type Address struct {
	// ID is "addr_" and wallet, change and index: it never changes.
	ID string `json:"id"`
	// Version counts the writes of the row; see Batch.
	Version int64 `json:"version"`
	// Address is the canonical form; one row serves every chain of its family.
	Address chain.Address `json:"address"`
	// Pool is the index pool, Index its place in it.
	Pool  string `json:"pool"`
	Index uint32 `json:"index"` // Index is the place in the pool.
	// Key is the wallet and path of its private key.
	Key chain.KeyRef `json:"key"`
	// Role is what it is for; PaymentID or Customer whose it is.
	Role      Role              `json:"role"`
	PaymentID string            `json:"payment_id,omitempty"` // PaymentID is the payment.
	Customer  string            `json:"customer,omitempty"`   // Customer is the host's name of the payer.
	Metadata  map[string]string `json:"metadata,omitempty"`   // Metadata are the host's own pairs.
	// TokensOnly says that it is not given to anybody to be paid in coin: as that of a
	// payment in a token, or by AddressRequest.TokensOnly. What tokens it gets may be
	// swept together with others', see Chain.MaxBatch.
	TokensOnly bool `json:"tokens_only,omitempty"`
	// IdempotencyKey and Fingerprint are those of CreateAddress.
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	Fingerprint    string `json:"fingerprint,omitempty"` // Fingerprint is the hash of the request that the key was used with.
	// Seq is the sequence number of the address's last event.
	Seq int64 `json:"seq"`
	// CreatedAt is when it was issued.
	CreatedAt time.Time `json:"created_at"`
}

// Account returns the address with its key, as chains want it.
func (a Address) Account() chain.Account {
	return chain.Account{Address: a.Address, Key: a.Key}
}
