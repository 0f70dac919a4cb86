package e2e

import (
	"context"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	sweeping "github.com/bursar-go/bursar/chain/evm/contracts"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
	"github.com/bursar-go/bursar/e2e/node"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/store/memory"
)

// mnemonic is the published one of development nodes.
const mnemonic = "test test test test test test test test test test test junk"

// tillOptions change what openTill makes. The zero value only watches for coin.
type tillOptions struct {
	// assets are the tokens that are accepted.
	assets []chain.Asset
	// treasury is where money is swept to; empty: it stays.
	treasury chain.Address
	// together has tokens swept from many addresses in one transaction.
	together bool
	// tag is how the node says what is final; empty: by depth.
	tag string
	// over sends the requests to the node; nil: as usual.
	over http.RoundTripper
	// wrap puts something in front of the node's client.
	wrap func(*evm.Client) chain.Client
	// edit changes the configuration.
	edit func(*bursar.Config)
}

// till is a gateway on a real node, with somebody who pays. Its methods end the
// test on an error.
type till struct {
	t        *testing.T
	n        *node.Network
	gw       *bursar.Gateway
	cfg      bursar.Config
	client   chain.Client
	treasury common.Address
	payer    *node.Account
	// passphrase is that of the wallet.
	passphrase string
	sweeper    *sweeping.Sweeper
	// ahead is how far the store's clock is ahead of the real one.
	ahead atomic.Int64

	c     contracts // of newTill
	batch common.Address

	mu   sync.Mutex
	told []bursar.Event
}

// newTill is a till on which contracts are deployed that pay.
func newTill(t *testing.T, n *node.Network, wrap func(*evm.Client) chain.Client) *till {
	t.Helper()
	c, batch := deploy(t, n), n.Deploy(creation(paysBoth))
	x := openTill(t, n, tillOptions{wrap: wrap})
	x.c, x.batch = c, batch
	return x
}

func openTill(t *testing.T, n *node.Network, o tillOptions) *till {
	t.Helper()
	x := &till{t: t, n: n, treasury: common.HexToAddress(string(o.treasury)), payer: n.Account("payer")}
	x.passphrase = fmt.Sprint(t.Name(), n.Head())
	if o.together {
		x.sweeper = x.installed(o.treasury)
	}
	x.client = x.node(o)
	on := bursar.Chain{Client: x.client, Assets: o.assets, Treasury: o.treasury, Confirmations: 2}
	if o.treasury == "" {
		on.Sweep = bursar.SweepOff
	}
	store := memory.NewWith(memory.Options{Now: func() time.Time { return time.Now().Add(time.Duration(x.ahead.Load())) }})
	x.cfg = bursar.Config{
		Store: store, Wallet: walletOf(t, x.passphrase), Manual: true, Instance: "till", Chains: []bursar.Chain{on},
		Notify: []bursar.Notifier{bursar.NotifyFunc("till", x.hear)},
	}
	if o.edit != nil {
		o.edit(&x.cfg)
	}
	x.client = x.cfg.Chains[0].Client
	x.start()
	if o.treasury != "" {
		sponsor, err := x.gw.Sponsor(x.client.Info().ID)
		require.NoError(t, err)
		n.Fund(common.HexToAddress(string(sponsor)), big.NewInt(1e18))
		x.mine(7) // final
	}
	return x
}

func walletOf(t *testing.T, passphrase string) *hdwallet.Wallet {
	t.Helper()
	wallet, err := hdwallet.FromMnemonic(mnemonic, passphrase)
	require.NoError(t, err)
	return wallet
}

// node is the client of the till's node.
func (x *till) node(o tillOptions) chain.Client {
	x.t.Helper()
	preset := evm.Local(x.n.ChainID)
	preset.FinalityTag = o.tag
	cfg := evm.Config{Preset: preset, URL: x.n.URL, Native: evm.NativeFull, Sweeper: x.sweeper}
	if o.over != nil {
		cfg.HTTP = &http.Client{Transport: o.over}
	}
	inner, err := evm.New(cfg)
	require.NoError(x.t, err)
	if o.wrap == nil {
		return inner
	}
	return o.wrap(inner)
}

