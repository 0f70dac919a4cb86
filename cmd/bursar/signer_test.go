package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/config"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/signer"
)

const (
	// shared and other are secrets of a signer.
	shared = "Y2FuYXJ5LXNpZ25lci1zZWNyZXQtb2YtMzItYnl0ZXM="
	other  = "YW5vdGhlci1zaWduZXItc2VjcmV0LW9mLTMyLWJ5dGVz"
	// patience is how long the signer may take to start or to end.
	patience = time.Minute
)

// output is what a signer writes while it runs.
type output struct {
	mu    sync.Mutex
	text  bytes.Buffer
	found chan string // the address, once
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if m := regexp.MustCompile(`address"?[=:]"?([0-9.:]+)`).FindSubmatch(p); m != nil {
		o.found <- string(m[1])
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// vault is a folder with a signer's configuration, and the signer when it runs.
type vault struct {
	t        *testing.T
	dir      string
	treasury chain.Address
	// serve and reach are lines of the sections signer.serve and signer.
	serve, reach string
	// top and chain are lines of the signer's file, at its top and of its chain.
	top, chain string
	scheme     string
	secret     string // of the gateway; the signer's is shared

	address string
	out     *output
	stop    context.CancelFunc
	code    chan int
}

func newVault(t *testing.T) *vault {
	t.Helper()
	v := &vault{t: t, dir: t.TempDir(), scheme: "http", secret: shared}
	v.write("mnemonic", bursartest.Mnemonic)
	v.write("secret", shared)
	return v
}

func (v *vault) path(name string) string { return filepath.Join(v.dir, name) }

func (v *vault) write(name, text string) {
	v.t.Helper()
	require.NoError(v.t, os.WriteFile(v.path(name), []byte(text), 0o600))
}

// file is a configuration of the kit's chain.
func (v *vault) file(wallet, section string) string {
	return v.top + `store: {driver: memory}
wallet: ` + wallet + `
chains:
  local:
    url: http://127.0.0.1:1/` + nodeKey + `
    treasury: "` + string(v.treasury) + `"
    describe: {chain_id: 1337}
` + v.chain + `signer:
` + section
}

// start runs bursar signer until it listens.
func (v *vault) start(args ...string) {
	v.t.Helper()
	secret := "  secret: {file: secret}\n"
	if v.secret == "" {
		secret = ""
	}
	v.write("signer.yaml", v.file("{mnemonic: {file: mnemonic}}", secret+"  serve:\n    listen: 127.0.0.1:0\n    journal: "+v.path("journal")+"\n    halt_file: "+v.path("HALT")+"\n"+v.serve))
	ctx, cancel := context.WithCancel(context.Background())
	v.out, v.stop, v.code = &output{found: make(chan string, 1)}, cancel, make(chan int, 1)
	out, code := v.out, v.code
	go func() {
		var stdout bytes.Buffer
		code <- standard().run(ctx, append([]string{"signer", "-config", v.path("signer.yaml")}, args...), nil, &stdout, out)
	}()
	v.t.Cleanup(cancel)
	select {
	case v.address = <-out.found:
	case got := <-code:
		require.Fail(v.t, "it ended", "%d %s", got, out)
	case <-time.After(patience):
		require.Fail(v.t, "it does not listen", "%s", out)
	}
}

// end has the signer end as a signal does.
func (v *vault) end() {
	v.t.Helper()
	v.stop()
	select {
	case code := <-v.code:
		require.Equal(v.t, exitOK, code, "%s", v.out)
	case <-time.After(patience):
		require.Fail(v.t, "it does not end")
	}
	for _, hidden := range []string{shared, bursartest.Mnemonic, nodeKey} {
		require.NotContains(v.t, v.out.String(), hidden)
	}
}

// gateway is what a file of xpubs makes of a gateway.
func (v *vault) gateway() bursar.Config {
	v.t.Helper()
	words, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "")
	require.NoError(v.t, err)
	xpub, err := words.XPub(60)
	require.NoError(v.t, err)
	section := "  url: " + v.scheme + "://" + v.address + "\n" + v.reach
	if v.secret != "" {
		v.write("gateway-secret", v.secret)
		section += "  secret: {file: gateway-secret}\n"
	}
	v.write("gateway.yaml", v.file(`{xpubs: {"60": `+xpub+`}}`, section))
	f, err := config.Load(v.path("gateway.yaml"), nil)
	require.NoError(v.t, err)
	cfg, err := f.Build(noStore{})
	require.NoError(v.t, err)
	require.True(v.t, cfg.Wallet.WatchOnly())
	return cfg
}

// kit is a gateway whose keys the signer has.
func (v *vault) kit(edit func(*bursar.Config)) *bursartest.Kit {
	v.t.Helper()
	return bursartest.New(v.t, bursartest.Options{Edit: func(c *bursar.Config) {
		v.treasury = c.Chains[0].Treasury
		v.start()
		built := v.gateway()
		c.Wallet, c.Signer = built.Wallet, built.Signer
		if edit != nil {
			edit(c)
		}
	}})
}

// only is the one sweep of a gateway.
func only(t *testing.T, k *bursartest.Kit) bursar.Payout {
	t.Helper()
	rows, err := k.Gateway.Payouts(t.Context(), bursar.PayoutQuery{Kinds: []bursar.PayoutKind{bursar.PayoutSweep}})
	require.NoError(t, err)
	require.Len(t, rows, 1)
	return rows[0]
}

// A gateway that has xpubs alone sweeps coin, and a token with its gas, by the keys of
// bursar signer, whichever way the two know each other.
func TestSignerServesAGateway(t *testing.T) {
	for name, edit := range map[string]func(*vault){
		"secret": func(*vault) {},
		"secret and TLS": func(v *vault) {
			v.certificates()
			v.scheme, v.reach = "https", "  authorities: {file: ca.pem}\n"
			v.serve = "    certificate: {file: server.pem}\n    private_key: {file: server-key.pem}\n"
		},
		"certificates": func(v *vault) {
			v.certificates()
			v.scheme, v.secret = "https", ""
			v.reach = "  authorities: {file: ca.pem}\n  certificate: {file: client.pem}\n  private_key: {file: client-key.pem}\n"
			v.serve = "    certificate: {file: server.pem}\n    private_key: {file: server-key.pem}\n    authorities: {file: ca.pem}\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			edit(v)
			k := v.kit(nil)
			coin, token := k.Create("ETH", "1"), k.Create("USDC", "10")
			k.Pay(coin)
			k.Pay(token)
			k.Mine(40)
			require.Equal(t, bursar.StatusSettled, k.Payment(coin).Status)
			require.Equal(t, bursar.StatusSettled, k.Payment(token).Status)
			require.Equal(t, "10000000", k.Chain.BalanceOf(k.Treasury, k.USDC).String())
			v.end()
			require.Contains(t, v.out.String(), "signer has ended")
		})
	}
}

