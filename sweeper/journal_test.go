package sweeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bursar-go/bursar/chain"
)

var errFenced = errors.New("test journal: refused")

// deposit is a transfer to an address of ours.
type deposit struct {
	id      string
	account chain.Account
	asset   chain.Asset
	amount  uint64
	final   bool
	at      time.Time
	job     string // what covers it
	done    bool
	missed  int
}

type row struct {
	Job
	closed bool
	covers []int // indexes of deposits
	all    []Attempt
	cause  []error
}

// book is a Journal in memory that holds its callers to the contract: what may
// not happen is a test failure, what may is refused as a real one refuses it.
type book struct {
	t        *testing.T
	w        *world
	deposits []deposit
	jobs     []*row
	keys     map[string]bool
	halted   bool
	stale    *Work // handed out instead of the truth
	last     Work
	raws     map[chain.TxID][]byte
	sends    map[chain.TxID]int
	topUps   int
	top      int // the highest block ever scanned
}

func newBook(t *testing.T, w *world) *book {
	b := &book{t: t, w: w, keys: map[string]bool{}, raws: map[chain.TxID][]byte{}, sends: map[chain.TxID]int{}}
	w.sent = b.checkSent
	return b
}

func (b *book) deposit(a chain.Account, asset chain.Asset, amount uint64, final bool) {
	id := fmt.Sprintf("d%d", len(b.deposits))
	b.deposits = append(b.deposits, deposit{id: id, account: a, asset: asset, amount: amount, final: final, at: b.w.now})
	// It is deep in the chain already: no reorg here takes it back.
	for _, state := range append(b.w.history, b.w.ledgerState) {
		state.balances[place{a.Address, asset.ID}] += amount
	}
}

// checkSent holds the rule that nothing is sent that was not recorded before.
func (b *book) checkSent(s chain.Signed) {
	b.t.Helper()
	raw, ok := b.raws[s.ID]
	if !ok {
		b.t.Errorf("broadcast of %s, which was never recorded", s.ID)
	} else if !bytes.Equal(raw, s.Raw) {
		b.t.Errorf("broadcast of %s with other bytes than recorded", s.ID)
	}
	b.sends[s.ID]++
}

func (b *book) job(id string) *row {
	for _, r := range b.jobs {
		if r.ID == id {
			return r
		}
	}
	return nil
}

func (b *book) jobKey(prefix string) *row {
	for _, r := range b.jobs {
		if strings.HasPrefix(r.Key, prefix) {
			return r
		}
	}
	b.t.Helper()
	b.t.Fatalf("no job with key %s…", prefix)
	return nil
}

func (b *book) holdings() (out []Holding, members map[string][]int) {
	members = map[string][]int{}
	at := map[place]int{}
	for i, d := range b.deposits {
		if !d.final || d.job != "" || d.done {
			continue
		}
		p := place{d.account.Address, d.asset.ID}
		k, ok := at[p]
		if !ok {
			k, at[p] = len(out), len(out)
			out = append(out, Holding{Account: d.account, Asset: d.asset, Since: d.at})
		}
		sum, err := out[k].Amount.Add(units(d.amount))
		if err != nil {
			b.t.Fatal(err)
		}
		ids := append(members[out[k].Ref], i)
		delete(members, out[k].Ref)
		out[k].Amount, out[k].Ref, out[k].Missed = sum, fmt.Sprintf("%s+%s.%d", out[k].Ref, d.id, d.missed), max(out[k].Missed, d.missed)
		members[out[k].Ref] = ids
	}
	return out, members
}

func (b *book) Work(ctx context.Context) (w Work, err error) {
	err = b.w.do(ctx, "Work", func() error {
		if b.stale != nil {
			w, b.stale = *b.stale, nil
			return nil
		}
		w.Now, w.Halted = b.w.now, b.halted
		w.Holdings, _ = b.holdings()
		for _, r := range b.jobs {
			if r.closed {
				continue
			}
			j := r.Job
			j.Attempts = slices.Clone(j.Attempts)
			j.TopUps = 0
			for _, c := range b.jobs {
				if c.Parent == j.ID && c.closed {
					j.TopUps++
				}
			}
			w.Jobs = append(w.Jobs, j)
			for _, a := range j.Attempts {
				w.Taken = append(w.Taken, a.Signed.Locks...)
			}
		}
		b.last = w
		return nil
	})
	return w, err
}

