package bursar

import (
	"context"
	"errors"
	"fmt"

	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar/chain"
)

// WithdrawRequest asks to pay a customer out what was deposited at the customer's
// permanent address. Exactly one of Amount and All says how much.
type WithdrawRequest struct {
	// Customer is whose deposits they are, as in AddressRequest. Required.
	Customer string
	// TokensOnly says that the deposits are those of the customer's address for tokens, as
	// in AddressRequest. Each address is paid out by itself.
	TokensOnly bool
	// Asset is what is to go, as in PaymentRequest: the id or an alias. Required.
	Asset string
	// To is the receiver, as the customer gave it. Required; with mixed case on EVM
	// chains it must be a right EIP-55 checksum.
	To string
	// Amount is how much, in units of the asset ("12.5"), above zero.
	Amount decimal.Decimal
	All    bool // All is everything that is left.
	// Key makes the request repeatable, and names one withdrawal of the customer: 1 to
	// MaxKey bytes. The amount of the first request stays, whatever came in since.
	Key string
}

// Withdraw pays a customer out, from the float (see Gateway.Float). At most what is
// final of the customer's deposits in that asset ever leaves, all withdrawals together:
// what else the host owes a customer, or what the customer has spent since, the host's
// own books know. For the rest it is as Refund: it waits in PayoutAwaitingApproval for
// ApprovePayout, CancelPayout gives it up, Chain.Limits and Config.Screen are asked, and
// where the float lacks the money it waits. The events are those of the payout, whose
// Parent and EventData.AddressID are the address that the money had come to.
//
// Errors: ErrNotFound where the customer has no permanent address of the asset's
// family; ErrNothingToWithdraw where nothing that is final is left; *FieldError for a
// bad request, a receiver that cannot be paid, or more than is left; *LimitError above a
// PayoutLimit; *ScreenError where Config.Screen refused; ErrIdempotencyConflict where the
// key stands for another withdrawal; ErrChainNotReady where the chain is not proved, or
// halted; chain.ErrUnsupported where nobody signs payouts there.
func (g *Gateway) Withdraw(ctx context.Context, req WithdrawRequest) (Payout, error) {
	if err := g.writable(ctx); err != nil {
		return Payout{}, err
	}
	if err := req.check(); err != nil {
		return Payout{}, err
	}
	if err := g.meet(ctx, req.Asset); err != nil {
		return Payout{}, err
	}
	net, asset, err := g.lookupAsset("WithdrawRequest.Asset", req.Asset)
	if err != nil {
		return Payout{}, err
	}
	at, err := g.permanent(ctx, net, permanentKey(net, req.Customer, req.TokensOnly))
	if err != nil {
		return Payout{}, err
	}
	r, err := g.stranger("WithdrawRequest", net, asset, req.To, req.Amount)
	if err != nil {
		return Payout{}, err
	}
	r.key, r.name, r.parent = "withdrawal:"+at.ID+":"+req.Key, req.Key, at.ID
	r.screening.Customer = req.Customer
	if old, ok, err := g.repeated(ctx, r); ok || err != nil {
		return old, err
	}
	if err := r.ready(ctx); err != nil {
		return Payout{}, err
	}
	return g.withdraw(ctx, r, at.Address, req.All)
}

func (req WithdrawRequest) check() error {
	switch {
	case req.Customer == "":
		return fieldErr("WithdrawRequest.Customer", CodeRequired, "whose deposits are paid out")
	case req.Key == "":
		return fieldErr("WithdrawRequest.Key", CodeRequired, "an idempotency key")
	case req.To == "":
		return fieldErr("WithdrawRequest.To", CodeRequired, "an address that the customer gave")
	case req.Amount.IsZero() != req.All:
		return fieldErr("WithdrawRequest.Amount", CodeRequired, "exactly one of Amount and All")
	}
	if err := checkText("WithdrawRequest.Customer", req.Customer, MaxCustomer); err != nil {
		return err
	}
	return checkText("WithdrawRequest.Key", req.Key, MaxKey)
}

// permanent finds a customer's permanent address.
func (g *Gateway) permanent(ctx context.Context, net *network, key string) (at Address, err error) {
	err = g.store.Read(ctx, func(r Reader) error {
		rows, err := r.Addresses(ctx, AddressQuery{IdempotencyKeys: []string{key}})
		if err == nil && len(rows) == 0 {
			err = fmt.Errorf("%w: the customer has no such permanent address on %s", ErrNotFound, net.info.ID)
		}
		if err == nil {
			at = rows[0]
		}
		return err
	})
	return at, err
}

// withdraw plans one.
func (g *Gateway) withdraw(ctx context.Context, r outgoing, at chain.Address, all bool) (out Payout, err error) {
	err = g.store.Write(ctx, func(tx Tx) error {
		known, err := tx.Payouts(ctx, PayoutQuery{Keys: []string{r.key}})
		if err != nil {
			return err
		}
		if len(known) > 0 {
			out, err = r.same(known[0])
			return err
		}
		d, err := newDesk(ctx, g, r.net, tx)
		if err != nil {
			return err
		}
		d.moved = false // the cursor is the scanner's
		if err := d.trusted(); err != nil {
			return err
		}
		f, err := d.file(at)
		if err != nil {
			return err
		}
		left, err := d.withdrawable(f, r.asset.ID)
		if err != nil {
			return err
		}
		amount := r.want
		if all {
			amount = left
		}
		switch {
		case left.IsZero() || amount.IsZero():
			return fmt.Errorf("%w: %s of customer %q", ErrNothingToWithdraw, r.asset.Symbol, f.address.Customer)
		case left.Less(amount):
			return fieldErr("WithdrawRequest.Amount", CodeOutOfRange, "%s is more than the %s %s that are final and not withdrawn",
				r.asset.Format(amount), r.asset.Format(left), r.asset.Symbol)
		}
		p, err := d.promise(r, PayoutWithdrawal, amount)
		if err != nil {
			return err
		}
		b := d.batch()
		out = p.Payout
		out.Version = 1
		return tx.Apply(ctx, b)
	})
	if err != nil {
		return Payout{}, err
	}
	g.wakePump()
	return out, nil
}

// ErrNothingToWithdraw: nothing of the customer's deposits is final and not withdrawn.
var ErrNothingToWithdraw = errors.New("bursar: nothing to withdraw")
