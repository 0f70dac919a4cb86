package evm

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

const (
	// entryGas is the most gas that one entry of a batch may use.
	entryGas = contracts.EntryGas
	// authorisationGas is what each authorisation costs (EIP-7702). The dry run and
	// the estimate have the delegation already, and so do not count it.
	authorisationGas = 25_000
)

// Batching says that one transaction of the sponsor of Config.Sweeper collects from
// many sources. MaxMoves is for sources that all delegate in it, of the dearest
// tokens that package contracts knows (contracts.Checked), with the gas that a dry
// run shows: 424. In the transaction itself an authorisation makes its account
// cheaper to call, so that some more would fit, and could not be tried before. Of
// cheaper tokens, and where sources delegate already, Prepare takes more.
//
// It is zero without Config.Sweeper, and where that has no sponsor: there anybody
// could sweep before each transaction of ours. Prepare makes batches of any fee
// payer then, for who books all that arrives at the treasury.
func (c *Client) Batching() chain.Batching {
	s := c.cfg.Sweeper
	if s == nil || s.Params().Sponsor == (contracts.Address{}) {
		return chain.Batching{}
	}
	_, dearest := (&batch{contract: s.Address()}).classes()
	cost, err := contracts.CostOf(contracts.Reused, dearest)
	if err != nil {
		return chain.Batching{}
	}
	cost.Entry += authorisationGas
	return chain.Batching{
		Treasury: checksummed(s.Params().Treasury), FeePayer: checksummed(s.Params().Sponsor), MaxMoves: cost.Fit(entryGas),
	}
}

// batch is a checked intent of many sources.
type batch struct {
	in       chain.Intent
	sponsor  chain.Account
	asset    chain.Asset
	contract contracts.Address // of the token; zero for the coin
	moves    []move
	sweeper  *contracts.Sweeper
}

// sponsored reports whether an intent is one for the sweeper.
func (w writer) sponsored(in chain.Intent) bool {
	if w.sweeper == nil || in.Purpose != chain.PurposeCollection || in.FeePayer.Address == "" || len(in.Moves) == 0 {
		return false
	}
	return !slices.ContainsFunc(in.Moves, func(m chain.Move) bool {
		return strings.EqualFold(string(m.From.Address), string(in.FeePayer.Address))
	})
}

// batch checks all of an intent that needs no node.
func (w writer) batch(in chain.Intent) (batch, error) {
	b := batch{in: in, sponsor: in.FeePayer, asset: in.Moves[0].Asset, sweeper: w.sweeper}
	if len(in.Coins) > 0 {
		return batch{}, fmt.Errorf("evm: choosing coins: %w", chain.ErrUnsupported)
	}
	sponsor, err := parseAddress(string(in.FeePayer.Address))
	if err != nil {
		return batch{}, err
	}
	b.sponsor.Address = checksummed(sponsor)
	if p := w.sweeper.Params(); p.Sponsor != (contracts.Address{}) && p.Sponsor != sponsor {
		return batch{}, badIntent("fee payer", string(in.FeePayer.Address), "the sweeper does nothing but for "+string(checksummed(p.Sponsor)))
	}
	treasury := w.sweeper.Params().Treasury
	seen := make(map[[addressLength]byte]bool, len(in.Moves))
	for _, m := range in.Moves {
		out, err := w.checked(m, false)
		switch {
		case err != nil:
			return batch{}, err
		case m.Asset.ID != b.asset.ID:
			return batch{}, fmt.Errorf("evm: %s and %s in one transaction: %w", b.asset.ID, m.Asset.ID, chain.ErrUnsupported)
		case out.to != treasury:
			return batch{}, badIntent("destination", string(m.To), "the sweeper pays "+string(checksummed(treasury)))
		case out.from == w.sweeper.Address() || out.from == out.contract:
			return batch{}, badIntent("source", string(m.From.Address), "is a contract of the batch")
		case seen[out.from]:
			return batch{}, badIntent("source", string(m.From.Address), "is there twice")
		case m.Amount.IsZero() && !m.All:
			return batch{}, badIntent("amount", "0", "want above zero")
		}
		seen[out.from] = true
		b.contract = out.contract
		b.moves = append(b.moves, out)
	}
	return b, nil
}