// A gateway that was given another treasury is refused by the signer's own file.
func TestThreat_F1_TheSignerHasItsOwnTreasury(t *testing.T) {
	v := newVault(t)
	const thief = chain.Address("0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359")
	k := v.kit(func(c *bursar.Config) { c.Chains[0].Treasury = thief })
	k.Pay(k.Create("ETH", "1"))
	k.Mine(40)
	p := only(t, k)
	require.Equal(t, "SIGNER_REFUSED", p.FailureCode)
	require.Contains(t, p.FailureReason, string(thief)+" is neither a treasury nor an own address")
	require.True(t, k.Chain.BalanceOf(thief, k.ETH).IsZero())
	v.end()
}

// A fee above the cap of the signer's own file is refused, whatever the gateway permits.
func TestThreat_F20_TheSignerHasItsOwnFeeCap(t *testing.T) {
	v := newVault(t)
	v.chain = "    max_fee: \"0.000000001\"\n"
	k := v.kit(nil)
	k.Pay(k.Create("ETH", "1"))
	k.Mine(40)
	p := only(t, k)
	require.Equal(t, "SIGNER_REFUSED", p.FailureCode)
	require.Contains(t, p.FailureReason, "fee")
	v.end()
}

// A refund is signed where the signer's own file has the approver, and nowhere else.
func TestThreat_F1_TheSignerHasItsOwnApprovers(t *testing.T) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("a"), ed25519.SeedSize))
	public, ok := key.Public().(ed25519.PublicKey)
	require.True(t, ok)
	for top, want := range map[string]bursar.PayoutStatus{
		"": bursar.PayoutPlanned, "approvers: [" + hex.EncodeToString(public) + "]\n": bursar.PayoutConfirmed,
	} {
		v := newVault(t)
		v.top = top
		k := v.kit(func(c *bursar.Config) { c.Approvers = []ed25519.PublicKey{public} })
		float, err := k.Gateway.Float(k.Chain.Info().ID)
		require.NoError(t, err)
		k.Chain.Pay("owner", float, k.ETH, chain.NewAmount(2e18))
		k.Mine(10)
		paid := k.Create("ETH", "1")
		k.Pay(paid)
		k.Mine(40)
		refund, err := k.Gateway.Refund(t.Context(), paid.ID, bursar.RefundRequest{To: string(k.Chain.Payer("refunded")), Key: "k1", All: true})
		require.NoError(t, err)
		a := chain.Approval{Payout: refund.ID, Asset: refund.Asset.ID, To: refund.To, Amount: refund.Amount, NotAfter: time.Now().Add(time.Hour)}
		a.Signature = ed25519.Sign(key, a.Message())
		_, err = k.Gateway.ApprovePayout(t.Context(), refund.ID, a)
		require.NoError(t, err)
		k.Mine(40)
		now, _, err := k.Gateway.Payout(t.Context(), refund.ID)
		require.NoError(t, err)
		require.Equal(t, want, now.Status)
		if want == bursar.PayoutPlanned {
			require.Equal(t, "SIGNER_REFUSED", now.FailureCode, now.FailureReason)
		}
		v.end()
	}
}

