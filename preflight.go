package bursar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/webhook/send"
)

// PreflightLevel is what a check came to.
type PreflightLevel string

// The levels.
const (
	// PreflightOK: as it should be.
	PreflightOK PreflightLevel = "ok"
	// PreflightWarning: it works, and somebody should have decided so.
	PreflightWarning PreflightLevel = "warning"
	// PreflightFailure: do not go live with it.
	PreflightFailure PreflightLevel = "failure"
)

// PreflightCheck is one thing that was looked at.
type PreflightCheck struct {
	// Name is stable: "store.durable", "chain.head".
	Name string
	// Chain is the network that it is about; empty: none.
	Chain ChainID
	// Level is the outcome, Detail says what was found, without secrets.
	Level  PreflightLevel
	Detail string // Detail is for people and may change.
}

// PreflightReport is what Preflight found, in the order of looking.
type PreflightReport struct {
	Checks []PreflightCheck // Checks are all, those that are well included.
}

// Ready reports that there is no failure.
func (r PreflightReport) Ready() bool { return len(r.At(PreflightFailure)) == 0 }

// At returns the checks of a level.
func (r PreflightReport) At(level PreflightLevel) (out []PreflightCheck) {
	for _, c := range r.Checks {
		if c.Level == level {
			out = append(out, c)
		}
	}
	return out
}

