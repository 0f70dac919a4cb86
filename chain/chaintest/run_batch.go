package chaintest

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// BatchHarness is a Harness whose client collects from many accounts in one
// transaction (chain.Batcher).
type BatchHarness struct {
	Harness
	// Signer has the keys of the sponsor, and of the sources that the suite makes.
	Signer *Signer
	// Sponsor sends and pays for the batches. It has coin for all of them.
	Sponsor chain.Account
	// Treasury is where they pay.
	Treasury chain.Address
}

// batchCheck is one MUST of transactions of many sources.
type batchCheck struct {
	name string
	run  func(s *batchSuite)
}

// RunBatches checks what a client does with intents of many sources and another
// account that pays the fee, a subtest for each rule. open is called once for each
// subtest, with that subtest.
func RunBatches(t *testing.T, open func(t *testing.T) BatchHarness) {
	t.Helper()
	for _, c := range batchChecks() {
		t.Run(c.name, func(t *testing.T) { c.run(newBatchSuite(t, open(t))) })
	}
}

func batchChecks() []batchCheck {
	return []batchCheck{
		{"Batch/Batching", checkBatchBound},
		{"Batch/Sweeps", checkBatchSweeps},
		{"Batch/AmountsAreFixed", checkBatchAmounts},
		{"Batch/RequestsAreComplete", checkBatchRequests},
		{"Batch/WrongSignaturesRefused", checkBatchSignatures},
		{"Batch/ChangedDraftRefused", checkBatchDraft},
		{"Batch/BadIntentsRefused", checkBatchIntents},
		{"Batch/SourcesInTheWayAreNamed", checkBatchSources},
		{"Batch/FeeTooHigh", checkBatchFee},
		{"Batch/StaleAuthorisationKeepsNothingElseBack", checkBatchStale},
		{"Batch/SpentMoneyKeepsNothingElseBack", checkBatchSpent},
		{"Batch/BumpKeepsLocks", checkBatchBump},
		{"Batch/BumpPastABadSource", checkBatchBumpPast},
		{"Batch/CancelSpendsTheSponsorsLock", checkBatchCancel},
		{"Batch/Reorg", checkBatchReorg},
		{"Batch/WorkIsWhatItTakes", checkBatchWork},
	}
}

// batchSuite is one subtest of RunBatches at work.
type batchSuite struct {
	*suite
	sponsor  chain.Account
	treasury chain.Address
	seed     string
	made     int
}

func newBatchSuite(t tb, h BatchHarness) *batchSuite {
	s := &batchSuite{suite: newSuite(t, h.Harness), sponsor: h.Sponsor, treasury: h.Treasury}
	require.NotNil(s, h.Signer, "BatchHarness.Signer")
	require.NotEmpty(s, h.Sponsor.Address, "BatchHarness.Sponsor")
	require.NotEmpty(s, h.Treasury, "BatchHarness.Treasury")
	// Other accounts than those of other subtests on the same network.
	s.signer, s.seed = h.Signer, fmt.Sprintf("%s %s", t.Name(), s.head().Hash)
	return s
}

// deposit is what each source holds.
const deposit = 1000

// sources makes accounts that the chain has never seen, which hold a deposit each.
func (s *batchSuite) sources(n int) (out []chain.Account) {
	for range n {
		a := s.account(fmt.Sprintf("%s %d", s.seed, s.made))
		s.made++
		out = append(out, a)
	}
	s.deposit(out...)
	return out
}

func (s *batchSuite) deposit(to ...chain.Account) {
	for _, a := range to {
		s.PayToken(TokenPlain, a.Address, units(deposit))
	}
	s.Mine(1)
}

// collect is the intent that moves 101, 102 … from accounts to the treasury.
func (s *batchSuite) collect(of ...chain.Account) chain.Intent {
	in := chain.Intent{Purpose: chain.PurposeCollection, FeePayer: s.sponsor}
	for i, a := range of {
		in.Moves = append(in.Moves, chain.Move{From: a, To: s.treasury, Asset: s.Tokens[TokenPlain], Amount: units(101 + uint64(i))})
	}
	return in
}

// nonce is the lock of an account's n-th transaction, as the draft of a plain one
// spells it.
func (s *batchSuite) nonce(locks []chain.Lock, a chain.Account, n int) {
	s.Helper()
	require.Contains(s, locks, chain.Lock(fmt.Sprintf("nonce:%s:%d", a.Address, n)))
}

