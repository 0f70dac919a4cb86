package bursar

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
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
	// linger is how long what a call has said waits for the others that are under way,
	// so that a burst is recorded together.
	linger = 5 * time.Millisecond
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

func newPump(g *Gateway, n Notifier, dice rand.Source) *pump {
	p := &pump{gw: g, name: n.Name(), to: n, most: maxCalls, wake: make(chan struct{}, 1), plan: schedule(), dice: rand.New(dice)}
	if tx, ok := n.(TxNotifier); ok {
		p.tx, p.most = tx, maxTxCalls
	}
	return p
}

// deliveries are the outbox rows of events, one for each notifier and for each
// endpoint that wants it. The transaction has learned of the latter before.
func (g *Gateway) deliveries(events []Event, now time.Time) []Delivery {
	known := g.directory.all()
	if len(g.pumps)+len(known) == 0 || len(events) == 0 {
		return nil
	}
	out := make([]Delivery, 0, len(events)*len(g.pumps))
	for _, e := range events {
		for _, p := range g.pumps {
			out = append(out, newDelivery(e, p.name, DeliveryPending, now))
		}
		if len(known) > 0 {
			out = g.directory.deliveries(out, &e, now)
		}
	}
	return out
}

// newDelivery is an event on its way to a notifier, due now.
func newDelivery(e Event, to string, status DeliveryStatus, now time.Time) Delivery {
	return Delivery{EventID: e.ID, Endpoint: to, Kind: e.Kind, Subject: e.Subject, Seq: e.Seq, Status: status, NextAt: now, CreatedAt: now}
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
		p.hint()
	}
	g.directory.each((*pump).hint)
}

