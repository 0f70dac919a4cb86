package evm

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"sync"

	"github.com/bursar-go/bursar/chain"
)

// call is one JSON-RPC call. Its result goes through decode while the response
// is scanned, so nothing is read twice; decode sees null like any other value
// and must copy what it keeps.
type call struct {
	method string
	params []any
	decode func(*scanner)
	// err is set by do: *RPCError where the node refused this call, another
	// error where its answer is missing. What decode stored counts only if nil.
	err      error
	answered bool
}

func newCall(method string, decode func(*scanner), params ...any) *call {
	if params == nil {
		params = []any{}
	}
	return &call{method: method, params: params, decode: decode}
}

// one sends a single call and returns its error, whatever went wrong.
func (c *Client) one(ctx context.Context, r *call) error {
	if err := c.do(ctx, r); err != nil {
		return err
	}
	return r.err
}

// all sends the calls and returns the first error of any of them.
func (c *Client) all(ctx context.Context, calls ...*call) error {
	if err := c.do(ctx, calls...); err != nil {
		return err
	}
	for _, r := range calls {
		if r.err != nil {
			return r.err
		}
	}
	return nil
}

// do sends the calls, in batches of at most Config.MaxBatch. It returns an error
// if a request as a whole failed; otherwise each call has its own err.
func (c *Client) do(ctx context.Context, calls ...*call) error {
	return c.doBy(ctx, c.batchSize(), calls...)
}

// doBy sends the calls in batches of at most size, two at a time: while one
// answer is read here, the node works on the other. It returns the first error in
// the order of the calls.
func (c *Client) doBy(ctx context.Context, size int, calls ...*call) error {
	parts := max((len(calls)+size-1)/size, 1)
	// Batches of one length: the answers then take about as long.
	batches := slices.Collect(slices.Chunk(calls, max((len(calls)+parts-1)/parts, 1)))
	limit := c.limits.batch.Load()
	for pair := range slices.Chunk(batches, 2) {
		var second error
		var wait sync.WaitGroup
		if len(pair) == 2 {
			wait.Go(func() { second = c.sendFitting(ctx, pair[1]) })
		}
		first := c.sendFitting(ctx, pair[0])
		wait.Wait()
		if first != nil {
			return first
		}
		if second != nil {
			return second
		}
	}
	if parts > 1 && limit > 0 && c.limits.batch.Load() == limit {
		// Nothing was refused.
		grow(&c.limits.batch, int(limit), uint64(c.cfg.MaxBatch))
	}
	return nil
}

// sendFitting sends the calls in one batch. Where the node refuses it because of
// its size, the size is halved, down to single calls, and remembered.
func (c *Client) sendFitting(ctx context.Context, calls []*call) error {
	size := len(calls)
	for len(calls) > 0 {
		n := min(len(calls), size)
		err := c.send(ctx, calls[:n])
		if n > 1 && (isBatchLimit(err) || err == nil && batchRefused(calls[:n])) {
			shrink(&c.limits.batch, n)
			size = max(n/2, 1)
			for _, r := range calls[:n] {
				r.err, r.answered = nil, false
			}
			continue
		}
		if err != nil {
			return err
		}
		calls = calls[n:]
	}
	return nil
}

// batchRefused reports whether every call of a batch was refused because of the
// batch's size.
func batchRefused(calls []*call) bool {
	for _, r := range calls {
		if !isBatchLimit(r.err) {
			return false
		}
	}
	return true
}

func (c *Client) send(ctx context.Context, calls []*call) error {
	base := c.nextID.Add(uint64(len(calls))) - uint64(len(calls)) + 1
	request, err := encodeRequest(base, calls)
	if err != nil {
		return err
	}
	body, ok := c.buffers.Get().(*[]byte)
	if !ok {
		body = new([]byte)
	}
	defer c.buffers.Put(body)
	if *body, err = c.post(ctx, request, (*body)[:0]); err != nil {
		return err
	}
	r := response{scanner: scanner{data: *body}, base: base, calls: calls, secrets: c.secrets}
	return r.read()
}

// encodeRequest writes one object for one call, else an array. The ids count up
// from base and are never used again by this client, so an answer that a proxy
// mixed up with an earlier one cannot be taken for this one.
func encodeRequest(base uint64, calls []*call) ([]byte, error) {
	out := make([]byte, 0, 128*len(calls))
	for i, r := range calls {
		params, err := json.Marshal(r.params)
		if err != nil {
			return nil, err
		}
		switch {
		case i > 0:
			out = append(out, ',')
		case len(calls) > 1:
			out = append(out, '[')
		}
		out = append(out, `{"jsonrpc":"2.0","id":`...)
		out = strconv.AppendUint(out, base+uint64(i), 10)
		out = append(out, `,"method":"`...)
		out = append(out, r.method...)
		out = append(out, `","params":`...)
		out = append(out, params...)
		out = append(out, '}')
	}
	if len(calls) > 1 {
		out = append(out, ']')
	}
	return out, nil
}

