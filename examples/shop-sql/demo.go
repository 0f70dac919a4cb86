package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/hdwallet"
)

// stage is the demo under way.
type stage struct {
	out   *report
	chain *localChain
	words string // the wallet's, which every life of the shop has
	open  func(context.Context) (database, error)
	shop  *shop

	failing  string // the order whose handler fails once
	payments map[string]bursar.Payment

	mu      sync.Mutex
	failed  int           // how often a handler was made to fail
	failure chan struct{} // closed at the first time
}

// bookPieces is how many books there are at first; of lamps there are none.
const bookPieces = 10

// play is the whole demo.
func play(ctx context.Context, o options, out *report) (err error) {
	s := &stage{out: out, failing: "1001", payments: map[string]bursar.Payment{}, failure: make(chan struct{})}
	if s.words, err = hdwallet.NewMnemonic(); err != nil {
		return err
	}
	remove, err := s.locate(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if s.chain, err = newLocalChain(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.chain.close()) }()
	defer func() { err = errors.Join(err, s.stop(ctx)) }()
	for _, scene := range []func(context.Context) error{
		s.begin, s.orderAndPayment, s.rollBack, s.twoAtOnce, s.pay, s.restart, s.verify,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	out.scene("everything is exactly as it must be (%.1f s)", time.Since(out.began).Seconds())
	return nil
}

// locate makes the place of the database.
func (s *stage) locate(ctx context.Context, o options) (remove func() error, err error) {
	if o.postgres != "" {
		config, drop, err := newPostgres(ctx, o.postgres)
		if err != nil {
			return nil, err
		}
		s.open = func(ctx context.Context) (database, error) { return openPostgres(ctx, config) }
		return s.kept(o.keep, "database "+config.ConnConfig.Database, drop), nil
	}
	folder, err := os.MkdirTemp("", "shop-sql-")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(folder, "shop.db")
	s.open = func(ctx context.Context) (database, error) { return openSQLite(ctx, path) }
	return s.kept(o.keep, path, func() error { return os.RemoveAll(folder) }), nil
}

func (s *stage) kept(keep bool, where string, remove func() error) func() error {
	if !keep {
		return remove
	}
	return func() error {
		s.out.line("kept", "%s", where)
		return nil
	}
}

// start begins a life of the shop: what a process does when it comes up.
func (s *stage) start(ctx context.Context) error {
	db, err := s.open(ctx)
	if err != nil {
		return err
	}
	life, err := newShop(db, s.chain, s.words, s.out, s.interrupt)
	if err != nil {
		return errors.Join(err, db.close())
	}
	s.shop = life
	return life.gateway.Start(ctx)
}

// stop ends it, also after Ctrl-C.
func (s *stage) stop(ctx context.Context) error {
	if s.shop == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	life := s.shop
	s.shop = nil
	return life.close(ctx)
}

// interrupt makes the handler of one order fail once, after its statements.
func (s *stage) interrupt(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != s.failing || s.failed > 0 {
		return nil
	}
	s.failed++
	close(s.failure)
	return errors.New("the shop's printer is out of paper")
}

func (s *stage) failures() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func (s *stage) begin(ctx context.Context) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	s.out.scene("the shop opens: orders and payments in one database, %s", s.shop.database.about())
	for _, text := range tables {
		if _, err := s.shop.database.db().ExecContext(ctx, text); err != nil {
			return err
		}
	}
	_, err := s.shop.database.db().ExecContext(ctx, `INSERT INTO stock (item, pieces) VALUES ('book', $1), ('lamp', 0)`, bookPieces)
	return err
}

// orderAndPayment: the ordinary way.
func (s *stage) orderAndPayment(ctx context.Context) error {
	s.out.scene("an order and its payment are one transaction of the shop's")
	way := s.shop.database
	for _, o := range []order{{"1001", "book", "0.25"}, {"1002", "book", "0.5"}, {"1003", "book", "0.75"}} {
		p, err := s.shop.place(ctx, way, o)
		if err != nil {
			return fmt.Errorf("order %s: %w", o.id, err)
		}
		s.placed(o, p, "")
		if pg, ok := s.shop.database.(pgDB); ok {
			way = throughSQL{pg} // the first one was pgx's own
		}
	}
	return nil
}

