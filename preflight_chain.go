package bursar

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// chainPreflight looks at one chain.
type chainPreflight struct {
	*preflight
	net *network
}

func (p *chainPreflight) ok(name, format string, args ...any) {
	p.add(p.net.info.ID, name, PreflightOK, format, args...)
}

func (p *chainPreflight) warn(name, format string, args ...any) {
	p.add(p.net.info.ID, name, PreflightWarning, format, args...)
}

func (p *chainPreflight) fail(name, format string, args ...any) {
	p.add(p.net.info.ID, name, PreflightFailure, format, args...)
}

func (p *chainPreflight) run() {
	if st, known := p.states[p.net.info.ID]; known {
		if err := p.net.learn(st); err != nil {
			p.fail("chain.assets", "%v", err)
		}
		if st.Halted != "" {
			p.warn("chain.halted", "nothing is credited: %s", st.Halted)
		}
	}
	p.confirmations()
	p.capabilities()
	p.ownTreasury()
	head, err := p.net.client.Head(p.ctx)
	if err != nil {
		p.fail("chain.reachable", "%v", err)
		return
	}
	p.ok("chain.reachable", "head at %d", head.Latest.Height)
	if !p.identity() {
		return // whatever else it says is about another chain
	}
	p.head(head)
	p.tokens()
	p.treasury()
	p.gas()
}

// identity compares the node's chain with the configured one, and its first
// block with the one that the store was begun with.
func (p *chainPreflight) identity() bool {
	id, ok := chain.As[chain.Identifier](p.net.client)
	if !ok {
		p.warn("chain.identity", "the client cannot ask which chain its node serves")
		return true
	}
	got, err := id.Identify(p.ctx)
	pinned := p.states[p.net.info.ID].Genesis
	switch {
	case err != nil:
		p.fail("chain.identity", "%v", err)
	case got.ID != p.net.info.ID:
		p.fail("chain.identity", "the node serves %s", got.ID)
	case pinned != "" && got.Genesis != "" && pinned != got.Genesis:
		p.fail("chain.identity", "the node's first block is %s, the store was begun with %s", got.Genesis, pinned)
	default:
		p.ok("chain.identity", "first block %s", got.Genesis)
		return true
	}
	return false
}

// head: a node that stands still says nothing wrong, and sees no payment.
func (p *chainPreflight) head(head chain.Head) {
	if head.Finalized == nil {
		p.warn("chain.finality", "the node names no final block: final is what is %d deep", max(p.net.info.FinalityDepth, p.net.cfg.Confirmations))
	} else {
		p.ok("chain.finality", "final up to %d, %d behind the head", head.Finalized.Height, head.Latest.Height-min(head.Finalized.Height, head.Latest.Height))
	}
	if p.net.info.OnDemandBlocks {
		p.ok("chain.head", "blocks come on demand: their age says nothing")
		return
	}
	patience := max(20*p.net.info.BlockTime, 2*time.Minute)
	now := p.now
	if now.IsZero() {
		now = time.Now()
	}
	switch age := now.Sub(head.Latest.Time).Round(time.Second); {
	case age > patience:
		p.fail("chain.head", "%s old: the node is behind, or a clock ahead; blocks come every %s", age, p.net.info.BlockTime)
	case age < -skewFailure:
		p.fail("chain.head", "%s in the future: the store's clock is behind", -age)
	default:
		p.ok("chain.head", "%s old", age)
	}
}

func (p *chainPreflight) confirmations() {
	have, usual := p.net.cfg.Confirmations, p.net.info.Confirmations
	if have < usual {
		p.warn("chain.confirmations", "%d, the usual are %d: money may be confirmed that a reorg takes back", have, usual)
		return
	}
	p.ok("chain.confirmations", "%d, the usual are %d", have, usual)
}

