package e2e

import (
	"bytes"
	"errors"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/e2e/node"
)

// deaf loses the answers to what is broadcast, after the node has taken it, and
// remembers what the node said.
type deaf struct {
	on   atomic.Bool
	lost atomic.Int64
	mu   sync.Mutex
	said []string
}

var errLost = errors.New("the connection was cut")

func (d *deaf) RoundTrip(q *http.Request) (*http.Response, error) {
	asked, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	q = q.Clone(q.Context())
	q.Body = io.NopCloser(bytes.NewReader(asked))
	resp, err := http.DefaultTransport.RoundTrip(q)
	if err != nil || !bytes.Contains(asked, []byte("eth_sendRawTransaction")) {
		return resp, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.said = append(d.said, string(body))
	d.mu.Unlock()
	if d.on.Load() {
		d.lost.Add(1)
		return nil, errLost
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

func (d *deaf) heard(text string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Contains(strings.Join(d.said, "\n"), text)
}

// payout is the only one of a kind, with its attempts.
func (x *till) payout(kind bursar.PayoutKind) (bursar.Payout, []bursar.Attempt) {
	x.t.Helper()
	rows, err := x.gw.Payouts(x.t.Context(), bursar.PayoutQuery{Kinds: []bursar.PayoutKind{kind}})
	require.NoError(x.t, err)
	require.Len(x.t, rows, 1)
	p, attempts, err := x.gw.Payout(x.t.Context(), rows[0].ID)
	require.NoError(x.t, err)
	return p, attempts
}

// sweep is the only sweep there is, with its attempts.
func (x *till) sweep() (bursar.Payout, []bursar.Attempt) {
	x.t.Helper()
	return x.payout(bursar.PayoutSweep)
}

// untilSigned mines until there is a payout of a kind that was signed.
func (x *till) untilSigned(kind bursar.PayoutKind) []bursar.Attempt {
	x.t.Helper()
	for range 20 {
		rows, err := x.gw.Payouts(x.t.Context(), bursar.PayoutQuery{Kinds: []bursar.PayoutKind{kind}})
		require.NoError(x.t, err)
		if len(rows) > 0 {
			if _, attempts := x.payout(kind); len(attempts) > 0 {
				return attempts
			}
		}
		x.mine(1)
	}
	require.Fail(x.t, "no "+string(kind))
	return nil
}

// untilSwept mines until there is a sweep that was signed.
func (x *till) untilSwept() []bursar.Attempt {
	x.t.Helper()
	return x.untilSigned(bursar.PayoutSweep)
}

// Whether a sweep was taken is not known, again and again: the same bytes go out
// again, what the pool knows already is as good as sent, and what used the nonce is
// looked at before anybody else is suspected.
func TestThreat_C11_TheAnswerIsLost(t *testing.T) {
	n := nodes.Simulated(t)
	over := &deaf{}
	x := openTill(t, n, tillOptions{treasury: vault(t, n), over: over})
	p := x.ask(5e17)
	x.pay(p)
	over.on.Store(true)
	attempts := x.untilSwept()
	x.wait(10 * time.Second)
	require.EqualValues(t, 2, over.lost.Load())
	require.True(t, over.heard("already known"))
	over.on.Store(false)
	x.wait(30 * time.Second)
	signed := signedOf(attempts[0])
	require.NoError(t, x.client.Broadcast(t.Context(), signed))
	x.mine(1)
	require.NoError(t, x.client.Broadcast(t.Context(), signed), "mined already")
	require.True(t, over.heard("nonce too low"))
	x.settle(p)
	_, after := x.sweep()
	require.Len(t, after, 1)
	require.Equal(t, attempts[0].TxID, after[0].TxID)
	require.Zero(t, x.count(x.chain(), bursar.AlertKeyCompromised))
	x.good()
}

func signedOf(a bursar.Attempt) chain.Signed {
	return chain.Signed{Chain: a.Chain, ID: a.TxID, Raw: a.Raw, Locks: a.Locks}
}

// The nonce was used by a transaction that is none of ours.
func TestThreat_C11_SomebodyElseUsedTheNonce(t *testing.T) {
	n := nodes.Simulated(t)
	over := &deaf{}
	x := openTill(t, n, tillOptions{treasury: vault(t, n), over: over})
	p := x.ask(5e17)
	x.pay(p)
	attempts := x.untilSwept()
	own, err := x.gw.Address(t.Context(), string(p.Address))
	require.NoError(t, err)
	var ours types.Transaction
	require.NoError(t, ours.UnmarshalBinary(attempts[0].Raw))
	thief := n.Unlocked(x.stolen(own))
	theft := thief.Send(elsewhere(&ours))
	x.mine(1)
	x.ended(types.ReceiptStatusSuccessful, theft)
	require.ErrorIs(t, x.client.Broadcast(t.Context(), signedOf(attempts[0])), chain.ErrLockSpent)
	require.True(t, over.heard("nonce too low"))
	require.Equal(t, 1, x.count(x.chain(), bursar.AlertKeyCompromised))
	x.mine(8)
	x.has(x.treasury, p.Asset, 0)
	x.good()
}

// A sweep that nobody mines is replaced by one that the pool of a real node takes:
// the same nonce, both prices an eighth higher. One of them is mined.
func TestThreat_C12_ReplacementThatThePoolTakes(t *testing.T) {
	n := nodes.Simulated(t)
	over := &deaf{}
	x := openTill(t, n, tillOptions{treasury: vault(t, n), over: over})
	p := x.ask(5e17)
	x.pay(p)
	first := x.untilSwept()[0]
	x.wait(6 * time.Minute)
	sweep, attempts := x.sweep()
	require.Len(t, attempts, 2)
	require.Equal(t, 1, x.count(sweep.ID, bursar.PayoutBumped))
	var old, dear types.Transaction
	require.NoError(t, old.UnmarshalBinary(first.Raw))
	require.NoError(t, dear.UnmarshalBinary(attempts[1].Raw))
	require.Equal(t, old.Nonce(), dear.Nonce())
	for _, price := range []func(*types.Transaction) *big.Int{(*types.Transaction).GasTipCap, (*types.Transaction).GasFeeCap} {
		least := new(big.Int).Mul(price(&old), big.NewInt(9))
		require.GreaterOrEqual(t, new(big.Int).Mul(price(&dear), big.NewInt(8)).Cmp(least), 0)
	}
	_, waiting, err := n.Eth.TransactionByHash(t.Context(), dear.Hash())
	require.NoError(t, err)
	require.True(t, waiting, "the pool took it")
	require.ErrorIs(t, x.client.Broadcast(t.Context(), signedOf(first)), chain.ErrUnderpriced)
	require.True(t, over.heard("replacement transaction underpriced"))
	x.settle(p)
	sweep, _ = x.sweep()
	require.Equal(t, dear.Hash().Hex(), string(sweep.TxID))
	x.good()
}

// The words of refusal of real nodes, each as what it means.
func TestThreat_C12_WhatRefusalsMean(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *node.Network{"simulated": nodes.Simulated, "geth": nodes.Geth, "anvil": nodes.Anvil} {
		t.Run(name, func(t *testing.T) {
			n := open(t)
			over := &deaf{}
			client := (&till{t: t, n: n}).node(tillOptions{over: over})
			a := n.Account("sender")
			send := func(tx *types.Transaction) error {
				raw, err := tx.MarshalBinary()
				require.NoError(t, err)
				return client.Broadcast(t.Context(), chain.Signed{Chain: client.Info().ID, ID: chain.TxID(tx.Hash().Hex()), Raw: raw})
			}
			var poor *chain.InsufficientFundsError
			require.ErrorAs(t, send(a.Sign(node.Tx{To: &a.Address, Value: plenty()})), &poor)
			require.Equal(t, a.Address.Hex(), string(poor.Account))
			require.Equal(t, "10000000000000000000", poor.Available.String())
			require.True(t, over.heard("nsufficient funds"))

			require.ErrorIs(t, send(a.Sign(node.Tx{To: &a.Address, Cap: new(big.Int)})), chain.ErrUnderpriced)

			used := a.Sign(node.Tx{To: &a.Address})
			a.Send(node.Tx{To: &a.Address, Value: big.NewInt(1)})
			n.Mine(1)
			require.ErrorIs(t, send(used), chain.ErrLockSpent)
			require.True(t, over.heard("nonce too low"))
			require.NoError(t, send(a.Sign(node.Tx{To: &a.Address})))
			n.Mine(1)
		})
	}
}
