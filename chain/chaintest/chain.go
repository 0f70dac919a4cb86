package chaintest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// Chain is a simulated network: one tree of blocks, one mempool. All methods
// may be called concurrently, and none holds its lock while it calls foreign
// code (a Watch, a Signer, a fault hook).
type Chain struct {
	// Faults make the calls of every Client of this chain fail. A Client has
	// faults of its own beside them.
	Faults

	info     chain.Info
	genesis  *block
	signer   types.Signer
	number   *big.Int
	tagged   bool
	mu       sync.Mutex
	fees     Fees
	now      time.Time // of the newest block, or later after AdvanceTime
	branches uint64    // counts rewinds, so that a new branch has new hashes
	canon    []*block  // the canonical branch by height
	blocks   map[chain.BlockHash]*block
	receipts map[chain.TxID][]*receipt // of every branch
	pool     pool
	limit    int                 // of the pool; zero is none
	doomed   map[chain.TxID]bool // transactions of PayFailed
	edicts   []edict             // carried out by the next block
	decreed  uint64              // how many edicts there ever were
	final    *uint64             // set by SetFinalized

	contracts map[common.Address]contract
	tokens    []chain.Asset // in order of deployment
	listed    []chain.Asset // those a client knows
	payers    map[string]*payer
	external  map[common.Address]bool // accounts that never run dry
	sweeper   *contracts.Sweeper      // nil: none
	maxMoves  int                     // see Options
	batchGas  uint64
	watchers  []chan *tx // told of each transaction that is taken
}

// block is immutable once it is in Chain.blocks.
type block struct {
	ref    chain.BlockRef
	parent *block
	txs    []*receipt
	edicts []edict
	world  world
}

// New returns a chain that has a genesis block at height 0 and nothing else. It
// panics where Options.Info.ID is no EVM chain, or Options.Sweeper has no sponsor.
func New(o Options) *Chain {
	o = o.withDefaults()
	number := chainNumber(o.Info.ID)
	c := &Chain{
		info:      o.Info,
		number:    number,
		signer:    types.LatestSignerForChainID(number),
		tagged:    o.Finalized,
		fees:      o.Fees,
		limit:     o.PoolLimit,
		now:       o.Start,
		blocks:    map[chain.BlockHash]*block{},
		receipts:  map[chain.TxID][]*receipt{},
		doomed:    map[chain.TxID]bool{},
		contracts: map[common.Address]contract{},
		payers:    map[string]*payer{},
		external:  map[common.Address]bool{},
	}
	c.contracts[rejecterAddress] = rejecter{}
	c.contracts[splitterAddress] = splitter{}
	c.contracts[destructorAddress] = destructor{}
	c.contracts[regretterAddress] = regretter{}
	if o.Sweeper != nil {
		c.sweeper, c.maxMoves, c.batchGas = o.Sweeper, o.MaxMoves, o.BatchGas
		c.contracts[o.Sweeper.Address()] = sweeper{o.Sweeper}
	}
	c.genesis = &block{world: newWorld()}
	c.genesis.ref = chain.BlockRef{Time: o.Start, Hash: c.blockHash(c.genesis), Parent: zeroHash}
	c.attach(c.genesis)
	return c
}

// zeroHash is the parent of the first block.
const zeroHash chain.BlockHash = "0x0000000000000000000000000000000000000000000000000000000000000000"

// blockHash covers what makes a block differ from every other one: its place,
// the branch it was made on, and its transactions in their order.
func (c *Chain) blockHash(b *block) chain.BlockHash {
	h := sha256.New()
	var word [8]byte
	number := func(n uint64) {
		binary.BigEndian.PutUint64(word[:], n)
		h.Write(word[:])
	}
	h.Write([]byte(c.info.ID))
	h.Write([]byte(b.ref.Parent))
	number(b.ref.Height)
	number(uint64(b.ref.Time.Unix()))
	number(c.branches)
	for _, r := range b.txs {
		h.Write([]byte(r.tx.id))
	}
	var text [66]byte
	copy(text[:], "0x")
	hex.Encode(text[2:], h.Sum(nil))
	return chain.BlockHash(text[:])
}

// attach makes b the head.
func (c *Chain) attach(b *block) {
	c.canon = append(c.canon, b)
	c.blocks[b.ref.Hash] = b
	for _, r := range b.txs {
		c.receipts[r.tx.id] = append(c.receipts[r.tx.id], r)
	}
}

func (c *Chain) head() *block { return c.canon[len(c.canon)-1] }

// isCanonical reports whether b lies on the present branch.
func (c *Chain) isCanonical(b *block) bool { return holds(c.canon, b) }

// holds reports whether b lies on a branch that is given by height.
func holds(branch []*block, b *block) bool {
	return b.ref.Height < uint64(len(branch)) && branch[b.ref.Height] == b
}

// included returns where a transaction stands on a branch, or nil.
func (c *Chain) included(id chain.TxID, branch []*block) *receipt {
	for _, r := range c.receipts[id] {
		if holds(branch, r.block) {
			return r
		}
	}
	return nil
}

// Info describes the chain.
func (c *Chain) Info() chain.Info { return c.info }

// Head returns the newest block, whatever any client is made to see.
func (c *Chain) Head() chain.BlockRef {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head().ref
}

