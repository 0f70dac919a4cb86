package evm

import "sync/atomic"

// Stats counts what a client did since New. All numbers only grow.
type Stats struct {
	// Requests are HTTP requests, Bytes the bytes of their responses.
	Requests, Bytes uint64
	// OddLogs are logs of listed contracts with the Transfer topic that are no
	// ERC-20 transfer: other numbers of topics (ERC-721), other data.
	OddLogs uint64
	// ZeroTransfers are well-formed transfers of nothing to watched receivers.
	ZeroTransfers uint64
	// RemovedLogs are logs that the node marked as removed by a reorg.
	RemovedLogs uint64
	// DuplicateLogs are logs that came more than once in one answer.
	DuplicateLogs uint64
	// Verified are blocks whose header and receipts were found to fit their hashes,
	// Unverifiable those of which the node, or the chain's rules, told too little
	// for that. Both stay zero without Config.Verify.
	Verified, Unverifiable uint64
}

type counters struct {
	requests, bytes, odd, zero, removed, duplicate, verified, unverifiable atomic.Uint64
}

// Stats returns the counters.
func (c *Client) Stats() Stats {
	return Stats{
		Requests:      c.stats.requests.Load(),
		Bytes:         c.stats.bytes.Load(),
		OddLogs:       c.stats.odd.Load(),
		ZeroTransfers: c.stats.zero.Load(),
		RemovedLogs:   c.stats.removed.Load(),
		DuplicateLogs: c.stats.duplicate.Load(),
		Verified:      c.stats.verified.Load(),
		Unverifiable:  c.stats.unverifiable.Load(),
	}
}
