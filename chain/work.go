package chain

// CollectionWay is a way in which an asset gets from deposit addresses to the treasury.
type CollectionWay string

const (
	// WayTransfer has each address send its coin, and pay for that out of it.
	WayTransfer CollectionWay = "transfer"
	// WayTopUp has a sponsor send coin for the fee to each address, which then makes
	// the transfer of its token.
	WayTopUp CollectionWay = "topup"
	// WayBatch has a sponsor collect from all of them in one transaction: see Batcher.
	WayBatch CollectionWay = "batch"
)

// Collection is what is to be collected of one asset in one way. Amounts do not
// matter.
type Collection struct {
	// Asset is what each address holds.
	Asset Asset
	// Way is how it gets to the treasury. By WayBatch it is one transaction; whether it
	// has room for so many is not asked.
	Way CollectionWay
	// First is how many addresses have never given anything in this way; Again how many
	// have, so that what it has to make on the chain is there.
	First, Again int
}

// Work is how much of a chain's work something takes, in the unit that
// FeeMarket.Now is the price of: gas, or a virtual byte.
type Work struct {
	// Now is what it takes under the chain's present rules. Zero: nothing, or it cannot
	// be done in this way, or is not known.
	Now uint64
	// Next is what it would take under the rules that are known to be coming: a
	// projection, and not the promise that they come. Zero: not known.
	Next uint64
	// Rules names those of Next; empty where it is not known.
	Rules string
}

// WorkEstimator is a client that can tell how much work collections take before there
// is any.
type WorkEstimator interface {
	// Work asks no node, and tells the same of the same collection always. It is what
	// a receipt would show, all transactions counted, for ordinary tokens: those
	// which do more in a transfer take more. More addresses never take less. Negative
	// numbers count as zero. A fee for the data on another layer is not in it.
	Work(of Collection) Work
}