func (p *pump) hint() {
	select {
	case p.wake <- struct{}{}:
	default:
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
	crew  *crew
	// done have returned and are not recorded.
	done []job
	// until is when a notifier that took nothing is asked again.
	until time.Time
	// behind is true while there is more to do than fits at once.
	behind bool
}

// run is the pump's lane.
func (p *pump) run(ctx context.Context) error {
	s := &shift{pump: p, under: map[string]bool{}, crew: newCrew(p)}
	for ctx.Err() == nil {
		s.turn(ctx)
		s.wait(ctx)
	}
	// The calls under way see the end of their context. What was delivered is
	// recorded all the same, or it would be delivered once more.
	for len(s.under) > len(s.done) {
		s.done = append(s.done, <-s.crew.back)
	}
	s.exchange(ctx, 0)
	return nil
}

// turn records what has returned and begins what is due. After it all calls
// are taken, or nothing else is due.
func (s *shift) turn(ctx context.Context) {
	s.gather()
	if pause := refused(s.done); pause > 0 {
		s.until = time.Now().Add(pause)
	}
	// Where more waits than fits, one transaction does both. Elsewhere what is
	// recorded may be what the next one of its lane waits for.
	if len(s.done) > 0 && !s.behind && !s.exchange(ctx, 0) {
		return
	}
	if free := s.most - len(s.under) + len(s.done); free > 0 && !time.Now().Before(s.until) {
		s.exchange(ctx, free)
	} else if len(s.done) > 0 {
		s.exchange(ctx, 0)
	}
}

// gather takes in the calls that have returned.
func (s *shift) gather() {
	for {
		select {
		case j := <-s.crew.back:
			s.done = append(s.done, j)
		default:
			return
		}
	}
}

// exchange records the calls that returned and begins up to most others. Where
// the store fails the former are kept for the next turn, which tries less.
func (s *shift) exchange(ctx context.Context, most int) bool {
	jobs, err := s.pump.exchange(ctx, s.done, most, s.under)
	s.behind = err == nil && most > 0 && len(jobs) == most
	if err != nil {
		if len(s.done) > 0 || ctx.Err() == nil {
			s.gw.log.WarnContext(ctx, "outbox", "notifier", s.name, "err", err)
		}
		return false
	}
	for _, j := range s.done {
		delete(s.under, j.event.ID)
	}
	s.done = s.done[:0]
	for _, j := range jobs {
		s.under[j.event.ID] = true
		s.crew.call(ctx, j)
	}
	return true
}

// wait sleeps until there is something to do.
func (s *shift) wait(ctx context.Context) {
	// Spread, so that instances do not look all at once, and no look falls together
	// with the end of a call's time.
	pause, wake := pumpPoll-pumpPoll/10*time.Duration(s.roll())/1000, (<-chan struct{})(s.wake)
	if hold := time.Until(s.until); hold > 0 {
		pause, wake = min(pause, hold), nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case j := <-s.crew.back:
		s.done = append(s.done, j)
	case <-wake:
	case <-timer.C:
	case <-ctx.Done():
	}
	// One look serves every reason for it, whichever of them was chosen above.
	select {
	case <-wake:
	default:
	}
	if s.gather(); len(s.done) > 0 {
		s.linger(ctx)
	}
}

// linger takes in what other calls say in the next moment.
func (s *shift) linger(ctx context.Context) {
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for len(s.done) < len(s.under) {
		select {
		case j := <-s.crew.back:
			s.done = append(s.done, j)
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// refused returns for how long a notifier wants to be left alone: it took none
// of the jobs. There is no point in claiming others for it meanwhile.
func refused(jobs []job) time.Duration {
	if len(jobs) == 0 {
		return 0
	}
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
	var done []job
	crew := newCrew(p)
	for behind := false; ; {
		if pause := refused(done); len(done) > 0 && (!behind || pause > 0) {
			if _, err := p.exchange(ctx, done, 0, nil); err != nil || pause > 0 {
				return err
			}
			done = nil
		}
		under := make(map[string]bool, len(done))
		for _, j := range done {
			under[j.event.ID] = true
		}
		jobs, err := p.exchange(ctx, done, p.most, under)
		if err != nil || len(jobs)+len(done) == 0 {
			return err
		}
		for _, j := range jobs {
			crew.call(ctx, j)
		}
		for i := range jobs {
			jobs[i] = <-crew.back
		}
		done, behind = jobs, len(jobs) == p.most
	}
}

// exchange records what the calls of done have said, and claims up to most due
// deliveries except those in skip, which are under way here for longer than their
// claim lasts. It is one transaction, so that a long queue costs one commit for
// each batch. What is recorded is recorded also while the gateway is being stopped.
func (p *pump) exchange(ctx context.Context, done []job, most int, skip map[string]bool) ([]job, error) {
	done = slices.DeleteFunc(slices.Clone(done), func(j job) bool { return j.said.recorded })
	if len(done) == 0 && most == 0 {
		return nil, nil
	}
	patience := ctx
	if len(done) > 0 {
		var cancel context.CancelFunc
		patience, cancel = context.WithTimeout(context.WithoutCancel(ctx), notifyTimeout)
		defer cancel()
		if ctx.Err() != nil {
			most = 0
		}
	}
	rows, jobs, err := p.trade(patience, done, most, skip, false)
	if errors.Is(err, ErrConflict) && len(done) > 0 {
		rows, jobs, err = p.trade(patience, done, most, skip, true)
	}
	if err != nil {
		return nil, err
	}
	for _, d := range rows {
		if d.Status == DeliveryDead {
			p.gw.log.ErrorContext(ctx, "delivery dead", "notifier", p.name, "event", d.EventID, "attempts", d.Attempts, "err", d.LastError)
		}
	}
	return jobs, nil
}

// trade is the transaction of an exchange. look tells whether rows may have been
// touched by another instance meanwhile, which the closure asks for in any case
// when the store runs it again: mostly it is not so, and the versions guard it.
func (p *pump) trade(ctx context.Context, done []job, most int, skip map[string]bool, look bool) (rows []Delivery, jobs []job, err error) {
	err = p.gw.store.Write(ctx, func(tx Tx) (err error) {
		var told []Delivery
		rows, jobs, err = p.claim(ctx, tx, most, skip)
		if err == nil {
			told, err = p.record(ctx, tx, done, look)
		}
		look = true
		if rows = append(rows, told...); err != nil || len(rows) == 0 {
			return err
		}
		return tx.Apply(ctx, Batch{Deliveries: rows})
	})
	return rows, jobs, err
}

// claim takes due deliveries so that other instances keep off. It returns what is to
// be stored about them, and what is to be done.
func (p *pump) claim(ctx context.Context, tx Tx, most int, skip map[string]bool) (rows []Delivery, jobs []job, err error) {
	if most == 0 {
		return nil, nil, nil
	}
	var taken, untaken []Delivery
	var events []Event
	if c, ok := tx.(DeliveryClaimer); ok {
		taken, events, err = c.ClaimDeliveries(ctx, p.name, claimFor, most, slices.Collect(maps.Keys(skip)))
	} else {
		untaken, events, err = p.due(ctx, tx, most, skip)
	}
	if err != nil {
		return nil, nil, err
	}
	of := make(map[string]*Event, len(events))
	for i := range events {
		of[events[i].ID] = &events[i]
	}
	now := tx.Now()
	for _, row := range untaken {
		if of[row.EventID] != nil {
			row.LeasedUntil, row.LastAt = now.Add(claimFor), now
			setOnce(&row.FirstAt, now)
			rows = append(rows, row)
			row.Version++
		}
		taken = append(taken, row)
	}
	for _, row := range taken {
		if e := of[row.EventID]; e != nil {
			jobs = append(jobs, job{row: row, event: *e})
			continue
		}
		// It cannot be delivered, and it must not keep others from it.
		row.Status, row.DoneAt, row.LeasedUntil, row.LastError = DeliveryDead, now, time.Time{}, "the event is gone"
		rows = append(rows, row)
	}
	return rows, jobs, nil
}

// due reads what a store cannot claim by itself.
func (p *pump) due(ctx context.Context, tx Tx, most int, skip map[string]bool) (rows []Delivery, events []Event, err error) {
	due, err := tx.Deliveries(ctx, DeliveryQuery{Endpoint: p.name, Due: true, Claim: true, Limit: most + len(skip)})
	if err != nil {
		return nil, nil, err
	}
	var ids []string
	for _, row := range due {
		if !skip[row.EventID] && len(rows) < most {
			rows, ids = append(rows, row), append(ids, row.EventID)
		}
	}
	if len(rows) > 0 {
		events, err = tx.Events(ctx, EventQuery{IDs: ids})
	}
	return rows, events, err
}

// record returns the outcomes as they are to be stored. Rows that another instance
// has touched meanwhile are its own business.
func (p *pump) record(ctx context.Context, tx Tx, done []job, look bool) (out []Delivery, err error) {
	if len(done) == 0 {
		return nil, nil
	}
	stands := func(Delivery) bool { return true }
	if look {
		if stands, err = p.standing(ctx, tx, done); err != nil {
			return nil, err
		}
	}
	now := tx.Now()
	for _, j := range done {
		if stands(j.row) {
			out = append(out, outcome(p.plan, j.row, j.said, now))
		}
	}
	return out, nil
}

// standing returns who tells whether a row is as it was claimed.
func (p *pump) standing(ctx context.Context, tx Tx, done []job) (func(Delivery) bool, error) {
	ids := make([]string, len(done))
	for i, j := range done {
		ids[i] = j.row.EventID
	}
	rows, err := tx.Deliveries(ctx, DeliveryQuery{EventIDs: ids, Endpoint: p.name})
	version := make(map[string]int64, len(rows))
	for _, row := range rows {
		version[row.EventID] = row.Version
	}
	return func(d Delivery) bool { return version[d.EventID] == d.Version }, err
}
