package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/config"
	"github.com/bursar-go/bursar/store/sqlite"
)

// What must never be seen in any output.
const (
	nodeKey    = "canary-node-key"
	hookPath   = "canary-hook-path"
	hookSecret = "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktMzItYnl0ZXMh"
	dbPassword = "canary-db-password"
	passphrase = "canary passphrase"
)

// world is a folder with a configuration and an SQLite database, and the program on
// a simulated chain.
type world struct {
	t      testing.TB
	config string
	path   string // of the database
	env    []string
	client chain.Client
	kit    *bursartest.Kit
}

// result is what a call came to.
type result struct {
	code        int
	out, errors string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, config: filepath.Join(dir, "bursar.yaml"), path: filepath.Join(dir, "shop.db")}
	w.write("mnemonic", bursartest.Mnemonic)
	w.write("webhook-secret", hookSecret)
	w.write("bursar.yaml", `store: {driver: sqlite, path: `+w.path+`}
wallet: {mnemonic: {file: mnemonic}}
chains:
  local:
    url: http://127.0.0.1:1/`+nodeKey+`
    treasury: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    describe: {chain_id: 1337}
webhooks:
  orders:
    url: https://shop.example/`+hookPath+`
    secret: {file: webhook-secret}
`)
	return w
}

func (w *world) write(name, text string) {
	w.t.Helper()
	require.NoError(w.t, os.WriteFile(filepath.Join(filepath.Dir(w.config), name), []byte(text), 0o600))
}

// live starts a gateway with a simulated chain on the database.
func live(t testing.TB, edits ...func(*bursar.Config)) *world {
	t.Helper()
	w := newWorld(t)
	w.kit = bursartest.New(t, bursartest.Options{
		Store: func(func() time.Time) bursar.Store {
			s, err := sqlite.Open(context.Background(), w.path)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			return s
		},
		Edit: func(c *bursar.Config) {
			c.Logger = slog.New(slog.DiscardHandler)
			for _, edit := range edits {
				edit(c)
			}
		},
		Client: func(c chain.Client) chain.Client {
			w.client = c
			return c
		},
	})
	return w
}

// program is the tool with the simulated chain in the place of the node.
func (w *world) program() *program {
	p := standard()
	if w.kit == nil {
		return p
	}
	p.build = func(f *config.File, s bursar.Store) (bursar.Config, error) {
		cfg, err := f.Build(s)
		if err == nil {
			cfg.Chains = slices.Clone(cfg.Chains)
			cfg.Chains[0].Client, cfg.Chains[0].Treasury = w.client, w.kit.Treasury
			cfg.Chains[0].Assets = []chain.Asset{w.kit.USDC, w.kit.USDT}
		}
		return cfg, err
	}
	return p
}

// run calls the program; the command's name comes first, -config is put in.
func (w *world) run(args ...string) result {
	w.t.Helper()
	args = append([]string{args[0], "-config", w.config}, args[1:]...)
	return w.bare(args...)
}

func (w *world) bare(args ...string) result {
	w.t.Helper()
	var out, errs bytes.Buffer
	code := w.program().run(w.t.Context(), args, w.env, &out, &errs)
	r := result{code, out.String(), errs.String()}
	for _, secret := range []string{nodeKey, hookPath, hookSecret, hookSecret[6:], dbPassword, passphrase, bursartest.Mnemonic, "test junk"} {
		require.NotContains(w.t, r.out, secret, "%v", args)
		require.NotContains(w.t, r.errors, secret, "%v", args)
	}
	return r
}

// ok calls the program, which must succeed.
func (w *world) ok(args ...string) string {
	w.t.Helper()
	r := w.run(args...)
	require.Equal(w.t, exitOK, r.code, "%v\n%s%s", args, r.out, r.errors)
	require.Empty(w.t, r.errors)
	return r.out
}

// fails calls the program, which must end with that code, and returns all it says.
func (w *world) fails(code int, args ...string) string {
	w.t.Helper()
	r := w.run(args...)
	require.Equal(w.t, code, r.code, "%v\n%s%s", args, r.out, r.errors)
	return r.out + r.errors
}

// decode reads JSON.
func decode[T any](t testing.TB, text string) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &v), "%s", text)
	return v
}
