package chaintest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func capabilityChecks() []check {
	return []check{
		{"Balances/AtBlock", checkBalances},
		{"Balances/UnknownBlock", checkBalancesUnknown},
		{"Balances/Many", checkManyBalances},
		{"Identify/ThisChain", checkIdentify},
		{"Inspect/Token", checkInspect},
		{"DryRun/TellsFailure", checkDryRun},
		{"Batching/Coherent", checkBatching},
		{"Work/Coherent", checkWork},
		{"Work/IsWhatTransfersTake", checkWorkAlone},
	}
}

func codecChecks() []check {
	return []check{
		{"Codec/RoundTrip", checkCodec},
		{"Codec/WrongAddressesRefused", checkWrongAddresses},
		{"Codec/DecodeRefusesWhatItDoesNotKnow", checkDecodeStrict},
		{"Codec/PaymentURI", checkURI},
	}
}

func useChecks() []check {
	return []check{
		{"As/ThroughWrapper", checkAs},
		{"Context/Cancelled", checkCancelled},
		{"Concurrent/Use", checkConcurrent},
	}
}

func checkBalances(s *suite) {
	reader, ok := chain.As[chain.BalanceReader](s.Client)
	s.need(ok, "the client is no BalanceReader")
	a, b, token := s.account("a").Address, s.account("b").Address, s.Tokens[TokenPlain]
	s.Mine(1)
	before := s.head().Hash
	s.PayNative(a, units(11))
	s.PayToken(TokenPlain, b, units(22))
	s.Mine(1)
	after := s.head().Hash
	s.PayNative(a, units(100))
	s.Mine(1)
	of := []chain.Holding{{Address: b, Asset: token}, {Address: a, Asset: s.info.Native}, {Address: a, Asset: token}}
	for _, c := range []struct {
		at   chain.BlockHash
		want []chain.Amount
	}{
		{before, []chain.Amount{{}, {}, {}}},
		{after, []chain.Amount{units(22), units(11), {}}},
		{"", []chain.Amount{units(22), units(111), {}}},
	} {
		got, err := reader.Balances(s.ctx, c.at, of)
		require.NoError(s, err)
		require.Equal(s, c.want, got, "one amount for each holding, in order, at block %q", c.at)
	}
}

// checkManyBalances asks for more than anybody asks for one by one.
func checkManyBalances(s *suite) {
	reader, ok := chain.As[chain.BalanceReader](s.Client)
	s.need(ok, "the client is no BalanceReader")
	a, b := s.account("a").Address, s.account("b").Address
	s.PayNative(a, units(123_456_789))
	s.PayNative(b, units(7))
	s.Mine(1)
	of := []chain.Holding{{Address: a, Asset: s.info.Native}}
	want := []chain.Amount{units(123_456_789)}
	for i := range 60 {
		of, want = append(of, chain.Holding{Address: s.account(fmt.Sprint("nobody ", i)).Address, Asset: s.info.Native}), append(want, chain.Amount{})
	}
	of, want = append(of, chain.Holding{Address: b, Asset: s.info.Native}), append(want, units(7))
	for _, at := range []chain.BlockHash{"", s.head().Hash} {
		got, err := reader.Balances(s.ctx, at, of)
		require.NoError(s, err)
		require.Equal(s, want, got)
	}
	_, err := reader.Balances(s.ctx, chain.BlockHash(nowhere), of)
	require.Error(s, err, "an unknown block is never answered by another one")
}

func checkBalancesUnknown(s *suite) {
	reader, ok := chain.As[chain.BalanceReader](s.Client)
	s.need(ok, "the client is no BalanceReader")
	_, err := reader.Balances(s.ctx, chain.BlockHash(nowhere), []chain.Holding{{Address: s.account("a").Address, Asset: s.info.Native}})
	require.Error(s, err, "an unknown block is never answered by another one")
}

