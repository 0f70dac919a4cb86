package hdwallet

import (
	"bytes"
	"context"
	"encoding"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil/base58"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tyler-smith/go-bip32"
	"github.com/tyler-smith/go-bip39"
)

// passphraseCanary is a passphrase that no output has by chance.
const passphraseCanary = "canary-passphrase"

// canaries are all spellings of the secrets behind devWords: words, seed, and
// the keys from the master down to an address.
func canaries(t testing.TB) map[string]string {
	t.Helper()
	seed := bip39.NewSeed(devWords, passphraseCanary)
	out := map[string]string{"mnemonic": devWords, "two words": "test test", "last word": "junk", "passphrase": passphraseCanary}
	spell := func(name string, b []byte) {
		out[name+" hex"] = hex.EncodeToString(b)
		out[name+" base58"] = base58.Encode(b)
		out[name+" base64"] = base64.StdEncoding.EncodeToString(b)[:40]
		out[name+" raw"] = string(b)
		out[name+" %v"] = strings.Trim(fmt.Sprint(b), "[]")
		out[name+" %#v"] = strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", b), "[]byte{"), "}")
		out[name+" decimal"] = new(big.Int).SetBytes(b).String()
	}
	spell("seed", seed)
	key, err := bip32.NewMasterKey(seed)
	require.NoError(t, err)
	for _, step := range []uint32{hardened + 44, hardened + 60, hardened, 0, 0} {
		out[fmt.Sprintf("xprv at %d", key.Depth)] = key.B58Serialize()
		spell(fmt.Sprintf("key at %d", key.Depth), key.Key)
		if key.Depth < 3 {
			spell(fmt.Sprintf("chain code at %d", key.Depth), key.ChainCode)
		}
		key, err = key.NewChildKey(step)
		require.NoError(t, err)
	}
	spell("child", key.Key)
	return out
}

// leakCheck returns a function that fails where one of the secrets is in a
// text, whatever its case.
func leakCheck(t testing.TB) func(where, text string) {
	t.Helper()
	folded := map[string]string{}
	for name, canary := range canaries(t) {
		folded[name] = strings.ToLower(canary)
	}
	return func(where, text string) {
		t.Helper()
		text = strings.ToLower(text)
		for name, canary := range folded {
			if strings.Contains(text, canary) {
				t.Errorf("%s shows the %s", where, name)
			}
		}
	}
}

// host is how programs hold our values: in fields that fmt cannot call methods on.
type host struct {
	wallet  *Wallet
	account *Account
	signer  *Signer
	secret  secret
	key     *accountKey
	Open    any
}

// exposed returns everything that leads to a secret, plain and wrapped.
func exposed(t testing.TB) map[string]any {
	t.Helper()
	w, err := FromMnemonic(devWords, passphraseCanary)
	require.NoError(t, err)
	a, err := w.Account(60)
	require.NoError(t, err)
	s, err := NewSigner(Policy{Codecs: fakeCodecs()}, w)
	require.NoError(t, err)
	k := w.accounts[60]
	all := map[string]any{
		"wallet": w, "account": a, "signer": s, "secret": k.key, "*secret": &k.key, "accountKey": k, "*accountKey": *k,
		"host": host{w, a, s, k.key, k, w}, "*host": &host{w, a, s, k.key, k, s},
		"slice": []any{w, a, s, k}, "map": map[string]any{"w": w, "k": k},
		"value of wallet": reflect.ValueOf(w).Elem().FieldByName("purpose"),
	}
	for name, err := range secretErrors(t, s) {
		all["error "+name] = err
	}
	return all
}

// secretErrors provokes errors while secrets are at hand.
func secretErrors(t testing.TB, s *Signer) map[string]error {
	t.Helper()
	seed := bip39.NewSeed(devWords, passphraseCanary)
	master, err := bip32.NewMasterKey(seed)
	require.NoError(t, err)
	out := map[string]error{}
	_, out["checksum"] = FromMnemonic(strings.Replace(devWords, "junk", "test", 1), passphraseCanary)
	_, out["typo"] = FromMnemonic(strings.Replace(devWords, "test ", "tset ", 1), passphraseCanary)
	_, out["short"] = FromMnemonic("test junk", passphraseCanary)
	_, out["bad passphrase"] = FromMnemonic(devWords, passphraseCanary+"\xff")
	_, out["xprv"] = FromXPub(XPub{60, master.B58Serialize()})
	_, out["mnemonic as xpub"] = FromXPub(XPub{60, devWords})
	_, out["sign"] = s.Sign(context.Background(), requestOf(t, devWords))
	for name, err := range out {
		require.Error(t, err, name)
	}
	return out
}

func TestThreat_F18_NoSecretInAnyOutput(t *testing.T) {
	leaks := leakCheck(t)
	for name, v := range exposed(t) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%e", "%t", "%p", "%T", "% x", "%#x", "%08v", "%-20s", "%+q", "%!"} {
			leaks(name+" as "+verb, fmt.Sprintf(verb, v))
		}
		leaks(name+" by Sprint", fmt.Sprint(v))
		leaks(name+" in an error", fmt.Errorf("wrapped: %v", v).Error())
		if data, err := json.Marshal(v); err == nil {
			leaks(name+" as JSON", string(data))
		}
		if m, ok := v.(encoding.TextMarshaler); ok {
			data, err := m.MarshalText()
			require.NoError(t, err)
			leaks(name+" as text", string(data))
		}
		var log bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			l := slog.New(h).With("with", v)
			l.Info("message", "value", v, slog.Group("group", "inner", v))
		}
		require.NotZero(t, log.Len())
		leaks(name+" in slog", log.String())
	}
}

