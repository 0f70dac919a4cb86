package evm

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/holiman/uint256"

	"github.com/bursar-go/bursar/chain"
)

// move is a checked Move with its addresses in binary and canonical form.
type move struct {
	chain.Move
	from, to, contract [addressLength]byte
}

// prepare makes the draft of an intent; old is nil, or the transaction that the
// draft is to replace.
func (w writer) prepare(ctx context.Context, in chain.Intent, old *transaction) (chain.Draft, error) {
	if w.sponsored(in) {
		return w.prepareBatch(ctx, in, old)
	}
	m, err := w.only(in)
	if err != nil {
		return chain.Draft{}, err
	}
	nonce, err := w.nonce(ctx, m.From.Address, in)
	if err != nil {
		return chain.Draft{}, err
	}
	q, err := w.market(ctx)
	if err != nil {
		return chain.Draft{}, err
	}
	b := builder{writer: w, in: in, move: m, quote: q, old: old}
	b.tx = transaction{Legacy: !q.Dynamic, Nonce: nonce, To: m.to}
	b.tx.ChainID.SetUint64(w.chain)
	if m.Asset.Native() {
		return b.native(ctx)
	}
	return b.token(ctx)
}

// only returns the one move that a transaction of this family can make.
func (w writer) only(in chain.Intent) (move, error) {
	if len(in.Moves) == 0 {
		return move{}, badIntent("moves", "", "none")
	}
	m := in.Moves[0]
	switch {
	case len(in.Moves) > 1:
		return move{}, fmt.Errorf("evm: %d moves in one transaction: %w", len(in.Moves), chain.ErrUnsupported)
	case len(in.Coins) > 0:
		return move{}, fmt.Errorf("evm: choosing coins: %w", chain.ErrUnsupported)
	case in.FeePayer != chain.Account{} && in.FeePayer.Address != m.From.Address:
		return move{}, fmt.Errorf("evm: a fee payer beside the source: %w", chain.ErrUnsupported)
	}
	out, err := w.checked(m, in.Purpose == chain.PurposeCancel)
	switch {
	case err != nil:
		return move{}, err
	case in.Purpose == chain.PurposeCancel:
		if !m.Asset.Native() || m.All || !m.Amount.IsZero() || out.To != out.From.Address {
			return move{}, badIntent("cancellation", string(m.To), "pays nothing of the native coin to the source itself")
		}
	case m.Amount.IsZero() && !m.All:
		return move{}, badIntent("amount", "0", "want above zero")
	}
	return out, nil
}

// checked verifies the parts of a move that need no node. A wrong destination
// is the one mistake that nothing can undo.
func (w writer) checked(m chain.Move, cancel bool) (move, error) {
	out := move{Move: m}
	var err error
	if out.from, err = parseAddress(string(m.From.Address)); err != nil {
		return move{}, err
	}
	if out.to, err = parseAddress(string(m.To)); err != nil {
		return move{}, err
	}
	out.From.Address, out.To = checksummed(out.from), checksummed(out.to)
	switch {
	case out.To == zeroAddress:
		return move{}, badIntent("destination", string(m.To), "the zero address belongs to nobody")
	case out.To == out.From.Address && !cancel:
		return move{}, badIntent("destination", string(m.To), "is the source")
	}
	if m.Asset.Native() {
		if m.Asset.ID != w.coin.ID {
			return move{}, badIntent("asset", string(m.Asset.ID), "the native coin is "+string(w.coin.ID))
		}
		return out, nil
	}
	if out.contract, err = parseAddress(string(m.Asset.Contract)); err != nil {
		return move{}, err
	}
	contract := checksummed(out.contract)
	switch {
	case m.Asset.ID != tokenID(w.chain, contract):
		return move{}, badIntent("asset", string(m.Asset.ID), "its contract is "+string(tokenID(w.chain, contract)))
	case out.To == contract:
		return move{}, badIntent("destination", string(m.To), "is the token's contract, which cannot send tokens on")
	}
	return out, nil
}

func badIntent(what, text, reason string) error {
	return &chain.FormatError{What: "intent's " + what, Text: text, Reason: reason}
}

