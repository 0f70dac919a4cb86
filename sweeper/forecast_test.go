package sweeper

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
)

// tariff is a client's word on work that is easily checked.
type tariff struct {
	asked []chain.Collection
	none  chain.CollectionWay // of which nothing is known
	next  bool                // what is coming is known
}

func (f *tariff) Work(of chain.Collection) chain.Work {
	f.asked = append(f.asked, of)
	if of.Way == f.none {
		return chain.Work{}
	}
	first, again := uint64(of.First), uint64(of.Again)
	var w chain.Work
	switch of.Way {
	case chain.WayTransfer:
		w = chain.Work{Now: 21 * (first + again), Next: 22 * (first + again)}
	case chain.WayTopUp:
		w = chain.Work{Now: 50 * (first + again), Next: 240*first + 55*again}
	case chain.WayBatch:
		w = chain.Work{Now: 30 + 29*first + 9*again, Next: 31 + 240*first + 15*again}
	}
	if w.Rules = "soon"; !f.next {
		w.Next, w.Rules = 0, ""
	}
	return w
}

func waits(h Holding, change ...func(*Waiting)) Waiting {
	w := Waiting{Holding: h, Payments: 1}
	for _, f := range change {
		f(&w)
	}
	return w
}

func delegating(w *Waiting) { w.Delegates, w.Used = true, true }
func used(w *Waiting)       { w.Used = true }
func plain(w *Waiting)      { w.Plain = true }
func missed(w *Waiting)     { w.Missed = 1 }
func of(payments int) func(*Waiting) {
	return func(w *Waiting) { w.Payments = payments }
}

// told is a Forecast in short.
func told(f Forecast) string {
	text := fmt.Sprintf("%s %s %s: %d at %d, %d", f.Asset.Symbol, f.Way, f.Reason, f.Payments, f.Addresses, f.Delegating)
	for _, w := range f.Ways {
		text += fmt.Sprintf("; %s %d %d/%d", w.Way, w.Transactions, w.Now.Gas, w.Next.Gas)
	}
	return text
}

func allTold(all []Forecast) (out []string) {
	for _, f := range all {
		out = append(out, told(f))
	}
	return out
}

