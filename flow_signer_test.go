package bursar_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/signer"
)

// vault is the other machine: the mnemonic, a policy and a server that can be cut off.
type vault struct {
	policy *hdwallet.Signer
	down   atomic.Bool
	client *signer.Client
}

// newVault moves the keys of a configuration into another process, as far as the
// gateway can tell: what stays are the xpub and a client.
func newVault(t *testing.T, c *bursar.Config) *vault {
	t.Helper()
	v, net0 := &vault{}, c.Chains[0]
	id := net0.Client.Info().ID
	codecs := map[chain.ID]chain.Codec{id: net0.Client.Codec()}
	var err error
	v.policy, err = hdwallet.NewSigner(hdwallet.Policy{Codecs: codecs, Treasury: map[chain.ID][]chain.Address{id: {net0.Treasury}}}, c.Wallet)
	require.NoError(t, err)
	secret, err := signer.NewSecret([]byte("0123456789abcdef0123456789abcdef"))
	require.NoError(t, err)
	server, err := signer.NewServer(signer.ServerConfig{Signer: v.policy, Secrets: map[string]signer.Secret{"shop": secret}, PerSecond: 10_000, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	h := httptest.NewUnstartedServer(server)
	h.Config.SetKeepAlivesEnabled(false) // a server that is cut off is so at once
	h.Start()
	t.Cleanup(h.Close)
	xpub, err := c.Wallet.XPub(60)
	require.NoError(t, err)
	c.Wallet, err = hdwallet.FromXPub(hdwallet.XPub{CoinType: 60, Key: xpub})
	require.NoError(t, err)
	v.client, err = signer.NewClient(signer.ClientConfig{
		URL: h.URL, KeyID: "shop", Secret: secret, Codecs: codecs, Keys: c.Wallet,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if v.down.Load() {
				return nil, errors.New("connection refused")
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	})
	require.NoError(t, err)
	c.Signer = v.client
	return v
}

// TestWatchOnlyGatewayWithARemoteSigner: with an xpub and a client alone payments are
// taken and swept to the treasury, token (with its gas) and coin. While the signer is
// away payments go on, the sweeps wait, and the host is told once; nothing is lost, and
// all of it goes on by itself when the signer is back.
func TestWatchOnlyGatewayWithARemoteSigner(t *testing.T) {
	var v *vault
	f := newFlow(t, bursartest.Options{Edit: func(c *bursar.Config) { v = newVault(t, c) }})
	settled := func(p bursar.Payment) bool { return f.Payment(p).Status == bursar.StatusSettled }
	token, coin := f.Create("USDC", "10"), f.Create("ETH", "1")
	f.Pay(token)
	f.Pay(coin)
	f.Mine(40)
	require.True(t, settled(token))
	require.True(t, settled(coin))
	require.Equal(t, "10000000", f.Chain.BalanceOf(f.Treasury, f.USDC).String())
	require.False(t, f.Chain.BalanceOf(f.Treasury, f.ETH).IsZero())

	v.down.Store(true)
	_, err := v.client.Status(f.ctx())
	require.ErrorIs(t, err, chain.ErrSignerUnavailable)
	late := f.Create("USDC", "7")
	f.Pay(late)
	f.Mine(40)
	require.Equal(t, bursar.StatusConfirmed, f.Payment(late).Status, "a payment needs no signer")
	var waiting []bursar.Payout
	for _, p := range f.payouts() {
		if p.FailureCode == "SIGNER_UNAVAILABLE" {
			waiting = append(waiting, p)
			require.Equal(t, bursar.PayoutPlanned, p.Status)
			require.Contains(t, p.FailureReason, "unreachable: connection refused")
			require.Equal(t, 1, f.count(bursar.PayoutDeferred, p.ID), "told once")
		}
	}
	require.NotEmpty(t, waiting)
	require.Equal(t, "10000000", f.Chain.BalanceOf(f.Treasury, f.USDC).String())
	f.Restart() // neither does it hurt to begin anew

	v.down.Store(false)
	f.AdvanceTime(2 * time.Minute)
	f.Mine(40)
	require.True(t, settled(late))
	require.Equal(t, "17000000", f.Chain.BalanceOf(f.Treasury, f.USDC).String())
	f.noBrokenRules()
}

// TestThreat_F1_TheVaultChecksTheTreasuryItself: a gateway that was given another
// treasury, by whoever could change its configuration, sends nothing there.
func TestThreat_F1_TheVaultChecksTheTreasuryItself(t *testing.T) {
	var thief chain.Address
	f := newFlow(t, bursartest.Options{Edit: func(c *bursar.Config) {
		newVault(t, c) // it knows the right treasury
		thief = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
		c.Chains[0].Treasury = thief
	}})
	p := f.Create("ETH", "1")
	f.Pay(p)
	f.Mine(40)
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
	require.True(t, f.Chain.BalanceOf(thief, f.ETH).IsZero())
	sweeps := f.payouts(bursar.PayoutSweep)
	require.Len(t, sweeps, 1)
	require.Equal(t, "SIGNER_REFUSED", sweeps[0].FailureCode)
	require.Contains(t, sweeps[0].FailureReason, string(thief)+" is neither a treasury nor an own address")
	require.Equal(t, 1, f.count(bursar.PayoutDeferred, sweeps[0].ID))
	f.noBrokenRules()
}
