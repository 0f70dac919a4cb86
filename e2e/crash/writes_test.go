//go:build unix

package crash

import (
	"context"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/postgres"
	"github.com/bursar-go/bursar/store/sqlite"
)

// The moments of a host's writes. Under the lease: when the fence is chosen and
// nothing is asked of the database yet.
const (
	pointSign = "sign" // a signature is to be recorded
	pointSent = "sent" // a broadcast is to be recorded
	// pointOrder is inside a transaction of the host's, which has its payment.
	pointOrder = "order"
)

// told stores tell the world of writes under the lease. Each is the store itself
// but for that.
type (
	toldLite struct {
		*sqlite.Store
		tell tell
	}
	toldPG struct {
		*postgres.Store
		tell tell
	}
	// tell says which moment it is. It returns when the world lets go.
	tell func(ctx context.Context, moment string)
)

func (s toldLite) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	return s.Store.Write(ctx, s.tell.each(fn))
}

func (s toldPG) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	return s.Store.Write(ctx, s.tell.each(fn))
}

func (t tell) each(fn func(bursar.Tx) error) func(bursar.Tx) error {
	return func(tx bursar.Tx) error { return fn(toldTx{tx, t}) }
}

type toldTx struct {
	bursar.Tx
	tell tell
}

func (t toldTx) Apply(ctx context.Context, b bursar.Batch) error {
	if len(b.Fences) > 0 && len(b.Attempts) > 0 {
		moment := pointSent
		for _, a := range b.Attempts {
			if a.Version == 0 {
				moment = pointSign
			}
		}
		t.tell(ctx, moment)
	}
	return t.Tx.Apply(ctx, b)
}