func (b *book) Plan(ctx context.Context, plans []Plan) error {
	return b.w.do(ctx, "Plan", func() error {
		if b.halted {
			return errFenced
		}
		for _, p := range plans {
			_, members := b.holdings()
			var covers []int
			fits := true
			for _, ref := range p.Covers {
				m, ok := members[ref]
				fits = fits && ok
				covers = append(covers, m...)
			}
			if b.keys[p.Key] || !fits {
				continue
			}
			b.checkPlan(p)
			b.keys[p.Key] = true
			id := fmt.Sprintf("j%02d", len(b.jobs))
			for _, i := range covers {
				b.deposits[i].job = id
			}
			b.jobs = append(b.jobs, &row{covers: covers, Job: Job{
				ID: id, Key: p.Key, State: Planned, Intent: p.Intent, Parent: p.Parent, Group: 1, Planned: b.w.now,
			}})
		}
		return nil
	})
}

func (b *book) CallOff(ctx context.Context, id string, _ error) error {
	return b.w.do(ctx, "CallOff", func() error {
		j := b.job(id)
		j.Cancel, j.Failures, j.NotBefore = j.State != Included, 0, time.Time{}
		return nil
	})
}

func (b *book) Divide(ctx context.Context, id string, parts []Plan, _ error) error {
	return b.w.do(ctx, "Divide", func() error {
		r := b.job(id)
		if r == nil || r.closed || b.halted || r.State != Planned || len(r.Attempts) > 0 {
			return errFenced
		}
		left := map[chain.Address]chain.Amount{}
		for _, m := range r.Intent.Moves {
			left[m.From.Address] = m.Amount
		}
		for _, p := range parts {
			if b.keys[p.Key] || len(p.Covers) > 0 || p.Parent != "" {
				b.t.Errorf("%s is divided in %s, covering %v", id, p.Key, p.Covers)
			}
			b.keys[p.Key] = true
			part := &row{Job: Job{ID: fmt.Sprintf("j%02d", len(b.jobs)), Key: p.Key, State: Planned, Intent: p.Intent, Group: 1, Planned: b.w.now}}
			for _, m := range p.Intent.Moves {
				if left[m.From.Address] != m.Amount {
					b.t.Errorf("%s moves %s from %s, %s has %s left", p.Key, m.Amount, m.From.Address, id, left[m.From.Address])
				}
				delete(left, m.From.Address)
				for _, i := range r.covers {
					if b.deposits[i].account == m.From {
						part.covers, b.deposits[i].job = append(part.covers, i), part.ID
					}
				}
			}
			b.jobs = append(b.jobs, part)
		}
		if len(left) > 0 {
			b.t.Errorf("%s is divided and %v is left", id, left)
		}
		r.closed, r.covers = true, nil
		return nil
	})
}

func (b *book) checkPlan(p Plan) {
	for _, r := range b.jobs {
		if p.Parent != "" && r.Parent == p.Parent && !r.closed {
			b.t.Errorf("second top-up %s for %s while %s is open", p.Key, p.Parent, r.Key)
		}
	}
	if p.Parent != "" {
		b.topUps++
	}
}

func (b *book) Signed(ctx context.Context, id string, d chain.Draft, s chain.Signed) error {
	return b.w.do(ctx, "Signed", func() error {
		r := b.job(id)
		_, known := b.raws[s.ID]
		if r == nil || r.closed || b.halted || known || len(r.Attempts) > 0 != (len(d.Intent.Reuse) > 0) {
			return errFenced
		}
		for _, other := range b.jobs {
			for _, a := range other.Attempts {
				if other != r && !other.closed && overlap(a.Signed.Locks, s.Locks) {
					return errFenced
				}
			}
		}
		for _, a := range r.Attempts {
			if !overlap(a.Signed.Locks, s.Locks) {
				b.t.Errorf("%s: replacement without a common lock", id)
				return errFenced
			}
		}
		if len(s.Locks) == 0 {
			b.t.Errorf("%s: signed without locks", id)
		}
		a := Attempt{Signed: s, SignedAt: b.w.now}
		r.Attempts, r.all = append(r.Attempts, a), append(r.all, a)
		if r.State == Planned {
			r.State = Signed
		}
		r.Failures, r.NotBefore = 0, time.Time{}
		b.raws[s.ID] = slices.Clone(s.Raw)
		return nil
	})
}

