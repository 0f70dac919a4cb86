package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/webhook"
)

// report prints the live account, a line at a time. It is safe for concurrent
// use: events, webhooks and blocks come from different goroutines.
type report struct {
	mu    sync.Mutex
	out   io.Writer
	begin time.Time
	names map[common.Address]string
	txs   map[common.Hash]string // what a transaction of the demo's own is
	// held keeps lines back while a block is made: the gateway can be faster
	// than the demo, and a reader wants the block before what follows from it.
	held    bool
	backlog []string
}

func newReport(out io.Writer) *report {
	return &report{out: out, begin: time.Now(), names: map[common.Address]string{}, txs: map[common.Hash]string{}}
}

// line prints one line: seconds since the start, what it is about, the rest.
func (r *report) line(what, format string, args ...any) {
	text := r.stamped(what, format, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held {
		r.backlog = append(r.backlog, text)
		return
	}
	_, _ = io.WriteString(r.out, text) // a reader who has gone is no failure
}

func (r *report) stamped(what, format string, args ...any) string {
	return fmt.Sprintf("%6.2f  %-8s %s\n", time.Since(r.begin).Seconds(), what, fmt.Sprintf(format, args...))
}

// hold keeps lines back until release.
func (r *report) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = true
}

// release prints blocks, and then what was kept back.
func (r *report) release(blocks ...*types.Block) {
	var lines []string
	for _, b := range blocks {
		lines = append(lines, r.block(b))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, text := range append(lines, r.backlog...) {
		_, _ = io.WriteString(r.out, text)
	}
	r.held, r.backlog = false, nil
}

// scene announces what comes next.
func (r *report) scene(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, "\n── %s\n", text)
}

// name gives an address a name; nameOf finds it.
func (r *report) name(a common.Address, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names[a] = name
}

func (r *report) nameOf(a common.Address) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if name := r.names[a]; name != "" {
		return name
	}
	return short(a.Hex())
}

// note says what a transaction of the demo's own does.
func (r *report) note(tx *types.Transaction, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.txs[tx.Hash()] = fmt.Sprintf(format, args...)
}

// noted is what was noted of a transaction.
func (r *report) noted(id common.Hash) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.txs[id]
}

// block is the progress line of a block; what happens several times in it is
// told once.
func (r *report) block(b *types.Block) string {
	var what []string
	times := map[string]int{}
	for _, tx := range b.Transactions() {
		text := r.describe(tx)
		if times[text]++; times[text] == 1 {
			what = append(what, text)
		}
	}
	for i, text := range what {
		if n := times[text]; n > 1 {
			what[i] = fmt.Sprintf("%s (%d times)", text, n)
		}
	}
	if len(what) == 0 {
		what = []string{"·"}
	}
	return r.stamped("block", "%4d %s  %s", b.NumberU64(), short(b.Hash().Hex()), strings.Join(what, "; "))
}

// describe says what a transaction is. Those that the demo did not make are the
// gateway's.
func (r *report) describe(tx *types.Transaction) string {
	if known := r.noted(tx.Hash()); known != "" {
		return known
	}
	from, err := types.Sender(types.LatestSignerForChainID(tx.ChainId()), tx)
	if err != nil || tx.To() == nil {
		return "a transaction " + short(tx.Hash().Hex())
	}
	switch payer := r.nameOf(from); {
	case from == *tx.To():
		return "·" // made for the block's sake
	case payer == sponsorName:
		return "gas for " + r.nameOf(*tx.To())
	default:
		return "sweep of " + payer
	}
}

// sponsorName is the name of the account that pays gas.
const sponsorName = "sponsor"

// event prints what the gateway tells its host in the same process.
func (r *report) event(e bursar.Event) {
	r.line("event", "%-11s %-24s #%-2d %s", r.subject(e.Data), e.Kind, e.Seq, details(e))
	if p := e.Data.Payout; p != nil && e.Kind == bursar.PayoutConfirmedEvent && p.Kind == bursar.PayoutSweep {
		r.line("sweep", "%-11s %s %s is in the treasury: %d gas, fee %s ETH, %s", r.subject(e.Data), p.Moved, p.TokenID, p.GasUsed, p.Fee, short(string(p.TxID)))
	}
}

