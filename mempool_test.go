package bursar_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// seeing is a flow whose gateway announces what waits in the mempool.
type seeing struct{ *flow }

func newSeeing(t *testing.T) *seeing {
	t.Helper()
	f := newFlow(t, bursartest.Options{Edit: func(c *bursar.Config) {
		longLease(c)
		c.Chains[0].Mempool = true
	}})
	f.Step()
	return &seeing{f}
}

// see hands over what a node would stream of all that waits now.
func (f *seeing) see() {
	f.t.Helper()
	f.hear(f.Chain.Sights(f.ETH, f.USDC, f.USDT)...)
}

func (f *seeing) hear(sights ...chain.Sight) {
	f.t.Helper()
	require.NoError(f.t, f.Gateway.Sight(f.ctx(), f.Chain.Info().ID, sights...))
	f.Step()
}

// row is the one transaction of a payment.
func (f *seeing) row(p bursar.Payment) bursar.Transaction {
	f.t.Helper()
	rows := f.Transactions(p)
	require.Len(f.t, rows, 1)
	return rows[0]
}

// clean checks all that must hold at any time.
func (f *seeing) clean() {
	f.t.Helper()
	f.noBrokenRules()
	report, err := f.Gateway.Verify(f.ctx())
	require.NoError(f.t, err)
	require.Empty(f.t, report.Findings, "%v", report.Findings)
}

func TestThreat_B23_SeenAndMined(t *testing.T) {
	for _, symbol := range []string{"ETH", "USDC"} {
		f := newSeeing(t)
		p := f.Create(symbol, "1")
		id := f.Pay(p)
		entries := len(f.entries())
		f.see()
		f.see()

		seen := f.row(p)
		require.Equal(t, bursar.TxPending, seen.Status)
		require.Equal(t, []chain.TxID{id}, []chain.TxID{seen.Transfer.Tx})
		require.Zero(t, seen.Inclusion)
		require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
		require.False(t, f.Payment(p).SeenAt.IsZero())
		require.True(t, f.Payment(p).Received.IsZero())
		require.Len(t, f.entries(), entries)
		require.Equal(t, []bursar.Kind{bursar.PaymentCreated, bursar.TransactionDetected}, f.Kinds(p.ID))
		told := f.told(p.ID)[1].Data
		require.Equal(t, bursar.StatusPending, told.Status)
		require.Equal(t, bursar.TxPending, told.Transaction.Status)
		require.Zero(t, told.Transaction.Confirmations)
		require.Equal(t, "1", told.Transaction.Amount)
		x := f.explain(p.ID)
		require.Contains(t, codes(x), bursar.ReasonMempool)
		require.Contains(t, x.String(), "seen in the mempool only")
		f.clean()

		f.Mine(1)
		f.see()
		mined := f.row(p)
		require.Equal(t, seen.ID, mined.ID)
		require.Equal(t, bursar.TxConfirming, mined.Status)
		require.Equal(t, seen.SeenAt, mined.SeenAt)
		require.Len(t, f.entries(), entries+1)
		require.Equal(t, 2, f.count(bursar.TransactionDetected, p.ID), "once seen, once in a block")
		f.clean()
		f.Settle()
		require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
		require.Len(t, f.Transactions(p), 1)
		f.clean()
	}
}

// The sight and the block come in one look, in either order, and a sight comes of
// what was scanned long ago.
func TestThreat_B23_SightAndBlockInOnePoll(t *testing.T) {
	for _, first := range []string{"sight", "block", "late"} {
		f := newSeeing(t)
		p := f.Create("USDC", "10")
		f.Pay(p)
		sights := f.Chain.Sights(f.USDC)
		require.Len(t, sights, 1)
		f.Chain.Mine(1)
		switch first {
		case "sight": // a step of the scanner follows
			f.hear(sights...)
		case "block":
			f.Step()
			f.hear(sights...)
		default:
			f.Settle()
			f.hear(sights...)
			f.Step()
		}
		require.True(t, f.row(p).Live(), first)
		f.Settle()
		require.Equal(t, bursar.StatusSettled, f.Payment(p).Status, first)
		require.Equal(t, 1, f.count(bursar.PaymentConfirmed, p.ID))
		f.clean()
	}
}

