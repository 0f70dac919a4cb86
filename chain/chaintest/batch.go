package chaintest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

var _ chain.Batcher = (*Client)(nil)

// Batching tells what Options.Sweeper and Options.MaxMoves say; it is zero without.
func (l *Client) Batching() chain.Batching {
	s := l.chain.sweeper
	if s == nil {
		return chain.Batching{}
	}
	p := s.Params()
	return chain.Batching{Treasury: textAddress(p.Treasury), FeePayer: textAddress(p.Sponsor), MaxMoves: l.chain.maxMoves}
}

// batch is a checked intent of many sources.
type batch struct {
	in      chain.Intent
	sponsor common.Address
	token   common.Address // zero for the coin
	moves   []*plan        // of each move the move itself and its addresses
}

// sponsored reports whether an intent is one for the sweeper.
func (c *Chain) sponsored(in chain.Intent) bool {
	if c.sweeper == nil || in.Purpose != chain.PurposeCollection || in.FeePayer.Address == "" || len(in.Moves) == 0 {
		return false
	}
	return !slices.ContainsFunc(in.Moves, func(m chain.Move) bool {
		return strings.EqualFold(string(m.From.Address), string(in.FeePayer.Address))
	})
}

func badIntent(what, text, reason string) error {
	return &chain.FormatError{What: "intent's " + what, Text: text, Reason: reason}
}

// readBatch checks what needs no look at the chain's state.
func (c *Chain) readBatch(in chain.Intent) (*batch, error) {
	p := c.sweeper.Params()
	b := &batch{in: in, sponsor: p.Sponsor}
	if len(in.Coins) > 0 {
		return nil, fmt.Errorf("chaintest: choosing coins: %w", chain.ErrUnsupported)
	}
	if payer, ok := rawAddress(in.FeePayer.Address); !ok || payer != b.sponsor {
		return nil, badIntent("fee payer", string(in.FeePayer.Address), "the sponsor is "+string(textAddress(b.sponsor)))
	}
	seen := map[common.Address]bool{}
	for i, m := range in.Moves {
		out := &plan{move: m}
		if err := c.readMove(out); err != nil {
			return nil, err
		}
		if i == 0 {
			b.token = out.token
		}
		switch {
		case out.to == out.from:
			return nil, badIntent("destination", string(m.To), "is the source")
		case m.Asset.ID != in.Moves[0].Asset.ID:
			return nil, fmt.Errorf("chaintest: %s and %s in one transaction: %w", in.Moves[0].Asset.ID, m.Asset.ID, chain.ErrUnsupported)
		case out.to != p.Treasury:
			return nil, badIntent("destination", string(m.To), "the sweeper pays "+string(textAddress(p.Treasury)))
		case out.from == c.sweeper.Address() || out.from == out.token:
			return nil, badIntent("source", string(m.From.Address), "is a contract of the batch")
		case seen[out.from]:
			return nil, badIntent("source", string(m.From.Address), "is there twice")
		case m.Amount.IsZero() && !m.All:
			return nil, badIntent("amount", "0", "want above zero")
		}
		seen[out.from] = true
		b.moves = append(b.moves, out)
	}
	return b, nil
}

// prepareBatch is prepare for many sources.
func (c *Chain) prepareBatch(w world, in chain.Intent, old *tx) (chain.Draft, error) {
	b, err := c.readBatch(in)
	if err != nil {
		return chain.Draft{}, err
	}
	if least := gasTransaction + gasSweep + uint64(len(b.moves))*gasSweepEntry; least > c.batchGas {
		return chain.Draft{}, c.tooMany(b, least)
	}
	own := in
	own.Reuse = ofOwner(in.Reuse, b.sponsor)
	if len(in.Reuse) > 0 && len(own.Reuse) == 0 {
		return chain.Draft{}, badIntent("reused lock", string(in.Reuse[0]), "none of "+string(textAddress(b.sponsor)))
	}
	nonce, err := chooseNonce(w, b.sponsor, own)
	if err != nil {
		return chain.Draft{}, err
	}
	auths, err := c.survey(w, b, old)
	if err != nil {
		return chain.Draft{}, err
	}
	data, err := b.call()
	if err != nil {
		return chain.Draft{}, err
	}
	gas, err := c.rehearse(w, b, auths, data, old)
	if err != nil {
		return chain.Draft{}, err
	}
	offer := c.fees.ordinary()
	if old != nil {
		offer = offer.outbid(old)
	}
	if in.Bid != nil {
		offer = offer.bidding(*in.Bid, gas, in.MaxFee)
	}
	offer, fee, err := offer.within(gas, in.MaxFee)
	if err != nil {
		return chain.Draft{}, err
	}
	d := chain.Draft{Chain: c.info.ID, Intent: b.fixed(), Fee: fee}
	if coin := w.balance(common.Address{}, b.sponsor); coin.Less(fee) {
		d.Needs = []chain.Need{{Account: d.Intent.FeePayer, Asset: c.info.Native, Amount: fee.SubFloor(coin)}}
		return d, nil
	}
	u := unsigned{
		ChainID: c.number, Nonce: nonce, Tip: offer.tip.Big(), Cap: offer.cap.Big(), Gas: gas,
		To: c.sweeper.Address(), Value: chain.Amount{}.Big(), Data: data,
	}
	d.Locks, d.Payload = batchLocks(b.sponsor, nonce, auths), u.draft(auths)
	return d, nil
}

