package bursartest

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/store/memory"
)

// Mnemonic is the published development mnemonic that a kit's wallet is made
// of. Everybody knows its keys.
const Mnemonic = "test test test test test test test test test test test junk"

// wallet is made once for all kits: what its gateways derive is the same, and most of
// the time that making one takes.
var wallet = sync.OnceValues(func() (*hdwallet.Wallet, error) {
	w, err := hdwallet.FromMnemonic(Mnemonic, "")
	if err == nil {
		w.Remember(1 << 14)
	}
	return w, err
})

// Options change what New makes. The zero value is a useful kit.
type Options struct {
	// Chain configures the simulated chain.
	Chain chaintest.Options
	// Store replaces the memory store. Its clock must be the chain's: build it
	// with the chain at hand, which is why it is a function.
	Store func(now func() time.Time) bursar.Store
	// Tokens are deployed after USDC and USDT; Edit may list them.
	Tokens []chaintest.TokenSpec
	// Notify are the host's own handlers.
	Notify []bursar.Notifier
	// Batches has tokens swept from many addresses in one transaction: the chain gets
	// the contract for it, of the kit's treasury and sponsor. They wait for company as
	// bursar.Chain.Gather says.
	Batches bool
	// Edit changes the configuration before the gateway is made.
	Edit func(*bursar.Config)
	// Client wraps the chain's client, to make it fail or lie.
	Client func(chain.Client) chain.Client
	// SkipLedger leaves the comparison of ledger and chain out, for tests that
	// break it on purpose.
	SkipLedger bool
}

// Kit is a started gateway on a simulated chain with three assets: the native
// coin ETH, USDC (6 decimals) and USDT (6 decimals, returns nothing). Its
// methods end the test on an error. It is not for concurrent use.
type Kit struct {
	// Gateway is the gateway under test.
	Gateway *bursar.Gateway
	// Chain is the simulated chain.
	Chain *chaintest.Chain
	// Store is what the gateway keeps everything in.
	Store bursar.Store
	// ETH, USDC and USDT are the assets.
	ETH, USDC, USDT chain.Asset
	// Treasury is where money is swept to, Sponsor pays the gas.
	Treasury, Sponsor chain.Address

	t      testing.TB
	cfg    bursar.Config
	opts   Options
	client chain.Client
	tokens []chain.Asset

	mu     sync.Mutex
	events []bursar.Event
}

// New starts a gateway on a fresh chain and stops it when the test ends.
func New(t testing.TB, o Options) *Kit {
	t.Helper()
	wallet, err := wallet()
	if err != nil {
		t.Fatal(err)
	}
	if o.Batches {
		next := chaintest.New(o.Chain) // as the kit's will be: its code needs addresses first
		sponsor, err := bursar.SponsorOf(wallet, next.Info(), next.Client().Codec())
		if err != nil {
			t.Fatal(err)
		}
		o.Chain.Sweeper = chaintest.NewSweeper(sponsor, next.Payer("treasury"))
	}
	c := chaintest.New(o.Chain)
	k := &Kit{Chain: c, ETH: c.Info().Native, Treasury: c.Payer("treasury"), t: t, opts: o}
	k.USDC = c.DeployToken(chaintest.TokenSpec{Symbol: "USDC", Decimals: 6})
	k.USDT = c.DeployToken(chaintest.TokenSpec{Kind: chaintest.TokenNoReturn, Symbol: "USDT", Decimals: 6})
	for _, spec := range o.Tokens {
		k.tokens = append(k.tokens, c.DeployToken(spec))
	}
	c.Mine(1)
	if o.Store != nil {
		k.Store = o.Store(c.Now)
	} else {
		k.Store = memory.NewWith(memory.Options{Now: c.Now})
	}
	k.client = c.Client()
	if o.Client != nil {
		k.client = o.Client(k.client)
	}
	seed := sha256.Sum256([]byte(t.Name()))
	k.cfg = bursar.Config{
		Store: k.Store, Wallet: wallet, Manual: true, Instance: "kit", Rand: rand.NewChaCha8(seed),
		Chains: []bursar.Chain{{Client: k.client, Assets: []chain.Asset{k.USDC, k.USDT}, Treasury: k.Treasury}},
		Notify: append([]bursar.Notifier{bursar.NotifyFunc("bursartest", k.record)}, o.Notify...),
	}
	if o.Edit != nil {
		o.Edit(&k.cfg)
	}
	k.Gateway = k.start()
	k.Sponsor, err = k.Gateway.Sponsor(c.Info().ID)
	k.must(err)
	k.Chain.Fund(k.Sponsor, chain.NewAmount(1e18))
	k.Mine(int(max(c.Info().FinalityDepth, c.Info().Confirmations)))
	return k
}

func (k *Kit) start() *bursar.Gateway {
	k.t.Helper()
	gw, err := bursar.New(k.cfg)
	k.must(err)
	k.must(gw.Start(k.ctx()))
	k.t.Cleanup(func() { _ = gw.Stop(context.Background()) })
	return gw
}

// Restart stops the gateway as a crash would, between two steps, and starts a
// new one on the same store and chain.
func (k *Kit) Restart() {
	k.t.Helper()
	k.must(k.Gateway.Stop(k.ctx()))
	k.Gateway = k.start()
}

func (k *Kit) ctx() context.Context { return k.t.Context() }

func (k *Kit) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *Kit) record(_ context.Context, e bursar.Event) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events = append(k.events, e)
	return nil
}

