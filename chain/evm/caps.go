package evm

import (
	"context"
	"errors"
	"fmt"

	"github.com/bursar-go/bursar/chain"
)

// NativeSource is where a client reads the movements of native coin from.
type NativeSource string

// The sources of native coin.
const (
	// NativeAuto lets the client choose what is cheapest and sound.
	NativeAuto NativeSource = ""
	// NativeFull reads blocks with all their transactions as JSON, which every
	// node has. Native coin that a contract sends is not in it.
	NativeFull NativeSource = "full"
	// NativeRaw reads blocks in their own encoding (debug_getRawBlock) while the
	// client is far behind the head, and full ones near it.
	NativeRaw NativeSource = "raw"
	// NativeTrace reads the calls inside of the transactions (trace_block), and
	// so sees native coin that a contract sends.
	NativeTrace NativeSource = "trace"
	// NativeProbe compares, while the client is far behind the head, balances and
	// nonces of the watched accounts, and reads the blocks in which one of them
	// moved. NativeAuto does the same where Preset.PlainAccounts says that this is
	// sound; see there before it is asked for on another chain. Where the node does
	// not have the state of old blocks, where an account has code, and with more
	// than 5000 watched accounts, every block is read.
	NativeProbe NativeSource = "probe"
	// NativeBlocks is NativeAuto without comparing: every block is read.
	NativeBlocks NativeSource = "blocks"
)

// Capabilities is what a client has found out about its node, beside what every
// node has. A limit is what the node's refusals have taught; a node that never
// refused has none.
type Capabilities struct {
	// Probed is true once the node was asked. Before that, and for a while
	// after the connection broke, the fields below it are not set.
	Probed bool
	// RawBlock is true where debug_getRawBlock answers with the block that the
	// node also shows as JSON.
	RawBlock bool
	// TraceBlock is true where trace_block answers, and none of its answers has
	// contradicted its block so far.
	TraceBlock bool
	// BlockReceipts is true where eth_getBlockReceipts answers.
	BlockReceipts bool
	// Headers is true where eth_getHeaderByNumber answers with the header that the
	// block has.
	Headers bool
	// Balances is true where a call can be made with code that is not there, which
	// tells the balances of many accounts at once, and no balance has contradicted
	// the nonces so far.
	Balances bool
	// Faults tell why a method that answers is not used.
	Faults []string
	// Batch is the most calls in one request.
	Batch int
	// LogRange is the most blocks in one question for logs by range; 0: as many
	// as a page has.
	LogRange uint64
	// LogReceivers is the most receivers named in one question for logs; 0:
	// none are named, and all Transfer logs of the listed tokens are read.
	LogReceivers int
}

// Capabilities returns what is known of the node by now. It asks nothing: the
// node is probed when the first page after Head is read, and once more after
// each broken connection, because a node may come back as another one.
func (c *Client) Capabilities() Capabilities {
	var out Capabilities
	if p := c.caps.Load(); p != nil {
		out = *p
		out.Faults = append([]string(nil), p.Faults...)
	}
	out.Batch = c.batchSize()
	out.LogRange = c.limits.logRange.Load()
	out.LogReceivers = c.limits.receivers()
	return out
}

// capabilities returns what the node can do, and probes it where that is not
// known. A node that refuses the questions can do none of it; one that does not
// answer at all is an error.
func (c *Client) capabilities(ctx context.Context, height uint64) (*Capabilities, error) {
	if p := c.caps.Load(); p != nil {
		return p, nil
	}
	p, err := c.probe(ctx, height)
	if err != nil {
		return nil, err
	}
	if p.Probed {
		c.caps.Store(p)
	}
	return p, nil
}

