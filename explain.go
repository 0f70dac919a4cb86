package bursar

import (
	"context"
	"strings"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// maxQuestion bounds what Explain looks up: the longest idempotency key fits.
const maxQuestion = 512

// explainPatience bounds what Explain asks of the nodes of all chains together.
const explainPatience = 20 * time.Second

// explainRows bounds the events of one subject that an Explanation lists.
const explainRows = 1000

// ReasonCode tells programs why money is not credited, or a payment not further.
// New ones may be added.
type ReasonCode string

// Why money is not credited.
const (
	ReasonNothingSeen  ReasonCode = "nothing_seen"        // ReasonNothingSeen: no transfer to the address was found in any scanned block.
	ReasonTooLittle    ReasonCode = "too_little"          // ReasonTooLittle: what counts is below what is required.
	ReasonBelowDepth   ReasonCode = "below_depth"         // ReasonBelowDepth: in a block, without its confirmations.
	ReasonLate         ReasonCode = "late"                // ReasonLate: it came after the deadline and its grace, and is held.
	ReasonAfterCancel  ReasonCode = "after_cancel"        // ReasonAfterCancel: the payment had been canceled; it is held.
	ReasonWrongAsset   ReasonCode = "wrong_asset"         // ReasonWrongAsset: another configured asset of the same chain.
	ReasonOtherChain   ReasonCode = "other_chain"         // ReasonOtherChain: it arrived on another chain than the payment's.
	ReasonSuspense     ReasonCode = "suspense"            // ReasonSuspense: the token did not do what its events say, or coin came that is nobody's claim.
	ReasonReorged      ReasonCode = "reorged"             // ReasonReorged: its block left the chain, and no other has it yet.
	ReasonUnissued     ReasonCode = "unissued"            // ReasonUnissued: the address is ours and was issued to nobody.
	ReasonGone         ReasonCode = "failed"              // ReasonGone: the transaction failed, or was replaced.
	ReasonHalted       ReasonCode = "chain_halted"        // ReasonHalted: nothing is credited on the chain until it resumes.
	ReasonDiverged     ReasonCode = "providers_disagree"  // ReasonDiverged: the chain's providers contradict each other, and nobody can decide.
	ReasonFailing      ReasonCode = "chain_unreadable"    // ReasonFailing: the chain cannot be read: its node is away, or too few providers answer.
	ReasonStalled      ReasonCode = "chain_stalled"       // ReasonStalled: the chain has had no new block, or no new final one, for too long.
	ReasonBehind       ReasonCode = "scanner_behind"      // ReasonBehind: the block was not scanned yet.
	ReasonNeverScanned ReasonCode = "never_scanned"       // ReasonNeverScanned: no block of the chain was ever scanned.
	ReasonMempool      ReasonCode = "in_mempool"          // ReasonMempool: in no block yet.
	ReasonNotFound     ReasonCode = "unknown_transaction" // ReasonNotFound: no node of a configured chain knows it.
	ReasonNotOurs      ReasonCode = "not_ours"            // ReasonNotOurs: it went to no address of the gateway's.
	ReasonNoAsset      ReasonCode = "no_listed_asset"     // ReasonNoAsset: it moved no asset that is configured.
	ReasonNotBooked    ReasonCode = "not_booked"          // ReasonNotBooked: in a scanned block, and not in the store.
	ReasonNotFinal     ReasonCode = "not_final"           // ReasonNotFinal: deep enough, and a tier or a cap waits for finality.
	ReasonUnbooked     ReasonCode = "unbooked_balance"    // ReasonUnbooked: the chain has more at the address than the ledger.
	ReasonUnknown      ReasonCode = "unknown"             // ReasonUnknown: nothing here has that name.
)

// Reason is one reason, in a word for programs and a sentence for people.
type Reason struct {
	Code ReasonCode `json:"code"` // Code is the reason in a word.
	// Text says why, and what is to be done where something is.
	Text string `json:"text"`
	// Transaction is the row that it is about, if it is about one.
	Transaction string `json:"transaction,omitempty"`
}

// Explained is the kind of thing that an Explanation is about.
type Explained string

// What can be explained.
const (
	ExplainedPayment     Explained = "payment"     // ExplainedPayment: by its id, address or idempotency key.
	ExplainedAddress     Explained = "address"     // ExplainedAddress: an address of ours without a payment.
	ExplainedTransaction Explained = "transaction" // ExplainedTransaction: by its row's id or its hash.
	ExplainedPayout      Explained = "payout"      // ExplainedPayout: by its id, key or the hash of an attempt.
	ExplainedNothing     Explained = "nothing"     // ExplainedNothing: the store has nothing of that name.
)

// Explanation is all that is known of one thing. Fields may be added; those that
// are there keep their meaning. It holds no secrets, but the host's own metadata.
type Explanation struct {
	// Asked is what was asked for, Kind what it turned out to be, At the time of
	// the snapshot, by the store's clock.
	Asked string    `json:"asked"`
	Kind  Explained `json:"kind"` // Kind is what it turned out to be.
	At    time.Time `json:"at"`   // At is the time of the snapshot.
	// Summary is one sentence: the state, and why it is that.
	Summary string `json:"summary"`
	// Missing is what has to happen next, a sentence each.
	Missing []string `json:"missing,omitempty"`
	// Reasons are why money is not credited; empty where all of it is.
	Reasons []Reason `json:"reasons,omitempty"`
	// Payment is the payment, Payments the ids of all where a transaction paid
	// several, Address the row of the address of ours.
	Payment  *Payment `json:"payment,omitempty"`
	Payments []string `json:"payments,omitempty"` // Payments are the ids of those that a transaction paid.
	Address  *Address `json:"address,omitempty"`  // Address is the address of ours.
	// Transactions are those at the address, or of the hash.
	Transactions []ExplainedTx `json:"transactions,omitempty"`
	// Payouts are those that swept or moved the money, oldest first.
	Payouts []ExplainedMove `json:"payouts,omitempty"`
	// Entries are the ledger's, reversed ones included; Events what was told.
	Entries []Entry          `json:"entries,omitempty"`
	Events  []ExplainedEvent `json:"events,omitempty"` // Events are what was told, and to whom.
	// Chains are the chains that matter.
	Chains []ExplainedChain `json:"chains,omitempty"`
	// Notes say what could not be found out.
	Notes []string `json:"notes,omitempty"`
}

// ExplainedTx is a transaction with what became of its money.
type ExplainedTx struct {
	Transaction
	// Units is the amount with its symbol, "25.5 USDC".
	Units string `json:"units"`
	// Depth is its confirmations under the newest scanned block, Left how many
	// more it needs.
	Depth uint64 `json:"confirmations"`
	Left  uint64 `json:"confirmations_left"` // Left is how many more it needs.
	// Verdict is what the money is to its payment: "counting", "accepted",
	// "deposit", "capital", "own", or a ReasonCode.
	Verdict string `json:"verdict"`
}

// ExplainedMove is a payout with its attempts. What an attempt signed is left out.
type ExplainedMove struct {
	Payout
	Units    string             `json:"units"`              // Units is the amount with its symbol.
	Attempts []ExplainedAttempt `json:"attempts,omitempty"` // Attempts are its signed transactions, the first one first.
}

// ExplainedAttempt is one signed transaction of a payout.
type ExplainedAttempt struct {
	// TxID is the transaction. Attempts with one Group share a nonce, so that at
	// most one of them can be mined.
	TxID  chain.TxID `json:"tx_id"`
	Group int        `json:"group"` // Group counts the nonces that were used.
	// Open is true while it can still be mined; Error is what the last broadcast
	// said.
	Open  bool   `json:"open"`
	Error string `json:"error,omitempty"` // Error is what the last broadcast said.
}

// ExplainedEvent is an event with its way to each notifier.
type ExplainedEvent struct {
	// ID, Kind, Subject, Seq and Time are those of the Event.
	ID      string    `json:"id"`
	Kind    Kind      `json:"kind"`    // Kind is what happened.
	Subject string    `json:"subject"` // Subject is what it happened to.
	Seq     int64     `json:"seq"`     // Seq is its number among the subject's events.
	Time    time.Time `json:"time"`    // Time is when it was committed.
	// Deliveries are its ways, one for each notifier.
	Deliveries []ExplainedDelivery `json:"deliveries,omitempty"`
}

// ExplainedDelivery is how far an event has come on its way to one notifier.
type ExplainedDelivery struct {
	Endpoint string         `json:"endpoint"` // Endpoint is the notifier's name.
	Status   DeliveryStatus `json:"status"`   // Status is how far it has come.
	Attempts int            `json:"attempts"` // Attempts is how often it was tried.
	// NextAt is when it is tried again, zero where it ended; LastError is what the
	// receiver said.
	NextAt    time.Time `json:"next_at,omitzero"`
	LastError string    `json:"last_error,omitempty"` // LastError is what the receiver said.
}

// ExplainedChain is how far one chain was followed.
type ExplainedChain struct {
	ID   ChainID `json:"id"`   // ID is the chain, as CAIP-2.
	Name string  `json:"name"` // Name is its short name.
	// Tip is the newest scanned height, Head the newest that a node told of, now or
	// at the last scan, Final the highest final one.
	Tip   uint64 `json:"tip"`
	Head  uint64 `json:"head"`  // Head is the newest known height.
	Final uint64 `json:"final"` // Final is the highest final height.
	// Halted is why nothing is credited; empty while all is well.
	Halted string `json:"halted,omitempty"`
	// Scanned is when the cursor was last written; zero: never.
	Scanned time.Time `json:"scanned,omitzero"`
	// Conditions are what is wrong with its nodes, a sentence each: as the instance
	// sees it that works on the chain, or as that one told last.
	Conditions []string `json:"conditions,omitempty"`
}

// Explain tells all that is known of a payment, an address, a transaction or a
// payout, named by an id, an idempotency key, an address or a transaction hash,
// and answers why it is in its state and why money was not credited. What the
// store knows nothing of is an Explanation too, of kind ExplainedNothing, with the
// nodes' word on it where it looks like a transaction or an address.
//
// It writes nothing, and works before Start and after Stop. The store is read in
// one snapshot. The nodes of the chains concerned are asked for at most 20 s; what
// they do not answer becomes a note. An error means that the store failed, ctx
// ended, or what was asked for is empty or too long, which is a *FieldError.
func (g *Gateway) Explain(ctx context.Context, what string) (Explanation, error) {
	if g == nil || g.store == nil {
		return Explanation{}, ErrNotStarted
	}
	what = strings.TrimSpace(what)
	if what == "" {
		return Explanation{}, fieldErr("Explain.What", CodeRequired, "an id, an address, a transaction hash or an idempotency key")
	}
	if len(what) > maxQuestion {
		return Explanation{}, fieldErr("Explain.What", CodeOutOfRange, "%d bytes, the most is %d", len(what), maxQuestion)
	}
	if err := g.learnAll(ctx); err != nil {
		return Explanation{}, err
	}
	var x *explainer
	err := g.store.Read(ctx, func(r Reader) error {
		// A store may run a reading closure again.
		x = newExplainer(ctx, g, r, what)
		return x.read()
	})
	if err != nil {
		return Explanation{}, err
	}
	x.r = nil // its snapshot is over
	limited, cancel := context.WithTimeout(ctx, explainPatience)
	defer cancel()
	x.ctx = limited
	x.ask()
	if err := ctx.Err(); err != nil {
		return Explanation{}, err
	}
	x.judge()
	return x.out, nil
}