func TestForecasts(t *testing.T) {
	dust := usdt
	dust.SweepMinimum = units(10)
	together := Policy{Treasury: treasury, Sponsor: sponsor, MaxBatch: 3}
	for name, c := range map[string]struct {
		p       Policy
		waiting []Waiting
		want    []string
	}{
		"nothing": {together, nil, nil},
		"coin alone": {together, []Waiting{waits(holding("r", "a", native, 100, 1)), waits(holding("q", "b", native, 100, 1), of(3))}, []string{
			native.Symbol + " transfer coin: 4 at 2, 0; transfer 2 42/44",
		}},
		"tokens together, in full batches": {together, []Waiting{
			waits(holding("1", "a", usdc, 1, 9)), waits(holding("2", "b", usdc, 1, 8), delegating), waits(holding("3", "c", usdc, 1, 7)), waits(holding("4", "d", usdc, 1, 6), of(2)),
		}, []string{usdc.Symbol + " batch together: 5 at 4, 1; batch 2 156/797; topup 8 200/775"}},
		"used once, delegating never": {together, []Waiting{waits(holding("1", "a", usdc, 1, 9), used)}, []string{usdc.Symbol + " batch together: 1 at 1, 0; batch 1 59/271; topup 2 50/55"}},
		"delegating elsewhere": {together, []Waiting{waits(holding("1", "a", usdc, 1, 9), func(w *Waiting) { w.Delegates = true })}, []string{
			usdc.Symbol + " batch together: 1 at 1, 1; batch 1 39/46; topup 2 50/240",
		}},
		"why not together": {together, []Waiting{
			waits(holding("1", "a", usdc, 1, 9), plain), waits(holding("2", "b", usdc, 1, 8), plain, used), waits(holding("3", "c", usdc, 1, 7), missed, delegating),
		}, []string{
			usdc.Symbol + " topup coin_address: 2 at 2, 0; topup 4 100/295", usdc.Symbol + " topup missed_by_a_batch: 1 at 1, 1; topup 2 50/55",
		}},
		"no batches": {Policy{Treasury: treasury, Sponsor: sponsor}, []Waiting{waits(holding("1", "a", usdc, 1, 9)), waits(holding("2", "b", usdc, 1, 9), plain)}, []string{
			usdc.Symbol + " topup no_batches: 2 at 2, 0; topup 4 100/480",
		}},
		"too little": {together, []Waiting{waits(holding("1", "a", dust, 9, 9), delegating), waits(holding("2", "b", dust, 10, 9)), waits(holding("3", "c", dust, 1, 1), plain)}, []string{
			dust.Symbol + "  below_minimum: 1 at 1, 1; batch 1 39/46; topup 2 50/55", dust.Symbol + "  below_minimum: 1 at 1, 0; topup 2 50/240",
			dust.Symbol + " batch together: 1 at 1, 0; batch 1 59/271; topup 2 50/240",
		}},
		"nowhere to": {Policy{Sponsor: sponsor}, []Waiting{waits(holding("1", "a", usdc, 1, 9)), waits(holding("2", "b", native, 1, 9))}, []string{
			native.Symbol + "  off: 1 at 1, 0; transfer 1 21/22", usdc.Symbol + "  off: 1 at 1, 0; topup 2 50/240",
		}},
		"ours stays": {together, []Waiting{waits(Holding{Ref: "1", Account: sponsor, Asset: native, Amount: units(5)}), waits(Holding{Account: chain.Account{Address: treasury}, Asset: usdc, Amount: units(5)})}, nil},
	} {
		for _, next := range []bool{true, false} {
			got := Forecasts(c.waiting, c.p, &tariff{next: next}, units(1))
			if !next {
				for _, f := range got {
					for _, w := range f.Ways {
						require.Zero(t, w.Next, name)
						require.Empty(t, w.Rules, name)
						require.NotZero(t, w.Now.Gas, name)
					}
				}
				continue
			}
			require.ElementsMatch(t, c.want, allTold(got), name)
			for _, f := range got {
				require.Equal(t, "soon", f.Ways[0].Rules)
			}
		}
	}
}

// What is paid for one payment is rounded up, and of coin its share is told.
func TestForecasts_Costs(t *testing.T) {
	p := Policy{Treasury: treasury, Sponsor: sponsor}
	coin := []Waiting{waits(holding("r", "a", native, 1000, 1), of(2)), waits(holding("q", "b", native, 60_000, 1))}
	got := Forecasts(coin, p, &tariff{next: true}, units(7))
	require.Len(t, got, 1)
	require.Equal(t, units(61_000), got[0].Amount)
	require.Equal(t, Cost{Gas: 42, GasEach: 14, Fee: units(294), FeeEach: units(98), Share: 49}, got[0].Ways[0].Now)
	require.Equal(t, Cost{Gas: 44, GasEach: 15, Fee: units(308), FeeEach: units(103), Share: 51}, got[0].Ways[0].Next)

	token := Forecasts([]Waiting{waits(holding("r", "a", usdc, 1000, 1))}, p, &tariff{}, units(7))
	require.Equal(t, Cost{Gas: 50, GasEach: 50, Fee: units(350), FeeEach: units(350)}, token[0].Ways[0].Now, "what a token is worth is not known")

	free := Forecasts(coin, p, &tariff{}, chain.Amount{})
	require.Equal(t, Cost{Gas: 42, GasEach: 14}, free[0].Ways[0].Now, "the price is not known")
	dear := Forecasts(coin, p, &tariff{}, largest())
	require.Equal(t, Cost{Gas: 42, GasEach: 14}, dear[0].Ways[0].Now, "no amount holds it")
	mad := Forecasts([]Waiting{waits(holding("r", "a", native, 1, 1))}, p, &tariff{}, portion(largest(), 1, units(100)))
	require.Equal(t, uint64(math.MaxUint64), mad[0].Ways[0].Now.Share)
	dustless := Forecasts([]Waiting{waits(holding("r", "a", native, 0, 1))}, p, &tariff{}, units(1))
	require.Equal(t, ReasonBelowMinimum, dustless[0].Reason)
	require.Zero(t, dustless[0].Ways[0].Now.Share)
}

