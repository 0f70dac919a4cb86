package bursar

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/hdwallet"
)

// ErrNotEmpty: the store has what a recovery must not touch.
var ErrNotEmpty = errors.New("bursar: the database is not empty")

// MaxRecover is the most addresses of a wallet that Recover and Derive make at
// once.
const MaxRecover = 10_000_000

// MaxGap bounds RecoverRequest.Gap.
const MaxGap = 100_000

const (
	// recoverBatch is how many addresses are written in one transaction.
	recoverBatch = 500
	// recoverPatience is how long the chain's lease is asked for.
	recoverPatience = 10 * time.Minute
)

// DerivedAddress is an address of a wallet with the way to its key.
type DerivedAddress struct {
	// Index is its place in the pool, Address its canonical form.
	Index   uint32        `json:"index"`
	Address chain.Address `json:"address"` // Address is its canonical form.
	// Key names the key: the account's fingerprint and the path.
	Key chain.KeyRef `json:"key"`
	// Pool is the index pool.
	Pool string `json:"pool"`
}

// Derive returns the deposit addresses with the indexes from to to, both included,
// of a wallet: the active one where account is empty, else the one whose Key.Wallet
// or pool it is. name is a chain's name or id. It touches neither store nor node:
// it is for finding money that was sent on a chain, or in a token, that is not
// configured.
//
// A bad field is a *FieldError; at most MaxRecover addresses are made.
func (g *Gateway) Derive(name, account string, from, to uint32) ([]DerivedAddress, error) {
	net, err := g.chainNamed("Derive.Name", name)
	if err != nil {
		return nil, err
	}
	if from > to || to-from >= MaxRecover || to > maxIndex {
		return nil, fieldErr("Derive.To", CodeOutOfRange, "%d to %d: want at most %d indexes in order, below 2^31", from, to, MaxRecover)
	}
	at := 0
	if account != "" {
		if at = net.book.wallet(account); at < 0 {
			return nil, fieldErr("Derive.Account", CodeUnknown, "no configured wallet has the account %q", account)
		}
	}
	out := make([]DerivedAddress, 0, to-from+1)
	return out, net.book.each(at, from, to, func(d DerivedAddress) error {
		out = append(out, d)
		return nil
	})
}

// maxIndex is the last index that is not hardened.
const maxIndex = 1<<31 - 1

// chainNamed finds a configured chain by its name or its id.
func (g *Gateway) chainNamed(field, name string) (*network, error) {
	if g == nil || g.store == nil {
		return nil, ErrNotStarted
	}
	for _, net := range g.order {
		if net.info.Name == name || string(net.info.ID) == name {
			return net, nil
		}
	}
	return nil, fieldErr(field, CodeUnknown, "chain %q is not configured", name)
}

// wallet finds an account by its fingerprint or the name of its pool; -1: none.
func (b *book) wallet(name string) int {
	for i, a := range b.accounts {
		if a.ID() == name || poolName(a) == name {
			return i
		}
	}
	return -1
}

// each derives the deposit addresses from to to of an account. The book itself
// stays as it is: these are not watched by it.
func (b *book) each(account int, from, to uint32, fn func(DerivedAddress) error) error {
	a := b.accounts[account]
	var raw []byte
	return a.PublicKeys(changeDeposit, from, int(to-from)+1, func(index uint32, public []byte) (err error) {
		if raw, err = b.codec.FromPublicKey(raw[:0], public); err != nil {
			return err
		}
		address, err := b.codec.Format(raw)
		if err != nil {
			return err
		}
		return fn(DerivedAddress{Index: index, Address: address, Key: a.KeyRef(changeDeposit, index), Pool: poolName(a)})
	})
}

// RecoverRequest says what to rebuild.
type RecoverRequest struct {
	// Chain is the chain's name or id. All chains of its family share the
	// addresses; each is recovered by a call of its own, for the sake of From.
	Chain string
	// To is the highest index that may have been issued. Addresses above it will be
	// issued again: name one that is rather too high than too low.
	To uint32
	// Gap goes on above To until that many addresses in a row hold nothing on the
	// chain, in any configured asset. Zero: not at all. Addresses that were swept
	// hold nothing too, so that it finds money, and not the last issued index.
	// At most MaxGap.
	Gap uint32
	// From is the first block to scan, on the next start. Zero leaves it to
	// Chain.Start, and the node is not asked. At least 1 where it is set.
	From uint64
	// DryRun finds out what would be done, and writes nothing.
	DryRun bool
}