// response reads one HTTP body and hands each result to its call.
type response struct {
	scanner
	base    uint64
	calls   []*call
	secrets redactor
	// refused is an error object that belongs to no call: the node's answer to
	// a batch as a whole.
	refused *RPCError
}

func (r *response) read() error {
	if r.space() == '[' {
		r.open('[')
		for first := true; r.more(']', &first); {
			r.member()
		}
	} else {
		r.member()
	}
	r.end()
	if r.err != nil {
		return r.err
	}
	for _, c := range r.calls {
		switch {
		case c.answered:
		case r.refused != nil:
			return r.refused
		default:
			c.err = &DecodeError{Offset: r.pos, Reason: "no answer to " + c.method}
		}
	}
	return nil
}

// member reads one response object. The id usually comes before the result; if
// it does not, the result is skipped first and scanned again afterwards.
func (r *response) member() {
	var (
		target          *call
		refusal         *RPCError
		hasID, anonym   bool
		decoded, failed bool
		late            = -1 // where a result stands that came before its id
	)
	if !r.open('{') {
		return
	}
	for first := true; ; {
		name, ok := r.key(&first)
		if !ok {
			break
		}
		switch string(name) {
		case "id":
			if hasID {
				r.fail("two ids")
				return
			}
			hasID = true
			target, anonym = r.id()
		case "result":
			if decoded || late >= 0 {
				r.fail("two results")
				return
			}
			if target == nil {
				r.space()
				late = r.pos
				r.skip()
				break
			}
			decoded = true
			r.result(target)
		case "error":
			if failed {
				r.fail("two errors")
				return
			}
			failed = true
			if !r.isNull() {
				refusal = r.errorObject()
			}
		default:
			r.skip()
		}
	}
	switch {
	case r.err != nil:
	case anonym && refusal != nil:
		r.refused = refusal
	case target == nil:
		r.fail("response without id")
	case target.answered:
		target.err = &DecodeError{Offset: r.pos, Reason: "two answers to " + target.method}
	default:
		r.settle(target, refusal, decoded, late)
	}
}

// settle ends the one answer of a call.
func (r *response) settle(target *call, refusal *RPCError, decoded bool, late int) {
	target.answered = true
	switch {
	case refusal != nil:
		refusal.Method = target.method
		target.err = refusal
	case decoded:
	case late >= 0:
		behind := r.pos
		r.pos = late
		target.decode(&r.scanner)
		if r.err == nil {
			r.pos = behind
		}
	default:
		target.err = &DecodeError{Offset: r.pos, Reason: "neither result nor error from " + target.method}
	}
}

func (r *response) result(target *call) {
	if target.answered {
		r.skip()
		return
	}
	target.decode(&r.scanner)
}

// id reads a number that this request sent. anonym is true for null, with which
// a node answers what it could not even read.
func (r *response) id() (target *call, anonym bool) {
	if r.isNull() {
		return nil, true
	}
	text := r.raw()
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil || n < r.base || n-r.base >= uint64(len(r.calls)) {
		r.fail("an id that was not asked for")
		return nil, false
	}
	return r.calls[n-r.base], false
}

func (r *response) errorObject() *RPCError {
	e := &RPCError{Method: "batch"}
	if !r.open('{') {
		return e
	}
	for first := true; ; {
		name, ok := r.key(&first)
		if !ok {
			return e
		}
		switch string(name) {
		case "code":
			// An unreadable code stays 0: the message still says what happened.
			e.Code, _ = strconv.ParseInt(string(r.raw()), 10, 64)
		case "message":
			r.space()
			e.Message = r.secrets.text(r.text(), 1024)
		case "data":
			if !r.isNull() {
				e.Data = append([]byte(nil), r.raw()...)
			}
		default:
			r.skip()
		}
	}
}

// Decoders of simple results, for calls off the hot path.

// intoUint64 stores a quantity of 64 bits.
func intoUint64(dst *uint64) func(*scanner) { return func(s *scanner) { *dst = s.uint64() } }

// intoAmount stores a quantity of 256 bits.
func intoAmount(dst *chain.Amount) func(*scanner) { return func(s *scanner) { *dst = s.amount() } }

// intoBytes stores hex data of any length.
func intoBytes(dst *[]byte) func(*scanner) {
	return func(s *scanner) {
		s.space()
		start := s.pos
		n := s.bytes(nil)
		if s.err != nil {
			return
		}
		*dst = make([]byte, n)
		unhex(*dst, s.data[start+3:s.pos-1])
	}
}

// intoRaw stores a copy of the result's JSON text.
func intoRaw(dst *[]byte) func(*scanner) {
	return func(s *scanner) { *dst = append([]byte(nil), s.raw()...) }
}