func overlap(a, b []chain.Lock) bool {
	return slices.ContainsFunc(a, func(l chain.Lock) bool { return slices.Contains(b, l) })
}

func (b *book) Sent(ctx context.Context, id string, tx chain.TxID, outcome error) error {
	return b.w.do(ctx, "Sent", func() error {
		r := b.job(id)
		if r == nil || r.closed {
			return errFenced
		}
		for i := range r.Attempts {
			if a := &r.Attempts[i]; a.Signed.ID == tx {
				a.SentAt, a.Error = b.w.now, ""
				if outcome != nil {
					a.Error = outcome.Error()
				}
			}
		}
		if r.State == Signed {
			r.State = Broadcast
		}
		return nil
	})
}

func (b *book) Defer(ctx context.Context, id string, cause error, until time.Time) error {
	return b.w.do(ctx, "Defer", func() error {
		r := b.job(id)
		if r == nil || r.closed {
			return errFenced
		}
		if cause == nil || !until.After(b.w.now.Add(-time.Hour)) {
			b.t.Errorf("%s deferred for %v until %v", id, cause, until)
		}
		r.NotBefore, r.cause = until, append(r.cause, cause)
		if wait := (*FeeWaitError)(nil); !errors.As(cause, &wait) {
			r.Failures++
		}
		return nil
	})
}

// scan is what the scanner and the payout rules do elsewhere: it follows every
// transaction ever recorded into and out of blocks.
func (b *book) scan() {
	b.t.Helper()
	b.top = max(b.top, b.w.height)
	for _, r := range b.jobs {
		if r.closed {
			continue
		}
		m, found := b.find(r)
		switch {
		case !found && r.State == Included:
			r.State = Broadcast
			for i := range r.Attempts {
				r.Attempts[i].SentAt = time.Time{}
			}
		case found && b.w.height-m.height < finalDepth:
			r.State = Included
		case found && m.ok:
			r.closed = true
			for _, i := range r.covers {
				d := &b.deposits[i]
				if m.missed[d.account.Address] {
					d.job, d.missed = "", d.missed+1
					continue
				}
				if d.done {
					b.t.Errorf("deposit %s collected twice", d.id)
				}
				d.done = true
			}
		case found:
			r.State, r.Attempts, r.Group = Planned, nil, r.Group+1
		}
	}
}

func (b *book) find(r *row) (minedTx, bool) {
	for _, a := range r.Attempts {
		if m, ok := b.w.mined[a.Signed.ID]; ok {
			return m, true
		}
	}
	return minedTx{}, false
}

// audit checks what must hold at every moment.
func (b *book) audit() {
	b.t.Helper()
	held := map[chain.Lock]string{}
	for _, r := range b.jobs {
		paid := 0
		for _, a := range r.all {
			if m, ok := b.w.mined[a.Signed.ID]; ok && m.ok {
				paid++
			}
		}
		if paid > 1 {
			b.t.Errorf("job %s was mined %d times", r.Key, paid)
		}
		for _, a := range r.all {
			group := r.ID
			for _, l := range a.Signed.Locks {
				if other, ok := held[l]; ok && other != group {
					b.t.Errorf("lock %s is held by %s and %s", l, other, group)
				}
				held[l] = group
			}
		}
	}
	for id, m := range b.w.mined {
		own := m.From == sponsor.Address && m.To != stranger
		if m.To != treasury && !own && m.From != stranger {
			b.t.Errorf("%s paid %s from %s", id, m.To, m.From)
		}
	}
}

func (b *book) unswept() int {
	n := 0
	for _, d := range b.deposits {
		if d.final && !d.done {
			n++
		}
	}
	return n
}
