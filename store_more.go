package bursar

import (
	"context"
	"fmt"

	"github.com/bursar-go/bursar/chain"
	"time"
)

// What a Store, or its Tx, may offer beyond the port. The gateway finds it by a
// type assertion; a store that lacks it works all the same, as each interface
// says.

// HostWriter is a Store whose transactions a host can take part in with
// statements of its own: the store's package says how to reach the transaction
// behind the Tx. NotifyTx runs its handlers in WriteHost; on a store that lacks
// it they run in Write, and there is nothing of the host's to take part with.
type HostWriter interface {
	// WriteHost is Write, but that what fn does in the host's own tables commits
	// or fails together with what it applies, and that fn may hold locks of the
	// database while it runs. fn may be run several times, as in Write.
	WriteHost(ctx context.Context, fn func(Tx) error) error
}

// TxReserver is a Tx that holds the only writer of its database, so that a
// reservation of its own would wait for it for ever: the indexes are reserved in
// the transaction itself, and are free again where it fails.
type TxReserver interface {
	// Reserve is Store.Reserve inside the transaction.
	Reserve(ctx context.Context, pool string, n uint32) (first uint32, err error)
}

// DeliveryClaimer is a Tx that takes due deliveries, and reads their events, in one
// statement. On one that lacks it the gateway reads both and writes the former.
type DeliveryClaimer interface {
	// ClaimDeliveries is Deliveries with Due and Claim, and writes at once that the
	// rows are taken: LeasedUntil is d from Now, LastAt is Now, FirstAt too where it
	// is empty, and Version is one higher. It returns at most most of them as they are
	// then, in any order and without those of the events in skip, and their events; an
	// event that is gone is missing. It is undone where the transaction fails.
	ClaimDeliveries(ctx context.Context, endpoint string, d time.Duration, most int, skip []string) ([]Delivery, []Event, error)
}

// Original is a Store that can tell whether its data are where they were
// written: a database that was restored from a backup, or copied, has forgotten
// what happened since, and must not issue the addresses of that time again. A
// store that lacks it is taken for the original always.
type Original interface {
	// Origin compares the mark in the data with that of the place they are in.
	Origin(ctx context.Context) (Origin, error)
	// Settle makes the present place the origin of the data.
	Settle(ctx context.Context) error
}

// Origin is where data are from and where they are.
type Origin struct {
	// Written is the mark in the data, Here that of the place: for example the
	// identity and timeline of a server, or a file beside the database. Written
	// is empty before the first Settle.
	Written, Here string
	// Reserved is the first index never handed out of each pool, as the place
	// remembers it apart from the data; pools it knows nothing of are missing.
	Reserved map[string]uint32
	// Open is the same with what transactions of the host's reserved that may never
	// have been committed (see TxReserver), of the pools where that goes further.
	// It proves no loss, and nothing below it may be handed out anew.
	Open map[string]uint32
}

// Prober is a Store that can prove that it takes writes: that there is room on its
// disk, that it is no replica, that no right is missing. The gateway asks for it at
// Start and, seldom, in Health. A store that lacks it is given a row to write
// again, which may find room where a payment would not.
type Prober interface {
	// Probe writes about as much as a payment takes, durably, and takes it away
	// again. It MUST leave nothing that a Reader shows, and fail where a Write
	// would. A *StoreError says why. It is safe for concurrent use.
	Probe(ctx context.Context) error
}

// Pruner is a Store whose table of deliveries need not grow for ever. A store that
// lacks it keeps them all.
type Pruner interface {
	// Prune deletes the deliveries that ended, with DeliveryDone or DeliveryDead,
	// before that time, in batches that hold nobody up for long, and returns how many
	// they were, also beside an error: what was deleted until then stays deleted. The
	// events themselves are kept.
	Prune(ctx context.Context, before time.Time) (int64, error)
}

// SchemaError reports that a database is not laid out as this release needs it.
// Nothing was changed.
type SchemaError struct {
	// Have is the newest migration in the database, Want the newest that this
	// release knows.
	Have, Want int
	// Reason says what is wrong.
	Reason string
}

// Error tells what is wrong and with which schema.
func (e *SchemaError) Error() string {
	return fmt.Sprintf("bursar: schema: %s (database at version %d, this release at %d)", e.Reason, e.Have, e.Want)
}

// IssuedReader is a Reader that can go through the addresses of a pool faster
// than page by page. A gateway with millions of them starts in seconds then.
type IssuedReader interface {
	// Issued calls fn for every address of the pool with an index from that one
	// on, in the order of their indexes. It ends with fn's error.
	Issued(ctx context.Context, pool string, from uint32, fn func(index uint32, address chain.Address) error) error
}
