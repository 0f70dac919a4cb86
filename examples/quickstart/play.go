package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
)

// patience is how long the demo waits for any one thing.
const patience = 20 * time.Second

// until waits for a condition, with a deadline that names it.
func until(ctx context.Context, what string, met func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		ok, err := met()
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		}
	}
}

// stage is the demo under way.
type stage struct {
	world  world
	clock  *clock
	db     *database
	out    *report
	shop   *shop
	orders []*order

	operator *account // funds sponsor and customers, and deploys the tokens
	pace     *time.Ticker
	shown    uint64 // the newest block that was printed
	waiting  []common.Hash
}

// play is the whole demo.
func play(ctx context.Context, o options, out *report) (err error) {
	s := &stage{clock: &clock{}, out: out}
	if s.db, err = openDatabase(ctx, o.db); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.db.close()) }()
	if o.rpc == "" {
		s.world, err = newSimulatedWorld(ctx)
	} else {
		s.world, err = newRPCWorld(ctx, o.rpc)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.world.close()) }()
	s.pace = time.NewTicker(max(o.pace, time.Millisecond))
	defer s.pace.Stop()
	defer out.release() // where it ended in the middle of a block
	if err := s.prepare(ctx); err != nil {
		return err
	}
	defer func() {
		// The gateway stops before its chain does, also after Ctrl-C.
		patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		err = errors.Join(err, s.shop.close(patient))
	}()
	for _, scene := range []func(context.Context) error{
		s.open, s.reorgScene, s.payInTime, s.deadline, s.payLate, s.settle, s.verify,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	if o.db != "" {
		out.line("kept", "all of it is in %s, in tables whose names begin with bursar_", s.db.path)
	}
	out.scene("everything is exactly as it must be (%.1f s)", time.Since(out.begin).Seconds())
	return nil
}

// prepare makes the world that the gateway is put into: tokens, and customers
// with money.
func (s *stage) prepare(ctx context.Context) (err error) {
	s.out.scene("the chain is %s", s.world.about())
	if s.operator, err = newAccount(); err != nil {
		return err
	}
	ether := new(big.Int).SetUint64(1e18)
	if err := s.world.fund(ctx, s.operator, new(big.Int).Mul(ether, big.NewInt(20))); err != nil {
		return err
	}
	assets, err := s.deploy(ctx)
	if err != nil {
		return err
	}
	head, err := s.world.client().HeaderByNumber(ctx, nil)
	if err != nil {
		return err
	}
	s.shown = head.Number.Uint64()
	s.clock.follow(time.Unix(int64(head.Time), 0))
	for _, symbol := range []string{"USDC", "USDT"} {
		s.out.line("token", "%s at %s", symbol, assets[symbol].Contract)
	}
	s.shop, err = newShop(s.world, s.db, s.clock, assets, s.out)
	return err
}

// deploy puts a token like USDC (its transfer returns true) and one like USDT
// (its transfer returns nothing) on the chain.
func (s *stage) deploy(ctx context.Context) (map[string]chain.Asset, error) {
	info := evm.Local(s.world.number()).Info
	assets := map[string]chain.Asset{"ETH": info.Native}
	for symbol, code := range map[string][]byte{
		"USDC": tokens.Plain("USDC", 6),
		"USDT": tokens.NoReturn("USDT", 6),
	} {
		contract := crypto.CreateAddress(s.operator.address, s.operator.nonce)
		if err := s.pay(ctx, s.operator, call{data: code}, "%s is deployed", symbol); err != nil {
			return nil, err
		}
		asset, err := evm.Token(info.ID, contract.Hex(), symbol, 6)
		if err != nil {
			return nil, err
		}
		assets[symbol] = asset
	}
	err := mineAll(ctx, s.world, s.waiting...)
	s.waiting = nil
	return assets, err
}

// open starts the gateway, funds its sponsor, and makes the payments.
func (s *stage) open(ctx context.Context) error {
	s.out.scene("the shop opens: gateway on SQLite, wallet of its own, treasury %s", short(s.shop.treasury.Hex()))
	s.out.name(s.shop.sponsor, sponsorName)
	s.out.name(s.shop.treasury, "treasury")
	if err := s.shop.gateway.Start(ctx); err != nil {
		return err
	}
	if h := s.shop.gateway.Health(ctx); !h.Ready {
		return fmt.Errorf("the gateway is not ready: %+v", h)
	}
	// Tokens cannot pay for their own transfer: the sponsor's coin does.
	err := s.pay(ctx, s.operator, coin(s.shop.sponsor, new(big.Int).SetUint64(1e18)), "the operator funds the sponsor with 1 ETH")
	if err != nil {
		return err
	}
	var left []string
	s.orders, left = scenario(s.world.can())
	for _, why := range left {
		s.out.line("skipped", "%s", why)
	}
	for _, o := range s.orders {
		if err := s.shop.sell(ctx, o); err != nil {
			return fmt.Errorf("order %s: %w", o.name, err)
		}
		address := common.HexToAddress(string(o.payment.Address))
		s.out.name(address, o.name)
		s.out.line("order", "%-11s %s %s to %s", o.name, o.amount, o.asset, o.payment.Address)
		if err := s.invite(ctx, o); err != nil {
			return fmt.Errorf("customer of %s: %w", o.name, err)
		}
	}
	return s.block(ctx)
}

