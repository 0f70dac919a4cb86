package hdwallet_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/hdwallet"
)

// The mnemonic that development tools share. Never keep money behind it.
const devMnemonic = "test test test test test test test test test test test junk"

// A server that only watches gets the xpub; it makes the same addresses and has
// nothing to sign with.
func ExampleFromXPub() {
	vault, err := hdwallet.FromMnemonic(devMnemonic, "")
	if err != nil {
		panic(err)
	}
	xpub, err := vault.XPub(60)
	if err != nil {
		panic(err)
	}
	shop, err := hdwallet.FromXPub(hdwallet.XPub{CoinType: 60, Key: xpub})
	if err != nil {
		panic(err)
	}
	mine, _ := vault.Account(60)
	theirs, _ := shop.Account(60)
	fmt.Println(shop, shop.WatchOnly())
	fmt.Println(theirs.ID() == mine.ID())
	// Output:
	// hdwallet.Wallet(watch only) true
	// true
}

// Addresses come in batches, which costs a quarter less than one by one.
func ExampleAccount_PublicKeys() {
	wallet, err := hdwallet.FromMnemonic(devMnemonic, "")
	if err != nil {
		panic(err)
	}
	account, err := wallet.Account(60)
	if err != nil {
		panic(err)
	}
	codec := evm.Codec()
	err = account.PublicKeys(0, 0, 3, func(index uint32, publicKey []byte) error {
		raw, err := codec.FromPublicKey(nil, publicKey)
		if err != nil {
			return err
		}
		address, err := codec.Format(raw)
		fmt.Println(account.KeyRef(0, index).Path, address)
		return err
	})
	if err != nil {
		panic(err)
	}
	// Output:
	// m/44'/60'/0'/0/0 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266
	// m/44'/60'/0'/0/1 0x70997970C51812dc3A010C7d01b50e0d17dc79C8
	// m/44'/60'/0'/0/2 0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC
}

// A typing error is noticed, and the error does not repeat the words.
func ExampleFromMnemonic() {
	_, err := hdwallet.FromMnemonic(strings.Replace(devMnemonic, "junk", "jumk", 1), "")
	fmt.Println(err)
	_, err = hdwallet.FromMnemonic(strings.Replace(devMnemonic, "junk", "jungle", 1), "")
	fmt.Println(err)
	// Output:
	// hdwallet: mnemonic: word 12: not in the English list
	// hdwallet: mnemonic: wrong checksum: a word is mistyped or out of order
}

// A treasury has to be written with its checksum, and what is not for it is
// refused.
func ExampleNewSigner() {
	wallet, err := hdwallet.FromMnemonic(devMnemonic, "")
	if err != nil {
		panic(err)
	}
	policy := hdwallet.Policy{
		Codecs:   map[chain.ID]chain.Codec{"eip155:1": evm.Codec()},
		Treasury: map[chain.ID][]chain.Address{"eip155:1": {"0x70997970c51812dc3a010c7d01b50e0d17dc79c8"}},
	}
	_, err = hdwallet.NewSigner(policy, wallet)
	var config *hdwallet.ConfigError
	fmt.Println(errors.As(err, &config), config.Field)

	policy.Treasury["eip155:1"] = []chain.Address{"0x70997970C51812dc3A010C7d01b50e0d17dc79C8"}
	signer, err := hdwallet.NewSigner(policy, wallet)
	if err != nil {
		panic(err)
	}
	account, _ := wallet.Account(60)
	_, err = signer.Sign(context.Background(), []chain.SignRequest{{
		Chain: "eip155:1", Purpose: chain.SignTransaction, Scheme: chain.ECDSA,
		Key: account.KeyRef(0, 0), Payload: []byte("not a transaction"),
	}})
	var refused *chain.PolicyError
	fmt.Println(errors.As(err, &refused), refused.Rule)
	// Output:
	// true Policy.Treasury[eip155:1][0]
	// true payload
}

// A sponsor's key is kept in a file that other wallets read too, under a password.
func ExampleReadKeystore() {
	// Somebody's key: the first of the development mnemonic. Never keep money behind it.
	private, err := hex.DecodeString("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
	if err != nil {
		panic(err)
	}
	key, err := hdwallet.NewKey(private)
	if err != nil {
		panic(err)
	}
	file, err := key.Keystore("correct horse", hdwallet.KeystoreOptions{ScryptN: hdwallet.LightScryptN, ScryptP: hdwallet.LightScryptP})
	if err != nil {
		panic(err)
	}
	_, err = hdwallet.ReadKeystore(file, "battery staple")
	fmt.Println(err)
	same, err := hdwallet.ReadKeystore(file, "correct horse")
	if err != nil {
		panic(err)
	}
	signer, err := hdwallet.NewSigner(hdwallet.Policy{
		Codecs: map[chain.ID]chain.Codec{"eip155:1": evm.Codec()}, Keys: []*hdwallet.Key{same},
	})
	fmt.Println(signer, err)
	// Output:
	// hdwallet: keystore: wrong password
	// hdwallet.Signer <nil>
}
