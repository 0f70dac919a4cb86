package bursar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// MaxAddedAssets is how many assets of a chain can be decided about at run time:
// they are kept in one row, which is written with every block.
const MaxAddedAssets = 1000

// AcceptedAsset is an asset that the gateway watches, as Assets lists it.
type AcceptedAsset struct {
	chain.Asset
	// Alias is the short name, "ethereum/USDC"; empty where the configuration
	// uses it for another asset, so that only the id is left.
	Alias string
	// Added: by AddAsset, not by the configuration.
	Added bool
	// Disabled: no new payment is made in it.
	Disabled bool
	// Since is the scanned height at which it was added; 0 where it is
	// configured.
	Since uint64
}

// tokenSet is what a network knows of assets at one time. It is immutable: who
// works on a page keeps the set that it began with.
type tokenSet struct {
	version int64 // of the ChainState it is from
	rows    []AssetState
	all     map[chain.AssetID]chain.Asset
	aliases map[string]chain.AssetID
	list    []chain.Asset   // tokens, as the scanner watches them
	order   []chain.AssetID // of all
	state   map[chain.AssetID]AssetState
}

// newTokenSet joins the configuration with what was decided at run time. Where
// both know an asset the configuration counts.
func newTokenSet(info chain.Info, configured []chain.Asset, st ChainState) (*tokenSet, error) {
	s := &tokenSet{
		version: st.Version, rows: slices.Clone(st.Assets), all: map[chain.AssetID]chain.Asset{},
		aliases: map[string]chain.AssetID{}, state: map[chain.AssetID]AssetState{},
	}
	for _, a := range configured {
		s.add(info, a)
	}
	for _, row := range st.Assets {
		a := row.Asset
		// A row that was tampered with could pass one token's money for another's.
		if a.Chain() != info.ID || !a.Native() && a.ID.Reference() != string(a.Contract) || a.Decimals > chain.MaxDecimals {
			return nil, fmt.Errorf("%w: the store has %s at %s among the assets of %s", ErrInvariant, a.ID, a.Contract, info.ID)
		}
		_, known := s.all[a.ID]
		row.Added = row.Added && !known
		if row.Added {
			s.add(info, a)
		}
		s.state[a.ID] = row
	}
	return s, nil
}

func (s *tokenSet) add(info chain.Info, a chain.Asset) {
	s.all[a.ID] = a
	s.order = append(s.order, a.ID)
	if !a.Native() {
		s.list = append(s.list, a)
	}
	if alias := info.Name + "/" + a.Symbol; s.aliases[alias] == "" {
		s.aliases[alias] = a.ID
	}
}

// find looks an asset up by id or alias.
func (s *tokenSet) find(name string) (chain.Asset, bool) {
	if id, ok := s.aliases[name]; ok {
		return s.all[id], true
	}
	a, ok := s.all[chain.AssetID(name)]
	return a, ok
}

// learn takes over what the store says of the chain's assets, unless something
// newer is known.
func (n *network) learn(st ChainState) error {
	for {
		old := n.tokens.Load()
		if old.version >= st.Version {
			return nil
		}
		set := *old
		set.version = st.Version
		if !slices.Equal(old.rows, st.Assets) {
			made, err := newTokenSet(n.info, n.cfg.Assets, st)
			if err != nil {
				return err
			}
			set = *made
		}
		if n.tokens.CompareAndSwap(old, &set) {
			return nil
		}
	}
}

// known is what is known of assets just now.
func (n *network) known() *tokenSet { return n.tokens.Load() }

// disabled reports whether no new payment may be made in an asset.
func (n *network) disabled(id chain.AssetID) bool { return n.known().state[id].Disabled }

// findAsset looks an asset up by id or alias, on any chain.
func (g *Gateway) findAsset(name string) (*network, chain.Asset, bool) {
	for _, net := range g.order {
		if a, ok := net.known().find(name); ok {
			return net, a, true
		}
	}
	return nil, chain.Asset{}, false
}

// meet reads the assets again where one is not known: another instance may have
// added it a moment ago.
func (g *Gateway) meet(ctx context.Context, name string) error {
	if _, _, known := g.findAsset(name); known || name == "" {
		return nil
	}
	return g.learnAll(ctx)
}

