package chaintest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// Harness is a client under test and what the suite needs of the network behind
// it. Its functions fail the test that opened it; they are not called
// concurrently. Several subtests may share one network, since each uses fresh
// accounts and looks only at blocks made during its own time.
type Harness struct {
	// Client is what is tested. It knows the listed tokens below.
	Client chain.Client
	// Mine makes at least n blocks. What waits in the mempool and can be
	// executed is in a block afterwards.
	Mine func(n int)
	// Fund gives an account native coin, spendable at the head when it returns.
	Fund func(to chain.Address, amount chain.Amount)
	// PayNative has a stranger send native coin in a plain transaction. It
	// returns when the network has accepted it, and does not wait for a block.
	// It uses a fixed gas limit, since Rejecter is paid with it too.
	PayNative func(to chain.Address, amount chain.Amount) chain.TxID
	// PayToken has a stranger call transfer(to, amount) of a token in Tokens,
	// with the same manners.
	PayToken func(kind TokenKind, to chain.Address, amount chain.Amount) chain.TxID
	// Tokens are the token contracts there are. TokenPlain is required; subtests
	// of other kinds are skipped where they are missing.
	Tokens map[TokenKind]chain.Asset

	// PayMany has a stranger send these amounts of a token to one address in
	// one transaction, a log each. Nil: there is no such contract.
	PayMany func(kind TokenKind, to chain.Address, amounts ...chain.Amount) chain.TxID
	// SendCoin has a contract of a stranger's send native coin on by an internal
	// call, in a transaction that succeeds and names the contract. Nil: none.
	SendCoin func(to chain.Address, amount chain.Amount) chain.TxID
	// ForceCoin has a contract destroyed in favour of an address. Nil: none.
	ForceCoin func(to chain.Address, amount chain.Amount) chain.TxID
	// SendReverted has a contract send native coin on in a call that is reverted
	// afterwards, in a transaction that succeeds. Nil: none.
	SendReverted func(to chain.Address, amount chain.Amount) chain.TxID
	// Traces says that the node can look into the execution of a block, so that a
	// client which is a chain.Tracer finds such coin.
	Traces bool
	// Rejecter is a contract that reverts whatever it is paid. Empty: none.
	Rejecter chain.Address
	// Reorg replaces the newest depth blocks by at least one more, which hold
	// the same transactions, in another block or at another place where the
	// network can do that. Nil: the network has no reorgs.
	Reorg func(depth int)
	// MinesAtOnce says that an accepted transaction is in a block before
	// anybody can ask for it: nothing ever waits.
	MinesAtOnce bool
}

// tb is the part of *testing.T that checks use, so that the suite's own tests
// can watch a check fail.
type tb interface {
	require.TestingT
	Context() context.Context
	Name() string
	Helper()
	Logf(format string, args ...any)
	Skipf(format string, args ...any)
}

// check is one MUST of the port.
type check struct {
	name string
	run  func(s *suite)
}

// Run checks a client against the contract of chain.Client, a subtest for each
// rule. open is called once for each subtest, with that subtest.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) { c.run(newSuite(t, open(t))) })
	}
}

func checks() []check {
	var all []check
	for _, group := range [][]check{
		readChecks(), transferChecks(), tokenChecks(), reorgChecks(), statusChecks(),
		capabilityChecks(), traceChecks(), prepareChecks(), signChecks(), broadcastChecks(), codecChecks(), useChecks(),
	} {
		all = append(all, group...)
	}
	return all
}

// suite is one subtest at work.
type suite struct {
	tb
	Harness

	ctx    context.Context
	info   chain.Info
	signer *Signer
	start  uint64 // the first block that this subtest can have caused
}

func newSuite(t tb, h Harness) *suite {
	s := &suite{tb: t, Harness: h, ctx: t.Context()}
	s.Helper()
	require.NotNil(s, h.Client, "Harness.Client")
	require.NotNil(s, h.Mine, "Harness.Mine")
	require.NotNil(s, h.Fund, "Harness.Fund")
	require.NotNil(s, h.PayNative, "Harness.PayNative")
	require.NotNil(s, h.PayToken, "Harness.PayToken")
	require.Contains(s, h.Tokens, TokenPlain, "Harness.Tokens")
	s.info = h.Client.Info()
	head := s.head()
	s.start = head.Height + 1
	// The head is part of the seed: a second run against the same network must
	// not meet the accounts of the first.
	s.signer = NewSigner(h.Client.Codec(), fmt.Sprintf("%s %s", t.Name(), head.Hash))
	return s
}

