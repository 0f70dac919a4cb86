package bursar

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/bursar-go/bursar/internal/lifecycle"
)

// Bounds of the outbox.
const (
	// parkAfter is how long a failing event holds up later ones of its subject;
	// parkSlack is given beyond it, because tries are spread and calls take time.
	parkAfter = 15 * time.Minute
	parkSlack = parkAfter / 3
	// maxCalls is how many deliveries of one notifier are under way at once,
	// each of another lane.
	maxCalls = 64
	// maxTxCalls is the same for a NotifyTx notifier: each call holds a connection
	// of the store, or waits for its only writer.
	maxTxCalls = 8
	// notifyTimeout bounds one call of a notifier; claimFor is how long other
	// instances keep off, longer than the call can take.
	notifyTimeout = 30 * time.Second
	claimFor      = 2 * notifyTimeout
	// pumpPoll is the longest pause between two looks at the outbox.
	pumpPoll = 5 * time.Second
	// maxHold bounds how long a notifier that takes nothing is left alone.
	maxHold = time.Minute
)

// schedule is the pauses between the tries of a delivery: 75 h 45 min in all,
// at least the three days that the Standard Webhooks specification advises.
func schedule() []time.Duration {
	return []time.Duration{
		5 * time.Second, 25 * time.Second, 90 * time.Second, 3 * time.Minute, 10 * time.Minute,
		30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}
}

// pump delivers the outbox to one notifier. Each notifier has its own, so that
// a dead one delays no other; inside, each subject is a lane of its own: a call
// that takes its time holds up the later events of its subject alone.
type pump struct {
	gw   *Gateway
	name string
	to   Notifier
	tx   TxNotifier // the same, where it wants the store's transaction
	most int        // calls at once
	wake chan struct{}
	plan []time.Duration

	mu   sync.Mutex
	dice *rand.Rand // jitter only; nothing is decided by it
}

