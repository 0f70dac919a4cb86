package bursar

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"
)

// Bounds of the outbox.
const (
	// parkAfter is how long a failing event holds up later ones of its subject.
	parkAfter = 15 * time.Minute
	// claimBatch is how many deliveries one round takes, each of another lane.
	claimBatch = 64
	// notifyTimeout bounds one call of a notifier; claimFor is how long other
	// instances keep off, longer than the call can take.
	notifyTimeout = 30 * time.Second
	claimFor      = 2 * notifyTimeout
	// pumpPoll is the longest pause between two looks at the outbox.
	pumpPoll = 5 * time.Second
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
// a dead one delays no other; inside, each subject is a lane of its own.
type pump struct {
	gw    *Gateway
	name  string
	to    Notifier
	wake  chan struct{}
	plan  []time.Duration
	mu    sync.Mutex
	spare *rand.Rand // jitter only; nothing is decided by it
}

func newPump(g *Gateway, n Notifier) *pump {
	return &pump{gw: g, name: n.Name(), to: n, wake: make(chan struct{}, 1), plan: schedule(), spare: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
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

// wakePump hints that there is something to deliver.
func (g *Gateway) wakePump() {
	for _, p := range g.pumps {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// run is the pump's lane.
func (p *pump) run(ctx context.Context) error {
	for {
		did, err := p.step(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			p.gw.log.WarnContext(ctx, "outbox", "notifier", p.name, "err", err)
		}
		if did == 0 || err != nil {
			sleep(ctx, pumpPoll, p.wake)
		}
	}
}

// drain delivers until nothing is due.
func (p *pump) drain(ctx context.Context) error {
	for {
		did, err := p.step(ctx)
		if err != nil || did == 0 {
			return err
		}
	}
}

// job is one claimed delivery with its event and what came of it.
type job struct {
	row   Delivery
	event Event
	err   error
}

// step claims what is due, delivers it, and records the outcomes. It returns
// how many deliveries it tried.
func (p *pump) step(ctx context.Context) (int, error) {
	jobs, err := p.claim(ctx)
	if err != nil || len(jobs) == 0 {
		return 0, err
	}
	var wg sync.WaitGroup
	for i := range jobs {
		wg.Go(func() { jobs[i].err = p.notify(ctx, jobs[i].event) })
	}
	wg.Wait()
	// What was delivered is recorded also when the gateway is being stopped, or
	// it would be delivered once more.
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), notifyTimeout)
	defer cancel()
	return len(jobs), p.record(patience, jobs)
}

// claim marks due deliveries as taken, so that other instances keep off.
func (p *pump) claim(ctx context.Context) (jobs []job, err error) {
	err = p.gw.store.Write(ctx, func(tx Tx) error {
		jobs = nil
		rows, err := tx.Deliveries(ctx, DeliveryQuery{Endpoint: p.name, DueBy: tx.Now(), Limit: claimBatch})
		if err != nil || len(rows) == 0 {
			return err
		}
		ids := make([]string, len(rows))
		for i := range rows {
			ids[i] = rows[i].EventID
			rows[i].LeasedUntil = tx.Now().Add(claimFor)
			rows[i].LastAt = tx.Now()
			setOnce(&rows[i].FirstAt, tx.Now())
		}
		events, err := tx.Events(ctx, EventQuery{IDs: ids})
		if err != nil {
			return err
		}
		of := make(map[string]Event, len(events))
		for _, e := range events {
			of[e.ID] = e
		}
		for _, row := range rows {
			e, ok := of[row.EventID]
			if !ok {
				return fmt.Errorf("%w: delivery of %s has no event", ErrInvariant, row.EventID)
			}
			claimed := row
			claimed.Version++
			jobs = append(jobs, job{row: claimed, event: e})
		}
		return tx.Apply(ctx, Batch{Deliveries: rows})
	})
	return jobs, err
}

// notify calls host code: bounded in time, its panic an error.
func (p *pump) notify(ctx context.Context, e Event) (err error) {
	ctx, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("bursar: notifier %s panicked: %v", p.name, v)
			p.gw.log.ErrorContext(ctx, "notifier panicked", "notifier", p.name, "event", e.ID, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	return p.to.Notify(ctx, e)
}

// record writes the outcomes. Rows that another instance has touched meanwhile
// are its own business.
func (p *pump) record(ctx context.Context, jobs []job) error {
	return p.gw.store.Write(ctx, func(tx Tx) error {
		ids := make([]string, len(jobs))
		for i, j := range jobs {
			ids[i] = j.row.EventID
		}
		now, err := tx.Deliveries(ctx, DeliveryQuery{EventIDs: ids, Endpoint: p.name})
		if err != nil {
			return err
		}
		version := make(map[string]int64, len(now))
		for _, row := range now {
			version[row.EventID] = row.Version
		}
		var out []Delivery
		for _, j := range jobs {
			if version[j.row.EventID] == j.row.Version {
				out = append(out, p.outcome(j, tx.Now()))
			}
		}
		return tx.Apply(ctx, Batch{Deliveries: out})
	})
}

// outcome is what becomes of a delivery after a try.
func (p *pump) outcome(j job, now time.Time) Delivery {
	d := j.row
	d.Attempts++
	d.LeasedUntil = time.Time{}
	if j.err == nil {
		d.Status, d.DoneAt, d.LastError = DeliveryDone, now, ""
		return d
	}
	d.LastError = shorten(j.err.Error())
	var permanent *PermanentError
	var retry *RetryError
	if errors.As(j.err, &retry) && retry.Untried {
		d.Attempts--
		d.NextAt = now.Add(min(max(retry.After, time.Second), 24*time.Hour))
		return d.parked()
	}
	if errors.As(j.err, &permanent) || d.Attempts > len(p.plan) {
		d.Status, d.DoneAt = DeliveryDead, now
		p.gw.log.Error("delivery dead", "notifier", p.name, "event", d.EventID, "attempts", d.Attempts, "err", d.LastError)
		return d
	}
	pause := p.plan[d.Attempts-1]
	p.mu.Lock()
	pause += time.Duration(p.spare.Int64N(int64(pause)/10 + 1))
	p.mu.Unlock()
	if errors.As(j.err, &retry) {
		pause = max(pause, min(retry.After, 24*time.Hour))
	}
	d.NextAt = now.Add(pause)
	return d.parked()
}

// parked lets the lane go on without an event whose next try lies beyond the
// parking time; a little more than that is given, because tries are spread.
func (d Delivery) parked() Delivery {
	if d.NextAt.Sub(d.FirstAt) > parkAfter+parkAfter/5 {
		d.Status = DeliveryParked
	}
	return d
}
