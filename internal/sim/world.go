package sim

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/internal/sim/oracle"
)

// mnemonic is the published development mnemonic. Everybody knows its keys.
const mnemonic = "test test test test test test test test test test test junk"

// wallet is one for all worlds: processes that restart thousands of times would spend
// most of their lives deriving the same addresses.
var wallet = sync.OnceValues(func() (*hdwallet.Wallet, error) {
	w, err := hdwallet.FromMnemonic(mnemonic, "")
	if err == nil {
		w.Remember(1 << 16)
	}
	return w, err
})

// history is how many blocks there are before a run begins: more than any node
// lags behind, so that the sponsor's capital is always there.
const history = 60

// Options are what a run is made of.
type Options struct {
	// Seed is where all of it follows from.
	Seed uint64
	// Blocks is how long the chaos lasts.
	Blocks int
	// Instances is how many gateways share the store; 0: 1 to 5, by the seed.
	Instances int
	// Calm leaves all faults out.
	Calm bool
	// Load, where it has payments, replaces the merchants and strangers of the seed by
	// a steady trade on a chain with blocks of 12 s.
	Load Load
	// Scenario, where it is set, is what happens instead; Crash is where it is cut.
	Scenario *Scenario
	Crash    Crash
	// Only, where it has any, are the kinds of faults there are, ten times as often.
	Only []Fault
	// Brief leaves out the healing and the checks at rest, to measure the rest.
	Brief bool
	// Skip leaves out faults by their number, to find those that matter.
	Skip map[int]bool
	// Rest waits until nothing in the bubble can go on by itself: synctest.Wait.
	Rest func()
	// Trace gets every step, where set.
	Trace func(line string)
}

// Load is a steady trade: so many payments wait at a time, and each block has so
// many transfers, each of which pays one of them.
type Load struct{ Open, Transfers int }

// Result is what a run was.
type Result struct {
	Seed    uint64
	Hash    uint64 // of every step in its order
	Steps   int
	Blocks  int
	Elapsed time.Duration // of simulated time
	Faults  []Injected
	// Lasting counts the effects that outlived a process, before the healing.
	Lasting int
	// Marks are what was reached: transitions, events, postings, gate labels.
	Marks map[string]int
	Err   error // the first rule that did not hold
}

// world is everything of one run. The driver's goroutine owns it; what gateways do
// comes in through the gate, one at a time.
type world struct {
	o      Options
	gate   *gate
	faults *plan
	sched  *rand.Rand
	dice   *rand.Rand // of the world outside
	params params

	chain            *chaintest.Chain
	views            []*chaintest.Client
	eth, usdc, usdt  chain.Asset
	treasury         chain.Address
	sponsor          chain.Address
	db               *database
	wallet           *hdwallet.Wallet
	oracle           *oracle.Oracle
	processes        []*process // by slot, the present ones
	buried           []*process
	started          int
	begun            time.Time
	agenda           agenda
	held             map[*op]time.Time
	down             map[string]time.Time // endpoints, until when
	orders           []*sale
	deposits         []chain.Address
	answers          answers
	mined            int
	paid             int // orders of a steady load
	healing          bool
	abandoned        []chain.BlockHash
	result           Result
	failed           error
	fees             chaintest.Fees
	spikeUntil       time.Time
	stalledUntil     time.Time
	logs             *logbook
	calls            int
	steered, asked   int
	hash             uint64
	hostCancel       bool
	lastReturnHeight uint64
	rewound          bool // the store has forgotten commits
	frozen           []frozen
	backup           int // how many commits a backup of a scenario holds
}

// params are what differs between seeds beside faults.
type params struct {
	blockTime  time.Duration
	confirm    uint64
	finality   uint64
	tagged     bool
	instances  int
	remembers  bool
	lease      time.Duration
	orderEvery int // a new order every so many blocks, per hundred blocks
	pays       int // payments per hundred blocks beside those of orders
	endpoints  []string
	sights     bool // nodes stream what is pending
	steers     bool // an operator interferes with payouts
	refunds    bool // a clerk gives money back
	batches    batching
}

