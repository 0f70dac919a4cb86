package sweeper

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func refusedField(t *testing.T, err error, field string) {
	t.Helper()
	var r *RefusedError
	require.ErrorAs(t, err, &r)
	require.Equal(t, field, r.Field)
}

func TestCheckIntent_Collection(t *testing.T) {
	p := Policy{Treasury: treasury, Sponsor: sponsor}
	require.NoError(t, p.checkIntent(testChain, sweepJob("j", "a", usdc, Planned), nil))
	for field, change := range map[string]func(*chain.Intent){
		"move.to":        func(in *chain.Intent) { in.Moves[0].To = stranger },
		"move.from":      func(in *chain.Intent) { in.Moves[0].From = sponsor },
		"move.asset":     func(in *chain.Intent) { in.Moves[0].Asset.ID = "eip155:1/slip44:60" },
		"move.amount":    func(in *chain.Intent) { in.Moves[0].Amount = chain.Amount{} },
		"intent.moves":   func(in *chain.Intent) { in.Moves = nil },
		"intent.purpose": func(in *chain.Intent) { in.Purpose = chain.PurposeCancel },
	} {
		j := sweepJob("j", "a", usdc, Planned)
		change(&j.Intent)
		refusedField(t, p.checkIntent(testChain, j, nil), field)
	}
}

func topUpJob(change func(*chain.Move)) Job {
	own := account("a").Key
	m := chain.Move{From: sponsor, To: "a", Own: &own, Asset: native, Amount: units(30)}
	change(&m)
	return Job{ID: "t", Parent: "j", State: Planned, Intent: chain.Intent{Purpose: chain.PurposeTopUp, Moves: []chain.Move{m}}}
}

func TestCheckIntent_TopUp(t *testing.T) {
	p := Policy{Treasury: treasury, Sponsor: sponsor}
	parent := sweepJob("j", "a", usdc, Planned)
	parent.Intent.MaxFee = units(40)
	check := func(change func(*chain.Move)) error { return p.checkIntent(testChain, topUpJob(change), []Job{parent}) }
	require.NoError(t, check(func(*chain.Move) {}))

	other := account("b").Key
	for field, change := range map[string]func(*chain.Move){
		"move.from":  func(m *chain.Move) { m.From = account("b") },
		"move.to":    func(m *chain.Move) { m.To = stranger },
		"move.asset": func(m *chain.Move) { m.All = true },
	} {
		refusedField(t, check(change), field)
	}
	refusedField(t, check(func(m *chain.Move) { m.Own = nil }), "move.to")
	refusedField(t, check(func(m *chain.Move) { m.Own = &other }), "move.to")
	refusedField(t, check(func(m *chain.Move) { m.Asset = usdc }), "move.asset")
	var fee *chain.FeeTooHighError
	require.ErrorAs(t, check(func(m *chain.Move) { m.Amount = units(41) }), &fee)

	parent.State = Included
	require.ErrorIs(t, check(func(*chain.Move) {}), ErrTopUpObsolete)
	require.ErrorIs(t, p.checkIntent(testChain, topUpJob(func(*chain.Move) {}), nil), ErrTopUpObsolete)
}

func goodDraft() (chain.Intent, chain.Draft) {
	in := sweepJob("j", "a", native, Planned).Intent
	in.MaxFee = units(50)
	out := in
	out.Moves = []chain.Move{in.Moves[0]}
	out.Moves[0].Amount = units(90)
	return in, chain.Draft{Chain: testChain, Intent: out, Locks: []chain.Lock{"nonce:a:1"}, Fee: units(10)}
}

func TestCheckDraft(t *testing.T) {
	in, d := goodDraft()
	require.NoError(t, checkDraft(testChain, in, d, nil))
	for name, c := range map[string]struct {
		field  string
		change func(*chain.Draft)
	}{
		"chain":     {"draft.chain", func(d *chain.Draft) { d.Chain = "eip155:1" }},
		"needs":     {"draft.needs", func(d *chain.Draft) { d.Needs = []chain.Need{{}} }},
		"no lock":   {"draft.locks", func(d *chain.Draft) { d.Locks = nil }},
		"purpose":   {"draft.intent", func(d *chain.Draft) { d.Intent.Purpose = chain.PurposeRefund }},
		"fee payer": {"draft.intent", func(d *chain.Draft) { d.Intent.FeePayer = sponsor }},
		"moves":     {"draft.intent", func(d *chain.Draft) { d.Intent.Moves = nil }},
		"from":      {"draft.intent", func(d *chain.Draft) { d.Intent.Moves[0].From = account("b") }},
		"to":        {"draft.intent", func(d *chain.Draft) { d.Intent.Moves[0].To = stranger }},
		"asset":     {"draft.intent", func(d *chain.Draft) { d.Intent.Moves[0].Asset = usdc }},
		"too much":  {"draft.intent", func(d *chain.Draft) { d.Intent.Moves[0].Amount = units(101) }},
		"taken":     {"draft.locks", func(d *chain.Draft) { d.Locks = []chain.Lock{"nonce:a:0", "nonce:a:9"} }},
	} {
		t.Run(name, func(t *testing.T) {
			in, d := goodDraft()
			c.change(&d)
			refusedField(t, checkDraft(testChain, in, d, map[chain.Lock]bool{"nonce:a:9": true}), c.field)
		})
	}
	d.Fee = units(51)
	var fee *chain.FeeTooHighError
	require.ErrorAs(t, checkDraft(testChain, in, d, nil), &fee)
	in.MaxFee = chain.Amount{}
	require.NoError(t, checkDraft(testChain, in, d, nil), "zero is no cap")
}

func TestCheckDraft_ExactAmount(t *testing.T) {
	in, d := goodDraft()
	in.Moves[0].All = false
	refusedField(t, checkDraft(testChain, in, d, nil), "draft.intent")
	d.Intent.Moves[0].Amount = in.Moves[0].Amount
	require.NoError(t, checkDraft(testChain, in, d, nil))
}

func TestCheckSigned(t *testing.T) {
	_, d := goodDraft()
	d.Locks = []chain.Lock{"x", "y"}
	good := chain.Signed{Chain: testChain, ID: "1", Raw: []byte{1}, Locks: []chain.Lock{"y", "x"}}
	require.NoError(t, checkSigned(d, good))
	for field, change := range map[string]func(*chain.Signed){
		"signed.chain": func(s *chain.Signed) { s.Chain = "eip155:1" },
		"signed.id":    func(s *chain.Signed) { s.ID = "" },
		"signed.locks": func(s *chain.Signed) { s.Locks = []chain.Lock{"x"} },
	} {
		s := good
		change(&s)
		refusedField(t, checkSigned(d, s), field)
	}
	good.Raw = nil
	refusedField(t, checkSigned(d, good), "signed.id")
}

func TestCommonLocks(t *testing.T) {
	attempt := func(locks ...chain.Lock) Attempt { return Attempt{Signed: chain.Signed{Locks: locks}} }
	require.Equal(t, []chain.Lock{"b"}, commonLocks([]Attempt{attempt("a", "b"), attempt("b", "c"), attempt("c", "b")}))
	require.Empty(t, commonLocks([]Attempt{attempt("a", "b"), attempt("b", "c"), attempt("a")}))
}
