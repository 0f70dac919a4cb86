package chaintest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bursar-go/bursar/chain"
)

// Prepare makes a transaction of an intent with one move whose source pays the
// fee itself, or of a collection of many sources that Options.Sweeper can carry out;
// others are chain.ErrUnsupported. It behaves as evm.Client does:
// the nonce is the first above what is mined and what Intent.Taken holds, the
// mempool is not asked; emptying an account leaves nothing behind; with All, an
// amount above zero is an upper bound, fee included.
func (l *Client) Prepare(ctx context.Context, in chain.Intent) (chain.Draft, error) {
	return guard(ctx, l, MethodPrepare, func() (d chain.Draft, err error) {
		l.see(func(v view) { d, err = l.chain.prepare(v.head().world, in, nil) })
		return d, err
	})
}

// Bump makes a draft of the same intent at the same nonce that outbids the old
// transaction by an eighth in both of its prices. Where everything is swept, it
// gives up no more than the old one did.
func (l *Client) Bump(ctx context.Context, in chain.Intent, old chain.Signed) (chain.Draft, error) {
	return guard(ctx, l, MethodBump, func() (d chain.Draft, err error) {
		t, err := l.chain.readTx(old.Raw)
		if err != nil {
			return d, err
		}
		if l.chain.sponsored(in) {
			l.see(func(v view) { d, err = l.chain.bumpBatch(v.head().world, in, t) })
			return d, err
		}
		in.Reuse = []chain.Lock{nonceLock(t.from, t.raw.Nonce())}
		l.see(func(v view) { d, err = l.chain.prepare(v.head().world, in, t) })
		return d, err
	})
}

// EstimateFees tells the base fee and the tip of the chain's Fees, and their Usual.
func (l *Client) EstimateFees(ctx context.Context) (chain.FeeMarket, error) {
	return guard(ctx, l, MethodEstimate, func() (m chain.FeeMarket, err error) {
		f := l.chain.Fees()
		m.Usual = f.Usual
		m.Now, err = f.BaseFee.Add(f.Tip)
		return m, err
	})
}

// plan is a transaction on its way to a draft.
type plan struct {
	move     chain.Move
	from, to common.Address
	token    common.Address // zero for native coin
	nonce    uint64
	gas      uint64
	price    price
	bid      *chain.Bid
	fee      chain.Amount
}

func (p *plan) native() bool { return p.token == common.Address{} }

// prepare makes a draft on the world w. The chain's lock is held. old is the
// transaction to outbid, or nil.
func (c *Chain) prepare(w world, in chain.Intent, old *tx) (chain.Draft, error) {
	if c.sponsored(in) {
		return c.prepareBatch(w, in, old)
	}
	p, err := c.readIntent(in)
	if err != nil {
		return chain.Draft{}, err
	}
	if p.nonce, err = chooseNonce(w, p.from, in); err != nil {
		return chain.Draft{}, err
	}
	p.bid = in.Bid
	p.price = c.fees.ordinary()
	if p.native() && p.move.All {
		p.price = c.fees.emptying()
	}
	if old != nil {
		p.price = p.price.outbid(old)
		p.bound(old)
	}
	needs, err := c.settle(w, p, in.MaxFee)
	if err != nil {
		return chain.Draft{}, err
	}
	in.Moves = []chain.Move{p.move}
	d := chain.Draft{Chain: c.info.ID, Intent: in, Fee: p.fee, Needs: needs}
	if len(needs) == 0 {
		d.Locks = []chain.Lock{nonceLock(p.from, p.nonce)}
		if p.nonce > 0 {
			d.After = []chain.Lock{nonceLock(p.from, p.nonce-1)}
		}
		d.Payload = p.unsigned(c).payload()
	}
	return d, nil
}

// bound limits a sweep to what the old transaction gave up.
func (p *plan) bound(old *tx) {
	if !p.move.All {
		return
	}
	most := old.cost
	if !p.native() {
		_, most, _ = readTransferCall(old.raw.Data())
	}
	if p.move.Amount.IsZero() || most.Less(p.move.Amount) {
		p.move.Amount = most
	}
}

// readIntent checks what needs no look at the chain's state.
func (c *Chain) readIntent(in chain.Intent) (*plan, error) {
	if len(in.Moves) != 1 || len(in.Coins) > 0 {
		return nil, fmt.Errorf("chaintest: %d moves and %d coins in one transaction: %w", len(in.Moves), len(in.Coins), chain.ErrUnsupported)
	}
	p := &plan{move: in.Moves[0]}
	if in.FeePayer.Address != "" && in.FeePayer.Address != p.move.From.Address {
		return nil, fmt.Errorf("chaintest: a fee payer other than the source: %w", chain.ErrUnsupported)
	}
	if err := c.readMove(p); err != nil {
		return nil, err
	}
	m, cancel := p.move, in.Purpose == chain.PurposeCancel
	switch {
	case cancel && (!p.native() || m.All || !m.Amount.IsZero() || p.to != p.from):
		return nil, badIntent("cancellation", string(m.To), "pays nothing of the native coin to the source itself")
	case !cancel && p.to == p.from:
		return nil, badIntent("destination", string(m.To), "is the source")
	case !cancel && !m.All && m.Amount.IsZero():
		return nil, badIntent("amount", "0", "want above zero")
	case !p.native() && p.to == p.token:
		return nil, badIntent("destination", string(m.To), "is the token's contract")
	}
	return p, nil
}

