package hdwallet_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/hdwallet"
)

// vault is a machine with the mnemonic of the deposits, and an online one without it.
type vault struct {
	codecs   map[chain.ID]chain.Codec
	cold     *hdwallet.Wallet // has the deposits' keys
	online   *hdwallet.Wallet // combined: their xpub, and the keys of own accounts
	deposits *hdwallet.Account
	account  *hdwallet.Account // of online
	signer   *hdwallet.Signer  // of cold
	inner    *hdwallet.Signer  // of online
}

// xpubOf is a wallet that only watches another one.
func xpubOf(t testing.TB, w *hdwallet.Wallet) *hdwallet.Wallet {
	t.Helper()
	key, err := w.XPub(60)
	require.NoError(t, err)
	out, err := hdwallet.FromXPub(hdwallet.XPub{CoinType: 60, Key: key})
	require.NoError(t, err)
	return out
}

// mnemonicWallet is a development wallet; others have other passphrases.
func mnemonicWallet(t testing.TB, passphrase string) *hdwallet.Wallet {
	t.Helper()
	w, err := hdwallet.FromMnemonic(devMnemonic, passphrase)
	require.NoError(t, err)
	return w
}

func newVault(t testing.TB, codecs map[chain.ID]chain.Codec) *vault {
	t.Helper()
	return vaultOf(t, codecs, mnemonicWallet(t, ""))
}

func vaultOf(t testing.TB, codecs map[chain.ID]chain.Codec, cold *hdwallet.Wallet) *vault {
	t.Helper()
	v := &vault{codecs: codecs, cold: cold}
	treasuries := map[chain.ID][]chain.Address{}
	for id := range codecs {
		treasuries[id] = []chain.Address{treasury, delegate}
	}
	var err error
	v.online, err = hdwallet.Combine(xpubOf(t, v.cold), mnemonicWallet(t, "own"))
	require.NoError(t, err)
	v.deposits, err = v.cold.Account(60)
	require.NoError(t, err)
	v.account, err = v.online.Account(60)
	require.NoError(t, err)
	v.signer, err = hdwallet.NewSigner(hdwallet.Policy{Codecs: codecs, Treasury: treasuries}, v.cold)
	require.NoError(t, err)
	v.inner, err = hdwallet.NewSigner(hdwallet.Policy{Codecs: codecs, Treasury: treasuries}, v.online)
	require.NoError(t, err)
	return v
}

func mainnetVault(t testing.TB) *vault {
	s := sweeperFor(t, treasury)
	return newVault(t, map[chain.ID]chain.Codec{mainnet: evm.CodecWith(s), "eip155:56": evm.CodecWith(s), "eip155:10": evm.Codec()})
}

// make writes authorisations.
func (v *vault) make(t testing.TB, id chain.ID, from uint32, count int) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, hdwallet.WriteAuthorisations(t.Context(), &out, v.signer, hdwallet.AuthorisationRange{
		Chain: id, Codec: v.codecs[id], Account: v.deposits, From: from, Count: count,
	}))
	return out.String()
}

// set is an empty one.
func (v *vault) set(t testing.TB) *hdwallet.Authorisations {
	t.Helper()
	set, err := hdwallet.NewAuthorisations(v.codecs, v.online)
	require.NoError(t, err)
	return set
}

func (v *vault) presigned(t testing.TB, set *hdwallet.Authorisations) *hdwallet.PresignedSigner {
	t.Helper()
	s, err := hdwallet.Presigned(v.inner, set)
	require.NoError(t, err)
	return s
}

// request is for an authorisation of a deposit address.
func (v *vault) request(t testing.TB, id chain.ID, index uint32, nonce uint64) chain.SignRequest {
	t.Helper()
	payload, err := v.codecs[id].(chain.AuthorizationCodec).Authorization(id, nonce)
	require.NoError(t, err)
	return chain.SignRequest{Chain: id, Purpose: chain.SignAuthorization, Scheme: chain.ECDSA, Key: v.account.KeyRef(0, index), Payload: payload}
}

