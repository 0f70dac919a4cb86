package bursar_test

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

// seeds is how many random flows are run; BURSAR_FLOW_SEEDS asks for others.
func seeds(t testing.TB, usual int) int {
	if text := os.Getenv("BURSAR_FLOW_SEEDS"); text != "" {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		return n
	}
	if testing.Short() {
		return usual / 10
	}
	return usual
}

// ordered is a payment as the flow remembers it beside the gateway.
type ordered struct {
	id       string
	address  chain.Address
	asset    chain.Asset
	required chain.Amount
	expires  time.Time
	grace    time.Duration
	canceled bool
}

// seenTransfer is a transfer as it first came.
type seenTransfer struct {
	counting bool
	payment  string
}

// walk is one random flow with its model.
type walk struct {
	*flow
	rnd      *rand.Rand
	orders   []*ordered
	of       map[chain.Address]*ordered
	deposits []chain.Address
	seen     map[string]seenTransfer
	payers   int
	before   chain.BlockHash // an abandoned branch to return to
	beforeAt uint64
	journal  []string // what was done, for the report of a failure
	reorged  bool
	batches  bool
	deep     bool // something final may have left the chain
}

func (w *walk) did(format string, args ...any) {
	w.journal = append(w.journal, fmt.Sprintf(format, args...))
}

func (w *walk) assets() []chain.Asset { return []chain.Asset{w.ETH, w.USDC, w.USDT} }

func newWalk(t testing.TB, seed uint64) *walk {
	rnd := rand.New(rand.NewPCG(seed, 1))
	opts := chaintest.Options{Finalized: rnd.IntN(2) == 0}
	w := &walk{rnd: rnd, of: map[chain.Address]*ordered{}, seen: map[string]seenTransfer{}}
	w.batches = seed%2 == 1
	w.flow = newFlow(t, bursartest.Options{Chain: opts, Batches: w.batches, Edit: func(c *bursar.Config) {
		if w.batches {
			c.Chains[0].Gather = []time.Duration{-1, time.Hour}[seed/2%2]
		}
		eth := c.Chains[0].Client.Info().Native
		eth.SweepMinimum = chain.NewAmount(1e15)
		c.Chains[0].Assets = append(c.Chains[0].Assets, eth)
	}})
	w.Mine(15) // deep reorgs must not reach below the first block
	t.Cleanup(func() {
		if t.Failed() {
			for _, line := range w.journal {
				t.Log(line)
			}
			for _, p := range w.payouts() {
				t.Logf("%s %s %s %s from %s: group %d, %s at %d", p.ID, p.Kind, p.Status, p.Asset.Symbol, p.From.Address, p.Group, p.TxID, p.Block)
				for _, a := range w.attempts(p) {
					t.Logf("    group %d %s %v open=%v %s", a.Group, a.TxID, a.Locks, a.Open, a.Error)
				}
			}
		}
	})
	return w
}

// create makes a payment of a random asset and policy.
func (w *walk) create() {
	a := w.assets()[w.rnd.IntN(3)]
	policy := bursar.AmountPolicy{}
	if w.rnd.IntN(3) == 0 {
		policy.ToleranceBps = 500
	}
	if w.rnd.IntN(3) == 0 {
		policy.Grace = 10 * time.Hour
	}
	p := w.Request(bursar.PaymentRequest{
		Asset: string(a.ID), Amount: decimal.New(int64(1+w.rnd.IntN(500)), -2), Policy: &policy,
		TTL: time.Duration(1+w.rnd.IntN(30)) * time.Hour,
	})
	w.remember(p)
	w.did("create %s %s of %s until %s", p.ID, p.Amount, a.Symbol, p.ExpiresAt)
}

func (w *walk) remember(p bursar.Payment) {
	o := &ordered{id: p.ID, address: p.Address, asset: p.Asset, required: p.Amount, expires: p.ExpiresAt, grace: p.Policy.Grace}
	if p.Policy.ToleranceBps == 500 {
		part, err := p.Amount.MulDiv(chain.NewAmount(1), chain.NewAmount(20))
		require.NoError(w.t, err)
		o.required = p.Amount.SubFloor(part)
	}
	w.orders = append(w.orders, o)
	w.of[p.Address] = o
}

