package evm

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/holiman/uint256"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// delegationPrefix begins the code of an account that delegates (EIP-7702).
const delegationPrefix = "\xef\x01\x00"

// standingIn is what the chain says of one source of a batch.
type standingIn struct {
	code, holding *hexData // holding is what balanceOf returned
	nonce, coins  *hexNumber
	err           error
}

// whole reports whether the node answered all that was asked.
func (s *standingIn) whole() bool {
	return s.code != nil && s.nonce != nil && (s.err != nil || s.holding != nil || s.coins != nil)
}

// survey asks what stands in the way of a batch, fixes its amounts, and returns the
// authorisations that it needs: those of old, or one for each account without code.
// What has come into the way of old in the meantime stays in its replacement: its entry
// fails by itself, its nonce stays locked, and the others are not stuck because of it.
func (w writer) survey(ctx context.Context, b *batch, old *transaction) ([]delegation, error) {
	found, err := w.standings(ctx, b)
	if err != nil {
		return nil, err
	}
	before := map[[addressLength]byte]*delegation{}
	if old != nil {
		for i := range old.Auths {
			before[old.Auths[i].Authority] = &old.Auths[i]
		}
	}
	reuse := lockSet(b.in.Reuse)
	taken := map[chain.Address]uint64{} // one above the highest nonce that others hold
	for _, l := range b.in.Taken {
		if owner, n, ok := parseNonceLock(l); ok && !reuse[l] && n < 1<<64-2 {
			taken[owner] = max(taken[owner], n+1)
		}
	}
	var auths []delegation
	var bad []*chain.SourceError
	for i := range b.moves {
		m := &b.moves[i]
		refuse := func(err error, format string, args ...any) {
			if auth := before[m.from]; auth != nil {
				auths = append(auths, *auth)
			}
			bad = append(bad, &chain.SourceError{Account: m.From.Address, Reason: fmt.Sprintf(format, args...), Err: err})
		}
		s := &found[i]
		held, err := s.held(b.contract)
		if err != nil {
			refuse(err, "%v", err)
			continue
		}
		if err := b.take(m, held); err != nil {
			refuse(err, "%v", err)
			continue
		}
		auth, reason := w.delegates(m, s, before[m.from], old != nil, taken[m.From.Address])
		if reason != "" {
			refuse(nil, "%s", reason)
			continue
		}
		if auth != nil {
			auths = append(auths, *auth)
		}
	}
	if len(bad) > 0 && old == nil {
		return nil, &chain.SourcesError{Sources: bad}
	}
	return auths, nil
}

func lockSet(locks []chain.Lock) map[chain.Lock]bool {
	out := make(map[chain.Lock]bool, len(locks))
	for _, l := range locks {
		out[l] = true
	}
	return out
}

// standings asks for code, nonce and holding of each source, and for the sweeper's
// code, all at once.
func (w writer) standings(ctx context.Context, b *batch) ([]standingIn, error) {
	found := make([]standingIn, len(b.moves))
	questions := make([]question, 0, 3*len(found)+1)
	var code *hexData
	questions = append(questions, question{method: "eth_getCode", params: []any{checksummed(w.sweeper.Address()), "latest"}, out: &code})
	for i := range b.moves {
		m, s := &b.moves[i], &found[i]
		from := m.From.Address
		holding := question{method: "eth_getBalance", params: []any{from, "latest"}, out: &s.coins}
		if b.contract != (contracts.Address{}) {
			args := callArgs("", checksummed(b.contract), nil, addressCall(balanceOfSelector, m.from))
			holding = question{method: "eth_call", params: []any{args, "latest"}, out: &s.holding}
		}
		questions = append(questions,
			question{method: "eth_getCode", params: []any{from, "latest"}, out: &s.code},
			question{method: "eth_getTransactionCount", params: []any{from, "latest"}, out: &s.nonce}, holding)
	}
	if err := w.node.many(ctx, questions); err != nil {
		return nil, readError(err)
	}
	for i := range questions {
		q := &questions[i]
		if q.err == nil {
			continue
		}
		if err := asRevert(q.err); q.method == "eth_call" && reverted(err) {
			found[(i-1)/3].err = err
			continue
		}
		return nil, readError(q.err)
	}
	for i := range found {
		if !found[i].whole() || code == nil {
			return nil, &IncoherentError{Reason: "the node answers a question about an account with nothing"}
		}
	}
	return found, w.sweeperIs(*code)
}