// Dumpers that follow pointers and read unexported fields, as testify does for
// a failed comparison, find a function and nothing in it.
func TestThreat_F18_NoSecretInADeepDump(t *testing.T) {
	leaks := leakCheck(t)
	for name, v := range exposed(t) {
		if strings.HasPrefix(name, "error") {
			continue
		}
		var out recorder
		assert.Equal(&out, nil, v)
		assert.EqualValues(&out, v, struct{ X int }{1})
		require.NotEmpty(t, out.text, name)
		leaks(name+" dumped", out.text)
		seen := map[uintptr]bool{}
		var deep strings.Builder
		dump(&deep, reflect.ValueOf(v), seen, 0)
		leaks(name+" walked", deep.String())
	}
}

type recorder struct{ text string }

func (r *recorder) Errorf(format string, args ...any) { r.text += fmt.Sprintf(format, args...) }

// dump prints every byte that reflection can reach.
func dump(out *strings.Builder, v reflect.Value, seen map[uintptr]bool, depth int) {
	if depth > 12 || out.Len() > 1<<22 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || seen[v.Pointer()] {
			return
		}
		seen[v.Pointer()] = true
		dump(out, v.Elem(), seen, depth+1)
	case reflect.Interface:
		dump(out, v.Elem(), seen, depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			dump(out, v.Field(i), seen, depth+1)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			dump(out, it.Value(), seen, depth+1)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			raw := make([]byte, v.Len())
			for i := range raw {
				raw[i] = byte(v.Index(i).Uint())
			}
			fmt.Fprintf(out, "%x %s\n", raw, raw)
			return
		}
		for i := range min(v.Len(), 512) {
			dump(out, v.Index(i), seen, depth+1)
		}
	case reflect.String:
		out.WriteString(v.String() + "\n")
	}
}

// The walker is not blind: it finds the same secret where nothing hides it.
func TestDumpWouldFindASecret(t *testing.T) {
	seed := bip39.NewSeed(devWords, passphraseCanary)
	var out strings.Builder
	dump(&out, reflect.ValueOf(&struct{ inner any }{&bip32.Key{Key: seed}}), map[uintptr]bool{}, 0)
	require.Contains(t, out.String(), hex.EncodeToString(seed))
}

// A panic prints its value and the arguments of every frame: run one in a
// process of its own and read what it leaves behind.
func TestThreat_F18_NoSecretInAPanic(t *testing.T) {
	if os.Getenv("HDWALLET_PANIC") != "" {
		w, _ := FromMnemonic(devWords, passphraseCanary)
		s, _ := NewSigner(Policy{Codecs: fakeCodecs()}, w)
		k, _ := w.account(60)
		switch os.Getenv("HDWALLET_PANIC") {
		case "value":
			panic(w)
		case "signer":
			panic(s)
		case "sprint":
			panic(fmt.Sprintf("%#v %+v", k, host{wallet: w, signer: s, key: k, secret: k.key}))
		case "inside":
			k.key.reveal(func([]byte) { panic("while the key is lent") })
		}
	}
	leaks := leakCheck(t)
	for _, mode := range []string{"value", "signer", "sprint", "inside"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestThreat_F18_NoSecretInAPanic$")
		cmd.Env = append(os.Environ(), "HDWALLET_PANIC="+mode, "GOTRACEBACK=all")
		out, err := cmd.CombinedOutput()
		require.Error(t, err, mode)
		require.Contains(t, string(out), "goroutine", mode)
		leaks("panic "+mode, string(out))
	}
}

// What was lent is overwritten, what was handed in as well.
func TestThreat_F18_BuffersAreOverwritten(t *testing.T) {
	original := []byte{1, 2, 3}
	s := newSecret(original)
	require.Equal(t, []byte{0, 0, 0}, original)
	var lent []byte
	s.reveal(func(b []byte) {
		require.Equal(t, []byte{1, 2, 3}, b)
		lent = b
	})
	require.Equal(t, []byte{0, 0, 0}, lent)
	s.reveal(func(b []byte) { require.Equal(t, []byte{1, 2, 3}, b) })

	master, err := bip32.NewMasterKey(make([]byte, 16))
	require.NoError(t, err)
	wipe(master)
	require.Equal(t, make([]byte, 32), master.Key)
	require.Equal(t, make([]byte, 32), master.ChainCode)
}

func TestLabels(t *testing.T) {
	w, err := FromMnemonic(devWords, "")
	require.NoError(t, err)
	a, err := w.Account(60)
	require.NoError(t, err)
	watch, err := FromXPub(XPub{60, devXPub})
	require.NoError(t, err)
	require.Equal(t, "hdwallet.Wallet(mnemonic)", w.String())
	require.Equal(t, "hdwallet.Wallet(mnemonic)", w.GoString())
	require.Equal(t, "hdwallet.Wallet(watch only)", fmt.Sprintf("%+v", watch))
	require.Equal(t, "hdwallet.Account("+a.ID()+", coin type 60)", fmt.Sprintf("%#v", a))
	data, err := json.Marshal(map[string]any{"w": w})
	require.NoError(t, err)
	require.JSONEq(t, `{"w":"hdwallet.Wallet(mnemonic)"}`, string(data))
	require.Error(t, json.Unmarshal([]byte(`"hdwallet.Wallet(mnemonic)"`), new(Wallet)))
}

// The library prints private keys wherever a log has a %v.
func TestLibraryDefectStringShowsPrivateKey(t *testing.T) {
	master, err := bip32.NewMasterKey(make([]byte, 16))
	require.NoError(t, err)
	require.Contains(t, fmt.Sprintf("%v", master), "xprv", "the library's defect is gone; drop this test")
}