// nonce picks the number of the new transaction. What the chain has mined is
// the lower bound, and the locks of our own attempts are the truth above it:
// the "pending" count of a node, or of several behind one name, depends on what
// it happens to have heard of.
func (w writer) nonce(ctx context.Context, from chain.Address, in chain.Intent) (uint64, error) {
	count, err := w.number(ctx, "eth_getTransactionCount", from, "latest")
	if err != nil {
		return 0, err
	}
	if !count.IsUint64() {
		return 0, fmt.Errorf("evm: the node counts %s transactions: %w", count.Dec(), chain.ErrTransient)
	}
	mined := count.Uint64()
	if len(in.Reuse) > 0 {
		return reused(from, in.Reuse, mined)
	}
	next := mined
	for _, lock := range in.Taken {
		owner, n, ok := parseNonceLock(lock)
		if !ok || owner != from {
			continue
		}
		// EIP-2681: the highest number of a transaction is 2^64-2.
		if n >= 1<<64-2 {
			return 0, badIntent("taken lock", string(lock), "leaves no number for another transaction")
		}
		next = max(next, n+1)
	}
	return next, nil
}

// reused returns the number that a replacement has to have.
func reused(from chain.Address, locks []chain.Lock, mined uint64) (uint64, error) {
	if len(locks) > 1 {
		return 0, fmt.Errorf("evm: %d locks of one transaction: %w", len(locks), chain.ErrUnsupported)
	}
	owner, n, ok := parseNonceLock(locks[0])
	switch {
	case !ok || owner != from:
		return 0, badIntent("reused lock", string(locks[0]), "is no nonce of "+string(from))
	case n < mined:
		return 0, fmt.Errorf("evm: %s, the account is at %d: %w", locks[0], mined, chain.ErrLockSpent)
	}
	return n, nil
}

// parseNonceLock is the opposite of nonceLock. Other kinds of locks are not ok.
func parseNonceLock(lock chain.Lock) (owner chain.Address, n uint64, ok bool) {
	rest, ok := strings.CutPrefix(string(lock), "nonce:")
	if !ok {
		return "", 0, false
	}
	address, number, _ := strings.Cut(rest, ":")
	raw, err := parseAddress(address)
	if err != nil {
		return "", 0, false
	}
	if n, err = strconv.ParseUint(number, 10, 64); err != nil {
		return "", 0, false
	}
	return checksummed(raw), n, true
}

// builder turns one move into a draft.
type builder struct {
	writer
	in    chain.Intent
	move  move
	quote quote
	old   *transaction
	tx    transaction
	// price is what tx may offer, below what the layer below takes beside it.
	price price
	below chain.Amount
}

// native drafts a payment of the native coin. With All the amount is what the
// account gives up less the whole fee. That leaves nothing behind where the
// receiver is a plain account; where it runs code, or on a rollup with a fee
// for the layer below, the fee is not known to the last unit and what was not
// needed stays.
func (b *builder) native(ctx context.Context) (chain.Draft, error) {
	balance, err := b.number(ctx, "eth_getBalance", b.move.From.Address, "latest")
	if err != nil {
		return chain.Draft{}, err
	}
	available := amountOf(&balance)
	spend := b.wanted(available)
	if b.move.All && available.IsZero() || available.Less(spend) {
		return chain.Draft{}, b.insufficient(b.coin, spend, available)
	}
	b.tx.Value = *fromAmount(spend)
	p := b.quote.ordinary()
	if b.move.All {
		p = b.quote.exact()
	}
	fee, err := b.priced(ctx, p)
	if err != nil {
		return chain.Draft{}, err
	}
	if !b.move.All {
		required, err := spend.Add(fee)
		if err != nil {
			return chain.Draft{}, badIntent("amount", spend.String(), "over 2^256-1 with the fee")
		}
		if available.Less(required) {
			return chain.Draft{}, b.insufficient(b.coin, required, available)
		}
		return b.draft(spend, fee)
	}
	rest, err := spend.Sub(fee)
	if err != nil || rest.IsZero() {
		required, err := fee.Add(chain.NewAmount(1))
		if err != nil {
			return chain.Draft{}, err
		}
		return chain.Draft{}, b.insufficient(b.coin, required, spend)
	}
	b.tx.Value = *fromAmount(rest)
	return b.draft(rest, fee)
}

// token drafts a transfer of a token. An account without the coin for the fee
// is no error: it says what it needs.
func (b *builder) token(ctx context.Context) (chain.Draft, error) {
	units, err := b.units(ctx)
	if err != nil {
		return chain.Draft{}, err
	}
	b.tx.To = b.move.contract
	b.tx.Data = encodeTransfer(b.move.to, units)
	if err := b.tryTransfer(ctx, b.move, units); err != nil {
		return chain.Draft{}, err
	}
	fee, err := b.priced(ctx, b.quote.ordinary())
	if err != nil {
		return chain.Draft{}, err
	}
	fee, missing, err := b.payable(ctx, b.move.From.Address, fee)
	switch {
	case err != nil:
		return chain.Draft{}, err
	case !missing.IsZero():
		return chain.Draft{
			Chain: b.coin.Chain(), Intent: b.fixed(units), Fee: fee,
			Needs: []chain.Need{{Account: b.move.From, Asset: b.coin, Amount: missing}},
		}, nil
	}
	return b.draft(units, fee)
}

