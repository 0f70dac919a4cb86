package hdwallet

import (
	"errors"
	"fmt"
)

// ErrNoAccount: a watch-only wallet has no xpub for the coin type.
var ErrNoAccount = errors.New("hdwallet: no account for the coin type")

// ErrCombined: a combined wallet has no xpub; those that it is made of have one each.
var ErrCombined = errors.New("hdwallet: a combined wallet has no xpub")

// MnemonicError reports a mnemonic or passphrase that cannot be used. It never
// holds any of the words.
type MnemonicError struct {
	// Word is the position of the wrong word, counted from 1; 0 where no single
	// word is to blame.
	Word int
	// Reason is what is wrong.
	Reason string
}

// Error tells what went wrong, without secrets.
func (e *MnemonicError) Error() string {
	if e.Word > 0 {
		return fmt.Sprintf("hdwallet: mnemonic: word %d: %s", e.Word, e.Reason)
	}
	return "hdwallet: mnemonic: " + e.Reason
}

// XPubError reports an account key that is refused. It never holds the key: a
// private one may have been pasted by mistake.
type XPubError struct {
	// Account is the position among the arguments, counted from 0.
	Account int
	// CoinType is the coin type it was given for.
	CoinType uint32
	// Reason is what is wrong.
	Reason string
}

// Error tells what went wrong, without secrets.
func (e *XPubError) Error() string {
	return fmt.Sprintf("hdwallet: xpub %d (coin type %d): %s", e.Account, e.CoinType, e.Reason)
}

// DerivationError reports a key that does not exist.
type DerivationError struct {
	// Path is where.
	Path string
	// Reason is why.
	Reason string
}

// Error tells what went wrong, without secrets.
func (e *DerivationError) Error() string { return "hdwallet: " + e.Path + ": " + e.Reason }

// ConfigError reports a field of a Policy, or an argument of NewSigner, that
// cannot be used.
type ConfigError struct {
	// Field names it: "Policy.Treasury[eip155:1][0]", "wallets[1]".
	Field string
	// Reason is what is wrong.
	Reason string
}

// Error tells what went wrong, without secrets.
func (e *ConfigError) Error() string { return "hdwallet: " + e.Field + ": " + e.Reason }

// AuthorisationError reports authorisations that are refused when they are read. It
// holds no key: there is none in them.
type AuthorisationError struct {
	// Line is where, counted from 1.
	Line int
	// Index is that of the address; -1 where no single one is to blame.
	Index int64
	// Reason is what is wrong.
	Reason string
}

// Error tells what went wrong.
func (e *AuthorisationError) Error() string {
	if e.Index < 0 {
		return fmt.Sprintf("hdwallet: authorisations: line %d: %s", e.Line, e.Reason)
	}
	return fmt.Sprintf("hdwallet: authorisations: line %d, index %d: %s", e.Line, e.Index, e.Reason)
}
