package bursar

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar/chain"
)

// DefaultLimitWindow is the window of a PayoutLimit that names none.
const DefaultLimitWindow = 24 * time.Hour

// PayoutLimit caps what leaves to strangers, all refunds and withdrawals together, within a time that
// moves along: what was asked for within it counts, whenever it is approved and sent.
// What was canceled does not count. It stops a mistake of the host, not a
// thief with the store in hand: for that a signer has limits of its own.
type PayoutLimit struct {
	// Asset is the asset, Max the cap in base units, above zero.
	Asset chain.AssetID
	Max   chain.Amount // Max is the cap in base units.
	// Window is the time, one second or more. Default DefaultLimitWindow.
	Window time.Duration
}

// Screening is what Config.Screen is asked about.
type Screening struct {
	// Chain, Asset and To are where the money is to go.
	Chain chain.ID
	Asset chain.Asset   // Asset is what is to go.
	To    chain.Address // To is the receiver.
	// Amount is how much, in base units; zero where RefundRequest.Excess or All asks
	// for what there is, which is at most all of the payment's money.
	Amount chain.Amount
	// Payment is the payment that is given back; its zero value for a withdrawal.
	Payment Payment
	// Customer is whose withdrawal it is; empty for a refund.
	Customer string
}

// RefundRequest asks to give money of a payment back. Exactly one of Amount, Excess
// and All says how much.
type RefundRequest struct {
	// To is the receiver, as the payer gave it. It is never taken from the payment's
	// sender: that is often an exchange's, where the payer cannot be credited by it.
	// Required; with mixed case on EVM chains it must be a right EIP-55 checksum.
	To string
	// Amount is how much, in units of the payment's asset ("12.5"), above zero.
	Amount decimal.Decimal
	// Excess gives back what came on top of the payment's amount, as far as all of the
	// payment's amount is final too; All everything that can be given back.
	Excess bool
	All    bool // All gives back everything that can be.
	// Key makes the request repeatable, and names one refund of the payment: 1 to
	// MaxKey bytes. The amount of the first request stays, whatever came in since, and
	// whether Excess or All asks again.
	Key string
}

// Refund gives money of a payment back, from the float (see Gateway.Float). The
// network's fee is the merchant's, and the sponsor brings the gas where the float has
// none. At most what is final of the payment's money is ever given back, all its
// refunds together.
//
// The refund waits in PayoutAwaitingApproval until ApprovePayout brings the signature
// of one of Config.Approvers, a key outside this process; then it is sent like any
// other payout. CancelPayout gives it up as long as nothing of it can be mined. It
// does not change the payment's status; payment.refunded tells when it is final.
// Where the float lacks the money the refund waits, and goes on by itself.
//
// Errors: ErrNotFound; ErrNothingToRefund where nothing of the payment's money that is
// final is left; *FieldError for a bad request, a receiver that cannot be paid, or more than is left;
// *LimitError above a PayoutLimit; *ScreenError where Config.Screen refused;
// ErrIdempotencyConflict where the key stands for another refund; ErrChainNotReady
// where the chain is not proved, or halted; chain.ErrUnsupported where nobody signs
// payouts there.
func (g *Gateway) Refund(ctx context.Context, payment string, req RefundRequest) (Payout, error) {
	if err := g.writable(ctx); err != nil {
		return Payout{}, err
	}
	if err := req.check(); err != nil {
		return Payout{}, err
	}
	p, err := g.Payment(ctx, payment)
	if err != nil {
		return Payout{}, err
	}
	net, ok := g.nets[p.Asset.Chain()]
	if !ok {
		return Payout{}, fieldErr("Payment.Asset", CodeUnknown, "chain %s is not configured any more", p.Asset.Chain())
	}
	r, err := g.stranger("RefundRequest", net, p.Asset, req.To, req.Amount)
	if err != nil {
		return Payout{}, err
	}
	r.key, r.name, r.parent, r.screening.Payment = "refund:"+p.ID+":"+req.Key, req.Key, p.ID, p
	if old, ok, err := g.repeated(ctx, r); ok || err != nil {
		return old, err
	}
	if err := r.ready(ctx); err != nil {
		return Payout{}, err
	}
	var out Payout
	_, err = g.change(ctx, payment, func(d *desk, f *file) error {
		known, err := d.tx.Payouts(ctx, PayoutQuery{Keys: []string{r.key}})
		if err != nil {
			return err
		}
		if len(known) > 0 {
			out, err = r.same(known[0])
			return err
		}
		made, err := d.refund(f, r, req)
		if err == nil {
			out = made.Payout
			out.Version, out.Seq = 1, int64(len(made.notices))
		}
		return err
	})
	if err != nil {
		return Payout{}, err
	}
	return out, nil
}

