package bursar

import (
	"context"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Store keeps everything the gateway knows. It is the authority for what was
// decided; the chain is the authority for what happened. The contract below is
// what storetest.Run checks, a subtest for each MUST.
//
// Isolation. Read and the reading part of Write see one consistent snapshot
// for the whole closure. Whatever a Write reads and then changes is guarded by
// row versions and unique keys, so that two writers never both win.
//
// Durability. When Write returns nil the batch is durable as far as the store
// promises durability at all; when it returns an error nothing of the batch is
// visible, unless it is ErrUnknownOutcome. Repeating the same business step is
// then safe, because rows have natural keys.
//
// A store MUST be safe for concurrent use, MUST NOT keep or change the slices
// and maps it is given, and MUST return rows that the caller may change without
// changing the store. It holds no lock while a closure runs.
type Store interface {
	// Read runs fn on one consistent snapshot. It MUST return fn's error as it
	// is, and MUST NOT let later writes show through.
	Read(ctx context.Context, fn func(Reader) error) error

	// Write runs fn on a snapshot and commits what fn applied, all of it or
	// nothing. Where another writer was faster the store MUST run fn again from
	// the start on a fresh snapshot, a bounded number of times, and then return
	// ErrConflict. fn therefore touches nothing but the Tx. An error of fn, and
	// a panic, abort: nothing is written.
	Write(ctx context.Context, fn func(Tx) error) error

	// Reserve hands out n consecutive indexes of a pool, committed by itself:
	// no index is ever handed out twice, whatever happens to the caller. It
	// MUST refuse with ErrInvariant to hand out none, or to pass 2^31-1, the last
	// non-hardened index.
	Reserve(ctx context.Context, pool string, n uint32) (first uint32, err error)

	// Acquire takes or renews the lease of that name. A holder that already has
	// it renews it and keeps its epoch; a free or expired lease is taken with
	// the epoch raised by one, also by its last holder; a lease that somebody
	// else holds is ErrLeaseHeld. A ttl that is not positive gives it up. Time is
	// the store's; a fence holds until somebody has taken the lease, however late.
	Acquire(ctx context.Context, name, holder string, ttl time.Duration) (Fence, error)

	// Close releases the store. Later calls return ErrStoreClosed.
	Close() error
}

// Fence proves a lease. A batch that carries a fence whose epoch is not the
// lease's present one MUST be refused with ErrFenced.
type Fence struct {
	Name  string // Name is the lease.
	Epoch int64  // Epoch counts the lease's holders.
	// Until is when it ends, by the store's clock.
	Until time.Time
}

// Reader reads one snapshot. Lists come in the order each query names, at most
// Limit rows (0: all). An empty list in a query means no condition; several
// conditions all hold.
type Reader interface {
	// Now is the time of the transaction: the store's clock, the same for the
	// whole closure, in UTC.
	Now() time.Time
	// Payments are ordered by creation time and id, newest first, or by
	// deadline, earliest first, where DueBy is set.
	Payments(ctx context.Context, q PaymentQuery) ([]Payment, error)
	// Transactions are ordered by creation time and id, newest first.
	Transactions(ctx context.Context, q TransactionQuery) ([]Transaction, error)
	// Addresses are ordered by pool and index.
	Addresses(ctx context.Context, q AddressQuery) ([]Address, error)
	// Payouts are ordered by creation time and id, oldest first.
	Payouts(ctx context.Context, q PayoutQuery) ([]Payout, error)
	// Attempts are ordered by creation time and id, oldest first.
	Attempts(ctx context.Context, q AttemptQuery) ([]Attempt, error)
	// Entries are in the order they were written.
	Entries(ctx context.Context, q EntryQuery) ([]Entry, error)
	// Balances are ordered by asset and account; sums of zero are left out.
	Balances(ctx context.Context, q BalanceQuery) ([]Balance, error)
	// Events are ordered by subject and sequence where a subject is given, else
	// in the order they were written.
	Events(ctx context.Context, q EventQuery) ([]Event, error)
	// Deliveries are in the order that the query names.
	Deliveries(ctx context.Context, q DeliveryQuery) ([]Delivery, error)
	// Chain returns the state of a chain; a chain never written is the zero
	// ChainState with that id.
	Chain(ctx context.Context, id chain.ID) (ChainState, error)
	// Pools returns every pool and its next free index, ordered by name.
	Pools(ctx context.Context) ([]Pool, error)
	// Endpoints are ordered by revision.
	Endpoints(ctx context.Context, q EndpointQuery) ([]EndpointRow, error)
}

// Tx is a Reader that can write once.
type Tx interface {
	Reader
	// Apply adds a batch to the transaction. It may be called several times;
	// later reads of the same transaction need not see it. A row whose version
	// is not the stored one, or a unique key that is taken, makes the
	// transaction fail with ErrConflict, at Apply or at commit.
	Apply(ctx context.Context, b Batch) error
}

// Batch is a set of writes as data. A row's Version is the one that was read;
// the store writes it one higher. Version 0 inserts: the row must not exist.
// Everything in a batch happens or nothing.
//
// A batch is applied in the order of its fields: a key that an earlier row gives
// up is free for a later one. Empty keys are no keys. Fences are checked first.
//
// Unique, beside the ids: a payment's idempotency key and address; an address
// and its idempotency key;
// a transaction's (chain, transfer); a payout's key; an open attempt's (chain, lock)
// among different payout groups; an event's id and (subject, seq); a delivery's
// (event, endpoint); an endpoint's revision; an entry's id and, while unreversed, its Live key.
//
// The store MUST also refuse, with ErrInvariant, an entry of amount zero, an
// entry with equal accounts, an entry that reverses an unknown one, an already
// reversed one or a reversal, and an event whose Seq does not follow its
// subject's last.
type Batch struct {
	// Fences must all hold at commit.
	Fences       []Fence
	Payments     []Payment     // Payments are rows to write.
	Transactions []Transaction // Transactions are rows to write.
	Addresses    []Address     // Addresses are rows to write.
	Payouts      []Payout      // Payouts are rows to write.
	Attempts     []Attempt     // Attempts are rows to write.
	Deliveries   []Delivery    // Deliveries are rows to write.
	Chains       []ChainState  // Chains are rows to write.
	Endpoints    []EndpointRow // Endpoints are rows to write.
	Entries      []Entry       // Entries are appended.
	Events       []Event       // Events are appended.
}

// ChainState is the scanner's cursor on one chain and what hangs on it.
type ChainState struct {
	// Chain is the key.
	Chain chain.ID
	// Version counts the writes of the row; see Batch.
	Version int64
	// Recent are the newest scanned blocks, oldest first; the last one is the
	// cursor. Empty before the first block.
	Recent []chain.BlockRef
	// Head is the newest block a node told of.
	Head chain.BlockRef
	// Final is the highest height that was ever final. It never goes down.
	Final uint64
	// Genesis is the first block's hash, pinned at the first contact.
	Genesis chain.BlockHash
	// Halted is why nothing is credited; empty while all is well.
	Halted   string
	HaltedAt time.Time // HaltedAt is when it was halted.
	// HaltedFrom is the height that must be final before it resumes by itself;
	// zero: an operator resumes.
	HaltedFrom uint64
	// Seq is the sequence number of the chain's last event.
	Seq int64
	// Assets are what was decided about assets while the gateway ran, in the
	// order of the decisions; see AddAsset and DisableAsset. A store keeps them
	// as one value, of which no query asks a part: JSON will do.
	Assets    []AssetState
	StartedAt time.Time // StartedAt is when the cursor was first set.
	UpdatedAt time.Time // UpdatedAt is the last write.
}

// AssetState is what was decided about one asset of a chain at run time.
type AssetState struct {
	// Asset is the asset as it was added or, where the configuration lists it,
	// as it was when it was disabled; then the configuration counts.
	Asset chain.Asset `json:"asset"`
	// Added is true where the asset is there by AddAsset alone.
	Added bool `json:"added,omitempty"`
	// Disabled: no new payment is made in it.
	Disabled bool `json:"disabled,omitempty"`
	// Since is the scanned height at which it was added: transfers up to there
	// were not looked for.
	Since uint64 `json:"since,omitempty"`
}

// Tip is the newest scanned block; the zero value before the first.
func (c ChainState) Tip() chain.BlockRef {
	if len(c.Recent) == 0 {
		return chain.BlockRef{}
	}
	return c.Recent[len(c.Recent)-1]
}

// EndpointRow is an endpoint as it is kept. What it says is sealed: a copy of the
// database tells nobody where events go and what they are signed with.
type EndpointRow struct {
	// ID is the key; deliveries carry it as their Endpoint.
	ID string
	// Version counts the writes of the row; see Batch.
	Version int64
	// Revision is higher than that of every endpoint written before: who has read
	// all up to one asks for what came after it.
	Revision int64
	// Status is whether events go to it.
	Status EndpointStatus
	// Sealed is what it says, for holders of a key; empty once it is removed.
	Sealed    []byte
	CreatedAt time.Time // CreatedAt is when it was added.
	UpdatedAt time.Time // UpdatedAt is the last write.
}

// EndpointQuery selects endpoints.
type EndpointQuery struct {
	IDs []string // IDs selects by id.
	// After selects those with a higher Revision.
	After int64
}

// Pool is an index pool: one wallet account and change level.
type Pool struct {
	Name string // Name is the pool's.
	Next uint32 // Next is the first index never handed out.
}

// Cursor is a place in a list, of the row that was seen last. The zero value is
// the start.
type Cursor struct {
	At time.Time // At is the time by which the row is sorted.
	ID string    // ID is the row's id, by which rows of one time are sorted.
}

// PaymentQuery selects payments.
type PaymentQuery struct {
	IDs             []string        // IDs selects by id.
	IdempotencyKeys []string        // IdempotencyKeys selects by idempotency key.
	Addresses       []chain.Address // Addresses selects by address.
	Statuses        []Status        // Statuses selects by status.
	Assets          []chain.AssetID // Assets selects by asset.
	Customer        string          // Customer selects by customer.
	// Metadata must all be equal.
	Metadata map[string]string
	// Since and Until bound CreatedAt: Since <= CreatedAt < Until.
	Since, Until time.Time
	// DueBy selects payments whose Deadline is set and not after it, of assets
	// on DueChain.
	DueBy    time.Time
	DueChain chain.ID // DueChain is the chain of DueBy; empty: all.
	After    Cursor   // After is the row before the first one wanted.
	Limit    int      // Limit is the most rows; 0: all.
}

// TransactionQuery selects transactions.
type TransactionQuery struct {
	IDs        []string            // IDs selects by id.
	PaymentIDs []string            // PaymentIDs selects by payment.
	AddressIDs []string            // AddressIDs selects by address row.
	PayoutIDs  []string            // PayoutIDs selects by payout.
	Chain      chain.ID            // Chain selects by chain.
	Hashes     []chain.TxID        // Hashes selects by on-chain transaction.
	Assets     []chain.AssetID     // Assets selects by asset.
	Types      []TransactionType   // Types selects by direction.
	Statuses   []TransactionStatus // Statuses selects by status.
	From, To   chain.Address       // From is the sender; To is the receiver.
	// Blocks selects live observations in these blocks.
	Blocks []chain.BlockHash
	// ConfirmBy selects confirming ones whose ConfirmAt is not above it; needs
	// Chain.
	ConfirmBy uint64
	// FinalBy selects confirmed ones that are not Final and whose Block is not
	// above it; needs Chain.
	FinalBy uint64
	// Sweepable selects incoming, final ones with Discharged + Reserved below
	// Amount; needs Chain.
	Sweepable    bool
	Since, Until time.Time // Since bounds the creation from below, inclusive; Until bounds the creation from above, exclusive.
	After        Cursor    // After is the row before the first one wanted.
	Limit        int       // Limit is the most rows; 0: all.
}

// AddressQuery selects addresses.
type AddressQuery struct {
	IDs             []string        // IDs selects by id.
	Addresses       []chain.Address // Addresses selects by address.
	Pool            string          // Pool selects by index pool.
	Roles           []Role          // Roles selects by role.
	Customer        string          // Customer selects by customer.
	IdempotencyKeys []string        // IdempotencyKeys selects by idempotency key.
	// FromIndex pages: rows with Index >= FromIndex; needs Pool.
	FromIndex uint32
	Limit     int // Limit is the most rows; 0: all.
}

// PayoutQuery selects payouts.
type PayoutQuery struct {
	IDs      []string       // IDs selects by id.
	Keys     []string       // Keys selects by key.
	Chain    chain.ID       // Chain selects by chain.
	Kinds    []PayoutKind   // Kinds selects by kind.
	Statuses []PayoutStatus // Statuses selects by status.
	// Open selects those that can still move by themselves.
	Open bool
	// TxIDs selects by the included transaction.
	TxIDs []chain.TxID
	// Blocks selects those included in these blocks.
	Blocks []chain.BlockHash
	// Parents selects the top-ups of these sweeps.
	Parents []string
	After   Cursor // After is the row before the first one wanted.
	Limit   int    // Limit is the most rows; 0: all.
}

// AttemptQuery selects attempts.
type AttemptQuery struct {
	PayoutIDs []string     // PayoutIDs selects by payout.
	Chain     chain.ID     // Chain selects by chain.
	TxIDs     []chain.TxID // TxIDs selects by transaction id.
	Locks     []chain.Lock // Locks are what it consumes.
	// Open selects those whose locks are taken.
	Open bool
}

// EntryQuery selects entries.
type EntryQuery struct {
	Subject      string        // Subject selects by subject.
	Transactions []string      // Transactions selects by transaction.
	Asset        chain.AssetID // Asset selects by asset.
	// Unreversed leaves out reversed entries and reversals.
	Unreversed bool
}

// BalanceQuery selects balances.
type BalanceQuery struct {
	Asset    chain.AssetID // Asset selects by asset.
	Accounts []Account     // Accounts selects by exact name.
	// Prefix selects accounts that begin with it.
	Prefix string
}

// EventQuery selects events.
type EventQuery struct {
	IDs     []string // IDs selects by id.
	Subject string   // Subject selects by subject.
	// AfterSeq selects those of Subject with a higher Seq.
	AfterSeq int64
	Kinds    []Kind // Kinds selects by kind.
	Limit    int    // Limit is the most rows; 0: all.
}

// DeliveryOrder is the order of a list of deliveries.
type DeliveryOrder string

// The orders of deliveries.
const (
	// DeliveriesByTurn is the order of the work: by due time, endpoint, subject
	// and sequence.
	DeliveriesByTurn DeliveryOrder = ""
	// DeliveriesOldest is by creation time, endpoint, subject, sequence and event,
	// from the oldest on.
	DeliveriesOldest DeliveryOrder = "oldest"
	// DeliveriesNewest is the reverse of that.
	DeliveriesNewest DeliveryOrder = "newest"
)

// DeliveryCursor is a place among deliveries in the order of their creation, of the
// row that was seen last. The zero value is the start.
type DeliveryCursor struct {
	At       time.Time // At is the row's creation time.
	Endpoint string    // Endpoint is the row's notifier.
	Subject  string    // Subject is the row's subject.
	Seq      int64     // Seq is the row's number.
	EventID  string    // EventID is the row's event.
}

// DeliveryQuery selects deliveries.
type DeliveryQuery struct {
	EventIDs []string // EventIDs selects by event.
	Endpoint string   // Endpoint selects by notifier.
	// Subject selects those of the events of that subject; one whose event is not
	// there is none.
	Subject  string
	Kinds    []Kind           // Kinds selects by the event's kind.
	Statuses []DeliveryStatus // Statuses selects by status.
	// Since and Until bound CreatedAt: Since <= CreatedAt < Until.
	Since, Until time.Time
	// DueBy selects what may be tried at that time: NextAt and LeasedUntil not
	// after it, parked ones, and of the pending ones of each (endpoint,
	// subject) the one with the lowest Seq alone.
	DueBy time.Time
	// Due means DueBy at the transaction's time, Now, which a store can tell without
	// being asked for it first. DueBy is not looked at then. A wrapper with a Now of
	// its own turns Due into DueBy.
	Due bool
	// Claim is set by a Write that is going to change what it reads. A store may
	// leave out rows that another transaction is about to change, so that several
	// instances share the work instead of meeting on the same rows.
	Claim bool
	// Order is the order of the rows. A page of one status in the order of creation
	// is read from an index, whatever else there is; other orders, and several
	// statuses, are for few rows or for all.
	Order DeliveryOrder
	After DeliveryCursor // After is the row before the first one wanted; needs Order.
	Limit int            // Limit is the most rows; 0: all.
}
