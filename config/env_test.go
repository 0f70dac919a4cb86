package config_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/config"
	"github.com/bursar-go/bursar/store/memory"
)

// TestEnvironmentAlone configures without a file.
func TestEnvironmentAlone(t *testing.T) {
	env := append([]string{
		"PATH=/bin", "BURSAR_STORE_DRIVER=postgres", "BURSAR_STORE_DSN=postgres://shop:pw@h/db", "BURSAR_STORE_SCHEMA=pay",
		"BURSAR_CHAINS_ETHEREUM_URL=http://n", "BURSAR_CHAINS_ETHEREUM_TREASURY=" + treasury, "BURSAR_CHAINS_ETHEREUM_CONFIRMATIONS=20",
		"BURSAR_CHAINS_ETHEREUM_MAX_FEE=0.5", "BURSAR_CHAINS_ETHEREUM_DESCRIBE_LEGACY=true", "BURSAR_CHAINS_ETHEREUM_DESCRIBE_MAX_REORG=300",
		"BURSAR_CHAINS_ETHEREUM_ASSETS_USDC_CONTRACT=0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "BURSAR_CHAINS_ETHEREUM_ASSETS_USDC_DECIMALS=6",
		"BURSAR_CHAINS_ETHEREUM_ASSETS_USDC_SWEEP_MINIMUM=2.5", "BURSAR_CHAINS_ETHEREUM_ASSETS_USDC_VERIFY_BALANCE=true",
		"BURSAR_WEBHOOKS_SHOP_URL=https://x.example", "BURSAR_WEBHOOKS_SHOP_SECRET=" + whsec, "BURSAR_WEBHOOKS_SHOP_ALLOW_PRIVATE=10.0.0.0/8, 192.168.0.0/16",
		"BURSAR_WEBHOOKS_SHOP_PORTS=8443,9443", "BURSAR_TTL=2h", "BURSAR_POLICY_GRACE=5m",
	}, seed...)
	f, err := config.Load("", env)
	require.NoError(t, err)
	slices.Reverse(env)
	again, err := config.Load("", env)
	require.NoError(t, err, "the order of the variables is of no account")
	require.Equal(t, f.Webhooks["shop"].Ports, again.Webhooks["shop"].Ports)
	require.Equal(t, "postgres://shop:pw@h/db", f.Store.DSN.Reveal())
	require.Equal(t, []string{"10.0.0.0/8", "192.168.0.0/16"}, f.Webhooks["shop"].AllowPrivate)
	require.Equal(t, []uint16{8443, 9443}, f.Webhooks["shop"].Ports)
	require.True(t, *f.Chains["ethereum"].Describe.Legacy)
	cfg, err := f.Build(memory.New())
	require.NoError(t, err)
	require.Equal(t, 2*time.Hour, cfg.TTL)
	require.EqualValues(t, 20, cfg.Chains[0].Confirmations)
	require.EqualValues(t, 300, cfg.Chains[0].Client.Info().MaxReorg)
	require.Equal(t, "2500000", cfg.Chains[0].Assets[0].SweepMinimum.String())
	require.True(t, cfg.Chains[0].Assets[0].VerifyBalance)
}

// TestEnvironmentOverrides replaces values of a file, under names with
// characters that variables do not have.
func TestEnvironmentOverrides(t *testing.T) {
	file := strings.NewReplacer("  local:", "  my-net:\n    preset: local").Replace(minimal) +
		"    assets: {USDC.e: {contract: \"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48\", decimals: 6, minimum: 1}}\n    headers: {X-Api-Key: {file: bursar.yaml}}\nttl: 1h\n"
	f, err := load(t, file, append([]string{
		"BURSAR_CHAINS_MY_NET_ASSETS_USDC_E_MINIMUM=7", "BURSAR_CHAINS_MY_NET_HEADERS_X_API_KEY=k", "BURSAR_TTL=3h", "BURSAR_CHAINS_MY_NET_SWEEP=off",
	}, seed...)...)
	require.NoError(t, err)
	require.Equal(t, config.Units("7"), f.Chains["my-net"].Assets["USDC.e"].Minimum)
	require.Len(t, f.Chains["my-net"].Assets, 1)
	require.Equal(t, "k", f.Chains["my-net"].Headers["X-Api-Key"].Reveal())
	require.Equal(t, 3*time.Hour, f.TTL)
	require.Equal(t, "off", f.Chains["my-net"].Sweep)
}