// need skips the subtest where the network cannot do what it needs.
func (s *suite) need(ok bool, reason string) {
	s.Helper()
	if !ok {
		s.Skipf("skipped: %s", reason)
	}
}

// How often and how soon a call is made again that failed transiently: a node
// that has just started, or just mined, may not know yet what it will know.
const (
	attempts = 100
	pause    = 50 * time.Millisecond
)

// patiently calls again what fails with chain.ErrTransient or chain.ErrReorg.
// The port allows these answers at any time; a network at rest stops giving
// them.
func patiently[T any](s *suite, call func() (T, error)) (T, error) {
	for i := 1; ; i++ {
		out, err := call()
		if i == attempts || !errors.Is(err, chain.ErrTransient) && !errors.Is(err, chain.ErrReorg) {
			return out, err
		}
		select {
		case <-time.After(pause):
		case <-s.ctx.Done():
			return out, err
		}
	}
}

// account returns an account that no other subtest uses.
func (s *suite) account(name string) chain.Account { return s.signer.Account(name) }

// rich returns an account with a whole coin.
func (s *suite) rich(name string) chain.Account {
	a := s.account(name)
	s.Fund(a.Address, s.coins(1))
	return a
}

// coins returns n whole units of the native coin.
func (s *suite) coins(n uint64) chain.Amount {
	a, err := chain.ParseAmount(fmt.Sprint(n), s.info.Native.Decimals)
	require.NoError(s, err)
	return a
}

// token returns the token of a kind, or skips the subtest.
func (s *suite) token(kind TokenKind) chain.Asset {
	a, ok := s.Tokens[kind]
	s.need(ok, fmt.Sprintf("the network has no token of kind %q", kind))
	return a
}

// listed are the tokens that a Watch asks for: all that a careful operator
// would list, and those that misbehave although they are listed.
func (s *suite) listed() []chain.Asset {
	var out []chain.Asset
	for _, kind := range []TokenKind{TokenPlain, TokenNoReturn, TokenFalse, TokenNFT, TokenLongData} {
		if a, ok := s.Tokens[kind]; ok {
			out = append(out, a)
		}
	}
	return out
}

func (s *suite) watch(addresses ...chain.Address) *WatchSet {
	return NewWatch(s.Client.Codec(), s.listed(), addresses...)
}

func (s *suite) head() chain.BlockRef {
	s.Helper()
	h, err := patiently(s, func() (chain.Head, error) { return s.Client.Head(s.ctx) })
	require.NoError(s, err, "Head")
	return h.Latest
}

// scan reads all blocks since the subtest began, page by page, and joins them.
func (s *suite) scan(w chain.Watch) chain.Page {
	s.Helper()
	return s.scanFrom(s.start, w)
}

func (s *suite) scanFrom(from uint64, w chain.Watch) chain.Page {
	s.Helper()
	var all chain.Page
	for to := s.head().Height; from <= to; {
		p, err := patiently(s, func() (chain.Page, error) { return s.Client.Transfers(s.ctx, from, to, w) })
		require.NoError(s, err, "Transfers from %d", from)
		s.checkPage(p, from, to)
		if len(all.Blocks) > 0 {
			require.Equal(s, all.Last().Hash, p.Blocks[0].Parent, "pages are linked")
		}
		all.Blocks = append(all.Blocks, p.Blocks...)
		all.Transfers = append(all.Transfers, p.Transfers...)
		all.Spends = append(all.Spends, p.Spends...)
		from = p.Last().Height + 1
	}
	return all
}

// checkPage checks what every page promises.
func (s *suite) checkPage(p chain.Page, from, to uint64) {
	s.Helper()
	require.NotEmpty(s, p.Blocks, "a page has at least one block")
	require.LessOrEqual(s, uint64(len(p.Blocks)), s.info.PageBlocks, "Info.PageBlocks bounds a page")
	require.Equal(s, from, p.Blocks[0].Height, "the first block has the height asked for")
	require.LessOrEqual(s, p.Last().Height, to, "no block above the one asked for")
	s.linked(p.Blocks)
	at := map[uint64]chain.BlockRef{}
	for _, b := range p.Blocks {
		at[b.Height] = b
	}
	seen := map[chain.TransferID]bool{}
	var last chain.Transfer
	for _, x := range p.Transfers {
		require.Equal(s, at[x.Block].Hash, x.Hash, "a transfer names a block of its page")
		require.False(s, x.Amount.IsZero(), "a transfer has an amount")
		require.NotEmpty(s, x.Via, "Via")
		require.False(s, seen[x.ID], "transfer %s twice in one page", x.ID)
		seen[x.ID] = true
		order := cmp.Or(cmp.Compare(last.Block, x.Block), cmp.Compare(last.TxIndex, x.TxIndex), strings.Compare(last.ID.Ordinal, x.ID.Ordinal))
		require.Negative(s, order, "transfers are ordered by height, index and ordinal")
		last = x
	}
	for _, x := range p.Spends {
		require.Equal(s, at[x.Block.Height], x.Block, "a spend names a block of its page")
	}
}

