package config_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/config"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/store/memory"
)

const local = chain.ID("eip155:31337")

// xpubFor is the xpub of the development mnemonic with a passphrase.
func xpubFor(t *testing.T, passphrase string) string {
	t.Helper()
	w, err := hdwallet.FromMnemonic(words, passphrase)
	require.NoError(t, err)
	key, err := w.XPub(60)
	require.NoError(t, err)
	return key
}

// vault is the environment of the machine that signs for deposits, gateway that of the
// one that is online.
func vault(t *testing.T) []string {
	return []string{"BURSAR_WALLET_XPUBS_60=" + xpubFor(t, ""), "BURSAR_WALLET_DEPOSITS_MNEMONIC=" + words, "BURSAR_WALLET_DEPOSITS_PASSPHRASE=deposits"}
}

func gateway(t *testing.T, more ...string) []string {
	return append([]string{"BURSAR_WALLET_MNEMONIC=" + words, "BURSAR_WALLET_DEPOSITS_XPUBS_60=" + xpubFor(t, "deposits")}, more...)
}

// built loads a file and builds it.
func built(t *testing.T, text string, env []string) (*config.File, bursar.Config, error) {
	t.Helper()
	f, err := load(t, text, env...)
	if err != nil {
		return nil, bursar.Config{}, err
	}
	cfg, err := f.Build(memory.New())
	return f, cfg, err
}

// authorised has the vault write a file.
func authorised(t *testing.T, from uint32, count int) string {
	t.Helper()
	f, cfg, err := built(t, together(`owner: "`+owner+`"`), vault(t))
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, f.Authorise(t.Context(), &out, cfg, "local", from, count))
	path := filepath.Join(t.TempDir(), "authorisations")
	require.NoError(t, os.WriteFile(path, out.Bytes(), 0o600))
	return path
}

// The machine with the deposits' mnemonic and the gateway agree on wallet and contract,
// and the gateway's signer has what the other one signed.
func TestDeposits(t *testing.T) {
	text := together(`owner: "` + owner + `"`)
	_, cold, err := built(t, text, vault(t))
	require.NoError(t, err)
	require.Nil(t, cold.Signer)
	require.True(t, cold.Wallet.WatchOnly(), "the sponsor's key is elsewhere")
	first, second := authorised(t, 0, 3), authorised(t, 3, 1)
	_, cfg, err := built(t, text, gateway(t, "BURSAR_WALLET_DEPOSITS_AUTHORISATIONS="+first+","+second))
	require.NoError(t, err)
	require.False(t, cfg.Wallet.WatchOnly())
	account, err := cfg.Wallet.Account(60)
	require.NoError(t, err)
	same, err := cold.Wallet.Account(60)
	require.NoError(t, err)
	require.Equal(t, same.ID(), account.ID())
	require.IsType(t, &hdwallet.PresignedSigner{}, cfg.Signer)
	codec, ok := cfg.Chains[0].Client.Codec().(chain.AuthorizationCodec)
	require.True(t, ok)
	payload, err := codec.Authorization(local, 0)
	require.NoError(t, err)
	for i := range uint32(5) {
		_, err := cfg.Signer.Sign(t.Context(), []chain.SignRequest{{
			Chain: local, Purpose: chain.SignAuthorization, Scheme: chain.ECDSA, Key: account.KeyRef(0, i), Payload: payload,
		}})
		require.Equal(t, i < 4, err == nil, "%d: %v", i, err)
	}

	// Without files there are none, and the keys are offline all the same.
	_, cfg, err = built(t, text, gateway(t))
	require.NoError(t, err)
	offline, ok := cfg.Signer.(chain.OfflineSigner)
	require.True(t, ok)
	require.True(t, offline.Offline(account.KeyRef(0, 0)))

	// A remote signer has the sponsor's key; what was signed before stays here.
	_, cfg, err = built(t, text+"signer: {url: \"http://127.0.0.1:1\"}\n", []string{
		"BURSAR_WALLET_XPUBS_60=" + xpubFor(t, ""), "BURSAR_WALLET_DEPOSITS_XPUBS_60=" + xpubFor(t, "deposits"),
		"BURSAR_WALLET_DEPOSITS_AUTHORISATIONS=" + first, signerSecret(bytes32),
	})
	require.NoError(t, err)
	require.True(t, cfg.Wallet.WatchOnly())
	_, err = cfg.Signer.Sign(t.Context(), []chain.SignRequest{{
		Chain: local, Purpose: chain.SignAuthorization, Scheme: chain.ECDSA, Key: account.KeyRef(0, 2), Payload: payload,
	}})
	require.NoError(t, err)

	// That remote signer has the sponsor's mnemonic and the deposits' xpub.
	f, cfg, err := built(t, text+"signer: {serve: {listen: \"127.0.0.1:0\", journal: "+filepath.Join(t.TempDir(), "journal")+"}}\n",
		gateway(t, signerSecret(bytes32)))
	require.NoError(t, err)
	server, err := f.SigningServer(cfg, nil)
	require.NoError(t, err)
	require.NoError(t, server.Close())

	// With both mnemonics all keys are here.
	_, cfg, err = built(t, text, []string{"BURSAR_WALLET_MNEMONIC=" + words, "BURSAR_WALLET_DEPOSITS_MNEMONIC=" + words, "BURSAR_WALLET_DEPOSITS_PASSPHRASE=deposits"})
	require.NoError(t, err)
	require.Nil(t, cfg.Signer)
	again, err := cfg.Wallet.Account(60)
	require.NoError(t, err)
	require.Equal(t, account.ID(), again.ID())
}