// readMove reads the addresses and the asset of a move.
func (c *Chain) readMove(p *plan) error {
	var ok bool
	if p.from, ok = rawAddress(p.move.From.Address); !ok || p.from == (common.Address{}) {
		return &chain.FormatError{What: "intent's source", Text: string(p.move.From.Address), Reason: "no account"}
	}
	if p.to, ok = rawAddress(p.move.To); !ok || p.to == (common.Address{}) {
		return &chain.FormatError{What: "intent's destination", Text: string(p.move.To), Reason: "no account"}
	}
	p.move.From.Address, p.move.To = textAddress(p.from), textAddress(p.to)
	if p.move.Asset.ID.Chain() != c.info.ID {
		return &chain.FormatError{What: "intent's asset", Text: string(p.move.Asset.ID), Reason: "not of chain " + string(c.info.ID)}
	}
	var err error
	p.token, err = c.tokenOf(p.move.Asset)
	return err
}

// chooseNonce takes the nonce to be used again, or else the first one above
// what the chain and the locks of other attempts have used.
func chooseNonce(w world, from common.Address, in chain.Intent) (uint64, error) {
	nonce := w.nonce(from)
	if len(in.Reuse) > 0 {
		reused, ok := readNonceLock(in.Reuse[0], from)
		switch {
		case !ok || len(in.Reuse) != 1:
			return 0, &chain.FormatError{What: "intent's reused lock", Text: string(in.Reuse[0]), Reason: "want one nonce of the source"}
		case reused < nonce:
			return 0, fmt.Errorf("%s: %w", in.Reuse[0], chain.ErrLockSpent)
		}
		return reused, nil
	}
	for _, lock := range in.Taken {
		if taken, ok := readNonceLock(lock, from); ok {
			nonce = max(nonce, taken+1)
		}
	}
	return nonce, nil
}

// settle fixes amount, gas and fee, and checks that the source has them.
func (c *Chain) settle(w world, p *plan, budget chain.Amount) ([]chain.Need, error) {
	held := w.balance(p.token, p.from)
	spend := p.move.Amount
	if p.move.All && (spend.IsZero() || held.Less(spend)) {
		spend = held
	}
	if p.move.All && held.IsZero() || held.Less(spend) {
		return nil, p.short(p.move.Asset, larger(spend, chain.NewAmount(1)), held)
	}
	p.move.Amount = spend
	// A contract may refuse what it is paid, and a token may refuse to move.
	err := c.estimate(w, p)
	if err != nil {
		return nil, err
	}
	if p.bid != nil {
		p.price = p.price.bidding(*p.bid, p.gas, budget)
	}
	if p.price, p.fee, err = p.price.within(p.gas, budget); err != nil {
		return nil, err
	}
	if !p.native() {
		if coin := w.balance(common.Address{}, p.from); coin.Less(p.fee) {
			return []chain.Need{{Account: p.move.From, Asset: c.info.Native, Amount: p.fee.SubFloor(coin)}}, nil
		}
		return nil, nil
	}
	if p.move.All {
		p.move.Amount = spend.SubFloor(p.fee)
		if p.move.Amount.IsZero() {
			return nil, p.shortOfFee(chain.NewAmount(1), spend)
		}
		return nil, nil
	}
	if held.SubFloor(spend).Less(p.fee) {
		return nil, p.shortOfFee(spend, held)
	}
	return nil, nil
}

func (p *plan) short(a chain.Asset, required, available chain.Amount) error {
	return &chain.InsufficientFundsError{Account: p.move.From.Address, Asset: a, Required: required, Available: available}
}

// shortOfFee reports an account that cannot pay the fee on top of an amount.
func (p *plan) shortOfFee(amount, available chain.Amount) error {
	required, err := amount.Add(p.fee)
	if err != nil {
		return err
	}
	return p.short(p.move.Asset, required, available)
}

// estimate finds the gas limit by a dry run. A plain payment needs what it
// needs; what code needs can grow until it is mined.
func (c *Chain) estimate(w world, p *plan) error {
	gas, err := c.tryMove(w, p)
	if err != nil {
		return err
	}
	if p.gas = gas; gas > gasTransaction {
		p.gas += gas / 4
	}
	return nil
}