// capabilities: what the client cannot do, the gateway does without.
func (p *chainPreflight) capabilities() {
	_, balances := chain.As[chain.BalanceReader](p.net.client)
	_, traces := chain.As[chain.Tracer](p.net.client)
	_, inspects := chain.As[chain.TokenInspector](p.net.client)
	_, tries := chain.As[chain.DryRunner](p.net.client)
	_, bumps := chain.As[chain.FeeBumper](p.net.client)
	var missing []string
	for _, c := range []struct {
		there   bool
		without string
	}{
		{balances, "balances: the ledger is not compared with the chain, and coin that contracts send is not found"},
		{traces || !balances, "traces: coin that contracts send is found by balances alone, without its transaction"},
		{inspects, "tokens: their decimals are believed"},
		{tries, "dry runs: the treasury is not tried"},
		{bumps, "replacements: a stuck sweep stays stuck"},
	} {
		if !c.there {
			missing = append(missing, c.without)
		}
	}
	if len(missing) > 0 {
		p.warn("chain.capabilities", "the client cannot do %s", strings.Join(missing, "; "))
	} else {
		p.ok("chain.capabilities", "all that are made use of")
	}
	for _, a := range p.net.known().list {
		if a.VerifyBalance && !balances {
			p.fail("chain.token", "%s is to be verified by balances, which the client cannot tell: nothing of it is credited", a.Symbol)
		}
		if a.CodeHash != "" && !inspects {
			p.fail("chain.token", "the code of %s is pinned, and the client cannot tell it: nothing of it is credited", a.Symbol)
		}
	}
}

// tokens asks each contract.
func (p *chainPreflight) tokens() {
	inspector, ok := chain.As[chain.TokenInspector](p.net.client)
	if !ok {
		return
	}
	for _, a := range p.net.known().list {
		if err := inspectToken(p.ctx, inspector, a.Symbol, a); err != nil {
			p.fail("chain.token", "%v", err)
			continue
		}
		got, err := inspector.Inspect(p.ctx, a)
		switch {
		case err != nil:
			p.fail("chain.token", "%s: %v", a.Symbol, err)
		case a.CodeHash != "" && a.CodeHash != got.CodeHash:
			p.fail("chain.token", "the code of %s is %s, pinned is %s: nothing of it is credited", a.Symbol, got.CodeHash, a.CodeHash)
		case a.CodeHash != "":
			p.ok("chain.token", "%s has %d decimals, its code is pinned", a.Symbol, a.Decimals)
		default:
			p.ok("chain.token", "%s has %d decimals, its code is not pinned: %s", a.Symbol, a.Decimals, got.CodeHash)
		}
	}
}

// ownTreasury: money swept to an address of ours comes back as a deposit. That
// it is well-formed was checked by New.
func (p *chainPreflight) ownTreasury() {
	to := p.net.cfg.Treasury
	switch _, ours := p.net.book.own(to); {
	case to == "":
		p.warn("treasury.set", "none: money stays where it arrives")
	case ours:
		p.fail("treasury.set", "%s is an address of the gateway's own wallet", to)
	case p.net.cfg.Sweep == SweepOff:
		p.warn("treasury.set", "%s, and sweeping is off", to)
	case p.gw.cfg.Signer == nil && p.gw.cfg.Wallet.WatchOnly():
		p.warn("treasury.set", "%s, and nobody signs: the wallet only watches", to)
	default:
		p.ok("treasury.set", "%s", to)
	}
}

