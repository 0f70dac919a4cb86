package evm

import (
	"context"

	"github.com/bursar-go/bursar/chain"
)

// Bump drafts a replacement of a signed transaction: the same nonce, both fees
// at least an eighth higher, rounded up, and at least what the market wants now.
// The intent is the one the old transaction was made for, or a cancellation by
// the same sender, which is the fee payer where there are many sources. Of many the
// replacement has the same authorisations, so that it holds the same locks; a
// cancellation holds the sender's alone, and leaves theirs to others. A sweep never gives up more than the old one did, so what
// came in since stays out of it.
//
// Errors: those of Prepare; chain.ErrLockSpent where the nonce is mined,
// *chain.FeeTooHighError where Intent.MaxFee forbids the step,
// *chain.FormatError where old is none of ours or of another account.
func (c *Client) Bump(ctx context.Context, in chain.Intent, old chain.Signed) (chain.Draft, error) {
	return c.writer().bump(ctx, in, old)
}

func (w writer) bump(ctx context.Context, in chain.Intent, old chain.Signed) (chain.Draft, error) {
	sponsored := w.sponsored(in)
	var m move
	if !sponsored {
		var err error
		if m, err = w.only(in); err != nil {
			return chain.Draft{}, err
		}
	}
	t, from, err := decodeSigned(old.Raw)
	if err != nil {
		return chain.Draft{}, err
	}
	effects, err := t.effects(w.chain, w.sweeper)
	switch {
	case err != nil:
		return chain.Draft{}, err
	case t.FeeCap.BitLen() > priceBits:
		return chain.Draft{}, badSigned("offers an absurd price")
	case txID(old.Raw) != old.ID:
		return chain.Draft{}, badSigned("the bytes are not those of %s", old.ID)
	case sponsored:
		return w.bumpBatch(ctx, in, t, checksummed(from), effects)
	case checksummed(from) != m.From.Address:
		return chain.Draft{}, badSigned("of %s, the intent is of %s", checksummed(from), m.From.Address)
	case m.All && len(effects.Effects) != 1:
		return chain.Draft{}, badSigned("no payment of one account")
	}
	in.Reuse = []chain.Lock{nonceLock(m.From.Address, t.Nonce)}
	if m.All {
		if in, err = w.bounded(in, m, effects); err != nil {
			return chain.Draft{}, err
		}
	}
	return w.prepare(ctx, in, t)
}

// bounded limits a sweep to what the old transaction gave up.
func (w writer) bounded(in chain.Intent, m move, old chain.Effects) (chain.Intent, error) {
	effect := old.Effects[0]
	if effect.To != m.To || effect.Asset != m.Asset.ID {
		return in, badSigned("pays %s of %s, the intent pays %s of %s", effect.To, effect.Asset, m.To, m.Asset.ID)
	}
	spent := effect.Amount
	if m.Asset.Native() {
		var err error
		if spent, err = spent.Add(old.MaxFee); err != nil {
			return in, badSigned("gives up more than 2^256-1")
		}
	}
	// The intent may be that of the old draft, whose amount has the old fee taken
	// out already.
	if m.Amount.IsZero() || !m.Amount.Less(effect.Amount) {
		in.Moves = []chain.Move{in.Moves[0]}
		in.Moves[0].Amount = spent
	}
	return in, nil
}
