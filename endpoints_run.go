package bursar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/bursar-go/bursar/internal/lifecycle"
	"github.com/bursar-go/bursar/webhook/send"
)

// checkEndpoints refuses a configuration that would leave endpoints without the
// events that they were promised.
func (g *Gateway) checkEndpoints(ctx context.Context, r Reader) error {
	rows, err := r.Endpoints(ctx, EndpointQuery{})
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(row EndpointRow) bool { return row.Status == EndpointRemoved })
	switch {
	case len(rows) == 0:
		return nil
	case g.directory == nil:
		return fieldErr("Config.Endpoints", CodeRequired, "the store has %d endpoints, the first %q, and they would not be told anything", len(rows), rows[0].ID)
	}
	for _, row := range rows {
		if e := g.directory.read(row); e.err != nil {
			return &FieldError{Field: "Config.Endpoints.Keys", Code: CodeMismatch, Reason: "what endpoint " + strconv.Quote(row.ID) + " says is", Err: errors.Unwrap(e.err)}
		}
		if slices.ContainsFunc(g.pumps, func(p *pump) bool { return p.name == row.ID }) {
			return fieldErr("Config.Notify", CodeDuplicate, "%q is the name of an endpoint of the store", row.ID)
		}
	}
	return nil
}

// endpointsPoll is how often an instance looks for what others did to endpoints;
// what records events looks by itself.
const endpointsPoll = pumpPoll

// run is the lane that keeps one pump for each enabled endpoint.
func (d *directory) run(ctx context.Context) error {
	at := &shifts{directory: d, under: map[string]context.CancelFunc{}, over: make(chan string), quit: make(chan struct{})}
	defer at.stop()
	for ctx.Err() == nil {
		if err := d.gw.store.Read(ctx, func(r Reader) error { return d.learn(ctx, r) }); err != nil && ctx.Err() == nil {
			d.gw.log.WarnContext(ctx, "endpoints", "err", err)
		}
		at.staff(ctx)
		at.wait(ctx)
	}
	return nil
}

// shifts are the pumps of endpoints that run. It belongs to the goroutine of run.
type shifts struct {
	*directory
	under map[string]context.CancelFunc
	wg    sync.WaitGroup
	// over tells which one has ended, until quit.
	over chan string
	quit chan struct{}
}

// staff begins and ends pumps.
func (s *shifts) staff(ctx context.Context) {
	for _, e := range s.all() {
		id := e.row.ID
		stop, running := s.under[id]
		switch {
		case e.row.Status == EndpointEnabled && !running:
			s.begin(ctx, id)
		case e.row.Status != EndpointEnabled && running:
			stop()
		default:
			s.tend(ctx, e)
		}
	}
}

func (s *shifts) begin(ctx context.Context, id string) {
	p, err := s.pump(id)
	if err != nil {
		s.gw.log.WarnContext(ctx, "endpoint", "endpoint", id, "err", err)
		return
	}
	lane, stop := context.WithCancel(ctx)
	s.under[id] = stop
	s.wg.Add(1)
	lifecycle.Go(lane, "notify/"+id, p.run, func(err error) {
		defer s.wg.Done()
		if err != nil {
			s.gw.laneFailed(ctx, lifecycle.Failure{Lane: "notify/" + id, Err: err, Restarts: true})
		}
		select {
		case s.over <- id:
		case <-s.quit:
		}
	})
}

func (s *shifts) wait(ctx context.Context) {
	timer := time.NewTimer(endpointsPoll)
	defer timer.Stop()
	select {
	case <-s.wake:
	case id := <-s.over:
		s.under[id]()
		delete(s.under, id)
	case <-timer.C:
	case <-ctx.Done():
	}
}

// stop ends all of them, also where run ends by a panic.
func (s *shifts) stop() {
	close(s.quit)
	for _, stop := range s.under {
		stop()
	}
	s.wg.Wait()
}

// pump returns the pump of an endpoint.
func (d *directory) pump(id string) (*pump, error) {
	d.mu.Lock()
	p := d.pumps[id]
	d.mu.Unlock()
	if p != nil {
		return p, nil
	}
	dice, err := d.gw.ids.dice()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pumps[id] == nil {
		d.pumps[id] = newPump(d.gw, &mailbox{directory: d, id: id}, dice)
	}
	return d.pumps[id], nil
}

// each calls fn for every pump that there is.
func (d *directory) each(fn func(*pump)) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.pumps {
		fn(p)
	}
}