// pick returns a payment; false where there is none yet.
func (w *walk) pick() (*ordered, bool) {
	if len(w.orders) == 0 {
		return nil, false
	}
	return w.orders[w.rnd.IntN(len(w.orders))], true
}

// pay sends something to an address of ours. Each payer pays once, so that no
// dropped transaction holds up another one.
func (w *walk) pay() {
	to, a, want := chain.Address(""), w.assets()[w.rnd.IntN(3)], chain.Amount{}
	if o, ok := w.pick(); ok && (len(w.deposits) == 0 || w.rnd.IntN(5) > 0) {
		to, want = o.address, o.required
		if w.rnd.IntN(6) > 0 {
			a = o.asset
		}
	} else if len(w.deposits) > 0 {
		to, want = w.deposits[w.rnd.IntN(len(w.deposits))], units(w.t, a, "0.5")
	} else {
		return
	}
	if a.Decimals == 18 && want.Less(chain.NewAmount(1e15)) {
		want = chain.NewAmount(1e17)
	}
	half, err := want.MulDiv(chain.NewAmount(1), chain.NewAmount(2))
	require.NoError(w.t, err)
	double, err := want.Mul(2)
	require.NoError(w.t, err)
	n := []chain.Amount{want, want, want, half, double, chain.NewAmount(1), {}}[w.rnd.IntN(7)]
	w.payers++
	name := fmt.Sprintf("payer %d", w.payers)
	switch w.rnd.IntN(12) {
	case 0:
		w.did("failed payment of %s %s to %s: %s", n, a.Symbol, to, w.Chain.PayFailed(name, to, a, n))
	case 1:
		if !a.Native() {
			w.did("twice %s %s to %s: %s", n, a.Symbol, to, w.Chain.PayMany(name, chaintest.Payment{To: to, Asset: a, Amount: n}, chaintest.Payment{To: to, Asset: a, Amount: n}))
		}
	default:
		w.did("pay %s %s to %s: %s", n, a.Symbol, to, w.Chain.Pay(name, to, a, n))
	}
}

// verb calls one of the host's verbs, which may well be refused.
func (w *walk) verb() {
	o, ok := w.pick()
	if !ok {
		return
	}
	switch w.rnd.IntN(3) {
	case 0:
		p, err := w.Gateway.CancelPayment(w.ctx(), o.id)
		if err == nil {
			o.canceled = p.Canceled()
			w.did("cancel %s", o.id)
			return
		}
		require.True(w.t, errors.Is(err, bursar.ErrPaymentHasFunds) || errors.Is(err, bursar.ErrAlreadyClosed), err)
	case 1:
		_, err := w.Gateway.AcceptPayment(w.ctx(), o.id, fmt.Sprint(w.rnd.Uint64()))
		if err != nil {
			require.ErrorIs(w.t, err, bursar.ErrNothingToAccept)
			return
		}
		w.did("accept %s", o.id)
	case 2:
		p, err := w.Gateway.RenewPayment(w.ctx(), o.id)
		if err != nil {
			require.ErrorIs(w.t, err, bursar.ErrNotRenewable)
			return
		}
		if w.of[p.Address] == nil {
			w.remember(p)
			w.did("renew %s as %s", o.id, p.ID)
		}
	}
}

// reorg replaces blocks. Beyond finality nothing is dropped: money that was
// swept by a signed transaction and never comes back is for an operator.
func (w *walk) reorg() {
	info := w.Chain.Info()
	depth, deep := 1+w.rnd.IntN(int(info.Confirmations)-1), false
	if w.rnd.IntN(4) == 0 {
		depth, deep = int(info.Confirmations)+w.rnd.IntN(8), true
	}
	o := chaintest.ReorgOptions{Reverse: w.rnd.IntN(2) == 0, Delay: w.rnd.IntN(3)}
	final := int(info.FinalityDepth)
	w.deep = w.deep || depth >= final
	if !w.deep && w.rnd.IntN(3) == 0 {
		o.DropAll = true
	}
	w.before = w.Chain.Reorg(depth, o)
	w.reorged, w.beforeAt = true, w.Chain.Head().Height
	w.did("reorg %d deep=%v %+v to %d", depth, deep, o, w.Chain.Head().Height)
}

