package bursar

import (
	"cmp"
	"context"
	"math/big"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Health is how a gateway is.
type Health struct {
	// Running is true between Start and Stop.
	Running bool
	// Ready is true when payments can be made and are credited on every chain.
	// It comes back by itself when what is wrong is over.
	Ready bool
	// Chains are the networks, in the order of the configuration.
	Chains []ChainHealth
	// Err is set where the store could not be read: what it would tell of the
	// chains is missing then.
	Err error
	// Unwritable is set while the store takes no writes: its disk is full, its
	// server is read-only, a right is missing. It goes by itself, within about 5 s
	// of the store's recovery. Nil while all is well.
	Unwritable *UnwritableError
}

// ChainHealth is how one chain is.
type ChainHealth struct {
	// ID and Name are the chain's.
	ID   ChainID
	Name string // Name is the chain's short name.
	// Verified: the node proved to serve the configured chain and tokens.
	// Ready: the cursor is set and addresses are issued: payments can be made.
	Verified, Ready bool
	// Halted is why nothing is credited; empty while all is well.
	Halted string
	// IssuanceHalted is why no new addresses are issued on the chain, one of the
	// Skip constants; empty while all is well. See ErrIssuanceHalted.
	IssuanceHalted string
	// Broken: one of the gateway's own rules did not hold, and this instance
	// works on the chain no more; Problem says which. It needs a mended program.
	Broken bool
	// Tip is the newest scanned block, Head the newest the node told of, Lag
	// their distance, Final the highest final height.
	Tip, Head chain.BlockRef
	Lag       uint64 // Lag is how many blocks Tip is behind Head.
	// Rate is how many blocks a minute this instance has scanned within the last
	// minute, Left how long it needs at that rate until Lag is nothing. Both are zero
	// where another instance does the work, or where it cannot be told.
	Rate  uint64
	Left  time.Duration // Left is the time until Lag is nothing.
	Final uint64        // Final is the highest final height.
	// Unprobed is why the balances of open addresses could not be compared at the
	// last page; nil while all is well, or while another instance does the work.
	// Coin that contracts send is not found meanwhile. Payments in the native coin
	// get no verdict at their deadline, unless it is chain.ErrUnsupported.
	Unprobed error
	// Providers are the nodes behind the chain's client, where it stands for several
	// and can tell of them (chain.Reporter), as this instance sees them.
	Providers []chain.ProviderReport
	// Conditions are what is wrong with the nodes now, as this instance sees it: see
	// the chain.Condition constants.
	Conditions []chain.Condition
	// UpdatedAt is when the cursor was last written, by whichever instance.
	UpdatedAt time.Time
	// Problem is the last error of this instance's work on the chain; nil while
	// all is well, or while another instance does the work. Secrets in URLs do
	// not show in it.
	Problem error
}

// Health reports how the gateway is. It works before Start and after Stop too.
//
// While the gateway runs, a call may write a little to the store, to prove that
// it can: at most once a minute while all is well, and about every 5 s while
// writes fail, however often and from however many goroutines it is called.
func (g *Gateway) Health(ctx context.Context) Health {
	h := Health{Running: g.running() == nil}
	if g == nil || g.group == nil {
		return h
	}
	states := map[ChainID]ChainState{}
	h.Err = g.store.Read(ctx, func(r Reader) error {
		for _, net := range g.order {
			st, err := r.Chain(ctx, net.info.ID)
			if err != nil {
				return err
			}
			states[net.info.ID] = st
		}
		return nil
	})
	if h.Running && h.Err == nil {
		h.Unwritable = g.writes.look(ctx)
	} else {
		h.Unwritable = g.writes.last()
	}
	h.Ready = h.Running && h.Err == nil && h.Unwritable == nil
	for _, net := range g.order {
		c := net.health(states[net.info.ID])
		c.Providers, c.Conditions = net.conditions()
		c.Conditions = slices.DeleteFunc(c.Conditions, func(c chain.Condition) bool { return !c.Active })
		h.Chains = append(h.Chains, c)
		h.Ready = h.Ready && c.Verified && c.Ready && !c.Broken && c.Halted == ""
	}
	return h
}

func (n *network) health(st ChainState) ChainHealth {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := ChainHealth{
		ID: n.info.ID, Name: n.info.Name, Verified: n.verified, Ready: n.ready, Halted: st.Halted, Broken: n.broken != nil,
		Tip: st.Tip(), Head: st.Head, Final: st.Final, UpdatedAt: st.UpdatedAt, Unprobed: n.unprobed, Problem: n.problem,
	}
	if c.Head.Height > c.Tip.Height {
		c.Lag = c.Head.Height - c.Tip.Height
	}
	if p := n.scanner.Progress(); n.fence.Name != "" {
		c.Rate, c.Left = p.Rate, p.Left
	}
	if t := n.book.troubled(); t != nil {
		c.Ready, c.IssuanceHalted = false, t.reason
	}
	return c
}

// AddressBalance is what the ledger has of one asset at one address of ours, in
// base units.
type AddressBalance struct {
	// Asset is the journal.
	Asset chain.AssetID
	// Unconfirmed is included and not deep enough, Confirmed is, and Final is
	// the part of Confirmed whose blocks are final. A sweep on its way makes
	// Unconfirmed negative; Unconfirmed + Confirmed is the balance on the chain.
	Unconfirmed, Confirmed, Final *big.Int
}

// Balances returns what the ledger has at an address of ours, by asset. The sum
// of Unconfirmed and Confirmed equals the chain's balance at the newest scanned
// block. The address may have any form that Address reads; ErrNotFound where it
// is not ours.
func (g *Gateway) Balances(ctx context.Context, address chain.Address) ([]AddressBalance, error) {
	row, err := g.Address(ctx, string(address))
	if err != nil {
		return nil, err
	}
	of := map[chain.AssetID]*AddressBalance{}
	err = g.read(ctx, func(r Reader) error {
		clear(of)
		sums, err := r.Balances(ctx, BalanceQuery{Accounts: []Account{accountU(row.Address), accountF(row.Address)}})
		if err != nil {
			return err
		}
		for _, s := range sums {
			b := of[s.Asset]
			if b == nil {
				b = &AddressBalance{Asset: s.Asset, Unconfirmed: new(big.Int), Confirmed: new(big.Int), Final: new(big.Int)}
				of[s.Asset] = b
			}
			if s.Account == accountU(row.Address) {
				b.Unconfirmed.Set(s.Sum)
			} else {
				b.Confirmed.Set(s.Sum)
				b.Final.Set(s.Sum)
			}
		}
		confirmed, err := r.Transactions(ctx, TransactionQuery{AddressIDs: []string{row.ID}, Types: []TransactionType{TypeIncoming}, Statuses: []TransactionStatus{TxConfirmed}})
		for _, t := range confirmed {
			if b := of[t.Asset]; b != nil && !t.Final {
				b.Final.Sub(b.Final, t.Amount.Big())
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]AddressBalance, 0, len(of))
	for _, b := range of {
		out = append(out, *b)
	}
	slices.SortFunc(out, func(a, b AddressBalance) int { return cmp.Compare(a.Asset, b.Asset) })
	return out, nil
}

// Ledger returns the sums of the ledger's accounts whose names begin with
// prefix; see Account for the names.
func (g *Gateway) Ledger(ctx context.Context, prefix string) (rows []Balance, err error) {
	err = g.read(ctx, func(r Reader) (err error) {
		rows, err = r.Balances(ctx, BalanceQuery{Prefix: prefix})
		return err
	})
	return rows, err
}