// String writes a line for each check.
func (r PreflightReport) String() string {
	var b strings.Builder
	for _, c := range r.Checks {
		fmt.Fprintf(&b, "%-8s %-20s %s", c.Level, c.Name, c.Detail)
		if c.Chain != "" {
			fmt.Fprintf(&b, " (%s)", c.Chain)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Volatile is a Store that can tell that it forgets everything with the process.
// A store that lacks it is taken for a durable one.
type Volatile interface {
	Volatile() bool
}

// volatile reports whether a store forgets.
func volatile(s Store) bool {
	v, ok := s.(Volatile)
	return ok && v.Volatile()
}

// preflightSweeps is how many token sweeps the sponsor's balance should last for.
const preflightSweeps = 10

// Clocks may differ by so much: between our machines, and on the way to the
// store and back.
const (
	skewWarning = 2 * time.Second
	skewFailure = 30 * time.Second
)

// Preflight looks at all that a gateway of this configuration stands on, before
// it goes live: store, wallet, chains, tokens, treasury, gas and webhooks. It
// says everything that it finds instead of ending at the first fault, and writes
// nothing: the lease that it tries has a name of its own and is given up, and
// nothing is sent to a chain or a webhook. It may run beside a gateway at work.
//
// The error is that of New, a *FieldError, or of ctx; then there is no report,
// or not all of it. What cannot be reached is a failure in the report. ctx should
// bound the whole, a minute will do.
func Preflight(ctx context.Context, cfg Config) (PreflightReport, error) {
	g, err := New(cfg)
	if err != nil {
		return PreflightReport{}, err
	}
	p := &preflight{gw: g, ctx: ctx}
	p.notifiers()
	if p.store() {
		p.lease(ctx)
		p.origin()
	}
	for _, net := range g.order {
		(&chainPreflight{preflight: p, net: net}).run()
	}
	return p.report, ctx.Err()
}

// preflight collects the report.
type preflight struct {
	gw     *Gateway
	ctx    context.Context
	report PreflightReport
	states map[chain.ID]ChainState
	now    time.Time // the store's; zero where it could not be read
}

func (p *preflight) add(id ChainID, name string, level PreflightLevel, format string, args ...any) {
	p.report.Checks = append(p.report.Checks, PreflightCheck{Name: name, Chain: id, Level: level, Detail: fmt.Sprintf(format, args...)})
}

// live is a failure on live networks and a warning on test networks.
func (p *preflight) live() PreflightLevel {
	if p.gw.live {
		return PreflightFailure
	}
	return PreflightWarning
}

// notifiers: an event that nobody hears, or that everybody can read.
func (p *preflight) notifiers() {
	if len(p.gw.cfg.Notify) == 0 {
		p.add("", "notify.any", PreflightWarning, "nobody is told of payments")
		return
	}
	p.add("", "notify.any", PreflightOK, "%d notifiers", len(p.gw.cfg.Notify))
	for _, n := range p.gw.cfg.Notify {
		w, ok := n.(webhooks)
		switch {
		case !ok:
		case w.sender == nil:
			p.add("", "notify.https", PreflightFailure, "%s has no sender", w.name)
		case plainHTTP(w.sender):
			p.add("", "notify.https", p.live(), "%s goes over plain http", w.name)
		default:
			p.add("", "notify.https", PreflightOK, "%s", w.name)
		}
	}
}

// plainHTTP reads the scheme from the label of a sender, which shows no more of
// its URL.
func plainHTTP(s *send.Sender) bool { return strings.Contains(s.String(), `"http://`) }

// store reads what a start would read. It reports whether that was possible.
func (p *preflight) store() bool {
	g := p.gw
	if volatile(g.cfg.Store) {
		p.add("", "store.durable", p.live(), "the store forgets everything with the process")
	} else {
		p.add("", "store.durable", PreflightOK, "the store does not say that it forgets")
	}
	var pools []Pool
	var wallet error
	var after time.Time
	before := time.Now()
	err := g.store.Read(p.ctx, func(r Reader) (err error) {
		p.states = map[chain.ID]ChainState{}
		p.now = r.Now()
		after = time.Now()
		if pools, err = r.Pools(p.ctx); err != nil {
			return err
		}
		for _, net := range g.order {
			if p.states[net.info.ID], err = r.Chain(p.ctx, net.info.ID); err != nil {
				return err
			}
		}
		wallet = g.checkWallets(p.ctx, r, pools)
		return nil
	})
	if err != nil {
		p.add("", "store.reachable", PreflightFailure, "%v", err)
		return false
	}
	p.add("", "store.reachable", PreflightOK, "it can be read")
	p.skew("store.clock", p.now, before, after)
	if wallet == nil {
		for _, net := range g.order {
			if wallet = net.book.sync(p.ctx, pools); wallet != nil {
				break
			}
		}
	}
	if wallet != nil {
		p.add("", "wallet.match", PreflightFailure, "%v", wallet)
	} else {
		p.add("", "wallet.match", PreflightOK, "the store's addresses are the wallet's")
	}
	return true
}

// skew compares a clock with this process's between two moments.
func (p *preflight) skew(name string, at, from, to time.Time) {
	var off time.Duration
	switch {
	case at.Before(from):
		off = from.Sub(at)
	case at.After(to):
		off = at.Sub(to)
	}
	level := PreflightOK
	switch {
	case off > skewFailure:
		level = PreflightFailure
	case off > skewWarning:
		level = PreflightWarning
	}
	p.add("", name, level, "%s apart from this process's clock", off.Round(time.Millisecond))
}

// lease takes a lease that only Preflight uses, and gives it up. That another
// Preflight has it proves as much.
func (p *preflight) lease(ctx context.Context) {
	const name = "preflight"
	held, err := p.gw.store.Acquire(ctx, name, p.gw.cfg.Instance, p.gw.cfg.Lease)
	if err == nil {
		// Also where ctx ended meanwhile: it is not to stay behind.
		given, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.gw.cfg.Lease)
		defer cancel()
		_, err = p.gw.store.Acquire(given, name, p.gw.cfg.Instance, 0)
	}
	switch {
	case errors.Is(err, ErrLeaseHeld):
		p.add("", "store.lease", PreflightOK, "another preflight has it")
	case err != nil:
		p.add("", "store.lease", PreflightFailure, "%v", err)
	default:
		p.add("", "store.lease", PreflightOK, "taken with epoch %d and given up", held.Epoch)
	}
}

// origin: data that were restored from a backup, or copied.
func (p *preflight) origin() {
	o, ok := p.gw.cfg.Store.(Original)
	if !ok {
		return
	}
	at, err := o.Origin(p.ctx)
	switch {
	case err != nil:
		p.add("", "store.origin", PreflightFailure, "%v", err)
	case at.Written != "" && at.Written != at.Here:
		p.add("", "store.origin", PreflightFailure, "the data were written elsewhere: a restored backup, or a copy")
	default:
		p.add("", "store.origin", PreflightOK, "the data are where they were written")
	}
}

// warnVolatile is said at the start of a gateway that takes real money and
// forgets it.
func (g *Gateway) warnVolatile(ctx context.Context) {
	if g.live && volatile(g.cfg.Store) {
		ids := make([]string, 0, len(g.order))
		for _, net := range g.order {
			ids = append(ids, string(net.info.ID))
		}
		slices.Sort(ids)
		g.log.WarnContext(ctx, "the store forgets everything with the process, and the network is live: addresses and payments will be lost", "chains", strings.Join(ids, " "))
	}
}
