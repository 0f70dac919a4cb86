package bursar

import (
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Status is how far a payment has come. Overpaid, late and partial are facts
// beside it.
type Status string

// The statuses of a payment. docs/state_machine.md has the transitions.
const (
	// StatusPending: nothing counts yet.
	StatusPending Status = "pending"
	// StatusDetected: money is in a block, or a confirmed part is there.
	StatusDetected Status = "detected"
	// StatusConfirmed: enough money has its confirmations.
	StatusConfirmed Status = "confirmed"
	// StatusSettled: the money has reached the treasury, final.
	StatusSettled Status = "settled"
	// StatusUnderpaid: the deadline passed with too little confirmed.
	StatusUnderpaid Status = "underpaid"
	// StatusExpired: the deadline passed with nothing.
	StatusExpired Status = "expired"
	// StatusCanceled: the host withdrew it. It is sticky.
	StatusCanceled Status = "canceled"
)

// Payment is one request for money and all that happened to it. It is a
// snapshot; change it through the Gateway's verbs.
type Payment struct {
	// ID is "pay_" (live) or "pay_test_" and a UUIDv7.
	ID string `json:"id"`
	// Version counts the writes of the row; see Batch.
	Version int64 `json:"version"`
	// Status is derived from the facts below by one rule.
	Status Status `json:"status"`
	// Livemode is false on test networks.
	Livemode bool `json:"livemode"`
	// Asset is what is asked for, as it was configured at creation.
	Asset chain.Asset `json:"asset"`
	// Amount is what was asked for, in base units, and Required what is enough
	// after tolerance.
	Amount   chain.Amount `json:"amount"`
	Required chain.Amount `json:"required"` // Required is what is enough after tolerance.
	// Received is all counting money in blocks, Confirmed the part of it with
	// its confirmations.
	Received  chain.Amount `json:"received"`
	Confirmed chain.Amount `json:"confirmed"` // Confirmed is the confirmed part of it.
	// Shortfall is Amount less Confirmed, Excess Confirmed less Amount; zero
	// where negative.
	Shortfall chain.Amount `json:"shortfall"`
	Excess    chain.Amount `json:"excess"` // Excess is what is too much.
	// Held is confirmed money at the address that does not count: late, or
	// after a cancel. AcceptPayment books it, and also the counting part of an
	// underpaid payment, which is in Confirmed and not here.
	Held chain.Amount `json:"held"`
	// Refunded is what was paid back, final; Refunding what is asked to be, with it.
	Refunded  chain.Amount `json:"refunded"`
	Refunding chain.Amount `json:"refunding"` // Refunding is what was or is to be paid back.
	// RequiredConfirmations is the depth at which a transfer is confirmed; a
	// transfer in the newest block has depth 1.
	RequiredConfirmations uint64 `json:"required_confirmations"`
	// Confirmations is the depth of the least deep counting transfer, at most
	// RequiredConfirmations; it is worked out from Block when a payment is read.
	Confirmations uint64 `json:"confirmations"`
	// Block is the height of the newest block with counting money; 0: none.
	Block uint64 `json:"block,omitempty"`
	// Final is true when all counting money is final on its chain.
	Final bool `json:"final"`
	// Address is where the payer sends to, AddressID its row.
	Address   chain.Address `json:"address"`
	AddressID string        `json:"address_id"` // AddressID is the address's row.
	// URI is a link that wallets understand (EIP-681 and its like).
	URI string `json:"uri"`
	// Metadata is the host's own.
	Metadata map[string]string `json:"metadata,omitempty"`
	// IdempotencyKey is the host's key, Fingerprint the hash of the request
	// that it was used with.
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	Fingerprint    string `json:"fingerprint,omitempty"` // Fingerprint is the hash of the request that the key was used with.
	// Customer is the host's name of the payer.
	Customer string `json:"customer,omitempty"`
	// Attempt counts from 1; a renewed payment names the one before in
	// Previous, and that one the next in Next.
	Attempt  int    `json:"attempt"`
	Previous string `json:"previous,omitempty"` // Previous is the attempt before.
	Next     string `json:"next,omitempty"`     // Next is the attempt after.
	// Late is true when money counted that came after the deadline, in grace.
	Late bool `json:"late"`
	// Accepted is true when the host booked held money.
	Accepted bool `json:"accepted"`
	// AcceptKeys are the idempotency keys of the acceptances, in their order.
	AcceptKeys []string `json:"accept_keys,omitempty"`
	// FailureReason says why an expired, underpaid or canceled payment ended.
	FailureReason string `json:"failure_reason,omitempty"`
	// ConfirmationNo counts how often the payment became confirmed: 2 means
	// that a reorg took the first one back. Hosts fulfil once per payment.
	ConfirmationNo int `json:"confirmation_no"`
	// SettleNo counts how often the payment became settled.
	SettleNo int `json:"settle_no"`
	// Policy is the amount policy that was frozen at creation.
	Policy AmountPolicy `json:"policy"`
	// TTL is the time to live that was asked for.
	TTL time.Duration `json:"ttl"`
	// HoldUntil is set while a transfer of this payment is out of the chain
	// after a reorg: the verdict at the deadline waits for it.
	HoldUntil time.Time `json:"hold_until,omitzero"`
	// Deadline is when the payment must be looked at next: ExpiresAt or
	// HoldUntil while it is open, zero when no verdict is due.
	Deadline time.Time `json:"deadline,omitzero"`
	// PostedPaid and PostedExcess are what the ledger has on paid:<id> and
	// excess:<id>; the next posting is the difference.
	PostedPaid   chain.Amount `json:"posted_paid"`
	PostedExcess chain.Amount `json:"posted_excess"` // PostedExcess is what the ledger has on excess:<id>.
	// ReportedExcess is the excess of the last payment.overpaid.
	ReportedExcess chain.Amount `json:"reported_excess"`
	// SweepFee is what sweeping the payment's money cost, in the chain's coin.
	SweepFee chain.Amount `json:"sweep_fee"`
	// Seq is the sequence number of the payment's last event.
	Seq int64 `json:"seq"`

	// The times of the states; zero where not reached. SeenAt is the first
	// sight of any transfer, DetectedAt the first block.
	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at"`            // ExpiresAt is the deadline.
	SeenAt      time.Time `json:"seen_at,omitzero"`      // SeenAt is the first sight.
	DetectedAt  time.Time `json:"detected_at,omitzero"`  // DetectedAt is the first block.
	ConfirmedAt time.Time `json:"confirmed_at,omitzero"` // ConfirmedAt is when it was confirmed.
	SettledAt   time.Time `json:"settled_at,omitzero"`   // SettledAt is when it was settled.
	ExpiredAt   time.Time `json:"expired_at,omitzero"`   // ExpiredAt is when the verdict at the deadline fell.
	CanceledAt  time.Time `json:"canceled_at,omitzero"`  // CanceledAt is when the host withdrew it.
}

// Canceled reports whether the host withdrew the payment, whatever its status
// is now: accepted money makes a canceled payment confirmed.
func (p Payment) Canceled() bool { return !p.CanceledAt.IsZero() }

// AmountPolicy says which amounts and times are good enough. Its zero value is
// the strictest: the exact amount, in time.
type AmountPolicy struct {
	// Tolerance is how many base units may be missing, ToleranceBps how many
	// hundredths of a percent of the amount (0 to 10,000, rounded down). Zero
	// means not set; where both are set the smaller one counts. It applies at
	// once, not only at the deadline.
	Tolerance    chain.Amount `json:"tolerance"`
	ToleranceBps uint32       `json:"tolerance_bps"` // ToleranceBps is the tolerance in hundredths of a percent.
	// Grace is how long after the deadline money still re-opens the payment.
	Grace time.Duration `json:"grace"`
	// OverpaidMin is the smallest excess that is announced; 0 means 1 base unit.
	OverpaidMin chain.Amount `json:"overpaid_min"`
	// Final waits for the chain's finality too before money is confirmed. A Tier
	// asks for it by amount, and sets it in Payment.Policy.
	Final bool `json:"final,omitempty"`
}

// required returns the amount that is enough for a payment of expected.
func (p AmountPolicy) required(expected chain.Amount) (chain.Amount, error) {
	share, err := expected.MulDiv(chain.NewAmount(uint64(p.ToleranceBps)), chain.NewAmount(10_000))
	if err != nil {
		return chain.Amount{}, err
	}
	tolerated := p.Tolerance.Min(share)
	switch {
	case p.ToleranceBps == 0:
		tolerated = p.Tolerance
	case p.Tolerance.IsZero():
		tolerated = share
	}
	return expected.SubFloor(tolerated), nil
}