// TestEnvironmentStrict: a variable of ours that does nothing is an error.
func TestEnvironmentStrict(t *testing.T) {
	for name, c := range map[string]struct {
		env   []string
		field string
		code  bursar.Code
	}{
		"unknown":            {[]string{"BURSAR_TLS=1h"}, "BURSAR_TLS", bursar.CodeUnknown},
		"prefix alone":       {[]string{"BURSAR_=1h"}, "BURSAR_", bursar.CodeUnknown},
		"a section":          {[]string{"BURSAR_POLICY=1h"}, "BURSAR_POLICY", bursar.CodeUnknown},
		"a map":              {[]string{"BURSAR_CHAINS=1h"}, "BURSAR_CHAINS", bursar.CodeUnknown},
		"beyond a value":     {[]string{"BURSAR_TTL_X=1h"}, "BURSAR_TTL_X", bursar.CodeUnknown},
		"empty":              {[]string{"BURSAR_TTL="}, "BURSAR_TTL", bursar.CodeRequired},
		"twice":              {[]string{"BURSAR_TTL=1h", "BURSAR_TTL=2h"}, "BURSAR_TTL", bursar.CodeDuplicate},
		"bad value":          {[]string{"BURSAR_TTL=1"}, "ttl", bursar.CodeInvalid},
		"bad number":         {[]string{"BURSAR_CHAINS_LOCAL_CONFIRMATIONS=1.5"}, "chains.local.confirmations", bursar.CodeInvalid},
		"bad flag":           {[]string{"BURSAR_CHAINS_LOCAL_DESCRIBE_LEGACY=yes"}, "chains.local.describe.legacy", bursar.CodeInvalid},
		"bad item":           {[]string{"BURSAR_WEBHOOKS_A_PORTS=1,x"}, "webhooks.a.ports[1]", bursar.CodeInvalid},
		"a chain of its own": {[]string{"BURSAR_CHAINS_ETHERUM_URL=http://x"}, "chains.etherum.describe.chain_id", bursar.CodeRequired},
		"both of a secret":   {[]string{"BURSAR_WALLET_MNEMONIC_FILE=x"}, "BURSAR_WALLET_MNEMONIC_FILE", bursar.CodeInvalid},
		"beyond a secret":    {[]string{"BURSAR_WALLET_MNEMONIC_FIL=x"}, "BURSAR_WALLET_MNEMONIC_FIL", bursar.CodeUnknown},
		"no file":            {[]string{"BURSAR_WALLET_PASSPHRASE_FILE=none"}, "wallet.passphrase", bursar.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, minimal, append(c.env, seed...)...)
			got := faults(t, err)[c.field]
			require.NotNil(t, got, "%v", err)
			require.Equal(t, c.code, got.Code)
			if name != "a chain of its own" {
				require.Contains(t, got.Error(), "config: "+strings.SplitN(c.env[0], "=", 2)[0]+": ")
			}
		})
	}
}

// TestEnvironmentAmbiguous: two entries with one name of a variable.
func TestEnvironmentAmbiguous(t *testing.T) {
	token := `{contract: "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", decimals: 6}`
	_, err := load(t, minimal+"    assets: {USDC.e: "+token+", USDC-e: "+token+"}\n", append([]string{"BURSAR_CHAINS_LOCAL_ASSETS_USDC_E_MINIMUM=1"}, seed...)...)
	require.Contains(t, faults(t, err)["BURSAR_CHAINS_LOCAL_ASSETS_USDC_E_MINIMUM"].Reason, "USDC.e and USDC-e")
}

// FuzzLoad: whatever stands in a file, Load ends with a configuration or errors.
func FuzzLoad(f *testing.F) {
	f.Add(minimal, "BURSAR_TTL=1h")
	f.Add("a: &a [*a]\n", "BURSAR_CHAINS_A_B=1")
	f.Add("? {a: b}\n: c\nchains: {null: {assets: []}}\n", "BURSAR_CHAINS_NULL_URL=x")
	f.Add("store: {driver: !!binary aaaa}\n<<: {ttl: 1h}\n", "BURSAR__=1")
	f.Add(minimal, seed[0])
	f.Fuzz(func(t *testing.T, text, variable string) {
		file, err := load(t, text, variable)
		if err != nil {
			require.Contains(t, err.Error(), "config: ")
			return
		}
		_, err = file.Build(memory.New())
		require.NoError(t, err, "what Load accepts, Build makes")
	})
}