// effects are what the transaction of a batch whose amounts are fixed does.
func (b *batch) effects() chain.Effects {
	if b.sweeper == nil {
		return chain.Effects{} // the intent was refused
	}
	out := chain.Effects{Contract: checksummed(b.sweeper.Address())}
	for i := range b.moves {
		m := &b.moves[i]
		out.Effects = append(out.Effects, chain.Effect{From: m.From.Address, To: m.To, Asset: m.Asset.ID, Amount: m.Amount})
	}
	return out
}

// fixed is the intent with the amounts that the treasury gets.
func (b *batch) fixed() chain.Intent {
	in := b.in
	in.FeePayer = b.sponsor
	in.Moves = make([]chain.Move, len(b.moves))
	for i := range b.moves {
		in.Moves[i] = b.moves[i].Move
	}
	return in
}

// call encodes the call of the sweeper.
func (b *batch) call() ([]byte, error) {
	call := contracts.Batch{Op: contracts.OpSweep, Asset: b.contract, Gas: entryGas, Entries: make([]contracts.Entry, len(b.moves))}
	for i := range b.moves {
		call.Entries[i] = contracts.Entry{Account: b.moves[i].from, Amount: b.moves[i].Amount}
	}
	data, err := call.Encode()
	if err != nil {
		return nil, badIntent("moves", "", err.Error())
	}
	return data, nil
}

// model is what package contracts expects the batch to need, with all entries of
// one class of assets.
func (b *batch) model(class contracts.Class, fresh int) (uint64, error) {
	first, err := contracts.CostOf(contracts.Fresh, class)
	if err != nil {
		return 0, err
	}
	later, err := contracts.CostOf(contracts.Reused, class)
	if err != nil {
		return 0, err
	}
	return later.Limit(len(b.moves)-fresh, entryGas) + uint64(fresh)*first.Entry, nil
}

// classes are the cheapest and the dearest class that the asset may be of.
func (b *batch) classes() (cheapest, dearest contracts.Class) {
	if b.contract == (contracts.Address{}) {
		return contracts.Coin, contracts.Coin
	}
	return contracts.Plain, contracts.Checked
}

// tooMany says how many of the moves would fit, had each an equal part of gas.
func (b *batch) tooMany(gas uint64) error {
	return b.fit((gas - min(gas, contracts.Cost{Base: 40_000}.Limit(0, entryGas))) / uint64(len(b.moves)))
}

// fitting is tooMany where a try with all the gas that there is got so far. Fewer
// moves have fewer authorisations, which leaves more gas for the others.
func (b *batch) fitting(tried int, authorised uint64) error {
	left := maxGas - authorised
	left -= min(left, contracts.Cost{Base: 40_000}.Limit(0, entryGas))
	return b.fit(left/uint64(max(tried, 1)) + authorised/uint64(len(b.moves)))
}

// fit says how many moves fit that need so much gas each.
func (b *batch) fit(each uint64) error {
	cost := contracts.Cost{Base: 40_000, Entry: each + 1}
	return &chain.TooManyMovesError{Moves: len(b.moves), Fit: min(cost.Fit(entryGas), len(b.moves)-1)}
}

// prepareBatch is prepare for many sources.
func (w writer) prepareBatch(ctx context.Context, in chain.Intent, old *transaction) (chain.Draft, error) {
	b, err := w.batch(in)
	if err != nil {
		return chain.Draft{}, err
	}
	cheapest, _ := b.classes()
	if least, err := b.model(cheapest, 0); err != nil || least > maxGas {
		if err == nil {
			err = b.tooMany(least)
		}
		return chain.Draft{}, err
	}
	own := in
	own.Reuse = ofOwner(in.Reuse, b.sponsor.Address)
	if len(in.Reuse) > 0 && len(own.Reuse) == 0 {
		return chain.Draft{}, badIntent("reused lock", string(in.Reuse[0]), "none of "+string(b.sponsor.Address))
	}
	nonce, err := w.nonce(ctx, b.sponsor.Address, own)
	if err != nil {
		return chain.Draft{}, err
	}
	auths, err := w.survey(ctx, &b, old)
	if err != nil {
		return chain.Draft{}, err
	}
	q, err := w.market(ctx)
	switch {
	case err != nil:
		return chain.Draft{}, err
	case !q.Dynamic && len(auths) > 0:
		return chain.Draft{}, fmt.Errorf("evm: delegations on a chain without EIP-1559: %w", chain.ErrUnsupported)
	}
	data, err := b.call()
	if err != nil {
		return chain.Draft{}, err
	}
	gas, err := w.rehearse(ctx, &b, auths, data, old)
	if err != nil {
		return chain.Draft{}, err
	}
	p := builder{writer: w, in: in, quote: q, old: old}
	p.tx = transaction{Legacy: !q.Dynamic, Nonce: nonce, To: w.sweeper.Address(), Data: data, Auths: auths}
	p.tx.ChainID.SetUint64(w.chain)
	fee, err := p.pricedFor(ctx, q.ordinary(), gas)
	if err != nil {
		return chain.Draft{}, err
	}
	fee, missing, err := p.payable(ctx, b.sponsor.Address, fee)
	if err != nil {
		return chain.Draft{}, err
	}
	return b.draft(&p.tx, w.coin, fee, missing)
}

