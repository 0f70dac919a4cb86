package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/contracts"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/store/memory"
)

// till is a gateway with a wallet and a treasury of its own. It is stepped by hand,
// after each block.
type till struct {
	chain   *localChain
	gateway *bursar.Gateway
	client  *evm.Client
	// treasury gets the money, sponsor pays the gas.
	treasury, sponsor common.Address
	// ahead is by how much the store's clock is ahead of the real one: it goes with
	// the chain's, which gains a second with each block, and is moved on past waits.
	ahead atomic.Int64
}

// opening is what a treasury has of the token before anything is swept, in base units.
// The very first token at an address costs more gas, which no way is to bear alone.
const opening = 1_000_000_000

// sponsorCoin is what the sponsor is given, in wei: 100 of the chain's coin.
func sponsorCoin() *big.Int { return new(big.Int).Mul(big.NewInt(1e18), big.NewInt(100)) }

// openTill sets a gateway up as a host does, and starts it. Where it sweeps together,
// that is: make the contract for treasury, owner and sponsor, deploy it, and tell the
// client of it. The rest is the same for all.
func openTill(ctx context.Context, c *localChain, together bool, log io.Writer) (t *till, err error) {
	t = &till{chain: c}
	wallet, err := newWallet()
	if err != nil {
		return nil, err
	}
	sponsor, err := bursar.SponsorOf(wallet, local().Info, evm.Codec())
	if err != nil {
		return nil, err
	}
	t.sponsor = common.HexToAddress(string(sponsor))
	if t.treasury, err = cold(); err != nil {
		return nil, err
	}
	calls := append(c.deposits(opening, []common.Address{t.treasury}), call{to: &t.sponsor, value: sponsorCoin()})
	settings := evm.Config{Preset: local(), URL: c.url}
	on := bursar.Chain{Assets: []chain.Asset{c.token}, Treasury: chain.Address(t.treasury.Hex()), MaxBatch: -1}
	if together {
		owner, err := cold()
		if err != nil {
			return nil, err
		}
		settings.Sweeper, err = contracts.New(contracts.Params{
			Treasury: contracts.Address(t.treasury), Owner: contracts.Address(owner), Sponsor: contracts.Address(t.sponsor),
		})
		if err != nil {
			return nil, err
		}
		proxy, data := settings.Sweeper.Deployment()
		calls = append(calls, call{to: (*common.Address)(&proxy), data: data})
		on.MaxBatch, on.Gather = 0, gather // as many as fit
	}
	if err := c.pay(ctx, calls...); err != nil {
		return nil, fmt.Errorf("preparing the chain: %w", err)
	}
	if t.client, err = evm.New(settings); err != nil {
		return nil, err
	}
	on.Client = t.client
	t.gateway, err = bursar.New(bursar.Config{
		// A real host keeps what it is paid in a database: see examples/quickstart.
		Store:  memory.NewWith(memory.Options{Now: t.now}),
		Wallet: wallet, Chains: []bursar.Chain{on}, Manual: true, TTL: 24 * time.Hour,
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return nil, err
	}
	if err := t.gateway.Start(ctx); err != nil {
		return nil, err
	}
	if err := t.block(ctx); err != nil {
		return nil, errors.Join(err, t.close(ctx))
	}
	return t, nil
}

// gather is how long tokens wait for company here, which is the default.
const gather = 10 * time.Minute

func newWallet() (*hdwallet.Wallet, error) {
	words, err := hdwallet.NewMnemonic()
	if err != nil {
		return nil, err
	}
	return hdwallet.FromMnemonic(words, "")
}

// cold is an account whose key is somewhere else: here it is an address alone.
func cold() (out common.Address, err error) {
	_, err = rand.Read(out[:])
	return out, err
}

// now is the store's clock.
func (t *till) now() time.Time { return time.Now().Add(time.Duration(t.ahead.Load())) }

// pass moves the store's clock on.
func (t *till) pass(d time.Duration) { t.ahead.Add(int64(d)) }

// block makes a block and lets the gateway do all that is due after it.
func (t *till) block(ctx context.Context) error {
	t.chain.mine()
	head, err := t.chain.backend.Client().HeaderByNumber(ctx, nil)
	if err != nil {
		return err
	}
	t.ahead.Store(max(t.ahead.Load(), int64(time.Until(time.Unix(int64(head.Time), 0)))))
	return t.gateway.Step(ctx)
}

// fresh is a payment's address.
func (t *till) fresh(ctx context.Context, i int) (common.Address, error) {
	p, err := t.gateway.CreatePayment(ctx, bursar.PaymentRequest{
		Asset: string(t.chain.token.ID), Amount: decimal.New(price, -int32(t.chain.token.Decimals)), IdempotencyKey: fmt.Sprintf("order-%d", i),
	})
	return common.HexToAddress(string(p.Address)), err
}

// permanent is a customer's address for tokens.
func (t *till) permanent(ctx context.Context, i int) (common.Address, error) {
	a, err := t.gateway.CreateAddress(ctx, bursar.AddressRequest{
		Chain: local().Info.ID, Customer: fmt.Sprintf("customer-%d", i), TokensOnly: true,
	})
	return common.HexToAddress(string(a.Address)), err
}

// swept is how many of the transactions that came in are in the treasury for good, in
// whole.
func (t *till) swept(ctx context.Context) (n int, err error) {
	for cursor := ""; ; {
		page, err := t.gateway.Transactions(ctx, bursar.TransactionFilter{Type: bursar.TypeIncoming, Asset: string(t.chain.token.ID)}, bursar.MaxPage, cursor)
		if err != nil {
			return 0, err
		}
		for _, row := range page.Items {
			if row.Status == bursar.TxConfirmed && row.Discharged == row.Amount {
				n++
			}
		}
		if cursor = page.Next; cursor == "" {
			return n, nil
		}
	}
}

// payouts are all that the gateway sent or means to send.
func (t *till) payouts(ctx context.Context) (all []bursar.Payout, err error) {
	q := bursar.PayoutQuery{Limit: bursar.MaxPage}
	for {
		rows, err := t.gateway.Payouts(ctx, q)
		if err != nil || len(rows) == 0 {
			return all, err
		}
		all = append(all, rows...)
		last := rows[len(rows)-1]
		q.After = bursar.Cursor{At: last.CreatedAt, ID: last.ID}
	}
}

// has is what some accounts have of an asset together, by the chain.
func (t *till) has(ctx context.Context, a chain.Asset, accounts ...common.Address) (sum chain.Amount, err error) {
	var holdings []chain.Holding
	for _, at := range accounts {
		holdings = append(holdings, chain.Holding{Address: chain.Address(at.Hex()), Asset: a})
	}
	amounts, err := t.client.Balances(ctx, "", holdings)
	for _, amount := range amounts {
		if err == nil {
			sum, err = sum.Add(amount)
		}
	}
	return sum, err
}

// close stops the gateway, also after Ctrl-C.
func (t *till) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return t.gateway.Stop(ctx)
}
