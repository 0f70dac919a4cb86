package bursar

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// sequences is how many random stories are told. BURSAR_SEQUENCES asks for
// another number; 300000 is the thorough one.
func sequences(t *testing.T) int {
	n := 8_000
	if testing.Short() {
		n = 1_500
	}
	if text := os.Getenv("BURSAR_SEQUENCES"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	return n
}

// taken counts which row was taken from which status.
type taken map[string]int

func (w *world) took(from Status) string {
	row := w.rows[w.matched]
	return fmt.Sprintf("%s %s: %s, from %s", row.id, row.fact, row.when, from)
}

// gen tells one random story.
type gen struct {
	*world
	r        *rand.Rand
	seen     taken
	refunded bool
}

func (g *gen) one(of ...int64) int64 { return of[g.r.IntN(len(of))] }

func (g *gen) amount() int64 {
	return g.one(1, 9, 49, 50, 100, 450, 899, 900, 901, 999, 1000, 1001, 1009, 1010, 1011, 2500, 1+g.r.Int64N(1200))
}

// pick returns a transfer that passes, or nil.
func (g *gen) pick(pass func(Transaction) bool) *Transaction {
	var fit []*Transaction
	for i := range g.txs {
		if pass(g.txs[i]) {
			fit = append(fit, &g.txs[i])
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return fit[g.r.IntN(len(fit))]
}

// step does one random thing that may happen now; false: it could not.
func (g *gen) step() (error, bool) {
	on := func(t *Transaction, what fact, amount int64) (error, bool) {
		if t == nil {
			return nil, false
		}
		return g.fact(what, t.ID, amount), true
	}
	switch n := g.r.IntN(100); {
	case n < 10:
		g.env.now = g.env.now.Add(time.Duration(g.one(0, 1, 10, 30, 45, 70, 200)) * time.Minute)
		if g.r.IntN(4) == 0 {
			g.scanned = g.env.now // and nobody has looked at the deadline yet
		}
		return nil, false
	case n < 26:
		return g.newcomer()
	case n < 33:
		t := g.pick(func(t Transaction) bool { return t.Status == TxFailed || t.Status == TxReplaced })
		if t == nil {
			return nil, false
		}
		amount := t.Amount
		if amount.IsZero() || g.r.IntN(3) == 0 {
			amount = chain.NewAmount(uint64(g.amount()))
		}
		return g.include(t.ID, t.Asset, amount, g.blockTime()), true
	case n < 52:
		return on(g.pick(func(t Transaction) bool { return t.Status == TxConfirming }), factDeep, 0)
	case n < 61:
		return on(g.pick(func(t Transaction) bool { return t.Status == TxConfirmed && !t.Final }), factFinal, 0)
	case n < 70:
		// What was swept can be orphaned only after its sweep was.
		return on(g.pick(func(t Transaction) bool { return t.Live() && t.Discharged.IsZero() }), factOrphaned, g.one(0, 0, 1))
	case n < 72:
		waits := g.pick(func(t Transaction) bool { return t.Status == TxPending })
		return on(waits, []fact{factReplaced, factDropped, factReverted}[g.r.IntN(3)], 0)
	case n < 80:
		g.scanned = g.env.now
		if g.r.IntN(8) == 0 {
			g.scanned = time.Time{} // halted
		}
		return g.fact(factCovered, "", 0), true
	case n < 83:
		return g.fact(factCancel, "", 0), true
	case n < 87:
		return g.fact(factAccept, "", 0), true
	case n < 95:
		t := g.pick(func(t Transaction) bool { return t.Asset == ownAsset && t.Final && t.Discharged.Less(t.Amount) })
		if t == nil {
			return nil, false
		}
		left := t.Amount.SubFloor(t.Discharged).Big().Int64()
		return on(t, factDischarged, g.one(left, left, left, 1+g.r.Int64N(left)))
	case n < 98:
		t := g.pick(func(t Transaction) bool { return !t.Discharged.IsZero() })
		if t == nil {
			return nil, false
		}
		return on(t, factSweepLost, t.Discharged.Big().Int64())
	}
	if g.refunded {
		return nil, false
	}
	g.refunded = true
	return g.fact(factRefunded, "", 0), true
}

// blockTime is the time of a block found now: close to it, on either side.
func (g *gen) blockTime() time.Time {
	return g.env.now.Add(time.Duration(g.one(0, 0, 0, -1, -40, 5, 90)) * time.Minute)
}

func (g *gen) newcomer() (error, bool) {
	if len(g.txs) >= 6 {
		return nil, false
	}
	id := string(rune('a' + len(g.txs)))
	switch g.r.IntN(10) {
	case 0:
		return g.include(id, otherAsset, chain.NewAmount(uint64(g.amount())), g.blockTime()), true
	case 1:
		g.add(id, ownAsset)
		return g.fact(factSeen, id, 0), true
	case 2, 3:
		if t := g.pick(func(t Transaction) bool { return t.Status == TxPending }); t != nil {
			return g.include(t.ID, t.Asset, chain.NewAmount(uint64(g.amount())), g.blockTime()), true
		}
	}
	return g.include(id, ownAsset, chain.NewAmount(uint64(g.amount())), g.blockTime()), true
}

// tell runs one story. Several facts share a version, as they share a commit.
func (g *gen) tell() {
	for range 8 + g.r.IntN(24) {
		from := g.payment.Status
		err, did := g.step()
		if did && err == nil {
			g.seen[g.took(from)]++
		}
		if g.r.IntN(2) == 0 {
			g.payment.Version++
		}
	}
}

// runSequences tells n stories, on several processors.
func runSequences(t *testing.T, n int) taken {
	const shards = 4
	all := make([]taken, shards)
	t.Run("stories", func(t *testing.T) {
		for shard := range shards {
			all[shard] = taken{}
			t.Run(strconv.Itoa(shard), func(t *testing.T) {
				t.Parallel()
				for i := shard; i < n; i += shards {
					story(t, i, all[shard])
				}
			})
		}
	})
	out := taken{}
	for _, part := range all {
		for k, n := range part {
			out[k] += n
		}
	}
	return out
}

// story tells the i-th one. Every third payment asks for the exact amount, in
// time.
func story(t *testing.T, i int, seen taken) {
	p := testPayment()
	if i%3 == 0 {
		p.Policy = AmountPolicy{}
		p.Asset.SweepMinimum = chain.Amount{}
		p.Required = p.Amount
	}
	g := &gen{world: newWorld(t, p), r: rand.New(rand.NewPCG(20260101, uint64(i))), seen: seen}
	g.tell()
}

// Random stories of a payment agree with the oracle at every step.
func TestSequences(t *testing.T) {
	got := runSequences(t, sequences(t))
	if !testing.Verbose() {
		return
	}
	lines := make([]string, 0, len(got))
	for k, n := range got {
		lines = append(lines, fmt.Sprintf("%8d %s", n, k))
	}
	slices.Sort(lines)
	for _, l := range lines {
		t.Log(l)
	}
}