// Who does not know the secret, or has no certificate of the authority, gets nothing.
func TestThreat_F20_TheSignerServesItsGatewayAlone(t *testing.T) {
	for name, edit := range map[string]func(*vault){
		"another secret": func(v *vault) { v.secret = other },
		"no certificate": func(v *vault) {
			v.certificates()
			v.scheme, v.reach = "https", "  authorities: {file: ca.pem}\n"
			v.serve = "    certificate: {file: server.pem}\n    private_key: {file: server-key.pem}\n    authorities: {file: ca.pem}\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			edit(v)
			k := v.kit(nil)
			k.Pay(k.Create("ETH", "1"))
			k.Mine(40)
			p := only(t, k)
			require.Equal(t, "SIGNER_UNAVAILABLE", p.FailureCode, p.FailureReason)
			require.True(t, k.Chain.BalanceOf(k.Treasury, k.ETH).IsZero())
			v.end()
		})
	}
}

// relay asks whichever signer is there.
type relay struct{ chain.Signer }

// The limits of the file hold over a restart, since the journal remembers.
func TestThreat_F20_TheSignersLimitsSurviveARestart(t *testing.T) {
	v, now := newVault(t), &relay{}
	v.serve = "    limits: [local/ETH 1.5 24h]\n"
	k := v.kit(func(c *bursar.Config) { now.Signer, c.Signer = c.Signer, now })
	first := k.Create("ETH", "1")
	k.Pay(first)
	k.Mine(40)
	require.Equal(t, bursar.StatusSettled, k.Payment(first).Status)
	v.end()

	v.start()
	now.Signer = v.gateway().Signer
	late := k.Create("ETH", "1")
	k.Pay(late)
	k.Mine(40)
	require.Equal(t, bursar.StatusConfirmed, k.Payment(late).Status)
	rows, err := k.Gateway.Payouts(t.Context(), bursar.PayoutQuery{Kinds: []bursar.PayoutKind{bursar.PayoutSweep}, Statuses: []bursar.PayoutStatus{bursar.PayoutPlanned}})
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, "SIGNER_REFUSED", rows[0].FailureCode)
	require.Contains(t, rows[0].FailureReason, "limit")
	v.end()
}

// A halt by the file lasts as long as the file, one by a client until -resume.
func TestSignerHalts(t *testing.T) {
	v := newVault(t)
	v.treasury = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
	v.start()
	ask := func() signer.Status {
		client, ok := v.gateway().Signer.(*signer.Client)
		require.True(t, ok)
		st, err := client.Status(t.Context())
		require.NoError(t, err)
		return st
	}
	require.False(t, ask().Halted)
	v.write("HALT", "somebody looks")
	require.Equal(t, signer.Status{Halted: true, Reason: "somebody looks"}, ask())
	require.NoError(t, os.Remove(v.path("HALT")))
	require.False(t, ask().Halted)
	client, ok := v.gateway().Signer.(*signer.Client)
	require.True(t, ok)
	require.NoError(t, client.Halt(t.Context(), "by the gateway"))
	v.end()

	v.start()
	require.Contains(t, v.out.String(), "signer is halted")
	require.True(t, ask().Halted)
	v.end()
	v.start("-resume", "-json")
	require.NotContains(t, v.out.String(), "signer is halted")
	require.False(t, ask().Halted)
	v.end()
}

