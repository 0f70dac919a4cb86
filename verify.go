package bursar

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// MaxFindings is how many findings a Report keeps; more are counted only.
const MaxFindings = 1000

// Finding is one row that is not as it must be.
type Finding struct {
	// Rule is the code of the rule that does not hold; see AuditRules.
	Rule string
	// Table, ID and Field say where: "payments", "transactions", "addresses",
	// "payouts", "attempts", "entries", "balances", "events", "deliveries" or
	// "chains"; the row's id, which of a balance is asset and account; and the
	// field, empty where the row as a whole is meant.
	Table, ID, Field string
	// Want is what it should be by all else that is known, Got what it is.
	Want, Got string
	// Detail says more, for example which other row disagrees. A disagreement
	// of two rows does not tell which of them was changed.
	Detail string
}

// String tells the finding on one line.
func (f Finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s %s", f.Rule, f.Table, f.ID)
	if f.Field != "" {
		b.WriteString(" " + f.Field)
	}
	if f.Want != "" || f.Got != "" {
		fmt.Fprintf(&b, ": want %q, got %q", f.Want, f.Got)
	}
	if f.Detail != "" {
		b.WriteString(" (" + f.Detail + ")")
	}
	return b.String()
}

// Skipped is something that could not be compared, and therefore is neither
// right nor wrong.
type Skipped struct {
	// What was left out, and why.
	What, Reason string
}

// Report is what an audit found.
type Report struct {
	// At is the time of the snapshot, by the store's clock.
	At time.Time
	// Findings are the rows that are off, in the order in which they were found;
	// More counts those beyond MaxFindings.
	Findings []Finding
	More     int // More counts the findings that were left out.
	// Checked counts the rows that were looked at, by table.
	Checked map[string]int
	// Heights are the blocks at which ledger and chain were compared. A chain
	// that could not be compared is missing, and stands in Skipped.
	Heights map[ChainID]uint64
	// Skipped is what could not be compared.
	Skipped []Skipped
}

// Clean reports whether nothing was found to be off. What was skipped does not
// count: look at Skipped as well.
func (r Report) Clean() bool { return len(r.Findings) == 0 }

// String is the report as an operator reads it.
func (r Report) String() string {
	var b strings.Builder
	if r.Clean() {
		fmt.Fprintf(&b, "clean at %s\n", r.At.UTC().Format(time.RFC3339))
	} else {
		fmt.Fprintf(&b, "%d findings at %s\n", len(r.Findings)+r.More, r.At.UTC().Format(time.RFC3339))
	}
	for _, f := range r.Findings {
		b.WriteString("  " + f.String() + "\n")
	}
	if r.More > 0 {
		fmt.Fprintf(&b, "  and %d more\n", r.More)
	}
	for _, table := range sortedKeys(r.Checked) {
		fmt.Fprintf(&b, "checked %d %s\n", r.Checked[table], table)
	}
	for _, id := range slices.Sorted(maps.Keys(r.Heights)) {
		fmt.Fprintf(&b, "compared with %s at height %d\n", id, r.Heights[id])
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(&b, "skipped %s: %s\n", s.What, s.Reason)
	}
	return b.String()
}

// Verify audits the store: it recomputes every balance from the ledger, every
// amount and status from the transactions, every address from the wallets, and
// compares what must agree; then it compares the ledger with the chains, at the
// very block up to which the store had scanned. It writes nothing.
//
// It works before Start, after Stop and under load: all of the store is read in
// one snapshot, and a node that has moved on, lost the state of that block or
// cannot be reached makes for a line in Report.Skipped, not for a finding. An
// error means that the audit itself could not be done: the store failed, or ctx
// ended.
//
// It reads everything: payments, transactions, payouts and addresses page by
// page, entries and events by their subject. In memory it keeps a sum for each
// account that holds money. A database that cannot be snapshot for so long
// should be audited on a replica.
//
// A change that a forger made everywhere alike, in rows, events and ledger, is
// found only by the comparison with the chain.
func (g *Gateway) Verify(ctx context.Context) (Report, error) {
	if g == nil || g.store == nil {
		return Report{}, ErrNotStarted
	}
	a, err := g.auditStore(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("bursar: verify: %w", err)
	}
	for _, net := range g.order {
		if err := a.chain(net); err != nil {
			return Report{}, fmt.Errorf("bursar: verify: %w", err)
		}
	}
	return a.report, nil
}