// probe asks for one block in all ways. What a node says to a question that it
// does not understand may be anything, down to the refusal of the request as a
// whole, so that each question is one request and each answer read on its own.
func (c *Client) probe(ctx context.Context, height uint64) (*Capabilities, error) {
	var shown, raw, traced, light block
	var words []byte
	var rawText, traceText []byte
	at := hexQuantity(height)
	calls := []*call{
		newCall("eth_getBlockByNumber", func(s *scanner) { s.hashes(&shown) }, at, false),
		newCall("debug_getRawBlock", intoRaw(&rawText), at),
		newCall("trace_block", intoRaw(&traceText), at),
		// The first block has no transactions, so that this costs nothing.
		newCall("eth_getBlockReceipts", func(s *scanner) { s.skip() }, "0x0"),
		newCall("eth_getHeaderByNumber", func(s *scanner) { s.light(&light) }, at),
		accountsCall("latest", make([][addressLength]byte, 1), func(w []byte) { words = w }),
	}
	for i, r := range calls {
		err := c.send(ctx, calls[i:i+1])
		var broken *TransportError
		switch {
		case err != nil && (i == 0 || errors.As(err, &broken)):
			return nil, err
		case err != nil:
			r.err = err
		}
	}
	if calls[0].err != nil || shown.missing {
		// There is nothing to compare with; the page will say what is wrong.
		return new(Capabilities), nil
	}
	p := &Capabilities{
		Probed: true, BlockReceipts: calls[3].err == nil, Balances: calls[5].err == nil && words != nil,
		Headers: calls[4].err == nil && !light.missing && light.sameHeader(&shown.header),
	}
	if calls[1].err == nil {
		s := &scanner{data: rawText}
		s.rawBlock(&raw)
		p.RawBlock = p.judge("debug_getRawBlock", s.err, func() string { return raw.differs(&shown) })
	}
	if calls[2].err == nil {
		s := &scanner{data: traceText}
		var ok bool
		traced.traces, ok = s.traces(nil)
		traced.header, traced.list = shown.header, shown.list
		p.TraceBlock = p.judge("trace_block", s.err, traced.checkTraces) && ok
	}
	return p, nil
}

// judge notes what is wrong with a method's answer, if anything is.
func (p *Capabilities) judge(method string, unreadable *DecodeError, check func() string) bool {
	fault := ""
	if unreadable != nil {
		fault = unreadable.Reason
	} else {
		fault = check()
	}
	if fault != "" {
		p.Faults = append(p.Faults, method+": "+fault)
	}
	return fault == ""
}

// differs compares a raw block with the same one as JSON. They differ where a
// chain hashes its blocks in a way of its own.
func (b *block) differs(shown *block) string {
	switch {
	case b.missing:
		return "it does not have the block"
	case b.hash != shown.hash:
		return "its hash is not that of the block"
	case b.count() != len(shown.list):
		return fmt.Sprintf("%d transactions, %d in the block", b.count(), len(shown.list))
	}
	for i := range shown.list {
		if b.hashAt(i) != shown.list[i].hash {
			return fmt.Sprintf("transaction %d is another one", i)
		}
	}
	return ""
}

// sameHeader compares what is used of a header.
func (h *header) sameHeader(other *header) bool {
	return h.hash == other.hash && h.parent == other.parent && h.height == other.height && h.seconds == other.seconds &&
		h.hasBloom == other.hasBloom && (!h.hasBloom || h.bloom == other.bloom)
}

// isGone reports whether the node says that it does not have a method, or no
// longer.
func isGone(err error) bool {
	return refusedWith(err, codeMethodNotFound, "does not exist/is not available", "method not found", "not supported", "not available", "not enabled")
}

// forget makes the client probe again.
func (c *Client) forget() { c.caps.Store(nil) }

// distrust leaves a method unused until the next probe.
func (c *Client) distrust(method, reason string) {
	old := c.caps.Load()
	if old == nil {
		return
	}
	p := *old
	p.Faults = append(append([]string(nil), old.Faults...), method+": "+reason)
	switch method {
	case "trace_block":
		p.TraceBlock = false
	case "debug_getRawBlock":
		p.RawBlock = false
	case balancesMethod:
		p.Balances = false
	}
	c.caps.CompareAndSwap(old, &p)
}

// balancesMethod is how the comparison of balances is called among the faults.
const balancesMethod = "balances"

// blockID is a block that the node had as its head.
type blockID struct {
	height uint64
	hash   [32]byte
}

// ref names it as the port does.
func (b *blockID) ref() chain.BlockHash { return chain.BlockHash(hexHash(&b.hash)) }