// checkBatching checks what a client says of batches, and that it makes none that are
// otherwise. Sources that could be collected are more than a harness knows of.
func checkBatching(s *suite) {
	batcher, ok := chain.As[chain.Batcher](s.Client)
	s.need(ok, "the client is no Batcher")
	b := batcher.Batching()
	require.Equal(s, b, batcher.Batching(), "it does not change")
	if b.MaxMoves == 0 {
		require.Zero(s, b, "who is not set up for it says nothing")
		return
	}
	require.Greater(s, b.MaxMoves, 1, "many moves")
	require.NotEqual(s, b.Treasury, b.FeePayer)
	for _, a := range []chain.Address{b.Treasury, b.FeePayer} {
		is, err := s.Client.Codec().Parse(string(a))
		require.NoError(s, err)
		require.Equal(s, a, is, "canonical")
	}
	good := chain.Intent{Purpose: chain.PurposeCollection, FeePayer: chain.Account{Address: b.FeePayer}}
	for _, name := range []string{"a", "b"} {
		from := s.account(name)
		s.PayToken(TokenPlain, from.Address, units(100))
		good.Moves = append(good.Moves, chain.Move{From: from, To: b.Treasury, Asset: s.Tokens[TokenPlain], Amount: units(100)})
	}
	s.Mine(1)
	for name, spoil := range map[string]func(in *chain.Intent){
		"another fee payer": func(in *chain.Intent) { in.FeePayer = s.account("payer") },
		"another treasury":  func(in *chain.Intent) { in.Moves[1].To = s.account("elsewhere").Address },
	} {
		bad := good
		bad.Moves = append([]chain.Move{}, good.Moves...)
		spoil(&bad)
		_, err := s.Client.Prepare(s.ctx, bad)
		var wrong *chain.FormatError
		require.ErrorAs(s, err, &wrong, name)
	}
}

func checkIdentify(s *suite) {
	identifier, ok := chain.As[chain.Identifier](s.Client)
	s.need(ok, "the client is no Identifier")
	id, err := identifier.Identify(s.ctx)
	require.NoError(s, err)
	require.Equal(s, s.info.ID, id.ID)
	refs, err := s.Client.Headers(s.ctx, 0, 0)
	require.NoError(s, err)
	require.Len(s, refs, 1)
	require.Equal(s, refs[0].Hash, id.Genesis)
}

func checkInspect(s *suite) {
	inspector, ok := chain.As[chain.TokenInspector](s.Client)
	s.need(ok, "the client is no TokenInspector")
	a := s.Tokens[TokenPlain]
	token, err := inspector.Inspect(s.ctx, a)
	require.NoError(s, err)
	require.Equal(s, a.Decimals, token.Decimals)
	require.Equal(s, a.Symbol, token.Symbol)
	again, err := inspector.Inspect(s.ctx, a)
	require.NoError(s, err)
	require.Equal(s, token.CodeHash, again.CodeHash, "the same code has the same hash")
	a.Contract = s.account("no contract").Address
	a.ID, err = chain.MakeAssetID(s.info.ID, a.ID.Namespace(), string(a.Contract))
	require.NoError(s, err)
	_, err = inspector.Inspect(s.ctx, a)
	require.ErrorIs(s, err, chain.ErrNoContract)
}

func checkDryRun(s *suite) {
	dry, ok := chain.As[chain.DryRunner](s.Client)
	s.need(ok, "the client is no DryRunner")
	from, to, a := s.rich("from"), s.account("to").Address, s.Tokens[TokenPlain]
	s.PayToken(TokenPlain, from.Address, units(700))
	s.Mine(1)
	require.NoError(s, dry.DryRun(s.ctx, intent(from, to, s.info.Native, units(1))))
	require.NoError(s, dry.DryRun(s.ctx, intent(from, to, a, units(700))))
	var failed *chain.RevertError
	require.ErrorAs(s, dry.DryRun(s.ctx, intent(from, to, a, units(701))), &failed)
	if s.Rejecter != "" {
		require.ErrorAs(s, dry.DryRun(s.ctx, intent(from, s.Rejecter, s.info.Native, units(1))), &failed)
	}
	if token, ok := s.Tokens[TokenFalse]; ok {
		require.Error(s, dry.DryRun(s.ctx, intent(from, to, token, units(1))), "a token that returns false would not move")
	}
	require.Empty(s, s.scan(s.watch(to)).Transfers, "trying sends nothing")
}