// tryMove runs a move on a world without keeping anything. The source is lent
// native coin, since what it lacks is told otherwise; tokens cannot be lent.
func (c *Chain) tryMove(w world, p *plan) (gas uint64, err error) {
	to, value, data := p.call()
	w = w.copy()
	if err := w.credit(common.Address{}, p.from, value.SubFloor(w.balance(common.Address{}, p.from))); err != nil {
		return 0, err
	}
	gas, output, err := c.try(w, p.from, to, value, data)
	if err == nil && !p.native() && returnedFalse(output) {
		err = &chain.RevertError{Reason: "the token returned false", Data: output}
	}
	return gas, err
}

// call is the outermost call of the transaction.
func (p *plan) call() (to common.Address, value chain.Amount, data []byte) {
	if p.native() {
		return p.to, p.move.Amount, nil
	}
	return p.token, chain.Amount{}, transferCall(p.to, p.move.Amount)
}

func (p *plan) unsigned(c *Chain) unsigned {
	to, value, data := p.call()
	return unsigned{
		ChainID: c.number, Nonce: p.nonce, Tip: p.price.tip.Big(), Cap: p.price.cap.Big(), Gas: p.gas,
		To: to, Value: value.Big(), Data: data,
	}
}

// DryRun tries every move of an intent by itself on the newest block.
func (l *Client) DryRun(ctx context.Context, in chain.Intent) error {
	_, err := guard(ctx, l, MethodDryRun, func() (none struct{}, err error) {
		l.see(func(v view) {
			for _, m := range in.Moves {
				p := &plan{move: m}
				if err = l.chain.readMove(p); err == nil {
					_, err = l.chain.tryMove(v.head().world, p)
				}
				if err != nil {
					return
				}
			}
		})
		return none, err
	})
	return err
}

// Sign has the draft signed by its source's key, and checks the signature. A batch
// is signed by the accounts that delegate in it and then by its fee payer.
func (l *Client) Sign(ctx context.Context, d chain.Draft, s chain.Signer) (chain.Signed, error) {
	return guard(ctx, l, MethodSign, func() (chain.Signed, error) {
		switch {
		case d.Chain != l.chain.info.ID:
			return chain.Signed{}, &chain.FormatError{What: "draft", Text: string(d.Chain), Reason: "made for another chain"}
		case len(d.Needs) > 0:
			return chain.Signed{}, fmt.Errorf("chaintest: a draft with %d unmet needs cannot be signed", len(d.Needs))
		case l.chain.sponsored(d.Intent):
			return l.chain.signBatch(ctx, d, s)
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
		return l.chain.join(d, u.transaction(), d.Intent.Moves[0].From.Address, signatures)
	})
}

// request asks for the signature of a draft's source.
func request(d chain.Draft) chain.SignRequest {
	move := d.Intent.Moves[0]
	r := chain.SignRequest{
		Chain: d.Chain, Purpose: chain.SignTransaction, Scheme: chain.ECDSA,
		Key: move.From.Key, Payload: d.Payload, Approval: d.Intent.Approval,
	}
	switch {
	case move.Own != nil:
		r.Own = []chain.OwnTarget{{Address: move.To, Key: *move.Own}}
	case d.Intent.Purpose == chain.PurposeCancel:
		r.Own = []chain.OwnTarget{{Address: move.From.Address, Key: move.From.Key}}
	}
	return r
}

// join puts a signature into a transaction, having checked whose it is.
func (c *Chain) join(d chain.Draft, t *types.Transaction, by chain.Address, signatures [][]byte) (chain.Signed, error) {
	if len(signatures) != 1 || len(signatures[0]) != 65 {
		return chain.Signed{}, fmt.Errorf("want one signature of 65 bytes: %w", chain.ErrInvalidSignature)
	}
	t, err := t.WithSignature(c.signer, signatures[0])
	if err != nil {
		return chain.Signed{}, errors.Join(chain.ErrInvalidSignature, err)
	}
	// Sender refuses a high s as well, which would give the transaction a
	// second id.
	from, err := types.Sender(c.signer, t)
	if err != nil || textAddress(from) != by {
		return chain.Signed{}, fmt.Errorf("not by %s: %w", by, chain.ErrInvalidSignature)
	}
	raw, err := t.MarshalBinary()
	if err != nil {
		return chain.Signed{}, err
	}
	return chain.Signed{Chain: d.Chain, ID: chain.TxID(t.Hash().Hex()), Raw: raw, Locks: slices.Clone(d.Locks)}, nil
}

// Broadcast puts a transaction into the mempool. There is one for the whole network,
// which judges it by the present branch, whatever branch this client sees.
func (l *Client) Broadcast(ctx context.Context, s chain.Signed) error {
	_, err := guard(ctx, l, MethodBroadcast, func() (none struct{}, err error) {
		t, err := l.chain.readTx(s.Raw)
		if err != nil {
			return none, err
		}
		if t.id != s.ID || s.Chain != l.chain.info.ID {
			return none, &chain.FormatError{What: "signed transaction", Text: string(t.id), Reason: fmt.Sprintf("not %s of %s", s.ID, s.Chain)}
		}
		l.see(func(view) {
			if err = l.chain.submit(t); err == nil {
				l.chain.onDemand()
			}
		})
		return none, err
	})
	return err
}
