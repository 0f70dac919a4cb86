package memory

import (
	"cmp"
	"context"
	"math/big"
	"slices"
	"strings"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// posted is an entry with the commit that wrote it and the one that reversed
// it; 0: none.
type posted struct {
	at, reversed uint64
	pos          int
	row          bursar.Entry
}

// live reports whether the entry counts at a commit: written, no reversal and
// not reversed.
func (p *posted) live(number uint64) bool {
	return p.row.Reverses == "" && (p.reversed == 0 || p.reversed > number)
}

// sum is the running balance of an account. A published sum is never changed.
type sum struct {
	asset   chain.AssetID
	account bursar.Account
	amount  *big.Int
}

// ledger holds the entries in the order they were written, and their sums.
type ledger struct {
	sums                 *table[sum]
	account              *unique[sum]
	accounts             *index[sum]
	all                  []*posted
	byID                 map[string]*posted
	subject, transaction map[string][]*posted
	// lives has the unreversed entry of each Live key.
	lives map[string]*posted
	begun int
}

func newLedger() *ledger {
	t := newTable("balance", func(s *sum) string { return sumID(s.asset, s.account) }, nil)
	t.tie = func(s *sum) string { return string(s.account) }
	return &ledger{
		sums:        t,
		account:     t.shared(func(s *sum) string { return string(s.account) }),
		accounts:    t.ordered(func(s *sum, to []key) []key { return append(to, key{part: string(s.asset)}) }),
		byID:        map[string]*posted{},
		subject:     map[string][]*posted{},
		transaction: map[string][]*posted{},
		lives:       map[string]*posted{},
	}
}

func sumID(asset chain.AssetID, account bursar.Account) string {
	return string(asset) + "\x00" + string(account)
}

// add posts an entry that keeps the rules. Entries of a batch count in order:
// a later one may reverse an earlier one, and take the Live key it frees.
func (l *ledger) add(number uint64, p *posted) error {
	e := &p.row
	if l.byID[e.ID] != nil {
		return conflict("entry %q exists", e.ID)
	}
	if e.Live != "" && e.Reverses == "" && l.lives[e.Live] != nil {
		return conflict("entry %q: live key %q is held by %q", e.ID, e.Live, l.lives[e.Live].row.ID)
	}
	undone := l.undone(e)
	switch {
	case e.ID == "":
		return broken("an entry has no id")
	case e.Amount.IsZero():
		return broken("entry %q has no amount", e.ID)
	case e.Debit == e.Credit:
		return broken("entry %q debits and credits %q", e.ID, e.Debit)
	case e.Reverses == "":
	case undone == nil:
		return broken("entry %q reverses %q, which does not exist", e.ID, e.Reverses)
	case undone.row.Reverses != "":
		return broken("entry %q reverses the reversal %q", e.ID, e.Reverses)
	case undone.reversed != 0:
		return broken("entry %q reverses %q once more", e.ID, e.Reverses)
	}
	p.at, p.pos = number, len(l.all)
	l.all = append(l.all, p)
	l.byID[e.ID] = p
	l.subject[e.Subject] = append(l.subject[e.Subject], p)
	if e.Transaction != "" {
		l.transaction[e.Transaction] = append(l.transaction[e.Transaction], p)
	}
	switch {
	case undone != nil:
		undone.reversed = number
		if l.lives[undone.row.Live] == undone {
			delete(l.lives, undone.row.Live)
		}
	case e.Live != "":
		l.lives[e.Live] = p
	}
	amount := e.Amount.Big()
	l.move(number, e.Asset, e.Debit, amount)
	l.move(number, e.Asset, e.Credit, amount.Neg(amount))
	return nil
}

// undone returns the entry that e reverses; nil where it reverses none.
func (l *ledger) undone(e *bursar.Entry) *posted {
	if e.Reverses == "" {
		return nil
	}
	return l.byID[e.Reverses]
}

// move adds to the sum of an account.
func (l *ledger) move(number uint64, asset chain.AssetID, account bursar.Account, by *big.Int) {
	id := sumID(asset, account)
	rec := l.sums.rows[id]
	if rec == nil {
		rec = &record[sum]{id: id, tie: string(account)}
		l.sums.rows[id] = rec
	}
	total := new(big.Int).Set(by)
	if rec.newest != nil {
		total.Add(total, rec.newest.row.amount)
	}
	l.sums.push(number, rec, &version[sum]{row: sum{asset, account, total}})
}

func (l *ledger) revert() {
	for _, p := range slices.Backward(l.all[l.begun:]) {
		e := &p.row
		delete(l.byID, e.ID)
		if e.Live != "" && l.lives[e.Live] == p {
			delete(l.lives, e.Live)
		}
		if undone := l.undone(e); undone != nil {
			undone.reversed = 0
			if undone.row.Live != "" {
				l.lives[undone.row.Live] = undone
			}
		}
		shorten(l.subject, e.Subject)
		if e.Transaction != "" {
			shorten(l.transaction, e.Transaction)
		}
	}
	clear(l.all[l.begun:])
	l.all = l.all[:l.begun]
	l.sums.revert()
}

func shorten(lists map[string][]*posted, k string) {
	list := lists[k]
	list[len(list)-1] = nil
	if lists[k] = list[:len(list)-1]; len(list) == 1 {
		delete(lists, k)
	}
}

func (l *ledger) settle(number uint64) {
	l.begun = len(l.all)
	l.sums.settle(number)
}

func (l *ledger) sweep(horizon uint64) { l.sums.sweep(horizon) }

// Entries implements bursar.Reader.
func (r *reader) Entries(ctx context.Context, q bursar.EntryQuery) ([]bursar.Entry, error) {
	var found []*posted
	var err error
	read := func(log func() []*posted) {
		if err == nil {
			found, err = r.readEntries(ctx, &q, log, found)
		}
	}
	l := r.s.ledger
	switch {
	case q.Subject != "":
		read(func() []*posted { return l.subject[q.Subject] })
	case len(q.Transactions) > 0:
		for _, id := range q.Transactions {
			read(func() []*posted { return l.transaction[id] })
		}
	default:
		read(func() []*posted { return l.all })
	}
	if err != nil {
		return nil, err
	}
	found = finish(found, func(a, b *posted) int { return cmp.Compare(a.pos, b.pos) }, 0)
	out := make([]bursar.Entry, len(found))
	for i, p := range found {
		out[i] = p.row
	}
	return out, nil
}

// readEntries appends the matching entries of a log, read a slice at a time.
func (r *reader) readEntries(ctx context.Context, q *bursar.EntryQuery, log func() []*posted, found []*posted) ([]*posted, error) {
	for from, more := 0, true; more; from += slice {
		err := r.locked(ctx, func() {
			part := log()
			part = part[min(from, len(part)):]
			more = len(part) > slice
			for _, p := range part[:min(slice, len(part))] {
				if p.at > r.number {
					more = false
					return
				}
				if in(q.Transactions, p.row.Transaction) && is(q.Subject, p.row.Subject) &&
					is(q.Asset, p.row.Asset) && (!q.Unreversed || p.live(r.number)) {
					found = append(found, p)
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Balances implements bursar.Reader.
func (r *reader) Balances(ctx context.Context, q bursar.BalanceQuery) ([]bursar.Balance, error) {
	match := func(s *sum) bool {
		return s.amount.Sign() != 0 && is(q.Asset, s.asset) && in(q.Accounts, s.account) &&
			strings.HasPrefix(string(s.account), q.Prefix)
	}
	l := r.s.ledger
	var found []*sum
	var err error
	switch {
	case q.Asset != "" && len(q.Accounts) > 0:
		ids := make([]string, len(q.Accounts))
		for i, a := range q.Accounts {
			ids[i] = sumID(q.Asset, a)
		}
		found, err = byID(ctx, r, l.sums, ids, match)
	case q.Asset != "":
		found, err = scan(ctx, r, l.accounts, span{parts: parts(q.Asset), prefix: q.Prefix}, match)
	case len(q.Accounts) > 0:
		found, err = byKey(ctx, r, l.account, q.Accounts, match)
	default:
		found, err = scan(ctx, r, l.accounts, span{}, match)
	}
	if err != nil {
		return nil, err
	}
	found = finish(found, func(a, b *sum) int {
		return cmp.Or(strings.Compare(string(a.asset), string(b.asset)), strings.Compare(string(a.account), string(b.account)))
	}, 0)
	out := make([]bursar.Balance, len(found))
	for i, s := range found {
		out[i] = bursar.Balance{Asset: s.asset, Account: s.account, Sum: new(big.Int).Set(s.amount)}
	}
	return out, nil
}