// batchLocks are the nonces that a batch uses up: the sponsor's, then those of the
// accounts that delegate in it.
func batchLocks(sponsor common.Address, nonce uint64, auths []authorisation) []chain.Lock {
	out := []chain.Lock{nonceLock(sponsor, nonce)}
	for _, a := range auths {
		out = append(out, nonceLock(a.Authority, a.Nonce))
	}
	return out
}

// ofOwner are the nonces of one account among locks.
func ofOwner(locks []chain.Lock, owner common.Address) (out []chain.Lock) {
	for _, l := range locks {
		if _, ok := readNonceLock(l, owner); ok {
			out = append(out, l)
		}
	}
	return out
}

// fixed is the intent with the amounts that the treasury gets.
func (b *batch) fixed() chain.Intent {
	in := b.in
	in.FeePayer.Address = textAddress(b.sponsor)
	in.Moves = make([]chain.Move, len(b.moves))
	for i, p := range b.moves {
		in.Moves[i] = p.move
	}
	return in
}

// call encodes the call of the sweeper.
func (b *batch) call() ([]byte, error) {
	call := contracts.Batch{Op: contracts.OpSweep, Asset: b.token, Gas: contracts.EntryGas}
	for _, p := range b.moves {
		call.Entries = append(call.Entries, contracts.Entry{Account: p.from, Amount: p.move.Amount})
	}
	data, err := call.Encode()
	if err != nil {
		return nil, badIntent("moves", "", err.Error())
	}
	return data, nil
}

// survey finds all sources that are in the way of a batch, fixes its amounts, and
// returns the authorisations that it needs: those of old, or one for each account
// that does not delegate yet. What has come into the way of old stays in it.
func (c *Chain) survey(w world, b *batch, old *tx) (auths []authorisation, err error) {
	before := map[common.Address]*authorisation{}
	if old != nil {
		for _, d := range old.delegations {
			before[d.authority] = c.authorisation(d.authority, d.nonce)
		}
	}
	var bad []*chain.SourceError
	for _, p := range b.moves {
		auth, reason := before[p.from], ""
		err := p.take(w)
		if err != nil {
			reason = err.Error()
		} else if auth, reason = c.standing(w, p.from, b.heldAbove(p.from), auth, old != nil); reason != "" {
			auth = before[p.from]
		}
		if auth != nil {
			auths = append(auths, *auth)
		}
		if reason != "" {
			bad = append(bad, &chain.SourceError{Account: p.move.From.Address, Reason: reason, Err: err})
		}
	}
	if len(bad) > 0 && old == nil {
		return nil, &chain.SourcesError{Sources: bad}
	}
	return auths, nil
}

// heldAbove is one above the highest nonce of an account that other attempts hold.
func (b *batch) heldAbove(owner common.Address) (above uint64) {
	for _, l := range b.in.Taken {
		if n, ok := readNonceLock(l, owner); ok && !slices.Contains(b.in.Reuse, l) {
			above = max(above, n+1)
		}
	}
	return above
}

// take fixes how much a move moves of what its source has.
func (p *plan) take(w world) error {
	held := w.balance(p.token, p.from)
	units := p.move.Amount
	if p.move.All && (units.IsZero() || held.Less(units)) {
		units = held
	}
	if units.IsZero() || held.Less(units) {
		return p.short(p.move.Asset, larger(units, chain.NewAmount(1)), held)
	}
	if !contracts.Fits(units) {
		return &chain.FormatError{What: "amount", Text: units.String(), Reason: "a batch moves below 2^96"}
	}
	p.move.Amount = units
	return nil
}

