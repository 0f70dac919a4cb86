package bursar

import (
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Kind names an event.
type Kind string

// The kinds of events.
const (
	PaymentCreated         Kind = "payment.created"          // PaymentCreated: a payment exists.
	PaymentDetected        Kind = "payment.detected"         // PaymentDetected: counting money is in a block.
	PaymentPartial         Kind = "payment.partial"          // PaymentPartial: a confirmed part; Shortfall tells the rest.
	PaymentConfirmed       Kind = "payment.confirmed"        // PaymentConfirmed: enough is confirmed. Fulfil once.
	PaymentOverpaid        Kind = "payment.overpaid"         // PaymentOverpaid: more than asked for is confirmed.
	PaymentUnderpaid       Kind = "payment.underpaid"        // PaymentUnderpaid: the deadline passed with too little.
	PaymentExpired         Kind = "payment.expired"          // PaymentExpired: the deadline passed with nothing.
	PaymentLate            Kind = "payment.late"             // PaymentLate: money came too late or after a cancel.
	PaymentReverted        Kind = "payment.reverted"         // PaymentReverted: a reorg took a state back.
	PaymentSettled         Kind = "payment.settled"          // PaymentSettled: the money is in the treasury, final.
	PaymentCanceled        Kind = "payment.canceled"         // PaymentCanceled: the host withdrew it.
	PaymentRefunded        Kind = "payment.refunded"         // PaymentRefunded: money went back, final.
	PaymentUnexpectedAsset Kind = "payment.unexpected_asset" // PaymentUnexpectedAsset: another configured asset arrived.

	TransactionDetected  Kind = "transaction.detected"  // TransactionDetected: seen, in the mempool or a block.
	TransactionConfirmed Kind = "transaction.confirmed" // TransactionConfirmed: deep enough.
	TransactionFailed    Kind = "transaction.failed"    // TransactionFailed: announced, then reverted or dropped.
	TransactionReplaced  Kind = "transaction.replaced"  // TransactionReplaced: another took its place.
	TransactionOrphaned  Kind = "transaction.orphaned"  // TransactionOrphaned: its block left the chain.

	PayoutCreatedEvent   Kind = "payout.created"        // PayoutCreatedEvent: planned or asked for.
	PayoutSentEvent      Kind = "payout.sent"           // PayoutSentEvent: handed to the network.
	PayoutPartialEvent   Kind = "payout.partial"        // PayoutPartialEvent: some items moved nothing.
	PayoutConfirmedEvent Kind = "payout.confirmed"      // PayoutConfirmedEvent: final.
	PayoutAttemptFailed  Kind = "payout.attempt_failed" // PayoutAttemptFailed: an attempt failed on chain.
	PayoutFailedEvent    Kind = "payout.failed"         // PayoutFailedEvent: attempts spent.
	PayoutCanceledEvent  Kind = "payout.canceled"       // PayoutCanceledEvent: a transaction that moves nothing took its nonce, finally.
	PayoutBumped         Kind = "payout.bumped"         // PayoutBumped: replaced with a higher fee.
	PayoutRevertedEvent  Kind = "payout.reverted"       // PayoutRevertedEvent: its block left the chain.
	PayoutDeferred       Kind = "payout.deferred"       // PayoutDeferred: not now; Payout.Reason says why.

	ChainHalted           Kind = "chain.halted"           // ChainHalted: no new credits until it resumes.
	ChainResumed          Kind = "chain.resumed"          // ChainResumed: credits again.
	ChainDeepReorg        Kind = "chain.deep_reorg"       // ChainDeepReorg: confirmed blocks left the chain.
	ChainProviderDown     Kind = "chain.provider_down"    // ChainProviderDown: a provider is not asked; Condition tells which and why.
	ChainProviderBack     Kind = "chain.provider_back"    // ChainProviderBack: it is asked again.
	ChainDiverged         Kind = "chain.diverged"         // ChainDiverged: providers contradict each other, and what is in dispute is not credited.
	ChainFailing          Kind = "chain.failing"          // ChainFailing: the chain cannot be read.
	ChainStalled          Kind = "chain.stalled"          // ChainStalled: no new block for too long.
	ChainFinalityStalled  Kind = "chain.finality_stalled" // ChainFinalityStalled: no new final block for too long.
	ChainRecovered        Kind = "chain.recovered"        // ChainRecovered: one of the four before it ended; Condition tells which.
	AlertKeyCompromised   Kind = "alert.key_compromised"  // AlertKeyCompromised: a key of ours signed what we did not.
	AlertLedgerMismatch   Kind = "alert.ledger_mismatch"  // AlertLedgerMismatch: ledger and chain differ.
	AlertGasLow           Kind = "alert.gas_low"          // AlertGasLow: the sponsor cannot pay the next top-up.
	AlertSweepFailing     Kind = "alert.sweep_failing"    // AlertSweepFailing: a payout has failed three times in a row and holds up no others; Payout.Reason says why.
	AlertTokenAnomaly     Kind = "alert.token_anomaly"    // AlertTokenAnomaly: a token moved less than it said, or its code changed.
	AlertUnclaimedCredit  Kind = "alert.unclaimed_credit" // AlertUnclaimedCredit: coin at an address that is nobody's claim; Reason is one of the Unclaimed constants.
	AlertUnknownRecipient Kind = "alert.unissued_address" // AlertUnknownRecipient: money for an address not issued yet.
	AlertRefundUncovered  Kind = "alert.refund_uncovered" // AlertRefundUncovered: a reorg took money that was given back, or is about to be.
	AlertStoreRestored    Kind = "alert.store_restored"   // AlertStoreRestored: indexes are left out, so that none is issued twice; Restore tells which.
)

// EventKinds returns all kinds of events.
func EventKinds() []Kind {
	return []Kind{
		PaymentCreated, PaymentDetected, PaymentPartial, PaymentConfirmed, PaymentOverpaid,
		PaymentUnderpaid, PaymentExpired, PaymentLate, PaymentReverted, PaymentSettled,
		PaymentCanceled, PaymentRefunded, PaymentUnexpectedAsset,
		TransactionDetected, TransactionConfirmed, TransactionFailed, TransactionReplaced, TransactionOrphaned,
		PayoutCreatedEvent, PayoutSentEvent, PayoutPartialEvent, PayoutConfirmedEvent, PayoutAttemptFailed,
		PayoutFailedEvent, PayoutCanceledEvent, PayoutBumped, PayoutRevertedEvent, PayoutDeferred,
		ChainHalted, ChainResumed, ChainDeepReorg, ChainProviderDown, ChainProviderBack,
		ChainDiverged, ChainFailing, ChainStalled, ChainFinalityStalled, ChainRecovered,
		AlertKeyCompromised, AlertLedgerMismatch, AlertGasLow, AlertSweepFailing, AlertTokenAnomaly,
		AlertUnclaimedCredit, AlertUnknownRecipient, AlertRefundUncovered, AlertStoreRestored,
	}
}

// Event is one thing that happened, told at least once, in order per subject.
type Event struct {
	// ID is "evt_" and a hash of subject, kind and cause: a restored database
	// makes the same ids again, so that receivers can drop repetitions.
	ID string
	// Kind is what happened.
	Kind Kind
	// Subject is the id of the payment, address or payout, or the chain, or a
	// name of its own for alert.store_restored; Seq
	// counts its events from 1 without a gap. A receiver drops an older Seq.
	Subject string
	Seq     int64 // Seq is its number among the subject's events.
	// Time is when it was decided.
	Time time.Time
	// Livemode is false on test networks.
	Livemode bool
	// Data is the whole snapshot.
	Data EventData
}

// EventData is the snapshot an event carries. Amounts are decimal numbers of
// the asset ("25.5"), so that they survive every JSON library.
type EventData struct {
	// Subject is what the envelope's sequence number counts for: the id of a
	// payment, an address or a payout, or a chain.
	Subject string `json:"subject,omitempty"`
	// The payment's side; empty where the event has no payment.
	PaymentID      string            `json:"payment_id,omitempty"`
	Status         Status            `json:"status,omitempty"`          // Status is how far it has come.
	From           Status            `json:"from,omitempty"`            // From is the status before, of payment.reverted.
	Chain          chain.ID          `json:"chain,omitempty"`           // Chain is the network, as CAIP-2.
	Asset          chain.AssetID     `json:"asset,omitempty"`           // Asset is the CAIP-19 id.
	TokenID        string            `json:"token_id,omitempty"`        // TokenID is the asset's symbol, a label.
	Address        chain.Address     `json:"address,omitempty"`         // Address is the address of ours.
	AddressID      string            `json:"address_id,omitempty"`      // AddressID is the address's row.
	Customer       string            `json:"customer,omitempty"`        // Customer is the host's name of the payer.
	Amount         string            `json:"amount,omitempty"`          // Amount is how much, in units of the asset.
	Required       string            `json:"required,omitempty"`        // Required is what is enough after tolerance.
	Received       string            `json:"received,omitempty"`        // Received is all counting money in blocks.
	Confirmed      string            `json:"confirmed,omitempty"`       // Confirmed is the confirmed part of it.
	Shortfall      string            `json:"shortfall,omitempty"`       // Shortfall is what is missing.
	Excess         string            `json:"excess,omitempty"`          // Excess is what is too much.
	Held           string            `json:"held,omitempty"`            // Held is confirmed money that does not count.
	Refunded       string            `json:"refunded,omitempty"`        // Refunded is what was given back, final.
	ConfirmationNo int               `json:"confirmation_no,omitempty"` // ConfirmationNo counts how often the payment became confirmed.
	Late           bool              `json:"late,omitempty"`            // Late is true where money came after the deadline.
	Accepted       bool              `json:"accepted,omitempty"`        // Accepted is true where held money was booked.
	Reason         string            `json:"reason,omitempty"`          // Reason says why, where something failed.
	Metadata       map[string]string `json:"metadata,omitempty"`        // Metadata are the host's own pairs.
	ExpiresAt      string            `json:"expires_at,omitempty"`      // ExpiresAt is the deadline.
	// Gross, FeeShare and Net are those of payment.settled.
	Gross    string `json:"gross,omitempty"`
	FeeShare string `json:"fee_share,omitempty"` // FeeShare is what sweeping it cost, in the chain's coin.
	Net      string `json:"net,omitempty"`       // Net is Gross less a fee in the same coin.
	// Transaction and Payout are set where the event concerns one.
	Transaction *TransactionData `json:"transaction,omitempty"`
	Payout      *PayoutData      `json:"payout,omitempty"`  // Payout is the payout.
	Restore     *RestoreData     `json:"restore,omitempty"` // Restore is that of alert.store_restored.
	// Condition is that of chain.* events about how a chain's nodes are doing.
	Condition *ConditionData `json:"condition,omitempty"`
	// Height and Depth are those of chain.* events.
	Height uint64 `json:"height,omitempty"`
	Depth  uint64 `json:"depth,omitempty"` // Depth is how many blocks left the chain.
}

// ConditionData is how the nodes of a chain are doing, inside an event.
type ConditionData struct {
	Kind     chain.ConditionKind `json:"kind"`               // Kind is what began or ended.
	Provider string              `json:"provider,omitempty"` // Provider is the node that it is about.
	Operator string              `json:"operator,omitempty"` // Operator is who runs that.
	Fault    string              `json:"fault,omitempty"`    // Fault is the class of what the provider did.
	Since    string              `json:"since,omitempty"`    // Since is when it began or ended.
	Until    string              `json:"until,omitempty"`    // Until is when the provider is tried again, at the earliest.
	Times    uint64              `json:"times,omitempty"`    // Times counts how often it began in the process that tells it.
}

// TransactionData is a transaction inside an event.
type TransactionData struct {
	ID            string            `json:"id"`                       // ID is the row's id.
	Hash          chain.TxID        `json:"hash"`                     // Hash is the transaction's hash; empty where only a balance told (Via is delta or protocol).
	Type          TransactionType   `json:"type"`                     // Type is the direction.
	Via           chain.Via         `json:"via,omitempty"`            // Via tells how it was seen: direct, contract, delta or protocol.
	Status        TransactionStatus `json:"status"`                   // Status is how far it has come.
	Asset         chain.AssetID     `json:"asset"`                    // Asset is the CAIP-19 id.
	TokenID       string            `json:"token_id,omitempty"`       // TokenID is the asset's symbol, a label.
	Amount        string            `json:"amount"`                   // Amount is how much, in units of the asset.
	From          chain.Address     `json:"from_address,omitempty"`   // From is the sender.
	To            chain.Address     `json:"to_address,omitempty"`     // To is the receiver.
	Block         uint64            `json:"block_number,omitempty"`   // Block is the height of its block.
	BlockHash     chain.BlockHash   `json:"block_hash,omitempty"`     // BlockHash is the hash of its block.
	Confirmations uint64            `json:"confirmations"`            // Confirmations is its depth.
	Inclusion     int               `json:"inclusion,omitempty"`      // Inclusion counts the blocks it was in.
	Reason        string            `json:"failure_reason,omitempty"` // Reason says why, where something failed.
	ReplacedBy    chain.TxID        `json:"replaced_by,omitempty"`    // ReplacedBy is what took its place, where that is known.
}

// PayoutData is a payout inside an event.
type PayoutData struct {
	ID      string        `json:"id"`                     // ID is the row's id.
	Kind    PayoutKind    `json:"kind"`                   // Kind is what it is for.
	Status  PayoutStatus  `json:"status"`                 // Status is how far it has come.
	Asset   chain.AssetID `json:"asset"`                  // Asset is the CAIP-19 id.
	TokenID string        `json:"token_id,omitempty"`     // TokenID is the asset's symbol, a label.
	Amount  string        `json:"amount"`                 // Amount is how much, in units of the asset.
	Moved   string        `json:"moved,omitempty"`        // Moved is what arrived.
	From    chain.Address `json:"from_address,omitempty"` // From is the sender.
	Sources int           `json:"sources,omitempty"`      // Sources is of how many addresses it is, where the sender only pays for it.
	To      chain.Address `json:"to_address,omitempty"`   // To is the receiver.
	TxID    chain.TxID    `json:"tx_id,omitempty"`        // TxID is the transaction.
	Fee     string        `json:"fee,omitempty"`          // Fee is what it cost, in the chain's coin.
	GasUsed uint64        `json:"gas_used,omitempty"`     // GasUsed is the gas that was used.
	Block   uint64        `json:"block_number,omitempty"` // Block is the height of its block.
	Code    string        `json:"code,omitempty"`         // Code is the failure's code.
	Reason  string        `json:"reason,omitempty"`       // Reason says why, where something failed.
}

// DeliveryStatus is how far one event has come on its way to one notifier.
type DeliveryStatus string

// The statuses of a delivery.
const (
	// DeliveryPending: not delivered yet; it holds up later ones of its lane.
	DeliveryPending DeliveryStatus = "pending"
	// DeliveryParked: failing for longer than the parking time, or asked for again
	// by Resend; it is tried on and holds up nobody.
	DeliveryParked DeliveryStatus = "parked"
	// DeliveryDone: the notifier took it.
	DeliveryDone DeliveryStatus = "delivered"
	// DeliveryDead: the schedule is used up, or the endpoint is gone.
	DeliveryDead DeliveryStatus = "dead"
)

// Delivery is one event on its way to one notifier.
type Delivery struct {
	// EventID and Endpoint name it; Endpoint is the notifier's name.
	EventID  string
	Endpoint string // Endpoint is the notifier's name.
	// Version counts the writes of the row; see Batch.
	Version int64
	// Kind, Subject and Seq are the event's: its lane is (Endpoint, Subject).
	Kind    Kind
	Subject string // Subject is the id of the payment, address or payout, or the chain.
	Seq     int64  // Seq is its number among the subject's events.
	// Status is how far it is, Attempts how often it was tried.
	Status   DeliveryStatus
	Attempts int // Attempts counts the tries, since the last Resend.
	// NextAt is when it is due; LeasedUntil keeps other instances off while one
	// is at it.
	NextAt      time.Time
	LeasedUntil time.Time // LeasedUntil keeps other instances off while one is at it.
	// FirstAt is when it was first tried (zero where nothing was sent yet, since the
	// last Resend), LastAt when it was last claimed, DoneAt when it reached its end.
	FirstAt time.Time
	LastAt  time.Time // LastAt is when it was last tried.
	DoneAt  time.Time // DoneAt is when it reached its end.
	// LastError is what the last failure said.
	LastError string
	// CreatedAt is when the event was given to the outbox.
	CreatedAt time.Time
	// Tries is the record of its tries in the gateway's own form, bounded by it;
	// DeliveryAttempts reads it. A store keeps it as it is.
	Tries string
}
