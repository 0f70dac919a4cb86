package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"

	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
)

// storeCallers is how many create payments at once on a database, over as many
// connections.
const storeCallers = 16

// storeWarm is how many payments are made before the measurement.
const storeWarm = storeCallers * 8

// hostOn is a started gateway on the canned chain with a store, and notifiers.
func hostOn(store bursar.Store, notify ...bursar.Notifier) (*host, error) {
	n := newNode()
	client, err := n.client()
	if err != nil {
		return nil, err
	}
	token, err := evm.Token(client.Info().ID, n.token, "TKN", 6)
	if err != nil {
		return nil, err
	}
	wallet, err := watchOnly()
	if err != nil {
		return nil, err
	}
	h := &host{node: n, client: &spy{Client: client}}
	h.gateway, err = bursar.New(bursar.Config{
		Store: store, Wallet: wallet, Manual: true, Logger: slog.New(slog.DiscardHandler), Notify: notify,
		Chains: []bursar.Chain{{Client: h.client, Assets: []chain.Asset{token}, Sweep: bursar.SweepOff, Start: 1}},
	})
	if err != nil {
		return nil, err
	}
	return h, h.gateway.Start(context.Background())
}

// order is the request of a shop: with a key of its own, so that the look-up
// before the creation is measured too.
func order(key string) bursar.PaymentRequest {
	return bursar.PaymentRequest{
		Asset: "local/ETH", Amount: decimal.New(15, -1), IdempotencyKey: key, Customer: "customer",
		Metadata: map[string]string{"order": key},
	}
}

// createOn makes payments on a store that open makes for each round.
func createOn(open func() (bursar.Store, func() error, error)) work {
	return func(n int) (func() error, error) {
		store, end, err := open()
		if err != nil {
			return nil, err
		}
		h, err := hostOn(store)
		if err != nil {
			return nil, errors.Join(err, end())
		}
		create := func(name string, n int) error {
			return share(storeCallers, n, func(i int) error {
				_, err := h.gateway.CreatePayment(context.Background(), order(name+strconv.Itoa(i)))
				return err
			})
		}
		// A database plans a statement anew the first times on each connection.
		if err := create("warm-", storeWarm); err != nil {
			return nil, err
		}
		return after(func() error { return create("order-", n) }, h.stop, end), nil
	}
}

// after runs something and then, untimed but for its errors, what cleans up.
func after(do func() error, ends ...func() error) func() error {
	return func() error {
		err := do()
		for _, end := range ends {
			err = errors.Join(err, end())
		}
		return err
	}
}

// scratch is a folder for the files of one round.
func scratch() (dir string, remove func() error, err error) {
	dir, err = os.MkdirTemp("", "bursar-bench")
	return dir, func() error { return os.RemoveAll(dir) }, err
}