// addressOf is the address of a key.
func addressOf(t testing.TB, a *hdwallet.Account, change, index uint32) chain.Address {
	t.Helper()
	public, err := a.PublicKey(change, index)
	require.NoError(t, err)
	raw, err := evm.Codec().FromPublicKey(nil, public)
	require.NoError(t, err)
	out, err := evm.Codec().Format(raw)
	require.NoError(t, err)
	return out
}

// What was signed before is what go-ethereum takes for the address's authorisation, and
// the same that its key would sign now.
func TestPresignedIsWhatTheKeyWouldSign(t *testing.T) {
	v := mainnetVault(t)
	set := v.set(t)
	n, err := set.Read(t.Context(), strings.NewReader(v.make(t, mainnet, 3, 5)+v.make(t, "eip155:56", 0, 2)+v.make(t, mainnet, 0, 3)))
	require.NoError(t, err)
	require.Equal(t, []int{10, 10}, []int{n, set.Len()})
	signer := v.presigned(t, set)
	contract := sweeperFor(t, treasury).Address()
	for id, indexes := range map[chain.ID]uint32{mainnet: 8, "eip155:56": 2} {
		for i := range indexes {
			require.True(t, set.Has(id, v.account.KeyRef(0, i)))
			r := v.request(t, id, i, 0)
			got, err := signer.Sign(t.Context(), []chain.SignRequest{r})
			require.NoError(t, err)
			number := map[chain.ID]uint64{mainnet: 1, "eip155:56": 56}[id]
			a := types.SetCodeAuthorization{ChainID: *uint256.NewInt(number), Address: common.Address(contract), V: got[0][64]}
			a.R.SetBytes(got[0][:32])
			a.S.SetBytes(got[0][32:64])
			who, err := a.Authority()
			require.NoError(t, err)
			require.Equal(t, string(addressOf(t, v.deposits, 0, i)), who.Hex())
			r.Key = v.deposits.KeyRef(0, i)
			fresh, err := v.signer.Sign(t.Context(), []chain.SignRequest{r})
			require.NoError(t, err)
			require.Equal(t, fresh, got)
		}
		require.False(t, set.Has(id, v.account.KeyRef(0, indexes)))
	}
	require.False(t, set.Has(mainnet, v.account.KeyRef(1, 0)))
	require.False(t, set.Has(mainnet, v.deposits.KeyRef(0, 0)), "the deposits' wallet is another one than the combined")
}

// A signer in front of which authorisations stand passes on what is not a deposit's.
func TestPresignedPassesOthersOn(t *testing.T) {
	v := mainnetVault(t)
	set := v.set(t)
	_, err := set.Read(t.Context(), strings.NewReader(v.make(t, mainnet, 0, 2)))
	require.NoError(t, err)
	signer := v.presigned(t, set)
	sponsor := chain.SignRequest{
		Chain: mainnet, Purpose: chain.SignTransaction, Scheme: chain.ECDSA, Key: v.account.KeyRef(1, 0),
		Payload: encode(t, []byte{2}, big.NewInt(1), uint64(0), big.NewInt(1), big.NewInt(1), uint64(21000), common.HexToAddress(string(treasury)), uint64(1), []byte{}, []any{}),
	}
	alone, err := v.inner.Sign(t.Context(), []chain.SignRequest{sponsor})
	require.NoError(t, err)
	got, err := signer.Sign(t.Context(), []chain.SignRequest{v.request(t, mainnet, 1, 0), sponsor, v.request(t, mainnet, 0, 0)})
	require.NoError(t, err)
	require.Len(t, got, 3)
	require.Equal(t, alone[0], got[1])
	for i, index := range map[int]uint32{0: 1, 2: 0} {
		one, err := signer.Sign(t.Context(), []chain.SignRequest{v.request(t, mainnet, index, 0)})
		require.NoError(t, err)
		require.Equal(t, one[0], got[i])
	}
	got[0][0] ^= 1 // what was handed out is the caller's
	again, err := signer.Sign(t.Context(), []chain.SignRequest{v.request(t, mainnet, 1, 0)})
	require.NoError(t, err)
	require.NotEqual(t, got[0], again[0])

	strange := sponsor
	strange.Key.Wallet = "x"
	_, err = signer.Sign(t.Context(), []chain.SignRequest{strange})
	var refused *chain.PolicyError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "key", refused.Rule, "the inner signer's answer")
	require.True(t, signer.Offline(v.account.KeyRef(0, 9)))
	require.False(t, signer.Offline(v.account.KeyRef(1, 0)))
	require.False(t, signer.Offline(strange.Key))

	short, err := hdwallet.Presigned(shortSigner{}, set)
	require.NoError(t, err)
	_, err = short.Sign(t.Context(), []chain.SignRequest{sponsor})
	require.ErrorIs(t, err, chain.ErrInvalidSignature)
	ended, end := context.WithCancel(t.Context())
	end()
	_, err = signer.Sign(ended, []chain.SignRequest{sponsor})
	require.ErrorIs(t, err, context.Canceled)
	empty, err := signer.Sign(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, empty)
}

