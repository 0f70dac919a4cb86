package hdwallet

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// The first key of the development mnemonic, and its address. Everybody knows it.
const (
	devKey     = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
	devAddress = "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"
)

func newDevKey(t testing.TB) *Key {
	t.Helper()
	raw, err := hex.DecodeString(devKey)
	require.NoError(t, err)
	k, err := NewKey(raw)
	require.NoError(t, err)
	require.Equal(t, make([]byte, 32), raw, "the caller's copy is overwritten")
	return k
}

func sealed(t testing.TB, k *Key, password string) []byte {
	t.Helper()
	data, err := k.Keystore(password, KeystoreOptions{ScryptN: 16, ScryptP: 1})
	require.NoError(t, err)
	return data
}

func TestKeystoreRoundTrip(t *testing.T) {
	k := newDevKey(t)
	data := sealed(t, k, "pass")
	back, err := ReadKeystore(data, "pass")
	require.NoError(t, err)
	require.Equal(t, k.KeyRef(), back.KeyRef())
	require.Contains(t, string(data), `"address":"`+devAddress+`"`)
	require.NotEqual(t, data, sealed(t, k, "pass"), "salt and vector are drawn anew")
	public, err := back.PublicKey(k.KeyRef())
	require.NoError(t, err)
	require.Len(t, public, 65)
	_, err = back.PublicKey(chain.KeyRef{Wallet: "other", Path: singlePath})
	require.Error(t, err)
}

// TestKeystoreOfTheSpecification reads the test vector of the format's definition,
// which has no address.
//
// Source: https://ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage/
func TestKeystoreOfTheSpecification(t *testing.T) {
	const vector = `{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"83dbcc02d8ccb40e466191a123791e0e"},` +
		`"ciphertext":"d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c","kdf":"scrypt",` +
		`"kdfparams":{"dklen":32,"n":262144,"r":1,"p":8,"salt":"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},` +
		`"mac":"2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}`
	k, err := ReadKeystore([]byte(vector), "testpassword")
	require.NoError(t, err)
	raw, err := hex.DecodeString("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d")
	require.NoError(t, err)
	want, err := NewKey(raw)
	require.NoError(t, err)
	require.Equal(t, want.KeyRef(), k.KeyRef())
}

// edit changes one place of a file.
func edit(t testing.TB, data []byte, path string, to any) []byte {
	t.Helper()
	var root map[string]any
	require.NoError(t, json.Unmarshal(data, &root))
	at, steps := root, strings.Split(path, ".")
	for _, step := range steps[:len(steps)-1] {
		at = at[step].(map[string]any)
	}
	at[steps[len(steps)-1]] = to
	out, err := json.Marshal(root)
	require.NoError(t, err)
	return out
}

// TestThreat_F18_KeystoreThatCannotBeUsed: bombs are refused before anything is
// computed, and no error shows the content.
func TestThreat_F18_KeystoreThatCannotBeUsed(t *testing.T) {
	k := newDevKey(t)
	data := sealed(t, k, "canary-password")
	_, err := ReadKeystore(data, "wrong")
	require.ErrorIs(t, err, ErrPassword)
	_, err = ReadKeystore(edit(t, data, "crypto.ciphertext", strings.Repeat("00", 32)), "canary-password")
	require.ErrorIs(t, err, ErrPassword)
	for _, c := range []struct {
		path  string
		to    any
		field string
	}{
		{"version", 1, "version"},
		{"address", "70997970c51812dc3a010c7d01b50e0d17dc79c8", "address"},
		{"crypto.cipher", "aes-256-gcm", "crypto.cipher"},
		{"crypto.kdf", "pbkdf2", "crypto.kdf"},
		{"crypto.ciphertext", "00", "crypto.ciphertext"},
		{"crypto.ciphertext", "zz", "crypto.ciphertext"},
		{"crypto.cipherparams.iv", "00", "crypto.cipherparams.iv"},
		{"crypto.mac", "", "crypto.mac"},
		{"crypto.kdfparams.salt", "", "crypto.kdfparams.salt"},
		{"crypto.kdfparams.salt", strings.Repeat("00", maxSalt+1), "crypto.kdfparams.salt"},
		{"crypto.kdfparams.dklen", 16, "crypto.kdfparams.dklen"},
		{"crypto.kdfparams.dklen", 1 << 40, "crypto.kdfparams.dklen"},
		{"crypto.kdfparams.n", 0, "crypto.kdfparams.n"},
		{"crypto.kdfparams.n", 3, "crypto.kdfparams.n"},
		{"crypto.kdfparams.n", -2, "crypto.kdfparams.n"},
		{"crypto.kdfparams.n", 1 << 50, "crypto.kdfparams.n"},
		{"crypto.kdfparams.n", 1 << 20, "crypto.kdfparams"},
		{"crypto.kdfparams.n", "8", ""},
		{"crypto.kdfparams.r", 1 << 40, "crypto.kdfparams.r"},
		{"crypto.kdfparams.r", 0, "crypto.kdfparams.r"},
		{"crypto.kdfparams.p", 1 << 40, "crypto.kdfparams.p"},
		{"crypto.kdfparams.p", 0, "crypto.kdfparams.p"},
		{"crypto", 5, ""},
	} {
		_, err := ReadKeystore(edit(t, data, c.path, c.to), "canary-password")
		var bad *KeystoreError
		require.ErrorAs(t, err, &bad, "%s: %v", c.path, c.to)
		require.Equal(t, c.field, bad.Field, "%s: %v", c.path, c.to)
		require.NotContains(t, err.Error(), "canary")
	}
	long := edit(t, edit(t, data, "crypto.kdfparams.n", 1<<18), "crypto.kdfparams.p", 1<<9)
	_, err = ReadKeystore(long, "canary-password")
	require.ErrorContains(t, err, "too long")
	for n := range len(data) {
		_, err := ReadKeystore(data[:n], "canary-password")
		var bad *KeystoreError
		require.ErrorAs(t, err, &bad, "truncated at %d", n)
	}
	_, err = ReadKeystore(bytes.Repeat([]byte(" "), maxKeystore+1), "x")
	require.ErrorContains(t, err, "more than")

	_, err = k.Keystore("", KeystoreOptions{})
	require.ErrorContains(t, err, "password")
	_, err = k.Keystore("x", KeystoreOptions{ScryptN: 1 << 30, ScryptP: 1})
	require.ErrorContains(t, err, "kdfparams.n")
	_, err = k.Keystore("x", KeystoreOptions{Rand: iotest.ErrReader(errors.New("no luck"))})
	require.ErrorContains(t, err, "no luck")
}