// moved requires that a transaction succeeded and moved exactly these moves.
func (s *batchSuite) moved(st chain.TxStatus, moves ...chain.Move) {
	s.Helper()
	require.Equal(s, chain.TxIncluded, st.State, "a batch succeeds, whatever becomes of its moves")
	require.Equal(s, s.sponsor.Address, st.From)
	got, want := map[chain.Address]chain.Amount{}, map[chain.Address]chain.Amount{}
	for _, x := range st.Transfers {
		require.Equal(s, s.treasury, x.To)
		require.Equal(s, s.Tokens[TokenPlain].ID, x.Asset)
		got[x.From] = x.Amount
	}
	for _, m := range moves {
		want[m.From.Address] = m.Amount
	}
	require.Equal(s, want, got)
	require.Len(s, st.Transfers, len(moves), "each once")
}

// lands signs and sends a draft, and returns what became of it.
func (s *batchSuite) lands(x chain.Signed) chain.TxStatus {
	s.Helper()
	s.broadcast(x)
	s.Mine(1)
	return s.status(x.ID)
}

func checkBatchBound(s *batchSuite) {
	b, ok := chain.As[chain.Batcher](s.Client)
	s.need(ok, "the client is no Batcher")
	got := b.Batching()
	require.Equal(s, s.treasury, got.Treasury)
	require.Equal(s, s.sponsor.Address, got.FeePayer)
	require.Positive(s, got.MaxMoves)
}

// checkBatchSweeps: accounts authorise the contract the first time, which uses up a
// nonce of theirs, and need nothing later.
func checkBatchSweeps(s *batchSuite) {
	of := s.sources(3)
	d := s.prepare(s.collect(of...))
	require.Len(s, d.Locks, 4)
	require.Empty(s, d.After)
	for _, a := range of {
		s.nonce(d.Locks[1:], a, 0)
	}
	require.Equal(s, d, s.prepare(s.collect(of...)), "preparing consumes nothing")
	st := s.lands(s.sign(d))
	s.moved(st, d.Intent.Moves...)
	require.Equal(s, d.Locks, st.Locks, "what it consumed is seen on the chain")
	require.Nil(s, st.Unswept)
	require.False(s, d.Fee.Less(st.Fee))
	require.Len(s, s.scan(s.watch(s.treasury)).Transfers, 3)

	more := slices.Concat(of, s.sources(1))
	d = s.prepare(s.collect(more...))
	require.Len(s, d.Locks, 2, "only who does not delegate yet")
	s.nonce(d.Locks[1:], more[3], 0)
	s.moved(s.lands(s.sign(d)), d.Intent.Moves...)
	d = s.prepare(s.collect(more[:1]...))
	require.Len(s, d.Locks, 1)
	s.moved(s.lands(s.sign(d)), d.Intent.Moves...)

	// What an account sends itself goes on from the nonce that it authorised with.
	s.Fund(of[0].Address, s.coins(1))
	own, st := s.send(intent(of[0], of[1].Address, s.Tokens[TokenPlain], units(1)))
	s.nonce(own.Locks, of[0], 1)
	require.Equal(s, chain.TxIncluded, st.State)
}

func checkBatchAmounts(s *batchSuite) {
	in := s.collect(s.sources(3)...)
	for i := range in.Moves {
		in.Moves[i].All = true
	}
	in.Moves[0].Amount, in.Moves[1].Amount, in.Moves[2].Amount = units(0), units(7), units(deposit+1)
	d := s.prepare(in)
	for i, want := range []uint64{deposit, 7, deposit} {
		require.Equal(s, units(want), d.Intent.Moves[i].Amount)
	}
	s.moved(s.lands(s.sign(d)), d.Intent.Moves...)
}

