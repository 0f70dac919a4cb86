package bursar

import (
	"slices"
	"strconv"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// addresses checks every address of every pool, and the deposits to those that
// belong to no payment.
func (a *auditor) addresses() error {
	pools := map[string]bool{}
	for name := range a.pools {
		pools[name] = true
	}
	for _, b := range a.gw.books {
		for _, names := range b.names {
			for _, n := range names {
				pools[n.pool] = true
			}
		}
	}
	for _, name := range sortedKeys(pools) {
		if err := a.pool(name); err != nil {
			return err
		}
	}
	return nil
}

// pool checks the addresses of one pool in the order of their indexes.
func (a *auditor) pool(name string) error {
	for from := uint32(0); ; {
		rows, err := a.r.Addresses(a.ctx, AddressQuery{Pool: name, FromIndex: from, Limit: auditPage})
		if err != nil {
			return err
		}
		if err := a.addressPage(name, rows); err != nil || len(rows) < auditPage {
			return err
		}
		// Whatever the rows say, the walk goes on.
		from = max(from, rows[len(rows)-1].Index) + 1
	}
}

func (a *auditor) addressPage(pool string, rows []Address) error {
	if len(rows) == 0 {
		return nil
	}
	a.count("addresses", len(rows))
	var free, owners []string
	for _, row := range rows {
		owners = append(owners, only(row.PaymentID)...)
		if row.PaymentID == "" {
			free = append(free, row.ID)
		}
	}
	payments, err := a.paymentsByID(owners)
	if err != nil {
		return err
	}
	txs, err := a.incomingOf(free)
	if err != nil {
		return err
	}
	withdrawals, err := a.payoutsOf(free, PayoutWithdrawal)
	if err != nil {
		return err
	}
	b, account := a.bookOf(pool)
	for _, at := range rows {
		row := a.row("addresses", at.ID)
		row.same(ruleAddressPool, "Pool", pool, at.Pool)
		a.addressPool(at)
		a.addressRole(row, at, payments)
		if next, handed := a.pools[pool]; handed {
			row.holds(ruleAddressIndex, "Index", at.Index < next, "index %d, and the next free one is %d", at.Index, next)
		}
		if b != nil && account >= 0 {
			a.addressDerived(row, b, account, at)
		}
		if at.PaymentID != "" {
			continue // the money is the payment's, and so are entries and events
		}
		if err := a.deposits(at, txs[at.ID], withdrawals[at.ID]); err != nil {
			return err
		}
	}
	return a.ctx.Err()
}

// bookOf finds the configured wallet account of a pool of either change level;
// nil where its coin type is not configured, -1 where the wallet is not.
func (a *auditor) bookOf(pool string) (*book, int) {
	coin, _, _ := strings.Cut(pool, "/")
	for _, b := range a.gw.books {
		if coin != strconv.FormatUint(uint64(b.coinType), 10) {
			continue
		}
		for i, names := range b.names {
			for _, n := range names {
				if n.pool == pool {
					return b, i
				}
			}
		}
		return b, -1
	}
	return nil, -1
}

func (a *auditor) addressPool(at Address) {
	b, account := a.bookOf(at.Pool)
	if b == nil {
		a.skip("addresses of pool "+at.Pool, "no chain of its coin type is configured")
		return
	}
	a.row("addresses", at.ID).holds(ruleAddressPool, "Pool", account >= 0, "no configured wallet has the pool %q", at.Pool)
}

// addressDerived derives the address at its place again.
func (a *auditor) addressDerived(row auditRow, b *book, account int, at Address) {
	change := slices.IndexFunc(b.names[account][:], func(n poolNames) bool { return n.pool == at.Pool })
	if change < 0 {
		return // told as a foreign pool
	}
	row.same(ruleAddressDerived, "ID", b.names[account][change].row+strconv.FormatUint(uint64(at.Index), 10), at.ID)
	row.same(ruleAddressDerived, "Key", b.accounts[account].KeyRef(uint32(change), at.Index), at.Key)
	row.same(ruleAddressDerived, "Address", a.derived(b, account, uint32(change), at.Index), at.Address)
}

// derived computes an address from the wallet. It leaves the book as it is.
func (a *auditor) derived(b *book, account int, change, index uint32) chain.Address {
	address, err := b.address(account, change, index)
	if err != nil {
		return chain.Address("no address: " + err.Error())
	}
	return address
}

// derivedBy computes the address of a key that a row names.
func (a *auditor) derivedBy(b *book, ref chain.KeyRef) chain.Address {
	steps := strings.Split(ref.Path, "/")
	if len(steps) < 2 {
		return "no path"
	}
	change, bad := strconv.ParseUint(steps[len(steps)-2], 10, 32)
	index, worse := strconv.ParseUint(steps[len(steps)-1], 10, 32)
	for i, account := range b.accounts {
		if account.ID() != ref.Wallet {
			continue
		}
		if bad != nil || worse != nil || account.KeyRef(uint32(change), uint32(index)) != ref {
			return "no path of the wallet's"
		}
		return a.derived(b, i, uint32(change), uint32(index))
	}
	return "no configured wallet"
}

func (a *auditor) addressRole(row auditRow, at Address, payments map[string]Payment) {
	row.holds(ruleAddressRole, "PaymentID", (at.Role == RolePayment) == (at.PaymentID != ""), "%s of payment %q", at.Role, at.PaymentID)
	row.holds(ruleAddressRole, "Customer", at.Role != RolePermanent || at.Customer != "", "a permanent address of nobody")
	_, change, _ := cutLast(at.Pool, "/")
	own := at.Role == RoleSponsor || at.Role == RoleFloat
	row.holds(ruleAddressRole, "Role", own == (change == strconv.Itoa(changeOwn)), "%s in pool %s", at.Role, at.Pool)
	row.holds(ruleAddressRole, "Role", own || slices.Contains([]Role{RolePayment, RolePermanent, RoleUnissued}, at.Role), "%q is no role", at.Role)
	if at.PaymentID == "" {
		return
	}
	p, ok := payments[at.PaymentID]
	row.holds(ruleAddressRole, "PaymentID", ok, "there is no payment %q", at.PaymentID)
	if ok {
		row.same(ruleAddressRole, "PaymentID", p.AddressID, at.ID, "is the address of", p.ID)
		row.same(ruleAddressRole, "Customer", p.Customer, at.Customer)
		row.holds(ruleAddressRole, "TokensOnly", !at.TokensOnly || !p.Asset.Native(), "of payment %s, which is in coin", p.ID)
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// deposits compares an address without a payment with its entries and events.
func (a *auditor) deposits(at Address, txs []Transaction, withdrawals []Payout) error {
	standing, err := a.entries(at.ID)
	if err != nil {
		return err
	}
	var want []Entry
	for _, t := range txs {
		want = append(want, depositCalls(at, t)...)
	}
	for _, e := range a.addressWithdrawals(at, withdrawals, txs, a.incoming(standing, txs, want)) {
		a.row("entries", e.ID).holds(ruleEntryExtra, "", false, "no transaction of %s is behind it", at.ID)
	}
	return a.events("addresses", at.ID, at.Seq, func(Event) {})
}

// depositCalls are the entries that must stand for a deposit.
func depositCalls(at Address, t Transaction) []Entry {
	owner := string(t.To)
	out := callsFor(at.ID, owner, t)
	if len(out) == 0 || t.Suspense {
		return out
	}
	switch at.Role {
	case RoleSponsor, RoleFloat:
		out[0].Credit = AccountOwner // capital is no claim
		if len(out) > 1 {
			out = out[:2]
		}
	case RolePermanent:
		if t.Status == TxConfirmed {
			out = append(out, incomingEntry("L3", at.ID, t, accountHeld(owner), accountCustomer(at.Customer)))
		}
	}
	return out
}
