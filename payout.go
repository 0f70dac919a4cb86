package bursar

import (
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// PayoutKind is what an outgoing movement is for.
type PayoutKind string

// The kinds of payouts.
const (
	// PayoutSweep collects customers' money in the treasury.
	PayoutSweep PayoutKind = "sweep"
	// PayoutTopUp gives a deposit address gas for its sweep.
	PayoutTopUp PayoutKind = "gas_topup"
	// PayoutRefund and PayoutWithdrawal pay strangers.
	PayoutRefund     PayoutKind = "refund"
	PayoutWithdrawal PayoutKind = "withdrawal"
	// PayoutCancel consumes a lock by a payment to oneself.
	PayoutCancel PayoutKind = "cancel"
)

// strangers are the kinds that need an approval and are paid by a float: what they pay
// twice is gone.
func strangers() []PayoutKind { return []PayoutKind{PayoutRefund, PayoutWithdrawal} }

func paysStranger(k PayoutKind) bool { return slices.Contains(strangers(), k) }

// PayoutStatus is how far a payout has come.
type PayoutStatus string

// The statuses of a payout. docs/state_machine.md has the transitions.
const (
	PayoutAwaitingApproval PayoutStatus = "awaiting_approval" // PayoutAwaitingApproval: a person or the host must say yes.
	PayoutPlanned          PayoutStatus = "planned"           // PayoutPlanned: decided, nothing signed in this attempt group.
	PayoutSigned           PayoutStatus = "signed"            // PayoutSigned: bytes are persisted, perhaps not sent.
	PayoutBroadcast        PayoutStatus = "broadcast"         // PayoutBroadcast: handed to the network, outcome open.
	PayoutConfirming       PayoutStatus = "confirming"        // PayoutConfirming: in a block, moved what it should.
	PayoutConfirmed        PayoutStatus = "confirmed"         // PayoutConfirmed: final.
	PayoutConfirmingFailed PayoutStatus = "confirming_failed" // PayoutConfirmingFailed: in a block, moved nothing.
	PayoutFailed           PayoutStatus = "failed"            // PayoutFailed: attempts spent; an operator decides, see RetryPayout and CancelPayout.
	PayoutCanceled         PayoutStatus = "canceled"          // PayoutCanceled: given up, nothing signed can be mined.
	PayoutHalted           PayoutStatus = "halted"            // PayoutHalted: a transaction that we did not decide consumed its lock, or came from the float that was to pay it; an operator decides.
)

// Open reports whether the payout can still move by itself.
func (s PayoutStatus) Open() bool {
	switch s {
	case PayoutConfirmed, PayoutFailed, PayoutCanceled, PayoutHalted:
		return false
	}
	return true
}

// takes is how much of what somebody is owed a refund or a withdrawal uses up.
func (p Payout) takes() chain.Amount {
	switch p.Status {
	case PayoutCanceled:
		return chain.Amount{}
	case PayoutConfirmed:
		return p.Moved
	}
	return p.Amount
}

// PayoutItem is a part of an incoming transaction that a payout discharges.
type PayoutItem struct {
	// TransactionID and PaymentID say whose money it is.
	TransactionID string `json:"transaction_id"`
	PaymentID     string `json:"payment_id,omitempty"` // PaymentID is the payment.
	// From is the source that it is moved from, where the payout has many; see
	// Payout.Sources.
	From chain.Address `json:"from,omitempty"`
	// Amount is the part, in base units of the payout's asset.
	Amount chain.Amount `json:"amount"`
	// FeeShare is its share of the fee; shares sum to the fee exactly.
	FeeShare chain.Amount `json:"fee_share"`
}

// PayoutSource is one of the accounts that a payout moves money of.
type PayoutSource struct {
	// Account is the address with its key.
	Account chain.Account `json:"account"`
	// Amount is what it gives, in base units of the payout's asset.
	Amount chain.Amount `json:"amount"`
	// Moved is what arrived of it, once included: less than Amount where the source was
	// in the way, which holds the others up in nothing.
	Moved chain.Amount `json:"moved"`
}

// Payout is one outgoing movement with all its attempts.
type Payout struct {
	// ID is "po_" and a UUIDv7.
	ID string `json:"id"`
	// Version counts the writes of the row; see Batch.
	Version int64 `json:"version"`
	// Key is unique among payouts: it makes planning idempotent.
	Key string `json:"key"`
	// Kind and Status classify it.
	Kind   PayoutKind   `json:"kind"`
	Status PayoutStatus `json:"status"` // Status is how far it has come.
	// Chain and Asset are what moves; From, To and Own between whom. From signs and
	// pays the fee, and is the source unless there are Sources. Own is the receiver's
	// key where it is an account of ours.
	Chain chain.ID      `json:"chain"`
	Asset chain.Asset   `json:"asset"`         // Asset is the CAIP-19 id.
	From  chain.Account `json:"from"`          // From is the sender.
	To    chain.Address `json:"to"`            // To is the receiver.
	Own   *chain.KeyRef `json:"own,omitempty"` // Own is the receiver's key where it is ours.
	// Sources are the accounts whose money a sweep of many addresses collects in one
	// transaction, which From pays for, each once; none where From is the source. Their
	// amounts sum to Amount, and what they moved to Moved.
	Sources []PayoutSource `json:"sources,omitempty"`
	// Amount is what the receiver gets. With LessFee it is what the source
	// gives up, and the fee comes out of it.
	Amount  chain.Amount `json:"amount"`
	LessFee bool         `json:"less_fee,omitempty"` // LessFee takes the fee out of Amount.
	// Moved is what arrived, once included.
	Moved chain.Amount `json:"moved"`
	// MaxFee caps the fee, in the chain's coin; zero: the adapter's cap alone.
	MaxFee chain.Amount `json:"max_fee"`
	// Items are what it discharges.
	Items []PayoutItem `json:"items,omitempty"`
	// Parent is the sweep that a top-up serves, the payment that a refund is of, or the
	// permanent address whose deposits a withdrawal pays out.
	Parent string `json:"parent,omitempty"`
	// Approval permits paying a stranger.
	Approval *chain.Approval `json:"approval,omitempty"`
	// Group is the present attempt group, Tries how many groups failed on chain.
	Group int `json:"group"`
	Tries int `json:"tries"` // Tries counts the groups that failed on chain.
	// Urged is how many attempts the group had when an operator asked for a dearer
	// one, see BumpPayout: while it has no more of them one is due. 0: nobody asked.
	Urged int `json:"urged"`
	// Canceling is true from when it was to be canceled while something signed could be
	// mined, until its outcome is final: an operator wanted that, see CancelPayout, or it
	// is a batch that was stuck at its cap.
	Canceling bool `json:"canceling,omitempty"`
	// TxID, Block, Fee and gas are those of the included attempt.
	TxID      chain.TxID      `json:"tx_id,omitempty"`
	Block     uint64          `json:"block,omitempty"`      // Block is the height of its block.
	BlockHash chain.BlockHash `json:"block_hash,omitempty"` // BlockHash is the hash of its block.
	TxIndex   uint32          `json:"tx_index,omitempty"`   // TxIndex is its place in the block.
	Fee       chain.Amount    `json:"fee"`                  // Fee is what it cost, in the chain's coin.
	GasUsed   uint64          `json:"gas_used,omitempty"`   // GasUsed is the gas that was used.
	GasPrice  chain.Amount    `json:"gas_price"`            // GasPrice is what a unit of gas cost.
	// FailureCode and FailureReason tell the last failure.
	FailureCode   string `json:"failure_code,omitempty"`
	FailureReason string `json:"failure_reason,omitempty"` // FailureReason tells the last failure in words.
	// NotBefore is when the next step is due; Failures counts those in a row
	// that left no trace on chain.
	NotBefore time.Time `json:"not_before,omitzero"`
	Failures  int       `json:"failures"` // Failures counts failures in a row that left no trace on chain.
	// Seq is the sequence number of the payout's last event.
	Seq int64 `json:"seq"`

	// The times of the states; zero where not reached.
	CreatedAt   time.Time `json:"created_at"`
	SentAt      time.Time `json:"sent_at,omitzero"`      // SentAt is when it was last handed to the network.
	IncludedAt  time.Time `json:"included_at,omitzero"`  // IncludedAt is when it was seen in a block.
	ConfirmedAt time.Time `json:"confirmed_at,omitzero"` // ConfirmedAt is when it was confirmed.
}

// Attempt is one signed transaction of a payout. It is written before it is
// first broadcast and never changed but for its state.
type Attempt struct {
	// ID is the transaction id on its chain, prefixed with the chain.
	ID string `json:"id"`
	// Version counts the writes of the row; see Batch.
	Version int64 `json:"version"`
	// PayoutID and Group say what it is an attempt at; all attempts of a group
	// share a lock.
	PayoutID string `json:"payout_id"`
	Group    int    `json:"group"` // Group is the attempt group.
	// Chain, TxID, Raw and Locks are the signed transaction.
	Chain chain.ID     `json:"chain"`
	TxID  chain.TxID   `json:"tx_id"` // TxID is the transaction.
	Raw   []byte       `json:"raw"`   // Raw is what a node accepts.
	Locks []chain.Lock `json:"locks"` // Locks are what it consumes.
	// MaxFee is the most that it can cost.
	MaxFee chain.Amount `json:"max_fee"`
	// Cancels is true for a transaction that moves nothing and only uses up the nonce
	// that the group's other attempts need.
	Cancels bool `json:"cancels,omitempty"`
	// Open is true while the attempt can still be mined or un-mined: its locks
	// are taken.
	Open bool `json:"open"`
	// Error is what the last broadcast said, if it failed.
	Error string `json:"error,omitempty"`
	// CreatedAt and SentAt are when it was signed and last sent.
	CreatedAt time.Time `json:"created_at"`
	SentAt    time.Time `json:"sent_at,omitzero"` // SentAt is when it was last handed to the network.
}
