package bursar

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"
)

// maxPause bounds what a receiver can ask for before the next try.
const maxPause = 24 * time.Hour

// verdict is what a call came to, read out of its error while a panic of the
// error's own methods is still contained.
type verdict struct {
	ok, permanent, untried bool
	// interrupted: the gateway stops, which is no fault of the receiver.
	interrupted bool
	// recorded: nothing is left to write, because the handler's own transaction
	// has written it, or the delivery is somebody else's by now.
	recorded bool
	after    time.Duration
	text     string
	// receipt is what is known of the answer.
	receipt Receipt
	// spread is the jitter in thousandths of a tenth, drawn once and before the
	// call, so that neither a repeated transaction nor the order in which calls
	// return changes what is written.
	spread int64
}

// notify calls host code: bounded in time, its panic an error.
func (p *pump) notify(ctx context.Context, j job) (v verdict) {
	call, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			v = verdict{text: tidy(fmt.Sprintf("bursar: notifier %s panicked: %v", p.name, r))}
			p.gw.log.ErrorContext(ctx, "notifier panicked", "notifier", p.name, "event", j.event.ID, "panic", v.text, "stack", string(debug.Stack()))
		}
	}()
	if p.tx != nil {
		return p.notifyTx(ctx, call, j)
	}
	if n, ok := p.to.(ReceiptNotifier); ok {
		receipt, err := n.NotifyReceipt(call, j.event)
		v = judge(ctx, err)
		v.receipt = Receipt{Status: cmp.Or(receipt.Status, v.receipt.Status), Response: cmp.Or(receipt.Response, v.receipt.Response), Latency: receipt.Latency}
		return v
	}
	return judge(ctx, p.to.Notify(call, j.event))
}

// judge reads a handler's error. ctx is the lane's, whose end is no fault of the
// receiver.
func judge(ctx context.Context, err error) (v verdict) {
	if err == nil {
		return verdict{ok: true}
	}
	v.text = tidy(err.Error())
	v.receipt.answered(err)
	var permanent *PermanentError
	var retry *RetryError
	switch {
	case errors.As(err, &permanent):
		v.permanent = true
	case errors.As(err, &retry):
		v.untried, v.after = retry.Untried, min(max(retry.After, time.Second), maxPause)
	}
	v.interrupted = !v.permanent && ctx.Err() != nil
	return v
}

func (p *pump) roll() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dice.Int64N(1001)
}

// tidy makes a text of the host's fit for any store: bounded, valid UTF-8, no
// NUL, which PostgreSQL refuses.
func tidy(text string) string {
	return shorten(strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\x00", ""))
}

// outcome is what becomes of a delivery after a call.
func outcome(plan []time.Duration, d Delivery, v verdict, now time.Time) Delivery {
	d.LeasedUntil = time.Time{}
	if v.interrupted || v.untried {
		// Nothing is known of the receiver: the try does not count, and the lane
		// stays in order.
		if d.Attempts == 0 {
			d.FirstAt = time.Time{}
		}
		if v.interrupted {
			return d
		}
		d.NextAt, d.LastError = now.Add(v.after), v.text
		return d
	}
	d.Attempts++
	d.Tries = addTry(d.Tries, v.tried(d.LastAt))
	switch d.LastError = v.text; {
	case v.ok:
		d.Status, d.DoneAt = DeliveryDone, now
	case v.permanent || d.Attempts > len(plan):
		d.Status, d.DoneAt = DeliveryDead, now
	default:
		pause := plan[d.Attempts-1]
		pause += pause / 10 * time.Duration(v.spread) / 1000
		d.NextAt = now.Add(max(pause, v.after))
		// The lane goes on without an event whose next try is too far off.
		if d.NextAt.Sub(d.FirstAt) > parkAfter+parkSlack {
			d.Status = DeliveryParked
		}
	}
	return d
}