// standing returns the authorisation that a source has to give, nil where it has
// given it, or why it cannot be swept. taken is one above the highest nonce that
// other attempts hold; before is what a transaction to be replaced has of it, or nil.
func (c *Chain) standing(w world, owner common.Address, taken uint64, before *authorisation, replaces bool) (auth *authorisation, reason string) {
	_, code := c.contracts[owner]
	to, nonce, us := w.delegate(owner), w.nonce(owner), common.Address(c.sweeper.Address())
	switch {
	case code:
		return nil, "has code"
	case to != us && to != common.Address{}:
		return nil, "delegates to " + string(textAddress(to))
	case before != nil && (to == us || before.Nonce == nonce):
		return before, ""
	case to == us:
		return nil, ""
	case replaces:
		return nil, "does not delegate any more, and the transaction to be replaced has no authorisation that would count"
	case taken > nonce:
		return nil, fmt.Sprintf("its nonce %d is held by another attempt", nonce)
	}
	return c.authorisation(owner, nonce), ""
}

// rehearse tries the whole batch with the authorisations in force, and returns the
// gas to ask for: with less than an entry may use left over, a batch would stop
// before its last entries.
// In a replacement of old, which takes no less than old, entries may fail.
func (c *Chain) rehearse(w world, b *batch, auths []authorisation, data []byte, old *tx) (uint64, error) {
	w = w.copy()
	for _, a := range auths {
		w.setDelegate(a.Authority, a.Address)
	}
	gas, output, err := c.try(w, b.sponsor, c.sweeper.Address(), chain.Amount{}, data)
	if err != nil {
		return 0, err
	}
	u, err := contracts.DecodeUnswept(contracts.OpSweep, output)
	if err != nil {
		return 0, &chain.RevertError{Reason: "the sweeper does not answer like a sweeper", Data: output}
	}
	if len(u.Failed) > 0 && old == nil {
		bad := make([]*chain.SourceError, len(u.Failed))
		for i, e := range u.Failed {
			why := "a dry run does not sweep it"
			bad[i] = &chain.SourceError{Account: textAddress(e.Account), Reason: why, Err: &chain.RevertError{Reason: why}}
		}
		return 0, &chain.SourcesError{Sources: bad}
	}
	gas += gas/4 + uint64(len(auths))*gasAuthorisation
	if gas += (contracts.Cost{}).Limit(0, contracts.EntryGas); gas > c.batchGas {
		return 0, c.tooMany(b, gas)
	}
	if old != nil {
		gas = max(gas, old.raw.Gas())
	}
	return gas, nil
}

// tooMany says how many of the moves would fit, had each an equal part of the gas.
func (c *Chain) tooMany(b *batch, gas uint64) error {
	fixed := (contracts.Cost{Base: (gasTransaction + gasSweep) * 5 / 4}).Limit(0, contracts.EntryGas)
	each := (gas-min(gas, fixed))/uint64(len(b.moves)) + 1
	fit := (c.batchGas - min(c.batchGas, fixed)) / each
	return &chain.TooManyMovesError{Moves: len(b.moves), Fit: min(int(fit), len(b.moves)-1)}
}

// bumpBatch is prepareBatch for a replacement: the same nonces and authorisations.
func (c *Chain) bumpBatch(w world, in chain.Intent, old *tx) (chain.Draft, error) {
	b, err := c.readBatch(in)
	if err != nil {
		return chain.Draft{}, err
	}
	bad := func(format string, args ...any) (chain.Draft, error) {
		return chain.Draft{}, &chain.FormatError{What: "signed transaction", Text: string(old.id), Reason: fmt.Sprintf(format, args...)}
	}
	call, err := contracts.DecodeBatch(old.raw.Data())
	switch {
	case err != nil || *old.raw.To() != c.sweeper.Address() || len(call.Entries) != len(b.moves) || call.Asset != b.token:
		return bad("no batch of %d moves of that asset", len(b.moves))
	case old.from != b.sponsor:
		return bad("of %s, the intent is of %s", textAddress(old.from), textAddress(b.sponsor))
	}
	for i, e := range call.Entries {
		p := b.moves[i]
		if e.Account != p.from {
			return bad("move %d is from %s, the intent's from %s", i, textAddress(e.Account), textAddress(p.from))
		}
		if m := &p.move; m.All && (m.Amount.IsZero() || !m.Amount.Less(e.Amount)) {
			m.Amount = e.Amount
		}
	}
	in = b.fixed()
	in.Reuse = append([]chain.Lock{nonceLock(old.from, old.raw.Nonce())}, old.delegationLocks()...)
	return c.prepareBatch(w, in, old)
}
