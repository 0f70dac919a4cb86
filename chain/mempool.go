package chain

import "context"

// Sight is a transfer that somebody promises: it waits in a node's mempool, and
// may be mined, replaced or forgotten. It is a hint, never money.
type Sight struct {
	// ID is the identity that the transfer has once it is mined, if the receiver's
	// side does what the transaction asks of it.
	ID TransferID
	// Asset and Amount are what it would move; Amount is above zero.
	Asset  AssetID
	Amount Amount // Amount is how much, in base units.
	// From pays and To receives.
	From Address
	To   Address // To is the receiver.
	// Lock is what the transaction consumes. Two that name the same one exclude
	// each other.
	Lock Lock
}

// Waiting names a transaction that was seen in a mempool.
type Waiting struct {
	// ID is the transaction, Lock what it consumes; an empty Lock asks nothing
	// about it.
	ID   TxID
	Lock Lock // Lock is what it consumes, as its Sight told.
}

// Fate is what became of one that waited.
type Fate struct {
	// State is TxUnknown where nobody who was asked knows the transaction.
	State TxState
	// Block is where it was mined; set only where State is TxIncluded or TxFailed.
	Block BlockRef
	// Replaced is true where another transaction consumed the lock in the block that
	// was asked about or before it. By is that one, empty where the node cannot tell.
	Replaced bool
	By       TxID // By is what took its place.
}

// MempoolWatcher is a client that can tell of transfers before they are mined.
type MempoolWatcher interface {
	// WatchMempool sends a sight for each pending transfer to a watched receiver
	// that it hears of, without blocking: what finds no room in out is lost. It
	// returns when ctx ends or its source does, ErrUnsupported where there is none.
	// Loss, repetition and sights of what was mined meanwhile are all legal.
	WatchMempool(ctx context.Context, w Watch, out chan<- Sight) error

	// Fates returns one entry for each transaction, in the same order. final is a
	// block that counts as final, up to which locks are looked at; empty: none is.
	Fates(ctx context.Context, final BlockHash, of ...Waiting) ([]Fate, error)
}
