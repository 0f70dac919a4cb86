package bursar

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar/chain"
)

// PaymentRequest asks for a payment.
type PaymentRequest struct {
	// Asset is a CAIP-19 id or an alias "chain/SYMBOL" such as "ethereum/USDC".
	Asset string
	// Amount is how much is asked for, in units of the asset, above zero and
	// with no more decimals than the asset has.
	Amount decimal.Decimal
	// TTL is how long the payment waits for money. Default: Config.TTL.
	TTL time.Duration
	// Policy replaces Config.Policy for this payment.
	Policy *AmountPolicy
	// Customer is the host's name of the payer, at most 255 bytes.
	Customer string
	// Metadata are the host's own pairs: at most 50, keys of up to 40 bytes that
	// do not look like integers, values of up to 500 bytes, 16 KiB in all.
	Metadata map[string]string
	// IdempotencyKey makes the request repeatable: the same key with the same
	// request returns the same payment, with another one ErrIdempotencyConflict.
	// At most 255 bytes; empty: every call makes a payment.
	IdempotencyKey string
}

// draft is a checked request.
type draft struct {
	net         *network
	asset       chain.Asset
	amount      chain.Amount
	required    chain.Amount
	policy      AmountPolicy
	ttl         time.Duration
	fingerprint string
}

// CreatePayment makes a payment with an address of its own. When it returns,
// the payment is stored and its address is watched. With an idempotency key that
// was used before it returns the payment of then as it is now, expired or not;
// see RenewPayment for another attempt.
//
// A bad field is a *FieldError, before anything is written. ErrChainNotReady
// means that the chain has never been reached, so that nobody could see the
// money yet. After an error of the store the outcome may be unknown: repeat the
// call with the same idempotency key.
func (g *Gateway) CreatePayment(ctx context.Context, req PaymentRequest) (Payment, error) {
	if err := g.running(); err != nil {
		return Payment{}, err
	}
	d, err := g.checkRequest("PaymentRequest.", req)
	if err != nil {
		return Payment{}, err
	}
	return g.create(ctx, req, d, func(*Payment, Payment) error { return nil }, "")
}

// checkRequest checks all that can be checked without the store. path stands
// before the names of fields in errors.
func (g *Gateway) checkRequest(path string, req PaymentRequest) (draft, error) {
	var d draft
	var err error
	if d.net, d.asset, err = g.lookupAsset(path+"Asset", req.Asset); err != nil {
		return d, err
	}
	if d.amount, err = units(path+"Amount", req.Amount, d.asset); err != nil {
		return d, err
	}
	if d.amount.Less(d.asset.Minimum) {
		return d, fieldErr(path+"Amount", CodeOutOfRange, "%s %s is below the minimum of %s", req.Amount, d.asset.Symbol, d.asset.Format(d.asset.Minimum))
	}
	if d.ttl = req.TTL; d.ttl == 0 {
		d.ttl = g.cfg.TTL
	}
	if err := checkTTL(path+"TTL", d.ttl); err != nil {
		return d, err
	}
	d.policy = g.cfg.Policy
	if req.Policy != nil {
		d.policy = *req.Policy
	}
	if err := d.policy.check(path + "Policy"); err != nil {
		return d, err
	}
	if d.required, err = d.policy.required(d.amount); err != nil {
		return d, &FieldError{Field: path + "Policy", Code: CodeOutOfRange, Reason: "tolerance", Err: err}
	}
	if d.required.IsZero() {
		return d, fieldErr(path+"Policy.Tolerance", CodeOutOfRange, "nothing would be left to pay")
	}
	if err := checkText(path+"Customer", req.Customer, MaxCustomer); err != nil {
		return d, err
	}
	if err := checkText(path+"IdempotencyKey", req.IdempotencyKey, MaxKey); err != nil {
		return d, err
	}
	if err := checkMetadata(path+"Metadata", req.Metadata); err != nil {
		return d, err
	}
	if !d.net.isReady() {
		return d, fmt.Errorf("%w: %s", ErrChainNotReady, d.net.info.ID)
	}
	if req.IdempotencyKey != "" {
		d.fingerprint = fingerprint(d, req)
	}
	return d, nil
}

// lookupAsset finds a configured asset by id or alias.
func (g *Gateway) lookupAsset(field, name string) (*network, chain.Asset, error) {
	if name == "" {
		return nil, chain.Asset{}, fieldErr(field, CodeRequired, "an asset id or an alias such as %q", "ethereum/USDC")
	}
	if len(name) > 256 {
		return nil, chain.Asset{}, fieldErr(field, CodeInvalid, "longer than any asset id")
	}
	if ref, ok := g.aliases[name]; ok {
		return ref.net, ref.asset, nil
	}
	return nil, chain.Asset{}, fieldErr(field, CodeUnknown, "%q is not configured", name)
}

// assetRef is a configured asset and its chain.
type assetRef struct {
	net   *network
	asset chain.Asset
}

