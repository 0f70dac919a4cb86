package bursar

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	if err := g.writable(ctx); err != nil {
		return Payment{}, err
	}
	if err := g.meet(ctx, req.Asset); err != nil {
		return Payment{}, err
	}
	d, err := g.checkRequest("PaymentRequest.", req)
	if err != nil {
		return Payment{}, err
	}
	return g.create(ctx, req, d, "")
}

// checkRequest checks all that can be checked without the store. path stands
// before the names of fields in errors.
func (g *Gateway) checkRequest(path string, req PaymentRequest) (draft, error) {
	var d draft
	var err error
	if d.net, d.asset, err = g.lookupAsset(path+"Asset", req.Asset); err != nil {
		return d, err
	}
	if d.net.disabled(d.asset.ID) {
		return d, fieldErr(path+"Asset", CodeUnknown, "%s is disabled", d.asset.ID)
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

// lookupAsset finds an asset, disabled or not, by id or alias.
func (g *Gateway) lookupAsset(field, name string) (*network, chain.Asset, error) {
	if name == "" {
		return nil, chain.Asset{}, fieldErr(field, CodeRequired, "an asset id or an alias such as %q", "ethereum/USDC")
	}
	if len(name) > 256 {
		return nil, chain.Asset{}, fieldErr(field, CodeInvalid, "longer than any asset id")
	}
	if net, asset, ok := g.findAsset(name); ok {
		return net, asset, nil
	}
	return nil, chain.Asset{}, fieldErr(field, CodeUnknown, "%q is not configured", name)
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
		if p.Final { // requests of before there was such a thing are the same still
			part("final")
		}
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

// creation is a payment on its way into the store, with room for all that is
// written with it. They are used again: a busy shop makes thousands a second,
// and a store keeps nothing of what it is given.
type creation struct {
	gw      *Gateway
	req     PaymentRequest
	draft   draft
	random  entropy
	renews  string // the id of the attempt before, or empty
	it      issued
	uri     string
	payment [1]Payment // what was made, or found
	address [1]Address
	event   [1]Event
	fresh   bool // the payment was made
}

// begin makes a creation; the caller ends it.
func (g *Gateway) begin(req PaymentRequest, d draft, renews string) (*creation, error) {
	random, err := g.ids.draw()
	if err != nil {
		return nil, err
	}
	c, _ := g.creations.Get().(*creation)
	if c == nil {
		c = new(creation)
	}
	c.gw, c.req, c.draft, c.random, c.renews = g, req, d, random, renews
	return c, nil
}

func (c *creation) end() {
	g := c.gw
	*c = creation{}
	g.creations.Put(c)
}

// create stores a payment on a fresh address, or finds the one that is there
// already.
func (g *Gateway) create(ctx context.Context, req PaymentRequest, d draft, renews string) (Payment, error) {
	c, err := g.begin(req, d, renews)
	if err != nil {
		return Payment{}, err
	}
	defer c.end()
	for try := 0; ; try++ {
		if c.it, err = d.net.book.take(ctx); err != nil {
			return Payment{}, err
		}
		err = c.store(ctx)
		if !c.fresh {
			d.net.book.giveBack(c.it) // nothing was applied with it, whatever happened
		}
		switch {
		case errors.Is(err, ErrConflict) && try < maxAddressTries:
			continue // perhaps the address; it is not used again
		case err != nil:
			return Payment{}, err
		case c.fresh:
			c.payment[0].Version = 1
			g.wakePump()
		}
		return c.payment[0], nil
	}
}

// store writes the payment with one address. Nearly every key is new, so that it
// is not looked for at first: the store refuses one that is taken.
func (c *creation) store(ctx context.Context) error {
	c.fresh = false
	if err := c.link(); err != nil {
		return err
	}
	err := c.write(ctx, c.renews != "")
	if errors.Is(err, ErrConflict) && c.req.IdempotencyKey != "" && c.renews == "" {
		err = c.write(ctx, true)
	}
	return err
}

// write applies the payment. look tells whether it may be there already, which the
// closure asks for in any case when the store runs it again.
func (c *creation) write(ctx context.Context, look bool) error {
	return c.gw.store.Write(ctx, func(tx Tx) error {
		c.fresh = false
		if !look {
			look = true
			return c.put(ctx, tx, nil)
		}
		previous, found, err := c.find(ctx, tx)
		if found || err != nil {
			return err
		}
		return c.put(ctx, tx, previous)
	})
}

// link makes the URI that wallets read.
func (c *creation) link() (err error) {
	c.uri, err = c.draft.net.codec.PaymentURI(c.draft.asset, c.it.address, c.draft.amount)
	return err
}

// find looks for the payment that this one would repeat. Where there is none it
// returns the attempt before this one, nil for a first attempt.
func (c *creation) find(ctx context.Context, tx Tx) (previous *Payment, found bool, err error) {
	if found, err = c.repeated(ctx, tx); found || err != nil || c.renews == "" {
		return nil, found, err
	}
	return c.renewed(ctx, tx)
}

// put applies the payment with its address, its event and the deliveries.
func (c *creation) put(ctx context.Context, tx Tx, previous *Payment) error {
	p := &c.payment[0]
	*p = c.gw.newPayment(c.req, c.draft, c.it, c.random, c.uri, tx.Now())
	batch := Batch{Payments: c.payment[:]}
	if previous != nil {
		p.Attempt, p.Previous = previous.Attempt+1, previous.ID
		previous.Next = p.ID
		batch.Payments = []Payment{*previous, *p}
	}
	c.fresh = true
	if err := c.gw.directory.learn(ctx, tx); err != nil {
		return err
	}
	c.fill(&batch)
	return tx.Apply(ctx, batch)
}

// repeated finds the payment that the idempotency key made before.
func (c *creation) repeated(ctx context.Context, tx Tx) (bool, error) {
	key := c.req.IdempotencyKey
	if key == "" {
		return false, nil
	}
	old, err := tx.Payments(ctx, PaymentQuery{IdempotencyKeys: []string{key}})
	switch {
	case err != nil || len(old) == 0:
		return false, err
	case old[0].Fingerprint != c.draft.fingerprint:
		return false, fmt.Errorf("%w: key %q belongs to payment %s", ErrIdempotencyConflict, key, old[0].ID)
	}
	c.payment[0] = old[0]
	return true, deepen(ctx, tx, &c.payment[0])
}

// renewed reads the attempt before this one; found where that one has its next
// attempt already.
func (c *creation) renewed(ctx context.Context, tx Tx) (previous *Payment, found bool, err error) {
	rows, err := tx.Payments(ctx, PaymentQuery{IDs: []string{c.renews}})
	switch {
	case err != nil:
		return nil, false, err
	case len(rows) == 0:
		return nil, false, fmt.Errorf("%w: payment %q", ErrNotFound, c.renews)
	}
	previous = &rows[0]
	if previous.Next != "" {
		next, err := tx.Payments(ctx, PaymentQuery{IDs: []string{previous.Next}})
		if err != nil {
			return nil, false, err
		}
		if len(next) == 0 {
			return nil, false, fmt.Errorf("%w: payment %s names the unknown %s as its next", ErrInvariant, c.renews, previous.Next)
		}
		c.payment[0] = next[0]
		return nil, true, deepen(ctx, tx, &c.payment[0])
	}
	if !slices.Contains(closedStatus, previous.Status) {
		return nil, false, fmt.Errorf("%w: it is %s", ErrNotRenewable, previous.Status)
	}
	return previous, false, nil
}

// fill adds what is written with a payment: its address, its first event and
// the deliveries.
func (c *creation) fill(b *Batch) {
	p := &b.Payments[len(b.Payments)-1]
	p.Seq = 1
	c.payment[0].Seq = 1
	row, event := &c.address[0], &c.event[0]
	*row = c.it.row(RolePayment)
	row.PaymentID, row.Customer, row.CreatedAt, row.TokensOnly = p.ID, p.Customer, p.CreatedAt, !p.Asset.Native()
	*event = Event{
		ID: hashID("evt_", p.ID, string(PaymentCreated), "create"), Kind: PaymentCreated, Subject: p.ID, Seq: 1,
		Time: p.CreatedAt, Livemode: c.gw.live, Data: paymentData(*p),
	}
	event.Data.Subject = p.ID
	b.Addresses, b.Events = c.address[:], c.event[:]
	b.Deliveries = c.gw.deliveries(b.Events, p.CreatedAt)
}

func (g *Gateway) newPayment(req PaymentRequest, d draft, it issued, random entropy, uri string, now time.Time) Payment {
	ask := d.net.demand(d.asset.ID, d.amount)
	p := Payment{
		ID: random.id(livePrefix("pay", g.live), now), Status: StatusPending, Livemode: g.live, Asset: d.asset, Amount: d.amount,
		Required: d.required, Shortfall: d.amount, RequiredConfirmations: ask.depth, Address: it.address, AddressID: it.id, URI: uri,
		Metadata: maps.Clone(req.Metadata), IdempotencyKey: req.IdempotencyKey, Fingerprint: d.fingerprint, Customer: req.Customer,
		Attempt: 1, Policy: d.policy, TTL: d.ttl, CreatedAt: now, ExpiresAt: now.Add(d.ttl),
	}
	p.Deadline = p.ExpiresAt
	p.Policy.Final = p.Policy.Final || ask.final
	return p
}
