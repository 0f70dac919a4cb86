package bursar

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bursar-go/bursar/internal/lifecycle"
)

// TxNotifier is a Notifier that wants the store's transaction. The outbox finds
// it by a type assertion and then calls NotifyTx alone. Whoever wraps the
// Notifier of NotifyTx, to count its calls for example, forwards NotifyTx; a
// wrapper that does not have it makes every delivery fail, loudly and with
// retries, rather than be done outside of a transaction.
type TxNotifier interface {
	Notifier
	// NotifyTx handles one event inside the transaction that marks its delivery
	// done.
	NotifyTx(ctx context.Context, tx Tx, e Event) error
}

// NotifyTx makes a Notifier whose handler runs inside the store's transaction
// that marks its delivery done: what fn writes by tx, and in the host's own
// tables by the SQL transaction behind it (see HostWriter; the store's package
// says how to reach it), commits together with the mark or not at all. So the
// host's order changes exactly once per delivered event, whatever fails and
// however many gateways share the store.
//
// fn may be run several times for one event: after a conflict, an error or a
// crash; all but one of these runs are rolled back. So it keeps to the
// transaction. What cannot be rolled back, such as a mail, belongs into a
// Notifier made by NotifyFunc.
//
// An error of fn rolls everything back and is a failed try, as described at
// Notifier; PermanentError, RetryError and panics mean what they mean there. A
// failing fn holds up its own subject alone.
//
// fn is short: it holds locks of the database, and on a store with one writer
// everybody waits for it. The transaction has locked the delivery before fn
// runs; the host's rows come after it, in the order in which the host locks them
// elsewhere. It is rolled back where it has not committed after 30 s; up to 8
// events of different subjects are handled at once.
//
// Inside fn only the calls whose names end in Tx may write: the others would open
// a transaction of their own, and answer ErrInTransaction where they are given
// fn's ctx. Reading by the Gateway shows what was committed before.
func NotifyTx(name string, fn func(ctx context.Context, tx Tx, e Event) error) Notifier {
	return notifyTx{name, fn}
}

type notifyTx struct {
	name string
	fn   func(context.Context, Tx, Event) error
}

var _ TxNotifier = notifyTx{}

func (n notifyTx) Name() string { return n.name }

// Notify is what somebody calls who knows nothing of NotifyTx.
func (n notifyTx) Notify(context.Context, Event) error {
	return fmt.Errorf("bursar: notifier %s needs the store's transaction: what wraps it must forward NotifyTx", n.name)
}

func (n notifyTx) NotifyTx(ctx context.Context, tx Tx, e Event) error {
	if n.fn == nil {
		return &PermanentError{errors.New("nil function")}
	}
	return n.fn(ctx, tx, e)
}

// storePause is how long a delivery waits whose transaction the store could not
// begin, or knows no end of.
const storePause = 5 * time.Second

// notifyTx delivers one claimed event in one transaction. ctx is the lane's,
// call the call's.
func (p *pump) notifyTx(ctx, call context.Context, j job) verdict {
	t := &handover{pump: p, job: j}
	write := p.gw.cfg.Store.Write
	if w, ok := p.gw.cfg.Store.(HostWriter); ok {
		write = w.WriteHost
	}
	var ran error
	err := write(call, func(tx Tx) error {
		ran = t.run(call, tx)
		return ran
	})
	if err == nil || ran == nil {
		p.gw.writes.note(call, err) // what a handler returns says nothing of the store
	}
	switch {
	case err == nil:
		if t.mark != nil && t.mark.told.Load() {
			p.gw.wakePump()
		}
		return verdict{ok: true, recorded: true}
	case t.said != nil:
		return judge(ctx, t.said)
	case t.mark == nil, errors.Is(err, ErrUnknownOutcome):
		// The handler is not to blame. Where the commit did happen, the row has
		// another version, and nothing is recorded.
		if ctx.Err() == nil {
			p.gw.log.WarnContext(ctx, "outbox", "notifier", p.name, "event", j.event.ID, "err", err)
		}
		return judge(ctx, &RetryError{After: storePause, Err: err, Untried: true})
	}
	return judge(ctx, err)
}

// handover is one delivery whose handler runs inside the store's transaction.
type handover struct {
	*pump
	job  job
	mark *handling // of the newest run of the handler; nil before the first
	said error     // what that run returned
}

// run is the transaction. It may be run again, by the store.
func (t *handover) run(ctx context.Context, tx Tx) error {
	t.said = nil
	rows, err := tx.Deliveries(ctx, DeliveryQuery{EventIDs: []string{t.job.row.EventID}, Endpoint: t.name})
	if err != nil {
		return err
	}
	if len(rows) == 0 || rows[0].Version != t.job.row.Version {
		// Done, or taken over after the claim has run out.
		t.mark = nil
		return nil
	}
	// First the mark and then the handler: on a store that locks rows nobody else
	// begins with this event, and the order of locks is always the same.
	done := outcome(t.plan, rows[0], verdict{ok: true}, tx.Now())
	if err := tx.Apply(ctx, Batch{Deliveries: []Delivery{done}}); err != nil {
		return err
	}
	t.mark = new(handling)
	t.said = t.handle(context.WithValue(ctx, handlingKey{}, t.mark), tx)
	return t.said
}

// handle calls the host's handler in a goroutine of its own: a panic and
// runtime.Goexit of it are errors here, and the store ends its transaction in
// the ordinary way.
func (t *handover) handle(ctx context.Context, tx Tx) error {
	back := make(chan error, 1)
	lifecycle.Go(ctx, "handler", func(ctx context.Context) error {
		return t.tx.NotifyTx(ctx, tx, t.job.event)
	}, func(err error) { back <- err })
	err := <-back
	if err == lifecycle.ErrGoexit { //nolint:errorlint // the lane's own word, not one that a host wraps
		return errors.New("the notifier ended its goroutine")
	}
	if panicked, ok := err.(*lifecycle.PanicError); ok { //nolint:errorlint // as above
		text := tidy(fmt.Sprintf("bursar: notifier %s panicked: %v", t.name, panicked.Value))
		t.gw.log.ErrorContext(ctx, "notifier panicked", "notifier", t.name, "event", t.job.event.ID, "panic", text, "stack", string(panicked.Stack))
		return errors.New(text)
	}
	return err
}