// A client that tells nothing, or not of every transaction, leaves the figures away and
// nothing else.
func TestForecasts_UnknownWork(t *testing.T) {
	p := Policy{Treasury: treasury, Sponsor: sponsor, MaxBatch: 2}
	waiting := []Waiting{waits(holding("r", "a", usdc, 1, 1))}
	require.Equal(t, []string{usdc.Symbol + " batch together: 1 at 1, 0; batch 1 0/0; topup 2 0/0"}, allTold(Forecasts(waiting, p, nil, units(1))))
	got := Forecasts(waiting, p, &tariff{none: chain.WayBatch, next: true}, units(1))
	require.Equal(t, []string{usdc.Symbol + " batch together: 1 at 1, 0; batch 1 0/0; topup 2 50/240"}, allTold(got))
	require.Empty(t, got[0].Ways[0].Rules)

	// Of the second transaction nothing is known, or not what is coming.
	for _, late := range []bool{true, false} {
		three := []Waiting{waiting[0], waits(holding("q", "b", usdc, 1, 1)), waits(holding("s", "c", usdc, 1, 1))}
		got := Forecasts(three, p, partly{late}, units(1))[0].Ways[0]
		require.Equal(t, 2, got.Transactions)
		require.Zero(t, got.Next)
		require.Empty(t, got.Rules)
		if late {
			require.Equal(t, uint64(8), got.Now.Gas)
		} else {
			require.Zero(t, got.Now)
		}
	}
}

// partly knows the work of two addresses, and of one nothing or not what is coming.
type partly struct{ now bool }

func (p partly) Work(of chain.Collection) chain.Work {
	switch {
	case of.First == 2:
		return chain.Work{Now: 5, Next: 7, Rules: "soon"}
	case p.now:
		return chain.Work{Now: 3}
	}
	return chain.Work{Next: 3, Rules: "soon"}
}

// More than any amount is the largest one, and no failure.
func TestForecasts_LyingToken(t *testing.T) {
	huge := holding("r", "a", usdc, 1, 1)
	huge.Amount = largest()
	got := Forecasts([]Waiting{waits(huge), waits(holding("q", "b", usdc, 1, 1))}, Policy{Treasury: treasury, Sponsor: sponsor}, &tariff{}, units(1))
	require.Equal(t, largest(), got[0].Amount)
}

func drawWaiting(t *rapid.T) []Waiting {
	several := rapid.Bool().Draw(t, "several tokens at an address")
	dust := usdt
	dust.SweepMinimum = units(10)
	var out []Waiting
	for i := range rapid.IntRange(0, 30).Draw(t, "n") {
		for _, asset := range []chain.Asset{native, usdc, dust} {
			if !rapid.Bool().Draw(t, "has "+asset.Symbol) || asset.ID == dust.ID && !several && len(out) > 0 && out[len(out)-1].Ref == fmt.Sprint(i, usdc.Symbol) {
				continue
			}
			h := holding(fmt.Sprint(i, asset.Symbol), fmt.Sprint("h", i), asset, rapid.Uint64Range(0, 30).Draw(t, "amount"), rapid.IntRange(1, 5).Draw(t, "age"))
			h.Plain = rapid.Bool().Draw(t, "plain")
			h.Missed = rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "missed")
			out = append(out, Waiting{
				Holding: h, Payments: rapid.IntRange(-1, 3).Draw(t, "payments"), Delegates: rapid.Bool().Draw(t, "delegates"), Used: rapid.Bool().Draw(t, "used"),
			})
		}
	}
	return out
}

func drawPolicy(t *rapid.T) Policy {
	return Policy{
		Treasury: rapid.SampledFrom([]chain.Address{treasury, treasury, treasury, ""}).Draw(t, "treasury"), Sponsor: sponsor,
		MaxBatch: rapid.IntRange(0, 7).Draw(t, "batch"), Gather: -1, MaxOpen: 1000,
	}
}

