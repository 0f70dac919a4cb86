package hdwallet

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/tyler-smith/go-bip32"
)

// Wallet is the root of accounts: a mnemonic, or xpubs that can only watch. It
// prints as a label and is safe for concurrent use. Do not copy it.
type Wallet struct {
	label
	// purpose is m/44', private key and chain code; without reveal the wallet
	// can only watch. The seed itself is not kept.
	purpose secret
	// deposits and own are what a combined wallet is made of; nil in all others.
	deposits, own *Wallet

	mu       sync.Mutex // guards what follows, and go-bip32 below it
	accounts map[uint32]*accountKey
	most     int // see Remember
}

// accountKey is an account with its private half, where there is one, and its
// exported form.
type accountKey struct {
	public *Account
	xpub   extendedKey
	key    secret
	// deposits has the keys of change 0 in a combined wallet, which has no xpub; nil in
	// all others.
	deposits *accountKey
}

// private is the key that those of a change level are derived from; there is nothing to
// reveal where it is elsewhere.
func (k *accountKey) private(change uint32) secret {
	if k.deposits != nil && change == 0 {
		return k.deposits.key
	}
	return k.key
}

// FromMnemonic opens the wallet of an English BIP-39 mnemonic of 12, 15, 18, 21
// or 24 words and a passphrase, which may be empty. Words may be separated by
// any white space. Both are normalised (NFKD) as BIP-39 demands, and the
// checksum must be right; errors are *MnemonicError and show no words.
//
// A passphrase has no checksum: a mistyped one opens another, empty wallet.
// Compare Account.ID with the one stored at first use.
func FromMnemonic(words, passphrase string) (*Wallet, error) {
	seed, err := seedFromMnemonic(words, passphrase)
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	return fromSeed(seed)
}

func fromSeed(seed []byte) (*Wallet, error) {
	// BIP-32 wants 128 to 512 bits; go-bip32 would take a single byte.
	if len(seed) < 16 || len(seed) > 64 {
		return nil, &MnemonicError{Reason: "a seed has 16 to 64 bytes"}
	}
	master, err := bip32.NewMasterKey(seed)
	if err != nil {
		return nil, &DerivationError{Path: "m", Reason: "BIP-32 has no such key, use another wallet"}
	}
	defer wipe(master)
	purpose, err := master.NewChildKey(hardened + 44)
	if err != nil {
		return nil, &DerivationError{Path: "m/44'", Reason: "BIP-32 has no such key, use another wallet"}
	}
	defer wipe(purpose)
	return &Wallet{
		label:    "hdwallet.Wallet(mnemonic)",
		purpose:  newSecret(slices.Concat(purpose.Key, purpose.ChainCode)),
		accounts: make(map[uint32]*accountKey),
	}, nil
}

// FromXPub opens a wallet that can derive addresses and cannot sign. It takes
// one key per coin type, of m/44'/coin'/0'. Each is checked strictly: version,
// checksum, depth, child number, a point on the curve; private keys and keys of
// other levels are refused. Errors are *XPubError and show no key.
func FromXPub(accounts ...XPub) (*Wallet, error) {
	if len(accounts) == 0 {
		return nil, &XPubError{Reason: "want at least one"}
	}
	w := &Wallet{label: "hdwallet.Wallet(watch only)", accounts: make(map[uint32]*accountKey)}
	seen := make(map[[33]byte]bool)
	for i, given := range accounts {
		bad := func(reason string) (*Wallet, error) {
			return nil, &XPubError{Account: i, CoinType: given.CoinType, Reason: reason}
		}
		x, reason := parseAccount(given.Key)
		switch {
		case reason != "":
			return bad(reason)
		case given.CoinType >= hardened:
			return bad("a coin type is below 2^31")
		case w.accounts[given.CoinType] != nil:
			return bad("a second key for this coin type")
		case seen[x.key]:
			// Accounts of two coin types never share a key: one is mislabelled.
			return bad("the same key as for another coin type")
		}
		seen[x.key] = true
		public, err := newAccount(given.CoinType, &x)
		if err != nil {
			return nil, err
		}
		w.accounts[given.CoinType] = &accountKey{public: public, xpub: x}
	}
	return w, nil
}

// WatchOnly reports whether the wallet has no private keys; of a combined one, whether
// it has none of its own accounts.
func (w *Wallet) WatchOnly() bool {
	if w.own != nil {
		return w.own.WatchOnly()
	}
	return w.purpose.reveal == nil
}

// Account returns the account of a SLIP-44 coin type below 2^31; the same value
// at every call. A watch-only wallet returns ErrNoAccount where it was given no
// key for it.
func (w *Wallet) Account(coinType uint32) (*Account, error) {
	k, err := w.account(coinType)
	if err != nil {
		return nil, err
	}
	return k.public, nil
}

// XPub returns the account's extended public key, for FromXPub on a server that
// shall not be able to sign. Keep it confidential: it reveals every address. A combined
// wallet has none, ErrCombined: those that it is made of do.
func (w *Wallet) XPub(coinType uint32) (string, error) {
	k, err := w.account(coinType)
	switch {
	case err != nil:
		return "", err
	case k.deposits != nil:
		return "", ErrCombined
	}
	return k.xpub.String(), nil
}

func (w *Wallet) account(coinType uint32) (*accountKey, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if k := w.accounts[coinType]; k != nil {
		return k, nil
	}
	switch {
	case w.own != nil:
		return w.combined(coinType)
	case w.WatchOnly():
		return nil, fmt.Errorf("%w %d", ErrNoAccount, coinType)
	case coinType >= hardened:
		return nil, &DerivationError{Path: accountPath(coinType), Reason: "a coin type is below 2^31"}
	}
	var k *accountKey
	var err error
	w.purpose.reveal(func(private []byte) { k, err = deriveAccount(private, coinType) })
	if err != nil {
		return nil, err
	}
	k.public.remember(w.most)
	w.accounts[coinType] = k
	return k, nil
}

// deriveAccount takes the two hardened steps coin'/0' below m/44', given as
// private key and chain code.
func deriveAccount(purpose []byte, coinType uint32) (*accountKey, error) {
	missing := &DerivationError{Path: accountPath(coinType), Reason: "BIP-32 has no such key, use another wallet"}
	root := &bip32.Key{Key: purpose[:32:32], ChainCode: purpose[32:64:64], Depth: 1, IsPrivate: true}
	coin, err := root.NewChildKey(hardened + coinType)
	if err != nil {
		return nil, missing
	}
	defer wipe(coin)
	account, err := coin.NewChildKey(hardened)
	if err != nil {
		return nil, missing
	}
	defer wipe(account)
	x := extendedKey{depth: account.Depth, child: binary.BigEndian.Uint32(account.ChildNumber)}
	copy(x.parent[:], account.FingerPrint)
	copy(x.chain[:], account.ChainCode)
	copy(x.key[:], account.PublicKey().Key)
	public, err := newAccount(coinType, &x)
	if err != nil {
		return nil, err
	}
	return &accountKey{public: public, xpub: x, key: newSecret(account.Key)}, nil
}

// wipe overwrites a key of go-bip32.
func wipe(k *bip32.Key) {
	clear(k.Key)
	clear(k.ChainCode)
}
