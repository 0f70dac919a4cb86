package oracle

import (
	"slices"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// batchWorld is an oracle and a batch of two addresses as a gateway would write it down,
// signed for a chain that has the contract.
type batchWorld struct {
	o       *Oracle
	chain   *chaintest.Chain
	payout  bursar.Payout
	attempt bursar.Attempt
	signed  chain.Signed
}

func newBatchWorld(t *testing.T) *batchWorld {
	t.Helper()
	away := chaintest.New(chaintest.Options{})
	keys := chaintest.NewSigner(away.Client().Codec(), t.Name())
	sponsor, treasury := keys.Account("sponsor"), away.Payer("treasury")
	sweeper := chaintest.NewSweeper(sponsor.Address, treasury)
	c := chaintest.New(chaintest.Options{Sweeper: sweeper})
	keys = chaintest.NewSigner(c.Client().Codec(), t.Name()) // it knows the contract
	usdc := c.DeployToken(chaintest.TokenSpec{Symbol: "USDC", Decimals: 6})
	w := &batchWorld{chain: c, o: New(Config{
		Chain: c, Assets: []chain.Asset{usdc}, Treasury: treasury, Sponsor: sponsor.Address, Sweeper: chain.Address(common.Address(sweeper.Address()).Hex()),
	})}
	c.Grant(sponsor.Address, c.Info().Native, chain.NewAmount(1e18))
	w.payout = bursar.Payout{
		ID: "po_1", Kind: bursar.PayoutSweep, Status: bursar.PayoutPlanned, Chain: c.Info().ID, Asset: usdc, From: sponsor, To: treasury, Group: 1, Version: 1,
	}
	in := chain.Intent{Purpose: chain.PurposeCollection, FeePayer: sponsor}
	for i, name := range []string{"a", "b"} {
		from, n := keys.Account(name), chain.NewAmount(uint64(10*(i+1)))
		c.Grant(from.Address, usdc, n)
		in.Moves = append(in.Moves, chain.Move{From: from, To: treasury, Asset: usdc, Amount: n})
		w.payout.Sources = append(w.payout.Sources, bursar.PayoutSource{Account: from, Amount: n})
		w.payout.Items = append(w.payout.Items, bursar.PayoutItem{TransactionID: "tx_" + name, From: from.Address, Amount: n})
		w.payout.Amount = plus(w.payout.Amount, n)
	}
	c.Mine(1)
	draft, err := c.Client().Prepare(t.Context(), in)
	require.NoError(t, err)
	w.signed, err = c.Client().Sign(t.Context(), draft, keys)
	require.NoError(t, err)
	w.attempt = bursar.Attempt{ID: "1", PayoutID: "po_1", Group: 1, TxID: w.signed.ID, Raw: w.signed.Raw, Locks: w.signed.Locks, MaxFee: draft.Fee, Open: true}
	return w
}

func TestABatchMovesWhatItsPayoutSays(t *testing.T) {
	for name, c := range map[string]struct {
		rule string
		edit func(*batchWorld)
	}{
		"as it should be": {"", func(*batchWorld) {}},
		"less of one": {"S6", func(w *batchWorld) {
			w.payout.Sources[0].Amount, w.payout.Sources[1].Amount = chain.NewAmount(9), chain.NewAmount(21)
		}},
		"a source more":    {"S6", func(w *batchWorld) { w.payout.Sources = append(w.payout.Sources, bursar.PayoutSource{}) }},
		"no batch at all":  {"S6", func(w *batchWorld) { w.payout.Sources = nil }},
		"a lock forgotten": {"S6", func(w *batchWorld) { w.attempt.Locks = w.attempt.Locks[:2] }},
		"another lock": {"S6", func(w *batchWorld) {
			w.attempt.Locks = slices.Clone(w.attempt.Locks)
			w.attempt.Locks[2] = "nonce:0x:1"
		}},
		"a lock too many":   {"S6", func(w *batchWorld) { w.attempt.Locks = append(slices.Clone(w.attempt.Locks), "nonce:0x:1") }},
		"another contract":  {"S5", func(w *batchWorld) { w.o.cfg.Sweeper = "0x0000000000000000000000000000000000000001" }},
		"no such token":     {"S5", func(w *batchWorld) { w.o.cfg.Assets = nil }},
		"somebody else's":   {"S6", func(w *batchWorld) { w.payout.From.Address = "0x" }},
		"another treasury":  {"S6", func(w *batchWorld) { w.payout.To = "0x" }},
		"dearer than noted": {"S9", func(w *batchWorld) { w.attempt.MaxFee = chain.NewAmount(1) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBatchWorld(t)
			c.edit(w)
			w.o.past.attempts[w.signed.ID], w.o.past.payouts["po_1"] = &w.attempt, &w.payout
			err := w.o.Broadcast(w.signed)
			if c.rule == "" {
				require.NoError(t, err)
				return
			}
			says(t, c.rule, err)
		})
	}
}

func TestAPayoutOfManySourcesHasItsShape(t *testing.T) {
	n := chain.NewAmount
	for name, c := range map[string]struct {
		rule string
		edit func(w *batchWorld, old *bursar.Payout)
	}{
		"as it should be":      {"", func(*batchWorld, *bursar.Payout) {}},
		"a source twice":       {"S6", func(w *batchWorld, _ *bursar.Payout) { w.payout.Sources[1].Account = w.payout.Sources[0].Account }},
		"items of another":     {"S6", func(w *batchWorld, _ *bursar.Payout) { w.payout.Items[0].From = w.payout.Items[1].From }},
		"an item of nobody":    {"S6", func(w *batchWorld, _ *bursar.Payout) { w.payout.Items[0].From = "" }},
		"another sum":          {"S6", func(w *batchWorld, _ *bursar.Payout) { w.payout.Amount = n(31) }},
		"moved more in all":    {"S6", func(w *batchWorld, _ *bursar.Payout) { w.payout.Moved = n(1) }},
		"to another treasury":  {"S6", func(w *batchWorld, _ *bursar.Payout) { w.payout.To = "0x" }},
		"for somebody else":    {"S6", func(w *batchWorld, _ *bursar.Payout) { w.payout.From.Address = "0x" }},
		"of coin":              {"S6", func(w *batchWorld, _ *bursar.Payout) { w.payout.Asset = w.chain.Info().Native }},
		"no sweep":             {"S6", func(w *batchWorld, _ *bursar.Payout) { w.payout.Kind = bursar.PayoutRefund }},
		"its sources changed":  {"S6", func(w *batchWorld, old *bursar.Payout) { old.Sources[0].Amount = n(9) }},
		"what was left behind": {"S9", func(w *batchWorld, _ *bursar.Payout) { w.o.m.txs["tx_b"] = &bursar.Transaction{Missed: 1} }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBatchWorld(t)
			old := w.payout
			old.Sources = slices.Clone(old.Sources)
			c.edit(w, &old)
			err := w.o.shaped(&old, &w.payout)
			if c.rule == "" {
				require.NoError(t, err)
				return
			}
			says(t, c.rule, err)
		})
	}
	single := &bursar.Payout{ID: "po_1", Kind: bursar.PayoutSweep, Items: []bursar.PayoutItem{{From: "a"}}}
	says(t, "S6", newBatchWorld(t).o.shaped(&bursar.Payout{}, single))
}

