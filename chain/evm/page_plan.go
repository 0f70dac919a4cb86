package evm

import (
	"context"
	"errors"

	"github.com/bursar-go/bursar/chain"
)

// catchUpDepth is how far below the newest known block a page must end for its
// logs to be asked for by range: what is asked by height must not be about to
// change, though each answer is checked all the same.
const catchUpDepth = 16

// farBehind is how many blocks must lie ahead for raw blocks to be worth the
// questions about nonces that they need: one per watched account.
const (
	farBehind      = 64
	keysPerBlock   = 50     // accounts whose nonces cost about what a full block does
	maxRawAccounts = 20_000 // watched accounts whose nonces are asked for at all
)

// plan is how a page is read.
type plan struct {
	from   uint64
	n      int
	source NativeSource // NativeFull, NativeRaw, NativeTrace or NativeProbe
	// detail is how the blocks are read in which a probed page finds something.
	detail NativeSource
	// deep is true where the page ends far enough below the head.
	deep bool
	// halved is true where another reader has as many blocks of the same page.
	halved bool
	// last is true where it ends with the block up to which the signers are known.
	last bool
	// byRange is true where the logs are asked for by range.
	byRange bool
	// receivers are named in the questions for logs by range, where there are
	// any.
	receivers [][addressLength]byte
	// guess is the hash that the one block of the page has, as far as Head
	// knows.
	guess *blockID
	// count is the transaction count of that block.
	count transferCount
	// receipts is true once they were read.
	receipts bool
	// signers tells which raw transactions may be our own.
	signers *signers
}

// named reports whether the questions for logs name receivers.
func (p *plan) named() bool { return len(p.receivers) > 0 }

// halve leaves one half of a page of n blocks to another reader, and returns how many
// blocks that has. A page that is small, near the head or read by balances stays
// whole.
func (p *plan) halve(n int) (rest int) {
	if !p.deep || p.source == NativeProbe || n < fewBlocks {
		return 0
	}
	p.n, p.halved = min(p.n, (n+1)/2), true
	return min(p.n, n-p.n)
}

// fewBlocks are not worth a second reader.
const fewBlocks = 16

// depth is how far below the head a page counts as settled.
func (c *Client) depth() uint64 { return max(catchUpDepth, c.Info().Confirmations) }

// settledPart cuts a page where the newest blocks begin, unless that would leave
// little of it: the part below can be read the cheaper way.
func (c *Client) settledPart(from uint64, n int) int {
	head := c.head.Load()
	if head == nil || head.height < from+c.depth() {
		return n
	}
	if settled := head.height - c.depth() - from + 1; settled < uint64(n) && 4*settled >= uint64(n) {
		return int(settled)
	}
	return n
}

// makePlan chooses the way. A client that was never asked for the head does not
// know how far it is behind, and reads full blocks by hash. Where probing is false
// the page was tried by balances, and must be read by blocks.
func (p *pageReader) makePlan(ctx context.Context, from uint64, n int, probing bool) error {
	c := p.client
	p.plan = plan{from: from, n: n, source: c.cfg.Native}
	head := c.head.Load()
	ahead := uint64(0)
	if head != nil && head.height >= from {
		ahead = head.height - from
	}
	switch known := c.signers.Load(); {
	case ahead >= uint64(n-1)+c.depth():
		p.plan.deep = true
		p.plan.byRange = c.limits.mayRange()
	case known != nil && from > known.after && from <= known.upTo.height && from+uint64(n-1) >= known.upTo.height:
		// The catch-up ends here.
		p.plan.last = true
		p.plan.n = int(known.upTo.height-from) + 1
	}
	if !p.plan.deep && head != nil && p.plan.n == 1 && head.height == from {
		p.plan.guess = head
	}
	switch p.plan.source {
	case NativeAuto, NativeProbe, NativeBlocks:
		can, err := p.chooseSource(ctx, head)
		if err != nil {
			return err
		}
		probing = probing && can
	default:
		probing = false
	}
	// Where senders cannot be told cheaply, neither raw blocks nor balances are of
	// use.
	if p.plan.source == NativeRaw || probing {
		if err := p.knowSigners(ctx, head, ahead, probing); err != nil {
			return err
		}
	}
	p.nameReceivers()
	p.choosePace(probing)
	return nil
}

// chooseSource chooses how blocks are read, and tells whether it may be tried to
// read few of them.
func (p *pageReader) chooseSource(ctx context.Context, head *blockID) (probing bool, err error) {
	c, wanted := p.client, p.plan.source
	p.plan.source = NativeFull
	if head == nil {
		return false, nil
	}
	found, err := c.capabilities(ctx, p.plan.from)
	switch {
	case err != nil:
		return false, err
	case found.TraceBlock:
		p.plan.source = NativeTrace
	case found.RawBlock && (p.plan.deep || p.plan.last):
		p.plan.source = NativeRaw
	}
	plain := wanted == NativeProbe || wanted == NativeAuto && c.cfg.Preset.PlainAccounts
	return plain && found.Balances && p.plan.byRange && p.watch.Len() <= maxStill, nil
}

