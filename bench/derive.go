package main

import (
	"sync"
	"sync/atomic"

	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/hdwallet"
)

const (
	// devMnemonic is the published development mnemonic.
	devMnemonic = "test test test test test test test test test test test junk"
	// coinType is that of every EVM chain.
	coinType = 60
	// batch is how many addresses the gateway derives at once.
	batch = 256
	// indexes is the range that derivations cycle through.
	indexes = 1 << 30
)

// xpub is the development wallet's account key.
func xpub() (string, error) {
	w, err := hdwallet.FromMnemonic(devMnemonic, "")
	if err != nil {
		return "", err
	}
	return w.XPub(coinType)
}

// watchOnly is the development wallet without its private keys, as a server
// that only issues addresses has it.
func watchOnly() (*hdwallet.Wallet, error) {
	key, err := xpub()
	if err != nil {
		return nil, err
	}
	return hdwallet.FromXPub(hdwallet.XPub{CoinType: coinType, Key: key})
}

// ours is the derivation of batches of addresses by a number of workers. A unit
// is one address.
func ours(workers int) (work, error) {
	wallet, err := watchOnly()
	if err != nil {
		return nil, err
	}
	account, err := wallet.Account(coinType)
	if err != nil {
		return nil, err
	}
	codec := evm.Codec()
	var next atomic.Uint32
	derive := func() error {
		var arena [20 * batch]byte
		keys := arena[:0]
		from := next.Add(batch) % indexes
		return account.PublicKeys(0, from, batch, func(_ uint32, publicKey []byte) (err error) {
			keys, err = codec.FromPublicKey(keys, publicKey)
			return err
		})
	}
	return func(n int) (func() error, error) {
		return func() error { return share(workers, (n+batch-1)/batch, func(int) error { return derive() }) }, nil
	}, nil
}

// whole makes a workload of batches: n is raised to full ones, and so is what
// the other side of a comparison is charged with.
func whole(w work) work {
	return func(n int) (func() error, error) { return w(n * batch) }
}

// share runs do for 0 to n-1, divided among workers, and returns the first
// error.
func share(workers, n int, do func(i int) error) error {
	if workers == 1 {
		for i := range n {
			if err := do(i); err != nil {
				return err
			}
		}
		return nil
	}
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		group.Go(func() {
			for errs[w] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				errs[w] = do(i)
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