// learnAll reads the assets of all chains.
func (g *Gateway) learnAll(ctx context.Context) error {
	var states []ChainState
	err := g.store.Read(ctx, func(r Reader) error {
		states = states[:0]
		for _, net := range g.order {
			st, err := r.Chain(ctx, net.info.ID)
			if err != nil {
				return err
			}
			states = append(states, st)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, net := range g.order {
		if err := net.learn(states[i]); err != nil {
			return err
		}
	}
	return nil
}

// Assets returns what the gateway watches, chains and assets in the order of the
// configuration, then those that were added, in the order they were.
func (g *Gateway) Assets() (out []AcceptedAsset) {
	if g == nil {
		return nil
	}
	for _, net := range g.order {
		known := net.known()
		for _, id := range known.order {
			a, row := known.all[id], known.state[id]
			alias := net.info.Name + "/" + a.Symbol
			if known.aliases[alias] != id {
				alias = ""
			}
			item := AcceptedAsset{Asset: a, Alias: alias, Added: row.Added, Disabled: row.Disabled}
			if row.Added {
				item.Since = row.Since
			}
			out = append(out, item)
		}
	}
	return out
}

// AddAsset accepts a token from the next page of blocks on, without a restart.
// chainName is the chain's id or its short name. The token is checked as those
// of the configuration are at start, its contract on the chain included, and
// kept in the store: a restart knows it, other instances watch it before they
// work on the next page, and take payments in it at once.
//
// Adding it again with the same facts changes nothing, and does not enable it
// where it was disabled. What the configuration lists, and what was added with
// other facts, cannot be changed by it.
//
// Errors: *FieldError, with CodeMismatch where the contract or what is known
// says otherwise; those of the node, where it cannot be asked; then nothing was
// added. A token that the configuration later lists counts as it says there.
func (g *Gateway) AddAsset(ctx context.Context, chainName string, a chain.Asset) error {
	if err := g.running(); err != nil {
		return err
	}
	net, err := g.findChain("AddAsset.Chain", chainName)
	if err != nil {
		return err
	}
	if err := g.learnAll(ctx); err != nil {
		return err
	}
	const path = "AddAsset.Asset"
	if old, known := net.known().all[a.ID]; known {
		return sameAsset(path, old, a)
	}
	if err := net.checkNew(path, a); err != nil {
		return err
	}
	if tokens, ok := chain.As[chain.TokenInspector](net.client); ok {
		if err := inspectToken(ctx, tokens, path, a); err != nil {
			return err
		}
	}
	return g.changeAssets(ctx, net, path, func(st *ChainState) error {
		for i := range st.Assets {
			row := &st.Assets[i]
			switch {
			case row.Asset.ID == a.ID && row.Added:
				return sameAsset(path, row.Asset, a)
			case row.Asset.ID == a.ID: // disabled when the configuration had it
				row.Asset, row.Added, row.Since = a, true, st.Tip().Height
				return nil
			case row.Added && row.Asset.Symbol == a.Symbol:
				return fieldErr(path+".Symbol", CodeDuplicate, "%s is the symbol of %s", a.Symbol, row.Asset.ID)
			}
		}
		st.Assets = append(st.Assets, AssetState{Asset: a, Added: true, Since: st.Tip().Height})
		return nil
	})
}

// findChain finds a chain by id or name.
func (g *Gateway) findChain(field, name string) (*network, error) {
	for _, net := range g.order {
		if string(net.info.ID) == name || net.info.Name == name {
			return net, nil
		}
	}
	return nil, fieldErr(field, CodeUnknown, "chain %q is not configured", name)
}

// sameAsset is nil where two descriptions of an asset are equal.
func sameAsset(path string, old, a chain.Asset) error {
	if old == a {
		return nil
	}
	return fieldErr(path, CodeMismatch, "%s is known with other facts; what is known stays", a.ID)
}

// checkNew validates an asset as if it stood at the end of the configuration.
func (n *network) checkNew(path string, a chain.Asset) error {
	if a.Native() {
		return fieldErr(path+".Contract", CodeRequired, "a token has one; the chain's own coin is there already")
	}
	c := n.cfg
	known := n.known()
	c.Assets = make([]chain.Asset, 0, len(known.order)+1)
	for _, id := range known.order {
		c.Assets = append(c.Assets, known.all[id])
	}
	last := fmt.Sprintf("[%d]", len(c.Assets))
	c.Assets = append(c.Assets, a)
	if err := c.checkAssets(""); err != nil {
		var bad *FieldError
		if errors.As(err, &bad) {
			rest := strings.TrimPrefix(bad.Field, ".Assets"+last)
			return &FieldError{Field: path + rest, Code: bad.Code, Reason: bad.Reason, Err: bad.Err}
		}
		return err
	}
	if a.Contract == n.cfg.Treasury {
		return fieldErr(path+".Contract", CodeInvalid, "%s is the treasury", a.Contract)
	}
	if _, ours := n.book.own(a.Contract); ours {
		return fieldErr(path+".Contract", CodeInvalid, "%s is an address of the gateway's own wallet", a.Contract)
	}
	return nil
}

// DisableAsset takes no new payments in an asset, of the configuration or added;
// the name is its id or alias. Payments that exist go on: their money is
// watched, credited and swept as before, and so is whatever else comes to an
// issued address. Repeating it is no error. It outlasts restarts. Other
// instances follow within a page, or a third of Config.Lease where they do not
// scan the chain.
//
// A *FieldError with CodeUnknown tells that there is no such asset.
func (g *Gateway) DisableAsset(ctx context.Context, asset string) error {
	return g.setDisabled(ctx, "DisableAsset.Asset", asset, true)
}

// EnableAsset takes payments in an asset again, see DisableAsset.
func (g *Gateway) EnableAsset(ctx context.Context, asset string) error {
	return g.setDisabled(ctx, "EnableAsset.Asset", asset, false)
}

func (g *Gateway) setDisabled(ctx context.Context, field, name string, disabled bool) error {
	if err := g.running(); err != nil {
		return err
	}
	if err := g.learnAll(ctx); err != nil {
		return err
	}
	net, a, known := g.findAsset(name)
	if !known {
		return fieldErr(field, CodeUnknown, "%q is not known", name)
	}
	return g.changeAssets(ctx, net, field, func(st *ChainState) error {
		for i := range st.Assets {
			if st.Assets[i].Asset.ID == a.ID {
				st.Assets[i].Disabled = disabled
				return nil
			}
		}
		if disabled {
			st.Assets = append(st.Assets, AssetState{Asset: a, Disabled: true})
		}
		return nil
	})
}

// changeAssets changes the rows of a chain's assets. The scanner writes the same
// row; the loser of a race begins again, here in Write and there with the page.
// UpdatedAt stays: it tells when the cursor moved.
func (g *Gateway) changeAssets(ctx context.Context, net *network, field string, change func(*ChainState) error) error {
	var after ChainState
	err := g.store.Write(ctx, func(tx Tx) error {
		st, err := tx.Chain(ctx, net.info.ID)
		if err != nil {
			return err
		}
		before := slices.Clone(st.Assets)
		st.Chain = net.info.ID
		if err := change(&st); err != nil {
			return err
		}
		after = st
		if slices.Equal(before, st.Assets) {
			return nil
		}
		if len(st.Assets) > MaxAddedAssets {
			return fieldErr(field, CodeOutOfRange, "at most %d assets of a chain can be decided about at run time", MaxAddedAssets)
		}
		after.Version++
		return tx.Apply(ctx, Batch{Chains: []ChainState{st}})
	})
	if err != nil {
		return err
	}
	return net.learn(after)
}

// inspectToken compares a token with what its contract says.
func inspectToken(ctx context.Context, tokens chain.TokenInspector, field string, a chain.Asset) error {
	got, err := tokens.Inspect(ctx, a)
	switch {
	case errors.Is(err, chain.ErrNotFound):
		return &FieldError{Field: field + ".Contract", Code: CodeUnknown, Reason: "no contract at " + string(a.Contract), Err: err}
	case errors.Is(err, chain.ErrUnsupported):
		return &FieldError{Field: field + ".Contract", Code: CodeInvalid, Reason: "no token at " + string(a.Contract), Err: err}
	case err != nil:
		return err
	case got.Decimals != a.Decimals:
		return fieldErr(field+".Decimals", CodeMismatch, "the contract says %d, configured are %d", got.Decimals, a.Decimals)
	}
	return nil
}
