package bursar

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// auditSums are balances as the entries imply them.
type auditSums map[journalKey]*big.Int

// post adds an entry. An account that comes to zero is dropped, so that money
// that has passed through takes no room.
func (s auditSums) post(e Entry) {
	s.add(journalKey{e.Asset, e.Debit}, e.Amount.Big())
	n := e.Amount.Big()
	s.add(journalKey{e.Asset, e.Credit}, n.Neg(n))
}

func (s auditSums) add(k journalKey, n *big.Int) {
	have := s[k]
	if have == nil {
		if n.Sign() != 0 {
			s[k] = n
		}
		return
	}
	if have.Add(have, n); have.Sign() == 0 {
		delete(s, k)
	}
}

// of is the sum of accounts of one asset.
func (s auditSums) of(asset chain.AssetID, accounts ...Account) *big.Int {
	out := new(big.Int)
	for _, name := range accounts {
		if n := s[journalKey{asset, name}]; n != nil {
			out.Add(out, n)
		}
	}
	return out
}

// claimKinds begin the names of accounts that are owed to somebody; they are
// never positive. Of the others of otherKinds some may have either sign.
var (
	claimKinds = []string{"pending:", "held:", "paid:", "excess:", "customer:", "refund_payable:"}
	otherKinds = []string{"U:", "F:", "out:", "fx:", "suspense:", "receivable:"}
)

func isClaim(name Account) bool {
	return slices.ContainsFunc(claimKinds, func(kind string) bool { return strings.HasPrefix(string(name), kind) })
}

func isAccount(name Account) bool {
	return name == AccountOwner || isClaim(name) ||
		slices.ContainsFunc(otherKinds, func(kind string) bool { return strings.HasPrefix(string(name), kind) })
}

// hashed reports whether an id has the form that hashID makes.
func hashed(prefix, id string) bool {
	rest, ok := strings.CutPrefix(id, prefix)
	raw, err := hex.DecodeString(rest)
	return ok && err == nil && len(raw) == 16 && rest == strings.ToLower(rest)
}

// entries reads and sums the entries of a subject, checks what is true of any
// entry, and returns those that stand.
func (a *auditor) entries(subject string) ([]Entry, error) {
	rows, err := a.r.Entries(a.ctx, EntryQuery{Subject: subject})
	if err != nil {
		return nil, err
	}
	a.count("entries", len(rows))
	known, undone := make(map[string]Entry, len(rows)), make(map[string]bool)
	for _, e := range rows {
		a.sums.post(e)
		a.entryForm(subject, e)
		row := a.row("entries", e.ID)
		_, twice := known[e.ID]
		row.holds(ruleEntryForm, "ID", !twice, "the id stands twice")
		if e.Reverses != "" {
			old, ok := known[e.Reverses]
			a.reversal(old, ok && !undone[e.Reverses], e)
			undone[e.Reverses] = true
		}
		known[e.ID] = e
	}
	standing, live := rows[:0:0], map[string]string{}
	for _, e := range rows {
		if e.Reverses != "" || undone[e.ID] {
			continue
		}
		standing = append(standing, e)
		if e.Live != "" {
			other := live[e.Live]
			a.row("entries", e.ID).holds(ruleEntryLive, "Live", other == "", "%s is credited by %s as well", e.Live, other)
			live[e.Live] = e.ID
		}
	}
	return standing, nil
}

func (a *auditor) entryForm(subject string, e Entry) {
	row := a.row("entries", e.ID)
	row.same(ruleEntrySubject, "Subject", subject, e.Subject)
	row.holds(ruleEntryForm, "ID", hashed("le_", e.ID), "want le_ and 32 hex digits")
	row.holds(ruleEntryForm, "Amount", !e.Amount.IsZero(), "an entry of zero")
	row.holds(ruleEntryForm, "Debit", e.Debit != e.Credit, "both accounts are %s", e.Debit)
	row.holds(ruleEntryForm, "Debit", isAccount(e.Debit), "there is no account %q", e.Debit)
	row.holds(ruleEntryForm, "Credit", isAccount(e.Credit), "there is no account %q", e.Credit)
	row.same(ruleEntryForm, "Chain", e.Asset.Chain(), e.Chain)
	row.holds(ruleEntryForm, "Rule", e.Rule != "", "no rule")
}

