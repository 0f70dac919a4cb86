package sweeper

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bursar-go/bursar/chain"
)

const (
	testChain                  = chain.ID("eip155:1337")
	treasury                   = chain.Address("treasury")
	stranger                   = chain.Address("stranger")
	finalDepth                 = 2
	nativeID                   = chain.AssetID("eip155:1337/slip44:60")
	usdcID, usdtID             = chain.AssetID("eip155:1337/erc20:0xusdc"), chain.AssetID("eip155:1337/erc20:0xusdt")
	blockTime                  = 12 * time.Second
	nativeTransfer, tokenCosts = 1, 2 // in units of world.price
	maxRoom                    = 10   // of a batch, as its client tells
)

var (
	native  = chain.Asset{ID: nativeID, Symbol: "ETH", Decimals: 18}
	usdc    = chain.Asset{ID: usdcID, Symbol: "USDC", Decimals: 6, Contract: "0xusdc"}
	usdt    = chain.Asset{ID: usdtID, Symbol: "USDT", Decimals: 6, Contract: "0xusdt"}
	sponsor = account("sponsor")
)

func account(name string) chain.Account {
	return chain.Account{Address: chain.Address(name), Key: chain.KeyRef{Wallet: "w", Path: "m/" + name}}
}

func units(n uint64) chain.Amount { return chain.NewAmount(n) }

// testTx is what the bytes of a transaction of the test chain say.
type testTx struct {
	From, To chain.Address
	Nonce    uint64
	Asset    chain.AssetID
	Amount   uint64
	Fee      uint64
	Parts    []testPart `json:",omitempty"` // of a batch, which From pays for
}

// testPart is an entry of a batch.
type testPart struct {
	From   chain.Address
	Amount uint64
}

func (x testTx) id() chain.TxID {
	sum := sha256.Sum256(x.raw())
	return chain.TxID(hex.EncodeToString(sum[:6]))
}

func (x testTx) raw() []byte {
	raw, err := json.Marshal(x)
	if err != nil {
		panic(err)
	}
	return raw
}

func (x testTx) lock() chain.Lock { return nonceOf(x.From, x.Nonce) }

func nonceOf(a chain.Address, n uint64) chain.Lock {
	return chain.Lock(fmt.Sprintf("nonce:%s:%d", a, n))
}

// ledgerState is all that a block can change.
type ledgerState struct {
	height   int
	balances map[place]uint64
	nonces   map[chain.Address]uint64
	mined    map[chain.TxID]minedTx
}

type minedTx struct {
	testTx
	height int
	ok     bool
	missed map[chain.Address]bool // parts that moved nothing
}

func (s ledgerState) clone() ledgerState {
	s.balances, s.nonces, s.mined = maps.Clone(s.balances), maps.Clone(s.nonces), maps.Clone(s.mined)
	return s
}

// world is a chain of accounts, nonces and one fee price, as a chain.Client. It
// is small enough to look at whole, and fails on command.
type world struct {
	t  *testing.T
	mu sync.Mutex // held during each call; for tests of Run
	ledgerState
	history []ledgerState // one before each block
	pool    map[chain.TxID]testTx
	price   uint64
	usual   uint64 // of the last day; 0: not known
	now     time.Time
	frozen  map[chain.AssetID]bool // transfers revert
	barred  map[chain.Address]bool // the token's transfers from there revert
	odd     map[chain.Address]bool // cannot be in a batch
	hidden  map[chain.Address]bool // as barred, and no dry run shows it
	room    int                    // of a batch; 0: no batches
	// fault is asked before and after each call; it may return an error or panic.
	fault func(call string, after bool) error
	// sent sees each broadcast before the network does.
	sent  func(chain.Signed)
	calls map[string]int
	// edit, where set, falsifies drafts and signatures.
	editDraft  func(*chain.Draft)
	editSigned func(*chain.Signed)
	noBump     bool
	intents    []chain.Intent // what drafts were asked for
}

func newWorld(t *testing.T) *world {
	return &world{
		t: t, price: 10, now: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), pool: map[chain.TxID]testTx{},
		ledgerState: ledgerState{balances: map[place]uint64{}, nonces: map[chain.Address]uint64{}, mined: map[chain.TxID]minedTx{}},
		frozen:      map[chain.AssetID]bool{}, calls: map[string]int{}, barred: map[chain.Address]bool{}, odd: map[chain.Address]bool{}, hidden: map[chain.Address]bool{},
		fault: func(string, bool) error { return nil }, sent: func(chain.Signed) {},
	}
}

