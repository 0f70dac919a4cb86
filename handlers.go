package bursar

import (
	"context"
	"strings"
)

// Handlers are functions of the host for the events that it cares about, each for one
// kind or one group of kinds. Nil means that it does not: such an event is done at
// once. All of them may be called for different subjects at the same time.
type Handlers struct {
	// OnCreated and those up to OnUnexpectedAsset are for the kinds of the payment's
	// side, each named after its kind.
	OnCreated         func(ctx context.Context, e Event) error
	OnDetected        func(ctx context.Context, e Event) error // OnDetected: counting money is in a block.
	OnPartial         func(ctx context.Context, e Event) error // OnPartial: a confirmed part; Data.Shortfall tells the rest.
	OnConfirmed       func(ctx context.Context, e Event) error // OnConfirmed: enough is confirmed. Fulfil once.
	OnOverpaid        func(ctx context.Context, e Event) error // OnOverpaid: more than asked for is confirmed.
	OnUnderpaid       func(ctx context.Context, e Event) error // OnUnderpaid: the deadline passed with too little.
	OnExpired         func(ctx context.Context, e Event) error // OnExpired: the deadline passed with nothing.
	OnLate            func(ctx context.Context, e Event) error // OnLate: money came too late or after a cancel.
	OnReverted        func(ctx context.Context, e Event) error // OnReverted: a reorg took a state back.
	OnSettled         func(ctx context.Context, e Event) error // OnSettled: the money is in the treasury, final.
	OnCanceled        func(ctx context.Context, e Event) error // OnCanceled: the host withdrew it.
	OnRefunded        func(ctx context.Context, e Event) error // OnRefunded: money went back, final.
	OnUnexpectedAsset func(ctx context.Context, e Event) error // OnUnexpectedAsset: another configured asset arrived.

	// OnTransaction and those below are for all kinds of a group.
	OnTransaction func(ctx context.Context, e Event) error
	OnPayout      func(ctx context.Context, e Event) error // OnPayout: payout.*.
	OnChain       func(ctx context.Context, e Event) error // OnChain: chain.*.
	OnAlert       func(ctx context.Context, e Event) error // OnAlert: alert.*; somebody should look.
	// OnOther is for every event that none of the others is for, those of later
	// releases included.
	OnOther func(ctx context.Context, e Event) error
}

// On makes a Notifier of handlers, with what NotifyFunc promises: each event at least
// once, first attempts in order for each subject, panics contained, calls of the
// Gateway legal. An error of a handler holds up its own subject alone. Whoever must
// do something exactly once notes the event's id with it, or uses NotifyTx.
func On(name string, h Handlers) Notifier { return notifyFunc{name, h.Handle} }

// Handle calls the handler of an event, if there is one. It is what On has the outbox
// call; a host that does more around it gives its own function to NotifyFunc.
func (h Handlers) Handle(ctx context.Context, e Event) error {
	fn := h.of(e.Kind)
	if fn == nil {
		return nil
	}
	return fn(ctx, e)
}

// of is the handler of a kind; nil: none.
func (h *Handlers) of(k Kind) (fn func(context.Context, Event) error) {
	switch k {
	case PaymentCreated:
		fn = h.OnCreated
	case PaymentDetected:
		fn = h.OnDetected
	case PaymentPartial:
		fn = h.OnPartial
	case PaymentConfirmed:
		fn = h.OnConfirmed
	case PaymentOverpaid:
		fn = h.OnOverpaid
	case PaymentUnderpaid:
		fn = h.OnUnderpaid
	case PaymentExpired:
		fn = h.OnExpired
	case PaymentLate:
		fn = h.OnLate
	case PaymentReverted:
		fn = h.OnReverted
	case PaymentSettled:
		fn = h.OnSettled
	case PaymentCanceled:
		fn = h.OnCanceled
	case PaymentRefunded:
		fn = h.OnRefunded
	case PaymentUnexpectedAsset:
		fn = h.OnUnexpectedAsset
	default:
		fn = h.group(k)
	}
	if fn == nil {
		return h.OnOther
	}
	return fn
}

// group is the handler of a kind that has none of its own.
func (h *Handlers) group(k Kind) func(context.Context, Event) error {
	switch group, _, _ := strings.Cut(string(k), "."); group {
	case "transaction":
		return h.OnTransaction
	case "payout":
		return h.OnPayout
	case "chain":
		return h.OnChain
	case "alert":
		return h.OnAlert
	}
	return nil
}