// invite makes an order's customer, who has what he is going to pay.
func (s *stage) invite(ctx context.Context, o *order) (err error) {
	if o.when == notAtAll {
		return nil
	}
	if o.customer, err = newAccount(); err != nil {
		return err
	}
	amount, err := s.shop.units(o.asset, o.pays)
	if err != nil {
		return err
	}
	gas := new(big.Int).SetUint64(1e16)
	if asset := s.shop.assets[o.asset]; asset.Native() {
		gas.Add(gas, amount)
	} else {
		contract := common.HexToAddress(string(asset.Contract))
		if err := s.pay(ctx, s.operator, mint(contract, o.customer.address, amount), "customers get tokens"); err != nil {
			return err
		}
	}
	return s.pay(ctx, s.operator, coin(o.customer.address, gas), "customers get coin")
}

// pay sends a transaction of somebody outside; the next block has it.
func (s *stage) pay(ctx context.Context, from *account, c call, format string, args ...any) error {
	tx, err := from.send(ctx, s.world, c)
	if err != nil {
		return err
	}
	s.out.note(tx, format, args...)
	s.waiting = append(s.waiting, tx.Hash())
	return nil
}

// checkout has an order's customer pay.
func (s *stage) checkout(ctx context.Context, o *order) error {
	amount, err := s.shop.units(o.asset, o.pays)
	if err != nil {
		return err
	}
	to := common.HexToAddress(string(o.payment.Address))
	c := coin(to, amount)
	if asset := s.shop.assets[o.asset]; !asset.Native() {
		c = token(common.HexToAddress(string(asset.Contract)), to, amount)
	}
	if o.sent, err = o.customer.send(ctx, s.world, c); err != nil {
		return err
	}
	s.out.note(o.sent, "%s customer pays %s %s", o.name, o.pays, o.asset)
	s.waiting = append(s.waiting, o.sent.Hash())
	return nil
}

func (s *stage) checkoutAll(ctx context.Context, when moment) error {
	for _, o := range s.orders {
		if o.when != when {
			continue
		}
		if err := s.checkout(ctx, o); err != nil {
			return fmt.Errorf("customer of %s: %w", o.name, err)
		}
	}
	return s.block(ctx)
}

// reorgScene pays an order in a block that is replaced: first by a branch
// without the payment, then the customer's wallet sends the same bytes again.
func (s *stage) reorgScene(ctx context.Context) error {
	at := slices.IndexFunc(s.orders, func(o *order) bool { return o.when == reorged })
	if at < 0 {
		return nil
	}
	o := s.orders[at]
	s.out.scene("a payment in a block that is replaced: reorg of 2 blocks, less than the %d confirmations", s.shop.preset.Info.Confirmations)
	if err := s.checkoutAll(ctx, reorged); err != nil {
		return err
	}
	paid, err := s.world.client().TransactionReceipt(ctx, o.sent.Hash())
	if err != nil {
		return err
	}
	parent, err := s.world.client().HeaderByNumber(ctx, new(big.Int).Sub(paid.BlockNumber, big.NewInt(1)))
	if err != nil {
		return err
	}
	if err := s.block(ctx); err != nil {
		return err
	}
	if err := s.hear(ctx, o, bursar.PaymentDetected); err != nil {
		return err
	}
	s.out.line("reorg", "the chain continues from block %d without the payment", parent.Number)
	s.out.hold()
	if err := s.world.reorg(ctx, parent.Hash(), 3); err != nil {
		return err
	}
	s.shown = parent.Number.Uint64()
	if err := s.follow(ctx); err != nil {
		return err
	}
	if err := s.hear(ctx, o, bursar.PaymentReverted); err != nil {
		return err
	}
	if err := submit(ctx, s.world, o.sent); err != nil {
		return fmt.Errorf("sending the lost transaction again: %w", err)
	}
	s.out.note(o.sent, "%s customer's transaction of %s %s is mined again", o.name, o.pays, o.asset)
	s.waiting = append(s.waiting, o.sent.Hash())
	return s.block(ctx)
}

// payInTime pays most orders and mines until they are confirmed.
func (s *stage) payInTime(ctx context.Context) error {
	s.out.scene("customers pay; %d confirmations confirm", s.shop.preset.Info.Confirmations)
	if err := s.checkoutAll(ctx, inTime); err != nil {
		return err
	}
	for range s.shop.preset.Info.Confirmations - 1 {
		if err := s.block(ctx); err != nil {
			return err
		}
	}
	return nil
}