func checkCodec(s *suite) {
	c := s.Client.Codec()
	key, err := crypto.ToECDSA(s.signer.secret("key"))
	require.NoError(s, err)
	s.need(s.info.Curve == chain.Secp256k1, "the suite makes keys for secp256k1 only")
	long, err := c.FromPublicKey(nil, crypto.FromECDSAPub(&key.PublicKey))
	require.NoError(s, err)
	short, err := c.FromPublicKey([]byte("before"), crypto.CompressPubkey(&key.PublicKey))
	require.NoError(s, err)
	require.Equal(s, "before"+string(long), string(short), "both forms are the same key, appended")
	address, err := c.Format(long)
	require.NoError(s, err)
	parsed, err := c.Parse(string(address))
	require.NoError(s, err)
	require.Equal(s, address, parsed, "the canonical form is its own")
	keys, err := c.WatchKeys(address)
	require.NoError(s, err)
	require.Contains(s, keys, long, "a scanner finds the address by its raw key")
	require.NotEqual(s, c.Path(0, 1), c.Path(1, 1))
	require.NotEqual(s, c.Path(0, 1), c.Path(0, 2))
	_, err = c.FromPublicKey(nil, []byte{4, 1, 2})
	require.Error(s, err, "what is no key has no address")
	_, err = c.Format([]byte{1})
	require.Error(s, err, "what is no raw key has no address")
}

func checkWrongAddresses(s *suite) {
	c := s.Client.Codec()
	good := string(s.account("a").Address)
	bad := []string{"", "x", good[:len(good)-1], good + "0", " " + good, good + " ", good + "\n", strings.Repeat("1", 4096)}
	// Turning the case of one letter breaks a checksum that lies in the case.
	if at := strings.IndexAny(good[2:], "abcdefABCDEF"); at >= 0 && s.info.ID.Namespace() == "eip155" {
		turned := []byte(good)
		turned[at+2] ^= 0x20
		bad = append(bad, string(turned))
	}
	for _, text := range bad {
		_, err := c.Parse(text)
		var format *chain.FormatError
		require.ErrorAs(s, err, &format, "%.60q", text)
		require.NotEmpty(s, format.Reason)
	}
}

// checkDecodeStrict spoils a payload in ways that a policy must never sign.
func checkDecodeStrict(s *suite) {
	d := s.prepare(intent(s.rich("from"), s.account("to").Address, s.info.Native, units(1000)))
	var good chain.SignRequest
	_, err := s.Client.Sign(s.ctx, d, signerFunc(func(ctx context.Context, r []chain.SignRequest) ([][]byte, error) {
		good = r[len(r)-1]
		return s.signer.Sign(ctx, r)
	}))
	require.NoError(s, err)
	c := s.Client.Codec()
	_, digest, err := c.Decode(good)
	require.NoError(s, err)
	require.NotEmpty(s, digest)
	for name, spoil := range map[string]func(r *chain.SignRequest){
		"no payload":    func(r *chain.SignRequest) { r.Payload = nil },
		"cut":           func(r *chain.SignRequest) { r.Payload = r.Payload[:len(r.Payload)-1] },
		"longer":        func(r *chain.SignRequest) { r.Payload = append(append([]byte(nil), r.Payload...), 0) },
		"other chain":   func(r *chain.SignRequest) { r.Chain += "0" },
		"other purpose": func(r *chain.SignRequest) { r.Purpose = chain.SignAuthorization },
		"no purpose":    func(r *chain.SignRequest) { r.Purpose = "" },
		"no scheme":     func(r *chain.SignRequest) { r.Scheme = "" },
	} {
		r := good
		spoil(&r)
		_, _, err := c.Decode(r)
		require.Error(s, err, name)
	}
}

