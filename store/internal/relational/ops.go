package relational

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// Op is one statement of a batch.
type Op struct {
	// Table and Row say what it is about, for errors.
	Table string
	Row   []string
	SQL   string
	Args  []any
	// Want is how many rows it must touch; -1: any number. Where it touches
	// another number, the batch fails with Fail.
	Want int64
	Fail error
	// Broken is set where the batch breaks a rule here, whatever the database says.
	Broken error
	// Select is true where it reads and touches nothing: its rows are counted.
	Select bool
	// Probe asks what became of the row. It is set for rows of the gateway.
	Probe func() *Probe
	// Sum is set where the statement adds to a balance: databases without numbers
	// of 78 digits have to read it first.
	Sum *Sum
}

// Sum is what an account of the ledger gains.
type Sum struct {
	Asset   chain.AssetID
	Account bursar.Account
	By      *big.Int
}

// Err is the error of an op that did not touch as many rows as it must.
func (o *Op) Err() error {
	return fmt.Errorf("%w: %s %s", o.Fail, o.Table, strings.Join(o.Row, "/"))
}

// builder collects the statements of a batch.
type builder struct {
	s   *Schema
	ops []Op
	err error
}

// Ops turns a batch into statements, in the order of the batch's fields.
func (s *Schema) Ops(b *bursar.Batch) ([]Op, error) {
	w := &builder{s: s}
	for _, f := range b.Fences {
		w.fence(f)
	}
	rows(w, s.payments, b.Payments)
	rows(w, s.transactions, b.Transactions)
	rows(w, s.addresses, b.Addresses)
	rows(w, s.payouts, b.Payouts)
	for i := range b.Attempts {
		w.attempt(&b.Attempts[i])
	}
	rows(w, s.deliveries, b.Deliveries)
	rows(w, s.chains, b.Chains)
	rows(w, s.endpoints, b.Endpoints)
	w.entries(b.Entries)
	for i := range b.Events {
		w.event(&b.Events[i])
	}
	return w.ops, w.err
}

func rows[T any](w *builder, t *table[T], list []T) {
	if op, ok, err := t.many(list); ok || err != nil {
		w.row(op, err)
		return
	}
	for i := range list {
		w.row(t.write(&list[i]))
	}
}

func (w *builder) row(op Op, err error) {
	if w.err == nil {
		w.err = err
	}
	w.ops = append(w.ops, op)
}

// add appends a statement whose parameters are written as ?.
func (w *builder) add(op Op, sql string, args ...any) {
	var b strings.Builder
	n := 0
	for part := range strings.SplitSeq(sql, "?") {
		if n > 0 {
			b.WriteString(w.s.d.Placeholder(n))
		}
		b.WriteString(part)
		n++
	}
	op.SQL, op.Args = b.String(), args
	w.ops = append(w.ops, op)
}

// fence touches the lease's row, which is locked then, so that nobody takes the
// lease before the batch has ended.
func (w *builder) fence(f bursar.Fence) {
	w.add(Op{Table: "leases", Row: []string{f.Name, fmt.Sprintf("epoch %d", f.Epoch)}, Select: true, Want: 1, Fail: bursar.ErrFenced},
		"SELECT 1 FROM "+w.s.d.Table("leases")+" WHERE name = ? AND epoch = ?"+w.s.d.Lock, f.Name, f.Epoch)
}

// attempt writes a row and who has its locks: at most one payout group has an
// open attempt on each.
func (w *builder) attempt(a *bursar.Attempt) {
	t := w.s.d.Table
	op, err := w.s.attempts.write(a)
	w.row(op, err)
	about := Op{Table: "attempts", Row: []string{a.ID}, Want: -1}
	if a.Version != 0 {
		w.add(about, `DELETE FROM `+t("locks")+` AS l WHERE EXISTS (SELECT 1 FROM `+t("attempt_locks")+` AS m
 WHERE m.attempt_id = ? AND m.chain = l.chain AND m."lock" = l."lock")
 AND NOT EXISTS (SELECT 1 FROM `+t("attempt_locks")+` AS m JOIN `+t("attempts")+` AS o ON o.id = m.attempt_id
 WHERE m.chain = l.chain AND m."lock" = l."lock" AND o.is_open AND o.id <> ?)`, a.ID, a.ID)
		w.add(about, `DELETE FROM `+t("attempt_locks")+` WHERE attempt_id = ?`, a.ID)
	}
	for _, lock := range slices.Compact(slices.Sorted(slices.Values(a.Locks))) {
		about.Row = []string{a.ID, string(lock)}
		w.add(about, `INSERT INTO `+t("attempt_locks")+` (attempt_id, chain, "lock") VALUES (?, ?, ?)`, a.ID, string(a.Chain), string(lock))
		if !a.Open {
			continue
		}
		held := about
		held.Want, held.Fail = 1, bursar.ErrConflict
		w.add(held, `INSERT INTO `+t("locks")+` AS l (chain, "lock", payout_id, attempt_group) VALUES (?, ?, ?, ?)
 ON CONFLICT (chain, "lock") DO UPDATE SET payout_id = l.payout_id
 WHERE l.payout_id = excluded.payout_id AND l.attempt_group = excluded.attempt_group`, string(a.Chain), string(lock), a.PayoutID, a.Group)
	}
}

