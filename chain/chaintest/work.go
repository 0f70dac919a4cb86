package chaintest

import "github.com/bursar-go/bursar/chain"

var _ chain.WorkEstimator = (*Client)(nil)

// What the models of contracts use, with data as collections of ordinary amounts have.
const (
	gasTransferData = 620    // of a token's transfer
	gasBatchData    = 450    // of a batch beside its entries
	gasEntryData    = 420    // of an entry
	gasMade         = 90_000 // what an account that is new would cost more, under Work.Next
)

// workRules are those of Work.Next. Nothing here ever runs under them.
const workRules = "a made-up fork"

// Work tells what the models of coin, ordinary tokens and the sweeper use, within a few
// percent. Next makes it dearer to begin with an address, and nothing else.
func (l *Client) Work(of chain.Collection) chain.Work {
	first, again := uint64(max(of.First, 0)), uint64(max(of.Again, 0))
	n := first + again
	var w chain.Work
	switch {
	case n == 0:
	case of.Way == chain.WayTransfer && of.Asset.Native():
		w.Now = n * gasTransaction
		first = 0 // the address is there, since it has coin
	case of.Way == chain.WayTopUp && !of.Asset.Native():
		w.Now = n * (2*gasTransaction + gasTransferData + gasToken)
	case of.Way == chain.WayBatch && l.Batching().MaxMoves > 0 && !of.Asset.Native():
		w.Now = batchWork(first, again)
	}
	if w.Now > 0 {
		w.Next, w.Rules = w.Now+first*gasMade, workRules
	}
	return w
}

// batchWork is what a batch uses of accounts that delegate in it, and of others.
func batchWork(first, again uint64) uint64 {
	return gasTransaction + gasSweep + gasBatchData + (first+again)*(gasSweepEntry+gasEntryData) + first*gasAuthorisation
}