func (s *stage) placed(o order, p bursar.Payment, how string) {
	s.payments[o.id] = p
	s.out.line("order", "%s: %s for %s ETH, to be paid to %s%s", o.id, o.item, o.price, p.Address, how)
}

// rollBack: the shop finds that it cannot deliver, after the payment was made.
func (s *stage) rollBack(ctx context.Context) error {
	s.out.scene("what the shop rolls back takes the payment with it")
	o := order{"1004", "lamp", "1"}
	_, err := s.shop.place(ctx, s.shop.database, o)
	if !errors.Is(err, errSoldOut) {
		return fmt.Errorf("order %s: want it to be sold out, got %w", o.id, err)
	}
	s.out.line("order", "%s: %v; there is no such order, and no such payment", o.id, err)
	return s.absent(ctx, o.id)
}

// twoAtOnce: the same order comes twice, by a transaction that has looked before
// the other one has committed.
func (s *stage) twoAtOnce(ctx context.Context) error {
	s.out.scene("a customer clicks twice: the slower transaction is run again, and finds the payment")
	o := order{"1005", "book", "0.1"}
	var faster bursar.Payment
	p, err := s.shop.placeAfterLook(ctx, o, func() (err error) {
		if faster.ID == "" {
			faster, err = s.shop.place(ctx, s.shop.database, o)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("order %s: %w", o.id, err)
	}
	if p.ID != faster.ID {
		return fmt.Errorf("order %s has two payments, %s and %s", o.id, p.ID, faster.ID)
	}
	s.placed(o, p, " (twice the same)")
	return nil
}

// paid are the orders that customers pay for.
var paid = []string{"1001", "1002", "1005"}

func (s *stage) pay(ctx context.Context) error {
	s.out.scene("customers pay, and one handler fails after its work")
	for _, id := range paid {
		if err := s.chain.pay(ctx, s.payments[id]); err != nil {
			return fmt.Errorf("paying order %s: %w", id, err)
		}
		s.out.line("customer", "%s: paid", id)
	}
	s.chain.mine(evm.Local(s.chain.number()).Info.Confirmations)
	select {
	case <-s.failure:
	case <-ctx.Done():
		return fmt.Errorf("waiting for the handler to fail: %w", context.Cause(ctx))
	}
	state, err := s.state(ctx, s.failing)
	if err != nil || state != "open" {
		return errors.Join(err, fmt.Errorf("order %s is %s after its handler has failed, want open", s.failing, state))
	}
	s.out.line("handler", "order %s: it has failed, and what it did is undone: the order is %s", s.failing, state)
	return nil
}

// restart ends the process's life before the event was told, and begins another.
func (s *stage) restart(ctx context.Context) error {
	s.out.scene("the shop is closed and opened again: what was not told yet, is told now")
	if err := s.stop(ctx); err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	for _, id := range paid {
		err := until(ctx, "order "+id+" to be paid", func() (bool, error) {
			state, err := s.state(ctx, id)
			return state == "paid", err
		})
		if err != nil {
			return err
		}
	}
	return s.allTold(ctx)
}

// allTold waits until the shop has heard all there is to tell.
func (s *stage) allTold(ctx context.Context) error {
	for id, p := range s.payments {
		err := until(ctx, "the last event of order "+id, func() (bool, error) {
			events, err := s.shop.gateway.Events(ctx, p.ID, 0, 0)
			if err != nil {
				return false, err
			}
			var heard int
			err = s.shop.database.db().QueryRowContext(ctx, `SELECT count(*) FROM order_log WHERE order_id = $1`, id).Scan(&heard)
			return heard >= len(events), err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) state(ctx context.Context, id string) (state string, err error) {
	err = s.shop.database.db().QueryRowContext(ctx, `SELECT state FROM orders WHERE id = $1`, id).Scan(&state)
	return state, err
}
