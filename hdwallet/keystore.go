package hdwallet

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/scrypt"
	"golang.org/x/crypto/sha3"
)

// The costs of a keystore file, as scrypt's N and P; R is always 8.
const (
	// StandardScryptN and StandardScryptP take 256 MiB and about a second.
	StandardScryptN = 1 << 18
	StandardScryptP = 1
	// LightScryptN and LightScryptP take 4 MiB, for tests and small machines.
	LightScryptN = 1 << 12
	LightScryptP = 6
)

const (
	scryptR = 8
	// maxKeystore bounds a file; a usual one has about 500 bytes.
	maxKeystore = 16 << 10
	// maxScryptMemory is the most that one file may make a process allocate, and
	// maxScryptWork the most it may make it compute: eight times the standard cost.
	maxScryptMemory = 512 << 20
	maxScryptWork   = 1 << 24
	// maxSalt bounds salts, which usually have 32 bytes.
	maxSalt = 128
)

// ErrPassword: the password of a keystore file is wrong, or its content was changed;
// the two cannot be told apart.
var ErrPassword = errors.New("hdwallet: keystore: wrong password")

// KeystoreError reports a keystore file that cannot be used. It never holds the
// file's content nor the password.
type KeystoreError struct {
	// Field is the place by its JSON path: "crypto.kdfparams.n"; empty for the file as
	// a whole.
	Field string
	// Reason is what is wrong.
	Reason string
}

// Error tells what went wrong, without secrets.
func (e *KeystoreError) Error() string {
	if e.Field == "" {
		return "hdwallet: keystore: " + e.Reason
	}
	return "hdwallet: keystore: " + e.Field + ": " + e.Reason
}

// keystoreFile is the Web3 Secret Storage format, version 3.
//
// Source: https://ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage/
type keystoreFile struct {
	Address string         `json:"address,omitempty"`
	Crypto  keystoreCrypto `json:"crypto"`
	ID      string         `json:"id"`
	Version int            `json:"version"`
}

type keystoreCrypto struct {
	Cipher     string `json:"cipher"`
	CipherText string `json:"ciphertext"`
	Params     struct {
		IV string `json:"iv"`
	} `json:"cipherparams"`
	KDF       string         `json:"kdf"`
	KDFParams keystoreScrypt `json:"kdfparams"`
	MAC       string         `json:"mac"`
}

type keystoreScrypt struct {
	Length int    `json:"dklen"`
	N      int    `json:"n"`
	P      int    `json:"p"`
	R      int    `json:"r"`
	Salt   string `json:"salt"`
}

// ReadKeystore opens the content of a keystore file as go-ethereum and other wallets
// write it: Web3 Secret Storage version 3 with scrypt and aes-128-ctr. Where the file
// has an address the key must be that address's.
//
// Errors are ErrPassword and *KeystoreError. Costs are bounded before anything is
// computed: a file that asks for more than 512 MiB, or for more than eight times the
// standard work, is refused.
func ReadKeystore(data []byte, password string) (*Key, error) {
	f, err := parseKeystore(data)
	if err != nil {
		return nil, err
	}
	salt, _ := hex.DecodeString(f.Crypto.KDFParams.Salt) // parseKeystore has looked at all four
	sealed, _ := hex.DecodeString(f.Crypto.CipherText)
	iv, _ := hex.DecodeString(f.Crypto.Params.IV)
	mac, _ := hex.DecodeString(f.Crypto.MAC)
	p := f.Crypto.KDFParams
	derived, err := scrypt.Key([]byte(password), salt, p.N, p.R, p.P, p.Length)
	if err != nil {
		return nil, &KeystoreError{"crypto.kdfparams", "scrypt does not take them"}
	}
	defer clear(derived)
	if !hmac.Equal(mac, keystoreMAC(derived, sealed)) {
		return nil, ErrPassword
	}
	private, err := aesCTR(derived[:16], iv, sealed)
	if err != nil {
		return nil, &KeystoreError{"crypto.cipherparams.iv", "aes does not take it"}
	}
	key, err := NewKey(private)
	if err != nil {
		return nil, &KeystoreError{"crypto.ciphertext", "holds no private key"}
	}
	named := strings.ToLower(strings.TrimPrefix(f.Address, "0x"))
	if public := key.ethereumAddress(); named != "" && named != public {
		return nil, &KeystoreError{"address", "the key is that of another address"}
	}
	return key, nil
}

// parseKeystore reads and bounds all that the key's decryption depends on.
func parseKeystore(data []byte) (*keystoreFile, error) {
	if len(data) > maxKeystore {
		return nil, &KeystoreError{"", fmt.Sprintf("more than %d bytes", maxKeystore)}
	}
	f := new(keystoreFile)
	if err := json.Unmarshal(data, f); err != nil {
		// The text of the error could quote the file.
		return nil, &KeystoreError{"", "no JSON of a keystore file"}
	}
	c := &f.Crypto
	switch {
	case f.Version != 3:
		return nil, &KeystoreError{"version", fmt.Sprintf("%d, want 3", f.Version)}
	case c.Cipher != "aes-128-ctr":
		return nil, &KeystoreError{"crypto.cipher", "want aes-128-ctr"}
	case c.KDF != "scrypt":
		return nil, &KeystoreError{"crypto.kdf", "want scrypt"}
	}
	for _, field := range []struct {
		name, text  string
		least, most int
	}{
		{"crypto.ciphertext", c.CipherText, 32, 32},
		{"crypto.cipherparams.iv", c.Params.IV, aes.BlockSize, aes.BlockSize},
		{"crypto.mac", c.MAC, 32, 32},
		{"crypto.kdfparams.salt", c.KDFParams.Salt, 8, maxSalt},
	} {
		raw, err := hex.DecodeString(field.text)
		if err != nil || len(raw) < field.least || len(raw) > field.most {
			return nil, &KeystoreError{field.name, fmt.Sprintf("want %d to %d bytes in hex", field.least, field.most)}
		}
	}
	return f, checkScrypt(c.KDFParams.N, c.KDFParams.R, c.KDFParams.P, c.KDFParams.Length)
}

