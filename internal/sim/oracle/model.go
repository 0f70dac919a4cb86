package oracle

import (
	"math/big"
	"slices"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// model is the store as the committed batches imply it.
type model struct {
	payments   map[string]*bursar.Payment
	statuses   map[string][]bursar.Status // of each payment, by version
	txs        map[string]*bursar.Transaction
	incoming   map[string][]string  // the transactions of each payment
	orphaned   map[string]time.Time // when a payment last lost counting money
	addresses  map[string]*bursar.Address
	owners     map[chain.Address]*bursar.Address
	payouts    map[string]*bursar.Payout
	attempts   map[string]*bursar.Attempt
	covering   map[string][]string // the payouts of each transaction
	signed     map[string][]string // the attempts of each payout
	underWay   map[string]*bursar.Payout
	refunds    map[string]map[string]*bursar.Payout // of each payment, and withdrawals of each address
	excused    map[string]bool                      // payouts that others need not wait for
	broke      map[chain.ID]uint64                  // what must be final after a deep reorg
	holders    map[bursar.Fence]string
	locks      map[chain.Lock]intent
	groups     map[intent][]chain.Lock // the locks of each group's first attempt
	chains     map[chain.ID]*bursar.ChainState
	epochs     map[string]int64 // of leases, as fences showed them
	entries    map[string]*posting
	credits    map[transferKey]string // the unreversed credit of each transfer
	balances   map[balanceKey]*big.Int
	events     map[string]*bursar.Event
	numbers    map[string]int64 // the last sequence number of each subject
	deliveries map[deliveryKey]*bursar.Delivery
	lanes      map[laneKey]*lane
	// start is the first height that was scanned.
	start   uint64
	started bool
}

// posting is an entry and the one that undid it.
type posting struct {
	*bursar.Entry
	undone string
}

type transferKey struct {
	chain    chain.ID
	transfer chain.TransferID
}

type balanceKey struct {
	asset   chain.AssetID
	account bursar.Account
}

type deliveryKey struct{ event, endpoint string }

type laneKey struct{ endpoint, subject string }

func newModel() *model {
	return &model{
		payments: map[string]*bursar.Payment{}, statuses: map[string][]bursar.Status{}, txs: map[string]*bursar.Transaction{}, incoming: map[string][]string{}, orphaned: map[string]time.Time{},
		addresses: map[string]*bursar.Address{}, owners: map[chain.Address]*bursar.Address{},
		payouts: map[string]*bursar.Payout{}, attempts: map[string]*bursar.Attempt{},
		covering: map[string][]string{}, signed: map[string][]string{}, underWay: map[string]*bursar.Payout{}, refunds: map[string]map[string]*bursar.Payout{}, excused: map[string]bool{},
		broke: map[chain.ID]uint64{}, holders: map[bursar.Fence]string{}, locks: map[chain.Lock]intent{}, groups: map[intent][]chain.Lock{},
		chains: map[chain.ID]*bursar.ChainState{}, epochs: map[string]int64{},
		entries: map[string]*posting{}, credits: map[transferKey]string{}, balances: map[balanceKey]*big.Int{},
		events: map[string]*bursar.Event{}, numbers: map[string]int64{},
		deliveries: map[deliveryKey]*bursar.Delivery{}, lanes: map[laneKey]*lane{},
	}
}

// stored returns the rows of a batch as they lie in the store: copies, which
// nobody else changes, one version higher.
func stored(b bursar.Batch) bursar.Batch {
	b.Payments, b.Transactions, b.Addresses = slices.Clone(b.Payments), slices.Clone(b.Transactions), slices.Clone(b.Addresses)
	b.Payouts, b.Attempts, b.Deliveries = slices.Clone(b.Payouts), slices.Clone(b.Attempts), slices.Clone(b.Deliveries)
	b.Chains, b.Entries, b.Events = slices.Clone(b.Chains), slices.Clone(b.Entries), slices.Clone(b.Events)
	for i := range b.Payments {
		b.Payments[i].Version++
	}
	for i := range b.Transactions {
		b.Transactions[i].Version++
	}
	for i := range b.Addresses {
		b.Addresses[i].Version++
	}
	for i := range b.Payouts {
		b.Payouts[i].Version++
	}
	for i := range b.Attempts {
		b.Attempts[i].Version++
	}
	for i := range b.Deliveries {
		b.Deliveries[i].Version++
	}
	for i := range b.Chains {
		b.Chains[i].Version++
		b.Chains[i].Recent = slices.Clone(b.Chains[i].Recent)
	}
	return b
}

// follows checks that a row is the next version of what was there.
func follows(rule, what, id string, old, now int64) error {
	if now != old+1 {
		return broken(rule, "%s %s was written at version %d over version %d", what, id, now, old)
	}
	return nil
}

// past is what left the gateway: no loss of the store takes it back.
type past struct {
	issued   map[chain.Address]string
	attempts map[chain.TxID]*bursar.Attempt
	payouts  map[string]*bursar.Payout
	homes    map[chain.Address]bool // every address that ever had a row
	sent     map[chain.TxID]bool
	asked    map[receiver]map[string]chain.Amount // all refunds, by what they are to pay
	given    map[deliveryKey]bool
	got      []gift // first deliveries in their order
	events   map[string]bool
	seen     map[view]sight
}

func newPast() past {
	return past{
		issued: map[chain.Address]string{}, attempts: map[chain.TxID]*bursar.Attempt{}, payouts: map[string]*bursar.Payout{},
		homes: map[chain.Address]bool{}, sent: map[chain.TxID]bool{}, given: map[deliveryKey]bool{}, events: map[string]bool{}, seen: map[view]sight{},
		asked: map[receiver]map[string]chain.Amount{},
	}
}