// reversal checks an entry that undoes another one.
func (a *auditor) reversal(old Entry, stood bool, e Entry) {
	row := a.row("entries", e.ID)
	if !stood || old.Reverses != "" {
		row.holds(ruleEntryReversal, "Reverses", false, "%s does not stand before it", e.Reverses)
		return
	}
	want := reversal(old)
	for _, f := range entryFields(want, e) {
		row.same(ruleEntryReversal, f.name, f.want, f.got, "it reverses", old.ID)
	}
}

// auditField is one field of two rows that must be equal.
type auditField struct {
	name      string
	want, got any
}

// entryFields are the fields of an entry that follow from their cause.
func entryFields(want, got Entry) []auditField {
	return []auditField{
		{"ID", want.ID, got.ID}, {"Rule", want.Rule, got.Rule}, {"Asset", want.Asset, got.Asset}, {"Debit", want.Debit, got.Debit},
		{"Credit", want.Credit, got.Credit}, {"Amount", want.Amount, got.Amount}, {"Subject", want.Subject, got.Subject},
		{"Transaction", want.Transaction, got.Transaction}, {"Chain", want.Chain, got.Chain}, {"Height", want.Height, got.Height},
		{"Reverses", want.Reverses, got.Reverses}, {"Live", want.Live, got.Live},
	}
}

// incoming compares the standing entries of a subject with what its incoming
// transactions call for, and returns those without a transaction.
func (a *auditor) incoming(standing []Entry, txs []Transaction, want []Entry) []Entry {
	ours := make(map[string]bool, len(txs))
	for _, t := range txs {
		ours[t.ID] = true
	}
	calls := make(map[string]Entry, len(want))
	for _, e := range want {
		calls[e.ID] = e
	}
	var rest []Entry
	for _, e := range standing {
		if e.Transaction == "" {
			rest = append(rest, e)
			continue
		}
		row := a.row("entries", e.ID)
		row.holds(ruleEntryTransaction, "Transaction", ours[e.Transaction], "%s has no transaction %s", e.Subject, e.Transaction)
		w, called := calls[e.ID]
		row.holds(ruleEntryExtra, "", called, "nothing calls for %s %s to %s (transaction %s)", e.Amount, e.Asset, e.Debit, e.Transaction)
		if called {
			for _, f := range entryFields(w, e) {
				row.same(ruleEntryPosting, f.name, f.want, f.got, "by transaction", w.Transaction)
			}
		}
		delete(calls, e.ID)
	}
	for _, e := range want {
		if _, missing := calls[e.ID]; missing {
			a.found(Finding{Rule: ruleEntryMissing, Table: "transactions", ID: e.Transaction, Detail: fmt.Sprintf("no entry %s of rule %s, %s %s to %s", e.ID, e.Rule, e.Amount, e.Asset, e.Debit)})
		}
	}
	return rest
}

// balances compares what was summed with what the store says.
func (a *auditor) balances() error {
	for _, net := range a.gw.order {
		if err := a.chainSubject(net); err != nil {
			return err
		}
	}
	rows, err := a.r.Balances(a.ctx, BalanceQuery{})
	if err != nil {
		return err
	}
	a.count("balances", len(rows))
	totals, onChain, seen := map[chain.AssetID]*big.Int{}, auditSums{}, make(map[journalKey]bool, len(rows))
	bad := map[chain.AssetID]map[Account]bool{}
	off := func(key journalKey) {
		if bad[key.asset] == nil {
			bad[key.asset] = map[Account]bool{}
		}
		bad[key.asset][key.account] = true
	}
	for _, b := range rows {
		key := journalKey{b.Asset, b.Account}
		if totals[b.Asset] == nil {
			totals[b.Asset] = new(big.Int)
		}
		totals[b.Asset].Add(totals[b.Asset], b.Sum)
		if a.balance(key, b.Sum) || seen[key] {
			off(key)
		}
		seen[key] = true
		if owner, ok := onChainOwner(b.Account); ok {
			onChain.add(journalKey{b.Asset, Account(owner)}, new(big.Int).Set(b.Sum))
		}
	}
	for _, key := range sortedJournal(a.sums) {
		if !seen[key] {
			off(key)
			a.balance(key, new(big.Int))
		}
	}
	for _, asset := range sortedKeys(textKeys(totals)) {
		a.row("balances", asset).same(ruleBalanceTotal, "Sum", "0", totals[chain.AssetID(asset)])
	}
	a.notNegative(onChain)
	return a.strays(bad)
}

