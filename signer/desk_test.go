package signer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/signer"
)

// The mnemonic that development tools share, the second of its accounts as treasury,
// and a chain that nobody else has.
const (
	devWords               = "test test test test test test test test test test test junk"
	treasury chain.Address = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
	stranger chain.Address = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
	testnet  chain.ID      = "eip155:31337"
)

// secretBytes is what client and server share in these tests.
var secretBytes = []byte("canary-secret-0123456789-abcdefgh")

func codecs() map[chain.ID]chain.Codec { return map[chain.ID]chain.Codec{testnet: evm.Codec()} }

var devWallet = sync.OnceValues(func() (*hdwallet.Wallet, error) { return hdwallet.FromMnemonic(devWords, "") })

// desk is a client, a server and a policy signer behind it.
type desk struct {
	t      testing.TB
	wallet *hdwallet.Wallet
	keys   *hdwallet.Wallet // watch-only, as a gateway has it
	secret signer.Secret
	policy hdwallet.Policy
	inner  chain.Signer
	server *signer.Server
	http   *httptest.Server
	client *signer.Client
	config signer.ServerConfig
	logs   *bytes.Buffer
	mu     sync.Mutex
	now    time.Time
}

func newDesk(t testing.TB, edit ...func(*desk)) *desk {
	t.Helper()
	d := &desk{t: t, logs: &bytes.Buffer{}, now: time.Unix(1_800_000_000, 0)}
	var err error
	d.wallet, err = devWallet()
	require.NoError(t, err)
	xpub, err := d.wallet.XPub(60)
	require.NoError(t, err)
	d.keys, err = hdwallet.FromXPub(hdwallet.XPub{CoinType: 60, Key: xpub})
	require.NoError(t, err)
	d.secret, err = signer.NewSecret(secretBytes)
	require.NoError(t, err)
	d.policy = hdwallet.Policy{Codecs: codecs(), Treasury: map[chain.ID][]chain.Address{testnet: {treasury}}}
	d.config = signer.ServerConfig{
		Secrets: map[string]signer.Secret{"shop": d.secret}, Now: d.clock, PerSecond: 100_000,
		Logger: slog.New(slog.NewJSONHandler(d.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, e := range edit {
		e(d)
	}
	d.restart()
	return d
}

func (d *desk) clock() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func (d *desk) advance(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(by)
}

// restart makes policy signer, server and client anew.
func (d *desk) restart() {
	d.t.Helper()
	if d.http != nil {
		d.http.Close()
	}
	if d.inner == nil || d.config.Signer == nil {
		s, err := hdwallet.NewSigner(d.policy, d.wallet)
		require.NoError(d.t, err)
		d.config.Signer = s
	}
	var err error
	d.server, err = signer.NewServer(d.config)
	require.NoError(d.t, err)
	d.http = httptest.NewServer(d.server)
	d.t.Cleanup(d.http.Close)
	d.client = d.dial(d.http.URL)
}

// dial returns a client of a URL.
func (d *desk) dial(url string, edit ...func(*signer.ClientConfig)) *signer.Client {
	d.t.Helper()
	cfg := signer.ClientConfig{URL: url, KeyID: "shop", Secret: d.secret, Codecs: codecs(), Keys: d.keys, Now: d.clock}
	for _, e := range edit {
		e(&cfg)
	}
	c, err := signer.NewClient(cfg)
	require.NoError(d.t, err)
	return c
}

// lying returns a client of a server that answers as fn says.
func (d *desk) lying(fn http.HandlerFunc) *signer.Client {
	s := httptest.NewServer(fn)
	d.t.Cleanup(s.Close)
	return d.dial(s.URL)
}

func (d *desk) key(index uint32) chain.KeyRef {
	a, err := d.wallet.Account(60)
	require.NoError(d.t, err)
	return a.KeyRef(0, index)
}

// request is a payment of some wei from the index-th deposit address.
func (d *desk) request(index uint32, nonce uint64, to chain.Address, wei uint64) chain.SignRequest {
	d.t.Helper()
	receiver := common.HexToAddress(string(to))
	var payload bytes.Buffer
	payload.WriteByte(types.DynamicFeeTxType)
	err := rlp.Encode(&payload, []any{uint64(31337), nonce, uint64(1), uint64(2), uint64(21000), receiver, wei, []byte{}, types.AccessList{}})
	require.NoError(d.t, err)
	return chain.SignRequest{Chain: testnet, Purpose: chain.SignTransaction, Scheme: chain.ECDSA, Key: d.key(index), Payload: payload.Bytes()}
}

// signs is a signer made of a function.
type signs func(ctx context.Context, requests []chain.SignRequest) ([][]byte, error)

func (f signs) Sign(ctx context.Context, requests []chain.SignRequest) ([][]byte, error) {
	return f(ctx, requests)
}

// real signs without a policy's journal in between, to be distorted by tests.
func (d *desk) real(requests ...chain.SignRequest) [][]byte {
	s, err := hdwallet.NewSigner(d.policy, d.wallet)
	require.NoError(d.t, err)
	out, err := s.Sign(context.Background(), requests)
	require.NoError(d.t, err)
	return out
}

// remote requires an error to be a RemoteError of a code, and the signer unavailable.
func remote(t testing.TB, err error, code signer.Code) *signer.RemoteError {
	t.Helper()
	var e *signer.RemoteError
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code, e.Reason)
	require.ErrorIs(t, err, chain.ErrSignerUnavailable)
	return e
}

// refused requires an error to be a policy's, of a rule.
func refused(t testing.TB, err error, rule string) *chain.PolicyError {
	t.Helper()
	var e *chain.PolicyError
	require.ErrorAs(t, err, &e)
	require.Equal(t, rule, e.Rule, e.Detail)
	require.False(t, errors.Is(err, chain.ErrSignerUnavailable))
	return e
}

func toJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}