// What a sight claims is never what is credited.
func TestThreat_B23_ALyingSightCreditsNothing(t *testing.T) {
	f := newSeeing(t)
	p := f.Create("USDC", "10")
	f.PayLess(p, "9")
	sights := f.Chain.Sights(f.USDC)
	sights[0].Amount = chain.NewAmount(1e12)
	invented := sights[0]
	invented.ID.Tx = "0xinvented"
	f.hear(append(sights, invented)...)
	require.Len(t, f.Transactions(p), 2)
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
	f.Confirm()
	require.Equal(t, bursar.StatusDetected, f.Payment(p).Status)
	require.Equal(t, "1", f.Payment(p).Asset.Format(f.Payment(p).Confirmed))
	f.clean()
}

func TestThreat_A7_ReplacedAfterItWasSeen(t *testing.T) {
	f := newSeeing(t)
	p := f.Create("ETH", "1")
	id := f.Pay(p)
	f.see()
	by := f.Chain.Replace(id, f.Chain.Payer("herself"), f.ETH, chain.NewAmount(1))
	f.Mine(2)
	require.Equal(t, bursar.TxPending, f.row(p).Status, "what replaced it is not final yet")
	f.Settle()
	row := f.row(p)
	require.Equal(t, bursar.TxReplaced, row.Status)
	require.Equal(t, by, row.ReplacedBy)
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
	require.Equal(t, []bursar.Kind{bursar.PaymentCreated, bursar.TransactionDetected, bursar.TransactionReplaced}, f.Kinds(p.ID))
	require.Equal(t, by, f.told(p.ID)[2].Data.Transaction.ReplacedBy)
	require.Contains(t, f.explain(p.ID).String(), "another transaction took its place")
	f.clean()

	f.AdvanceTime(25 * time.Hour)
	require.Equal(t, bursar.StatusExpired, f.Payment(p).Status)
	f.clean()
}

// A payer who outbids her own payment with the same payment is credited once.
func TestThreat_A7_ReplacedByTheSamePayment(t *testing.T) {
	f := newSeeing(t)
	p := f.Create("USDC", "10")
	id := f.Pay(p)
	f.see()
	by := f.Chain.Replace(id, p.Address, f.USDC, p.Amount)
	f.see()
	require.Len(t, f.Transactions(p), 2)
	f.Settle()
	rows := f.Transactions(p)
	require.Equal(t, []bursar.TransactionStatus{bursar.TxReplaced, bursar.TxConfirmed}, []bursar.TransactionStatus{rows[0].Status, rows[1].Status})
	require.Equal(t, by, rows[0].ReplacedBy)
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.True(t, f.Payment(p).Excess.IsZero())
	f.clean()
}

func TestThreat_A8_DroppedAfterItWasSeen(t *testing.T) {
	f := newSeeing(t)
	p := f.Create("USDC", "10")
	id := f.Pay(p)
	f.see()
	f.Chain.Mine(1) // nobody looks
	branch := f.Chain.Reorg(1, chaintest.ReorgOptions{DropAll: true})
	f.Step()
	f.AdvanceTime(30 * time.Minute)
	require.Equal(t, bursar.TxPending, f.row(p).Status)
	f.AdvanceTime(31 * time.Minute)
	row := f.row(p)
	require.Equal(t, bursar.TxFailed, row.Status)
	require.Equal(t, bursar.ReasonDropped, row.FailureReason)
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
	require.Equal(t, []bursar.Kind{bursar.PaymentCreated, bursar.TransactionDetected, bursar.TransactionFailed}, f.Kinds(p.ID))
	require.Equal(t, bursar.ReasonDropped, f.told(p.ID)[2].Data.Transaction.Reason)
	f.clean()

	// Somebody had kept it.
	f.reconfigure(func(c *bursar.Config) { c.Chains[0].DropAfter = time.Minute })
	f.Chain.Return(branch)
	f.Mine(60)
	require.Equal(t, id, f.row(p).Transfer.Tx)
	require.True(t, f.row(p).Live())
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.clean()
}