// subject names what an event is about.
func (r *report) subject(d bursar.EventData) string {
	switch {
	case d.Metadata["order"] != "":
		return d.Metadata["order"]
	case d.Payout != nil && d.Payout.Kind == bursar.PayoutTopUp:
		return r.nameOf(common.HexToAddress(string(d.Payout.To)))
	case d.Payout != nil:
		return r.nameOf(common.HexToAddress(string(d.Payout.From)))
	case d.Address != "":
		return r.nameOf(common.HexToAddress(string(d.Address)))
	}
	return string(d.Chain)
}

// details are the few facts of an event that matter to a reader.
func details(e bursar.Event) string {
	d := e.Data
	switch {
	case d.Payout != nil:
		text := fmt.Sprintf("%s of %s %s", d.Payout.Kind, d.Payout.Amount, d.TokenID)
		if e.Kind == bursar.PayoutConfirmedEvent {
			text += fmt.Sprintf(", %d gas, fee %s ETH", d.Payout.GasUsed, d.Payout.Fee)
		}
		if d.Payout.Reason != "" {
			text += ": " + d.Payout.Reason
		}
		return text
	case strings.HasPrefix(string(e.Kind), "transaction.") && d.Transaction != nil:
		t := d.Transaction
		if e.Kind == bursar.TransactionOrphaned {
			return fmt.Sprintf("%s %s, block %s is gone", t.Amount, t.TokenID, short(string(t.BlockHash)))
		}
		return fmt.Sprintf("%s %s in block %d %s, depth %d", t.Amount, t.TokenID, t.Block, short(string(t.BlockHash)), t.Confirmations)
	case d.Status == "":
		return d.Reason
	}
	text := fmt.Sprintf("%s: %s of %s %s confirmed", d.Status, d.Confirmed, d.Amount, d.TokenID)
	switch e.Kind {
	case bursar.PaymentOverpaid:
		text += ", excess " + d.Excess
	case bursar.PaymentPartial, bursar.PaymentUnderpaid:
		text += ", short of " + d.Shortfall
	case bursar.PaymentLate:
		text += fmt.Sprintf(", %s held: %s", d.Held, d.Reason)
	case bursar.PaymentReverted:
		text += fmt.Sprintf(", was %s", d.From)
	case bursar.PaymentSettled:
		text += fmt.Sprintf(", fee share %s ETH", d.FeeShare)
	}
	return text
}

// webhook prints an event as it came in over HTTP, after its signature was
// verified.
func (r *report) webhook(e webhook.Event, signature string) {
	var d bursar.EventData
	if err := json.Unmarshal(e.Data, &d); err != nil {
		r.line("webhook", "%s: %v", e.ID, err)
		return
	}
	r.line("webhook", "%-11s %-24s #%-2d signature verified: %s", r.subject(d), e.Event, e.Seq, short(signature))
}

// logs is where the gateway's warnings go.
func (r *report) logs() io.Writer { return logWriter{r} }

type logWriter struct{ *report }

func (w logWriter) Write(p []byte) (int, error) {
	w.line("log", "%s", strings.TrimSpace(string(p)))
	return len(p), nil
}

// short is the beginning of a hash, address or signature.
func short(text string) string {
	if len(text) > 10 {
		return text[:10] + "…"
	}
	return text
}

// table prints the orders as they ended.
func (r *report) table(orders []*order) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := tabwriter.NewWriter(r.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "payment\tasked\tstate\treceived\theld\tto the treasury\tgas of the sweep\tpaid in tx\tswept in tx")
	for _, o := range orders {
		p := o.payment
		row := []string{o.name, o.amount + " " + o.asset, string(p.Status), p.Asset.Format(p.Received), "–", "–", "–", "–", "–"}
		if !p.Held.IsZero() {
			row[4] = p.Asset.Format(p.Held)
		}
		for _, sweep := range o.swept { // one each
			row[5], row[6] = p.Asset.Format(sweep.Moved), fmt.Sprintf("%d, %s ETH", sweep.GasUsed, sweep.Fee.Format(18))
			row[8] = short(string(sweep.TxID))
		}
		if o.sent != nil {
			row[7] = short(o.sent.Hash().Hex())
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// covered is how much of an order's money was swept, in base units.
func covered(o *order) chain.Amount {
	total := new(big.Int)
	for _, p := range o.swept {
		for _, it := range p.Items {
			if it.PaymentID == o.payment.ID {
				total.Add(total, it.Amount.Big())
			}
		}
	}
	sum, err := chain.AmountFromBig(total)
	if err != nil {
		return chain.Amount{} // no sum of real money; it is then not what is wanted
	}
	return sum
}