// What a batch did is read from the logs, source by source.
func TestABatchCountsBySource(t *testing.T) {
	w := newBatchWorld(t)
	require.NoError(t, w.chain.Client().Broadcast(t.Context(), w.signed))
	w.chain.Mine(1)
	head := w.chain.Head()
	p := w.payout
	p.Status, p.TxID, p.Block, p.BlockHash, p.Moved = bursar.PayoutConfirming, w.signed.ID, head.Height, head.Hash, p.Amount
	p.Fee = w.chain.Transactions(head.Height)[0].Fee
	p.Items[0].FeeShare = p.Fee
	for i := range p.Sources {
		p.Sources[i].Moved = p.Sources[i].Amount
	}
	check := func() error { return w.o.carried(nil, &w.payout, &p) }
	require.NoError(t, check())
	p.Sources[0].Moved, p.Sources[1].Moved = chain.NewAmount(20), chain.NewAmount(10)
	says(t, "S4", check())
	p.Sources[0].Moved, p.Sources[1].Moved = chain.NewAmount(10), chain.NewAmount(20)
	p.Moved = chain.NewAmount(29)
	says(t, "S4", check())
	p.Moved, p.Items[1].FeeShare = p.Amount, chain.NewAmount(1)
	says(t, "S4", check())
	p.Items[1].FeeShare, p.BlockHash = chain.Amount{}, ""
	says(t, "S4", check())
}