func TestThreat_F18_SingleKeysDoNotShow(t *testing.T) {
	k := newDevKey(t)
	s, err := NewSigner(Policy{Codecs: fakeCodecs(), Keys: []*Key{k}})
	require.NoError(t, err)
	raw, err := hex.DecodeString(devKey)
	require.NoError(t, err)
	for _, v := range []any{k, *k, s, struct{ K *Key }{k}, []*Key{k}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			text := fmt.Sprintf(verb, v)
			require.NotContains(t, text, devKey)
			require.NotContains(t, text, strings.Trim(fmt.Sprint(raw), "[]"))
		}
		text, err := json.Marshal(v)
		require.NoError(t, err)
		require.NotContains(t, string(text), devKey)
	}
}

func TestNewKey(t *testing.T) {
	for name, text := range map[string]string{
		"short": "01", "empty": "", "long": strings.Repeat("01", 33), "zero": strings.Repeat("00", 32),
		"order": "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
	} {
		raw, err := hex.DecodeString(text)
		require.NoError(t, err)
		_, err = NewKey(raw)
		var bad *KeyError
		require.ErrorAs(t, err, &bad, name)
		require.NotContains(t, err.Error(), "0101")
	}
}

// TestSingleKeysSign under the same policy as the keys of wallets.
func TestSingleKeysSign(t *testing.T) {
	d, k := newDesk(t), newDevKey(t)
	d.policy.Keys = []*Key{k}
	var err error
	d.signer, err = NewSigner(d.policy)
	require.NoError(t, err)
	request := func(to chain.Address) chain.SignRequest {
		r := d.pay(chain.Effect{To: to, Asset: coinAsset, Amount: chain.NewAmount(1)})
		r.Key = k.KeyRef()
		return r
	}
	r := request(d.treasury)
	signature := d.accepted(r)[0]
	raw, err := (&fakeCodec{}).FromPublicKey(nil, k.public[:])
	require.NoError(t, err)
	own, err := (&fakeCodec{}).Format(raw)
	require.NoError(t, err)
	require.Equal(t, own, d.recovered(r.Payload, signature))
	d.refused("treasury", request(fakeStranger))
	d.refused("key", d.pay(chain.Effect{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)}))
	d.renew() // with wallets, whose money may go to the key's address
	r = d.pay(chain.Effect{To: own, Asset: coinAsset, Amount: chain.NewAmount(1)})
	r.Own = []chain.OwnTarget{{Address: own, Key: k.KeyRef()}}
	d.accepted(r)
	r.Own[0].Address = fakeStranger
	d.refused("own", r)
	d.policy.Keys = nil
	d.renew()
	d.refused("key", request(d.treasury))

	for field, keys := range map[string][]*Key{"Policy.Keys[0]": {nil}, "Policy.Keys[1]": {k, k}} {
		_, err := NewSigner(Policy{Codecs: fakeCodecs(), Keys: keys})
		var bad *ConfigError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, field, bad.Field)
	}
}

func TestWalletPublicKey(t *testing.T) {
	d := newDesk(t)
	account, err := d.active.Account(60)
	require.NoError(t, err)
	want, err := account.PublicKey(1, 7)
	require.NoError(t, err)
	got, err := d.active.PublicKey(account.KeyRef(1, 7))
	require.NoError(t, err)
	require.Equal(t, want, got)
	for _, ref := range []chain.KeyRef{{}, d.key(d.retired, 60, 0, 0), {Wallet: account.ID(), Path: "m/44'/0'/0'/0/0"}, {Wallet: account.ID(), Path: "m/44'/60'/0'/2/0"}} {
		_, err := d.active.PublicKey(ref)
		require.Error(t, err, ref)
	}
}

func FuzzReadKeystore(f *testing.F) {
	k := newDevKey(f)
	data := sealed(f, k, "p")
	f.Add(data)
	f.Add(edit(f, data, "crypto.kdfparams.n", 1<<40))
	f.Fuzz(func(t *testing.T, data []byte) {
		if file, err := parseKeystore(data); err == nil && file.Crypto.KDFParams.N*file.Crypto.KDFParams.R*file.Crypto.KDFParams.P > 1<<12 {
			return // legal, and too slow for here
		}
		begin := time.Now()
		got, err := ReadKeystore(data, "p")
		require.Less(t, time.Since(begin), time.Minute)
		var bad *KeystoreError
		if err == nil {
			require.NotNil(t, got)
		} else if !errors.Is(err, ErrPassword) {
			require.ErrorAs(t, err, &bad)
		}
	})
}
