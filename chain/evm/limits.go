package evm

import (
	"errors"
	"net/http"
	"sync/atomic"
)

// maxReceivers is how many receivers one question for logs names. It is the cap
// that geth and its descendants have built in, and more than most providers
// take; what is refused is halved.
const maxReceivers = 1000

// minReceivers is where naming receivers ends: many small questions cost more
// than reading all Transfer logs.
const minReceivers = 64

// nodeLimits are what the node's refusals have taught. Each one is halved by a
// refusal, and grows again by small steps where questions at the limit are
// answered: providers change their plans, and a busy stretch of the chain ends.
type nodeLimits struct {
	// logRange is the most blocks of a question for logs; 0: no limit met.
	logRange atomic.Uint64
	// batch is the most calls of a request; 0: no limit met.
	batch atomic.Uint64
	// named is the most receivers of a question; 0: no limit met.
	named atomic.Uint64
	// rangePause is how many pages are still read without questions by range.
	rangePause atomic.Int64
}

// mayRange reports whether logs may be asked for by range, and counts the pages
// of a pause.
func (l *nodeLimits) mayRange() bool {
	for {
		left := l.rangePause.Load()
		if left <= 0 {
			return true
		}
		if l.rangePause.CompareAndSwap(left, left-1) {
			return false
		}
	}
}

// receivers is the most receivers that are named in one question.
func (l *nodeLimits) receivers() int {
	switch n := l.named.Load(); {
	case n == 0:
		return maxReceivers
	case n < minReceivers:
		return 0
	default:
		return int(n)
	}
}

// shrink halves a limit after a refusal of a question of size n, floor 1.
func shrink(limit *atomic.Uint64, n int) { limit.Store(uint64(max(n/2, 1))) }

// grow raises a limit by one step after a question of size n was answered, and
// lifts it at the top.
func grow(limit *atomic.Uint64, n int, top uint64) {
	now := limit.Load()
	switch {
	case now == 0 || uint64(n) < now:
	case now+1 >= top:
		limit.CompareAndSwap(now, 0)
	default:
		limit.CompareAndSwap(now, now+1)
	}
}

// rangeTexts are pieces of what nodes and providers say where a question for
// logs covers too many blocks or has too many answers, in lower case. There is
// no common code for it: -32000, -32005, -32600, -32602, -32603, -32614 and 35
// are all in use. Who says it is in the test of this table.
var rangeTexts = [...]string{
	"block range", "blocks range", "range limit", "range exceed", "range is too large", "range too large", "range too wide",
	"range is too wide", "max range", "maximum range", "limit the query to at most", "ranges over", "range of blocks",
	"too many blocks", "maxblocks", "exceeds limit of", "exceeds max block", "exceed max block", "blocks distance",
	"query returned more than", "returned more than", "too many results", "too many logs", "max results", "max logs",
	"logs matched by query exceeds", "number of logs", "response size", "response is too big", "response too large",
	"limit exceeded", "query exceeds", "limited to", "query timeout exceeded", "query timed out", "exceeds the range", "rpc range",
	"this range should work", "try with this",
}

// isRangeLimit reports whether the node refuses a question for logs because of
// its size. What a provider says of its rate is no such refusal.
func isRangeLimit(err error) bool {
	if isRateLimit(err) {
		return false
	}
	return isTooLarge(err) || refusedWith(err, 0, rangeTexts[:]...)
}

// isRateLimit reports whether the node asks for patience.
func isRateLimit(err error) bool {
	var status *HTTPError
	if errors.As(err, &status) && status.Status == http.StatusTooManyRequests {
		return true
	}
	return refusedWith(err, 429, "rate limit", "too many requests", "request limit", "daily request", "per second", "compute units", "capacity")
}

// isTopicLimit reports whether the node refuses the number of receivers named.
func isTopicLimit(err error) bool {
	return refusedWith(err, 0, "exceed max topics", "exceed max addresses", "max topics", "too many topics", "maxsubtopics", "max sub topics", "topics per search", "too many parameters", "parameters in a single request")
}

// isBatchLimit reports whether the node refuses a request because of the number
// of calls in it, or takes one call at a time only.
func isBatchLimit(err error) bool {
	var status *HTTPError
	if errors.As(err, &status) {
		switch status.Status {
		case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType,
			http.StatusUnprocessableEntity, http.StatusNotImplemented:
			return true
		}
		return false
	}
	return refusedWith(err, 0, "batch too large", "batch size", "batch limit", "max batch", "batch request", "batch of", "batches", "batch call", "batching",
		"batch is not", "not support batch", "requests in a batch", "calls in a batch", "invalid request array")
}

// batchSize is the most calls of a request.
func (c *Client) batchSize() int {
	if n := c.limits.batch.Load(); n > 0 {
		return min(int(n), c.cfg.MaxBatch)
	}
	return c.cfg.MaxBatch
}

// smallBatch is the most calls with small answers in one request, where the host
// did not choose: it is what geth takes, and stands for as long as nobody
// refuses it.
func (c *Client) smallBatch() int {
	if c.cfg.MaxBatch != DefaultMaxBatch || c.limits.batch.Load() > 0 {
		return 1
	}
	return maxMaxBatch
}

// isLate reports whether a request took longer than Config.Timeout: what the
// node cannot do in that time for many blocks it may do for few.
func isLate(err error) bool {
	var broken *TransportError
	return errors.As(err, &broken) && broken.late
}