func (x *till) start() {
	x.t.Helper()
	gw, err := bursar.New(x.cfg)
	require.NoError(x.t, err)
	require.NoError(x.t, gw.Start(x.t.Context()))
	x.t.Cleanup(func() { _ = gw.Stop(context.Background()) })
	x.gw = gw
	x.step()
}

func (x *till) stop() {
	x.t.Helper()
	require.NoError(x.t, x.gw.Stop(x.t.Context()))
}

func (x *till) hear(_ context.Context, e bursar.Event) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.told = append(x.told, e)
	return nil
}

func (x *till) step() {
	x.t.Helper()
	require.NoError(x.t, x.gw.Step(x.t.Context()))
}

// mine makes blocks and lets the gateway do all that is due after each.
func (x *till) mine(count int) {
	x.t.Helper()
	for range count {
		x.n.Mine(1)
		x.step()
	}
}

// wait lets time pass for the store.
func (x *till) wait(d time.Duration) {
	x.t.Helper()
	x.ahead.Add(int64(d))
	x.step()
}

// ask makes a payment of so much wei.
func (x *till) ask(wei int64) bursar.Payment {
	x.t.Helper()
	return x.askFor(x.client.Info().Native, wei)
}

// askFor makes a payment of so many base units of an asset.
func (x *till) askFor(a chain.Asset, units int64) bursar.Payment {
	x.t.Helper()
	p, err := x.gw.CreatePayment(x.t.Context(), bursar.PaymentRequest{Asset: string(a.ID), Amount: decimal.New(units, -int32(a.Decimals))})
	require.NoError(x.t, err)
	return p
}

// newToken deploys a token of six decimals.
func newToken(t *testing.T, n *node.Network, symbol string, code []byte) chain.Asset {
	t.Helper()
	asset, err := evm.Token(evm.Local(n.ChainID).Info.ID, n.Deploy(code).Hex(), symbol, 6)
	require.NoError(t, err)
	return asset
}

// enrich gives the payer plenty of a token.
func (x *till) enrich(a chain.Asset) {
	x.t.Helper()
	x.n.Call(contractOf(a), tokens.Mint(x.payer.Address, plenty()))
	x.mine(1)
}

func contractOf(a chain.Asset) common.Address { return common.HexToAddress(string(a.Contract)) }

func addressOf(p bursar.Payment) common.Address { return common.HexToAddress(string(p.Address)) }

// bill is the transaction that pays a payment in full.
func bill(p bursar.Payment) node.Tx {
	to := addressOf(p)
	if p.Asset.Native() {
		return node.Tx{To: &to, Value: p.Amount.Big()}
	}
	contract := contractOf(p.Asset)
	return node.Tx{To: &contract, Data: tokens.Transfer(to, p.Amount.Big())}
}

// pay has the payer pay a payment in full; the transaction waits for a block.
func (x *till) pay(p bursar.Payment) *types.Transaction {
	x.t.Helper()
	return x.payer.Send(bill(p))
}

// elsewhere takes the place of a payer's transaction and pays nobody of ours.
func elsewhere(tx *types.Transaction) node.Tx {
	nobody := common.HexToAddress("0x00000000000000000000000000000000000Bad00")
	return node.Tx{To: &nobody, Value: big.NewInt(1), Instead: tx}
}

func (x *till) payment(p bursar.Payment) bursar.Payment {
	x.t.Helper()
	now, err := x.gw.Payment(x.t.Context(), p.ID)
	require.NoError(x.t, err)
	return now
}

// is checks the status of a payment.
func (x *till) is(p bursar.Payment, want bursar.Status) {
	x.t.Helper()
	require.Equal(x.t, want, x.payment(p).Status)
}

