package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/config"
	"github.com/bursar-go/bursar/hdwallet"
)

// deposited writes a configuration with a contract and these lines under wallet.
func (w *world) deposited(wallet string) {
	w.write("bursar.yaml", `store: {driver: sqlite, path: `+w.path+`}
wallet:
`+wallet+`
chains:
  local:
    url: http://127.0.0.1:1
    treasury: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    sweeper: {owner: "`+coldOwner+`"}
    describe: {chain_id: 1337}
`)
}

// TestAuthorise: two machines with one mnemonic each tell their xpubs, the one that is
// offline signs, and the gateway has what it signed.
func TestAuthorise(t *testing.T) {
	w := newWorld(t)
	w.write("passphrase", passphrase)
	w.deposited("  mnemonic: {file: mnemonic}\n  passphrase: {file: passphrase}")
	cold := decode[[]xpubLine](t, w.ok("xpub", "-json"))
	require.Len(t, cold, 1)
	require.Equal(t, "wallet 60 "+cold[0].XPub+"\n", w.ok("xpub"))
	w.deposited("  mnemonic: {file: mnemonic}")
	hot := decode[[]xpubLine](t, w.ok("xpub", "-json"))
	require.NotEqual(t, cold[0].XPub, hot[0].XPub)

	w.deposited("  xpubs: {\"60\": " + hot[0].XPub + "}\n  deposits: {mnemonic: {file: mnemonic}, passphrase: {file: passphrase}}")
	require.Equal(t, []xpubLine{{"wallet.deposits", 60, cold[0].XPub}}, decode[[]xpubLine](t, w.ok("xpub", "-json")))
	path := filepath.Join(filepath.Dir(w.config), "signed")
	require.Equal(t, path+": 3 authorisations on local, of the indexes 5 to 7\n", w.ok("authorise", "-from", "5", "-count", "3", "-out", path))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), "from=5 count=3")
	more := decode[authorised](t, w.ok("authorise", "-json", "-chain", "eip155:1337", "-from", "8", "-count", "1", "-out", path+"2"))
	require.Equal(t, authorised{Chain: "eip155:1337", From: 8, To: 8, File: path + "2"}, more)
	require.Contains(t, w.fails(exitFailed, "authorise", "-count", "1", "-out", path), "exists", "a file is never written over")
	again, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text, again)

	w.deposited("  mnemonic: {file: mnemonic}\n  deposits: {xpubs: {\"60\": " + cold[0].XPub + "}, authorisations: [\"" + path + "\", \"" + path + "2\"]}")
	f, err := config.Load(w.config, nil)
	require.NoError(t, err)
	cfg, err := f.Build(noStore{})
	require.NoError(t, err)
	account, err := cfg.Wallet.Account(60)
	require.NoError(t, err)
	codec, ok := cfg.Chains[0].Client.Codec().(chain.AuthorizationCodec)
	require.True(t, ok)
	payload, err := codec.Authorization("eip155:1337", 0)
	require.NoError(t, err)
	for i := range uint32(10) {
		_, err := cfg.Signer.Sign(t.Context(), []chain.SignRequest{{
			Chain: "eip155:1337", Purpose: chain.SignAuthorization, Scheme: chain.ECDSA, Key: account.KeyRef(0, i), Payload: payload,
		}})
		require.Equal(t, i >= 5 && i <= 8, err == nil, i)
	}
	require.Contains(t, w.fails(exitFailed, "authorise", "-count", "1", "-out", path+"3"), "wallet.deposits.mnemonic")
	require.NoFileExists(t, path+"3", "nothing is left of what failed")

	// A damaged file stops what has need of it: the gateway, and preflight; verify and
	// others do not read it.
	require.NoError(t, os.WriteFile(path, text[:len(text)-1], 0o600))
	_, err = f.Build(noStore{})
	var bad *hdwallet.AuthorisationError
	require.ErrorAs(t, err, &bad)
	w.ok("addresses", "-to", "1")
	w.ok("migrate")
	require.Contains(t, w.fails(exitFailed, "preflight"), "authorisations[0]")
}

func TestAuthoriseRefuses(t *testing.T) {
	w := newWorld(t)
	for want, args := range map[string][]string{
		"-out":       {"-count", "1"},
		"-count":     {"-out", "x"},
		"-count ":    {"-out", "x", "-count", "4000001"},
		"below 2^31": {"-out", "x", "-count", "2", "-from", "2147483647"},
	} {
		require.Contains(t, w.fails(exitUsage, append([]string{"authorise"}, args...)...), strings.TrimSpace(want))
	}
	w.env = nil
	w.deposited("  xpubs: {\"60\": " + xpubText(t) + "}")
	require.Contains(t, w.fails(exitFailed, "xpub"), "no mnemonic")
}

func xpubText(t *testing.T) string {
	t.Helper()
	w, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "")
	require.NoError(t, err)
	key, err := w.XPub(60)
	require.NoError(t, err)
	return key
}