// amnesiac is a node that may know nothing of any mempool, or not answer.
type amnesiac struct {
	chain.Client
	lost *bool
	err  *error
}

func (n amnesiac) As(target any) bool {
	if to, ok := target.(*chain.MempoolWatcher); ok {
		*to = n
		return true
	}
	wrapper, ok := n.Client.(interface{ As(any) bool })
	return ok && wrapper.As(target)
}

func (n amnesiac) WatchMempool(context.Context, chain.Watch, chan<- chain.Sight) error {
	return chain.ErrUnsupported
}

func (n amnesiac) Fates(ctx context.Context, final chain.BlockHash, of ...chain.Waiting) ([]chain.Fate, error) {
	watcher, _ := chain.As[chain.MempoolWatcher](n.Client)
	out, err := watcher.Fates(ctx, final, of...)
	if *n.lost {
		out = make([]chain.Fate, len(of))
		for i := range out {
			out[i].State = chain.TxUnknown
		}
	}
	return out, cmp.Or(*n.err, err)
}

// A node that forgets for a moment drops nothing, nor does one that fails.
func TestThreat_A8_ForgottenForAMoment(t *testing.T) {
	node := amnesiac{lost: new(bool), err: new(error)}
	f := &seeing{newFlow(t, bursartest.Options{
		Client: func(c chain.Client) chain.Client { node.Client = c; return node },
		Edit:   func(c *bursar.Config) { longLease(c); c.Chains[0].Mempool = true },
	})}
	f.Step()
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.see()
	wait := func(d time.Duration) {
		f.Chain.AdvanceTime(d)
		f.Step()
	}
	*node.lost = true
	wait(time.Second)
	wait(50 * time.Minute)
	*node.lost = false
	wait(time.Minute)
	*node.lost = true
	wait(50 * time.Minute)
	require.Equal(t, bursar.TxPending, f.row(p).Status, "it was known in between")
	*node.err = errors.New("away")
	f.Chain.AdvanceTime(50 * time.Minute)
	require.ErrorIs(t, f.tryStep(), *node.err)
	require.Equal(t, bursar.TxPending, f.row(p).Status, "nobody said anything")
	*node.err = nil
	wait(11 * time.Minute)
	require.Equal(t, bursar.ReasonDropped, f.row(p).FailureReason)
	*node.lost = false
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.clean()
}

func TestASightThatRevertsFails(t *testing.T) {
	f := newSeeing(t)
	p := f.Create("USDC", "10")
	f.Chain.PayFailed("payer", p.Address, f.USDC, p.Amount)
	f.see()
	require.Equal(t, bursar.TxPending, f.row(p).Status)
	f.Mine(1)
	row := f.row(p)
	require.Equal(t, []string{string(bursar.TxFailed), bursar.ReasonReverted}, []string{string(row.Status), row.FailureReason})
	require.Equal(t, 1, f.count(bursar.TransactionFailed, p.ID))
	f.Settle()
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
	f.clean()
}

// The transaction pays another one in the end than its call promised: the block
// tells, and the promise is over.
func TestASightThatPaysSomebodyElse(t *testing.T) {
	f := newSeeing(t)
	p := f.Create("USDC", "10")
	f.Chain.Pay("payer", f.Chain.Payer("stranger"), f.USDC, p.Amount)
	s := f.Chain.Sights(f.USDC)[0]
	s.To, s.ID.Ordinal = p.Address, fmt.Sprintf("t:%s:%s:0", f.USDC.Contract, p.Address)
	f.hear(s)
	require.Equal(t, bursar.TxPending, f.row(p).Status)
	f.Mine(1)
	row := f.row(p)
	require.Equal(t, []string{string(bursar.TxFailed), bursar.ReasonReverted}, []string{string(row.Status), row.FailureReason})
	f.clean()
}