// count is how often a method was called.
func (w *world) count(call string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[call]
}

// do runs fn between the two moments at which a fault can happen.
func (w *world) do(ctx context.Context, call string, fn func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[call]++
	if err := w.fault(call, false); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return err
	}
	return w.fault(call, true)
}

func (w *world) Info() chain.Info {
	return chain.Info{ID: testChain, Name: "test", Native: native, BlockTime: blockTime}
}
func (w *world) Codec() chain.Codec                       { return nil }
func (w *world) Head(context.Context) (chain.Head, error) { panic("not for a sweeper") }
func (w *world) Headers(context.Context, uint64, uint64) ([]chain.BlockRef, error) {
	panic("not for a sweeper")
}
func (w *world) Transfers(context.Context, uint64, uint64, chain.Watch) (chain.Page, error) {
	panic("not for a sweeper")
}

func (w *world) Status(ctx context.Context, ids ...chain.TxID) (out []chain.TxStatus, err error) {
	err = w.do(ctx, "Status", func() error {
		for _, id := range ids {
			s := chain.TxStatus{ID: id, State: chain.TxUnknown}
			if _, ok := w.pool[id]; ok {
				s.State = chain.TxPending
			}
			if m, ok := w.mined[id]; ok {
				s.State = chain.TxFailed
				if m.ok {
					s.State = chain.TxIncluded
				}
			}
			out = append(out, s)
		}
		return nil
	})
	return out, err
}

func (w *world) Prepare(ctx context.Context, in chain.Intent) (d chain.Draft, err error) {
	err = w.do(ctx, "Prepare", func() error {
		from := in.Moves[0].From.Address
		if in.FeePayer.Address != "" {
			from = in.FeePayer.Address
		}
		nonce := w.nonces[from]
		for slices.Contains(in.Taken, nonceOf(from, nonce)) {
			nonce++
		}
		d, err = w.draft(in, nonce, w.price)
		return err
	})
	return d, err
}

func (w *world) draft(in chain.Intent, nonce, price uint64) (chain.Draft, error) {
	w.intents = append(w.intents, in)
	if in.FeePayer.Address != "" {
		return w.draftBatch(in, nonce, price)
	}
	m := in.Moves[0]
	if in.Bid != nil {
		weight := uint64(nativeTransfer)
		if !m.Asset.Native() {
			weight = tokenCosts
		}
		if most := in.MaxFee.Big().Uint64() / weight; most > price {
			price += (most - price) * in.Bid.Part / in.Bid.Of
		}
	}
	have := func(a chain.AssetID) uint64 { return w.balances[place{m.From.Address, a}] }
	d := chain.Draft{Chain: testChain, Intent: in, Fee: units(nativeTransfer * price)}
	amount, fee := m.Amount.Big().Uint64(), nativeTransfer*price
	if !m.Asset.Native() {
		fee = tokenCosts * price
		d.Fee = units(fee)
	}
	if !in.MaxFee.IsZero() && in.MaxFee.Less(d.Fee) {
		return d, &chain.FeeTooHighError{Fee: d.Fee, Cap: in.MaxFee}
	}
	short := func(a chain.Asset, need uint64) error {
		return &chain.InsufficientFundsError{Account: m.From.Address, Asset: a, Required: units(need), Available: units(have(a.ID))}
	}
	switch {
	case m.All:
		if give := min(amount, have(nativeID)); give > fee {
			amount = give - fee
		} else {
			return d, short(native, fee+1)
		}
	case m.Asset.Native():
		if have(nativeID) < amount+fee {
			return d, short(native, amount+fee)
		}
	case have(m.Asset.ID) < amount:
		return d, short(m.Asset, amount)
	case w.frozen[m.Asset.ID] || w.barred[m.From.Address] && !m.Asset.Native():
		return d, &chain.RevertError{Reason: "frozen"}
	case have(nativeID) < fee:
		d.Needs = []chain.Need{{Account: m.From, Asset: native, Amount: units(fee - have(nativeID))}}
		return d, nil
	}
	m.Amount = units(amount)
	d.Intent.Moves = []chain.Move{m}
	x := testTx{From: m.From.Address, To: m.To, Nonce: nonce, Asset: m.Asset.ID, Amount: amount, Fee: fee}
	d.Locks, d.Payload = []chain.Lock{x.lock()}, x.raw()
	if w.editDraft != nil {
		w.editDraft(&d)
	}
	return d, nil
}

