package bursar

import (
	"context"
	"errors"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// How many addresses one page compares, by why they are compared. Verdicts that
// are due come first and as many as one page gives; the others take turns where
// they are more.
const (
	probeDue       = 500
	probeOpen      = 1000
	probeRecent    = 100
	probePermanent = 500
	probeRest      = 50
	// probeLocate bounds the addresses whose increase is looked for in blocks
	// that were committed already; others have their turn at the next page.
	probeLocate = 64
)

// turns remember where the rotations of the compared addresses go on. They are
// no more than a hint: a restart begins anew.
type turns struct {
	open, recent    Cursor
	permanent, rest lap
}

// lap is how far a rotation through the addresses of all wallets has come.
type lap struct {
	account int
	index   uint32
}

// probe is what the balances of addresses say at one block, beside the blocks'
// own transactions: coin that a contract sent or the protocol credited, and the
// addresses of which the whole balance is known to be explained.
type probe struct {
	// required is set where a payment in the native coin gets no verdict unless
	// its address is among compared.
	required bool
	// failed: the node did not tell the balances.
	failed   bool
	compared map[chain.Address]bool
	// booked is what the ledger had of the addresses that found pays.
	booked map[chain.Address]*big.Int
	// found are transfers that explain all that compared addresses have beyond
	// the ledger; their blocks are among the recent ones.
	found []chain.Transfer
}

// probe compares the native balances of open addresses at the last block of a page
// with what the ledger will have once the page is committed, and locates what
// nothing explains. Between pages it compares at the tip.
//
// What a node cannot tell now holds nothing up but verdicts: the next page
// compares again, and finds the increase wherever it came.
func (g *Gateway) probe(ctx context.Context, net *network, base chain.BlockRef, page chain.Page) (probe, error) {
	out := probe{compared: map[chain.Address]bool{}}
	reader, ok := chain.As[chain.BalanceReader](net.client)
	native, listed := net.known().all[net.info.Native.ID]
	if !ok || !listed {
		return out, nil
	}
	at := base
	if len(page.Blocks) > 0 {
		at = page.Last()
	}
	if at.Hash == "" {
		return out, nil
	}
	out.required = !net.blind()
	x := &expectation{net: net, native: native, at: at, page: page}
	switch err := x.read(ctx, g.store, base); {
	case errors.Is(err, errMoved):
		return out, nil // the commit will not go through either
	case err != nil || len(x.order) == 0:
		return out, err
	}
	l := &locator{expectation: x, reader: reader}
	err := l.compare(ctx)
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	g.sees(ctx, net, err)
	if err != nil {
		out.required, out.failed = !errors.Is(err, chain.ErrUnsupported), true
		return out, nil
	}
	out.found = l.transfers(ctx, g, net)
	out.booked = map[chain.Address]*big.Int{}
	for _, t := range out.found {
		out.booked[t.To] = x.booked[t.To]
	}
	for _, a := range x.order {
		out.compared[a] = !l.open[a]
	}
	return out, ctx.Err()
}

// blind reports whether the node has said that it cannot tell balances at all.
func (n *network) blind() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return errors.Is(n.unprobed, chain.ErrUnsupported)
}

// sees notes whether balances could be compared, and says so where it changed.
func (g *Gateway) sees(ctx context.Context, net *network, err error) {
	net.mu.Lock()
	before := net.unprobed
	net.unprobed = err
	net.mu.Unlock()
	switch {
	case err != nil && before == nil && errors.Is(err, chain.ErrTransient), err != nil && errors.Is(err, chain.ErrNotFound):
		g.log.DebugContext(ctx, "balances were not compared", "chain", string(net.info.ID), "err", err)
	case err != nil && before == nil:
		g.log.WarnContext(ctx, "balances cannot be compared: coin that contracts send is not found, and payments in the native coin do not expire unless the node cannot tell balances at all", "chain", string(net.info.ID), "err", err)
	case err == nil && before != nil:
		g.log.InfoContext(ctx, "balances are compared again", "chain", string(net.info.ID))
	}
}

// expectation is what the ledger will have of addresses after a page, from the
// state of the store before it: nothing but pages moves these accounts.
type expectation struct {
	net    *network
	native chain.Asset
	at     chain.BlockRef
	page   chain.Page
	line   []chain.BlockRef // the known blocks up to at, oldest first
	base   int              // the place in line of the newest committed block

	order []chain.Address // those to be compared
	last  map[chain.Address]*big.Int
	// booked is what the ledger has before the page.
	booked map[chain.Address]*big.Int
	// moves are what the ledger has or will have by height, as far as they matter.
	moves map[chain.Address][]flux
	ids   map[chain.TransferID]bool // transfers that are booked or are in the page
	rows  func(a chain.Address) ([]Transaction, error)
}

// flux is a change of the ledger's balance at a height.
type flux struct {
	height uint64
	amount *big.Int
}