// checkScrypt bounds the cost. Each number is bounded by itself first, so that no
// product overflows.
func checkScrypt(n, r, p, length int) error {
	switch {
	case n < 2 || n > maxScryptMemory/128 || n&(n-1) != 0:
		return &KeystoreError{"crypto.kdfparams.n", "want a power of two that is no memory bomb"}
	case r < 1 || r > 1<<10:
		return &KeystoreError{"crypto.kdfparams.r", "want 1 to 1024"}
	case p < 1 || p > 1<<10:
		return &KeystoreError{"crypto.kdfparams.p", "want 1 to 1024"}
	case length != 32:
		return &KeystoreError{"crypto.kdfparams.dklen", "want 32"}
	case int64(n)*int64(r) > maxScryptMemory/128:
		return &KeystoreError{"crypto.kdfparams", fmt.Sprintf("would take more than %d MiB", maxScryptMemory>>20)}
	case int64(n)*int64(r)*int64(p) > maxScryptWork:
		return &KeystoreError{"crypto.kdfparams", "would take too long"}
	}
	return nil
}

// KeystoreOptions change how Key.Keystore seals. The zero value is the standard.
type KeystoreOptions struct {
	// ScryptN and ScryptP are the cost. Default: StandardScryptN and StandardScryptP.
	ScryptN, ScryptP int
	// Rand is the source of salt, initial vector and id. Default: crypto/rand.
	Rand io.Reader
}

// Keystore returns the content of a keystore file that holds the key under a password,
// as ReadKeystore and go-ethereum read it. Write it with mode 0600. An empty password,
// a cost out of bounds, or an external key is a *KeystoreError; a failure of Rand is returned.
func (k *Key) Keystore(password string, o KeystoreOptions) ([]byte, error) {
	if o.ScryptN == 0 && o.ScryptP == 0 {
		o.ScryptN, o.ScryptP = StandardScryptN, StandardScryptP
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if k.external != nil {
		return nil, &KeystoreError{"key", "its private half is elsewhere"}
	}
	if password == "" {
		return nil, &KeystoreError{"password", "empty"}
	}
	if err := checkScrypt(o.ScryptN, scryptR, o.ScryptP, 32); err != nil {
		return nil, err
	}
	var salt [32]byte
	var iv, id [16]byte
	for _, part := range [][]byte{salt[:], iv[:], id[:]} {
		if _, err := io.ReadFull(o.Rand, part); err != nil {
			return nil, fmt.Errorf("hdwallet: keystore: random source: %w", err)
		}
	}
	derived, err := scrypt.Key([]byte(password), salt[:], o.ScryptN, scryptR, o.ScryptP, 32)
	if err != nil {
		return nil, &KeystoreError{"crypto.kdfparams", "scrypt does not take them"}
	}
	defer clear(derived)
	var sealed []byte
	k.key.reveal(func(private []byte) { sealed, err = aesCTR(derived[:16], iv[:], private) })
	if err != nil {
		return nil, &KeystoreError{"crypto.cipherparams.iv", "aes does not take it"}
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // a UUID of version 4
	f := keystoreFile{Address: k.ethereumAddress(), ID: fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]), Version: 3}
	f.Crypto = keystoreCrypto{Cipher: "aes-128-ctr", CipherText: hex.EncodeToString(sealed), KDF: "scrypt", MAC: hex.EncodeToString(keystoreMAC(derived, sealed))}
	f.Crypto.Params.IV = hex.EncodeToString(iv[:])
	f.Crypto.KDFParams = keystoreScrypt{Length: 32, N: o.ScryptN, P: o.ScryptP, R: scryptR, Salt: hex.EncodeToString(salt[:])}
	return json.Marshal(f)
}

// keystoreMAC is the hash by which a wrong password shows.
func keystoreMAC(derived, sealed []byte) []byte {
	return keccak(derived[16:32], sealed)
}

func keccak(parts ...[]byte) []byte {
	h := sha3.NewLegacyKeccak256()
	_, _ = h.Write(bytes.Join(parts, nil)) // a hash never fails
	return h.Sum(nil)
}

// aesCTR encrypts or decrypts, which is the same.
func aesCTR(key, iv, in []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil || len(iv) != aes.BlockSize {
		return nil, errors.New("hdwallet: aes")
	}
	out := make([]byte, len(in))
	cipher.NewCTR(block, iv).XORKeyStream(out, in)
	return out, nil
}

// ethereumAddress is the address that keystore files name their key by, in lower-case
// hex without 0x.
func (k *Key) ethereumAddress() string {
	return hex.EncodeToString(keccak(k.public[1:])[12:])
}