// What is told is what is done: if each plan were carried out and the next one made,
// every holding would go in the way that is told of it, by as many transactions.
func TestForecasts_AreWhatIsPlanned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		waiting, p := drawWaiting(t), drawPolicy(t)
		left := map[string]Holding{}
		for _, w := range waiting {
			left[w.Ref] = w.Holding
		}
		type done struct{ holdings, transactions int }
		planned := map[string]*done{}
		for range len(waiting) + 1 {
			var w Work
			for _, x := range waiting {
				if h, ok := left[x.Ref]; ok {
					w.Holdings = append(w.Holdings, h)
				}
			}
			w.Now = t0.Add(time.Hour)
			for _, plan := range Decide(w, p) {
				m := plan.Intent.Moves
				name := string(m[0].Asset.ID) + " " + string(chain.WayBatch)
				switch {
				case m[0].Asset.Native():
					name = string(m[0].Asset.ID) + " " + string(chain.WayTransfer)
				case plan.Intent.FeePayer.Address == "":
					name = string(m[0].Asset.ID) + " " + string(chain.WayTopUp)
				}
				if planned[name] == nil {
					planned[name] = &done{}
				}
				planned[name].holdings += len(m)
				planned[name].transactions++
				if name == string(m[0].Asset.ID)+" "+string(chain.WayTopUp) {
					planned[name].transactions++ // its gas
				}
				for _, ref := range plan.Covers {
					delete(left, ref)
				}
			}
		}
		forecast := map[string]*done{}
		stay := 0
		for _, f := range Forecasts(waiting, p, &tariff{}, units(1)) {
			if f.Way == "" {
				stay += f.Addresses
				continue
			}
			require.Equal(t, f.Way, f.Ways[0].Way, "the chosen one comes first")
			name := string(f.Asset.ID) + " " + string(f.Way)
			if forecast[name] == nil {
				forecast[name] = &done{}
			}
			forecast[name].holdings += f.Addresses
			forecast[name].transactions += f.Ways[0].Transactions
		}
		require.Len(t, forecast, len(planned))
		tokens := map[chain.Address]int{}
		several := false
		for _, w := range waiting {
			if !w.Asset.Native() {
				tokens[w.Account.Address]++
				several = several || tokens[w.Account.Address] > 1
			}
		}
		for name, want := range planned {
			require.NotNil(t, forecast[name], name)
			require.Equal(t, want.holdings, forecast[name].holdings, name)
			// An address with two tokens is in no two batches at once, which may part one.
			require.LessOrEqual(t, forecast[name].transactions, want.transactions, name)
			if !several {
				require.Equal(t, want, forecast[name], name)
			}
		}
		require.Len(t, left, stay, "and nothing else stays")
	})
}

// Nothing is counted twice or left out, and the order of the input decides nothing.
func TestForecasts_Add(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		waiting, p := drawWaiting(t), drawPolicy(t)
		got := Forecasts(waiting, p, &tariff{next: true}, units(3))
		require.Equal(t, got, Forecasts(rapid.Permutation(waiting).Draw(t, "shuffled"), p, &tariff{next: true}, units(3)))
		var amount, wantAmount chain.Amount
		addresses, payments, delegate := 0, 0, 0
		for _, f := range got {
			addresses, payments, delegate, amount = addresses+f.Addresses, payments+f.Payments, delegate+f.Delegating, addUp(amount, f.Amount)
			require.NotEmpty(t, f.Ways)
			for _, w := range f.Ways {
				require.Equal(t, units(3*w.Now.Gas), w.Now.Fee)
				require.GreaterOrEqual(t, w.Now.GasEach*uint64(f.Payments), w.Now.Gas)
				require.Less(t, w.Now.GasEach*uint64(f.Payments), w.Now.Gas+uint64(f.Payments))
			}
		}
		wantPayments, wantDelegate := 0, 0
		for _, w := range waiting {
			wantPayments, wantAmount = wantPayments+max(w.Payments, 1), addUp(wantAmount, w.Amount)
			if w.Delegates {
				wantDelegate++
			}
		}
		require.Equal(t, []int{len(waiting), wantPayments, wantDelegate}, []int{addresses, payments, delegate})
		require.Equal(t, wantAmount, amount)
	})
}