func (req RefundRequest) check() error {
	switch {
	case req.Key == "":
		return fieldErr("RefundRequest.Key", CodeRequired, "an idempotency key")
	case req.To == "":
		return fieldErr("RefundRequest.To", CodeRequired, "an address that the payer gave")
	}
	asked := 0
	for _, on := range []bool{!req.Amount.IsZero(), req.Excess, req.All} {
		if on {
			asked++
		}
	}
	if asked != 1 {
		return fieldErr("RefundRequest.Amount", CodeRequired, "exactly one of Amount, Excess and All")
	}
	return checkText("RefundRequest.Key", req.Key, MaxKey)
}

// outgoing is a request to pay a stranger that was checked.
type outgoing struct {
	gw        *Gateway
	net       *network
	asset     chain.Asset
	to        chain.Address
	want      chain.Amount // zero where the request names none
	from      issued
	key, name string // name is the host's part of the key
	parent    string
	screening Screening
}

// stranger checks what can be checked of a request without the store.
func (g *Gateway) stranger(request string, net *network, asset chain.Asset, to string, amount decimal.Decimal) (r outgoing, err error) {
	r = outgoing{gw: g, net: net, asset: asset}
	if net.cfg.Sweep == SweepOff {
		return r, fmt.Errorf("bursar: chain %s: nobody signs where Sweep is off: %w", net.info.ID, chain.ErrUnsupported)
	}
	if g.cfg.Signer == nil && !g.cfg.Wallet.WatchOnly() && len(g.cfg.Approvers) == 0 {
		return r, fieldErr("Config.Approvers", CodeRequired, "this gateway's signer pays no stranger without an approval")
	}
	if !amount.IsZero() {
		if r.want, err = units(request+".Amount", amount, asset); err != nil {
			return r, err
		}
	}
	if r.from, err = net.book.float(); err != nil {
		return r, err
	}
	if r.to, err = net.stranger(request+".To", to); err != nil {
		return r, err
	}
	r.screening = Screening{Chain: net.info.ID, Asset: asset, To: r.to, Amount: r.want}
	return r, nil
}

// stranger reads an address that is not ours and that can be paid.
func (n *network) stranger(field, text string) (chain.Address, error) {
	to, err := n.codec.Parse(text)
	if err != nil {
		return "", &FieldError{Field: field, Code: CodeInvalid, Reason: "not an address", Err: err}
	}
	_, ours := n.book.own(to)
	switch {
	case isZeroAddress(n.codec, to):
		return "", fieldErr(field, CodeInvalid, "%s is the zero address", to)
	case ours || to == n.cfg.Treasury:
		return "", fieldErr(field, CodeInvalid, "%s is an address of this gateway", to)
	}
	for _, a := range n.known().all {
		if a.Contract == to {
			return "", fieldErr(field, CodeInvalid, "%s is the contract of %s, which sends nothing on", to, a.Symbol)
		}
	}
	return to, nil
}

// repeated finds what an earlier call with the same key made.
func (g *Gateway) repeated(ctx context.Context, r outgoing) (out Payout, ok bool, err error) {
	err = g.store.Read(ctx, func(rd Reader) error {
		rows, err := rd.Payouts(ctx, PayoutQuery{Keys: []string{r.key}})
		if err != nil || len(rows) == 0 {
			return err
		}
		ok = true
		out, err = r.same(rows[0])
		return err
	})
	return out, ok, err
}

