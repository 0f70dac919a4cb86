package bursar

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/hdwallet"
)

// The change levels of BIP-44 as bursar uses them.
const (
	changeDeposit = 0 // changeDeposit: addresses issued to payers.
	changeOwn     = 1 // changeOwn: the gateway's own accounts.
)

// The gateway's own accounts on the change level changeOwn.
const (
	indexSponsor = 0 // indexSponsor pays gas.
	indexFloat   = 1 // indexFloat pays refunds and withdrawals.
)

// reserveBlock is how many indexes are reserved at once; deriveBlock how many of
// them are derived at once, by the caller that found no address left. Derivation
// shares one field inversion in a block: more would save next to nothing and make
// that caller wait.
const (
	reserveBlock = 256
	deriveBlock  = 64
)

// book knows every address of ours of one family of chains: which raw key
// belongs to which wallet and path. It is a cache of what the store's index
// pools imply, shared by the chains of the family and by payment creation, and
// the set that scanners watch.
//
// It only grows: an address stays watched for ever.
type book struct {
	store    Store
	codec    chain.Codec
	coinType uint32
	accounts []*hdwallet.Account // the first one is active
	names    [][changeOwn + 1]poolNames

	mu    sync.RWMutex
	short map[[20]byte]uint32 // the usual key length, without a string header
	long  map[string]uint32
	slots []slot
	asked map[chain.Address]issued // the last ones that were looked up
	done  map[string]uint32        // pool → indexes derived so far
	gaps  map[string][]span        // pool → derived ranges above done
	free  []numbered               // reserved here and not issued
	ahead []span                   // reserved here and not derived
	caution

	// check asks, after a reservation, whether the store is still where it was;
	// mend moves pools ahead that cannot be trusted. They may halt and reopen.
	check, mend func(context.Context) error

	// refill bounds how many callers derive at once.
	refill chan struct{}
}

// slot is one address: which account, change level and index.
type slot struct {
	account uint16
	change  uint16
	index   uint32
}

type span struct{ from, to uint32 }

// poolNames are what the names of a change level's pool and address rows begin
// with.
type poolNames struct{ pool, row string }

// numbered is a slot's number with its raw key.
type numbered struct {
	n   uint32
	key []byte
}