func checkURI(s *suite) {
	to := s.account("to").Address
	for _, a := range []chain.Asset{s.info.Native, s.Tokens[TokenPlain]} {
		uri, err := s.Client.Codec().PaymentURI(a, to, units(1_000_000))
		require.NoError(s, err)
		require.Contains(s, uri, string(to))
		require.Contains(s, uri, ":")
		other, err := s.Client.Codec().PaymentURI(a, to, units(2_000_000))
		require.NoError(s, err)
		require.NotEqual(s, uri, other, "the amount is in it")
	}
	_, err := s.Client.Codec().PaymentURI(s.info.Native, "nobody", units(1))
	require.Error(s, err)
}

// wrapped is a client inside another one that hands capabilities out.
type wrapped struct{ chain.Client }

func (w wrapped) As(target any) bool {
	switch t := target.(type) {
	case *chain.BalanceReader:
		inner, ok := chain.As[chain.BalanceReader](w.Client)
		*t = inner
		return ok
	case *chain.Identifier:
		inner, ok := chain.As[chain.Identifier](w.Client)
		*t = inner
		return ok
	}
	return false
}

func checkAs(s *suite) {
	_, direct := chain.As[chain.BalanceReader](s.Client)
	_, through := chain.As[chain.BalanceReader](wrapped{s.Client})
	require.Equal(s, direct, through, "a capability is found through a wrapper")
	_, direct = chain.As[chain.Identifier](s.Client)
	_, through = chain.As[chain.Identifier](wrapped{s.Client})
	require.Equal(s, direct, through)
	_, ok := chain.As[interface{ NobodyHasThis() }](s.Client)
	require.False(s, ok, "what is not there is not found")
}

// prompt is how soon a call returns whose context has ended.
const prompt = 30 * time.Second

func checkCancelled(s *suite) {
	w := s.watch(s.account("a").Address)
	in := intent(s.rich("from"), s.account("to").Address, s.info.Native, units(1000))
	signed := s.sign(s.prepare(in))
	head := s.head().Height
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	calls := []struct {
		name string
		call func() error
	}{
		{"Head", func() error { _, err := s.Client.Head(ctx); return err }},
		{"Headers", func() error { _, err := s.Client.Headers(ctx, head, head); return err }},
		{"Transfers", func() error { _, err := s.Client.Transfers(ctx, head, head, w); return err }},
		{"Status", func() error { _, err := s.Client.Status(ctx, signed.ID); return err }},
		{"Prepare", func() error { _, err := s.Client.Prepare(ctx, in); return err }},
		{"Broadcast", func() error { return s.Client.Broadcast(ctx, signed) }},
	}
	for _, c := range calls {
		done := make(chan error, 1)
		go func() { done <- c.call() }()
		select {
		case err := <-done:
			require.ErrorIs(s, err, context.Canceled, c.name)
		case <-time.After(prompt):
			require.Fail(s, c.name+" does not return when its context has ended")
		}
	}
	require.Equal(s, chain.TxUnknown, s.status(signed.ID).State, "nothing was sent")
}

// checkConcurrent has several goroutines ask the same things, and compares what
// they are told. The race detector sees the rest.
func checkConcurrent(s *suite) {
	to := s.account("to").Address
	id := s.PayNative(to, units(9))
	s.Mine(1)
	in := intent(s.rich("from"), to, s.info.Native, units(1000))
	head := s.head()
	w := s.watch(to)
	var wg sync.WaitGroup
	answers, failures := make([]string, 6), make([]error, 6)
	for i := range answers {
		wg.Go(func() {
			h, err1 := s.Client.Head(s.ctx)
			p, err2 := s.Client.Transfers(s.ctx, head.Height, head.Height, w)
			st, err3 := s.Client.Status(s.ctx, id)
			d, err4 := s.Client.Prepare(s.ctx, in)
			failures[i] = errors.Join(err1, err2, err3, err4)
			answers[i] = fmt.Sprint(h.Latest, p, st, d.Locks)
		})
	}
	wg.Wait()
	for i := range answers {
		require.NoError(s, failures[i])
		require.Equal(s, answers[0], answers[i])
	}
}