func checkBatchRequests(s *batchSuite) {
	of := s.sources(2)
	d := s.prepare(s.collect(of...))
	var rounds [][]chain.SignRequest
	_, err := s.Client.Sign(s.ctx, d, signerFunc(func(ctx context.Context, r []chain.SignRequest) ([][]byte, error) {
		rounds = append(rounds, r)
		return s.signer.Sign(ctx, r)
	}))
	require.NoError(s, err)
	require.Len(s, rounds, 2, "first all authorisations, then what has them in it")
	require.Len(s, rounds[0], 2)
	for i, r := range rounds[0] {
		require.Equal(s, chain.SignAuthorization, r.Purpose)
		require.Equal(s, of[i].Key, r.Key)
		require.Equal(s, s.info.ID, r.Chain)
	}
	require.Len(s, rounds[1], 1)
	last := rounds[1][0]
	require.Equal(s, chain.SignTransaction, last.Purpose)
	require.Equal(s, s.sponsor.Key, last.Key)
	effects, _, err := s.Client.Codec().Decode(last)
	require.NoError(s, err)
	var want []chain.Effect
	for _, m := range d.Intent.Moves {
		want = append(want, chain.Effect{From: m.From.Address, To: m.To, Asset: m.Asset.ID, Amount: m.Amount})
	}
	require.Equal(s, want, effects.Effects)
	require.Equal(s, d.Locks[1:], effects.Locks)
	require.False(s, d.Fee.Less(effects.MaxFee))
	require.NotEmpty(s, effects.Contract)
}

func checkBatchSignatures(s *batchSuite) {
	d := s.prepare(s.collect(s.sources(2)...))
	for name, spoil := range map[string]func(good [][]byte) [][]byte{
		"none":    func([][]byte) [][]byte { return nil },
		"short":   func(g [][]byte) [][]byte { g[0] = g[0][:64]; return g },
		"changed": func(g [][]byte) [][]byte { g[0][3] ^= 1; return g },
		"high s":  func(g [][]byte) [][]byte { g[0] = highS(g[0]); return g },
		"swapped": func(g [][]byte) [][]byte { slices.Reverse(g); return append(g, g[0])[:len(g)+len(g)%2] },
	} {
		for _, purpose := range []chain.SignPurpose{chain.SignAuthorization, chain.SignTransaction} {
			_, err := s.Client.Sign(s.ctx, d, signerFunc(func(ctx context.Context, r []chain.SignRequest) ([][]byte, error) {
				good, err := s.signer.Sign(ctx, r)
				if err != nil || r[0].Purpose != purpose {
					return good, err
				}
				return spoil(good), nil
			}))
			require.ErrorIs(s, err, chain.ErrInvalidSignature, "%s %s", name, purpose)
		}
	}
	s.sign(d)
}

func checkBatchDraft(s *batchSuite) {
	good := s.prepare(s.collect(s.sources(2)...))
	for name, spoil := range map[string]func(d *chain.Draft){
		"amount":    func(d *chain.Draft) { d.Intent.Moves[1].Amount = units(1) },
		"fewer":     func(d *chain.Draft) { d.Intent.Moves = d.Intent.Moves[:1] },
		"fee":       func(d *chain.Draft) { d.Fee = units(1) },
		"locks":     func(d *chain.Draft) { d.Locks = d.Locks[:2] },
		"fee payer": func(d *chain.Draft) { d.Intent.FeePayer = s.account(s.seed + " other") },
		"cut":       func(d *chain.Draft) { d.Payload = d.Payload[:len(d.Payload)-1] },
		"chain":     func(d *chain.Draft) { d.Chain = "eip155:424242" },
	} {
		d := good
		d.Intent.Moves = slices.Clone(good.Intent.Moves)
		spoil(&d)
		_, err := s.Client.Sign(s.ctx, d, signerFunc(func(context.Context, []chain.SignRequest) ([][]byte, error) {
			s.Errorf("a draft with another %s got as far as the signer", name)
			return nil, nil
		}))
		require.Error(s, err, name)
	}
}

func checkBatchIntents(s *batchSuite) {
	of := s.sources(2)
	for name, spoil := range map[string]func(in *chain.Intent){
		"another destination": func(in *chain.Intent) { in.Moves[1].To = of[0].Address },
		"a source twice":      func(in *chain.Intent) { in.Moves[1].From = of[0] },
		"nothing":             func(in *chain.Intent) { in.Moves[1].Amount = units(0) },
		"a foreign lock":      func(in *chain.Intent) { in.Reuse = []chain.Lock{"nonce:" + chain.Lock(of[0].Address) + ":0"} },
	} {
		in := s.collect(of...)
		spoil(&in)
		_, err := s.Client.Prepare(s.ctx, in)
		var bad *chain.FormatError
		require.ErrorAs(s, err, &bad, name)
	}
	mixed := s.collect(of...)
	mixed.Moves[1].Asset = s.info.Native
	_, err := s.Client.Prepare(s.ctx, mixed)
	require.ErrorIs(s, err, chain.ErrUnsupported)
	refund := s.collect(of...)
	refund.Purpose = chain.PurposeRefund
	_, err = s.Client.Prepare(s.ctx, refund)
	require.ErrorIs(s, err, chain.ErrUnsupported)
}

