package hdwallet

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Combine returns a wallet whose deposit addresses (change 0) are those of one wallet
// and whose own accounts (change 1: sponsor, float) are those of another, so that the
// keys of deposits can stay where no network is while the sponsor's signs every day.
//
// One wallet cannot do that. Whoever has an xpub and one private key below it can compute
// all the others, and a gateway has the xpub of its deposits beside the process that
// signs as the sponsor. So deposits is made of an xpub on every machine that is online
// (FromXPub), and nothing of its mnemonic is ever there; own is a wallet of another
// mnemonic, or its xpub where somebody else signs.
//
// The accounts have ids of their own, which follow from those of the two, so that all
// machines agree on them whatever keys each of them has. To a gateway a combined wallet is
// another wallet than either of the two. Their coin types are those that both have. The error is a
// *ConfigError: one is missing or is combined itself, or both are the same.
func Combine(deposits, own *Wallet) (*Wallet, error) {
	for _, part := range []struct {
		name string
		*Wallet
	}{{"deposits", deposits}, {"own", own}} {
		switch {
		case part.Wallet == nil:
			return nil, &ConfigError{Field: part.name, Reason: "required"}
		case part.own != nil:
			return nil, &ConfigError{Field: part.name, Reason: "is a combined wallet itself"}
		}
	}
	if deposits == own {
		return nil, sameWallet()
	}
	kind := "combined"
	if own.WatchOnly() {
		kind = "combined, watch only"
	}
	return &Wallet{
		label: label("hdwallet.Wallet(" + kind + ")"), deposits: deposits, own: own, accounts: make(map[uint32]*accountKey),
	}, nil
}

func sameWallet() error {
	return &ConfigError{Field: "own", Reason: "is the wallet of the deposits, whose keys can be computed from any key of it"}
}

// combined makes the account of a combined wallet. The caller holds w.mu.
func (w *Wallet) combined(coinType uint32) (*accountKey, error) {
	deposits, err := w.deposits.account(coinType)
	if err != nil {
		return nil, err
	}
	own, err := w.own.account(coinType)
	switch {
	case err != nil:
		return nil, err
	case deposits.public.id == own.public.id:
		return nil, sameWallet()
	}
	sum := sha256.Sum256([]byte("bursar combined account v1\n" + deposits.public.id + "\n" + own.public.id + "\n"))
	a := &Account{
		id: hex.EncodeToString(sum[:16]), coinType: coinType, deposits: deposits.public.id,
		branches: [2]*branch{deposits.public.branches[0], own.public.branches[1]},
	}
	a.label = label(fmt.Sprintf("hdwallet.Account(%s, coin type %d)", a.id, coinType))
	k := &accountKey{public: a, key: own.key, deposits: deposits}
	if w.most > 0 { // the branches are shared, and may remember already
		a.remember(w.most)
	}
	w.accounts[coinType] = k
	return k, nil
}