// read collects the addresses and what the ledger has of them.
func (x *expectation) read(ctx context.Context, store Store, base chain.BlockRef) error {
	var recent []chain.BlockRef
	err := store.Read(ctx, func(r Reader) error {
		st, err := r.Chain(ctx, x.net.info.ID)
		if err != nil {
			return err
		}
		if tip := st.Tip(); tip.Height != base.Height || tip.Hash != base.Hash {
			return errMoved
		}
		recent = st.Recent
		if x.order, err = x.choose(ctx, r); err != nil || len(x.order) == 0 {
			return err
		}
		x.booked, err = bookedOf(ctx, r, x.native.ID, x.order)
		return err
	})
	if err != nil || len(x.order) == 0 {
		return err
	}
	x.last = make(map[chain.Address]*big.Int, len(x.order))
	for a, n := range x.booked {
		x.last[a] = new(big.Int).Set(n)
	}
	x.rows = func(a chain.Address) (rows []Transaction, err error) {
		err = store.Read(ctx, func(r Reader) error {
			rows, err = transactionsOf(ctx, r, x.net.info.ID, a)
			return err
		})
		return rows, err
	}
	x.draw(recent)
	x.turn()
	return nil
}

// bookedOf is what the ledger has of an asset at each address.
func bookedOf(ctx context.Context, r Reader, asset chain.AssetID, addresses []chain.Address) (map[chain.Address]*big.Int, error) {
	out := make(map[chain.Address]*big.Int, len(addresses))
	accounts := make([]Account, 0, 2*len(addresses))
	owner := make(map[Account]chain.Address, 2*len(addresses))
	for _, a := range addresses {
		out[a] = new(big.Int)
		for _, name := range []Account{accountU(a), accountF(a)} {
			accounts, owner[name] = append(accounts, name), a
		}
	}
	sums, err := r.Balances(ctx, BalanceQuery{Asset: asset, Accounts: accounts})
	for _, s := range sums {
		n := out[owner[s.Account]]
		n.Add(n, s.Sum)
	}
	return out, err
}

// stands reports whether the ledger still has what the balances were compared with:
// a Rescan may have booked in between what they told.
func (d *desk) stands(told probe) (bool, error) {
	if len(told.booked) == 0 {
		return true, nil
	}
	addresses := slices.Sorted(maps.Keys(told.booked))
	now, err := bookedOf(d.ctx, d.tx, d.net.info.Native.ID, addresses)
	for _, a := range addresses {
		if err == nil && now[a].Cmp(told.booked[a]) != 0 {
			return false, nil
		}
	}
	return err == nil, err
}

// transactionsOf are all transactions of a chain from or to an address.
func transactionsOf(ctx context.Context, r Reader, id chain.ID, a chain.Address) ([]Transaction, error) {
	to, err := r.Transactions(ctx, TransactionQuery{Chain: id, To: a})
	if err != nil {
		return nil, err
	}
	from, err := r.Transactions(ctx, TransactionQuery{Chain: id, From: a})
	for _, t := range from {
		if t.To != a {
			to = append(to, t)
		}
	}
	return to, err
}

// draw makes the line of blocks: the window that is committed and the page. The
// block before the first one is known by its hash alone.
func (x *expectation) draw(recent []chain.BlockRef) {
	x.line = append(slices.Clone(recent), x.page.Blocks...)
	x.base = len(recent) - 1
	if first := x.line[0]; first.Height > 0 {
		x.line = append([]chain.BlockRef{{Height: first.Height - 1, Hash: first.Parent}}, x.line...)
		x.base++
	}
}

// turn adds what the page itself moves.
func (x *expectation) turn() {
	x.moves, x.ids = map[chain.Address][]flux{}, map[chain.TransferID]bool{}
	signed := make(map[chain.TxID]bool, len(x.page.Spends))
	for _, s := range x.page.Spends {
		signed[s.ID] = true
		x.add(s.From, s.Block.Height, s.Fee, -1)
		for _, t := range s.Transfers {
			x.between(t)
		}
	}
	for _, t := range x.page.Transfers {
		x.ids[t.ID] = true
		switch _, ours := x.net.book.own(t.From); {
		case t.Asset != x.native.ID:
		case !ours:
			x.add(t.To, t.Block, t.Amount, 1)
		case !signed[t.ID.Tx]:
			x.between(t)
		}
	}
	for a, moves := range x.moves {
		for _, m := range moves {
			x.last[a].Add(x.last[a], m.amount)
		}
	}
}

// between adds a movement out of an account of ours, or into one.
func (x *expectation) between(t chain.Transfer) {
	if t.Asset != x.native.ID {
		return
	}
	if _, ours := x.net.book.own(t.From); ours {
		x.add(t.From, t.Block, t.Amount, -1)
		x.add(t.To, t.Block, t.Amount, 1)
	}
}

