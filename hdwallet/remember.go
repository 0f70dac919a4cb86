package hdwallet

import (
	"sync"
	"sync/atomic"
)

// Remember makes the wallet's accounts keep the public keys that they derive, up to
// most for each branch, 65 bytes and a map's entry each, so that another gateway of
// the same wallet in the same process has them at once. Programs that make many
// gateways want it, tests above all; a server that makes one has no use for it. 0,
// which is the default, keeps none, and lets what is kept be. It is safe for
// concurrent use.
func (w *Wallet) Remember(most int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.most = most
	for _, k := range w.accounts {
		k.public.remember(most)
	}
}

func (a *Account) remember(most int) {
	for _, b := range a.branches {
		b.kept.most.Store(int64(most))
	}
}

// kept are keys of a branch that were derived before. Keys are public.
type kept struct {
	most atomic.Int64
	mu   sync.RWMutex
	keys map[uint32][65]byte
}

// known copies the keys from an index on that are kept, up to the first that is not.
// Where that is the first one it tells how many in a row are not. One look tells both:
// others add keys at any time.
func (k *kept) known(from uint32, n int) (keys [][65]byte, missing int) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for i := range n {
		key, ok := k.keys[from+uint32(i)]
		switch {
		case ok && missing == 0:
			keys = append(keys, key)
		case ok || len(keys) > 0:
			return keys, missing
		default:
			missing++
		}
	}
	return keys, missing
}

// add keeps keys, as long as there is room.
func (k *kept) add(from uint32, keys [][65]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = map[uint32][65]byte{}
	}
	for i, key := range keys {
		if int64(len(k.keys)) < k.most.Load() {
			k.keys[from+uint32(i)] = key
		}
	}
}

// remembered is the part of PublicKeys between two looks at what is kept: at most
// batchSize keys, of which all are kept or none was.
func (b *branch) remembered(from uint32, n int) [][65]byte {
	keys, missing := b.kept.known(from, min(n, batchSize))
	if len(keys) > 0 {
		return keys
	}
	w := b.idle.Get().(*work)
	defer b.idle.Put(w)
	for i := range w.derive(from, missing) {
		keys = append(keys, [65]byte(w.encode(i)))
	}
	b.kept.add(from, keys)
	return keys
}
