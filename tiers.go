package bursar

import (
	"fmt"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Tier asks for more confirmations, or for fewer, from an amount on. The amount is
// all that lies in blocks for a payment, counted together, so that it cannot be
// split to stay below: a further transfer raises what the earlier ones wait for, as
// long as they are not confirmed. A deposit to a customer's own address counts by
// itself.
type Tier struct {
	// Asset is the asset that the tier is about.
	Asset chain.AssetID
	// From is the least amount, in base units.
	From chain.Amount
	// Confirmations is the depth that is asked for; the transfer's own block
	// counts. Zero: that of the tier below, or else Chain.Confirmations.
	Confirmations uint64
	// Final waits for the chain's finality too.
	Final bool
}

// Exposure caps what is confirmed of an asset and not final yet, all payments and
// deposits together: what a reorg deeper than the confirmations could cost. What
// does not fit waits until something is final, or is so itself.
type Exposure struct {
	// Asset is the asset, Max the cap in base units, above zero.
	Asset chain.AssetID
	Max   chain.Amount // Max is the cap in base units.
}

// demand is what a transfer must have to be confirmed.
type demand struct {
	depth uint64
	final bool
}

// demand is what is asked for an amount of an asset.
func (n *network) demand(asset chain.AssetID, total chain.Amount) demand {
	d := demand{depth: n.cfg.Confirmations}
	for _, t := range n.cfg.Tiers {
		if t.Asset == asset && !total.Less(t.From) {
			d = demand{fallback(t.Confirmations, d.depth), t.Final}
		}
	}
	return d
}

// fallback returns v, or other where v is zero.
func fallback(v, other uint64) uint64 {
	if v == 0 {
		return other
	}
	return v
}

// checkTiers makes sure that more money never waits for less.
func (c *Chain) checkTiers(path string) error {
	last := map[chain.AssetID]Tier{}
	for i, t := range c.Tiers {
		field := fmt.Sprintf("%s.Tiers[%d]", path, i)
		before, later := last[t.Asset]
		switch {
		case !c.lists(t.Asset):
			return fieldErr(field+".Asset", CodeUnknown, "%s is no asset of the chain", t.Asset)
		case t.From.IsZero():
			return fieldErr(field+".From", CodeRequired, "an amount above zero; Confirmations is for all below the first tier")
		case later && !before.From.Less(t.From):
			return fieldErr(field+".From", CodeOutOfRange, "%s is not above %s, the tier before", t.From, before.From)
		case t.Confirmations >= c.Client.Info().MaxReorg:
			return fieldErr(field+".Confirmations", CodeOutOfRange, "%d confirmations need a reorg window of more than %d blocks", t.Confirmations, c.Client.Info().MaxReorg)
		case t.Confirmations == 0 && !t.Final:
			return fieldErr(field+".Confirmations", CodeRequired, "a tier asks for a depth, or for finality")
		case later && t.Confirmations > 0 && t.Confirmations < before.Confirmations:
			return fieldErr(field+".Confirmations", CodeOutOfRange, "%d for more money than what waits for %d", t.Confirmations, before.Confirmations)
		case before.Final && !t.Final:
			return fieldErr(field+".Final", CodeInvalid, "less money waits for finality")
		}
		t.Confirmations = fallback(t.Confirmations, before.Confirmations)
		last[t.Asset] = t
	}
	return nil
}

func (c *Chain) checkExposure(path string) error {
	seen := map[chain.AssetID]bool{}
	for i, e := range c.Exposure {
		field := fmt.Sprintf("%s.Exposure[%d]", path, i)
		switch {
		case !c.lists(e.Asset):
			return fieldErr(field+".Asset", CodeUnknown, "%s is no asset of the chain", e.Asset)
		case seen[e.Asset]:
			return fieldErr(field+".Asset", CodeDuplicate, "%s stands twice", e.Asset)
		case e.Max.IsZero():
			return fieldErr(field+".Max", CodeRequired, "a cap above zero; a tier with Final lets nothing through before")
		}
		seen[e.Asset] = true
	}
	return nil
}

// lists reports whether an asset is configured.
func (c *Chain) lists(id chain.AssetID) bool {
	return slices.ContainsFunc(c.Assets, func(a chain.Asset) bool { return a.ID == id })
}

// blocksIn is how many blocks a chain usually makes in a time, rounded up.
func blocksIn(d, blockTime time.Duration) uint64 {
	if d <= 0 || blockTime <= 0 {
		return 0
	}
	return uint64((d + blockTime - 1) / blockTime)
}

// raise asks for what all the money in blocks for the payment must have. It never
// lowers what was asked for, and leaves what is confirmed alone.
func (s *step) raise() {
	if s.demand == nil {
		return
	}
	p, total := &s.out.payment, chain.Amount{}
	for _, t := range s.out.txs {
		if t.Asset == p.Asset.ID && t.Live() && !t.Suspense {
			total = sum(total, t.Amount)
		}
	}
	d := s.demand(p.Asset.ID, total)
	p.RequiredConfirmations = max(p.RequiredConfirmations, d.depth)
	p.Policy.Final = p.Policy.Final || d.final
	for i := range s.out.txs {
		if t := &s.out.txs[i]; t.Asset == p.Asset.ID && t.Status == TxConfirming {
			t.Required, t.ConfirmAt = p.RequiredConfirmations, t.Block+p.RequiredConfirmations-1
		}
	}
}

// gate lets transfers that are deep enough be confirmed, as far as tiers and caps
// allow it. It belongs to one commit.
type gate struct {
	desk *desk
	// final is the highest final height; known is false where nothing is.
	final uint64
	known bool
	// exposed is what is confirmed and not final, by asset; nil until it is needed.
	exposed map[chain.AssetID]chain.Amount
}

// admits reports whether a transfer that is deep enough may be confirmed now.
// What is refused is asked about again with each block.
func (g *gate) admits(row Transaction) (bool, error) {
	if g.known && row.Block <= g.final {
		return true, nil
	}
	f, err := g.desk.file(row.To)
	if err != nil || row.Suspense || ownRole(f.address.Role) {
		return err == nil, err
	}
	if g.desk.net.waitsForFinal(f, row) {
		return false, nil
	}
	most, capped := g.desk.net.exposure(row.Asset)
	if !capped {
		return true, nil
	}
	if err := g.look(); err != nil {
		return false, err
	}
	with := sum(g.exposed[row.Asset], row.Amount)
	if most.Less(with) {
		return false, nil
	}
	g.exposed[row.Asset] = with
	return true, nil
}

// waitsForFinal reports whether depth alone does not confirm a transfer.
func (n *network) waitsForFinal(f *file, row Transaction) bool {
	if f.payment && row.Asset == f.kase.payment.Asset.ID {
		return f.kase.payment.Policy.Final
	}
	return n.demand(row.Asset, row.Amount).final
}

// exposure is the cap of an asset, if it has one.
func (n *network) exposure(id chain.AssetID) (chain.Amount, bool) {
	for _, e := range n.cfg.Exposure {
		if e.Asset == id {
			return e.Max, true
		}
	}
	return chain.Amount{}, false
}

// look sums up what is confirmed and not final before this commit.
func (g *gate) look() error {
	if g.exposed != nil {
		return nil
	}
	d := g.desk
	rows, err := d.transactions(TransactionQuery{Chain: d.net.info.ID, FinalBy: d.state.Tip().Height})
	if err != nil {
		return err
	}
	g.exposed = map[chain.AssetID]chain.Amount{}
	for _, row := range rows {
		if f := d.files[row.To]; !row.Suspense && !ownRole(f.address.Role) && (!g.known || row.Block > g.final) {
			g.exposed[row.Asset] = sum(g.exposed[row.Asset], row.Amount)
		}
	}
	return nil
}

// ownRole reports whether what comes to an address is the owner's capital.
func ownRole(r Role) bool { return r == RoleSponsor || r == RoleFloat }