// A reorg may send a transfer back to the mempool, from which it is mined again,
// or lose it.
func TestAReorgBackToTheMempool(t *testing.T) {
	f := newSeeing(t)
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.see()
	f.Mine(1)
	require.Equal(t, bursar.StatusDetected, f.Payment(p).Status)
	f.Reorg(1, chaintest.ReorgOptions{Delay: 9})
	require.Equal(t, bursar.TxPending, f.row(p).Status)
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
	kinds := f.Kinds(p.ID)
	require.Equal(t, []bursar.Kind{bursar.TransactionOrphaned, bursar.PaymentReverted}, kinds[len(kinds)-2:])
	orphaned := f.told(p.ID)[len(kinds)-2].Data.Transaction
	require.Equal(t, bursar.TxPending, orphaned.Status)
	f.see()
	f.clean()
	f.Mine(1)
	require.Equal(t, 2, f.row(p).Inclusion)
	f.Reorg(1, chaintest.ReorgOptions{DropAll: true})
	require.Equal(t, []string{string(bursar.TxFailed), bursar.ReasonOrphaned}, []string{string(f.row(p).Status), f.row(p).FailureReason})
	f.clean()
}

// Money that went back to the mempool puts the verdict on hold, until another
// transaction took its place for good.
func TestAReplacementEndsTheHold(t *testing.T) {
	f := newSeeing(t)
	p := f.Create("USDC", "10")
	id := f.Pay(p)
	f.see()
	f.Mine(1)
	f.Reorg(1, chaintest.ReorgOptions{Delay: 9})
	require.False(t, f.Payment(p).HoldUntil.IsZero())
	f.Chain.Replace(id, f.Chain.Payer("herself"), f.ETH, chain.NewAmount(1))
	f.Settle()
	require.Equal(t, bursar.TxReplaced, f.row(p).Status)
	require.True(t, f.Payment(p).HoldUntil.IsZero())
	f.clean()
}

// Whoever dies between sight and block, or takes the work over, loses nothing and
// tells nothing twice.
func TestARestartBetweenSightAndBlock(t *testing.T) {
	f := newSeeing(t)
	p, q := f.Create("USDC", "10"), f.Create("ETH", "1")
	f.Pay(p)
	id := f.Chain.Pay("other", q.Address, f.ETH, q.Amount)
	f.see()
	f.Restart()
	f.Step()
	f.see()
	require.Equal(t, 1, f.count(bursar.TransactionDetected, p.ID))
	f.Chain.Replace(id, f.Chain.Payer("herself"), f.ETH, chain.NewAmount(1))
	two := f.twin("two")
	require.NoError(t, two.Step(t.Context()))
	require.NoError(t, two.Sight(t.Context(), f.Chain.Info().ID, f.Chain.Sights(f.USDC)...), "and nothing is written: one instance announces")
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.Equal(t, bursar.TxReplaced, f.row(q).Status)
	require.Equal(t, 1, f.count(bursar.TransactionReplaced, q.ID))
	f.clean()
}

// A customer's deposit is announced at its address.
func TestADepositIsSeen(t *testing.T) {
	f := newSeeing(t)
	a, err := f.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: "ann"})
	require.NoError(t, err)
	f.Chain.Pay("payer", a.Address, f.USDC, chain.NewAmount(5e6))
	other := f.Chain.Pay("loser", a.Address, f.USDC, chain.NewAmount(6e6))
	f.see()
	require.Equal(t, []bursar.Kind{bursar.TransactionDetected, bursar.TransactionDetected}, f.Kinds(a.ID))
	f.clean()
	f.Chain.Replace(other, f.Chain.Payer("herself"), f.ETH, chain.NewAmount(1))
	f.Settle()
	require.Equal(t, 3, f.count(bursar.TransactionDetected, a.ID))
	require.Equal(t, 1, f.count(bursar.TransactionConfirmed, a.ID))
	require.Equal(t, 1, f.count(bursar.TransactionReplaced, a.ID))
	f.clean()
}

