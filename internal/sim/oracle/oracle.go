package oracle

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// Config says what an oracle judges by. Chain and Read are required.
type Config struct {
	// Chain is the truth.
	Chain *chaintest.Chain
	// Read reads the raw store, without faults.
	Read func(context.Context, func(bursar.Reader) error) error
	// Assets are those configured, the native coin included.
	Assets []chain.Asset
	// Treasury is where sweeps go, Sponsor who pays the gas, Float, where set, who pays refunds.
	Treasury, Sponsor, Float chain.Address
	// Sweeper, where set, is the contract by which the sponsor sweeps many addresses at
	// once to the treasury.
	Sweeper chain.Address
	// MaxFee is what any transaction may cost at most, in base units of the native coin.
	// Zero: no limit.
	MaxFee chain.Amount
	// Confirmations is the least depth of a credit; Finality that of what is
	// called final, 0 where a test sets the finalized block by itself.
	Confirmations, Finality uint64
	// MinSweep is the least that must be swept, in base units; what is missing
	// is 1.
	MinSweep map[chain.AssetID]chain.Amount
	// Endpoints are the live notifiers, which must have every event; those in
	// Dead never take one.
	Endpoints, Dead []string
	// Secrets are canaries that may stand in no row, event or line of a log.
	Secrets []string
	// Now is the store's clock.
	Now func() time.Time
}

// RuleError is one broken rule.
type RuleError struct {
	// Rule is its name: "S1" to "S11", "Q1" to "Q7".
	Rule string
	// Text says what broke it.
	Text string
}

// Error begins with the rule.
func (v *RuleError) Error() string { return v.Rule + ": " + v.Text }

func broken(rule, format string, args ...any) error {
	return &RuleError{Rule: rule, Text: fmt.Sprintf(format, args...)}
}

// Oracle keeps a model of the store, built from what was committed alone, and a
// memory of what left the gateway, which no restored backup takes back.
type Oracle struct {
	cfg    Config
	assets map[chain.AssetID]chain.Asset
	legs   map[leg]bool
	hops   hops

	mu      sync.Mutex
	m       *model
	past    past
	truth   truth
	batches []bursar.Batch
	marks   map[mark]bool
	// late is the first violation that was found where none could be returned.
	late error
	// lossy is set once the store has lost commits.
	lossy bool
	// replaying leaves out what was checked before, when it was committed.
	replaying bool
}

// New returns an oracle that has seen nothing.
func New(c Config) *Oracle {
	o := &Oracle{
		cfg: c, assets: map[chain.AssetID]chain.Asset{}, legs: legSet(), hops: newHops(),
		m: newModel(), past: newPast(), truth: newTruth(c.Chain), marks: map[mark]bool{},
	}
	for _, a := range c.Assets {
		o.assets[a.ID] = a
	}
	return o
}

// Committed is to be called for every batch, in the order of the commits. It
// returns the first rule that the batch breaks, and takes the batch in all the
// same.
func (o *Oracle) Committed(b bursar.Batch) error {
	b = stored(b)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.batches = append(o.batches, b)
	return o.take(&b)
}

// Rewound tells that the store lost everything after its first keep batches, as
// a restored snapshot does. What was issued, signed and broadcast before stays
// in memory.
func (o *Oracle) Rewound(keep int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if keep < 0 || keep > len(o.batches) {
		return broken("S2", "%d batches are to be kept of %d", keep, len(o.batches))
	}
	o.batches = o.batches[:keep:keep]
	o.m = newModel()
	o.past.seen = map[view]sight{}
	o.replaying, o.lossy = true, true
	for i := range o.batches {
		_ = o.take(&o.batches[i]) // it was judged when it was committed
	}
	o.replaying = false
	return nil
}

// take applies a batch to the model, row by row, and checks each against what
// was there. The order is that of the rows' dependence: entries name
// transactions, payments are judged by their events and by the ledger.
func (o *Oracle) take(b *bursar.Batch) error {
	var f first
	f.note(o.takeFences(b))
	f.note(each(b.Chains, func(row *bursar.ChainState) error { return o.takeChain(b, row) }))
	f.note(each(b.Addresses, o.takeAddress))
	f.note(each(b.Transactions, func(row *bursar.Transaction) error { return o.takeTransaction(b, row) }))
	f.note(each(b.Payouts, func(row *bursar.Payout) error { return o.takePayout(b, row) }))
	f.note(each(b.Attempts, o.takeAttempt))
	f.note(each(b.Entries, func(row *bursar.Entry) error { return o.takeEntry(b, row) }))
	f.note(each(b.Events, o.takeEvent))
	f.note(each(b.Payments, func(row *bursar.Payment) error { return o.takePayment(b, row) }))
	f.note(each(b.Deliveries, o.takeDelivery))
	if !o.replaying {
		f.note(o.balanced(b))
		f.note(o.numbered(b))
		f.note(o.sweeps(b))
		f.note(ranked(b))
		f.note(o.clean(b))
	}
	return f.err
}

// first keeps the first error that it is told.
type first struct{ err error }

func (f *first) note(err error) {
	if f.err == nil {
		f.err = err
	}
}

// each runs check on all rows and returns the first error.
func each[T any](rows []T, check func(*T) error) error {
	var f first
	for i := range rows {
		f.note(check(&rows[i]))
	}
	return f.err
}

// remember keeps a violation for the next answer that can carry it.
func (o *Oracle) remember(err error) {
	if o.late == nil {
		o.late = err
	}
}
