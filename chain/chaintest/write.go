package chaintest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bursar-go/bursar/chain"
)

// Prepare makes a transaction of an intent with one move whose source pays the
// fee itself; others are ErrUnsupported. It offers twice the base fee plus the
// tip. A token's gas is estimated by a dry run, with a fifth on top.
func (l *Client) Prepare(ctx context.Context, in chain.Intent) (chain.Draft, error) {
	return guard(ctx, l, MethodPrepare, func() (d chain.Draft, err error) {
		l.see(func(top uint64) { d, err = l.chain.prepare(l.chain.canon[top].world, in, nil) })
		return d, err
	})
}

// Bump makes a draft of the same intent at the same nonce that outbids the old
// transaction by an eighth in both of its prices.
func (l *Client) Bump(ctx context.Context, in chain.Intent, old chain.Signed) (chain.Draft, error) {
	return guard(ctx, l, MethodBump, func() (d chain.Draft, err error) {
		t, err := l.chain.readTx(old.Raw)
		if err != nil {
			return d, err
		}
		in.Reuse = []chain.Lock{nonceLock(t.from, t.raw.Nonce())}
		l.see(func(top uint64) { d, err = l.chain.prepare(l.chain.canon[top].world, in, t) })
		return d, err
	})
}

// plan is a transaction on its way to a draft.
type plan struct {
	move     chain.Move
	from, to common.Address
	token    common.Address // zero for native coin
	nonce    uint64
	gas      uint64
	tip, cap chain.Amount
	fee      chain.Amount
}

// prepare makes a draft on the world w. The chain's lock is held. old is the
// transaction to outbid, nil where there is none or only the mempool knows it.
func (c *Chain) prepare(w world, in chain.Intent, old *tx) (chain.Draft, error) {
	p, err := c.readIntent(in)
	if err != nil {
		return chain.Draft{}, err
	}
	if p.nonce, err = c.chooseNonce(w, p.from, in); err != nil {
		return chain.Draft{}, err
	}
	p.tip, p.cap = c.offer()
	if old == nil {
		old = c.pool.at(p.from, p.nonce)
	}
	if old != nil && len(in.Reuse) > 0 {
		p.tip, p.cap = outbid(p.tip, p.cap, old)
	}
	needs, err := c.settle(w, p, in.MaxFee)
	if err != nil {
		return chain.Draft{}, err
	}
	in.Moves = []chain.Move{p.move}
	d := chain.Draft{Chain: c.info.ID, Intent: in, Fee: p.fee, Needs: needs}
	if len(needs) == 0 {
		d.Locks = []chain.Lock{nonceLock(p.from, p.nonce)}
		d.Payload = p.unsigned(c).payload()
	}
	return d, nil
}

// readIntent checks the shape of an intent.
func (c *Chain) readIntent(in chain.Intent) (*plan, error) {
	if len(in.Moves) != 1 || len(in.Coins) > 0 {
		return nil, fmt.Errorf("chaintest: %d moves and %d coins in one transaction: %w", len(in.Moves), len(in.Coins), chain.ErrUnsupported)
	}
	p := &plan{move: in.Moves[0]}
	if in.FeePayer.Address != "" && in.FeePayer.Address != p.move.From.Address {
		return nil, fmt.Errorf("chaintest: a fee payer other than the source: %w", chain.ErrUnsupported)
	}
	for _, a := range []struct {
		what string
		text chain.Address
		raw  *common.Address
	}{{"source", p.move.From.Address, &p.from}, {"receiver", p.move.To, &p.to}} {
		raw, ok := rawAddress(a.text)
		if !ok || raw == (common.Address{}) {
			return nil, &chain.FormatError{What: a.what, Text: string(a.text), Reason: "no EVM address to pay"}
		}
		*a.raw = raw
	}
	if p.move.Asset.ID.Chain() != c.info.ID {
		return nil, &chain.FormatError{What: "asset", Text: string(p.move.Asset.ID), Reason: "not of chain " + string(c.info.ID)}
	}
	var err error
	p.token, err = c.tokenOf(p.move.Asset)
	return p, err
}

