package hdwallet

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tyler-smith/go-bip39"
	"github.com/tyler-smith/go-bip39/wordlists"
	"golang.org/x/text/unicode/norm"
)

const (
	// maxMnemonicBytes bounds the work on a mnemonic: 24 words of the English
	// list need at most 215 bytes, full-width letters three times that.
	maxMnemonicBytes = 4096
	// englishSHA256 is the hash of the English list of BIP-39, one word a line.
	// The list is a variable that any package can write to, so it is compared
	// before it decides about money.
	englishSHA256 = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
)

// NewMnemonic returns 24 English words for 256 bits of crypto/rand.
func NewMnemonic() (string, error) { return NewMnemonicFrom(rand.Reader) }

// NewMnemonicFrom is NewMnemonic with 32 bytes of another source of randomness,
// such as a hardware generator. A short read is an error.
func NewMnemonicFrom(random io.Reader) (string, error) {
	var entropy [32]byte
	defer clear(entropy[:])
	if _, err := io.ReadFull(random, entropy[:]); err != nil {
		return "", fmt.Errorf("hdwallet: reading randomness: %w", err)
	}
	words, err := bip39.NewMnemonic(entropy[:])
	if err != nil {
		return "", fmt.Errorf("hdwallet: new mnemonic: %w", err)
	}
	// Read back with our own decoder: it notices when the library's global word
	// list is not the English one.
	back, err := decodeMnemonic(strings.Fields(words))
	if err != nil {
		return "", err
	}
	defer clear(back)
	if subtle.ConstantTimeCompare(back, entropy[:]) != 1 {
		return "", &MnemonicError{Reason: "the word list in memory was changed"}
	}
	return words, nil
}

// seedFromMnemonic checks the words and returns the 64-byte seed of BIP-39.
func seedFromMnemonic(words, passphrase string) ([]byte, error) {
	sentence, err := normalise(words)
	if err != nil {
		return nil, err
	}
	if !utf8.ValidString(passphrase) {
		return nil, &MnemonicError{Reason: "the passphrase is not valid UTF-8"}
	}
	return bip39.NewSeed(sentence, norm.NFKD.String(passphrase)), nil
}

// normalise returns the one spelling of a mnemonic that seeds are made of, for
// the seed is a hash of the text and every further space would make another.
func normalise(words string) (string, error) {
	switch {
	case len(words) > maxMnemonicBytes:
		return "", &MnemonicError{Reason: "too long"}
	case !utf8.ValidString(words):
		return "", &MnemonicError{Reason: "not valid UTF-8"}
	}
	fields := strings.Fields(norm.NFKD.String(words))
	entropy, err := decodeMnemonic(fields)
	if err != nil {
		return "", err
	}
	clear(entropy)
	return strings.Join(fields, " "), nil
}

// decodeMnemonic returns the entropy that the words stand for and checks the
// checksum: each word is 11 bits, of 33 bits the last one belongs to the
// checksum.
func decodeMnemonic(words []string) ([]byte, error) {
	if len(words) < 12 || len(words) > 24 || len(words)%3 != 0 {
		return nil, &MnemonicError{Reason: fmt.Sprintf("%d words, want 12, 15, 18, 21 or 24", len(words))}
	}
	list := slices.Clone(wordlists.English)
	if sum := sha256.Sum256([]byte(strings.Join(list, "\n") + "\n")); hex.EncodeToString(sum[:]) != englishSHA256 {
		return nil, &MnemonicError{Reason: "the word list in memory was changed"}
	}
	bits := make([]byte, 33)
	defer clear(bits)
	for i, word := range words {
		index, found := slices.BinarySearch(list, word)
		if !found {
			return nil, &MnemonicError{Word: i + 1, Reason: "not in the English list"}
		}
		for b := range 11 {
			if index>>(10-b)&1 == 1 {
				at := 11*i + b
				bits[at/8] |= 0x80 >> (at % 8)
			}
		}
	}
	size := len(words) / 3 * 4
	check := sha256.Sum256(bits[:size])
	mask := byte(0xff) << (8 - len(words)/3)
	if (bits[size]^check[0])&mask != 0 {
		return nil, &MnemonicError{Reason: "wrong checksum: a word is mistyped or out of order"}
	}
	return slices.Clone(bits[:size]), nil
}