func (w *world) Sign(ctx context.Context, d chain.Draft, s chain.Signer) (out chain.Signed, err error) {
	err = w.do(ctx, "Sign", func() error {
		requests := []chain.SignRequest{{Chain: d.Chain, Payload: d.Payload, Purpose: chain.SignTransaction, Key: d.Intent.FeePayer.Key}}
		for _, m := range d.Intent.Moves {
			switch {
			case d.Intent.FeePayer.Address == "":
				requests[0].Key = m.From.Key
			case slices.Contains(d.Locks, chain.Lock("nonce:"+string(m.From.Address)+":0")):
				requests = append(requests, chain.SignRequest{Chain: d.Chain, Purpose: chain.SignAuthorization, Key: m.From.Key})
			}
		}
		if _, err := s.Sign(ctx, requests); err != nil {
			return err
		}
		x := parse(d.Payload)
		out = chain.Signed{Chain: d.Chain, ID: x.id(), Raw: d.Payload, Locks: d.Locks}
		if w.editSigned != nil {
			w.editSigned(&out)
		}
		return nil
	})
	return out, err
}

func parse(raw []byte) (x testTx) {
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&x); err != nil {
		panic(err)
	}
	return x
}

func (w *world) Broadcast(ctx context.Context, s chain.Signed) error {
	w.sent(s)
	return w.do(ctx, "Broadcast", func() error { return w.accept(parse(s.Raw)) })
}

func (w *world) accept(x testTx) error {
	if _, ok := w.mined[x.id()]; ok {
		return nil
	}
	if x.Nonce < w.nonces[x.From] {
		return fmt.Errorf("nonce too low: %w", chain.ErrLockSpent)
	}
	for id, other := range w.pool {
		if other.lock() == x.lock() && id != x.id() {
			if x.Fee <= other.Fee {
				return fmt.Errorf("replacement: %w", chain.ErrUnderpriced)
			}
			delete(w.pool, id)
		}
	}
	w.pool[x.id()] = x
	return nil
}

// bumper adds the capability, so that tests can do without it.
type bumper struct{ *world }

func (b bumper) Bump(ctx context.Context, in chain.Intent, old chain.Signed) (d chain.Draft, err error) {
	w := b.world
	err = w.do(ctx, "Bump", func() error {
		x := parse(old.Raw)
		weight := uint64(nativeTransfer)
		if x.Asset != nativeID {
			weight = tokenCosts * uint64(max(len(x.Parts), 1))
		}
		d, err = w.draft(in, x.Nonce, max(w.price, x.Fee/weight*9/8+1))
		return err
	})
	return d, err
}

func (w *world) EstimateFees(ctx context.Context) (m chain.FeeMarket, err error) {
	err = w.do(ctx, "EstimateFees", func() error {
		m = chain.FeeMarket{Now: units(w.price), Usual: units(w.usual)}
		return nil
	})
	return m, err
}

func (w *world) client() chain.Client {
	if w.noBump {
		return w
	}
	return bumper{w}
}

// mine makes a block of what offers enough, in the order of nonces.
func (w *world) mine() {
	w.history = append(w.history, w.clone())
	w.height++
	w.now = w.now.Add(blockTime)
	for again := true; again; {
		again = false
		for _, id := range slices.Sorted(maps.Keys(w.pool)) {
			again = w.execute(id, w.pool[id]) || again
		}
	}
}

func (w *world) execute(id chain.TxID, x testTx) bool {
	gas, from := place{x.From, nativeID}, place{x.From, x.Asset}
	weight := uint64(nativeTransfer)
	cost := x.Fee
	if x.Asset != nativeID {
		weight = tokenCosts * uint64(max(len(x.Parts), 1))
	} else {
		cost += x.Amount
	}
	switch {
	case x.Nonce < w.nonces[x.From]:
		delete(w.pool, id)
		return false
	case x.Nonce > w.nonces[x.From], x.Fee < weight*w.price, w.balances[gas] < cost:
		return false
	}
	delete(w.pool, id)
	w.nonces[x.From]++
	w.balances[gas] -= x.Fee
	if len(x.Parts) > 0 {
		w.executeBatch(id, x)
		return true
	}
	ok := w.moves(from, x.Amount)
	if ok {
		w.balances[from] -= x.Amount
		w.balances[place{x.To, x.Asset}] += x.Amount
	}
	w.mined[id] = minedTx{testTx: x, height: w.height, ok: ok}
	return true
}