// hugeAmount is 2^200.
func hugeAmount(s *batchSuite) chain.Amount {
	a, err := chain.AmountFromBig(new(big.Int).Lsh(big.NewInt(1), 200))
	require.NoError(s, err)
	return a
}

// checkBatchSources: all that are in the way are told at once, so that one more
// question does.
func checkBatchSources(s *batchSuite) {
	of := s.sources(4)
	in := s.collect(of...)
	in.Moves[0].Amount = units(deposit + 1)
	in.Moves[3].Amount = hugeAmount(s) // more than a client may have room for
	in.Taken = []chain.Lock{"nonce:" + chain.Lock(of[2].Address) + ":0"}
	_, err := s.Client.Prepare(s.ctx, in)
	var sources *chain.SourcesError
	require.ErrorAs(s, err, &sources)
	require.Len(s, sources.Sources, 3)
	require.Equal(s, of[0].Address, sources.Sources[0].Account)
	require.Equal(s, of[2].Address, sources.Sources[1].Account)
	require.Equal(s, of[3].Address, sources.Sources[2].Account)
	var short *chain.InsufficientFundsError
	require.ErrorAs(s, sources.Sources[0], &short)
	require.Equal(s, units(deposit), short.Available)
	require.Equal(s, units(deposit+1), short.Required)
	in.Moves[3].Amount = units(deposit)
	in.Moves = []chain.Move{in.Moves[1], in.Moves[3]}
	s.moved(s.lands(s.sign(s.prepare(in))), in.Moves...)

	// What is refused is refused on the same word again, and moves once it may.
	in = s.collect(of[2])
	in.Taken = []chain.Lock{"nonce:" + chain.Lock(of[2].Address) + ":0"}
	_, err = s.Client.Prepare(s.ctx, in)
	require.ErrorAs(s, err, &sources)
	in.Taken = nil
	s.moved(s.lands(s.sign(s.prepare(in))), in.Moves...)
	empty := s.collect(s.account(s.seed + " empty"))
	empty.Moves[0].All, empty.Moves[0].Amount = true, units(0)
	_, err = s.Client.Prepare(s.ctx, empty)
	require.ErrorAs(s, err, &sources)
}

func checkBatchFee(s *batchSuite) {
	in := withCap(s.collect(s.sources(2)...), units(1))
	_, err := s.Client.Prepare(s.ctx, in)
	var high *chain.FeeTooHighError
	require.ErrorAs(s, err, &high)
	require.Equal(s, units(1), high.Cap)
	in.MaxFee = s.prepare(withCap(in, chain.Amount{})).Fee
	require.False(s, in.MaxFee.Less(s.prepare(in).Fee), "a fee at the cap is within it")
}

// checkBatchStale: an account used the nonce that its authorisation is for.
func checkBatchStale(s *batchSuite) {
	of := s.sources(3)
	s.Fund(of[1].Address, s.coins(1))
	d := s.prepare(s.collect(of...))
	x := s.sign(d)
	own := intent(of[1], of[1].Address, s.info.Native, units(0))
	own.Purpose = chain.PurposeCancel
	s.send(own)
	st := s.lands(x)
	s.moved(st, d.Intent.Moves[0], d.Intent.Moves[2])
	require.Equal(s, &chain.Unswept{Tried: 3, Failed: []chain.UnsweptMove{{Account: of[1].Address, Amount: units(102)}}}, st.Unswept)
	require.Equal(s, d.Locks, st.Locks, "as the transaction names them")
	d = s.prepare(s.collect(of[1]))
	s.nonce(d.Locks[1:], of[1], 1)
	s.moved(s.lands(s.sign(d)), d.Intent.Moves...)
}

// checkBatchSpent: an account that delegates already spent what it was to give.
func checkBatchSpent(s *batchSuite) {
	of := s.sources(3)
	s.lands(s.sign(s.prepare(s.collect(of...))))
	s.Fund(of[0].Address, s.coins(1))
	d := s.prepare(s.collect(of...))
	x := s.sign(d)
	s.send(all(of[0], s.account(s.seed+" elsewhere").Address, s.Tokens[TokenPlain]))
	st := s.lands(x)
	s.moved(st, d.Intent.Moves[1:]...)
	require.Equal(s, []chain.UnsweptMove{{Account: of[0].Address, Amount: units(101)}}, st.Unswept.Failed)
	_, err := s.Client.Prepare(s.ctx, s.collect(of...))
	var sources *chain.SourcesError
	require.ErrorAs(s, err, &sources)
	require.Len(s, sources.Sources, 1)
}