func textKeys[K ~string, V any](m map[K]V) map[string]V {
	out := make(map[string]V, len(m))
	for k, v := range m {
		out[string(k)] = v
	}
	return out
}

// balance checks one balance and reports whether it is not the sum of its
// entries.
func (a *auditor) balance(key journalKey, sum *big.Int) bool {
	want := a.sums.of(key.asset, key.account)
	row := a.row("balances", string(key.asset)+" "+string(key.account))
	row.same(ruleBalanceSum, "Sum", want, sum)
	row.holds(ruleBalanceSign, "Sum", !isClaim(key.account) && key.account != AccountOwner || sum.Sign() <= 0, "a claim of %s", sum)
	return want.Cmp(sum) != 0
}

// onChainOwner is whose money an account of the two on-chain layers is.
func onChainOwner(name Account) (string, bool) {
	layer, owner, ok := strings.Cut(string(name), ":")
	return owner, ok && (layer == "U" || layer == "F")
}

// notNegative checks the sums of both layers: only a single layer may be
// negative, while a payout is on its way. The gateway's own accounts may have
// been funded before there was a ledger; the chain tells of them.
func (a *auditor) notNegative(onChain auditSums) {
	for _, key := range sortedJournal(onChain) {
		if n := onChain[key]; n.Sign() < 0 && !a.working(chain.Address(key.account)) {
			a.row("balances", string(key.asset)+" "+string(key.account)).holds(ruleBalanceSign, "Sum", false, "%s on the chain", n)
		}
	}
}

// working reports whether an address is the sponsor or the float of a wallet.
func (a *auditor) working(address chain.Address) bool {
	for _, net := range a.gw.order {
		if slices.Contains(a.ownAccounts(net), address) {
			return true
		}
	}
	return false
}

func sortedJournal(m auditSums) []journalKey {
	keys := make([]journalKey, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y journalKey) int {
		if c := strings.Compare(string(x.asset), string(y.asset)); c != 0 {
			return c
		}
		return strings.Compare(string(x.account), string(y.account))
	})
	return keys
}

// strays names the entries behind balances that are off: those whose subject
// does not exist were summed under none.
func (a *auditor) strays(bad map[chain.AssetID]map[Account]bool) error {
	known := map[string]bool{}
	for _, asset := range sortedKeys(textKeys(bad)) {
		rows, err := a.r.Entries(a.ctx, EntryQuery{Asset: chain.AssetID(asset)})
		if err != nil {
			return err
		}
		accounts := bad[chain.AssetID(asset)]
		for _, e := range rows {
			if !accounts[e.Debit] && !accounts[e.Credit] {
				continue
			}
			ok, asked := known[e.Subject]
			if !asked {
				if ok, err = a.subjectExists(e.Subject); err != nil {
					return err
				}
				known[e.Subject] = ok
			}
			a.row("entries", e.ID).holds(ruleEntrySubject, "Subject", ok, "there is no %q", e.Subject)
		}
	}
	return nil
}

func (a *auditor) subjectExists(id string) (bool, error) {
	n := 0
	var err error
	switch {
	case strings.HasPrefix(id, "pay_"):
		var rows []Payment
		rows, err = a.r.Payments(a.ctx, PaymentQuery{IDs: []string{id}})
		n = len(rows)
	case strings.HasPrefix(id, "po_"):
		var rows []Payout
		rows, err = a.r.Payouts(a.ctx, PayoutQuery{IDs: []string{id}})
		n = len(rows)
	case strings.HasPrefix(id, "addr_"):
		var rows []Address
		rows, err = a.r.Addresses(a.ctx, AddressQuery{IDs: []string{id}})
		n = len(rows)
	default:
		_, ok := a.states[chain.ID(id)]
		return ok, nil
	}
	return n == 1, err
}