// treasury tells what is at the address, and tries whether it takes the coin.
func (p *chainPreflight) treasury() {
	to := p.net.cfg.Treasury
	if to == "" {
		return
	}
	if inspector, ok := chain.As[chain.TokenInspector](p.net.client); ok {
		ref := chain.Asset{Contract: to, Symbol: "treasury"}
		ref.ID, _ = chain.MakeAssetID(p.net.info.ID, "erc20", string(to)) // a label: an address that makes none is asked for all the same
		switch got, err := inspector.Inspect(p.ctx, ref); {
		case err == nil:
			p.fail("treasury.account", "a token's contract (%q)", got.Symbol)
			return
		case errors.Is(err, chain.ErrNotFound):
			p.ok("treasury.account", "no contract")
		case errors.Is(err, chain.ErrUnsupported):
			p.ok("treasury.account", "a contract")
		default:
			p.warn("treasury.account", "%v", err)
		}
	}
	try, ok := chain.As[chain.DryRunner](p.net.client)
	if !ok {
		return
	}
	var reverted *chain.RevertError
	switch err := try.DryRun(p.ctx, p.coin(to)); {
	case errors.As(err, &reverted):
		p.fail("treasury.takes", "it refuses the native coin: %v", err)
	case err != nil && !insufficient(err):
		p.warn("treasury.takes", "%v", err)
	case err == nil:
		p.ok("treasury.takes", "it takes the native coin")
	}
}

// coin is the smallest payment from the sponsor, to be priced and tried, never
// to be signed.
func (p *chainPreflight) coin(to chain.Address) chain.Intent {
	sponsor, err := p.net.book.sponsor()
	if err != nil {
		return chain.Intent{}
	}
	return chain.Intent{
		Purpose: chain.PurposeTopUp,
		Moves:   []chain.Move{{From: sponsor.account(), To: to, Asset: p.net.native(), Amount: chain.NewAmount(1)}},
	}
}

func insufficient(err error) bool {
	var short *chain.InsufficientFundsError
	return errors.As(err, &short)
}

// gasOfSweep is what a token's sweep costs in plain payments of the coin: the
// top-up is one, and a token's transfer takes up to three times as much gas.
const gasOfSweep = 4

// gas compares the sponsor's balance with what sweeps cost today.
func (p *chainPreflight) gas() {
	if p.net.cfg.Treasury == "" || p.net.cfg.Sweep == SweepOff || len(p.net.known().list) == 0 {
		p.ok("sponsor.gas", "not needed: no token is swept")
		return
	}
	sponsor, err := p.net.book.sponsor()
	if err != nil {
		p.fail("sponsor.gas", "%v", err)
		return
	}
	fee, have, err := p.price(p.ctx, sponsor)
	if err != nil {
		p.warn("sponsor.gas", "cannot be told: %v", err)
		return
	}
	one, err := fee.Mul(gasOfSweep)
	if err != nil {
		p.warn("sponsor.gas", "cannot be told: %v", err)
		return
	}
	coin := p.net.native()
	text := fmt.Sprintf("%s has %s %s, a token's sweep costs about %s", sponsor.address, coin.Format(have), coin.Symbol, coin.Format(one))
	many, err := one.Mul(preflightSweeps)
	switch {
	case have.Less(one):
		p.fail("sponsor.gas", "%s: tokens arrive and stay", text)
	case err != nil || have.Less(many):
		p.warn("sponsor.gas", "%s: not enough for %d", text, preflightSweeps)
	default:
		p.ok("sponsor.gas", "%s", text)
	}
}

// price returns the fee of a plain payment by the sponsor now, and its balance.
func (p *chainPreflight) price(ctx context.Context, sponsor issued) (fee, have chain.Amount, err error) {
	if balances, ok := chain.As[chain.BalanceReader](p.net.client); ok {
		amounts, err := balances.Balances(ctx, "", []chain.Holding{{Address: sponsor.address, Asset: p.net.native()}})
		switch {
		case err != nil:
			return fee, have, err
		case len(amounts) != 1:
			return fee, have, fmt.Errorf("%w: %d balances for one question", chain.ErrTransient, len(amounts))
		}
		have = amounts[0]
	}
	draft, err := p.net.client.Prepare(ctx, p.coin(p.net.cfg.Treasury))
	var short *chain.InsufficientFundsError
	switch {
	case errors.As(err, &short):
		return short.Required, short.Available, nil
	case err != nil:
		return fee, have, err
	case len(draft.Needs) > 0:
		return draft.Fee, chain.Amount{}, nil
	}
	return draft.Fee, have, nil
}
