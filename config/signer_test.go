package config_test

import (
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/config"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/signer"
	"github.com/bursar-go/bursar/store/memory"
)

// signerSecret is the variable of a signer's secret.
func signerSecret(raw string) string {
	return "BURSAR_SIGNER_SECRET=" + base64.StdEncoding.EncodeToString([]byte(raw))
}

const bytes32 = "0123456789abcdef0123456789abcdef"

// asked is a file with a signer section of these lines.
func asked(lines ...string) string {
	return minimal + "signer:\n  " + strings.Join(lines, "\n  ") + "\n"
}

// TestSigner: a gateway of xpubs gets a client, one without the section none.
func TestSigner(t *testing.T) {
	wallet, err := hdwallet.FromMnemonic(words, "")
	require.NoError(t, err)
	xpub, err := wallet.XPub(60)
	require.NoError(t, err)
	env := []string{"BURSAR_WALLET_XPUBS_60=" + xpub, signerSecret(bytes32)}
	f, err := load(t, asked("url: https://signer.internal:8443", "client: shop"), env...)
	require.NoError(t, err)
	require.NotContains(t, notShown(t, f), bytes32)
	cfg, err := f.Build(memory.New())
	require.NoError(t, err)
	require.IsType(t, &signer.Client{}, cfg.Signer)
	_, err = f.SigningServer(cfg, nil)
	require.Equal(t, bursar.CodeRequired, faults(t, err)["signer.serve"].Code)

	f, err = load(t, minimal, seed...)
	require.NoError(t, err)
	cfg, err = f.Build(memory.New())
	require.NoError(t, err)
	require.Nil(t, cfg.Signer)
}

// TestSigningServer: the signer's own file needs no url, and one file serves both.
func TestSigningServer(t *testing.T) {
	journal := filepath.Join(t.TempDir(), "journal")
	for _, lines := range [][]string{
		{"serve: {listen: \"127.0.0.1:0\", journal: " + journal + "}"},
		{"url: http://127.0.0.1:8443", "serve: {listen: \"[::1]:0\", journal: " + journal + ", limits: [local/ETH 2 1h]}"},
	} {
		f, err := load(t, asked(lines...), append(seed, signerSecret(bytes32))...)
		require.NoError(t, err)
		cfg, err := f.Build(memory.New())
		require.NoError(t, err)
		s, err := f.SigningServer(cfg, nil)
		require.NoError(t, err)
		require.Nil(t, s.TLS)
		require.Equal(t, f.Signer.Serve.Listen, s.Listen)
		_, err = f.SigningServer(cfg, nil)
		require.Contains(t, faults(t, err), "signer.serve.journal", "another process has it")
		require.NoError(t, s.Close())
		f.Signer.Serve.Listen = "0.0.0.0:1"
		_, err = f.SigningServer(cfg, nil)
		require.Contains(t, faults(t, err), "signer.serve.certificate", "a change in Go is checked again")
	}
}

// TestThreat_E19_SignerErrors: what is wrong is told at its field, alone.
func TestThreat_E19_SignerErrors(t *testing.T) {
	const serve = "serve: {listen: \"127.0.0.1:0\", journal: j"
	url := "url: https://signer.internal"
	for name, c := range map[string]struct {
		lines  []string
		secret string
		field  string
		code   bursar.Code
	}{
		"neither":           {[]string{"client: shop"}, bytes32, "url", bursar.CodeRequired},
		"unknown":           {[]string{url, "frob: 1"}, bytes32, "frob", bursar.CodeUnknown},
		"unknown of server": {[]string{serve + ", frob: 1}"}, bytes32, "serve.frob", bursar.CodeUnknown},
		"no secret":         {[]string{url}, "", "secret", bursar.CodeRequired},
		"no secret served":  {[]string{serve + "}"}, "", "secret", bursar.CodeRequired},
		"a short secret":    {[]string{url}, bytes32[1:], "secret", bursar.CodeInvalid},
		"in the file":       {[]string{url, "secret: " + bytes32}, "", "secret", bursar.CodeInvalid},
		"a bad name":        {[]string{url, "client: a b"}, bytes32, "client", bursar.CodeInvalid},
		"a plain URL":       {[]string{"url: http://signer.internal"}, bytes32, "url", bursar.CodeInvalid},
		"a path":            {[]string{url + "/v1"}, bytes32, "url", bursar.CodeInvalid},
		"no PEM":            {[]string{url, "authorities: x"}, bytes32, "authorities", bursar.CodeInvalid},
		"no key":            {[]string{url, "certificate: x"}, bytes32, "private_key", bursar.CodeRequired},
		"whose certificate": {[]string{serve + "}", "authorities: x"}, bytes32, "authorities", bursar.CodeMismatch},
		"no address":        {[]string{"serve: {journal: j}"}, bytes32, "serve.listen", bursar.CodeRequired},
		"no port":           {[]string{"serve: {listen: localhost, journal: j}"}, bytes32, "serve.listen", bursar.CodeInvalid},
		"the whole world":   {[]string{"serve: {listen: \":8443\", journal: j}"}, bytes32, "serve.certificate", bursar.CodeRequired},
		"by a name":         {[]string{"serve: {listen: \"localhost:8443\", journal: j}"}, bytes32, "serve.certificate", bursar.CodeRequired},
		"no journal":        {[]string{"serve: {listen: \"127.0.0.1:0\"}"}, bytes32, "serve.journal", bursar.CodeRequired},
		"clients, no TLS":   {[]string{serve + ", authorities: x}"}, bytes32, "serve.authorities", bursar.CodeMismatch},
		"a limit's words":   {[]string{serve + ", limits: [local/ETH 2]}"}, bytes32, "serve.limits[0]", bursar.CodeInvalid},
		"a limit's asset":   {[]string{serve + ", limits: [ETH 2 1h]}"}, bytes32, "serve.limits[0]", bursar.CodeUnknown},
		"a limit's amount":  {[]string{serve + ", limits: [local/ETH 0 1h]}"}, bytes32, "serve.limits[0]", bursar.CodeOutOfRange},
		"a limit's digits":  {[]string{serve + ", limits: [local/ETH x 1h]}"}, bytes32, "serve.limits[0]", bursar.CodeInvalid},
		"a limit's time":    {[]string{serve + ", limits: [local/ETH 1 2ms]}"}, bytes32, "serve.limits[0]", bursar.CodeOutOfRange},
		"a limit's unit":    {[]string{serve + ", limits: [local/ETH 1 2]}"}, bytes32, "serve.limits[0]", bursar.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			env := seed
			if c.secret != "" {
				env = append(append([]string{}, seed...), signerSecret(c.secret))
			}
			_, err := load(t, asked(c.lines...), env...)
			found := faults(t, err)
			require.Contains(t, found, "signer."+c.field)
			require.Len(t, found, 1)
			require.Equal(t, c.code, found["signer."+c.field].Code)
			require.NotContains(t, err.Error(), bytes32[1:])
		})
	}
	f, err := load(t, minimal, seed...)
	require.NoError(t, err)
	f.Signer = &config.Signer{}
	_, err = f.Build(memory.New())
	require.Contains(t, faults(t, err), "signer.url", "a section that was made in Go")
}