// shortSigner answers nothing.
type shortSigner struct{}

func (shortSigner) Sign(context.Context, []chain.SignRequest) ([][]byte, error) { return nil, nil }

// Whatever else a deposit's key is asked for is refused, and each address is named, so
// that the others can go without it.
func TestThreat_F20_OfflineKeysSignNothingElse(t *testing.T) {
	v := mainnetVault(t)
	set := v.set(t)
	_, err := set.Read(t.Context(), strings.NewReader(v.make(t, mainnet, 0, 2)))
	require.NoError(t, err)
	other := newVault(t, map[chain.ID]chain.Codec{mainnet: evm.CodecWith(sweeperFor(t, delegate))}).request
	good := v.request(t, mainnet, 0, 0)
	change := func(f func(*chain.SignRequest)) chain.SignRequest {
		r := good
		f(&r)
		return r
	}
	for name, c := range map[string]struct {
		r    chain.SignRequest
		rule string
	}{
		"another index":     {v.request(t, mainnet, 2, 0), hdwallet.RuleAuthorisation},
		"another nonce":     {v.request(t, mainnet, 0, 1), hdwallet.RuleAuthorisation},
		"another chain":     {v.request(t, "eip155:56", 0, 0), hdwallet.RuleAuthorisation},
		"a chain, no codec": {change(func(r *chain.SignRequest) { r.Chain = "eip155:5" }), hdwallet.RuleAuthorisation},
		"another contract":  {change(func(r *chain.SignRequest) { r.Payload = other(t, mainnet, 0, 0).Payload }), hdwallet.RuleAuthorisation},
		"no payload":        {change(func(r *chain.SignRequest) { r.Payload = []byte{5} }), hdwallet.RuleAuthorisation},
		"a transaction":     {change(func(r *chain.SignRequest) { r.Purpose = chain.SignTransaction }), hdwallet.RuleOffline},
		"another scheme":    {change(func(r *chain.SignRequest) { r.Scheme = chain.BIP340 }), hdwallet.RuleOffline},
	} {
		_, err := v.presigned(t, set).Sign(t.Context(), []chain.SignRequest{good, c.r})
		var refused *chain.PolicyError
		require.ErrorAs(t, err, &refused, name)
		require.Equal(t, c.rule, refused.Rule, name)
		require.Equal(t, c.r.Key, refused.Key, name)
	}

	var sources *chain.SourcesError
	_, err = v.presigned(t, set).Sign(t.Context(), []chain.SignRequest{v.request(t, mainnet, 7, 0), good, v.request(t, mainnet, 5, 0)})
	require.ErrorAs(t, err, &sources)
	require.Len(t, sources.Sources, 2, "all at once")
	require.Equal(t, addressOf(t, v.deposits, 0, 7), sources.Sources[0].Account)
	require.Equal(t, addressOf(t, v.deposits, 0, 5), sources.Sources[1].Account)
	require.Contains(t, sources.Error(), "nothing is signed for this address")

	// Without authorisations the signer of a combined wallet refuses by itself.
	for _, r := range []chain.SignRequest{good, change(func(r *chain.SignRequest) { r.Purpose = chain.SignTransaction })} {
		_, err = v.inner.Sign(t.Context(), []chain.SignRequest{r})
		var refused *chain.PolicyError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, hdwallet.RuleOffline, refused.Rule)
		require.Equal(t, r.Key, refused.Key)
		require.True(t, v.inner.Offline(r.Key))
	}
	require.False(t, v.signer.Offline(v.deposits.KeyRef(0, 0)))
	require.False(t, v.inner.Offline(v.account.KeyRef(1, 0)))
}