func TestWhatABatchMovedIsSharedBySource(t *testing.T) {
	w := newBatchWorld(t)
	p := &w.payout
	p.Sources[1].Moved = chain.NewAmount(20)
	for id, want := range map[string]struct {
		moved  uint64
		missed bool
	}{"tx_a": {0, true}, "tx_b": {20, false}, "tx_c": {0, false}} {
		moved, _, missed := share(p, id)
		require.Equal(t, chain.NewAmount(want.moved), moved, id)
		require.Equal(t, want.missed, missed, id)
	}
	p.Status = bursar.PayoutConfirmed
	w.o.m.index(p)
	tx := &bursar.Transaction{ID: "tx_a", Missed: 1}
	w.o.m.txs["tx_a"] = tx
	require.NoError(t, w.o.accounted("tx_a"))
	tx.Missed = 0
	says(t, "S7", w.o.accounted("tx_a"))
}

func TestThePartsOfABatchCoverWhatItDid(t *testing.T) {
	w := newBatchWorld(t)
	whole := w.payout
	whole.Status, whole.FailureCode = bursar.PayoutCanceled, "DIVIDED"
	part := func(i int) bursar.Payout {
		p := bursar.Payout{Key: "part:po_1:" + string(whole.Sources[i].Account.Address), Version: 1, From: whole.Sources[i].Account, Items: slices.Clone(whole.Items[i : i+1])}
		p.Items[0].From = "" // it goes by itself
		return p
	}
	check := func(parts ...bursar.Payout) error { return w.o.divided(&bursar.Batch{Payouts: parts}, &whole) }
	require.NoError(t, check(part(0), part(1)))
	says(t, "S7", check(part(0)))
	says(t, "S7", check(part(0), part(1), part(1)))
	less := part(1)
	less.Items[0].Amount = chain.NewAmount(1)
	says(t, "S7", check(part(0), less))
	says(t, "S7", check())
	known := part(0)
	known.Key = "part:" + whole.ID + ":first"
	w.o.m.payouts["known"] = &known
	require.NoError(t, check(), "it was divided before")
	says(t, "S7", check(part(0)))
	whole.FailureCode = "GIVEN_UP"
	require.NoError(t, check())
}

func TestABatchStopsOnlyForItsOwnNonce(t *testing.T) {
	w := newBatchWorld(t)
	w.o.m.signed["po_1"], w.o.m.attempts["1"] = []string{"1"}, &w.attempt
	old, p := w.payout, w.payout
	old.Status, p.Status = bursar.PayoutBroadcast, bursar.PayoutHalted
	says(t, "S7", w.o.stopped(&old, &p))
	require.NoError(t, w.o.stopped(&p, &p), "it was before")
	require.NoError(t, w.chain.Client().Broadcast(t.Context(), w.signed))
	w.chain.Mine(1)
	require.NoError(t, w.o.stopped(&old, &p), "the nonce is used up")
}

func TestALockOfASourceIsFreeOnceItsBatchIsDead(t *testing.T) {
	w := newBatchWorld(t)
	m := w.o.m
	m.signed["po_1"], m.attempts["1"] = []string{"1"}, &w.attempt
	require.False(t, w.o.unspent(intent{"po_1", 1}, w.attempt.Locks[1]))
	w.attempt.Open = false
	require.True(t, w.o.unspent(intent{"po_1", 1}, w.attempt.Locks[1]))
	require.False(t, w.o.unspent(intent{"po_1", 1}, w.attempt.Locks[0]), "the nonce of the sponsor")
	require.NoError(t, w.chain.Client().Broadcast(t.Context(), w.signed))
	w.chain.Mine(1)
	require.False(t, w.o.unspent(intent{"po_1", 1}, w.attempt.Locks[1]), "the batch was mined after all")
}

func TestAReplacementOfABatchSpendsTheNonceOfTheSponsor(t *testing.T) {
	w := newBatchWorld(t)
	second := w.attempt
	second.ID = "2"
	w.o.m.signed["po_1"], w.o.m.attempts["1"], w.o.m.attempts["2"] = []string{"1", "2"}, &w.attempt, &second
	tx, err := w.o.decode(w.attempt.Raw)
	require.NoError(t, err)
	at := intent{"po_1", 1}
	w.o.m.groups[at] = w.attempt.Locks
	require.NoError(t, w.o.replaces(&second, &w.payout, tx))
	w.o.m.groups[at] = w.attempt.Locks[1:]
	says(t, "S6", w.o.replaces(&second, &w.payout, tx))
}