// drain delivers what is due to every endpoint, in the caller's goroutine.
func (d *directory) drain(ctx context.Context) error {
	if d == nil {
		return nil
	}
	if err := d.gw.store.Read(ctx, func(r Reader) error { return d.learn(ctx, r) }); err != nil {
		return err
	}
	var errs []error
	for _, e := range d.all() {
		if d.tend(ctx, e); e.row.Status != EndpointEnabled {
			continue
		}
		p, err := d.pump(e.row.ID)
		if err == nil {
			err = p.drain(ctx)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// tend does what is left to do about an endpoint's row.
func (d *directory) tend(ctx context.Context, e *endpoint) {
	switch {
	case e.row.Status == EndpointRemoved:
		d.bury(ctx, e.row.ID)
	case e.stale && e.err == nil:
		d.renew(ctx, e.row.ID)
	}
}

// buryAtOnce is how many deliveries of a removed endpoint one transaction ends.
const buryAtOnce = 200

// bury ends what waited for a removed endpoint. It goes on at the
// next look where it fails, and after a restart.
func (d *directory) bury(ctx context.Context, id string) {
	d.mu.Lock()
	done := d.buried[id]
	d.mu.Unlock()
	for more := !done; more && ctx.Err() == nil; {
		err := d.gw.store.Write(ctx, func(tx Tx) error {
			rows, err := tx.Deliveries(ctx, DeliveryQuery{Endpoint: id, Statuses: []DeliveryStatus{DeliveryPending, DeliveryParked}, Limit: buryAtOnce})
			if err != nil {
				return err
			}
			for i := range rows {
				rows[i].Status, rows[i].DoneAt, rows[i].LeasedUntil, rows[i].LastError = DeliveryDead, tx.Now(), time.Time{}, "the endpoint was removed"
			}
			if more = len(rows) == buryAtOnce; len(rows) == 0 {
				return nil
			}
			return tx.Apply(ctx, Batch{Deliveries: rows})
		})
		if err != nil {
			if ctx.Err() == nil {
				d.gw.log.WarnContext(ctx, "endpoint removed", "endpoint", id, "err", err)
			}
			return
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.pumps, id)
	d.buried[id] = true
}

// renew seals an endpoint with the present key. Another instance may do the same.
func (d *directory) renew(ctx context.Context, id string) {
	err := d.change(ctx, func(Tx) (*EndpointRow, error) {
		e := d.find(id)
		if e == nil || !e.stale || e.err != nil || e.row.Status == EndpointRemoved {
			return nil, nil
		}
		row := e.row
		return &row, d.seal(&row, e.said)
	})
	if err != nil && ctx.Err() == nil {
		d.gw.log.WarnContext(ctx, "endpoint: seal with the present key", "endpoint", id, "err", err)
	}
}

// mailbox is the notifier of one endpoint.
type mailbox struct {
	*directory
	id string

	mu sync.Mutex
	// of is what the sender was made of, until when it holds.
	of    *endpoint
	until time.Time
	to    *send.Sender
}

// Name implements Notifier.
func (m *mailbox) Name() string { return m.id }

// unread is how long an event waits whose endpoint cannot be read or is disabled.
const unread = time.Minute

// Notify implements Notifier.
func (m *mailbox) Notify(ctx context.Context, e Event) error {
	_, err := m.NotifyReceipt(ctx, e)
	return err
}

// NotifyReceipt implements ReceiptNotifier.
func (m *mailbox) NotifyReceipt(ctx context.Context, e Event) (Receipt, error) {
	at := m.find(m.id)
	switch {
	case at == nil || at.row.Status == EndpointRemoved:
		return Receipt{}, &PermanentError{errors.New("the endpoint was removed")}
	case at.row.Status != EndpointEnabled:
		return Receipt{}, &RetryError{After: unread, Err: errors.New("the endpoint is disabled"), Untried: true}
	case at.err != nil:
		return Receipt{}, &RetryError{After: unread, Err: at.err, Untried: true}
	case !at.said.wants(&e):
		return Receipt{}, nil
	}
	body, err := at.said.body(e)
	if err != nil {
		return Receipt{}, &PermanentError{err}
	}
	sender, err := m.sender(at)
	if err != nil {
		return Receipt{}, &RetryError{After: unread, Err: err, Untried: true}
	}
	receipt, err := post(ctx, sender, e.ID, body)
	var status *send.StatusError
	if errors.As(err, &status) && status.Gone() {
		m.gone(ctx)
	}
	return receipt, err
}

// sender returns the sender of an endpoint as it is now. A former one ends with its
// last request.
func (m *mailbox) sender(at *endpoint) (*send.Sender, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if m.of == at && (m.until.IsZero() || now.Before(m.until)) {
		return m.to, nil
	}
	to, err := at.said.sender(m.policy, now)
	if err != nil {
		return nil, fmt.Errorf("bursar: endpoint %s: %w", m.id, err)
	}
	if m.to != nil {
		m.to.Close()
	}
	m.of, m.until, m.to = at, at.said.nextChange(now), to
	return to, nil
}

// gone disables the endpoint: its receiver wants nothing any more.
func (m *mailbox) gone(ctx context.Context) {
	_, err := m.gw.DisableEndpoint(context.WithoutCancel(ctx), m.id, "the receiver answered 410 Gone")
	if err != nil && !errors.Is(err, ErrNotFound) {
		m.gw.log.WarnContext(ctx, "endpoint gone", "endpoint", m.id, "err", err)
	}
}