// altered is a block whose nth line, from 0, is another one.
func altered(text string, n int, change func(string) string) string {
	lines := strings.SplitAfter(text, "\n")
	lines[n] = change(strings.TrimSuffix(lines[n], "\n")) + "\n"
	return strings.Join(lines, "")
}

// resigned changes the bytes of a signature.
func resigned(change func(s []byte) []byte) func(string) string {
	return func(line string) string {
		raw, err := base64.RawStdEncoding.DecodeString(line)
		if err != nil {
			panic(err)
		}
		return base64.RawStdEncoding.EncodeToString(change(raw))
	}
}

// Whoever keeps a file of authorisations can lose it, and nothing else: whatever is not
// exactly what was signed for this installation is refused when it is read.
func TestThreat_F1_AlteredAuthorisationsAreRefused(t *testing.T) {
	v := mainnetVault(t)
	good := v.make(t, mainnet, 0, 600) // more than are verified in one go
	elsewhere := newVault(t, map[chain.ID]chain.Codec{mainnet: evm.CodecWith(sweeperFor(t, delegate))})
	foreign := vaultOf(t, v.codecs, mnemonicWallet(t, "another"))
	lines := strings.SplitAfter(good, "\n")
	header := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	relabelled := func(text string) string { return lines[0] + strings.Join(strings.SplitAfter(text, "\n")[1:], "") }
	highS := func(s []byte) []byte {
		half := new(big.Int).Sub(crypto.S256().Params().N, new(big.Int).SetBytes(s[32:64]))
		half.FillBytes(s[32:64])
		s[64] ^= 1
		return s
	}
	for name, c := range map[string]struct {
		text   string
		line   int
		index  int64
		reason string
	}{
		"nothing":                  {"", 1, -1, "empty"},
		"something else":           {"hello\n", 1, -1, "not the beginning"},
		"another version":          {header(" v1 ", " v2 "), 1, -1, "another version"},
		"no chain":                 {header("chain=", "kain="), 1, -1, "want chain"},
		"every chain":              {header("eip155:1 ", "eip155:0 "), 1, -1, "not configured"},
		"a strange chain":          {header("eip155:1 ", "eip155:5 "), 1, -1, "not configured"},
		"a chain, no contract":     {header("eip155:1 ", "eip155:10 "), 1, -1, "no contract"},
		"another chain's label":    {header("eip155:1 ", "eip155:56 "), 2, 0, "not of this authorisation"},
		"another nonce":            {header("nonce=0", "nonce=1"), 1, -1, "nonce"},
		"another range":            {header("from=0", "from=1"), 2, 1, "not by the key"},
		"a range beyond":           {header("from=0", "from=2147483647"), 1, -1, "range"},
		"a range twice written":    {header("from=0", "from=00"), 1, -1, "range"},
		"none":                     {header("count=600", "count=0"), 1, -1, "range"},
		"fewer than there are":     {header("count=600", "count=599"), 601, -1, "want \"end\""},
		"more than there are":      {header("count=600", "count=601"), 602, 600, "base64"},
		"many more":                {header("count=600", "count=2000000000"), 1, -1, "more than"},
		"another contract":         {elsewhere.make(t, mainnet, 0, 1), 1, -1, "contract"},
		"another contract's":       {relabelled(elsewhere.make(t, mainnet, 0, 600)), 2, 0, "not of this authorisation"},
		"another wallet":           {foreign.make(t, mainnet, 0, 1), 1, -1, "wallet"},
		"another wallet's":         {relabelled(foreign.make(t, mainnet, 0, 600)), 2, 0, "not by the key"},
		"a high s":                 {altered(good, 520, resigned(highS)), 521, 519, "lower half"},
		"a flipped bit":            {altered(good, 600, resigned(func(s []byte) []byte { s[40] ^= 1; return s })), 601, 599, ""},
		"another recovery id":      {altered(good, 3, resigned(func(s []byte) []byte { s[64] ^= 1; return s })), 4, 2, ""},
		"a recovery id of ethers":  {altered(good, 3, resigned(func(s []byte) []byte { s[64] += 27; return s })), 4, 2, "recovery id"},
		"a short signature":        {altered(good, 1, resigned(func(s []byte) []byte { return s[:64] })), 2, 0, "64 bytes"},
		"no r":                     {altered(good, 1, resigned(func(s []byte) []byte { clear(s[:32]); return s })), 2, 0, "r is"},
		"no s":                     {altered(good, 1, resigned(func(s []byte) []byte { clear(s[32:64]); return s })), 2, 0, "s is"},
		"no base64":                {altered(good, 7, func(string) string { return "?" }), 8, 6, "base64"},
		"a second form of base64":  {altered(good, 7, func(s string) string { return s[:len(s)-1] + string(s[len(s)-1]+1) }), 8, 6, ""},
		"two swapped":              {strings.Join(slices.Concat(lines[:5], lines[6:7], lines[5:6], lines[7:]), ""), 6, 4, "not by the key"},
		"the first ones twice":     {good + v.make(t, mainnet, 599, 2), 603, 599, "twice"},
		"cut off in a line":        {good[:len(lines[0])+100], 3, -1, "cut off"},
		"cut off behind a line":    {strings.Join(lines[:301], ""), 302, 300, "cut off"},
		"cut off before its end":   {strings.Join(lines[:601], ""), 602, -1, "cut off"},
		"cut off within its end":   {strings.TrimSuffix(good, "\n"), 602, -1, "cut off"},
		"a line without end":       {lines[0] + strings.Repeat("A", 1<<20), 2, -1, "longer"},
		"a return before its line": {header("\n", "\r\n"), 1, -1, "range"},
		"something behind it":      {good + "\n", 603, -1, "not the beginning"},
	} {
		set := v.set(t)
		n, err := set.Read(t.Context(), strings.NewReader(c.text))
		var bad *hdwallet.AuthorisationError
		require.ErrorAs(t, err, &bad, name)
		require.Contains(t, bad.Error(), c.reason, name)
		require.Equal(t, []int64{int64(c.line), c.index}, []int64{int64(bad.Line), bad.Index}, "%s: %v", name, err)
		require.Zero(t, n, name)
		require.Zero(t, set.Len(), "%s: all or nothing", name)
		require.False(t, set.Has(mainnet, v.account.KeyRef(0, 0)), name)
	}

	set := v.set(t)
	_, err := set.Read(t.Context(), strings.NewReader(good))
	require.NoError(t, err)
	_, err = set.Read(t.Context(), strings.NewReader(v.make(t, mainnet, 700, 1)+v.make(t, mainnet, 0, 1)))
	var bad *hdwallet.AuthorisationError
	require.ErrorAs(t, err, &bad)
	require.Equal(t, int64(0), bad.Index)
	require.Equal(t, 600, set.Len())
	_, err = set.Read(t.Context(), iotest.ErrReader(errors.New("disk")))
	require.ErrorContains(t, err, "disk")
	require.NotErrorAs(t, err, &bad)
	ended, end := context.WithCancel(t.Context())
	end()
	_, err = set.Read(ended, strings.NewReader(v.make(t, mainnet, 700, 1)))
	require.ErrorIs(t, err, context.Canceled)
}