// back returns to the branch that was left last, where that drops nothing final.
func (w *walk) back() {
	if w.before == "" || w.Chain.Head().Height > w.beforeAt+6 {
		return
	}
	here := w.Chain.Head().Hash
	w.deep = true
	w.Chain.Return(w.before)
	w.before, w.reorged = here, true
	w.did("return to %s, height %d", w.Chain.Head().Hash, w.Chain.Head().Height)
}

func (w *walk) faults() {
	methods := []chaintest.Method{
		chaintest.MethodHead, chaintest.MethodHeaders, chaintest.MethodTransfers, chaintest.MethodStatus, chaintest.MethodPrepare,
		chaintest.MethodSign, chaintest.MethodBroadcast, chaintest.MethodBalances, chaintest.MethodDryRun, chaintest.MethodBump,
	}
	m, n := methods[w.rnd.IntN(len(methods))], 1+w.rnd.IntN(3)
	if w.rnd.IntN(2) == 0 {
		w.Chain.FailNext(m, errNode, n)
	} else {
		w.Chain.FailNextAfter(m, errNode, n)
	}
	w.did("%d faults of %s", n, m)
}

// act does one random thing, and lets the gateway see it or not.
func (w *walk) act() {
	switch n := w.rnd.IntN(100); {
	case n < 15:
		w.create()
	case n < 50:
		w.pay()
	case n < 60:
		w.verb()
	case n < 68:
		w.reorg()
	case n < 72:
		w.back()
	case n < 78:
		w.faults()
	case n < 82:
		w.did("restart")
		w.Restart()
	case n < 88:
		d := time.Duration(1+w.rnd.IntN(20)) * time.Hour
		w.did("%s pass", d)
		w.Chain.AdvanceTime(d)
	case n < 92:
		a, err := w.Gateway.CreateAddress(w.ctx(), bursar.AddressRequest{Chain: w.Chain.Info().ID, Customer: fmt.Sprint("c", w.rnd.IntN(3)), TokensOnly: w.batches && w.rnd.IntN(2) == 0})
		require.NoError(w.t, err)
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
		w.step()
	}
}

// step lets the gateway work and notes what it is expected to have judged.
func (w *walk) step() {
	paid := map[string]bool{}
	for _, o := range w.orders {
		p, err := w.Gateway.Payment(w.ctx(), o.id)
		require.NoError(w.t, err)
		own := p.Confirmed
		for _, tx := range w.Transactions(p) {
			if tx.Accepted && !tx.Counting && tx.Status == bursar.TxConfirmed {
				own = own.SubFloor(tx.Amount)
			}
		}
		paid[o.id] = (p.Status == bursar.StatusConfirmed || p.Status == bursar.StatusSettled) && !own.Less(p.Required)
	}
	if err := w.tryStep(); err != nil {
		w.did("step: %v", err)
	}
	w.did("at %d", w.Chain.Head().Height)
	if w.Chain.Head().Height%8 == 0 {
		w.audited()
	}
	if w.state().Tip().Hash != w.Chain.Head().Hash {
		return
	}
	from := uint64(1)
	if h := w.Chain.Head().Height; h > 40 {
		from = h - 40
	}
	for h := from; h <= w.Chain.Head().Height; h++ {
		at, _ := w.Chain.Block(h)
		for _, tx := range w.Chain.Transactions(h) {
			for _, tr := range tx.Transfers {
				w.judge(tr, at.Time, paid)
			}
		}
	}
	w.reorged = false
}

// judge decides once whether a transfer counts toward its payment.
func (w *walk) judge(tr chain.Transfer, at time.Time, paid map[string]bool) {
	o := w.of[tr.To]
	if o == nil || tr.Asset != o.asset.ID || tr.Amount.IsZero() || tr.From == w.Sponsor {
		return
	}
	if _, known := w.seen[tr.ID.String()]; known {
		return
	}
	ok := !o.canceled && (!at.After(o.expires.Add(o.grace)) || paid[o.id])
	if w.reorged && !o.canceled && at.After(o.expires.Add(o.grace)) {
		// Whether the payment still was paid depends on the order of two steps.
		for _, row := range w.incoming() {
			if row.Transfer == tr.ID {
				ok = row.Counting
			}
		}
	}
	w.seen[tr.ID.String()] = seenTransfer{ok, o.id}
}