// deadline lets the time pass after which payments of short life are over. On
// a chain whose blocks cannot be moved only the store's clock goes on, and by
// the time more that such a chain is given for a late block.
func (s *stage) deadline(ctx context.Context) error {
	d := shortTTL + time.Minute
	if s.world.can().time {
		s.out.scene("time passes: the chain's clock and the store's are moved on by %s", d)
		s.clock.advance(d)
		s.out.hold()
		if err := s.world.passTime(ctx, d); err != nil {
			return err
		}
	} else {
		d += s.shop.preset.Info.InclusionSlack
		s.out.scene("time passes: the store's clock is moved on by %s, the node's cannot be", d)
		s.clock.advance(d)
		s.out.hold()
		if err := s.world.mine(ctx); err != nil {
			return err
		}
	}
	if err := s.follow(ctx); err != nil {
		return err
	}
	for range s.shop.preset.Info.Confirmations - 1 {
		if err := s.block(ctx); err != nil {
			return err
		}
	}
	for _, o := range s.orders {
		kind := bursar.PaymentExpired
		switch {
		case o.ttl != shortTTL:
			continue
		case o.when == inTime:
			kind = bursar.PaymentUnderpaid
		}
		if err := s.hear(ctx, o, kind); err != nil {
			return err
		}
	}
	return nil
}

// payLate pays an order that is over.
func (s *stage) payLate(ctx context.Context) error {
	if !s.world.can().time {
		return nil
	}
	s.out.scene("a customer pays after the deadline: the money is held, and the order stays expired")
	return s.checkoutAll(ctx, tooLate)
}

// maxBlocks bounds the wait for the end, which needs some twenty.
const maxBlocks = 400

// settle mines until all money is final in the treasury.
func (s *stage) settle(ctx context.Context) error {
	s.out.scene("money that is final (%d blocks) is swept; the sponsor pays the gas of tokens", s.shop.preset.Info.FinalityDepth)
	for range maxBlocks {
		done, err := s.settled(ctx)
		if err != nil || done {
			return err
		}
		if err := s.block(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("not everything was swept within %d blocks", maxBlocks)
}

// settled reports whether every order has come to its end and every payout is
// closed.
func (s *stage) settled(ctx context.Context) (bool, error) {
	sweeps, err := s.shop.payouts(ctx)
	if err != nil || slices.ContainsFunc(sweeps, func(p bursar.Payout) bool { return p.Status.Open() }) {
		return false, err
	}
	for _, o := range s.orders {
		if o.payment, err = s.shop.gateway.Payment(ctx, o.payment.ID); err != nil {
			return false, err
		}
		o.swept = slices.DeleteFunc(slices.Clone(sweeps), func(p bursar.Payout) bool {
			return p.Kind != bursar.PayoutSweep || p.Status != bursar.PayoutConfirmed ||
				!slices.ContainsFunc(p.Items, func(it bursar.PayoutItem) bool { return it.PaymentID == o.payment.ID })
		})
		if o.payment.Status != o.want.status || o.payment.Asset.Format(covered(o)) != o.want.swept {
			return false, nil
		}
	}
	return true, nil
}

// block waits for the next beat, makes a block, and lets the gateway see it.
func (s *stage) block(ctx context.Context) error {
	select {
	case <-s.pace.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.out.hold()
	if err := mineAll(ctx, s.world, s.waiting...); err != nil {
		return err
	}
	s.waiting = nil
	return s.follow(ctx)
}

// follow prints the new blocks and waits until the gateway has scanned them.
func (s *stage) follow(ctx context.Context) error {
	client := s.world.client()
	head, err := client.HeaderByNumber(ctx, nil)
	if err != nil {
		return err
	}
	s.clock.follow(time.Unix(int64(head.Time), 0))
	var fresh []*types.Block
	for s.shown < head.Number.Uint64() {
		b, err := client.BlockByNumber(ctx, new(big.Int).SetUint64(s.shown+1))
		if err != nil {
			return err
		}
		fresh = append(fresh, b)
		s.shown++
	}
	s.out.release(fresh...)
	return until(ctx, fmt.Sprintf("the gateway to scan block %d", head.Number), func() (bool, error) {
		h := s.shop.gateway.Health(ctx)
		if h.Err != nil {
			return false, h.Err
		}
		tip := h.Chains[0].Tip
		return tip.Height > s.shown || tip.Height == s.shown && string(tip.Hash) == head.Hash().Hex(), nil
	})
}

// hear waits until the host was told of something.
func (s *stage) hear(ctx context.Context, o *order, kind bursar.Kind) error {
	return until(ctx, fmt.Sprintf("%s of %s", kind, o.name), func() (bool, error) {
		return s.shop.heard(o.payment.ID, kind), nil
	})
}