// draft is the finished draft, or one that needs coin for the fee.
func (b *batch) draft(t *transaction, coin chain.Asset, fee, missing chain.Amount) (chain.Draft, error) {
	d := chain.Draft{Chain: b.asset.Chain(), Intent: b.fixed(), Fee: fee}
	if !missing.IsZero() {
		d.Needs = []chain.Need{{Account: b.sponsor, Asset: coin, Amount: missing}}
		return d, nil
	}
	var err error
	if d.Payload, err = t.draft(); err != nil {
		return chain.Draft{}, err
	}
	d.Locks = []chain.Lock{nonceLock(b.sponsor.Address, t.Nonce)}
	for i := range t.Auths {
		d.Locks = append(d.Locks, nonceLock(checksummed(t.Auths[i].Authority), t.Auths[i].Nonce))
	}
	return d, nil
}

// ofOwner are the nonces of one account among locks.
func ofOwner(locks []chain.Lock, owner chain.Address) (out []chain.Lock) {
	for _, l := range locks {
		if who, _, ok := parseNonceLock(l); ok && who == owner {
			out = append(out, l)
		}
	}
	return out
}

// authorise has the authorisations of a checked draft signed.
func (t *transaction) authorise(ctx context.Context, d chain.Draft, s chain.Signer) error {
	if len(t.Auths) == 0 {
		return nil
	}
	keys := make(map[chain.Address]chain.KeyRef, len(d.Intent.Moves))
	for _, m := range d.Intent.Moves {
		keys[m.From.Address] = m.From.Key
	}
	requests := make([]chain.SignRequest, len(t.Auths))
	payloads := make([][]byte, len(t.Auths))
	for i := range t.Auths {
		payload, err := t.Auths[i].payload()
		if err != nil {
			return err
		}
		payloads[i] = payload
		requests[i] = chain.SignRequest{
			Chain: d.Chain, Purpose: chain.SignAuthorization, Scheme: chain.ECDSA,
			Key: keys[checksummed(t.Auths[i].Authority)], Payload: slices.Clone(payload),
		}
	}
	answers, err := signaturesOf(ctx, s, requests)
	if err != nil {
		return err
	}
	for i := range t.Auths {
		if err := t.Auths[i].sign(payloads[i], answers[i]); err != nil {
			return err
		}
	}
	return nil
}

// bumpBatch drafts a replacement of a batch: the same nonces and authorisations.
func (w writer) bumpBatch(ctx context.Context, in chain.Intent, t *transaction, from chain.Address, effects chain.Effects) (chain.Draft, error) {
	b, err := w.batch(in)
	switch {
	case err != nil:
		return chain.Draft{}, err
	case effects.Contract == "" || len(effects.Effects) != len(b.moves):
		return chain.Draft{}, badSigned("no batch of %d moves", len(b.moves))
	case from != b.sponsor.Address:
		return chain.Draft{}, badSigned("of %s, the intent is of %s", from, b.sponsor.Address)
	}
	in = b.fixed()
	in.Reuse = append([]chain.Lock{nonceLock(from, t.Nonce)}, effects.Locks...)
	for i, e := range effects.Effects {
		m := &in.Moves[i]
		if e.From != m.From.Address || e.Asset != m.Asset.ID || e.To != m.To {
			return chain.Draft{}, badSigned("move %d is of %s from %s, the intent's of %s from %s", i, e.Asset, e.From, m.Asset.ID, m.From.Address)
		}
		if m.All && (m.Amount.IsZero() || !m.Amount.Less(e.Amount)) {
			m.Amount = e.Amount
		}
	}
	return w.prepare(ctx, in, t)
}