// Block returns the block at a height of the present branch.
func (c *Chain) Block(height uint64) (chain.BlockRef, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if height >= uint64(len(c.canon)) {
		return chain.BlockRef{}, false
	}
	return c.canon[height].ref, true
}

// Now returns the chain's clock: the time of the newest block, plus what
// AdvanceTime added since.
func (c *Chain) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AdvanceTime moves the chain's clock without making a block. The next block
// comes one block time after the moved clock.
func (c *Chain) AdvanceTime(d time.Duration) {
	if d < 0 {
		panic("chaintest: AdvanceTime: time does not go backwards; MineAt makes a block in the past")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// SetFees replaces the fee market; zero fields get their defaults again.
func (c *Chain) SetFees(f Fees) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fees = f.withDefaults()
}

// Fees returns the fee market as it is now.
func (c *Chain) Fees() Fees {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fees
}

// minBaseFee is where the walk of EIP-1559 stops falling: an eighth of it is
// nothing any more.
const minBaseFee = 7

// WalkFees moves the base fee by one step of EIP-1559, as after a block that used
// so much gas where target is what neither raises nor lowers it: by at most an
// eighth, reached with used at zero or at twice the target, where it is cut. It
// never falls below 7 wei. The fee market is no part of a branch: a reorg leaves
// it where it is.
func (c *Chain) WalkFees(used, target uint64) {
	if target == 0 {
		panic("chaintest: WalkFees: a target of no gas")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old, away := c.fees.BaseFee, min(target, max(used, target)-min(used, target))
	// In two divisions, both rounded down, as the rule has it.
	step, err := old.MulDiv(chain.NewAmount(away), chain.NewAmount(target))
	if err == nil {
		step, err = step.MulDiv(chain.NewAmount(1), chain.NewAmount(8))
	}
	if err != nil {
		panic(fmt.Sprintf("chaintest: WalkFees from %s: %v", old, err)) // a fraction of at most 1 does not overflow
	}
	if used > target {
		if more, err := old.Add(larger(step, chain.NewAmount(1))); err == nil {
			c.fees.BaseFee = more
		}
		return
	}
	c.fees.BaseFee = larger(old.SubFloor(step), chain.NewAmount(minBaseFee))
}

// SetFinalized makes the node report the block at this height as finalized from
// now on, also where it is lower than what was reported before: a tag that
// stalls, or that goes backwards. It needs Options.Finalized.
func (c *Chain) SetFinalized(height uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.tagged || height >= uint64(len(c.canon)) {
		panic(fmt.Sprintf("chaintest: SetFinalized(%d): no such block, or Options.Finalized is off", height))
	}
	c.final = &height
}

// FollowFinalized undoes SetFinalized: the tag follows the head again.
func (c *Chain) FollowFinalized() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.final = nil
}

// BalanceOf returns what an address holds of an asset at the newest block.
func (c *Chain) BalanceOf(a chain.Address, asset chain.Asset) chain.Amount {
	owner, token := mustAddress("BalanceOf", a), c.mustContract("BalanceOf", asset)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head().world.balance(token, owner)
}

// Nonce returns how many transactions of an account the present branch holds.
func (c *Chain) Nonce(a chain.Address) uint64 {
	owner := mustAddress("Nonce", a)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head().world.nonce(owner)
}

// Transactions returns everything that the block at a height of the present
// branch holds, with the movements of all deployed tokens that follow ERC-20,
// listed or not. It is the truth that a test compares a gateway with.
func (c *Chain) Transactions(height uint64) []chain.TxStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	if height >= uint64(len(c.canon)) {
		return nil
	}
	reader, tokens := c.Client(), idsOf(c.tokens)
	var out []chain.TxStatus
	for _, r := range c.canon[height].txs {
		out = append(out, reader.status(r, tokens))
	}
	return out
}

// Log is one event in the receipt of a transaction, as its contract emitted it.
type Log struct {
	// Contract emitted it.
	Contract chain.Address
	Topics   [][32]byte // Topics are up to four, the event's hash first.
	Data     []byte     // Data is all that is not in the topics.
}

// Logs returns the events of a transaction of the present branch in their order,
// those included that no client reports as a transfer. It is empty where the
// transaction is in no block of the branch.
func (c *Chain) Logs(id chain.TxID) []Log {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.included(id, c.canon)
	if r == nil {
		return nil
	}
	out := make([]Log, len(r.logs))
	for i, e := range r.logs {
		out[i] = Log{Contract: textAddress(e.contract), Topics: make([][32]byte, len(e.topics)), Data: bytes.Clone(e.data)}
		for k, topic := range e.topics {
			out[i].Topics[k] = topic
		}
	}
	return out
}

// mustAddress reads an address given by a test's script.
func mustAddress(what string, a chain.Address) common.Address {
	raw, ok := rawAddress(a)
	if !ok {
		panic(fmt.Sprintf("chaintest: %s: %q is no address", what, a))
	}
	return raw
}

// mustContract returns the contract of an asset, zero for the native coin.
func (c *Chain) mustContract(what string, a chain.Asset) common.Address {
	if a.ID.Chain() != c.info.ID {
		panic(fmt.Sprintf("chaintest: %s: asset %q is not of %s", what, a.ID, c.info.ID))
	}
	if a.Native() {
		return common.Address{}
	}
	return mustAddress(what, a.Contract)
}