// Create makes a payment of amount units of ETH, USDC or USDT.
func (k *Kit) Create(symbol, amount string) bursar.Payment {
	k.t.Helper()
	d, err := decimal.NewFromString(amount)
	k.must(err)
	return k.Request(bursar.PaymentRequest{Asset: k.Chain.Info().Name + "/" + symbol, Amount: d})
}

// Request makes a payment.
func (k *Kit) Request(r bursar.PaymentRequest) bursar.Payment {
	k.t.Helper()
	p, err := k.Gateway.CreatePayment(k.ctx(), r)
	k.must(err)
	return p
}

// Payment reads a payment again.
func (k *Kit) Payment(p bursar.Payment) bursar.Payment {
	k.t.Helper()
	p, err := k.Gateway.Payment(k.ctx(), p.ID)
	k.must(err)
	return p
}

// Transactions are the transactions of a payment, oldest first.
func (k *Kit) Transactions(p bursar.Payment) []bursar.Transaction {
	k.t.Helper()
	page, err := k.Gateway.Transactions(k.ctx(), bursar.TransactionFilter{PaymentID: p.ID, Type: bursar.TypeIncoming}, bursar.MaxPage, "")
	k.must(err)
	slices.Reverse(page.Items)
	return page.Items
}

// Pay sends a payment's whole amount from a stranger's account. The transaction
// waits in the mempool for Mine.
func (k *Kit) Pay(p bursar.Payment) chain.TxID { return k.pay(p, p.Amount) }

// PayLess sends a payment's amount less some units of its asset.
func (k *Kit) PayLess(p bursar.Payment, less string) chain.TxID {
	k.t.Helper()
	return k.pay(p, p.Amount.SubFloor(k.amount(p.Asset, less)))
}

// PayAmount sends some units of a payment's asset to its address.
func (k *Kit) PayAmount(p bursar.Payment, units string) chain.TxID {
	k.t.Helper()
	return k.pay(p, k.amount(p.Asset, units))
}

// PayAsset sends some units of any asset to a payment's address.
func (k *Kit) PayAsset(p bursar.Payment, a chain.Asset, units string) chain.TxID {
	k.t.Helper()
	return k.Chain.Pay("payer", p.Address, a, k.amount(a, units))
}

func (k *Kit) pay(p bursar.Payment, n chain.Amount) chain.TxID {
	return k.Chain.Pay("payer", p.Address, p.Asset, n)
}

func (k *Kit) amount(a chain.Asset, units string) chain.Amount {
	k.t.Helper()
	n, err := a.Parse(units)
	k.must(err)
	return n
}

// Mine makes n blocks, and lets the gateway do all that is due after each.
func (k *Kit) Mine(n int) {
	k.t.Helper()
	for range n {
		k.Chain.Mine(1)
		k.Step()
	}
}

// Confirm mines until what is in the mempool has its confirmations.
func (k *Kit) Confirm() {
	k.t.Helper()
	k.Mine(int(k.Chain.Info().Confirmations))
}

// Settle mines until what is in the mempool is final, swept, and the sweep is
// final too.
func (k *Kit) Settle() {
	k.t.Helper()
	k.Mine(4 * int(k.Chain.Info().FinalityDepth))
}

// Reorg replaces the newest blocks by a branch that is one block longer, with
// the same transactions unless the options say otherwise, and lets the gateway
// see it.
func (k *Kit) Reorg(depth int, o ...chaintest.ReorgOptions) {
	k.t.Helper()
	k.Chain.Reorg(depth, o...)
	k.Step()
}

// AdvanceTime moves the clock of chain and store on, and mines as many blocks
// as a verdict at a deadline in that time needs.
func (k *Kit) AdvanceTime(d time.Duration) {
	k.t.Helper()
	k.Chain.AdvanceTime(d)
	k.Mine(int(k.Chain.Info().Confirmations) + 1)
}

// Step lets the gateway do all that is due and compares ledger and chain.
func (k *Kit) Step() {
	k.t.Helper()
	k.must(k.Gateway.Step(k.ctx()))
	if !k.opts.SkipLedger {
		k.CheckLedger()
	}
}

// Events are the events that were delivered so far, of one subject (a payment,
// address or payout id) or, where it is empty, of all.
func (k *Kit) Events(subject string) []bursar.Event {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []bursar.Event
	for _, e := range k.events {
		if subject == "" || e.Subject == subject {
			out = append(out, e)
		}
	}
	return out
}

// Kinds are the kinds of the events of a subject, in order.
func (k *Kit) Kinds(subject string) []bursar.Kind {
	var out []bursar.Kind
	for _, e := range k.Events(subject) {
		out = append(out, e.Kind)
	}
	return out
}

// maxWait bounds the blocks that WaitEvent mines.
const maxWait = 500

// WaitEvent mines until the subject has an event of that kind, and returns the
// newest one; the test ends where it does not come.
func (k *Kit) WaitEvent(kind bursar.Kind, subject string) bursar.Event {
	k.t.Helper()
	for range maxWait {
		events := k.Events(subject)
		for i := len(events) - 1; i >= 0; i-- {
			if events[i].Kind == kind {
				return events[i]
			}
		}
		k.Mine(1)
	}
	k.t.Fatalf("no %s for %s within %d blocks; there are %v", kind, subject, maxWait, k.Kinds(subject))
	return bursar.Event{}
}