// same returns a payout that the key stands for.
func (r outgoing) same(p Payout) (Payout, error) {
	if p.To != r.to || p.Asset.ID != r.asset.ID || !r.want.IsZero() && p.Amount != r.want {
		return Payout{}, fmt.Errorf("%w: key %q belongs to payout %s", ErrIdempotencyConflict, r.name, p.ID)
	}
	return p, nil
}

// ready asks whoever is to be asked before something is written.
func (r outgoing) ready(ctx context.Context) error {
	if !r.net.isVerified() {
		return fmt.Errorf("%w: %s", ErrChainNotReady, r.net.info.ID)
	}
	if r.gw.cfg.Screen == nil {
		return nil
	}
	if err := r.gw.screened(ctx, r.screening); err != nil {
		return &ScreenError{Address: r.to, Err: err}
	}
	return nil
}

// screened asks the host, whose code may panic.
func (g *Gateway) screened(ctx context.Context, s Screening) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("bursar: Config.Screen panicked: %v", v)
		}
	}()
	return g.cfg.Screen(ctx, s)
}

// refund plans one, where the payment's file is on the desk.
func (d *desk) refund(f *file, r outgoing, req RefundRequest) (*payoutFile, error) {
	if err := d.trusted(); err != nil {
		return nil, err
	}
	amount, err := req.amount(f.kase, r.want)
	if err != nil {
		return nil, err
	}
	return d.promise(r, PayoutRefund, amount)
}

// trusted refuses to promise anything while a chain is halted.
func (d *desk) trusted() error {
	if d.state.Halted != "" {
		return fmt.Errorf("%w: %s is halted: %s", ErrChainNotReady, d.net.info.ID, d.state.Halted)
	}
	return nil
}

// promise plans a payout to a stranger, and takes what it pays from what is owed.
func (d *desk) promise(r outgoing, kind PayoutKind, amount chain.Amount) (*payoutFile, error) {
	if err := d.within(r.from.address, r.asset, amount); err != nil {
		return nil, err
	}
	id, err := d.gw.newID("po", d.now)
	if err != nil {
		return nil, err
	}
	p := &payoutFile{Payout: Payout{
		ID: id, Key: r.key, Kind: kind, Chain: d.net.info.ID, Asset: r.asset, From: r.from.account(), To: r.to,
		Amount: amount, MaxFee: d.net.cfg.MaxFee, Parent: r.parent, Group: 1, CreatedAt: d.now,
	}}
	d.lay(p)
	if err := d.retake(p, chain.Amount{}, amount, "asked"); err != nil {
		return nil, err
	}
	return p, d.move(p, payoutRequest, "ask")
}

// amount is how much is to go back, of what there is: want, where the request names it.
func (req RefundRequest) amount(k kase, want chain.Amount) (chain.Amount, error) {
	left := k.refundable()
	switch {
	case req.All:
		want = left
	case req.Excess:
		c := k.payment.cut()
		want = k.payment.PostedExcess.SubFloor(c.excess)
		// What is not final yet may be the very part of the excess: the merchant's
		// claim comes first.
		want = want.Min(left.SubFloor(k.payment.PostedPaid.SubFloor(c.paid)))
	}
	switch {
	case left.IsZero() || want.IsZero():
		return want, fmt.Errorf("%w: payment %s", ErrNothingToRefund, k.payment.ID)
	case left.Less(want):
		a := k.payment.Asset
		return want, fieldErr("RefundRequest.Amount", CodeOutOfRange, "%s is more than the %s %s that are final and not given back", a.Format(want), a.Format(left), a.Symbol)
	}
	return want, nil
}

// refundable is what of a payment's money is final and neither given back nor about
// to be.
func (k kase) refundable() chain.Amount {
	return k.final(k.payment.Asset.ID).SubFloor(k.payment.Refunding)
}