func newPump(g *Gateway, n Notifier) *pump {
	p := &pump{gw: g, name: n.Name(), to: n, most: maxCalls, wake: make(chan struct{}, 1), plan: schedule(), dice: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
	if tx, ok := n.(TxNotifier); ok {
		p.tx, p.most = tx, maxTxCalls
	}
	return p
}

// deliveries are the outbox rows of events, one for each notifier.
func (g *Gateway) deliveries(events []Event, now time.Time) []Delivery {
	if len(g.pumps) == 0 || len(events) == 0 {
		return nil
	}
	out := make([]Delivery, 0, len(events)*len(g.pumps))
	for _, e := range events {
		for _, p := range g.pumps {
			out = append(out, Delivery{EventID: e.ID, Endpoint: p.name, Subject: e.Subject, Seq: e.Seq, Status: DeliveryPending, NextAt: now})
		}
	}
	return out
}

// Wake hints that a transaction of the host's has committed, so that the events
// of CreatePaymentTx are delivered at once instead of at the next look at the
// outbox, up to 5 s later. It is safe at any time and never needed; it does not
// wait.
func (g *Gateway) Wake() {
	if g != nil {
		g.wakePump()
	}
}

// wakePump hints that there is something to deliver.
func (g *Gateway) wakePump() {
	for _, p := range g.pumps {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// job is one claimed delivery with its event and what came of it.
type job struct {
	row   Delivery
	event Event
	said  verdict
}

// shift is the working time of a pump's lane. It belongs to that goroutine.
type shift struct {
	*pump
	// under are the ids of the events whose calls are under way or not recorded
	// yet: at most maxCalls, so that back never blocks.
	under map[string]bool
	back  chan job
	// done have returned and are not recorded.
	done []job
	// until is when a notifier that took nothing is asked again.
	until time.Time
}

// run is the pump's lane.
func (p *pump) run(ctx context.Context) error {
	s := &shift{pump: p, under: map[string]bool{}, back: make(chan job, maxCalls)}
	for ctx.Err() == nil {
		s.turn(ctx)
		s.wait(ctx)
	}
	// The calls under way see the end of their context. What was delivered is
	// recorded all the same, or it would be delivered once more.
	for len(s.under) > len(s.done) {
		s.done = append(s.done, <-s.back)
	}
	s.settle(ctx)
	return nil
}

// turn records what has returned and begins what is due. After it all calls
// are taken, or nothing else is due.
func (s *shift) turn(ctx context.Context) {
	if !s.settle(ctx) || time.Now().Before(s.until) {
		return
	}
	free := s.most - len(s.under)
	if free <= 0 {
		return
	}
	jobs, err := s.claim(ctx, free, s.under)
	if err != nil {
		if ctx.Err() == nil {
			s.gw.log.WarnContext(ctx, "outbox", "notifier", s.name, "err", err)
		}
		return
	}
	for _, j := range jobs {
		s.under[j.event.ID] = true
		s.call(ctx, j, s.back)
	}
}

// call runs a notifier in a goroutine of its own; the job comes back whatever
// the notifier does.
func (p *pump) call(ctx context.Context, j job, back chan<- job) {
	j.said = verdict{text: "the notifier ended its goroutine"}
	lifecycle.Go(ctx, "call", func(ctx context.Context) error {
		j.said = p.notify(ctx, j)
		return nil
	}, func(error) { back <- j })
}

// settle records the calls that returned; where the store fails they are kept
// for the next turn.
func (s *shift) settle(ctx context.Context) bool {
	for more := true; more; {
		select {
		case j := <-s.back:
			s.done = append(s.done, j)
		default:
			more = false
		}
	}
	if len(s.done) == 0 {
		return true
	}
	if err := s.record(ctx, s.done); err != nil {
		s.gw.log.WarnContext(ctx, "outbox", "notifier", s.name, "err", err)
		return false
	}
	if pause := refused(s.done); pause > 0 {
		s.until = time.Now().Add(pause)
	}
	for _, j := range s.done {
		delete(s.under, j.event.ID)
	}
	s.done = s.done[:0]
	return true
}

// wait sleeps until there is something to do.
func (s *shift) wait(ctx context.Context) {
	pause, wake := pumpPoll, (<-chan struct{})(s.wake)
	if hold := time.Until(s.until); hold > 0 {
		pause, wake = min(pause, hold), nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case j := <-s.back:
		s.done = append(s.done, j)
	case <-wake:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// refused returns for how long a notifier wants to be left alone: it took none
// of the jobs. There is no point in claiming others for it meanwhile.
func refused(jobs []job) time.Duration {
	pause := maxHold
	for _, j := range jobs {
		if !j.said.untried {
			return 0
		}
		pause = min(pause, j.said.after)
	}
	return pause
}

// drain delivers in the caller's goroutine until nothing is due.
func (p *pump) drain(ctx context.Context) error {
	for {
		jobs, err := p.claim(ctx, p.most, nil)
		if err != nil || len(jobs) == 0 {
			return err
		}
		back := make(chan job, len(jobs))
		for _, j := range jobs {
			p.call(ctx, j, back)
		}
		for i := range jobs {
			jobs[i] = <-back
		}
		if err := p.record(ctx, jobs); err != nil || refused(jobs) > 0 {
			return err
		}
	}
}

// claim marks due deliveries as taken, so that other instances keep off. Those
// in skip are under way here, for longer than their claim lasts.
func (p *pump) claim(ctx context.Context, most int, skip map[string]bool) (jobs []job, err error) {
	var lost []string
	err = p.gw.store.Write(ctx, func(tx Tx) error {
		jobs, lost = nil, nil
		due, err := tx.Deliveries(ctx, DeliveryQuery{Endpoint: p.name, DueBy: tx.Now(), Claim: true, Limit: most + len(skip)})
		if err != nil {
			return err
		}
		var rows []Delivery
		var ids []string
		for _, row := range due {
			if !skip[row.EventID] && len(rows) < most {
				rows, ids = append(rows, row), append(ids, row.EventID)
			}
		}
		if len(rows) == 0 {
			return nil
		}
		events, err := tx.Events(ctx, EventQuery{IDs: ids})
		if err != nil {
			return err
		}
		of := make(map[string]Event, len(events))
		for _, e := range events {
			of[e.ID] = e
		}
		for i := range rows {
			e, ok := of[rows[i].EventID]
			if !ok {
				// It cannot be delivered, and it must not keep others from it.
				rows[i].Status, rows[i].DoneAt, rows[i].LastError = DeliveryDead, tx.Now(), "the event is gone"
				lost = append(lost, rows[i].EventID)
				continue
			}
			rows[i].LeasedUntil, rows[i].LastAt = tx.Now().Add(claimFor), tx.Now()
			setOnce(&rows[i].FirstAt, tx.Now())
			claimed := rows[i]
			claimed.Version++
			jobs = append(jobs, job{row: claimed, event: e})
		}
		return tx.Apply(ctx, Batch{Deliveries: rows})
	})
	if err != nil {
		return nil, err
	}
	for _, id := range lost {
		p.gw.log.ErrorContext(ctx, "delivery without its event", "notifier", p.name, "event", id)
	}
	return jobs, nil
}

// record writes the outcomes, also while the gateway is being stopped. Rows
// that another instance has touched meanwhile are its own business, and so are
// those whose own transaction has recorded them.
func (p *pump) record(ctx context.Context, all []job) error {
	jobs := slices.DeleteFunc(slices.Clone(all), func(j job) bool { return j.said.recorded })
	if len(jobs) == 0 {
		return nil
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), notifyTimeout)
	defer cancel()
	ids := make([]string, len(jobs))
	for i, j := range jobs {
		ids[i] = j.row.EventID
	}
	var out []Delivery
	err := p.gw.store.Write(patience, func(tx Tx) error {
		out = nil
		now, err := tx.Deliveries(patience, DeliveryQuery{EventIDs: ids, Endpoint: p.name})
		if err != nil {
			return err
		}
		version := make(map[string]int64, len(now))
		for _, row := range now {
			version[row.EventID] = row.Version
		}
		for _, j := range jobs {
			if version[j.row.EventID] == j.row.Version {
				out = append(out, outcome(p.plan, j.row, j.said, tx.Now()))
			}
		}
		return tx.Apply(patience, Batch{Deliveries: out})
	})
	if err != nil {
		return err
	}
	for _, d := range out {
		if d.Status == DeliveryDead {
			p.gw.log.ErrorContext(ctx, "delivery dead", "notifier", p.name, "event", d.EventID, "attempts", d.Attempts, "err", d.LastError)
		}
	}
	return nil
}