func TestDepositsErrors(t *testing.T) {
	text := together(`owner: "` + owner + `"`)
	good := authorised(t, 0, 2)
	raw, err := os.ReadFile(good)
	require.NoError(t, err)
	cut := filepath.Join(t.TempDir(), "cut")
	require.NoError(t, os.WriteFile(cut, raw[:len(raw)-9], 0o600))
	for name, c := range map[string]struct {
		env   []string
		field string
	}{
		"a file that is cut off":    {gateway(t, "BURSAR_WALLET_DEPOSITS_AUTHORISATIONS="+cut), "wallet.deposits.authorisations[0]"},
		"no file":                   {gateway(t, "BURSAR_WALLET_DEPOSITS_AUTHORISATIONS="+good+","+good+"x"), "wallet.deposits.authorisations[1]"},
		"the same file twice":       {gateway(t, "BURSAR_WALLET_DEPOSITS_AUTHORISATIONS="+good+","+good), "wallet.deposits.authorisations[1]"},
		"files beside the mnemonic": {append(vault(t), "BURSAR_WALLET_DEPOSITS_AUTHORISATIONS="+good), "wallet.deposits.authorisations"},
		"one mnemonic for both":     {[]string{"BURSAR_WALLET_MNEMONIC=" + words, "BURSAR_WALLET_DEPOSITS_XPUBS_60=" + xpubFor(t, "")}, "chains.local.sweeper"},
		"neither":                   {[]string{"BURSAR_WALLET_MNEMONIC=" + words, "BURSAR_WALLET_DEPOSITS_PASSPHRASE=x"}, "wallet.deposits.passphrase"},
	} {
		_, _, err := built(t, text, c.env)
		var at *config.Error
		require.ErrorAs(t, err, &at, name)
		require.Equal(t, c.field, at.Field, "%s: %v", name, err)
	}

	// Files are read when a gateway is built, and not to look at a configuration.
	f, err := load(t, text, gateway(t, "BURSAR_WALLET_DEPOSITS_AUTHORISATIONS=/nowhere")...)
	require.NoError(t, err)
	_, err = f.Installations()
	require.NoError(t, err)
}

func TestAuthoriseErrors(t *testing.T) {
	f, cfg, err := built(t, together(`owner: "`+owner+`"`), vault(t))
	require.NoError(t, err)
	var out bytes.Buffer
	var field *bursar.FieldError
	require.ErrorAs(t, f.Authorise(t.Context(), &out, cfg, "elsewhere", 0, 1), &field)
	require.Equal(t, bursar.CodeUnknown, field.Code)
	var range_ *hdwallet.ConfigError
	require.ErrorAs(t, f.Authorise(t.Context(), &out, cfg, string(local), 0, 0), &range_)
	ended, end := context.WithCancel(t.Context())
	end()
	require.True(t, errors.Is(f.Authorise(ended, &out, cfg, "local", 0, 1), context.Canceled))

	f, cfg, err = built(t, minimal, vault(t))
	require.NoError(t, err)
	require.ErrorAs(t, f.Authorise(t.Context(), &out, cfg, "local", 0, 1), &field)
	require.Equal(t, bursar.CodeMismatch, field.Code, "no contract")

	var at *config.Error
	for _, env := range [][]string{gateway(t), seed} {
		f, cfg, err = built(t, minimal, env)
		require.NoError(t, err)
		require.ErrorAs(t, f.Authorise(t.Context(), &out, cfg, "local", 0, 1), &at)
		require.Equal(t, "wallet.deposits.mnemonic", at.Field)
	}
}