// choosePace settles whether the page is read by balances, once it is known what
// the node tells.
func (p *pageReader) choosePace(probing bool) {
	s := p.plan.signers
	if probing && s != nil && s.still != nil && !s.still.off.Load() && (p.plan.named() || len(p.listed.contracts) == 0) {
		p.plan.source, p.plan.detail = NativeProbe, p.plan.source
		if caps := p.client.caps.Load(); caps != nil && caps.Headers {
			// Headers, the anchor and a question for logs, in one request.
			p.plan.n = min(p.plan.n, max(p.client.batchSize()-2, 1))
		}
		return
	}
	switch p.plan.source {
	case NativeRaw:
		return
	case NativeTrace:
		// Two calls for each block, and those for logs, in one request.
		p.plan.n = min(p.plan.n, max(p.client.batchSize()/2-1, 1))
	}
	p.plan.signers = nil
}

// knowSigners asks what a page of raw blocks or of balances needs to know, and
// makes it one of full blocks where that is not to be had.
func (p *pageReader) knowSigners(ctx context.Context, head *blockID, ahead uint64, probing bool) error {
	raw := p.plan.source == NativeRaw
	if raw {
		p.plan.source = NativeFull
	}
	accounts := p.watch.Len()
	known := p.client.signers.Load()
	if accounts > maxRawAccounts || head == nil || !p.plan.deep && !p.plan.last {
		return nil
	}
	if !known.covers(&p.plan) {
		if !p.plan.deep || ahead < max(farBehind, uint64(accounts)/keysPerBlock) {
			return nil
		}
		known = nil
	}
	s, err := p.client.updateSigners(ctx, known, p.plan.from, head, p.watch, probing)
	if err != nil || s == nil {
		return err
	}
	p.plan.signers = s
	if raw && !s.useless.Load() {
		p.plan.source = NativeRaw
	}
	return nil
}

// nameReceivers lists the receivers where naming them costs the node less than
// all Transfer logs of the listed tokens.
func (p *pageReader) nameReceivers() {
	most := p.client.limits.receivers() * maxQuestions
	if n := p.watch.Len(); !p.plan.byRange || n > most || len(p.listed.contracts) == 0 {
		return
	}
	for key := range p.watch.Keys() {
		if len(key) == addressLength {
			p.plan.receivers = append(p.plan.receivers, [addressLength]byte(key))
		}
	}
	if len(p.plan.receivers) > most {
		p.plan.receivers = nil // it grew meanwhile
	}
}

// maxQuestions is how many questions with named receivers stand in for one
// without: each one costs geth a tenth of a millisecond per block, and writing
// all logs of a busy block some four.
const maxQuestions = 16

// weigh looks at what raw blocks were worth. Where most of them had to be read in
// full all the same, the following ones are right away.
func (p *pageReader) weigh() {
	s := p.plan.signers
	if s == nil || p.plan.source != NativeRaw {
		return
	}
	opaque := 0
	for _, i := range p.whole {
		if p.blocks[i].opaque {
			opaque++
		}
	}
	seen := s.seen.Add(uint64(len(p.blocks)))
	whole, unknown := s.whole.Add(uint64(len(p.whole))), s.opaque.Add(uint64(opaque))
	if whole < fewWhole || 4*whole < 3*seen {
		return
	}
	if 4*unknown >= 3*seen {
		p.client.distrust("debug_getRawBlock", "transactions of unknown types in most blocks")
	}
	s.useless.Store(true)
}

// fewWhole is how many blocks that had to be read twice prove nothing.
const fewWhole = 48

// blame draws the conclusions from a page that failed.
func (p *pageReader) blame(err error) {
	c := p.client
	var broken *TransportError
	var refusal *RPCError
	var unreadable *DecodeError
	switch {
	case errors.As(err, &broken) && errors.Is(err, chain.ErrTransient):
		// It may be another node, or another version, when it is back.
		c.forget()
		c.signers.Store(nil)
	case errors.As(err, &refusal) && isGone(err):
		c.forget()
	case errors.As(err, &unreadable) && (p.plan.source == NativeRaw || p.plan.detail == NativeRaw):
		c.distrust("debug_getRawBlock", unreadable.Reason)
	case errors.As(err, &unreadable) && (p.plan.source == NativeTrace || p.plan.detail == NativeTrace):
		c.distrust("trace_block", unreadable.Reason)
	}
}