// chooseNonce takes the nonce to be used again, or else the first one that
// neither the chain, nor the mempool, nor another attempt uses.
func (c *Chain) chooseNonce(w world, from common.Address, in chain.Intent) (uint64, error) {
	if len(in.Reuse) > 0 {
		nonce, ok := readNonceLock(in.Reuse[0], from)
		switch {
		case !ok || len(in.Reuse) != 1:
			return 0, &chain.FormatError{What: "lock", Text: string(in.Reuse[0]), Reason: "want one nonce of the source"}
		case nonce < w.nonce(from):
			return 0, fmt.Errorf("%s: %w", in.Reuse[0], chain.ErrLockSpent)
		}
		return nonce, nil
	}
	nonce := w.nonce(from)
	for c.pool.at(from, nonce) != nil || slices.Contains(in.Taken, nonceLock(from, nonce)) {
		nonce++
	}
	return nonce, nil
}

// settle fixes gas, fee and amount, and checks that the source has them.
func (c *Chain) settle(w world, p *plan, most chain.Amount) ([]chain.Need, error) {
	held := w.balance(p.token, p.from)
	if p.move.All && p.token != (common.Address{}) {
		p.move.Amount = held
		if held.IsZero() {
			return nil, p.short(p.move.Asset, chain.NewAmount(1), held)
		}
	}
	if p.token != (common.Address{}) && held.Less(p.move.Amount) {
		return nil, p.short(p.move.Asset, p.move.Amount, held)
	}
	// A contract may refuse what it is paid, and a token may refuse to move.
	if err := c.estimate(w, p); err != nil {
		return nil, err
	}
	fee, err := p.cap.Mul(p.gas)
	if err != nil {
		return nil, err
	}
	p.fee = fee
	if !most.IsZero() && most.Less(fee) {
		return nil, &chain.FeeTooHighError{Fee: fee, Cap: most}
	}
	coin := w.balance(common.Address{}, p.from)
	if p.token != (common.Address{}) {
		if coin.Less(fee) {
			return []chain.Need{{Account: p.move.From, Asset: c.info.Native, Amount: fee.SubFloor(coin)}}, nil
		}
		return nil, nil
	}
	if p.move.All {
		p.move.Amount = coin.SubFloor(fee)
		if p.move.Amount.IsZero() {
			required, err := fee.Add(chain.NewAmount(1))
			if err != nil {
				return nil, err
			}
			return nil, p.short(c.info.Native, required, coin)
		}
	}
	required, err := fee.Add(p.move.Amount)
	if err != nil {
		return nil, err
	}
	if coin.Less(required) {
		return nil, p.short(c.info.Native, required, coin)
	}
	return nil, nil
}

func (p *plan) short(a chain.Asset, required, available chain.Amount) error {
	return &chain.InsufficientFundsError{Account: p.move.From.Address, Asset: a, Required: required, Available: available}
}

// estimate finds the gas limit by a dry run. A plain payment needs what it
// needs; what a token needs can grow until it is mined.
func (c *Chain) estimate(w world, p *plan) error {
	to, value, data := p.call()
	if _, isContract := c.contracts[to]; !isContract {
		p.gas = intrinsicGas(data)
		return nil
	}
	if p.token == (common.Address{}) {
		// Enough coin for the dry run: what is missing is found out later.
		w = w.copy()
		w.setBalance(common.Address{}, p.from, value)
	}
	gas, output, err := c.try(w, p.from, to, value, data)
	if err != nil {
		return err
	}
	if p.token != (common.Address{}) && returnedFalse(output) {
		return &chain.RevertError{Reason: "the token returned false", Data: output}
	}
	p.gas = gas + gas/5
	return nil
}

// call is the outermost call of the transaction.
func (p *plan) call() (to common.Address, value chain.Amount, data []byte) {
	if p.token == (common.Address{}) {
		return p.to, p.move.Amount, nil
	}
	return p.token, chain.Amount{}, transferCall(p.to, p.move.Amount)
}

func (p *plan) unsigned(c *Chain) unsigned {
	to, value, data := p.call()
	return unsigned{
		ChainID: c.number, Nonce: p.nonce, Tip: p.tip.Big(), Cap: p.cap.Big(), Gas: p.gas,
		To: to, Value: value.Big(), Data: data,
	}
}

