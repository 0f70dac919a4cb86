package main

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/ethclient/simulated"
	"github.com/ethereum/go-ethereum/node"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/store/sqlite"
)

const (
	mnemonic = "test test test test test test test test test test test junk"
	// treasury is of another wallet: the gateway refuses an address of its own.
	treasury = "0x9858EfFD232B4033E47d90003D41EC34EcaEda94"
)

// payer is a customer on a simulated chain with HTTP, who has deployed a token.
type payer struct {
	t       *testing.T
	backend *simulated.Backend
	url     string
	nonce   uint64
	token   common.Address
}

func newPayer(t *testing.T) *payer {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())
	p := &payer{t: t, url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	rich := crypto.PubkeyToAddress(p.key().PublicKey)
	alloc := types.GenesisAlloc{rich: {Balance: new(big.Int).SetUint64(10e18)}}
	p.backend = simulated.NewBackend(alloc, func(n *node.Config, _ *ethconfig.Config) {
		n.HTTPHost, n.HTTPPort, n.HTTPModules = "127.0.0.1", port, []string{"eth"}
	})
	t.Cleanup(func() { require.NoError(t, p.backend.Close()) })
	p.backend.Commit()
	p.token = crypto.CreateAddress(rich, p.nonce)
	p.send(nil, tokens.Plain("USDC", 6))
	p.send(&p.token, tokens.Mint(rich, big.NewInt(1e9)))
	return p
}

// send makes a transaction and mines until it is in a block.
func (p *payer) send(to *common.Address, data []byte) {
	p.t.Helper()
	chainID := big.NewInt(1337)
	tx, err := types.SignNewTx(p.key(), types.LatestSignerForChainID(chainID), &types.DynamicFeeTx{
		ChainID: chainID, Nonce: p.nonce, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(10e9), Gas: 5_000_000, To: to, Data: data,
	})
	require.NoError(p.t, err)
	require.Eventually(p.t, func() bool {
		return p.backend.Client().SendTransaction(p.t.Context(), tx) == nil
	}, time.Minute, 5*time.Millisecond)
	p.nonce++
	require.Eventually(p.t, func() bool {
		p.backend.Commit()
		receipt, err := p.backend.Client().TransactionReceipt(p.t.Context(), tx.Hash())
		return err == nil && receipt.Status == types.ReceiptStatusSuccessful
	}, time.Minute, 20*time.Millisecond)
}

// settings are the environment of a host on that chain.
func (p *payer) settings(name string) string {
	return map[string]string{
		"RPC_URL": p.url, "CHAIN": "1337", "TOKEN": p.token.Hex(), "TREASURY": treasury, "MNEMONIC": mnemonic,
	}[name]
}

// post asks the host for a payment.
func post(t *testing.T, host, amount, order string) (status int, body []byte) {
	t.Helper()
	answer, err := http.PostForm(host+"/payments", url.Values{"amount": {amount}, "order": {order}})
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, body
}

func TestHost(t *testing.T) {
	p := newPayer(t)
	events := make(chan bursar.Kind, 100)
	path := filepath.Join(t.TempDir(), "bursar.db")
	store := open(t, path)
	gw, err := newGateway(p.settings, store, func(_ context.Context, e bursar.Event) error {
		events <- e.Kind
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, gw.Start(t.Context()))
	defer func() { require.NoError(t, gw.Stop(context.WithoutCancel(t.Context()))) }() // once more is no error
	host := httptest.NewServer(handler(gw))
	defer host.Close()

	status, body := post(t, host.URL, "25.00", "1")
	require.Equal(t, http.StatusCreated, status, "%s", body)
	var made struct{ ID, Address, URI string }
	require.NoError(t, json.Unmarshal(body, &made))
	require.Contains(t, made.URI, "ethereum:"+p.token.Hex()+"@1337/transfer?address="+made.Address)
	_, again := post(t, host.URL, "25.00", "1")
	require.JSONEq(t, string(body), string(again), "the same order is the same payment")
	for _, it := range []struct {
		amount, order string
		want          int
	}{
		{"26.00", "1", http.StatusConflict},
		{"25.0000001", "2", http.StatusBadRequest},
		{"-1", "2", http.StatusBadRequest},
		{"much", "2", http.StatusBadRequest},
	} {
		status, body := post(t, host.URL, it.amount, it.order)
		require.Equal(t, it.want, status, "%s: %s", it.amount, body)
	}

	p.send(&p.token, tokens.Transfer(common.HexToAddress(made.Address), big.NewInt(25e6)))
	var seen []bursar.Kind
	beat := time.NewTicker(50 * time.Millisecond)
	defer beat.Stop()
	late := time.After(time.Minute)
	for !slices.Contains(seen, bursar.PaymentConfirmed) {
		select {
		case kind := <-events:
			seen = append(seen, kind)
		case <-beat.C:
			p.backend.Commit()
		case <-late:
			t.Fatalf("the host has heard only %v", seen)
		}
	}
	require.Equal(t, bursar.PaymentCreated, seen[0])
	require.Contains(t, seen, bursar.PaymentDetected)

	// The next start of the program knows all of it.
	host.Close()
	require.NoError(t, gw.Stop(t.Context()))
	require.NoError(t, store.Close())
	next, err := newGateway(p.settings, open(t, path), func(context.Context, bursar.Event) error { return nil })
	require.NoError(t, err)
	require.NoError(t, next.Start(t.Context()))
	defer func() { require.NoError(t, next.Stop(context.WithoutCancel(t.Context()))) }()
	payment, err := next.Payment(t.Context(), made.ID)
	require.NoError(t, err)
	require.Equal(t, bursar.StatusConfirmed, payment.Status)
	host = httptest.NewServer(handler(next))
	defer host.Close()
	_, again = post(t, host.URL, "25.00", "1")
	require.JSONEq(t, string(body), string(again), "the same order is the same payment")
}

// open opens the database at path until the test ends.
func open(t *testing.T, path string) bursar.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func TestSettingsAreNamed(t *testing.T) {
	good := map[string]string{
		"RPC_URL": "http://127.0.0.1:1", "CHAIN": "1337", "TOKEN": "0x5FbDB2315678afecb367f032d93F642f64180aa3",
		"TREASURY": treasury, "MNEMONIC": mnemonic,
	}
	_, err := newGateway(func(name string) string { return good[name] }, memory.New(), nil)
	require.NoError(t, err)
	for name, field := range map[string]string{
		"RPC_URL": "RPC_URL", "CHAIN": "CHAIN", "TOKEN": "TOKEN", "TREASURY": "Config.Chains[0].Treasury", "MNEMONIC": "MNEMONIC",
	} {
		_, err := newGateway(func(asked string) string {
			if asked == name {
				return "secret nonsense"
			}
			return good[asked]
		}, memory.New(), nil)
		require.ErrorContains(t, err, field)
	}
}

func (p *payer) key() *ecdsa.PrivateKey {
	p.t.Helper()
	key, err := crypto.ToECDSA(common.LeftPadBytes([]byte{1}, 32))
	require.NoError(p.t, err)
	return key
}