// held is what a source has of the asset.
func (s *standingIn) held(token contracts.Address) (chain.Amount, error) {
	switch {
	case s.err != nil:
		return chain.Amount{}, s.err
	case token == (contracts.Address{}):
		return amountOf(&s.coins.v), nil
	case len(*s.holding) != 32:
		return chain.Amount{}, &chain.RevertError{Reason: fmt.Sprintf("balanceOf of %s returned %d bytes", checksummed(token), len(*s.holding)), Data: *s.holding}
	}
	return chain.AmountFromBytes(*s.holding)
}

// take fixes how much a move moves of what its source has.
func (b *batch) take(m *move, held chain.Amount) error {
	units := m.Amount
	if m.All && (units.IsZero() || held.Less(units)) {
		units = held
	}
	if units.IsZero() || held.Less(units) {
		if units.IsZero() {
			units = chain.NewAmount(1)
		}
		return &chain.InsufficientFundsError{Account: m.From.Address, Asset: m.Asset, Required: units, Available: held}
	}
	if !contracts.Fits(units) {
		return &chain.FormatError{What: "amount", Text: units.String(), Reason: "a batch moves below 2^96"}
	}
	m.Amount = units
	return nil
}

// delegates returns the authorisation that a source needs, nil where it has given
// it, or why it cannot be swept. before is the one that a transaction to be replaced
// has, taken one above the highest nonce that other attempts hold.
func (w writer) delegates(m *move, s *standingIn, before *delegation, replaces bool, taken uint64) (auth *delegation, reason string) {
	code, nonce := *s.code, s.nonce.v.Uint64()
	ours := bytes.Equal(code, w.sweeper.Delegation())
	switch {
	case !s.nonce.v.IsUint64() || nonce >= 1<<64-2:
		return nil, "its nonce is at the end"
	case len(code) == 23 && string(code[:3]) == delegationPrefix && !ours:
		return nil, "delegates to " + string(checksummed([addressLength]byte(code[3:])))
	case len(code) > 0 && !ours:
		return nil, "has code"
	case before != nil && (ours || before.Nonce == nonce):
		// Where somebody was faster with it, the sweep works the same, and the
		// locks stay those of what is replaced.
		return before, ""
	case ours:
		return nil, ""
	case replaces:
		return nil, "does not delegate any more, and the transaction to be replaced has no authorisation that would count"
	case taken > nonce:
		return nil, fmt.Sprintf("its nonce %d is held by another attempt", nonce)
	}
	auth = &delegation{authorization: authorization{Address: w.sweeper.Address(), Nonce: nonce}, Authority: m.from}
	auth.ChainID.SetUint64(w.chain)
	// As long as a signature, for what a rollup charges for the bytes.
	sum := keccak256(m.from[:])
	auth.R.SetBytes(sum[:])
	auth.S.SetBytes(sum[:])
	return auth, ""
}

// rehearse tries the whole batch and returns the gas to ask for. A batch never
// fails for want of gas, it stops early: the limit that a node's search finds is of
// no use, and so is one that is too low. What it estimates is at least what all
// entries take after refunds, which are at most a fifth; from that follows a bound,
// and the dry run with it has to sweep every entry.
//
// A replacement of old takes no less gas than old, and entries may fail in it.
func (w writer) rehearse(ctx context.Context, b *batch, auths []delegation, data []byte, old *transaction) (uint64, error) {
	args := callArgs(b.sponsor.Address, checksummed(w.sweeper.Address()), new(uint256.Int), data)
	lent := w.lend(auths)
	cheapest, dearest := b.classes()
	gas, err := b.model(cheapest, len(auths))
	if err != nil {
		return 0, err
	}
	estimate, known, err := w.estimate(ctx, args, lent)
	switch {
	case err != nil:
		return 0, err
	case known:
		estimate += estimate/4 + uint64(len(auths))*authorisationGas + contracts.Cost{}.Limit(0, entryGas)
		// Whatever a node says, no entry uses more than it may.
		most := contracts.Cost{Base: 40_000, Entry: entryGas + 5_000}.Limit(len(b.moves), entryGas) + uint64(len(auths))*authorisationGas
		gas = max(gas, min(estimate, most))
	default:
		if gas, err = b.model(dearest, len(auths)); err != nil {
			return 0, err
		}
	}
	authorised := uint64(len(auths)) * authorisationGas
	for {
		if known && authorised < maxGas {
			// What the bound says too much of may fit all the same.
			gas = min(gas, maxGas)
		}
		if gas > maxGas {
			return 0, b.tooMany(gas)
		}
		args["gas"] = hexQuantity(gas - authorised)
		out, err := w.ethCall(ctx, args, lent...)
		if _, answered := refusal(err); answered && !reverted(err) && len(lent) > 0 {
			return replaceable(gas, w.tryEach(ctx, b, auths), old)
		}
		if err != nil {
			return 0, err
		}
		tried, err := b.outcome(out)
		switch {
		case err != nil || tried == len(b.moves):
			return replaceable(gas, err, old)
		case gas == maxGas:
			return 0, b.fitting(tried, authorised)
		}
		// Dearer than the model, and not what the node estimated: half as much again.
		gas = min(gas+gas/2, maxGas)
	}
}