// auditStore is the store's side of an audit.
func (g *Gateway) auditStore(ctx context.Context) (*auditor, error) {
	var a *auditor
	err := g.store.Read(ctx, func(r Reader) error {
		// A store may run a reading closure again.
		a = newAuditor(ctx, g, r)
		return a.run()
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	a.r = nil // its snapshot is over
	return a, nil
}

// journalKey is one account of one journal.
type journalKey struct {
	asset   chain.AssetID
	account Account
}

// auditor is one audit under way.
type auditor struct {
	ctx    context.Context
	gw     *Gateway
	r      Reader
	report Report

	states map[chain.ID]ChainState
	pools  map[string]uint32
	blocks map[chain.ID]map[uint64]chain.BlockHash // the blocks in Recent
	// sums are recomputed from the entries; an account that comes to zero is
	// dropped again.
	sums   auditSums
	covers map[string]cover // by transaction
	locks  map[string]string
	young  map[chain.ID][]Transaction // live and not final
}

func newAuditor(ctx context.Context, g *Gateway, r Reader) *auditor {
	return &auditor{
		ctx: ctx, gw: g, r: r,
		report: Report{At: r.Now(), Checked: map[string]int{}, Heights: map[ChainID]uint64{}},
		states: map[chain.ID]ChainState{}, pools: map[string]uint32{}, blocks: map[chain.ID]map[uint64]chain.BlockHash{},
		sums: auditSums{}, covers: map[string]cover{}, locks: map[string]string{}, young: map[chain.ID][]Transaction{},
	}
}

// run checks table by table. Payouts come first, because transactions are held
// against what the payouts cover, and balances last.
func (a *auditor) run() error {
	for _, part := range []func() error{
		a.chains, a.payouts, a.attempts, a.payments, a.addresses, a.transactions, a.deliveries, a.balances,
	} {
		if err := part(); err != nil {
			return err
		}
		if err := a.ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// found notes a row that is off.
func (a *auditor) found(f Finding) {
	if len(a.report.Findings) >= MaxFindings {
		a.report.More++
		return
	}
	a.report.Findings = append(a.report.Findings, f)
}

// skip notes what cannot be compared, once.
func (a *auditor) skip(what, reason string) {
	s := Skipped{what, reason}
	if !slices.Contains(a.report.Skipped, s) {
		a.report.Skipped = append(a.report.Skipped, s)
	}
}

func (a *auditor) count(table string, n int) { a.report.Checked[table] += n }

// row is where a check looks.
type auditRow struct {
	*auditor
	table, id string
}

func (a *auditor) row(table, id string) auditRow { return auditRow{a, table, id} }

// same notes a field that differs.
func (r auditRow) same(rule, field string, want, got any, detail ...string) {
	if w, g := auditText(want), auditText(got); w != g {
		r.found(Finding{Rule: rule, Table: r.table, ID: r.id, Field: field, Want: w, Got: g, Detail: strings.Join(detail, " ")})
	}
}

// holds notes a rule that does not.
func (r auditRow) holds(rule, field string, ok bool, format string, args ...any) {
	if !ok {
		r.found(Finding{Rule: rule, Table: r.table, ID: r.id, Field: field, Detail: fmt.Sprintf(format, args...)})
	}
}

// auditText writes a value so that equal ones are written alike: times by their
// instant, because a database may change their inner form.
func auditText(v any) string {
	if t, ok := v.(time.Time); ok {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprint(v)
}

// auditPage is how many rows are read at once.
const auditPage = 200