// payable returns the fee that an account can pay, lowered into what it has where
// that will do, or else what it is missing for the whole fee.
func (b *builder) payable(ctx context.Context, from chain.Address, fee chain.Amount) (lower, missing chain.Amount, err error) {
	balance, err := b.number(ctx, "eth_getBalance", from, "latest")
	if err != nil {
		return chain.Amount{}, chain.Amount{}, err
	}
	available := amountOf(&balance)
	if !available.Less(fee) {
		return fee, chain.Amount{}, nil
	}
	if least, ok := b.afford(available); ok {
		return least, chain.Amount{}, nil
	}
	fee = b.ample(fee)
	return fee, fee.SubFloor(available), nil
}

// units is how much of the token moves.
func (b *builder) units(ctx context.Context) (chain.Amount, error) {
	holding, err := b.balanceOf(ctx, b.move)
	if err != nil {
		return chain.Amount{}, err
	}
	units := b.wanted(holding)
	if b.move.All && holding.IsZero() || holding.Less(units) {
		return chain.Amount{}, b.insufficient(b.move.Asset, units, holding)
	}
	return units, nil
}

// wanted is what the move takes of a holding.
func (b *builder) wanted(holding chain.Amount) chain.Amount {
	if b.move.All && (b.move.Amount.IsZero() || holding.Less(b.move.Amount)) {
		return holding
	}
	return b.move.Amount
}

func (b *builder) insufficient(asset chain.Asset, required, available chain.Amount) error {
	if required.IsZero() {
		required = chain.NewAmount(1)
	}
	return &chain.InsufficientFundsError{Account: b.move.From.Address, Asset: asset, Required: required, Available: available}
}

// priced sets the gas and the price of b.tx and returns the most it can cost.
func (b *builder) priced(ctx context.Context, p price) (chain.Amount, error) {
	gas, err := b.gas(ctx, b.move.From.Address, checksummed(b.tx.To), &b.tx.Value, b.tx.Data)
	if err != nil {
		return chain.Amount{}, err
	}
	return b.pricedFor(ctx, p, gas)
}

// pricedFor is priced for that much gas.
func (b *builder) pricedFor(ctx context.Context, p price, gas uint64) (fee chain.Amount, err error) {
	if b.old != nil {
		p = p.raise(&b.old.TipCap, &b.old.FeeCap)
	}
	b.tx.Gas, b.tx.TipCap, b.tx.FeeCap = gas, p.Tip, p.Cap
	if b.below, err = b.layerBelow(ctx, &b.tx); err != nil {
		return chain.Amount{}, err
	}
	if b.price, err = b.bidden(p); err != nil {
		return chain.Amount{}, err
	}
	return b.offer(b.in.MaxFee)
}

// offer puts the best price within a budget into b.tx.
func (b *builder) offer(budget chain.Amount) (chain.Amount, error) {
	p, err := b.price.within(b.tx.Gas, limits{Budget: budget, Below: b.below, Highest: b.highest})
	if err != nil {
		return chain.Amount{}, err
	}
	b.tx.TipCap, b.tx.FeeCap = p.Tip, p.Cap
	return times(&p.Cap, uint256.NewInt(b.tx.Gas)).Add(b.below)
}

// afford lowers the price into what the account has, where that still pays the
// next block. An account that was topped up for yesterday's base fee then
// spends the margin instead of asking for another top-up.
func (b *builder) afford(available chain.Amount) (chain.Amount, bool) {
	if available.IsZero() {
		return chain.Amount{}, false
	}
	fee, err := b.offer(available)
	return fee, err == nil
}

// fixed is the intent with the amount that the receiver gets.
func (b *builder) fixed(amount chain.Amount) chain.Intent {
	in := b.in
	in.Moves = slices.Clone(in.Moves)
	in.Moves[0].From.Address, in.Moves[0].To = b.move.From.Address, b.move.To
	in.Moves[0].Amount = amount
	return in
}

func (b *builder) draft(amount, fee chain.Amount) (chain.Draft, error) {
	payload, err := b.tx.payload()
	if err != nil {
		return chain.Draft{}, err
	}
	d := chain.Draft{
		Chain: b.coin.Chain(), Intent: b.fixed(amount), Fee: fee, Payload: payload,
		Locks: []chain.Lock{nonceLock(b.move.From.Address, b.tx.Nonce)},
	}
	if b.tx.Nonce > 0 {
		d.After = []chain.Lock{nonceLock(b.move.From.Address, b.tx.Nonce-1)}
	}
	return d, nil
}