// Recovery is what Recover did, or would do.
type Recovery struct {
	// Chain is the chain, Written false for a dry run.
	Chain   ChainID `json:"chain"`
	Written bool    `json:"written"` // Written is false for a dry run.
	// Pools are the pools with their next free index, the active wallet's first.
	Pools []RecoveredPool `json:"pools"`
	// Holding are the addresses that hold something; known where Gap is set.
	Holding []DerivedAddress `json:"holding,omitempty"`
	// Cursor is the block behind which the scan begins; zero where From is.
	Cursor chain.BlockRef `json:"cursor,omitzero"`
}

// RecoveredPool is one index pool of a Recovery.
type RecoveredPool struct {
	// Pool is the pool's name, Next its first index that is free for issuing,
	// Reserved how many are reserved here, First and Last the addresses at both ends.
	Pool     string        `json:"pool"`
	Next     uint32        `json:"next"`     // Next is the first index that is free.
	Reserved uint32        `json:"reserved"` // Reserved is how many are reserved by this call.
	First    chain.Address `json:"first"`    // First is the address of index 0.
	Last     chain.Address `json:"last"`     // Last is the address of the last reserved index.
}

// Recover rebuilds the addresses of a lost database in an empty one, from the
// wallets alone: the indexes up to To, of the active and of the retired wallets,
// are reserved, so that they are watched for ever and never issued again, and each
// has a row with RoleUnissued. Which payment or customer an address was of is lost;
// money that comes, or is found by a scan from block From on, is booked, swept and
// told as alert.unissued_address.
//
// The database must be empty but for what Recover itself writes: it can be
// repeated, with a higher To, a lower From or for another chain, until the first
// transfer is found. One that has payments, customers' addresses, transactions or
// events is refused with ErrNotEmpty. No gateway may work on it meanwhile:
// ErrLeaseHeld. Errors of the node leave nothing written.
func (g *Gateway) Recover(ctx context.Context, req RecoverRequest) (Recovery, error) {
	net, err := g.chainNamed("RecoverRequest.Chain", req.Chain)
	if err != nil {
		return Recovery{}, err
	}
	switch {
	case req.To >= MaxRecover:
		return Recovery{}, fieldErr("RecoverRequest.To", CodeOutOfRange, "%d: want less than %d", req.To, MaxRecover)
	case req.Gap > MaxGap:
		return Recovery{}, fieldErr("RecoverRequest.Gap", CodeOutOfRange, "%d: want at most %d", req.Gap, MaxGap)
	}
	c := &recovery{ctx: ctx, gw: g, net: net, req: req, out: Recovery{Chain: net.info.ID}}
	if err := c.plan(); err != nil {
		return Recovery{}, fmt.Errorf("bursar: recover: %w", err)
	}
	if req.DryRun {
		return c.out, nil
	}
	if err := c.write(); err != nil {
		return Recovery{}, fmt.Errorf("bursar: recover: %w", err)
	}
	c.out.Written = true
	return c.out, nil
}

// recovery is one Recover under way.
type recovery struct {
	ctx  context.Context
	gw   *Gateway
	net  *network
	req  RecoverRequest
	out  Recovery
	have map[string]uint32 // next index by pool, as it is in the store
	// recent is the window of blocks before From.
	recent []chain.BlockRef
}

// plan finds everything out, and writes nothing.
func (c *recovery) plan() error {
	if err := c.gw.store.Read(c.ctx, c.empty); err != nil {
		return err
	}
	if err := c.readCursor(); err != nil {
		return err
	}
	for i, a := range c.net.book.accounts {
		last, err := c.extend(i)
		if err != nil {
			return err
		}
		if err := c.planPool(i, a, last); err != nil {
			return err
		}
	}
	return nil
}

