package oracle

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

var errNode = errors.New("the node is down")

// walk lets strangers, hosts, miners and nodes do what they like.
type walk struct {
	*world
	rnd      *rand.Rand
	payments []bursar.Payment
	deposits []chain.Address
	payers   int
	before   chain.BlockHash
	beforeAt uint64
	deep     bool
}

func newWalk(t testing.TB, seed uint64) *walk {
	rnd := rand.New(rand.NewPCG(seed, 7))
	w := &walk{rnd: rnd, world: newWorld(t, bursartest.Options{Chain: chaintest.Options{Finalized: rnd.IntN(2) == 0}})}
	w.Mine(15)
	return w
}

func (w *walk) create() {
	a := []chain.Asset{w.ETH, w.USDC, w.USDT}[w.rnd.IntN(3)]
	policy := bursar.AmountPolicy{}
	if w.rnd.IntN(3) == 0 {
		policy.ToleranceBps = 500
	}
	if w.rnd.IntN(3) == 0 {
		policy.Grace = 10 * time.Hour
	}
	p, err := w.Gateway.CreatePayment(w.t.Context(), bursar.PaymentRequest{
		Asset: string(a.ID), Amount: decimal.New(int64(1+w.rnd.IntN(500)), -2), Policy: &policy, TTL: time.Duration(1+w.rnd.IntN(30)) * time.Hour,
	})
	require.NoError(w.t, err)
	w.remember(p)
}

func (w *walk) remember(p bursar.Payment) {
	w.note(w.oracle.Issued(p.ID, p.Address))
	w.payments = append(w.payments, p)
}

func (w *walk) pick() (bursar.Payment, bool) {
	if len(w.payments) == 0 {
		return bursar.Payment{}, false
	}
	return w.payments[w.rnd.IntN(len(w.payments))], true
}

func (w *walk) send() {
	assets := []chain.Asset{w.ETH, w.USDC, w.USDT}
	p, ok := w.pick()
	to, a, want := p.Address, p.Asset, p.Amount
	if w.rnd.IntN(5) == 0 && len(w.deposits) > 0 || !ok && len(w.deposits) > 0 {
		to, a, want = w.deposits[w.rnd.IntN(len(w.deposits))], assets[w.rnd.IntN(3)], chain.NewAmount(2e16)
	} else if !ok {
		return
	} else if w.rnd.IntN(6) == 0 {
		a = assets[w.rnd.IntN(3)]
	}
	half, _ := want.MulDiv(chain.NewAmount(1), chain.NewAmount(2))
	double, _ := want.Mul(2)
	n := []chain.Amount{want, want, want, half, double, chain.NewAmount(1), {}}[w.rnd.IntN(7)]
	w.payers++
	name := fmt.Sprintf("payer %d", w.payers)
	switch w.rnd.IntN(12) {
	case 0:
		w.Chain.PayFailed(name, to, a, n)
	case 1:
		if !a.Native() {
			w.Chain.PayMany(name, chaintest.Payment{To: to, Asset: a, Amount: n}, chaintest.Payment{To: to, Asset: a, Amount: n})
		}
	default:
		w.Chain.Pay(name, to, a, n)
	}
}

func (w *walk) verb() {
	p, ok := w.pick()
	if !ok {
		return
	}
	ctx := w.t.Context()
	switch w.rnd.IntN(3) {
	case 0:
		_, _ = w.Gateway.CancelPayment(ctx, p.ID)
	case 1:
		_, _ = w.Gateway.AcceptPayment(ctx, p.ID, strconv.FormatUint(w.rnd.Uint64(), 10))
	case 2:
		if q, err := w.Gateway.RenewPayment(ctx, p.ID); err == nil {
			w.remember(q)
		}
	}
}