func newBook(store Store, codec chain.Codec, coinType uint32, wallets []*hdwallet.Wallet, leap uint32) (*book, error) {
	b := &book{
		store: store, codec: codec, coinType: coinType,
		short: map[[20]byte]uint32{}, long: map[string]uint32{}, asked: map[chain.Address]issued{}, done: map[string]uint32{}, gaps: map[string][]span{},
		refill: make(chan struct{}, runtime.GOMAXPROCS(0)),
		check:  trusting, mend: trusting, caution: caution{leap: leap},
	}
	for i, w := range wallets {
		account, err := w.Account(coinType)
		if errors.Is(err, hdwallet.ErrNoAccount) && i > 0 {
			continue // a retired watch-only wallet may lack a coin type
		}
		if err != nil {
			return nil, &FieldError{Field: walletField(i), Code: CodeInvalid, Reason: fmt.Sprintf("no account for coin type %d", coinType), Err: err}
		}
		b.accounts = append(b.accounts, account)
		var names [changeOwn + 1]poolNames
		for change := range names {
			names[change] = poolNames{
				pool: fmt.Sprintf("%d/%s/%d", coinType, account.ID(), change),
				row:  fmt.Sprintf("addr_%d_%s_%d_", coinType, account.ID(), change),
			}
		}
		b.names = append(b.names, names)
		if _, err := b.derive(len(b.accounts)-1, changeOwn, indexSponsor, indexFloat+1); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// trusting is the check and the mending of a book that nobody looks after.
func trusting(context.Context) error { return nil }

func walletField(i int) string {
	if i == 0 {
		return "Config.Wallet"
	}
	return fmt.Sprintf("Config.Retired[%d]", i-1)
}

// pool is the name of an account's index pool.
func poolName(a *hdwallet.Account) string {
	return fmt.Sprintf("%d/%s/%d", a.CoinType(), a.ID(), changeDeposit)
}

// sync derives every index that any instance has reserved, and some beyond
// those of the active wallet; see lookAhead. A scanner calls it before each page,
// after it has read the head: no address can have been paid that is not watched
// then.
func (b *book) sync(ctx context.Context, pools []Pool) error {
	_, err := b.syncSome(ctx, pools, math.MaxInt)
	return err
}

// syncSome is sync that derives up to about that many indexes; whole reports
// whether that was all.
func (b *book) syncSome(ctx context.Context, pools []Pool, most int) (whole bool, err error) {
	for i, account := range b.accounts {
		name := poolName(account)
		end := nextOf(pools, name)
		if i == 0 {
			b.heed(end)
			end = horizon(end)
		}
		for _, missing := range b.missing(name, end) {
			if err := ctx.Err(); err != nil || most <= 0 {
				return false, err
			}
			made, err := b.derive(i, changeDeposit, missing.from, missing.to)
			if err != nil {
				return false, err
			}
			most -= len(made)
			b.mark(name, missing)
			if i == 0 {
				b.save(missing.from, made)
			}
		}
	}
	return true, nil
}

// missing lists the ranges below next that were not derived, in blocks.
func (b *book) missing(pool string, next uint32) []span {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var out []span
	from := b.done[pool]
	add := func(to uint32) {
		for from < to {
			end := min(from+reserveBlock, to)
			out = append(out, span{from, end})
			from = end
		}
	}
	for _, g := range b.gaps[pool] {
		add(min(g.from, next))
		from = max(from, g.to)
	}
	add(next)
	return out
}

// mark records a derived range.
func (b *book) mark(pool string, s span) {
	b.mu.Lock()
	defer b.mu.Unlock()
	gaps := b.gaps[pool]
	at := len(gaps)
	for at > 0 && gaps[at-1].from > s.from {
		at--
	}
	gaps = append(gaps, span{})
	copy(gaps[at+1:], gaps[at:])
	gaps[at] = s
	for len(gaps) > 0 && gaps[0].from <= b.done[pool] {
		b.done[pool] = max(b.done[pool], gaps[0].to)
		gaps = gaps[1:]
	}
	b.gaps[pool] = gaps
}

// derive computes a range of keys, adds those that are new, and returns them.
func (b *book) derive(account int, change, from, to uint32) ([]numbered, error) {
	a := b.accounts[account]
	made := make([]numbered, 0, to-from)
	arena := make([]byte, 0, 20*int(to-from))
	err := a.PublicKeys(change, from, int(to-from), func(_ uint32, publicKey []byte) error {
		start := len(arena)
		var err error
		arena, err = b.codec.FromPublicKey(arena, publicKey)
		made = append(made, numbered{key: arena[start:len(arena):len(arena)]})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("bursar: derive %d/%d: %w", change, from, err)
	}
	keys := make([][]byte, len(made))
	for i := range made {
		keys[i] = made[i].key
	}
	for i, n := range b.put(account, change, from, keys) {
		made[i].n = n
	}
	return made, nil
}

// put adds the keys of consecutive indexes that are new, and returns the numbers
// of all.
func (b *book) put(account int, change, from uint32, keys [][]byte) []uint32 {
	numbers := make([]uint32, len(keys))
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, key := range keys {
		n, known := b.lookup(key)
		if !known {
			n = uint32(len(b.slots))
			b.slots = append(b.slots, slot{uint16(account), uint16(change), from + uint32(i)})
			if len(key) == 20 {
				b.short[[20]byte(key)] = n
			} else {
				b.long[string(key)] = n
			}
		}
		numbers[i] = n
	}
	return numbers
}

func (b *book) lookup(key []byte) (uint32, bool) {
	if len(key) == 20 {
		n, ok := b.short[[20]byte(key)]
		return n, ok
	}
	n, ok := b.long[string(key)]
	return n, ok
}

// issued is an address with all that is to know of it.
type issued struct {
	numbered
	slot
	address chain.Address
	id      string
	pool    string
	keyRef  chain.KeyRef
}

// row is the store's row of the address.
func (it issued) row(role Role) Address {
	return Address{ID: it.id, Address: it.address, Pool: it.pool, Index: it.index, Key: it.keyRef, Role: role}
}

func (it issued) account() chain.Account {
	return chain.Account{Address: it.address, Key: it.keyRef}
}

// take returns an address that was reserved in a committed transaction, is
// watched, and was never taken before.
func (b *book) take(ctx context.Context) (issued, error) {
	for {
		if free, ok := b.pop(); ok {
			return b.describe(free)
		}
		select {
		case b.refill <- struct{}{}:
		case <-ctx.Done():
			return issued{}, ctx.Err()
		}
		var err error
		// Somebody may have filled up while this caller waited.
		if b.empty() {
			err = b.fill(ctx)
		}
		<-b.refill
		if err != nil {
			return issued{}, err
		}
	}
}

func (b *book) empty() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.free) == 0
}

func (b *book) pop() (numbered, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.free) == 0 {
		return numbered{}, false
	}
	last := len(b.free) - 1
	free := b.free[last]
	b.free = b.free[:last]
	return free, true
}

