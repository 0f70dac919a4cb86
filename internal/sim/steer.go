package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// CallOff has an operator cancel all that was sent and is in no block, again where there
// is no answer.
func (s *Stage) CallOff() { s.w.callOff() }

func (w *world) callOff() {
	again := func() { w.after(w.params.blockTime, w.callOff) }
	p := w.any()
	if p == nil {
		again()
		return
	}
	w.call("call off", func(ctx context.Context) func() {
		var rows []bursar.Payout
		err := w.db.store.Read(ctx, func(r bursar.Reader) (err error) {
			rows, err = r.Payouts(ctx, bursar.PayoutQuery{Statuses: []bursar.PayoutStatus{bursar.PayoutSigned, bursar.PayoutBroadcast}})
			return err
		})
		for _, row := range rows {
			// One that is in a block by now goes on.
			if _, refused := p.gw.CancelPayout(ctx, row.ID); !errors.Is(refused, bursar.ErrPayoutUnderway) && !errors.Is(refused, bursar.ErrPayoutClosed) {
				err = errors.Join(err, refused)
			}
		}
		return func() {
			w.note("%s calls %d payouts off: %v", p.name, len(rows), err)
			if err != nil {
				w.mayFail(err)
				again()
			}
		}
	})
}

// steer has an operator interfere with payouts: retry, cancel or bump one, whatever
// its state.
func (w *world) steer() {
	if w.healing {
		return
	}
	w.steered++
	n := w.steered
	luck := chance(w.o.Seed, fmt.Sprint("steer ", n))
	defer w.after(time.Duration(1+luck%10)*w.params.blockTime, w.steer)
	p := w.any()
	if p == nil {
		return
	}
	w.call("steer", func(ctx context.Context) func() {
		var rows []bursar.Payout
		if err := w.db.store.Read(ctx, func(r bursar.Reader) (err error) {
			rows, err = r.Payouts(ctx, bursar.PayoutQuery{})
			return err
		}); err != nil || len(rows) == 0 {
			return func() { w.judge(err) }
		}
		// Mostly one that is not at its end.
		row := rows[luck/10%uint64(len(rows))]
		for k := 0; k < 8 && (row.Status == bursar.PayoutConfirmed || row.Status == bursar.PayoutCanceled); k++ {
			row = rows[chance(w.o.Seed, fmt.Sprint("steer ", n, " ", k))%uint64(len(rows))]
		}
		verb := [...]string{"retry", "cancel", "bump"}[luck/100%3]
		var got bursar.Payout
		var err error
		switch verb {
		case "retry":
			got, err = p.gw.RetryPayout(ctx, row.ID)
		case "cancel":
			got, err = p.gw.CancelPayout(ctx, row.ID)
		case "bump":
			got, err = p.gw.BumpPayout(ctx, row.ID, chain.Amount{})
		}
		return func() {
			w.note("%s %s payout %s, %s: %s %v", p.name, verb, row.ID, row.Status, got.Status, err)
			if err != nil {
				w.mayFail(err)
			}
		}
	})
}
