// Package hdwallet derives addresses' keys and signs with them. It does no I/O,
// keeps no files and knows no network.
//
//	Wallet    a mnemonic, or account xpubs that can only watch
//	Account   m/44'/coin'/0' of a wallet, public half only; the hot path
//	Key       one key outside any wallet, and its keystore file
//	Signer    private keys behind a policy, as a chain.Signer
//	Presigned what keys that are offline signed before, in front of a chain.Signer
//	Journal   what a Signer must not forget; package signer has one that is a file
//
// # Which keys exist
//
// Only m/44'/coin'/0'/change/index with change 0 (deposit addresses) or 1 (the
// gateway's own accounts) can be reached, as BIP-44 lays them out. The first
// three steps are hardened, the last two are not, so that a server which only
// hands out addresses needs no more than an xpub.
//
// That convenience has a price: whoever has an account's xpub and the private
// key of a single address below it can compute the account's private key, and
// with it every other one. Therefore no private key of an address ever leaves
// this package, in any form; and because the account level is hardened, even
// that disaster would stop at one coin type. Keep an xpub as private as a list
// of customers.
//
// Where the deposits' keys are to be offline, Combine makes a wallet of two: the
// deposits of one mnemonic, of which only the xpub is online, and own accounts of
// another one.
//
// # Secrets
//
// Wallet, Account and Signer print as short labels in every fmt verb, in JSON,
// as text and in slog; private keys are held where no printer, not even one
// that walks unexported fields by reflection, can reach them. Errors name the
// place that is wrong, never the words. Buffers are overwritten after use as far
// as Go allows: a garbage-collected program cannot promise that no copy is left
// in memory, so treat a core dump as a leaked wallet.
//
// # The libraries below
//
// go-bip39 supplies the English word list and the seed function, go-bip32 the
// hardened steps from the seed to an account. Both have sharp edges, kept away
// from callers here: the first neither normalises Unicode nor white space, and
// its word list can be changed by any package in the process; the second
// derives wrong keys from a public key that goroutines share, takes points off
// the curve for keys, and prints private keys. All other derivation is done on
// a node type of this package, whose every value was validated once.
package hdwallet
