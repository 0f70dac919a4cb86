package bursar

import (
	"bytes"
	"context"
	"fmt"

	"github.com/bursar-go/bursar/chain"
)

// sampleEvery is the distance of the addresses that are derived to check what
// was loaded: a prime, so that no period in the rows hides from it.
const sampleEvery = 997

// loadBatch is how many addresses are added under one lock.
const loadBatch = 4096

// load adds the addresses that were issued, as the store has them: to read one
// takes a tenth of the time that its derivation takes. Samples are derived and
// compared, and Verify compares them all. What was reserved and never issued is
// left to sync.
func (b *book) load(ctx context.Context, r Reader, pools []Pool) error {
	for i, account := range b.accounts {
		name := poolName(account)
		for _, p := range pools {
			if p.Name != name || p.Next == 0 {
				continue
			}
			l := &loading{book: b, account: i, pool: name}
			if err := issuedOf(ctx, r, name, l.add); err != nil {
				return err
			}
			if err := l.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// issuedOf goes through the issued addresses of a pool.
func issuedOf(ctx context.Context, r Reader, pool string, fn func(uint32, chain.Address) error) error {
	if fast, ok := r.(IssuedReader); ok {
		return fast.Issued(ctx, pool, 0, fn)
	}
	for from := uint32(0); ; {
		rows, err := r.Addresses(ctx, AddressQuery{Pool: pool, FromIndex: from, Limit: loadBatch})
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := fn(row.Index, row.Address); err != nil {
				return err
			}
			from = row.Index + 1
		}
		if len(rows) < loadBatch {
			return nil
		}
	}
}

// loading collects addresses of a pool with consecutive indexes.
type loading struct {
	*book
	account int
	pool    string
	// keys are those of the run that begins at from.
	keys [][]byte
	from uint32
}

func (l *loading) add(index uint32, address chain.Address) error {
	keys, err := l.codec.WatchKeys(address)
	if err != nil || len(keys) == 0 {
		return fmt.Errorf("%w: address %d of pool %s is %q: %w", ErrInvariant, index, l.pool, address, err)
	}
	if n := len(l.keys); n > 0 && (index != l.from+uint32(n) || n == loadBatch) {
		if err := l.flush(); err != nil {
			return err
		}
	}
	if len(l.keys) == 0 {
		l.from = index
	}
	l.keys = append(l.keys, keys[0])
	return nil
}

// flush adds the run, unless a sample of it is not what the wallet derives: then
// somebody has changed the row, and the money would go past the gateway.
func (l *loading) flush() error {
	if len(l.keys) == 0 {
		return nil
	}
	to := l.from + uint32(len(l.keys))
	for index := l.from + (sampleEvery-l.from%sampleEvery)%sampleEvery; index < to; index += sampleEvery {
		if err := l.check(index, l.keys[index-l.from]); err != nil {
			return err
		}
	}
	l.put(l.account, changeDeposit, l.from, l.keys)
	l.mark(l.pool, span{l.from, to})
	l.keys = l.keys[:0]
	return nil
}

func (l *loading) check(index uint32, key []byte) error {
	return l.accounts[l.account].PublicKeys(changeDeposit, index, 1, func(_ uint32, publicKey []byte) error {
		want, err := l.codec.FromPublicKey(nil, publicKey)
		if err == nil && !bytes.Equal(want, key) {
			err = fmt.Errorf("%w: address %d of pool %s is not the wallet's", ErrInvariant, index, l.pool)
		}
		return err
	})
}