// entries writes postings and adds up what they change.
func (w *builder) entries(list []bursar.Entry) {
	var sums []Sum
	add := func(asset chain.AssetID, account bursar.Account, by *big.Int) {
		for i := range sums {
			if sums[i].Asset == asset && sums[i].Account == account {
				sums[i].By.Add(sums[i].By, by)
				return
			}
		}
		sums = append(sums, Sum{asset, account, new(big.Int).Set(by)})
	}
	for i := range list {
		e := &list[i]
		if err := checkEntry(e); err != nil {
			live := e.Live
			if e.Reverses != "" {
				live = ""
			}
			w.broken("entries", e.ID, live, err)
			return
		}
		w.row(w.s.entries.write(e))
		if e.Reverses != "" {
			w.add(Op{Table: "entries", Row: []string{e.ID, "reverses", e.Reverses}, Want: 1, Fail: bursar.ErrInvariant},
				`UPDATE `+w.s.d.Table("entries")+` SET reversed_by = ? WHERE id = ? AND reverses = '' AND reversed_by = ''`, e.ID, e.Reverses)
		}
		add(e.Asset, e.Debit, e.Amount.Big())
		add(e.Asset, e.Credit, new(big.Int).Neg(e.Amount.Big()))
	}
	// In one order always, so that two writers never wait for each other.
	slices.SortFunc(sums, func(a, b Sum) int {
		return strings.Compare(string(a.Asset)+"\x00"+string(a.Account), string(b.Asset)+"\x00"+string(b.Account))
	})
	for i := range sums {
		s := &sums[i]
		if s.By.Sign() == 0 {
			continue
		}
		w.add(Op{Table: "balances", Row: []string{string(s.Asset), string(s.Account)}, Want: 1, Fail: bursar.ErrConflict, Sum: s},
			`INSERT INTO `+w.s.d.Table("balances")+` AS b (asset, account, "sum") VALUES (?, ?, ?`+w.s.d.Number+`)
 ON CONFLICT (asset, account) DO UPDATE SET "sum" = b."sum" + excluded."sum"`, string(s.Asset), string(s.Account), s.By.String())
	}
}

// checkEntry holds a posting to what can be told without the database.
func checkEntry(e *bursar.Entry) error {
	switch {
	case e.ID == "":
		return fmt.Errorf("%w: an entry has no id", bursar.ErrInvariant)
	case e.Amount.IsZero():
		return fmt.Errorf("%w: entry %q has no amount", bursar.ErrInvariant, e.ID)
	case e.Debit == e.Credit:
		return fmt.Errorf("%w: entry %q debits and credits %q", bursar.ErrInvariant, e.ID, e.Debit)
	}
	return nil
}

// broken ends the batch with an error, unless the row was written before: a
// writer that was too slow breaks rules too, and is told of the conflict.
func (w *builder) broken(table, id, live string, err error) {
	w.add(Op{Table: table, Row: []string{id}, Select: true, Want: 0, Fail: bursar.ErrConflict},
		"SELECT 1 FROM "+w.s.d.Table(table)+" WHERE id = ?", id)
	if live != "" {
		w.add(Op{Table: table, Row: []string{id, live}, Select: true, Want: 0, Fail: bursar.ErrConflict},
			"SELECT 1 FROM "+w.s.d.Table(table)+" WHERE live_key = ? AND live_key <> '' AND reverses = '' AND reversed_by = ''", live)
	}
	w.ops = append(w.ops, Op{Table: table, Row: []string{id}, Broken: err})
}

// event appends an event that follows its subject's last: the one before it must
// be there, and its own place be free.
func (w *builder) event(e *bursar.Event) {
	if e.ID == "" || e.Seq < 1 {
		w.broken("events", e.ID, "", fmt.Errorf("%w: event %q has number %d", bursar.ErrInvariant, e.ID, e.Seq))
		return
	}
	w.row(w.s.events.write(e))
	if e.Seq > 1 {
		w.add(Op{Table: "events", Row: []string{e.ID, "follows none"}, Select: true, Want: 1, Fail: bursar.ErrInvariant},
			`SELECT 1 FROM `+w.s.d.Table("events")+` WHERE subject = ? AND seq = ?`, e.Subject, e.Seq-1)
	}
}