// giveBack returns an address that was taken and not issued.
func (b *book) giveBack(it issued) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if it.index >= b.floor {
		b.free = append(b.free, it.numbered)
	}
}

// takeTx is take inside a transaction of the host's. A TxReserver holds the
// only writer: a reservation beside it, and a caller of fill that is in the
// middle of one, would wait for this transaction, which waits for them. So
// nothing here waits for either. own tells that the index was reserved by the
// transaction itself and shares its fate.
func (b *book) takeTx(ctx context.Context, tx Tx) (it issued, own bool, err error) {
	r, ok := tx.(TxReserver)
	if !ok {
		it, err = b.take(ctx)
		return it, false, err
	}
	for {
		if free, ok := b.pop(); ok {
			it, err = b.describe(free)
			return it, false, err
		}
		// Mending would wait for this transaction too; the scanner sees to it.
		if err := b.refusal(); err != nil {
			return issued{}, false, err
		}
		block, ok := b.next()
		if !ok {
			it, err = b.reserveTx(ctx, tx, r)
			return it, true, err
		}
		if err := b.stock(block); err != nil {
			return issued{}, false, err
		}
	}
}

// reserveTx reserves one index in the transaction and watches it at once. It
// never enters the free list: after a rollback the store hands the index out
// again, and it would be there twice. Money may have come to it since an earlier
// rollback; then it has a row, and the next index is taken, or every repetition
// of the transaction would meet the same row.
func (b *book) reserveTx(ctx context.Context, tx Tx, r TxReserver) (issued, error) {
	pool := poolName(b.accounts[0])
	for {
		seen := b.seen() // what was committed stays below every later reservation
		index, err := r.Reserve(ctx, pool, 1)
		if err != nil {
			return issued{}, fmt.Errorf("bursar: reserve an address: %w", err)
		}
		if index < seen {
			b.halt(trouble{SkipRewound, seen})
			return issued{}, b.refusal()
		}
		made, err := b.derive(0, changeDeposit, index, index+1)
		if err != nil {
			return issued{}, err
		}
		b.mark(pool, span{index, index + 1})
		it, err := b.describe(made[0])
		if err != nil {
			return issued{}, err
		}
		rows, err := tx.Addresses(ctx, AddressQuery{IDs: []string{it.id}})
		if err != nil || len(rows) == 0 {
			return it, err
		}
	}
}

// fill derives the next block of reserved indexes. What turns out not to be
// trustworthy is left alone, and reserved anew where that can be mended.
func (b *book) fill(ctx context.Context) error {
	for range maxMends {
		if err := b.mended(ctx); err != nil {
			return err
		}
		if block, ok := b.next(); ok {
			return b.stock(block)
		}
		seen := b.seen()
		first, err := b.store.Reserve(ctx, poolName(b.accounts[0]), reserveBlock)
		if err != nil {
			return fmt.Errorf("bursar: reserve addresses: %w", err)
		}
		whole := span{first, first + reserveBlock}
		if err := b.examine(ctx, seen, whole); err != nil {
			return err
		}
		if b.troubled() == nil {
			return b.stock(b.split(whole))
		}
	}
	return b.refusal()
}