func stream(seed uint64, name string) *rand.Rand {
	h := fnv.New64a()
	_, _ = io.WriteString(h, name)
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

func draw(rnd *rand.Rand, o Options) params {
	p := params{
		blockTime:  []time.Duration{2 * time.Second, 12 * time.Second, 12 * time.Second, 30 * time.Second}[rnd.IntN(4)],
		confirm:    uint64(1 + rnd.IntN(6)),
		tagged:     rnd.IntN(2) == 0,
		instances:  []int{1, 1, 2, 3, 3, 5}[rnd.IntN(6)],
		remembers:  rnd.IntN(2) == 0,
		lease:      []time.Duration{20 * time.Second, time.Minute, 2 * time.Minute}[rnd.IntN(3)],
		orderEvery: 10 + rnd.IntN(40),
		pays:       rnd.IntN(40),
		endpoints:  []string{"orders", "books"}[:1+rnd.IntN(2)],
	}
	p.finality = p.confirm + uint64(rnd.IntN(8))
	// A quarter of the worlds, and none of those in which bugs are known to be found.
	p.sights = o.Scenario == nil && o.Load.Open == 0 && slices.Contains([]uint64{0, 5, 8}, o.Seed%11)
	p.steers = o.Scenario == nil && o.Load.Open == 0 && o.Seed%7 == 5
	p.refunds = o.Scenario == nil && o.Load.Open == 0 && o.Seed%7 == 3
	if o.Instances > 0 {
		p.instances = o.Instances
	}
	if o.Scenario != nil {
		p.instances = max(1, o.Scenario.Instances)
		p.refunds = o.Scenario.Refunds
		p.blockTime, p.confirm, p.finality, p.tagged, p.lease, p.endpoints = 30*time.Second, 3, 6, false, 20*time.Second, p.endpoints[:1]
	}
	if p.batches = drawBatching(o, p.blockTime); p.batches.on {
		p.orderEvery += 20 // more of them at a time
	}
	if o.Load.Open > 0 {
		p.blockTime, p.confirm, p.finality, p.lease, p.endpoints = 12*time.Second, 3, 6, 30*time.Second, p.endpoints[:1]
	}
	return p
}

func newWorld(o Options) (*world, error) {
	w := &world{
		o: o, gate: newGate(), sched: stream(o.Seed, "schedule"), dice: stream(o.Seed, "world"),
		faults: newPlan(o), held: map[*op]time.Time{}, down: map[string]time.Time{},
		logs: &logbook{}, begun: time.Now(),
	}
	w.result = Result{Seed: o.Seed, Marks: map[string]int{}}
	w.params = draw(stream(o.Seed, "params"), o)
	w.logs.w = w
	var err error
	if w.wallet, err = wallet(); err != nil {
		return nil, err
	}
	options := chaintest.Options{
		Start: time.Now().Add(-history * w.params.blockTime), Finalized: w.params.tagged,
		Info: chain.Info{BlockTime: w.params.blockTime, Confirmations: w.params.confirm, FinalityDepth: w.params.finality, InclusionSlack: 10 * time.Minute},
	}
	contract := chain.Address("")
	if b := w.params.batches; b.on {
		options.MaxMoves, options.BatchGas = b.room, b.gas
		next := chaintest.New(options) // as the world's will be: the contract's code needs addresses first
		sponsor, err := bursar.SponsorOf(w.wallet, next.Info(), next.Client().Codec())
		if err != nil {
			return nil, err
		}
		options.Sweeper = chaintest.NewSweeper(sponsor, next.Payer("treasury"))
		contract = chain.Address(common.Address(options.Sweeper.Address()).Hex())
	}
	w.chain = chaintest.New(options)
	w.fees = chaintest.Fees{BaseFee: chain.NewAmount(1e9), Tip: chain.NewAmount(1e8)}
	w.eth = w.chain.Info().Native
	w.eth.SweepMinimum = chain.NewAmount(1e15)
	usdc := chaintest.TokenSpec{Symbol: "USDC", Decimals: 6}
	if o.Scenario != nil {
		usdc.Kind = chaintest.TokenPausable
	}
	if w.params.batches.on {
		usdc.Kind = w.params.batches.token
	}
	w.usdc = w.chain.DeployToken(usdc)
	w.usdc.MaxSweepFee = w.params.batches.most
	w.usdt = w.chain.DeployToken(chaintest.TokenSpec{Kind: chaintest.TokenNoReturn, Symbol: "USDT", Decimals: 6})
	w.treasury = w.chain.Payer("treasury")
	for range 3 {
		w.views = append(w.views, w.chain.Client())
	}
	w.views[2].Trace(false) // one of them is no archive that traces
	w.db = newDatabase(w.params.remembers, o.Seed, func(b bursar.Batch) { w.judge(w.oracle.Committed(b)) })
	w.db.leased = func(holder string, f bursar.Fence) { w.judge(w.oracle.Leased(holder, f)) }
	first, err := bursar.New(w.config("first", 0, w.db.store, w.chain.Client()))
	if err != nil {
		return nil, err
	}
	if w.sponsor, err = first.Sponsor(w.chain.Info().ID); err != nil {
		return nil, err
	}
	capital := chain.NewAmount(5e18)
	if w.params.batches.poor {
		capital = chain.NewAmount(2e15)
	}
	w.chain.Grant(w.sponsor, w.eth, capital)
	float, err := first.Float(w.chain.Info().ID)
	if err != nil {
		return nil, err
	}
	if w.params.refunds {
		// More than all payers ever pay.
		for range 100 {
			w.chain.Grant(float, w.eth, chain.NewAmount(10e18))
		}
		for _, a := range []chain.Asset{w.usdc, w.usdt} {
			w.chain.Grant(float, a, chain.NewAmount(1e15))
		}
	}
	w.chain.Mine(history)
	w.oracle = oracle.New(oracle.Config{
		Chain: w.chain, Read: func(ctx context.Context, fn func(bursar.Reader) error) error { return w.db.store.Read(ctx, fn) },
		Assets: []chain.Asset{w.eth, w.usdc, w.usdt}, Treasury: w.treasury, Sponsor: w.sponsor, Float: float, Sweeper: contract, MaxFee: w.params.batches.maxFee,
		Confirmations: w.params.confirm, Finality: w.params.finality, MinSweep: map[chain.AssetID]chain.Amount{w.eth.ID: w.eth.SweepMinimum},
		Endpoints: w.params.endpoints, Secrets: []string{mnemonic}, Now: time.Now,
	})
	return w, nil
}

// skipAhead is Config.SkipAhead: more than is handed out between a backup and its
// restoration, which rewind sees to.
const skipAhead = 1 << 11

// config is the configuration of one instance.
func (w *world) config(name string, run int, s bursar.Store, c chain.Client, to ...bursar.Notifier) bursar.Config {
	return bursar.Config{
		Store: s, Wallet: w.wallet, Instance: name, Lease: w.params.lease, Logger: slog.New(w.logs), Notify: to,
		Rand: random{stream(w.o.Seed, fmt.Sprint("instance ", name, " ", run))},
		Chains: []bursar.Chain{{
			Client: c, Assets: []chain.Asset{w.eth, w.usdc, w.usdt}, Treasury: w.treasury,
			Mempool: w.params.sights, DropAfter: 10 * time.Minute,
			Gather: w.params.batches.gather, MaxFee: w.params.batches.maxFee,
		}},
		TTL: time.Hour, SkipAhead: skipAhead, Approvers: []ed25519.PublicKey{approves()},
	}
}

// random makes bytes of a stream.
type random struct{ rnd *rand.Rand }

func (r random) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.rnd.Uint32())
	}
	return len(p), nil
}

// judge keeps the first rule that did not hold.
func (w *world) judge(err error) {
	if err != nil && w.failed == nil {
		w.failed = err
		w.note("BROKEN %v", err)
	}
}

// broadcast tells the oracle what is about to reach the network.
func (w *world) broadcast(s chain.Signed) { w.judge(w.oracle.Broadcast(s)) }

// note writes a line of the trace and adds it to the hash.
func (w *world) note(format string, args ...any) {
	line := fmt.Sprintf("%12s ", time.Since(w.begun)) + fmt.Sprintf(format, args...)
	h := fnv.New64a()
	_, _ = io.WriteString(h, line)
	w.hash = w.hash*1099511628211 ^ h.Sum64()
	if w.o.Trace != nil {
		w.o.Trace(line)
	}
}

// logbook passes what gateways log to the oracle, and keeps what they log about
// broken invariants.
type logbook struct {
	w      *world
	mu     sync.Mutex
	broken error
}

func (l *logbook) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn || l.w.o.Trace != nil
}
func (l *logbook) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *logbook) WithGroup(string) slog.Handler      { return l }

func (l *logbook) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	l.w.logged(r.Level, text)
	return nil
}