// heal lets everything come to its end.
func (w *walk) heal() {
	w.did("heal")
	if w.state().Halted == "payout_loose" {
		require.NoError(w.t, w.Gateway.ResumeChain(w.ctx(), w.Chain.Info().ID))
		w.did("operator resumes")
	}
	w.mine(15)
	for range 6 { // deadlines, holds, pauses of deferred payouts
		w.Chain.AdvanceTime(20 * time.Hour)
		w.mine(5)
	}
	w.mine(25)
	require.NoError(w.t, w.tryStep())
}

// verify compares the end with what the chain alone implies.
func (w *walk) verify() {
	w.noBrokenRules()
	require.Empty(w.t, w.state().Halted)
	counting, accepted := map[string]chain.Amount{}, map[string]bool{}
	rows := map[string]bursar.Transaction{}
	for _, row := range w.incoming() {
		rows[row.Transfer.String()] = row
	}
	for h := uint64(1); h <= w.Chain.Head().Height; h++ {
		for _, tx := range w.Chain.Transactions(h) {
			for _, tr := range tx.Transfers {
				o := w.of[tr.To]
				if o == nil || tr.Asset != o.asset.ID || tr.Amount.IsZero() || tr.From == w.Sponsor {
					continue
				}
				if w.seen[tr.ID.String()].counting {
					n, err := counting[o.id].Add(tr.Amount)
					require.NoError(w.t, err)
					counting[o.id] = n
				}
				accepted[o.id] = accepted[o.id] || rows[tr.ID.String()].Accepted
			}
		}
	}
	for _, o := range w.orders {
		want := bursar.StatusExpired
		switch c := counting[o.id]; {
		case !c.Less(o.required), accepted[o.id]:
			want = bursar.StatusSettled
		case o.canceled:
			want = bursar.StatusCanceled
		case !c.IsZero():
			want = bursar.StatusUnderpaid
		}
		p, err := w.Gateway.Payment(w.ctx(), o.id)
		require.NoError(w.t, err)
		require.Equal(w.t, want, p.Status, "%s: counting %s of %s; %v", o.id, counting[o.id], o.required, w.Kinds(o.id))
	}
	w.allSwept()
	w.audited()
}

// allSwept checks that no payout is open and no money worth it is left.
func (f *flow) allSwept() {
	f.t.Helper()
	for _, p := range f.payouts() {
		require.Contains(f.t, []bursar.PayoutStatus{bursar.PayoutConfirmed, bursar.PayoutCanceled}, p.Status, "%s %s %s: %s", p.ID, p.Kind, p.Asset.Symbol, p.FailureReason)
	}
	for _, tx := range f.incoming() {
		if tx.To == f.Sponsor || !tx.Live() {
			continue
		}
		require.True(f.t, tx.Final, "%s", tx.ID)
		require.True(f.t, tx.Reserved.IsZero(), "%s", tx.ID)
		left := tx.Amount.SubFloor(tx.Discharged)
		if tx.Asset == f.ETH.ID {
			require.True(f.t, left.Less(chain.NewAmount(1e15)), "%s: %s left", tx.ID, left)
			continue
		}
		require.True(f.t, left.IsZero(), "%s: %s of %s left", tx.ID, left, tx.Amount)
		a := f.USDC
		if tx.Asset == f.USDT.ID {
			a = f.USDT
		}
		require.True(f.t, f.Chain.BalanceOf(tx.To, a).IsZero(), "%s at %s", a.Symbol, tx.To)
	}
}

// TestRandomFlow lets strangers, hosts, miners and nodes do what they like, and
// compares the end with the chain. A failure names its seed.
func TestRandomFlow(t *testing.T) {
	first := uint64(0)
	if text := os.Getenv("BURSAR_FLOW_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
		first = n
	}
	var list []uint64
	for seed := first; seed < first+uint64(seeds(t, 200)); seed++ {
		list = append(list, seed)
	}
	if first == 0 { // that once found something
		list = append(list, 2240, 2429, 3891, 4142, 4438)
	}
	for _, seed := range list {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWalk(t, seed)
			for range 40 {
				w.act()
			}
			w.heal()
			w.verify()
		})
	}
}