func (s *batchSuite) bumper() chain.FeeBumper {
	b, ok := chain.As[chain.FeeBumper](s.Client)
	s.need(ok, "the client is no FeeBumper")
	s.need(!s.MinesAtOnce, "on this network nothing ever waits")
	return b
}

func checkBatchBump(s *batchSuite) {
	bumper := s.bumper()
	in := s.collect(s.sources(2)...)
	d := s.prepare(in)
	old := s.sign(d)
	s.broadcast(old)
	in.Taken = d.Locks
	by, err := bumper.Bump(s.ctx, in, old)
	require.NoError(s, err)
	require.Equal(s, d.Locks, by.Locks)
	require.Equal(s, d.Intent.Moves, by.Intent.Moves)
	require.True(s, d.Fee.Less(by.Fee), "it offers more")
	st := s.lands(s.sign(by))
	s.moved(st, by.Intent.Moves...)
	require.Equal(s, d.Locks, st.Locks)
	require.Equal(s, chain.TxUnknown, s.status(old.ID).State, "what was replaced is gone")
	require.ErrorIs(s, s.tryBroadcast(old), chain.ErrLockSpent)

	_, err = bumper.Bump(s.ctx, s.collect(s.sources(2)...), old)
	require.Error(s, err, "a batch is replaced by one of the same sources")
}

// checkBatchBumpPast: what comes into the way of one source while a batch waits does
// not keep the batch from being replaced, which would leave the sponsor's nonce stuck.
func checkBatchBumpPast(s *batchSuite) {
	bumper, ok := chain.As[chain.FeeBumper](s.Client)
	s.need(ok, "the client is no FeeBumper")
	of := s.sources(3)
	s.lands(s.sign(s.prepare(s.collect(of...))))
	of = append(of, s.sources(1)...)
	s.Fund(of[1].Address, s.coins(1))
	in := s.collect(of...)
	d := s.prepare(in)
	old := s.sign(d)
	s.send(all(of[1], s.account(s.seed+" elsewhere").Address, s.Tokens[TokenPlain]))
	in.Taken = d.Locks
	by, err := bumper.Bump(s.ctx, in, old)
	require.NoError(s, err)
	require.Equal(s, d.Locks, by.Locks)
	require.Equal(s, d.Intent.Moves, by.Intent.Moves)
	st := s.lands(s.sign(by))
	s.moved(st, d.Intent.Moves[0], d.Intent.Moves[2], d.Intent.Moves[3])
	require.Len(s, st.Unswept.Failed, 1)
}

func checkBatchCancel(s *batchSuite) {
	bumper := s.bumper()
	of := s.sources(2)
	old := s.sign(s.prepare(s.collect(of...)))
	s.broadcast(old)
	cancel := intent(s.sponsor, s.sponsor.Address, s.info.Native, units(0))
	cancel.Purpose = chain.PurposeCancel
	d, err := bumper.Bump(s.ctx, cancel, old)
	require.NoError(s, err)
	require.Equal(s, old.Locks[:1], d.Locks)
	st := s.lands(s.sign(d))
	require.Equal(s, chain.TxIncluded, st.State)
	require.Equal(s, chain.TxUnknown, s.status(old.ID).State)
	d = s.prepare(s.collect(of...))
	require.Equal(s, old.Locks[1:], d.Locks[1:], "the sources' nonces are free again")
	s.moved(s.lands(s.sign(d)), d.Intent.Moves...)
}

// checkBatchReorg: after a reorg that brings the batch again it moved once.
func checkBatchReorg(s *batchSuite) {
	s.need(s.Reorg != nil, "the network has no reorgs")
	of := s.sources(2)
	d := s.prepare(s.collect(of...))
	x := s.sign(d)
	s.moved(s.lands(x), d.Intent.Moves...)
	s.Reorg(1)
	s.Mine(1)
	st := s.status(x.ID)
	s.moved(st, d.Intent.Moves...)
	require.Equal(s, d.Locks, st.Locks)
	require.Len(s, s.scan(s.watch(s.treasury)).Transfers, 2)
	require.Len(s, s.prepare(s.collect(of...)).Locks, 1, "they delegate on the new branch too")
}