// What is wrong is told with file and field, and nothing listens.
func TestSignerRefusesToStart(t *testing.T) {
	v := newVault(t)
	v.treasury = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()
	words, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "")
	require.NoError(t, err)
	xpub, err := words.XPub(60)
	require.NoError(t, err)
	const mnemonic = "{mnemonic: {file: mnemonic}}"
	serve := func(listen, journal string) string {
		return "  secret: {file: secret}\n  serve: {listen: \"" + listen + "\", journal: " + journal + "}\n"
	}
	v.write("broken", "this is no journal\n")
	for name, c := range map[string]struct{ wallet, section, says string }{
		"no section": {mnemonic, "  url: http://127.0.0.1:1\n  secret: {file: secret}\n", "signer.yaml:9: signer.serve: says where"},
		"watch only": {`{xpubs: {"60": ` + xpub + `}}`, serve("127.0.0.1:0", v.path("j")), "wallet.mnemonic: a signer has the keys"},
		"port taken": {mnemonic, serve(taken.Addr().String(), v.path("j")), "signer.serve.listen: cannot be listened on"},
		"no folder":  {mnemonic, serve("127.0.0.1:0", v.path("none/j")), "signer.serve.journal: cannot be opened"},
		"no journal": {mnemonic, serve("127.0.0.1:0", v.path("broken")), "signer.serve.journal: cannot be opened"},
		"unknown":    {mnemonic, "  secret: {file: secret}\n  serve:\n    listen: 127.0.0.1:0\n    frob: 1\n", "signer.yaml:12: signer.serve.frob: no such field"},
	} {
		t.Run(name, func(t *testing.T) {
			v.write("signer.yaml", v.file(c.wallet, c.section))
			var stdout, stderr bytes.Buffer
			code := standard().run(t.Context(), []string{"signer", "-config", v.path("signer.yaml")}, nil, &stdout, &stderr)
			require.Equal(t, exitFailed, code)
			require.Contains(t, stderr.String(), c.says)
			require.Empty(t, stdout.String())
		})
	}
}

// TestThreat_F18_TheSignerPrintsNoSecret: what is written while it runs is searched for
// the secrets of its section too.
func TestThreat_F18_TheSignerPrintsNoSecret(t *testing.T) {
	v := newVault(t)
	v.treasury = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
	v.write("signer.yaml", v.file("{mnemonic: {file: mnemonic}}", "  secret: {file: secret}\n  serve: {listen: \"127.0.0.1:0\", journal: "+v.path("journal")+"}\n"))
	f, err := config.Load(v.path("signer.yaml"), nil)
	require.NoError(t, err)
	hidden, out := &secrets{}, &bytes.Buffer{}
	hidden.learn(f)
	n, err := (&scrubber{out, hidden}).Write([]byte("it is " + shared + "\n"))
	require.NoError(t, err)
	require.Equal(t, len("it is "+shared+"\n"), n)
	require.Equal(t, "it is [secret]\n", out.String())
}

// certificates writes an authority, and what it issued to a server and to a client.
func (v *vault) certificates() {
	v.t.Helper()
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(v.t, err)
		return k
	}
	write := func(name, kind string, raw []byte, err error) {
		require.NoError(v.t, err)
		v.write(name, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})))
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	root := key()
	raw, err := x509.CreateCertificate(rand.Reader, ca, ca, root.Public(), root)
	write("ca.pem", "CERTIFICATE", raw, err)
	for i, name := range []string{"server", "client"} {
		own := key()
		raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(int64(i) + 2), Subject: pkix.Name{CommonName: name}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}[i]},
		}, ca, own.Public(), root)
		write(name+".pem", "CERTIFICATE", raw, err)
		raw, err = x509.MarshalECPrivateKey(own)
		write(name+"-key.pem", "EC PRIVATE KEY", raw, err)
	}
}