// moves reports whether a transfer would succeed.
func (w *world) moves(from place, amount uint64) bool {
	barred := from.asset != nativeID && (w.barred[from.account] || w.hidden[from.account])
	return w.balances[from] >= amount && !w.frozen[from.asset] && !barred
}

// draftBatch is draft for many sources. An account that never did anything begins to
// delegate in it, which uses its nonce.
func (w *world) draftBatch(in chain.Intent, nonce, price uint64) (chain.Draft, error) {
	x := testTx{From: in.FeePayer.Address, To: treasury, Nonce: nonce, Asset: in.Moves[0].Asset.ID, Fee: tokenCosts * price * uint64(len(in.Moves))}
	d := chain.Draft{Chain: testChain, Intent: in, Fee: units(x.Fee), Locks: []chain.Lock{x.lock()}}
	var bad chain.SourcesError
	for _, m := range in.Moves {
		from, amount := place{m.From.Address, m.Asset.ID}, m.Amount.Big().Uint64()
		s := &chain.SourceError{Account: m.From.Address, Reason: "test"}
		lock := nonceOf(m.From.Address, 0)
		switch {
		case w.odd[m.From.Address]:
		case w.balances[from] < amount:
			s.Err = &chain.InsufficientFundsError{Account: m.From.Address, Asset: m.Asset, Required: m.Amount, Available: units(w.balances[from])}
		case w.frozen[m.Asset.ID] || w.barred[m.From.Address]:
			s.Err = &chain.RevertError{Reason: "frozen"}
		case w.nonces[m.From.Address] == 0 && slices.Contains(in.Taken, lock):
		default:
			if w.nonces[m.From.Address] == 0 || slices.Contains(in.Reuse, lock) {
				d.Locks = append(d.Locks, lock)
			}
			x.Parts = append(x.Parts, testPart{m.From.Address, amount})
			continue
		}
		bad.Sources = append(bad.Sources, s)
	}
	switch {
	case len(in.Moves) > w.room:
		return d, &chain.TooManyMovesError{Moves: len(in.Moves), Fit: w.room}
	case len(bad.Sources) > 0:
		return d, &bad
	case !in.MaxFee.IsZero() && in.MaxFee.Less(d.Fee):
		return d, &chain.FeeTooHighError{Fee: d.Fee, Cap: in.MaxFee}
	}
	if have := w.balances[place{x.From, nativeID}]; have < x.Fee {
		d.Locks, d.Needs = nil, []chain.Need{{Account: in.FeePayer, Asset: native, Amount: units(x.Fee - have)}}
		return d, nil
	}
	d.Payload = x.raw()
	if w.editDraft != nil {
		w.editDraft(&d)
	}
	return d, nil
}

func (w *world) executeBatch(id chain.TxID, x testTx) {
	m := minedTx{testTx: x, height: w.height, missed: map[chain.Address]bool{}}
	for _, p := range x.Parts {
		w.nonces[p.From] = max(w.nonces[p.From], 1)
		from := place{p.From, x.Asset}
		if !w.moves(from, p.Amount) {
			m.missed[p.From] = true
			continue
		}
		w.balances[from] -= p.Amount
		w.balances[place{x.To, x.Asset}] += p.Amount
		m.ok = true
	}
	w.mined[id] = m
}

// Batching makes the world a chain.Batcher.
func (w *world) Batching() chain.Batching {
	if w.room == 0 {
		return chain.Batching{}
	}
	return chain.Batching{Treasury: treasury, FeePayer: sponsor.Address, MaxMoves: maxRoom}
}

// reorg takes the newest block back; what was in it is forgotten or waits again.
func (w *world) reorg(forget bool) {
	if len(w.history) == 0 {
		return
	}
	lost := w.mined
	w.ledgerState = w.history[len(w.history)-1].clone()
	w.history = w.history[:len(w.history)-1]
	for id, m := range lost {
		if _, still := w.mined[id]; !still && !forget {
			w.pool[id] = m.testTx
		}
	}
}
