package sweeper

import "github.com/bursar-go/bursar/chain"

// Reason is why a holding is collected in the way that it is, or stays.
type Reason string

// Why holdings are collected as they are.
const (
	// ReasonCoin: coin pays for its own transfer. Nothing is cheaper, and what a contract
	// sends on leaves no log by which it could be counted.
	ReasonCoin Reason = "coin"
	// ReasonTogether: tokens of many addresses go in one transaction.
	ReasonTogether Reason = "together"
	// ReasonCoinAddress: somebody may pay coin to the address, which must stay without
	// code for that.
	ReasonCoinAddress Reason = "coin_address"
	// ReasonMissed: a batch was to move it and did not. By itself it is seen what is
	// wrong with it, and holds up nobody.
	ReasonMissed Reason = "missed_by_a_batch"
	// ReasonNoBatches: the policy has none, or the client makes none.
	ReasonNoBatches Reason = "no_batches"
	// ReasonOffline: the address's key is offline, and no batch moves this: its sweep
	// waits for the key.
	ReasonOffline Reason = "key_offline"
	// ReasonBelowMinimum: it stays, for it is below the asset's SweepMinimum.
	ReasonBelowMinimum Reason = "below_minimum"
	// ReasonOff: it stays, for there is no treasury to collect it to.
	ReasonOff Reason = "off"
)

// choose says in which way a holding is collected, and why. The way is empty where it
// stays. All that plans or tells of plans asks this.
func (p Policy) choose(h Holding) (chain.CollectionWay, Reason) {
	switch {
	case p.Treasury == "":
		return "", ReasonOff
	case h.Amount.IsZero() || h.Amount.Less(h.Asset.SweepMinimum):
		return "", ReasonBelowMinimum
	}
	return p.way(h)
}

// way is choose for what is worth it.
func (p Policy) way(h Holding) (chain.CollectionWay, Reason) {
	offline := p.offline(h.Account)
	switch {
	case h.Asset.Native() && offline:
		return chain.WayTransfer, ReasonOffline
	case h.Asset.Native():
		return chain.WayTransfer, ReasonCoin
	case offline && (p.MaxBatch <= 0 || h.Plain):
		return chain.WayTopUp, ReasonOffline
	case p.MaxBatch <= 0:
		return chain.WayTopUp, ReasonNoBatches
	case h.Plain:
		return chain.WayTopUp, ReasonCoinAddress
	case h.Missed > 0 && offline:
		return chain.WayBatch, ReasonMissed // a batch of its own
	case h.Missed > 0:
		return chain.WayTopUp, ReasonMissed
	}
	return chain.WayBatch, ReasonTogether
}

// joins reports whether a holding that is collected goes with others.
func (p Policy) joins(h Holding) bool {
	_, why := p.way(h)
	return why == ReasonTogether
}