// fingerprint hashes what makes two requests the same, as the host wrote it: not
// the time of expiry, which would differ at every call, but the time to live;
// and not the configured defaults, because a repetition after a new release with
// other defaults is still the same request.
func fingerprint(d draft, req PaymentRequest) string {
	var b strings.Builder
	part := func(s string) { b.WriteString(strconv.Itoa(len(s)) + ":" + s) }
	part(string(d.asset.ID))
	part(d.amount.String())
	part(req.Customer)
	part(req.TTL.String())
	if p := req.Policy; p != nil {
		part("policy")
		part(p.Tolerance.String())
		part(strconv.FormatUint(uint64(p.ToleranceBps), 10))
		part(p.Grace.String())
		part(p.OverpaidMin.String())
	}
	part(strconv.Itoa(len(req.Metadata)))
	for _, k := range sortedKeys(req.Metadata) {
		part(k)
		part(req.Metadata[k])
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

// maxAddressTries is how many addresses are tried where one turns out to be
// taken: money may have come to it before it was issued.
const maxAddressTries = 5

// create stores a payment on a fresh address. link, which must be pure, may
// tie it to a payment that is written with it.
func (g *Gateway) create(ctx context.Context, req PaymentRequest, d draft, link func(fresh *Payment, previous Payment) error, previous string) (Payment, error) {
	random, err := g.ids.draw()
	if err != nil {
		return Payment{}, err
	}
	for try := 0; ; try++ {
		it, err := d.net.book.take(ctx)
		if err != nil {
			return Payment{}, err
		}
		p, fresh, err := g.store1(ctx, req, d, it, random, link, previous)
		if !fresh {
			d.net.book.giveBack(it) // nothing was applied with it, whatever happened
		}
		if errors.Is(err, ErrConflict) && try < maxAddressTries {
			continue // perhaps the address; it is not used again
		}
		if err == nil && fresh {
			g.wakePump()
		}
		return p, err
	}
}

// store1 writes one payment with one address, or finds the one that the
// idempotency key already made.
func (g *Gateway) store1(ctx context.Context, req PaymentRequest, d draft, it issued, random entropy, link func(*Payment, Payment) error, previous string) (p Payment, fresh bool, err error) {
	uri, err := d.net.codec.PaymentURI(d.asset, it.address, d.amount)
	if err != nil {
		return Payment{}, false, err
	}
	err = g.store.Write(ctx, func(tx Tx) error {
		p, fresh = Payment{}, false
		if req.IdempotencyKey != "" {
			old, err := tx.Payments(ctx, PaymentQuery{IdempotencyKeys: []string{req.IdempotencyKey}})
			if err != nil {
				return err
			}
			if len(old) > 0 {
				if old[0].Fingerprint != d.fingerprint {
					return fmt.Errorf("%w: key %q belongs to payment %s", ErrIdempotencyConflict, req.IdempotencyKey, old[0].ID)
				}
				p = old[0]
				return deepen(ctx, tx, &p)
			}
		}
		var batch Batch
		p = g.newPayment(req, d, it, random, uri, tx.Now())
		if previous != "" {
			rows, err := tx.Payments(ctx, PaymentQuery{IDs: []string{previous}})
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				return ErrNotFound
			}
			if rows[0].Next != "" {
				next, err := tx.Payments(ctx, PaymentQuery{IDs: []string{rows[0].Next}})
				if err != nil {
					return err
				}
				if len(next) == 0 {
					return fmt.Errorf("%w: payment %s names the unknown %s as its next", ErrInvariant, previous, rows[0].Next)
				}
				p = next[0]
				return deepen(ctx, tx, &p)
			}
			if err := link(&p, rows[0]); err != nil {
				return err
			}
			rows[0].Next = p.ID
			batch.Payments = append(batch.Payments, rows[0])
		}
		fresh = true
		row := it.row(RolePayment)
		row.PaymentID, row.Customer, row.CreatedAt = p.ID, p.Customer, p.CreatedAt
		p.Seq = 1
		event := Event{
			ID: hashID("evt_", p.ID, string(PaymentCreated), "create"), Kind: PaymentCreated, Subject: p.ID, Seq: 1,
			Time: p.CreatedAt, Livemode: g.live, Data: paymentData(p),
		}
		event.Data.Subject = p.ID
		batch.Payments = append(batch.Payments, p)
		batch.Addresses = []Address{row}
		batch.Events = []Event{event}
		batch.Deliveries = g.deliveries(batch.Events, p.CreatedAt)
		return tx.Apply(ctx, batch)
	})
	if err != nil {
		return Payment{}, fresh, err
	}
	if fresh {
		p.Version = 1
	}
	return p, fresh, nil
}

func (g *Gateway) newPayment(req PaymentRequest, d draft, it issued, random entropy, uri string, now time.Time) Payment {
	p := Payment{
		ID: random.id(livePrefix("pay", g.live), now), Status: StatusPending, Livemode: g.live, Asset: d.asset, Amount: d.amount,
		Required: d.required, Shortfall: d.amount, RequiredConfirmations: d.net.depth(), Address: it.address, AddressID: it.id, URI: uri,
		Metadata: maps.Clone(req.Metadata), IdempotencyKey: req.IdempotencyKey, Fingerprint: d.fingerprint, Customer: req.Customer,
		Attempt: 1, Policy: d.policy, TTL: d.ttl, CreatedAt: now, ExpiresAt: now.Add(d.ttl),
	}
	p.Deadline = p.ExpiresAt
	return p
}