func (w *walk) reorg() {
	info := w.Chain.Info()
	depth := 1 + w.rnd.IntN(int(info.Confirmations)-1)
	if w.rnd.IntN(4) == 0 {
		depth = int(info.Confirmations) + w.rnd.IntN(8)
	}
	o := chaintest.ReorgOptions{Reverse: w.rnd.IntN(2) == 0, Delay: w.rnd.IntN(3)}
	w.deep = w.deep || depth >= int(info.FinalityDepth)
	// Money that was swept by a signed transaction and never comes back is an
	// operator's matter.
	o.DropAll = !w.deep && w.rnd.IntN(3) == 0
	w.before = w.Chain.Reorg(depth, o)
	w.beforeAt = w.Chain.Head().Height
}

func (w *walk) back() {
	if w.before == "" || w.Chain.Head().Height > w.beforeAt+6 {
		return
	}
	here := w.Chain.Head().Hash
	w.deep = true
	w.Chain.Return(w.before)
	w.before = here
}

func (w *walk) faults() {
	methods := []chaintest.Method{
		chaintest.MethodHead, chaintest.MethodHeaders, chaintest.MethodTransfers, chaintest.MethodStatus, chaintest.MethodPrepare,
		chaintest.MethodSign, chaintest.MethodBroadcast, chaintest.MethodBalances, chaintest.MethodDryRun, chaintest.MethodBump,
	}
	w.Chain.FailNextAfter(methods[w.rnd.IntN(len(methods))], errNode, 1+w.rnd.IntN(3))
}

func (w *walk) act() {
	switch n := w.rnd.IntN(100); {
	case n < 15:
		w.create()
	case n < 50:
		w.send()
	case n < 60:
		w.verb()
	case n < 68:
		w.reorg()
	case n < 72:
		w.back()
	case n < 78:
		w.faults()
	case n < 82:
		w.Restart()
	case n < 88:
		w.Chain.AdvanceTime(time.Duration(1+w.rnd.IntN(20)) * time.Hour)
	case n < 92:
		owner := fmt.Sprint("c", w.rnd.IntN(3))
		a, err := w.Gateway.CreateAddress(w.t.Context(), bursar.AddressRequest{Chain: w.Chain.Info().ID, Customer: owner})
		require.NoError(w.t, err)
		w.note(w.oracle.Issued(owner, a.Address))
		w.deposits = append(w.deposits, a.Address)
	default:
		w.mine(1 + w.rnd.IntN(6))
	}
	if w.rnd.IntN(2) == 0 {
		w.mine(1)
	}
}

func (w *walk) mine(n int) {
	for range n {
		w.Chain.Mine(1)
		_ = w.Gateway.Step(w.t.Context()) // a node that fails is part of it
		for _, p := range w.payments {
			now, err := w.Gateway.Payment(w.t.Context(), p.ID)
			require.NoError(w.t, err)
			w.note(w.oracle.Seen("kit", now))
		}
		w.fine()
	}
}

func (w *walk) heal() {
	st := bursar.ChainState{}
	require.NoError(w.t, w.store.Read(w.t.Context(), func(r bursar.Reader) (err error) {
		st, err = r.Chain(w.t.Context(), w.Chain.Info().ID)
		return err
	}))
	if st.Halted == "payout_loose" {
		require.NoError(w.t, w.Gateway.ResumeChain(w.t.Context(), w.Chain.Info().ID))
	}
	w.mine(15)
	for range 6 {
		w.Chain.AdvanceTime(20 * time.Hour)
		w.mine(5)
	}
	w.mine(25)
}

// number reads a number from the environment, for long runs.
func number(t testing.TB, name string, usual uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err)
	return n
}

func TestRandomFlowsAreWithoutComplaint(t *testing.T) {
	first, n := number(t, "BURSAR_ORACLE_SEED", 0), number(t, "BURSAR_ORACLE_SEEDS", 20)
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWalk(t, seed)
			for range 40 {
				w.act()
			}
			w.heal()
			w.fine()
			require.NoError(t, w.oracle.Quiet(t.Context()))
		})
	}
}