// final is what came in an asset and can leave to strangers again.
func (k kase) final(asset chain.AssetID) (total chain.Amount) {
	for _, t := range k.txs {
		if t.Asset == asset && t.Status == TxConfirmed && t.Final && !t.Suspense {
			total = sum(total, t.Amount)
		}
	}
	return total
}

// within checks the limits of the chain.
func (d *desk) within(float chain.Address, a chain.Asset, amount chain.Amount) error {
	for _, l := range d.net.cfg.Limits {
		if l.Asset != a.ID {
			continue
		}
		// Two refunds at once, of different payments, have no row in common but this
		// one: without it neither would count the other.
		f, err := d.file(float)
		if err != nil {
			return err
		}
		f.touched = true
		rows, err := d.tx.Payouts(d.ctx, PayoutQuery{
			Chain: d.net.info.ID, Kinds: strangers(), After: Cursor{At: d.now.Add(-l.Window)},
		})
		if err != nil {
			return err
		}
		used := chain.Amount{}
		for _, p := range rows {
			if p.Asset.ID == a.ID && p.Status != PayoutCanceled {
				used = sum(used, p.Amount)
			}
		}
		if l.Max.SubFloor(used).Less(amount) {
			return &LimitError{Asset: a, Max: l.Max, Window: l.Window, Used: used, Wanted: amount}
		}
	}
	return nil
}

func (c *Chain) checkLimits(path string) error {
	c.Limits = slices.Clone(c.Limits)
	for i := range c.Limits {
		l := &c.Limits[i]
		field := fmt.Sprintf("%s.Limits[%d]", path, i)
		if l.Window == 0 {
			l.Window = DefaultLimitWindow
		}
		switch {
		case !c.lists(l.Asset):
			return fieldErr(field+".Asset", CodeUnknown, "%s is no asset of the chain", l.Asset)
		case l.Max.IsZero():
			return fieldErr(field+".Max", CodeRequired, "a cap above zero")
		case l.Window < time.Second:
			return fieldErr(field+".Window", CodeOutOfRange, "%s is shorter than 1 s", l.Window)
		}
	}
	return nil
}

// ApprovePayout brings the approval of a payout that waits for one. It must be for
// exactly what the payout pays: its id, asset, receiver and amount, and it must last
// until the transaction is signed, and signed again where it is stuck. Where it did
// not, or a signer takes each approval once and the transaction failed, another one
// takes its place as long as no block has the transaction.
// Where Config.Approvers are known its signature is looked at, else that is left to
// the signer, which looks at it in any case. Repeating the call is no error.
//
// Errors: ErrNotFound; *FieldError for a part of the approval that does not fit, by
// name; ErrPayoutClosed or ErrPayoutUnderway where the payout waits for none.
func (g *Gateway) ApprovePayout(ctx context.Context, id string, approval chain.Approval) (Payout, error) {
	return g.steer(ctx, id, func(d *desk, p *payoutFile) error {
		if p.Approval != nil && sameApproval(*p.Approval, approval) {
			return nil
		}
		waits := p.Status == PayoutAwaitingApproval
		// A replacement of what is stuck is signed too.
		again := p.Status == PayoutPlanned || p.Status == PayoutSigned || p.Status == PayoutBroadcast
		if !paysStranger(p.Kind) || !waits && !again {
			return p.refuse()
		}
		if err := g.approves(p.Payout, approval, d.now); err != nil {
			return err
		}
		p.Approval, p.dirty = &approval, true
		if waits {
			return d.move(p, payoutApprove, "approve")
		}
		p.Failures, p.NotBefore = 0, time.Time{} // the old one may be what it failed for
		return nil
	})
}

// sameApproval reports whether one is the other, to the last byte: the message and who
// signed it. Nothing of it is secret.
func sameApproval(a, b chain.Approval) bool {
	whole := func(x chain.Approval) []byte { return append(x.Message(), x.Signature...) }
	return bytes.Equal(whole(a), whole(b))
}