// stock derives a block of reserved indexes and makes them free to take.
func (b *book) stock(block span) error {
	made, ok := b.spared(block)
	if !ok {
		var err error
		if made, err = b.derive(0, changeDeposit, block.from, block.to); err != nil {
			return err
		}
		b.mark(poolName(b.accounts[0]), block)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if block.from < b.floor {
		return nil // given up meanwhile
	}
	// The lowest index comes first out of the stack.
	for i := len(made) - 1; i >= 0; i-- {
		b.free = append(b.free, made[i])
	}
	return nil
}

// next takes a block that was reserved and not derived, the lowest first.
func (b *book) next() (span, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.ahead) == 0 {
		return span{}, false
	}
	block := b.ahead[0]
	b.ahead = b.ahead[1:]
	return block, true
}

// split returns the first block of a reservation and keeps the others.
func (b *book) split(s span) span {
	first := span{s.from, min(s.from+deriveBlock, s.to)}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.from < b.floor {
		return first
	}
	for from := first.to; from < s.to; from += deriveBlock {
		b.ahead = append(b.ahead, span{from, min(from+deriveBlock, s.to)})
	}
	return first
}

func (b *book) describe(at numbered) (issued, error) {
	address, err := b.codec.Format(at.key)
	if err != nil {
		return issued{}, err
	}
	b.mu.RLock()
	s := b.slots[at.n]
	b.mu.RUnlock()
	a := b.accounts[s.account]
	return issued{
		numbered: at, slot: s, address: address, keyRef: a.KeyRef(uint32(s.change), s.index),
		pool: b.names[s.account][s.change].pool,
		id:   b.names[s.account][s.change].row + strconv.FormatUint(uint64(s.index), 10),
	}, nil
}

// address derives an address of a wallet.
func (b *book) address(account int, change, index uint32) (chain.Address, error) {
	key, err := b.accounts[account].PublicKey(change, index)
	if err != nil {
		return "", err
	}
	raw, err := b.codec.FromPublicKey(nil, key)
	if err != nil {
		return "", err
	}
	return b.codec.Format(raw)
}

// own looks up an address among ours, as derived by this process.
func (b *book) own(address chain.Address) (issued, bool) {
	b.mu.RLock()
	it, ok := b.asked[address]
	b.mu.RUnlock()
	if ok {
		return it, true
	}
	keys, err := b.codec.WatchKeys(address)
	if err != nil || len(keys) == 0 {
		return issued{}, false
	}
	b.mu.RLock()
	n, ok := b.lookup(keys[0])
	b.mu.RUnlock()
	if !ok {
		return issued{}, false
	}
	if it, err = b.describe(numbered{n, keys[0]}); err != nil {
		return issued{}, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.asked) >= maxAsked {
		clear(b.asked)
	}
	b.asked[address] = it
	return it, true
}

// maxAsked is how many addresses own remembers. They are asked for again at every
// block while they are open, and to read a text with a checksum takes a hash.
const maxAsked = 4096

// sponsor returns the account of the active wallet that pays gas.
func (b *book) sponsor() (issued, error) { return b.working(indexSponsor) }

// float pays strangers.
func (b *book) float() (issued, error) { return b.working(indexFloat) }

func (b *book) working(index uint32) (issued, error) {
	made, err := b.derive(0, changeOwn, index, index+1)
	if err != nil {
		return issued{}, err
	}
	return b.describe(made[0])
}

// watch is the book as a scanner of one chain sees it. It may grow while it is
// used, which only means that an address is watched early.
type watch struct {
	*book
	assets []chain.Asset
}

// Match implements chain.Watch.
func (w watch) Match(key []byte) (uint32, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.lookup(key)
}

// Len implements chain.Watch.
func (w watch) Len() int {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return len(w.slots)
}

// Keys implements chain.Watch. It works on a copy, so that the caller may take
// its time.
func (w watch) Keys() iter.Seq[[]byte] {
	w.mu.RLock()
	keys := make([][]byte, 0, len(w.slots))
	for key := range w.short {
		keys = append(keys, key[:])
	}
	for key := range w.long {
		keys = append(keys, []byte(key))
	}
	w.mu.RUnlock()
	return slices.Values(keys)
}

// Assets implements chain.Watch.
func (w watch) Assets() []chain.Asset { return w.assets }