// linked checks a run of blocks.
func (s *suite) linked(blocks []chain.BlockRef) {
	s.Helper()
	for i, b := range blocks {
		require.NotEmpty(s, b.Hash, "a block has a hash")
		require.False(s, b.Time.IsZero(), "a block has a time")
		if i > 0 {
			require.Equal(s, blocks[i-1].Hash, b.Parent, "block %d is linked to its parent", b.Height)
			require.Greater(s, b.Height, blocks[i-1].Height, "heights grow")
		}
	}
}

// status looks one transaction up.
func (s *suite) status(id chain.TxID) chain.TxStatus {
	s.Helper()
	out := s.statuses(id)
	require.Len(s, out, 1, "one entry for one id")
	require.Equal(s, id, out[0].ID)
	return out[0]
}

func (s *suite) statuses(ids ...chain.TxID) []chain.TxStatus {
	s.Helper()
	out, err := patiently(s, func() ([]chain.TxStatus, error) { return s.Client.Status(s.ctx, ids...) })
	require.NoError(s, err, "Status")
	return out
}

// intent moves an amount from an account of ours.
func intent(from chain.Account, to chain.Address, asset chain.Asset, n chain.Amount) chain.Intent {
	return chain.Intent{Purpose: chain.PurposeCollection, Moves: []chain.Move{{From: from, To: to, Asset: asset, Amount: n}}}
}

// all moves everything that an account has of an asset.
func all(from chain.Account, to chain.Address, asset chain.Asset) chain.Intent {
	in := intent(from, to, asset, chain.Amount{})
	in.Moves[0].All = true
	return in
}

// prepare makes a draft that can be signed.
func (s *suite) prepare(in chain.Intent) chain.Draft {
	s.Helper()
	d, err := patiently(s, func() (chain.Draft, error) { return s.Client.Prepare(s.ctx, in) })
	require.NoError(s, err, "Prepare")
	require.Equal(s, s.info.ID, d.Chain, "Draft.Chain")
	require.Empty(s, d.Needs, "Draft.Needs")
	require.NotEmpty(s, d.Locks, "a payable draft has a lock")
	require.NotEmpty(s, d.Payload, "a payable draft has a payload")
	require.False(s, d.Fee.IsZero(), "Draft.Fee")
	require.Len(s, d.Intent.Moves, len(in.Moves), "Draft.Intent.Moves")
	return d
}

func (s *suite) sign(d chain.Draft) chain.Signed {
	s.Helper()
	signed, err := s.Client.Sign(s.ctx, d, s.signer)
	require.NoError(s, err, "Sign")
	require.Equal(s, s.info.ID, signed.Chain, "Signed.Chain")
	require.NotEmpty(s, signed.ID, "the id is known before the broadcast")
	require.NotEmpty(s, signed.Raw, "Signed.Raw")
	require.Equal(s, d.Locks, signed.Locks, "Signed.Locks are those of the draft")
	return signed
}

func (s *suite) broadcast(x chain.Signed) {
	s.Helper()
	require.NoError(s, s.tryBroadcast(x), "Broadcast")
}

func (s *suite) tryBroadcast(x chain.Signed) error {
	_, err := patiently(s, func() (struct{}, error) { return struct{}{}, s.Client.Broadcast(s.ctx, x) })
	return err
}

// send carries an intent out, and returns its draft and its final status.
func (s *suite) send(in chain.Intent) (chain.Draft, chain.TxStatus) {
	s.Helper()
	d := s.prepare(in)
	signed := s.sign(d)
	s.broadcast(signed)
	s.Mine(1)
	return d, s.status(signed.ID)
}

// units returns n base units.
func units(n uint64) chain.Amount { return chain.NewAmount(n) }
