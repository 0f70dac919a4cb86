package e2e

import (
	"bytes"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
	"github.com/bursar-go/bursar/chain/quorum"
	"github.com/bursar-go/bursar/e2e/node"
)

// repointed sends requests to another node than they are meant for, once it is set.
type repointed struct{ to atomic.Pointer[string] }

func (r *repointed) RoundTrip(q *http.Request) (*http.Response, error) {
	if to := r.to.Load(); to != nil {
		other, err := url.Parse(*to)
		if err != nil {
			return nil, err
		}
		q = q.Clone(q.Context())
		q.URL, q.Host = other, ""
	}
	return http.DefaultTransport.RoundTrip(q)
}

// A provider's URL leads to another chain all of a sudden: one with another id, or
// one with the same id and other blocks. What is paid there pays for nothing.
func TestThreat_C7_URLOfAnotherChain(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *node.Network{"another id": nodes.Anvil, "the same id": nodes.Geth} {
		t.Run(name, func(t *testing.T) {
			// Its chain is short, so that the other one is longer.
			var short node.Pool
			defer short.Close()
			n, other := short.Simulated(t), open(t)
			require.Equal(t, name == "the same id", n.ChainID == other.ChainID)
			over := &repointed{}
			x := openTill(t, n, tillOptions{over: over})
			p, honest := x.ask(500), x.ask(700)
			x.mine(1)

			over.to.Store(&other.URL)
			stranger := other.Account("payer")
			stranger.Send(bill(p))
			other.Mine(4)
			for other.Head() < n.Head()+4 {
				other.Mine(1)
			}
			err := x.gw.Step(t.Context())
			require.Error(t, err)
			if name == "another id" {
				require.ErrorIs(t, err, chain.ErrWrongChain)
				require.ErrorContains(t, err, "31337")
			} else {
				require.Equal(t, "no_ancestor", x.health().Halted)
			}
			require.Error(t, x.health().Problem)
			x.untouched(p, honest)
			x.stop()
			gw, err := bursar.New(x.cfg)
			require.NoError(t, err)
			var bad *bursar.FieldError
			require.ErrorAs(t, gw.Start(t.Context()), &bad)
			require.Equal(t, "Config.Chains[0].Client", bad.Field)
			require.Equal(t, bursar.CodeMismatch, bad.Code)

			over.to.Store(nil)
			x.start()
			x.pay(honest)
			x.mine(3)
			x.is(honest, bursar.StatusConfirmed)
			x.untouched(p)
			require.Empty(t, x.health().Halted)
			x.good()
		})
	}
}

// liar swaps two addresses in all that a node is asked and says, and has each block
// say that it may hold any log: what the one was paid, the other seems to have got.
type liar struct {
	a, b string // in lower case, without 0x
	on   atomic.Bool
	lies atomic.Int64
}

var bloomOf = regexp.MustCompile(`"logsBloom":"0x[0-9a-f]{512}"`)

func (l *liar) swap(body []byte) []byte {
	lower := regexp.MustCompile("(?i)"+l.a+"|"+l.b).ReplaceAllFunc(body, bytes.ToLower)
	out := strings.NewReplacer(l.a, l.b, l.b, l.a).Replace(string(lower))
	if out != string(lower) {
		l.lies.Add(1)
	}
	return []byte(out)
}

func (l *liar) RoundTrip(q *http.Request) (*http.Response, error) {
	if !l.on.Load() {
		return http.DefaultTransport.RoundTrip(q)
	}
	asked, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	again := q.Clone(q.Context())
	asked = l.swap(asked)
	again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(asked)), int64(len(asked))
	resp, err := http.DefaultTransport.RoundTrip(again)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	body = bloomOf.ReplaceAll(l.swap(body), []byte(`"logsBloom":"0x`+strings.Repeat("f", 512)+`"`))
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Del("Content-Length")
	return resp, nil
}

// One of three providers invents deposits, in a token and in coin, coherently: what
// two of them do not say is not credited, and the operator is told of the liar.
func TestThreat_C8_OneProviderInventsDeposits(t *testing.T) {
	n := nodes.Simulated(t)
	usd := newToken(t, n, "USD", tokens.Plain("USD", 6))
	for _, asset := range []chain.Asset{evm.Local(n.ChainID).Info.Native, usd} {
		t.Run(asset.Symbol, func(t *testing.T) {
			nobody := common.BigToAddress(new(big.Int).SetUint64(0xD0<<40 + n.Head()))
			forger := &liar{a: strings.ToLower(nobody.Hex()[2:])}
			clients := func(x *till) []chain.Client {
				return []chain.Client{x.node(tillOptions{over: forger}), x.node(tillOptions{}), x.node(tillOptions{})}
			}
			for _, agree := range []int{1, 2} {
				x := openTill(t, n, tillOptions{assets: []chain.Asset{usd}, edit: func(c *bursar.Config) {
					x := &till{t: t, n: n}
					if agree == 1 {
						c.Chains[0].Client = clients(x)[0]
					} else {
						c.Chains[0].Client = three(t, clients(x)...)
					}
				}})
				x.enrich(usd)
				p, honest := x.askFor(asset, 500), x.askFor(asset, 700)
				forger.b = strings.ToLower(addressOf(p).Hex()[2:])
				forger.on.Store(true)
				forged := p
				forged.Address = chain.Address(nobody.Hex())
				x.pay(forged)
				x.mine(1)
				x.pay(honest)
				x.mine(3)
				require.Positive(t, forger.lies.Load())
				forger.on.Store(false)
				if agree == 1 {
					rows, _ := x.rows(p)
					require.NotEmpty(t, rows, "who asks the liar alone believes it")
					continue
				}
				x.untouched(p)
				x.is(honest, bursar.StatusConfirmed)
				x.has(addressOf(p), asset, 0)
				require.Equal(t, 1, x.count(x.chain(), bursar.ChainProviderDown))
				providers := x.health().Providers
				require.Equal(t, string(quorum.FaultContradicted), providers[0].Fault)
				x.good()
			}
		})
	}
}