// rows are the incoming transactions of a payment, and its status now.
func (x *till) rows(p bursar.Payment) ([]bursar.Transaction, bursar.Status) {
	x.t.Helper()
	page, err := x.gw.Transactions(x.t.Context(), bursar.TransactionFilter{PaymentID: p.ID, Type: bursar.TypeIncoming}, bursar.MaxPage, "")
	require.NoError(x.t, err)
	return page.Items, x.payment(p).Status
}

// row is the only incoming transaction of a payment.
func (x *till) row(p bursar.Payment) bursar.Transaction {
	x.t.Helper()
	rows, _ := x.rows(p)
	require.Len(x.t, rows, 1)
	return rows[0]
}

// untouched checks that payments were given nothing, not even an event.
func (x *till) untouched(list ...bursar.Payment) {
	x.t.Helper()
	for _, p := range list {
		rows, status := x.rows(p)
		require.Empty(x.t, rows)
		require.Equal(x.t, bursar.StatusPending, status)
		require.Equal(x.t, []bursar.Kind{bursar.PaymentCreated}, x.kinds(p.ID))
	}
}

// events are those that the host was told of a subject.
func (x *till) events(subject string) []bursar.Event {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(x.told), func(e bursar.Event) bool { return e.Subject != subject })
}

func (x *till) kinds(subject string) (out []bursar.Kind) {
	for _, e := range x.events(subject) {
		out = append(out, e.Kind)
	}
	return out
}

// count is how often a subject had a kind of event.
func (x *till) count(subject string, kind bursar.Kind) (n int) {
	for _, k := range x.kinds(subject) {
		if k == kind {
			n++
		}
	}
	return n
}

// chain is the subject of the chain's events.
func (x *till) chain() string { return string(x.client.Info().ID) }

// health is that of the chain.
func (x *till) health() bursar.ChainHealth {
	return x.gw.Health(x.t.Context()).Chains[0]
}

// settle mines until a payment is settled.
func (x *till) settle(p bursar.Payment) {
	x.t.Helper()
	for range 40 {
		if x.payment(p).Status == bursar.StatusSettled {
			return
		}
		x.mine(1)
	}
	require.Fail(x.t, "not settled", "%s %v", x.payment(p).Status, x.kinds(p.ID))
}

// has checks what an address has on the chain.
func (x *till) has(at common.Address, a chain.Asset, units int64) {
	x.t.Helper()
	require.Equal(x.t, big.NewInt(units).String(), x.held(at, a).String())
}

// held asks the node what an address has.
func (x *till) held(at common.Address, a chain.Asset) *big.Int {
	x.t.Helper()
	balances, ok := chain.As[chain.BalanceReader](x.node(tillOptions{}))
	require.True(x.t, ok)
	got, err := balances.Balances(x.t.Context(), "", []chain.Holding{{Address: chain.Address(at.Hex()), Asset: a}})
	require.NoError(x.t, err)
	return got[0].Big()
}

// receipt is what a block says of a transaction.
func (x *till) receipt(hash common.Hash) *types.Receipt {
	x.t.Helper()
	r, err := x.n.Eth.TransactionReceipt(x.t.Context(), hash)
	require.NoError(x.t, err)
	return r
}

// good has the whole store audited, and the ledger compared with the chain.
func (x *till) good() {
	x.t.Helper()
	report, err := x.gw.Verify(x.t.Context())
	require.NoError(x.t, err)
	require.Empty(x.t, report.Findings)
	require.Empty(x.t, report.Skipped)
	require.Contains(x.t, report.Heights, x.client.Info().ID)
}

// vault is a treasury of nobody else's.
func vault(t *testing.T, n *node.Network) chain.Address {
	t.Helper()
	return chain.Address(common.BigToAddress(new(big.Int).SetUint64(0x7EA<<40 + n.Head())).Hex())
}

// patience and tick bound the waits for what a node does by itself.
const (
	patience = time.Minute
	tick     = 5 * time.Millisecond
)
