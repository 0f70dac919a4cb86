package sim

import (
	"context"
	"fmt"

	"github.com/bursar-go/bursar"
)

// sales compares what hosts were given with what is stored: an order is one payment,
// however often it was asked for. Of renewals the answer may have been lost, and so
// may the payments themselves with the store's last commits.
func (w *world) sales(ctx context.Context) error {
	if w.rewound || w.failed != nil || w.o.Scenario != nil {
		return nil
	}
	var rows []bursar.Payment
	err := w.db.store.Read(ctx, func(r bursar.Reader) (err error) {
		rows, err = r.Payments(ctx, bursar.PaymentQuery{})
		return err
	})
	if err != nil {
		return err
	}
	given, kept := map[string]bool{}, map[string]bool{}
	for _, s := range w.orders {
		given[s.payment.ID] = s.known
	}
	for i := range rows {
		p := &rows[i]
		kept[p.ID] = true
		if p.Previous == "" && !given[p.ID] {
			return fmt.Errorf("Q7: payment %s of %s is nobody's order", p.ID, p.Address)
		}
	}
	for _, s := range w.orders {
		if s.known && !kept[s.payment.ID] {
			return fmt.Errorf("Q7: %s was answered with payment %s, which is not stored", s.req.IdempotencyKey, s.payment.ID)
		}
	}
	return nil
}