func (x *expectation) add(a chain.Address, height uint64, n chain.Amount, sign int64) {
	if x.last[a] == nil || n.IsZero() {
		return
	}
	amount := n.Big()
	x.moves[a] = append(x.moves[a], flux{height, amount.Mul(amount, big.NewInt(sign))})
}

// recall adds what the committed blocks moved, so that expected can look back.
func (x *expectation) recall(a chain.Address) error {
	rows, err := x.rows(a)
	if err != nil {
		return err
	}
	for _, t := range rows {
		if !t.Live() {
			continue
		}
		x.ids[t.Transfer] = true
		if t.From == a && t.Type != TypeIncoming {
			x.add(a, t.Block, t.Fee, -1)
		}
		if t.Asset != x.native.ID || t.From == t.To {
			continue
		}
		if t.To == a {
			x.add(a, t.Block, t.Amount, 1)
		} else {
			x.add(a, t.Block, t.Amount, -1)
		}
	}
	return nil
}

// expected is what the ledger has of an address at a height.
func (x *expectation) expected(a chain.Address, height uint64) *big.Int {
	out := new(big.Int).Set(x.last[a])
	for _, m := range x.moves[a] {
		if m.height > height {
			out.Sub(out, m.amount)
		}
	}
	return out
}

// choose picks the addresses to compare.
func (x *expectation) choose(ctx context.Context, r Reader) ([]chain.Address, error) {
	native := []chain.AssetID{x.native.ID}
	var out []chain.Address
	seen := map[chain.Address]bool{}
	add := func(a chain.Address) {
		// A chain's own family derives all of these; what is not derived yet has
		// just been issued elsewhere, and no page can have looked for it.
		if _, ours := x.net.book.own(a); ours && !seen[a] {
			seen[a] = true
			out = append(out, a)
		}
	}
	list := func(q PaymentQuery) (Cursor, error) {
		rows, err := r.Payments(ctx, q)
		for _, p := range rows {
			add(p.Address)
		}
		if len(rows) < q.Limit || len(rows) == 0 {
			return Cursor{}, err
		}
		last := rows[len(rows)-1]
		return Cursor{last.CreatedAt, last.ID}, err
	}
	by := later(r.Now(), x.at.Time)
	if _, err := list(PaymentQuery{DueBy: by, DueChain: x.net.info.ID, Assets: native, Limit: probeDue}); err != nil {
		return nil, err
	}
	if len(x.page.Blocks) == 0 {
		return out, nil // verdicts by the clock alone
	}
	next := x.net.place()
	var err error
	if next.open, err = list(PaymentQuery{Statuses: openStatus, Assets: native, After: next.open, Limit: probeOpen}); err != nil {
		return nil, err
	}
	// What a payment that is over gets, or one in a token, is told and held for it.
	since := by.Add(-probeAge)
	if next.recent, err = list(PaymentQuery{Assets: x.net.known().order, Since: since, After: next.recent, Limit: probeRecent}); err != nil {
		return nil, err
	}
	for _, a := range x.touched() {
		add(a)
	}
	// Customers' addresses, and those that were paid although nobody was given them;
	// and, at leisure, whatever was ever given to a payment.
	waiting, err := x.round(ctx, r, &next.permanent, probePermanent, RolePermanent, RoleUnissued)
	if err != nil {
		return nil, err
	}
	rest, err := x.round(ctx, r, &next.rest, probeRest, RolePayment)
	for _, a := range slices.Concat(waiting, rest) {
		add(a.Address)
	}
	x.net.set(func(n *network) { n.turns = next })
	return out, err
}

// probeAge is how long after its creation any payment is compared at each turn.
const probeAge = 14 * 24 * time.Hour

// touched are the deposit addresses from which the page moves coin: what a contract
// sent to one that the store knows nothing of, after a loss, goes on to the treasury.
func (x *expectation) touched() (out []chain.Address) {
	for _, s := range x.page.Spends {
		if it, ours := x.net.book.own(s.From); ours && it.change == changeDeposit && len(out) < probeDue {
			out = append(out, s.From)
		}
	}
	return out
}

// round takes the next addresses with some roles in their turn, of one wallet.
func (x *expectation) round(ctx context.Context, r Reader, at *lap, most int, roles ...Role) ([]Address, error) {
	accounts := x.net.book.accounts
	rows, err := r.Addresses(ctx, AddressQuery{
		Pool: poolName(accounts[at.account%len(accounts)]), Roles: roles, FromIndex: at.index, Limit: most,
	})
	switch {
	case err != nil:
	case len(rows) == most:
		at.index = rows[len(rows)-1].Index + 1
	default:
		at.account, at.index = (at.account+1)%len(accounts), 0
	}
	return rows, err
}

// place is where the rotations go on.
func (n *network) place() turns {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.turns
}