func (c *recovery) planPool(i int, a *hdwallet.Account, last uint32) error {
	pool := RecoveredPool{Pool: poolName(a), Next: max(last+1, c.have[poolName(a)])}
	pool.Reserved = pool.Next - c.have[pool.Pool]
	for _, end := range []struct {
		index uint32
		to    *chain.Address
	}{{0, &pool.First}, {pool.Next - 1, &pool.Last}} {
		if err := c.net.book.each(i, end.index, end.index, func(d DerivedAddress) error {
			*end.to = d.Address
			return nil
		}); err != nil {
			return err
		}
	}
	c.out.Pools = append(c.out.Pools, pool)
	return nil
}

// empty refuses a store that something happened in. What an earlier, perhaps
// interrupted recovery wrote is no reason.
func (c *recovery) empty(r Reader) error {
	refuse := func(table string, n int, err error) error {
		if err != nil || n == 0 {
			return err
		}
		return fmt.Errorf("%w: it has %s", ErrNotEmpty, table)
	}
	payments, err := r.Payments(c.ctx, PaymentQuery{Limit: 1})
	if err := refuse("payments", len(payments), err); err != nil {
		return err
	}
	txs, err := r.Transactions(c.ctx, TransactionQuery{Limit: 1})
	if err := refuse("transactions", len(txs), err); err != nil {
		return err
	}
	issued, err := r.Addresses(c.ctx, AddressQuery{Roles: []Role{RolePayment, RolePermanent, RoleSponsor, RoleFloat}, Limit: 1})
	if err := refuse("issued addresses", len(issued), err); err != nil {
		return err
	}
	events, err := r.Events(c.ctx, EventQuery{Limit: 1})
	if err := refuse("events", len(events), err); err != nil {
		return err
	}
	pools, err := r.Pools(c.ctx)
	c.have = map[string]uint32{}
	for _, p := range pools {
		c.have[p.Name] = p.Next
	}
	return err
}

// extend goes on above To as long as money is found, and returns the last index.
func (c *recovery) extend(account int) (uint32, error) {
	last := c.req.To
	if c.req.Gap == 0 {
		return last, nil
	}
	reader, ok := chain.As[chain.BalanceReader](c.net.client)
	if !ok {
		return 0, fieldErr("RecoverRequest.Gap", CodeInvalid, "the client of %s cannot tell balances", c.net.info.Name)
	}
	for from, used := uint32(0), c.req.To; ; {
		to := min(from+recoverBatch-1, used+c.req.Gap)
		if to >= MaxRecover {
			return 0, fieldErr("RecoverRequest.Gap", CodeOutOfRange, "no gap of %d below index %d", c.req.Gap, MaxRecover)
		}
		found, err := c.holding(reader, account, from, to)
		if err != nil {
			return 0, err
		}
		c.out.Holding = append(c.out.Holding, found...)
		if n := len(found); n > 0 {
			used = max(used, found[n-1].Index)
		}
		if from = to + 1; to >= used+c.req.Gap {
			// The gap itself is reserved as well: what is empty now may have been
			// issued and swept.
			return to, nil
		}
	}
}

// holding asks the chain which addresses hold something.
func (c *recovery) holding(reader chain.BalanceReader, account int, from, to uint32) (found []DerivedAddress, err error) {
	known := c.net.known()
	var of []chain.Holding
	var at []DerivedAddress
	err = c.net.book.each(account, from, to, func(d DerivedAddress) error {
		for _, id := range known.order {
			of, at = append(of, chain.Holding{Address: d.Address, Asset: known.all[id]}), append(at, d)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	sums, err := reader.Balances(c.ctx, "", of)
	if err != nil {
		return nil, err
	}
	if len(sums) != len(of) {
		return nil, fmt.Errorf("%w: %d balances for %d questions", chain.ErrTransient, len(sums), len(of))
	}
	for i, n := range sums {
		if !n.IsZero() && (len(found) == 0 || found[len(found)-1] != at[i]) {
			found = append(found, at[i])
		}
	}
	return found, nil
}