func (g *Gateway) approves(p Payout, a chain.Approval, now time.Time) error {
	const field = "Approval."
	switch {
	case a.Payout != p.ID:
		return fieldErr(field+"Payout", CodeMismatch, "%q, the payout is %s", a.Payout, p.ID)
	case a.Asset != p.Asset.ID:
		return fieldErr(field+"Asset", CodeMismatch, "%s, the payout pays %s", a.Asset, p.Asset.ID)
	case a.To != p.To:
		return fieldErr(field+"To", CodeMismatch, "%s, the payout pays %s", a.To, p.To)
	case a.Amount != p.Amount:
		return fieldErr(field+"Amount", CodeMismatch, "%s, the payout pays %s", a.Amount, p.Amount)
	case !a.NotAfter.After(now):
		return fieldErr(field+"NotAfter", CodeOutOfRange, "%s has passed", a.NotAfter.UTC().Format(time.RFC3339))
	case len(g.cfg.Approvers) == 0:
		return nil
	}
	message := a.Message()
	if !slices.ContainsFunc(g.cfg.Approvers, func(key ed25519.PublicKey) bool { return ed25519.Verify(key, message, a.Signature) }) {
		return fieldErr(field+"Signature", CodeInvalid, "of none of the approvers")
	}
	return nil
}

func (c Config) checkApprovers() error {
	for i, key := range c.Approvers {
		if len(key) != ed25519.PublicKeySize {
			return fieldErr(fmt.Sprintf("Config.Approvers[%d]", i), CodeInvalid, "%d bytes, an Ed25519 public key has %d", len(key), ed25519.PublicKeySize)
		}
	}
	return nil
}

// Float returns the account that pays refunds on a chain: the operator keeps it
// funded with what may have to be given back, and with no more. It is derived from
// the active wallet, at change level 1, index 1.
func (g *Gateway) Float(id ChainID) (chain.Address, error) {
	if g == nil || g.nets[id] == nil {
		return "", fieldErr("Float.ID", CodeUnknown, "chain %q is not configured", id)
	}
	it, err := g.nets[id].book.float()
	return it.address, err
}

// floats are those of all wallets, the active one's first.
func (b *book) floats() ([]chain.Account, error) {
	var out []chain.Account
	for i := range b.accounts {
		made, err := b.derive(i, changeOwn, indexFloat, indexFloat+1)
		if err != nil {
			return nil, err
		}
		it, err := b.describe(made[0])
		if err != nil {
			return nil, err
		}
		out = append(out, it.account())
	}
	return out, nil
}

// LimitError reports a payout above a PayoutLimit. Nothing was written.
type LimitError struct {
	// Asset and Max are the limit's, Window its time.
	Asset  chain.Asset
	Max    chain.Amount  // Max is the cap, in base units.
	Window time.Duration // Window is the limit's time.
	// Used is what left or is about to within that time, Wanted what was asked for on
	// top, in base units.
	Used   chain.Amount
	Wanted chain.Amount // Wanted is what was asked for on top.
}

// Error tells all four numbers.
func (e *LimitError) Error() string {
	f := e.Asset.Format
	return fmt.Sprintf("bursar: %s %s would exceed the limit of %s within %s, of which %s are used", f(e.Wanted), e.Asset.Symbol, f(e.Max), e.Window, f(e.Used))
}

// ScreenError reports that the host's Config.Screen refused a receiver. Nothing was
// written.
type ScreenError struct {
	// Address is the receiver.
	Address chain.Address
	// Err is what the host said.
	Err error
}

// Error tells what the host said.
func (e *ScreenError) Error() string {
	return fmt.Sprintf("bursar: %s was refused: %v", e.Address, e.Err)
}

// Unwrap returns what the host said.
func (e *ScreenError) Unwrap() error { return e.Err }

// ErrNothingToRefund: nothing of the payment's money is final and not given back.
var ErrNothingToRefund = errors.New("bursar: nothing to refund")