// replaceable is the gas of a batch of which a dry run said err.
func replaceable(gas uint64, err error, old *transaction) (uint64, error) {
	var sources *chain.SourcesError
	if old != nil && errors.As(err, &sources) {
		return max(gas, old.Gas), nil
	}
	return gas, err
}

// lend is the change of state for which a try has the authorisations in force.
func (w writer) lend(auths []delegation) []any {
	if len(auths) == 0 {
		return nil
	}
	accounts := make(map[string]any, len(auths))
	for i := range auths {
		accounts[string(checksummed(auths[i].Authority))] = map[string]any{"code": hexBytes(w.sweeper.Delegation())}
	}
	return []any{accounts}
}

// estimate asks how much gas the batch takes beside its authorisations. known is
// false where the node does not take a changed state.
func (w writer) estimate(ctx context.Context, args map[string]any, lent []any) (gas uint64, known bool, err error) {
	n, err := w.number(ctx, "eth_estimateGas", append([]any{args, "latest"}, lent...)...)
	if err = asRevert(err); err != nil {
		if _, answered := refusal(err); answered && !reverted(err) && len(lent) > 0 {
			return 0, false, nil
		}
		return 0, false, err
	}
	if !n.IsUint64() || n.Uint64() > maxGas {
		// More than any transaction has: the caller finds that it does not fit.
		return maxGas, true, nil
	}
	return n.Uint64(), true, nil
}

// outcome reads what a dry run says of the entries.
func (b *batch) outcome(out []byte) (tried int, err error) {
	u, err := contracts.DecodeUnswept(contracts.OpSweep, out)
	if err != nil || u.Tried > len(b.moves) {
		return 0, &chain.RevertError{Reason: "the sweeper does not answer like a sweeper", Data: out}
	}
	if u.Tried < len(b.moves) || len(u.Failed) == 0 {
		return u.Tried, nil
	}
	bad := make([]*chain.SourceError, len(u.Failed))
	for i, e := range u.Failed {
		bad[i] = unsweepable(checksummed(e.Account))
	}
	return 0, &chain.SourcesError{Sources: bad}
}

// unsweepable is a source whose entry fails in a dry run.
func unsweepable(a chain.Address) *chain.SourceError {
	const why = "a dry run does not sweep it"
	return &chain.SourceError{Account: a, Reason: why, Err: &chain.RevertError{Reason: why}}
}

// tryEach tries the transfer of each account without code by itself, on nodes that
// cannot lend it the code.
func (w writer) tryEach(ctx context.Context, b *batch, auths []delegation) error {
	fresh := make(map[[addressLength]byte]bool, len(auths))
	for i := range auths {
		fresh[auths[i].Authority] = true
	}
	var bad []*chain.SourceError
	for i := range b.moves {
		m := &b.moves[i]
		if !fresh[m.from] || m.Asset.Native() {
			continue
		}
		err := w.tryTransfer(ctx, *m, m.Amount)
		if reverted(err) {
			bad = append(bad, &chain.SourceError{Account: m.From.Address, Reason: err.Error(), Err: err})
			continue
		}
		if err != nil {
			return err
		}
	}
	if len(bad) > 0 {
		return &chain.SourcesError{Sources: bad}
	}
	return nil
}