// DryRun tries every move of an intent on the newest block.
func (l *Client) DryRun(ctx context.Context, in chain.Intent) error {
	_, err := guard(ctx, l, MethodDryRun, func() (none struct{}, err error) {
		for _, m := range in.Moves {
			one := in
			one.Moves = []chain.Move{m}
			l.see(func(top uint64) { err = l.chain.dryRun(l.chain.canon[top].world, one) })
			if err != nil {
				return none, err
			}
		}
		return none, nil
	})
	return err
}

func (c *Chain) dryRun(w world, in chain.Intent) error {
	p, err := c.readIntent(in)
	if err != nil {
		return err
	}
	if p.move.All {
		p.move.Amount = w.balance(p.token, p.from)
	}
	to, value, data := p.call()
	_, output, err := c.try(w, p.from, to, value, data)
	if err == nil && p.token != (common.Address{}) && returnedFalse(output) {
		return &chain.RevertError{Reason: "the token returned false", Data: output}
	}
	return err
}

// Sign has the draft signed by its source's key, and checks the signature.
func (l *Client) Sign(ctx context.Context, d chain.Draft, s chain.Signer) (chain.Signed, error) {
	return guard(ctx, l, MethodSign, func() (chain.Signed, error) {
		switch {
		case d.Chain != l.chain.info.ID:
			return chain.Signed{}, &chain.FormatError{What: "draft", Text: string(d.Chain), Reason: "made for another chain"}
		case len(d.Needs) > 0:
			return chain.Signed{}, fmt.Errorf("chaintest: a draft with %d unmet needs cannot be signed", len(d.Needs))
		case len(d.Intent.Moves) != 1:
			return chain.Signed{}, chain.ErrUnsupported
		}
		u, err := readUnsigned(d.Payload)
		if err != nil {
			return chain.Signed{}, err
		}
		signatures, err := s.Sign(ctx, []chain.SignRequest{request(d)})
		if err != nil {
			return chain.Signed{}, err
		}
		return l.chain.join(d, u, signatures)
	})
}

// request asks for the signature of a draft's source.
func request(d chain.Draft) chain.SignRequest {
	move := d.Intent.Moves[0]
	r := chain.SignRequest{
		Chain: d.Chain, Purpose: chain.SignTransaction, Scheme: chain.ECDSA,
		Key: move.From.Key, Payload: d.Payload, Approval: d.Intent.Approval,
	}
	if move.Own != nil {
		r.Own = []chain.OwnTarget{{Address: move.To, Key: *move.Own}}
	}
	return r
}

// join puts a signature into a transaction, having checked whose it is.
func (c *Chain) join(d chain.Draft, u unsigned, signatures [][]byte) (chain.Signed, error) {
	if len(signatures) != 1 || len(signatures[0]) != 65 {
		return chain.Signed{}, fmt.Errorf("want one signature of 65 bytes: %w", chain.ErrInvalidSignature)
	}
	t, err := u.transaction().WithSignature(c.signer, signatures[0])
	if err != nil {
		return chain.Signed{}, errors.Join(chain.ErrInvalidSignature, err)
	}
	// Sender refuses a high s as well, which would give the transaction a
	// second id.
	from, err := types.Sender(c.signer, t)
	if err != nil || textAddress(from) != d.Intent.Moves[0].From.Address {
		return chain.Signed{}, fmt.Errorf("not by %s: %w", d.Intent.Moves[0].From.Address, chain.ErrInvalidSignature)
	}
	raw, err := t.MarshalBinary()
	if err != nil {
		return chain.Signed{}, err
	}
	return chain.Signed{Chain: d.Chain, ID: chain.TxID(t.Hash().Hex()), Raw: raw, Locks: slices.Clone(d.Locks)}, nil
}

// Broadcast puts a transaction into the mempool.
func (l *Client) Broadcast(ctx context.Context, s chain.Signed) error {
	_, err := guard(ctx, l, MethodBroadcast, func() (none struct{}, err error) {
		t, err := l.chain.readTx(s.Raw)
		if err != nil {
			return none, err
		}
		if s.ID != "" && t.id != s.ID {
			return none, &chain.FormatError{What: "signed transaction", Text: hexutil.Encode(s.Raw), Reason: "its id is not " + string(s.ID)}
		}
		l.see(func(uint64) {
			if err = l.chain.submit(t); err == nil {
				l.chain.onDemand()
			}
		})
		return none, err
	})
	return err
}