// Nothing is announced that would not be booked, or that nobody asked for.
func TestWhatIsNotWorthASight(t *testing.T) {
	f := newSeeing(t)
	f.reconfigure(func(c *bursar.Config) {
		c.Chains[0].Assets = slices.Clone(c.Chains[0].Assets)
		for i := range c.Chains[0].Assets {
			c.Chains[0].Assets[i].Minimum = chain.NewAmount(1000)
		}
	})
	f.Step()
	p := f.Create("USDC", "10")
	f.Pay(p)
	good := f.Chain.Sights(f.USDC)[0]
	for name, change := range map[string]func(*chain.Sight){
		"zero":          func(s *chain.Sight) { s.Amount = chain.Amount{} },
		"dust":          func(s *chain.Sight) { s.Amount = chain.NewAmount(999) },
		"another token": func(s *chain.Sight) { s.Asset = "eip155:1337/erc20:0x0000000000000000000000000000000000000bad" },
		"a stranger's":  func(s *chain.Sight) { s.To = f.Chain.Payer("stranger") },
		"the sponsor's": func(s *chain.Sight) { s.To = f.Sponsor },
		"from us":       func(s *chain.Sight) { s.From = f.Sponsor },
		"not issued":    func(s *chain.Sight) { s.To = f.address(0, 200) },
		"no name":       func(s *chain.Sight) { s.ID.Tx = "" },
		"no ordinal":    func(s *chain.Sight) { s.ID.Ordinal = "" },
	} {
		before := len(f.incoming())
		s := good
		change(&s)
		f.hear(s)
		require.Len(t, f.incoming(), before, name)
	}
	f.hear(good)
	require.Equal(t, bursar.TxPending, f.row(p).Status)
	f.clean()
}

// promised are sights of transactions that nobody will ever see.
func promised(good chain.Sight, to chain.Address, n int) (out []chain.Sight) {
	for i := range n {
		s := good
		s.To, s.ID.Tx = to, chain.TxID(fmt.Sprintf("0x%s%d", to, i))
		out = append(out, s)
	}
	return out
}

// A flood of promises at one address fills neither the store nor the way of real
// money.
func TestThreat_A7_AFloodOfPromisesAtAnAddress(t *testing.T) {
	f := newSeeing(t)
	p := f.Create("USDC", "10")
	f.Pay(p)
	good := f.Chain.Sights(f.USDC)[0]
	f.hear(promised(good, p.Address, 3*bursar.MaxSights)...)
	require.Len(t, f.Transactions(p), bursar.MaxSights)
	f.hear(good)
	require.Len(t, f.Transactions(p), bursar.MaxSights, "no room for the real one either, before it is mined")
	f.AdvanceTime(2 * time.Hour) // the promises are dropped
	f.hear(promised(good, p.Address, 4*bursar.MaxSights)...)
	require.Equal(t, bursar.MaxSights, f.count(bursar.TransactionFailed, p.ID))
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.Len(t, f.Transactions(p), bursar.MaxSights+1)
	f.clean()
	f.AdvanceTime(25 * time.Hour)
	f.hear(promised(good, p.Address, 5*bursar.MaxSights)...)
	require.Len(t, f.Transactions(p), 2*bursar.MaxSights+1, "so many a day")
}

func TestThreat_A7_AFloodOfPromisesInAll(t *testing.T) {
	f := newSeeing(t)
	first := f.Create("USDC", "10")
	f.Pay(first)
	good := f.Chain.Sights(f.USDC)[0]
	for range bursar.MaxPending/bursar.MaxSights + 3 {
		p := f.Create("USDC", "10")
		require.NoError(t, f.Gateway.Sight(t.Context(), f.Chain.Info().ID, promised(good, p.Address, bursar.MaxSights)...))
	}
	var rows []bursar.Transaction
	f.read(func(r bursar.Reader) (err error) {
		rows, err = r.Transactions(t.Context(), bursar.TransactionQuery{Statuses: []bursar.TransactionStatus{bursar.TxPending}})
		return err
	})
	require.Len(t, rows, bursar.MaxPending)
	f.Mine(1)
	require.Equal(t, bursar.StatusDetected, f.Payment(first).Status)
}