// A set grows while it is used.
func TestPresignedGrowsWhileItSigns(t *testing.T) {
	v := mainnetVault(t)
	set := v.set(t)
	signer := v.presigned(t, set)
	var texts []string
	for i := range uint32(8) {
		texts = append(texts, v.make(t, mainnet, 8-i, 1))
	}
	var all sync.WaitGroup
	for _, text := range texts {
		all.Go(func() {
			if _, err := set.Read(context.Background(), strings.NewReader(text)); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() { _, _ = signer.Sign(context.Background(), []chain.SignRequest{v.request(t, mainnet, 4, 0)}) })
	}
	all.Wait()
	require.Equal(t, 8, set.Len())
	for i := range uint32(10) {
		_, err := signer.Sign(t.Context(), []chain.SignRequest{v.request(t, mainnet, i, 0)})
		require.Equal(t, i >= 1 && i <= 8, err == nil, i)
	}
}

// Nothing is written that could not be read.
func TestWriteAuthorisationsRefuses(t *testing.T) {
	v := mainnetVault(t)
	good := hdwallet.AuthorisationRange{Chain: mainnet, Codec: v.codecs[mainnet], Account: v.deposits, From: 5, Count: 1}
	for field, change := range map[string]func(*hdwallet.AuthorisationRange){
		"AuthorisationRange.Chain":     func(r *hdwallet.AuthorisationRange) { r.Chain = "x" },
		"AuthorisationRange.Codec":     func(r *hdwallet.AuthorisationRange) { r.Codec = nil },
		"AuthorisationRange.Codec ":    func(r *hdwallet.AuthorisationRange) { r.Codec = evm.Codec() },
		"AuthorisationRange.Codec  ":   func(r *hdwallet.AuthorisationRange) { r.Chain = "bip122:000000000019d6689c085ae165831e93" },
		"AuthorisationRange.Account":   func(r *hdwallet.AuthorisationRange) { r.Account = nil },
		"AuthorisationRange.Account ":  func(r *hdwallet.AuthorisationRange) { r.Account = v.account },
		"AuthorisationRange.Account  ": func(r *hdwallet.AuthorisationRange) { r.Account = &hdwallet.Account{} },
		"AuthorisationRange.Count":     func(r *hdwallet.AuthorisationRange) { r.Count = 0 },
		"AuthorisationRange.Count ":    func(r *hdwallet.AuthorisationRange) { r.Count = hdwallet.MaxAuthorisations + 1 },
		"AuthorisationRange.Count  ":   func(r *hdwallet.AuthorisationRange) { r.From, r.Count = 1<<31-1, 2 },
		"AuthorisationRange.Count   ":  func(r *hdwallet.AuthorisationRange) { r.From = 1 << 31 },
	} {
		r := good
		change(&r)
		var out bytes.Buffer
		var bad *hdwallet.ConfigError
		require.ErrorAs(t, hdwallet.WriteAuthorisations(t.Context(), &out, v.signer, r), &bad, field)
		require.Equal(t, strings.TrimSpace(field), bad.Field)
		require.Zero(t, out.Len())
	}
	var bad *hdwallet.ConfigError
	require.ErrorAs(t, hdwallet.WriteAuthorisations(t.Context(), io.Discard, nil, good), &bad)
	require.NoError(t, hdwallet.WriteAuthorisations(t.Context(), io.Discard, v.signer, good))

	// The signer's policy knows whom the contract may pay.
	paysAnother := good
	paysAnother.Codec = evm.CodecWith(sweeperFor(t, delegate))
	var refused *chain.PolicyError
	require.ErrorAs(t, hdwallet.WriteAuthorisations(t.Context(), io.Discard, v.signer, paysAnother), &refused)
	require.Equal(t, "delegate", refused.Rule)
	// A signer that answers with something else writes nothing.
	for name, s := range map[string]chain.Signer{"nothing": shortSigner{}, "another's": anothers{v}} {
		var out bytes.Buffer
		require.ErrorIs(t, hdwallet.WriteAuthorisations(t.Context(), &out, s, good), chain.ErrInvalidSignature, name)
		require.NotContains(t, out.String(), "\nend\n")
	}
	full := errors.New("full")
	require.ErrorIs(t, hdwallet.WriteAuthorisations(t.Context(), failing{full}, v.signer, good), full)
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// anothers signs with the key of another index.
type anothers struct{ v *vault }

func (a anothers) Sign(ctx context.Context, requests []chain.SignRequest) ([][]byte, error) {
	requests[0].Key = a.v.deposits.KeyRef(0, 77)
	return a.v.signer.Sign(ctx, requests)
}

func TestNewAuthorisationsRefuses(t *testing.T) {
	v := mainnetVault(t)
	other, err := hdwallet.Combine(xpubOf(t, v.cold), xpubOf(t, v.cold))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		codecs  map[chain.ID]chain.Codec
		wallets []*hdwallet.Wallet
		field   string
	}{
		"no wallet":         {v.codecs, nil, "wallets"},
		"nil":               {v.codecs, []*hdwallet.Wallet{v.online, nil}, "wallets[1]"},
		"one wallet":        {v.codecs, []*hdwallet.Wallet{xpubOf(t, v.cold)}, "wallets[0]"},
		"the same twice":    {v.codecs, []*hdwallet.Wallet{other}, "wallets[0]"},
		"a codec of no use": {map[chain.ID]chain.Codec{mainnet: nil}, []*hdwallet.Wallet{v.online}, "Policy.Codecs[eip155:1]"},
	} {
		_, err := hdwallet.NewAuthorisations(c.codecs, c.wallets...)
		var bad *hdwallet.ConfigError
		require.ErrorAs(t, err, &bad, name)
		require.Equal(t, c.field, bad.Field, name)
	}
	var bad *hdwallet.ConfigError
	_, err = hdwallet.Presigned(nil, v.set(t))
	require.ErrorAs(t, err, &bad)
	_, err = hdwallet.Presigned(v.inner, nil)
	require.ErrorAs(t, err, &bad)
	_, err = hdwallet.Presigned(v.inner, &hdwallet.Authorisations{})
	require.ErrorAs(t, err, &bad)
}

func FuzzAuthorisationsRead(f *testing.F) {
	v := mainnetVault(f)
	good := v.make(f, mainnet, 0, 3)
	f.Add(good)
	f.Add(good + v.make(f, mainnet, 3, 1))
	f.Add(altered(good, 0, func(s string) string { return s + " " }))
	f.Add(fmt.Sprintf("%sx", good))
	f.Fuzz(func(t *testing.T, text string) {
		set := v.set(t)
		n, err := set.Read(t.Context(), strings.NewReader(text))
		if err != nil {
			var bad *hdwallet.AuthorisationError
			require.ErrorAs(t, err, &bad)
			require.Zero(t, set.Len())
			return
		}
		require.Equal(t, n, set.Len())
		signer := v.presigned(t, set)
		signed := 0
		for _, id := range []chain.ID{mainnet, "eip155:56"} {
			for i := range uint32(8) {
				if answer, err := signer.Sign(t.Context(), []chain.SignRequest{v.request(t, id, i, 0)}); err == nil {
					require.Len(t, answer[0], 65)
					signed++
				}
			}
		}
		require.LessOrEqual(t, signed, n)
	})
}
