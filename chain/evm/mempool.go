package evm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/bursar-go/bursar/chain"
)

const (
	// maxPendingMessage bounds one pending transaction: nodes pass on up to 128 KiB
	// of data, which is twice as much in hex.
	maxPendingMessage = 1 << 20
	// hashRoom is how many hashes wait to be asked for, where a node sends those
	// alone; hashBatch are asked for at once, hashPause after the last answer. What
	// comes faster is not looked at.
	hashRoom  = 1000
	hashBatch = 100
	hashPause = time.Second
)

// WatchMempool follows pending transactions over Config.WebSocket (eth_subscribe,
// newPendingTransactions), in full where the node gives them; of hashes alone it
// asks for at most 100 a second. It sends the sights of native coin to watched
// receivers, and of calls of transfer and transferFrom of the watched tokens to
// them. It returns when ctx ends, with its error, or when the subscription does.
//
// Errors: those of SubscribeHeads.
func (c *Client) WatchMempool(ctx context.Context, w chain.Watch, out chan<- chain.Sight) error {
	if c.cfg.WebSocket == "" {
		return fmt.Errorf("evm: %w: no Config.WebSocket", chain.ErrUnsupported)
	}
	return c.watchMempool(ctx, w, out, c.pace())
}

func (c *Client) watchMempool(ctx context.Context, w chain.Watch, out chan<- chain.Sight, p pace) error {
	listed, err := newTokenTable(c.Info().ID, w.Assets())
	if err != nil {
		return err
	}
	m := &mempool{client: c, watch: w, listed: listed, out: out, hashes: make(chan [32]byte, hashRoom)}
	ctx, cancel := context.WithCancel(ctx)
	var fetching sync.WaitGroup
	fetching.Go(func() { m.fetch(ctx) })
	defer fetching.Wait()
	defer cancel()
	return (&stream{
		client: c, pace: p, limit: maxPendingMessage, note: m.note, pongs: true,
		topics: []string{`"newPendingTransactions",true`, `"newPendingTransactions"`},
	}).run(ctx)
}

// mempool is one subscription to pending transactions.
type mempool struct {
	client *Client
	watch  chain.Watch
	listed *tokenTable
	out    chan<- chain.Sight
	hashes chan [32]byte
}

// note looks at what a node pushed: a transaction, or its hash. What cannot be read
// is left out: chains have types of transactions of their own, and none that pays
// us by one is lost, since its block is read.
func (m *mempool) note(result json.RawMessage) {
	s := &scanner{data: result}
	switch {
	case len(result) == 0:
	case s.space() == '{':
		m.tell(result)
	default:
		var hash [32]byte
		if s.fixed(hash[:]); s.err != nil {
			return
		}
		select {
		case m.hashes <- hash:
		default:
		}
	}
}

// tell sends the sight of a transaction, where it has one and there is room.
func (m *mempool) tell(object []byte) {
	sight, ok := m.promise(object)
	if !ok {
		return
	}
	select {
	case m.out <- sight:
	default:
	}
}

// fetch asks for the transactions of which only hashes came, until ctx ends.
func (m *mempool) fetch(ctx context.Context) {
	for {
		var calls []*call
		select {
		case <-ctx.Done():
			return
		case hash := <-m.hashes:
			calls = m.question(hash)
		}
		// Whatever goes wrong, these are lost, and others come.
		_ = m.client.do(ctx, calls...)
		timer := time.NewTimer(hashPause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// question makes the calls for a hash and those that wait behind it.
func (m *mempool) question(hash [32]byte) (calls []*call) {
	for {
		calls = append(calls, newCall("eth_getTransactionByHash", func(s *scanner) { m.tell(s.raw()) }, hexHash(&hash)))
		if len(calls) == hashBatch {
			return calls
		}
		select {
		case hash = <-m.hashes:
		default:
			return calls
		}
	}
}

// promise reads what a pending transaction would move to a watched receiver.
func (m *mempool) promise(object []byte) (out chain.Sight, ok bool) {
	var t transactionObject
	s := &scanner{data: object}
	if s.isNull() {
		return out, false
	}
	if s.transaction(&t); s.err != nil || t.mined || t.creates {
		return out, false
	}
	from := checksummed(t.from)
	out = chain.Sight{ID: chain.TransferID{Tx: chain.TxID(hexHash(&t.hash))}, From: from, Lock: nonceLock(from, t.nonce)}
	if token, listed := m.listed.ids[t.to]; listed {
		p, ok := readPromise(inputOf(object))
		if _, watched := m.watch.Match(p.to[:]); !ok || !watched {
			return out, false
		}
		if p.hasFrom {
			out.From = checksummed(p.from)
		}
		out.To, out.Asset, out.Amount = checksummed(p.to), token.id, amountOfWord(&p.amount)
		// It is the first such log of its transaction: what a contract does for
		// others before is another receiver's.
		out.ID.Ordinal = "t:" + string(token.contract) + ":" + string(out.To) + ":0"
		return out, true
	}
	if _, watched := m.watch.Match(t.to[:]); !watched || t.value == [32]byte{} {
		return out, false
	}
	out.To, out.Asset, out.Amount, out.ID.Ordinal = checksummed(t.to), m.client.Info().Native.ID, amountOfWord(&t.value), "n"
	return out, true
}

// inputOf finds the digits of a transaction's calldata.
func inputOf(object []byte) (digits []byte) {
	s := &scanner{data: object}
	if !s.open('{') {
		return nil
	}
	for first := true; ; {
		name, ok := s.key(&first)
		switch {
		case !ok:
			return digits
		case string(name) == "input" || string(name) == "data":
			// Some nodes write it under both names.
			if text := s.plain(); len(text) > len(digits) {
				digits = bytes.TrimPrefix(text, []byte("0x"))
			}
		default:
			s.skip()
		}
	}
}

// tokenCall is what a call of a token promises.
type tokenCall struct {
	from, to [addressLength]byte
	hasFrom  bool // transferFrom
	amount   [32]byte
}

// readPromise reads transfer(address,uint256) and
// transferFrom(address,address,uint256); what follows the arguments is for others.
func readPromise(digits []byte) (p tokenCall, ok bool) {
	if len(digits) < 8 {
		return p, false
	}
	selector, args := string(bytes.ToLower(digits[:8])), digits[8:]
	switch {
	case selector == "a9059cbb" && len(args) >= 2*64:
	case selector == "23b872dd" && len(args) >= 3*64:
		if p.hasFrom = addressWord(&p.from, args); !p.hasFrom {
			return p, false
		}
		args = args[64:]
	default:
		return p, false
	}
	ok = addressWord(&p.to, args) && unhex(p.amount[:], args[64:128]) && p.amount != [32]byte{}
	return p, ok
}

// addressWord reads a word that is an address.
func addressWord(dst *[addressLength]byte, digits []byte) bool {
	return len(bytes.Trim(digits[:24], "0")) == 0 && unhex(dst[:], digits[24:64])
}
