package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/store/postgres"
)

// loaded is what the start of a gateway with many issued addresses costs.
type loaded struct {
	took  time.Duration
	bytes uint64
	count int
}

// watchLoad is how long a gateway takes to start on a PostgreSQL that has a
// million issued addresses.
func watchLoad(b *bench) (reading, error) {
	got, err := b.load()
	return reading{got.took.Seconds(), fmt.Sprintf("%d addresses", got.count)}, err
}

// watchLoadMemory is how much the heap is larger after that.
func watchLoadMemory(b *bench) (reading, error) {
	got, err := b.load()
	return reading{float64(got.bytes) / 1e6, fmt.Sprintf("%d addresses", got.count)}, err
}

// load starts the gateway, once for both figures.
func (b *bench) load() (got loaded, err error) {
	if b.start != nil {
		return *b.start, nil
	}
	s, err := postgresServer()
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	store, end, err := s.open()
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, end()) }()
	if err := issue(store.(*postgres.Store), b.many); err != nil {
		return got, err
	}
	before, begin := heap(), time.Now()
	h, err := hostOn(store)
	if err != nil {
		return got, err
	}
	got.took = time.Since(begin)
	got.bytes = heap() - before
	h.node.mine()
	if err := h.gateway.Step(context.Background()); err != nil {
		return got, err
	}
	got.count = h.client.watch().Len()
	if got.count < int(b.many) {
		return got, fmt.Errorf("%d addresses are watched of %d", got.count, b.many)
	}
	b.start = &got
	return got, h.stop()
}

// issue fills the table of addresses as n payments would.
func issue(store *postgres.Store, n uint32) error {
	ctx := context.Background()
	h, err := hostOn(store)
	if err != nil {
		return err
	}
	if _, err := h.gateway.CreatePayment(ctx, order("first")); err != nil {
		return err
	}
	var pools []bursar.Pool
	err = store.Read(ctx, func(r bursar.Reader) (err error) {
		pools, err = r.Pools(ctx)
		return err
	})
	if err != nil || len(pools) == 0 {
		return errors.Join(err, h.stop())
	}
	if _, err := store.Reserve(ctx, pools[0].Name, n-pools[0].Next); err != nil {
		return err
	}
	blocks := int(n / batch)
	return errors.Join(share(runtime.GOMAXPROCS(0), blocks, func(i int) error {
		return issueBlock(ctx, store, pools[0].Name, uint32(i)*batch)
	}), h.stop())
}

// issueBlock inserts the rows of a block of indexes; the first is there already.
func issueBlock(ctx context.Context, store *postgres.Store, pool string, from uint32) error {
	wallet, err := watchOnly()
	if err != nil {
		return err
	}
	account, err := wallet.Account(coinType)
	if err != nil {
		return err
	}
	codec := evm.Codec()
	var addresses []string
	var indexes []int64
	err = account.PublicKeys(0, from, batch, func(index uint32, publicKey []byte) error {
		key, err := codec.FromPublicKey(nil, publicKey)
		if err != nil {
			return err
		}
		a, err := codec.Format(key)
		addresses, indexes = append(addresses, string(a)), append(indexes, int64(index))
		return err
	})
	if err != nil {
		return err
	}
	_, err = store.Pool().Exec(ctx, `INSERT INTO bursar.addresses (id, version, address, pool, address_index, key_wallet, key_path, role, payment_id, customer,
 tokens_only, idempotency_key, fingerprint, seq, created_at) SELECT 'addr_' || i, 1, a, $3, i, 'wallet', 'm/44''/60''/0''/0/' || i, 'payment', 'pay_' || i, '', false, '', '', 0, now()
 FROM unnest($1::text[], $2::bigint[]) AS u(a, i) ON CONFLICT DO NOTHING`, addresses, indexes, pool)
	return err
}
