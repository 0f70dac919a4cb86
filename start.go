package bursar

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// setup is the proof of health at start.
func (g *Gateway) setup(ctx context.Context) error {
	var pools []Pool
	states := map[chain.ID]ChainState{}
	err := g.store.Read(ctx, func(r Reader) (err error) {
		if pools, err = r.Pools(ctx); err != nil {
			return err
		}
		for _, net := range g.order {
			if states[net.info.ID], err = r.Chain(ctx, net.info.ID); err != nil {
				return err
			}
		}
		if err := g.checkWallets(ctx, r, pools); err != nil {
			return err
		}
		if err := g.checkEndpoints(ctx, r); err != nil {
			return err
		}
		for _, b := range g.books {
			if err := b.load(ctx, r, pools); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("bursar: start: %w", err)
	}
	if _, err := g.derive(ctx, pools); err != nil {
		return fmt.Errorf("bursar: start: %w", err)
	}
	for i, net := range g.order {
		if _, ours := net.book.own(net.cfg.Treasury); ours && net.cfg.Treasury != "" {
			return fieldErr(fmt.Sprintf("Config.Chains[%d].Treasury", i), CodeInvalid, "%s is an address of the gateway's own wallet", net.cfg.Treasury)
		}
		if err := net.learn(states[net.info.ID]); err != nil {
			return fmt.Errorf("bursar: start: %w", err)
		}
		net.set(func(n *network) { n.ready = !states[net.info.ID].StartedAt.IsZero() })
		if err := g.verify(ctx, i, net); err != nil {
			if isWrong(err) || ctx.Err() != nil {
				return err
			}
			g.log.WarnContext(ctx, "chain starts degraded", "chain", string(net.info.ID), "err", err)
		}
	}
	// Only now, because they write: whatever is wrong was found before.
	if err := g.writes.start(ctx); err != nil {
		return fmt.Errorf("bursar: start: %w", err)
	}
	if err := g.secure(ctx); err != nil {
		return fmt.Errorf("bursar: start: %w", err)
	}
	if err := g.firstSteps(ctx); err != nil {
		return fmt.Errorf("bursar: start: %w", err)
	}
	g.warnVolatile(ctx)
	g.setState(stateRunning)
	return nil
}

// firstSteps sets the cursors of fresh chains, unless too many addresses must be
// derived before that.
func (g *Gateway) firstSteps(ctx context.Context) error {
	for _, net := range g.order {
		if !net.isVerified() || net.isReady() {
			continue
		}
		var pools []Pool
		err := g.store.Read(ctx, func(r Reader) (err error) {
			pools, err = r.Pools(ctx)
			return err
		})
		if err != nil {
			return err
		}
		whole, err := g.derive(ctx, pools)
		switch {
		case err != nil:
			return err
		case whole:
			g.firstStep(ctx, net)
		default:
			g.log.WarnContext(ctx, "no cursor yet: addresses are being derived", "chain", string(net.info.ID))
		}
	}
	return nil
}

// derive derives addresses of the books, as many as a start has time for; whole
// reports whether that was all.
func (g *Gateway) derive(ctx context.Context, pools []Pool) (whole bool, err error) {
	whole = true
	for _, b := range g.books {
		all, err := b.syncSome(ctx, pools, startDerive)
		if err != nil {
			return false, err
		}
		whole = whole && all
	}
	return whole, nil
}

// startDerive is how many addresses Start derives, a few seconds' worth. The
// scanning lanes derive the others before their first page, so that nothing is
// missed: each time that indexes were left out makes for a million or two more,
// and a host that waits for its health check should not wait for those.
const startDerive = 1 << 17

// firstStep sets the cursor of a fresh chain, so that payments can be made the
// moment Start returns. Where it fails, the chain's lane goes on trying.
func (g *Gateway) firstStep(ctx context.Context, net *network) {
	if _, err := net.scanner.Step(ctx); err != nil {
		if errors.Is(err, ErrLeaseHeld) {
			err = g.stand(ctx, net) // another instance sets it just now
		}
		net.set(func(n *network) { n.problem = err })
		g.breaks(ctx, net, err)
		if err == nil {
			return
		}
		g.log.WarnContext(ctx, "no cursor yet", "chain", string(net.info.ID), "err", err)
	}
}

// checkWallets compares the store with the wallets: addresses of an unknown
// wallet, or another address at a known path, mean a wrong mnemonic, passphrase
// or database.
func (g *Gateway) checkWallets(ctx context.Context, r Reader, pools []Pool) error {
	for _, p := range pools {
		coin, _, _ := strings.Cut(p.Name, "/")
		for _, b := range g.books {
			if coin != fmt.Sprint(b.coinType) {
				continue
			}
			account := b.find(p.Name)
			if account < 0 {
				return fieldErr("Config.Wallet", CodeMismatch, "the store has addresses of wallet pool %s, which is neither active nor retired here", p.Name)
			}
			rows, err := r.Addresses(ctx, AddressQuery{Pool: p.Name, Limit: 1})
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				continue
			}
			made, err := b.derive(account, changeDeposit, rows[0].Index, rows[0].Index+1)
			if err != nil {
				return err
			}
			if it, err := b.describe(made[0]); err != nil || it.address != rows[0].Address {
				return fieldErr("Config.Wallet", CodeMismatch, "index %d of pool %s is %s here and %s in the store", rows[0].Index, p.Name, it.address, rows[0].Address)
			}
		}
	}
	return nil
}

// find returns the account of a pool, or -1.
func (b *book) find(pool string) int {
	for i, a := range b.accounts {
		if poolName(a) == pool {
			return i
		}
	}
	return -1
}

// isWrong reports whether a node was reached and answered something that cannot
// be right, as opposed to not being reached; or whether it is the store that
// fails, without which nothing works.
func isWrong(err error) bool {
	var field *FieldError
	var dead *deadStoreError
	return errors.As(err, &field) || errors.As(err, &dead)
}

// deadStoreError tells a failure of the store from one of a node.
type deadStoreError struct{ err error }

func (e *deadStoreError) Error() string { return "bursar: start: store: " + e.err.Error() }

func (e *deadStoreError) Unwrap() error { return e.err }

// verify asks a chain's node whether it is what the configuration says. It is
// repeated until it succeeds once; a *FieldError names what is wrong.
func (g *Gateway) verify(ctx context.Context, i int, net *network) error {
	err := g.interrogate(ctx, fmt.Sprintf("Config.Chains[%d]", i), net)
	if err == nil {
		err = g.greet(ctx, net)
	}
	net.set(func(n *network) { n.verified, n.problem = err == nil, err })
	return err
}

func (g *Gateway) interrogate(ctx context.Context, path string, net *network) error {
	if id, ok := chain.As[chain.Identifier](net.client); ok {
		got, err := id.Identify(ctx)
		switch {
		case errors.Is(err, chain.ErrWrongChain):
			return &FieldError{Field: path + ".Client", Code: CodeMismatch, Reason: "the node serves another chain", Err: err}
		case err != nil:
			return err
		}
		if got.ID != net.info.ID {
			return fieldErr(path+".Client", CodeMismatch, "the node serves %s, configured is %s", got.ID, net.info.ID)
		}
		if err := g.pinGenesis(ctx, path, net, got.Genesis); err != nil {
			return err
		}
	}
	tokens, ok := chain.As[chain.TokenInspector](net.client)
	if !ok {
		return nil
	}
	for _, a := range net.known().list {
		if err := inspectToken(ctx, tokens, fmt.Sprintf("%s.Assets[%s]", path, a.Symbol), a); err != nil {
			return err
		}
	}
	return nil
}

// pinGenesis remembers the first block of the chain that the store was begun
// with, and refuses another one.
func (g *Gateway) pinGenesis(ctx context.Context, path string, net *network, genesis chain.BlockHash) error {
	if genesis == "" {
		return nil
	}
	err := g.store.Write(ctx, func(tx Tx) error {
		st, err := tx.Chain(ctx, net.info.ID)
		if err != nil || st.Genesis == genesis {
			return err
		}
		if st.Genesis != "" {
			return fieldErr(path+".Client", CodeMismatch, "the node's first block is %s, the store was begun with %s", genesis, st.Genesis)
		}
		st.Chain, st.Genesis, st.UpdatedAt = net.info.ID, genesis, tx.Now()
		return tx.Apply(ctx, Batch{Chains: []ChainState{st}})
	})
	var field *FieldError
	if err == nil || errors.As(err, &field) {
		return err
	}
	return &deadStoreError{err}
}
