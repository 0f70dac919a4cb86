package hdwallet

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
)

// recovered returns the address that a signature belongs to, as a chain would.
func (d *desk) recovered(payload, signature []byte) chain.Address {
	d.t.Helper()
	require.Len(d.t, signature, 65)
	require.LessOrEqual(d.t, signature[64], byte(1))
	digest := sha256.Sum256(payload)
	pub, _, err := ecdsa.RecoverCompact(append([]byte{27 + signature[64]}, signature[:64]...), digest[:])
	require.NoError(d.t, err)
	raw, err := (&fakeCodec{}).FromPublicKey(nil, pub.SerializeUncompressed())
	require.NoError(d.t, err)
	address, err := (&fakeCodec{}).Format(raw)
	require.NoError(d.t, err)
	return address
}

func TestSignsForTheKeyThatWasNamed(t *testing.T) {
	d := newDesk(t)
	e := chain.Effect{To: d.treasury, Asset: tokenAsset, Amount: chain.NewAmount(5)}
	var requests []chain.SignRequest
	var want []chain.Address
	for _, w := range []*Wallet{d.active, d.retired} {
		for change := range uint32(2) {
			for _, index := range []uint32{0, 7, hardened - 1} {
				r := d.pay(e)
				r.Key = d.key(w, 60, change, index)
				requests = append(requests, r)
				want = append(want, d.address(w, 60, change, index))
			}
		}
	}
	signatures := d.accepted(requests...)
	for i, s := range signatures {
		require.Equal(t, want[i], d.recovered(requests[i].Payload, s))
		require.True(t, s[32] <= 0x7f, "s in the lower half")
	}
	require.Equal(t, signatures, d.accepted(requests...), "deterministic")
	require.Empty(t, d.accepted())
}

// For any payload: 65 bytes, low s, and the signer is who was asked for.
func TestSignaturesAreLowS(t *testing.T) {
	d := newDesk(t)
	rapid.Check(t, func(rt *rapid.T) {
		r := d.pay(chain.Effect{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(rapid.Uint64().Draw(rt, "amount"))})
		r.Key = d.key(d.active, 60, rapid.Uint32Range(0, 1).Draw(rt, "change"), rapid.Uint32Range(0, hardened-1).Draw(rt, "index"))
		s := d.accepted(r)[0]
		var half secp256k1.ModNScalar
		if half.SetByteSlice(s[32:64]) || half.IsOverHalfOrder() {
			rt.Fatalf("high s in %x", s)
		}
		_, change, index, _ := parsePath(r.Key.Path)
		if got := d.recovered(r.Payload, s); got != d.address(d.active, 60, change, index) {
			rt.Fatalf("signed by %s", got)
		}
	})
}

func TestThreat_F1_OnlyTreasuryOwnOrApproved(t *testing.T) {
	d := newDesk(t)
	other := d.own(d.active, 1, 3)
	old := d.own(d.retired, 0, 8)
	toTreasury := chain.Effect{To: d.treasury, Asset: tokenAsset, Amount: chain.NewAmount(1)}
	toStranger := chain.Effect{To: fakeStranger, Asset: tokenAsset, Amount: chain.NewAmount(1)}
	to := func(a chain.Address, n uint64) chain.Effect {
		return chain.Effect{To: a, Asset: coinAsset, Amount: chain.NewAmount(n)}
	}

	d.accepted(d.pay(toTreasury))
	d.accepted(d.pay(toTreasury, to(d.treasury, 9)))
	d.accepted(d.pay(to(d.address(d.active, 60, 0, 0), 0))) // a cancellation: nothing to oneself
	withOwn := d.pay(to(other.Address, 5), to(old.Address, 6))
	withOwn.Own = []chain.OwnTarget{other, old}
	d.accepted(withOwn)

	d.refused("treasury", d.pay(toStranger))
	d.refused("treasury", d.pay(toTreasury, toStranger))
	d.refused("treasury", d.pay(toStranger, toTreasury))
	d.refused("treasury", d.pay(to(fakeStranger, 0)))
	d.refused("treasury", d.pay(to("", 1)))
	d.refused("treasury", d.pay(to(other.Address, 5)))                      // ours, but nobody said so
	d.refused("treasury", d.pay(to(d.treasury[:len(d.treasury)-1]+"2", 1))) // one digit off
	d.refused("payload", d.pay())
}

func TestThreat_F1_OwnClaimsAreDerivedAgain(t *testing.T) {
	d := newDesk(t)
	good := d.own(d.active, 0, 5)
	effect := chain.Effect{To: fakeStranger, Asset: coinAsset, Amount: chain.NewAmount(1)}
	for name, c := range map[string]struct {
		claim chain.OwnTarget
		rule  string
	}{
		"a stranger":        {chain.OwnTarget{Address: fakeStranger, Key: good.Key}, "own"},
		"another index":     {chain.OwnTarget{Address: good.Address, Key: d.key(d.active, 60, 0, 6)}, "own"},
		"another wallet":    {chain.OwnTarget{Address: good.Address, Key: d.key(d.retired, 60, 0, 5)}, "own"},
		"unknown wallet":    {chain.OwnTarget{Address: good.Address, Key: chain.KeyRef{Wallet: "x", Path: good.Key.Path}}, "key"},
		"another coin type": {chain.OwnTarget{Address: d.address(d.active, 0, 0, 5), Key: d.key(d.active, 0, 0, 5)}, "key"},
		"no key":            {chain.OwnTarget{Address: fakeStranger}, "key"},
	} {
		t.Run(name, func(t *testing.T) {
			r := d.pay(effect)
			r.Own = []chain.OwnTarget{c.claim}
			d.refused(c.rule, r)
			// Also where the false claim is not what is paid.
			r = d.pay(chain.Effect{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)})
			r.Own = []chain.OwnTarget{good, c.claim}
			d.refused(c.rule, r)
		})
	}
}

// The treasury of one chain is a stranger on another.
func TestThreat_F1_TreasuryIsPerChain(t *testing.T) {
	d := newDesk(t)
	e := chain.Effects{Effects: []chain.Effect{{To: d.treasury, Asset: "fake:side/slip44:60", Amount: chain.NewAmount(1)}}}
	r := chain.SignRequest{
		Chain: fakeSide, Purpose: chain.SignTransaction, Scheme: chain.ECDSA,
		Key: d.key(d.active, 60, 0, 0), Payload: d.payload(fakePayload{Chain: fakeSide, Effects: e}),
	}
	d.refused("treasury", r)
}

func TestThreat_F1_PolicyIsCopied(t *testing.T) {
	d := newDesk(t)
	d.policy.Treasury[fakeMain][0] = fakeStranger
	d.policy.Treasury[fakeSide] = []chain.Address{fakeStranger}
	clear(d.policy.Approvers[1])
	delete(d.policy.Codecs, fakeMain)
	d.accepted(d.pay(chain.Effect{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)}))
	d.refused("treasury", d.pay(chain.Effect{To: fakeStranger, Asset: coinAsset, Amount: chain.NewAmount(1)}))
	r, _ := d.approved()
	d.accepted(r)
}

// F15: a payload for one chain is not signed under the name of another.
func TestThreat_F15_PayloadOfAnotherChainRefused(t *testing.T) {
	d := newDesk(t)
	e := chain.Effects{Effects: []chain.Effect{{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)}}}
	r := d.request(e)
	r.Chain = fakeSide
	d.refused("payload", r)
	r.Chain = "fake:unknown"
	d.refused("chain", r)
	// An asset of another chain in the effects of this one.
	e.Effects[0].Asset = "fake:side/slip44:60"
	d.refused("asset", d.request(e))
	e.Effects[0].Asset = ""
	d.refused("asset", d.request(e))
}

func TestApprovedPayout(t *testing.T) {
	d := newDesk(t)
	r, _ := d.approved()
	d.accepted(r)

	// Money may go to the treasury in the same transaction.
	r2 := d.pay(chain.Effect{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)}, chain.Effect{To: fakeStranger, Asset: tokenAsset, Amount: chain.NewAmount(25)})
	r2.Approval = r.Approval
	d.accepted(r2)

	d.refused("approval", r, r2)
	twice := chain.Effect{To: fakeStranger, Asset: tokenAsset, Amount: chain.NewAmount(25)}
	r3 := d.pay(twice, twice)
	r3.Approval = r.Approval
	d.refused("approval", r3)
	// Another approval of the same payout pays it no second time either.
	r4, other := d.approved()
	other.NotAfter = other.NotAfter.Add(time.Minute)
	d.sign(other)
	d.refused("approval", r, r4)
}

func TestApprovalIsExact(t *testing.T) {
	for name, change := range map[string]func(d *desk, r *chain.SignRequest, a *chain.Approval){
		"other receiver": func(d *desk, _ *chain.SignRequest, a *chain.Approval) { a.To = d.treasury; d.sign(a) },
		"other asset":    func(d *desk, _ *chain.SignRequest, a *chain.Approval) { a.Asset = coinAsset; d.sign(a) },
		"less":           func(d *desk, _ *chain.SignRequest, a *chain.Approval) { a.Amount = chain.NewAmount(24); d.sign(a) },
		"more":           func(d *desk, _ *chain.SignRequest, a *chain.Approval) { a.Amount = chain.NewAmount(26); d.sign(a) },
		"ended": func(d *desk, _ *chain.SignRequest, a *chain.Approval) {
			a.NotAfter = d.now.Add(-time.Second)
			d.sign(a)
		},
		"no end": func(d *desk, _ *chain.SignRequest, a *chain.Approval) { a.NotAfter = time.Time{}; d.sign(a) },
		"fraction unsigned": func(d *desk, _ *chain.SignRequest, a *chain.Approval) {
			a.NotAfter = d.now.Add(-time.Second)
			d.sign(a)
			a.NotAfter = a.NotAfter.Add(999 * time.Millisecond)
			d.now = d.now.Add(-500 * time.Millisecond)
		},
		"no payout id":    func(d *desk, _ *chain.SignRequest, a *chain.Approval) { a.Payout = ""; d.sign(a) },
		"line break":      func(d *desk, _ *chain.SignRequest, a *chain.Approval) { a.Payout = "po\n1"; d.sign(a) },
		"no signature":    func(_ *desk, _ *chain.SignRequest, a *chain.Approval) { a.Signature = nil },
		"cut signature":   func(_ *desk, _ *chain.SignRequest, a *chain.Approval) { a.Signature = a.Signature[:63] },
		"wrong signature": func(_ *desk, _ *chain.SignRequest, a *chain.Approval) { a.Signature[5] ^= 1 },
		"id changed":      func(_ *desk, _ *chain.SignRequest, a *chain.Approval) { a.Payout = "po_2" },
		"prolonged":       func(d *desk, _ *chain.SignRequest, a *chain.Approval) { a.NotAfter = a.NotAfter.Add(time.Hour) },
		"stranger's key": func(_ *desk, _ *chain.SignRequest, a *chain.Approval) {
			a.Signature = ed25519.Sign(ed25519.NewKeyFromSeed([]byte("01234567890123456789012345678901")), a.Message())
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			r, a := d.approved()
			change(d, &r, a)
			d.refused("approval", r)
		})
	}
	t.Run("at the last second", func(t *testing.T) {
		d := newDesk(t)
		r, a := d.approved()
		d.now = a.NotAfter
		d.accepted(r)
		d.now = a.NotAfter.Add(1)
		d.refused("approval", r)
	})
	t.Run("without approvers", func(t *testing.T) {
		d := newDesk(t)
		d.policy.Approvers = nil
		d.renew()
		r, _ := d.approved()
		d.refused("approval", r)
	})
}

// One bad request spoils the batch, wherever it stands, and is named.
func TestOneRefusalRefusesAll(t *testing.T) {
	d := newDesk(t)
	good := d.pay(chain.Effect{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)})
	bad := d.pay(chain.Effect{To: fakeStranger, Asset: coinAsset, Amount: chain.NewAmount(1)})
	require.Contains(t, d.refused("treasury", bad, good).Detail, "request 0")
	require.Contains(t, d.refused("treasury", good, good, bad).Detail, "request 2")
}

func TestKeysThatAreNotReachable(t *testing.T) {
	d := newDesk(t)
	id := d.key(d.active, 60, 0, 0).Wallet
	foreign, err := FromMnemonic(devWords, "other")
	require.NoError(t, err)
	for name, ref := range map[string]chain.KeyRef{
		"no wallet":               {Path: "m/44'/60'/0'/0/0"},
		"unknown wallet":          d.key(foreign, 60, 0, 0),
		"coin type of no chain":   {Wallet: id, Path: "m/44'/61'/0'/0/0"},
		"coin type of another":    d.key(d.active, 0, 0, 0),
		"account of another coin": {Wallet: d.key(d.active, 0, 0, 0).Wallet, Path: "m/44'/60'/0'/0/0"},
		"second account":          {Wallet: id, Path: "m/44'/60'/1'/0/0"},
		"change 2":                {Wallet: id, Path: "m/44'/60'/0'/2/0"},
		"hardened index":          {Wallet: id, Path: "m/44'/60'/0'/0/0'"},
		"index 2^31":              {Wallet: id, Path: "m/44'/60'/0'/0/2147483648"},
		"the account itself":      {Wallet: id, Path: "m/44'/60'/0'"},
		"the master":              {Wallet: id, Path: "m"},
		"empty":                   {Wallet: id},
		"another spelling":        {Wallet: id, Path: "m/44'/60'/0'/0/00"},
	} {
		t.Run(name, func(t *testing.T) {
			r := d.pay(chain.Effect{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)})
			r.Key = ref
			d.refused("key", r)
		})
	}
}

func TestSenderAndFee(t *testing.T) {
	d := newDesk(t)
	e := chain.Effects{Effects: []chain.Effect{{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)}}, MaxFee: chain.NewAmount(101)}
	e.From = d.address(d.active, 60, 0, 0)
	d.accepted(d.request(e))
	e.From = d.address(d.active, 60, 0, 1)
	d.refused("sender", d.request(e))
	e.From = ""

	d.policy.MaxFee = map[chain.ID]chain.Amount{fakeMain: chain.NewAmount(100)}
	d.renew()
	d.refused("fee", d.request(e))
	e.MaxFee = chain.NewAmount(100)
	d.accepted(d.request(e))
}

func TestAuthorizations(t *testing.T) {
	d := newDesk(t)
	authorization := d.request(chain.Effects{Delegate: d.delegate})
	authorization.Purpose = chain.SignAuthorization
	d.refused("delegate", authorization)

	d.policy.Delegates = map[chain.ID][]chain.Address{fakeMain: {d.delegate}}
	d.renew()
	d.accepted(authorization)

	other := d.request(chain.Effects{Delegate: fakeStranger})
	other.Purpose = chain.SignAuthorization
	d.refused("delegate", other)
	none := d.request(chain.Effects{})
	none.Purpose = chain.SignAuthorization
	d.refused("delegate", none)
	moves := d.request(chain.Effects{Delegate: d.delegate, Effects: []chain.Effect{{To: d.treasury, Asset: coinAsset}}})
	moves.Purpose = chain.SignAuthorization
	d.refused("purpose", moves)
	// A transaction may carry a delegate only from the list, and a delegate is
	// no receiver of money.
	d.refused("delegate", d.request(chain.Effects{Delegate: fakeStranger, Effects: []chain.Effect{{To: d.treasury, Asset: coinAsset}}}))
	d.refused("treasury", d.pay(chain.Effect{To: d.delegate, Asset: coinAsset, Amount: chain.NewAmount(1)}))
}

func TestUnknownKindsRefused(t *testing.T) {
	d := newDesk(t)
	good := d.pay(chain.Effect{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)})
	for _, scheme := range []chain.Scheme{"", chain.BIP340, chain.EdDSA, "ECDSA"} {
		r := good
		r.Scheme = scheme
		d.refused("scheme", r)
	}
	for _, purpose := range []chain.SignPurpose{"", "message"} {
		r := good
		r.Purpose = purpose
		d.refused("purpose", r)
	}
	r := good
	r.Payload = []byte("what is this")
	d.refused("payload", r)
	r.Payload = nil
	d.refused("payload", r)
}

// A codec or a clock that fails, returns rubbish or panics makes a refusal, not
// a crash and not a signature.
func TestThreat_G10_PanicsOfTheHostAreRefusals(t *testing.T) {
	failed := errors.New("broken")
	for _, method := range []string{"Decode", "FromPublicKey", "Format"} {
		for name, f := range map[string]func() error{
			"error": func() error { return failed },
			"panic": func() error { panic("boom") },
			"nil":   func() error { var m map[string]int; m["x"] = 1; return nil },
		} {
			t.Run(method+" "+name, func(t *testing.T) {
				d := newDesk(t)
				d.codecs[fakeMain].(*fakeCodec).on = map[string]func() error{method: f}
				r := d.pay(chain.Effect{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)})
				rule := "codec"
				if method == "Decode" && name == "error" {
					rule = "payload"
				}
				d.refused(rule, r)
			})
		}
	}
	t.Run("clock", func(t *testing.T) {
		d := newDesk(t)
		d.policy.Now = func() time.Time { panic("boom") }
		d.renew()
		d.refused("clock", d.pay(chain.Effect{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)}))
	})
	t.Run("digest", func(t *testing.T) {
		for _, n := range []int{0, 31, 33} {
			d := newDesk(t)
			d.policy.Codecs = map[chain.ID]chain.Codec{fakeMain: shortDigest{&fakeCodec{coinType: 60}, n}}
			d.renew()
			d.refused("payload", d.pay(chain.Effect{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)}))
		}
	})
	t.Run("empty address", func(t *testing.T) {
		// It would be the own address of every payload that names no receiver.
		d := newDesk(t)
		d.codecs[fakeMain].(*fakeCodec).on = map[string]func() error{"Format": func() error { return errEmptyAddress }}
		d.refused("codec", d.pay(chain.Effect{Asset: coinAsset, Amount: chain.NewAmount(1)}))
	})
	t.Run("zero signer", func(t *testing.T) {
		for _, s := range []*Signer{nil, {}} {
			_, err := s.Sign(context.Background(), make([]chain.SignRequest, 1))
			var refusal *chain.PolicyError
			require.ErrorAs(t, err, &refusal)
		}
	})
}

type shortDigest struct {
	*fakeCodec
	n int
}

func (c shortDigest) Decode(r chain.SignRequest) (chain.Effects, []byte, error) {
	e, _, err := c.fakeCodec.Decode(r)
	return e, make([]byte, c.n), err
}

// The payload that was judged is the one that is signed, also where the caller
// changes his bytes meanwhile.
func TestPayloadIsCopied(t *testing.T) {
	d := newDesk(t)
	r := d.pay(chain.Effect{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)})
	want := append([]byte(nil), r.Payload...)
	d.codecs[fakeMain].(*fakeCodec).on = map[string]func() error{"Decode": func() error {
		clear(r.Payload)
		return nil
	}}
	s := d.accepted(r)
	require.Equal(t, d.address(d.active, 60, 0, 0), d.recovered(want, s[0]))
}

func TestSignHonoursTheContext(t *testing.T) {
	d := newDesk(t)
	r := d.pay(chain.Effect{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)})
	ctx, cancel := context.WithCancel(context.Background())
	calls := 0
	d.codecs[fakeMain].(*fakeCodec).on = map[string]func() error{"Decode": func() error {
		if calls++; calls == 2 {
			cancel()
		}
		return nil
	}}
	signatures, err := d.signer.Sign(ctx, []chain.SignRequest{r, r, r})
	require.ErrorIs(t, err, context.Canceled)
	require.Nil(t, signatures)
	require.Equal(t, 2, calls)

	// It also ends between the last check and the first signature.
	ctx, cancel = context.WithCancel(context.Background())
	d.codecs[fakeMain].(*fakeCodec).on["Decode"] = func() error { cancel(); return nil }
	_, err = d.signer.Sign(ctx, []chain.SignRequest{r})
	require.ErrorIs(t, err, context.Canceled)
}

// A key that does not fit the address it was found by signs nothing.
func TestThreat_F16_KeyMustFitItsAddress(t *testing.T) {
	d := newDesk(t)
	k := d.signer.accounts[d.key(d.active, 60, 0, 0).Wallet]
	other := *k
	other.key = d.signer.accounts[d.key(d.retired, 60, 0, 0).Wallet].key
	d.signer.accounts[k.public.ID()] = &other
	_, err := d.signer.Sign(context.Background(), []chain.SignRequest{d.pay(chain.Effect{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)})})
	require.ErrorIs(t, err, chain.ErrInvalidSignature)
}

func TestSignConcurrently(t *testing.T) {
	d := newDesk(t)
	r := d.pay(chain.Effect{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)})
	want := d.accepted(r)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				got, err := d.signer.Sign(context.Background(), []chain.SignRequest{r})
				if err != nil || string(got[0]) != string(want[0]) {
					t.Errorf("signature %x, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestThreat_F1_NewSignerRefusesABadPolicy(t *testing.T) {
	d := newDesk(t)
	watch, err := FromXPub(XPub{CoinType: 60, Key: devXPub})
	require.NoError(t, err)
	one := []*Wallet{d.active}
	lower := chain.Address("faaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	main := map[chain.ID]chain.Codec{fakeMain: &fakeCodec{coinType: 60}}
	broken := func(method string, f func() error) map[chain.ID]chain.Codec {
		return map[chain.ID]chain.Codec{fakeMain: &fakeCodec{coinType: 60, on: map[string]func() error{method: f}}}
	}
	boom := func() error { panic("boom") }
	list := func(a ...chain.Address) map[chain.ID][]chain.Address {
		return map[chain.ID][]chain.Address{fakeMain: a}
	}
	for name, c := range map[string]struct {
		policy  Policy
		wallets []*Wallet
		field   string
	}{
		"no chain":               {Policy{}, one, "Policy.Codecs"},
		"nil codec":              {Policy{Codecs: map[chain.ID]chain.Codec{fakeMain: nil}}, one, "Policy.Codecs[fake:main]"},
		"typed nil codec":        {Policy{Codecs: map[chain.ID]chain.Codec{fakeMain: (*fakeCodec)(nil)}}, one, "Policy.Codecs[fake:main]"},
		"bad chain id":           {Policy{Codecs: map[chain.ID]chain.Codec{"main": &fakeCodec{}}}, one, "Policy.Codecs[main]"},
		"foreign path":           {Policy{Codecs: broken("Path", func() error { return errors.New("m/84'/0'/0'/0/0") })}, one, "Policy.Codecs[fake:main]"},
		"panicking path":         {Policy{Codecs: broken("Path", boom)}, one, "Policy.Codecs[fake:main]"},
		"treasury in lower case": {Policy{Codecs: main, Treasury: list(d.treasury, lower)}, one, "Policy.Treasury[fake:main][1]"},
		"treasury mistyped":      {Policy{Codecs: main, Treasury: list("f123")}, one, "Policy.Treasury[fake:main][0]"},
		"treasury empty":         {Policy{Codecs: main, Treasury: list("")}, one, "Policy.Treasury[fake:main][0]"},
		"treasury zero":          {Policy{Codecs: main, Treasury: list("f0000000000000000000000000000000000000000")}, one, "Policy.Treasury[fake:main][0]"},
		"treasury elsewhere":     {Policy{Codecs: main, Treasury: map[chain.ID][]chain.Address{fakeSide: {d.treasury}}}, one, "Policy.Treasury[fake:side]"},
		"delegate in lower case": {Policy{Codecs: main, Delegates: list(lower)}, one, "Policy.Delegates[fake:main][0]"},
		"delegate elsewhere":     {Policy{Codecs: main, Delegates: map[chain.ID][]chain.Address{fakeSide: nil}}, one, "Policy.Delegates[fake:side]"},
		"fee elsewhere":          {Policy{Codecs: main, MaxFee: map[chain.ID]chain.Amount{fakeSide: {}}}, one, "Policy.MaxFee[fake:side]"},
		"panicking parse":        {Policy{Codecs: broken("Parse", boom), Treasury: list(d.treasury)}, one, "Policy.Treasury[fake:main][0]"},
		"panicking keys":         {Policy{Codecs: broken("WatchKeys", boom), Treasury: list(d.treasury)}, one, "Policy.Treasury[fake:main][0]"},
		"short approver":         {Policy{Codecs: main, Approvers: []ed25519.PublicKey{make([]byte, 32), make([]byte, 31)}}, one, "Policy.Approvers[1]"},
		"no wallet":              {Policy{Codecs: main}, nil, "wallets"},
		"nil wallet":             {Policy{Codecs: main}, []*Wallet{d.active, nil}, "wallets[1]"},
		"same wallet":            {Policy{Codecs: main}, []*Wallet{d.active, d.active}, "wallets[1]"},
		"watch only":             {Policy{Codecs: main}, []*Wallet{watch}, "wallets[0]"},
		"zero wallet":            {Policy{Codecs: main}, []*Wallet{{}}, "wallets[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := NewSigner(c.policy, c.wallets...)
			var bad *ConfigError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, c.field, bad.Field)
			require.Nil(t, s)
		})
	}
}

// F19: what an xpub server has cannot sign, however it is asked.
func TestThreat_F19_WatchOnlyCannotSign(t *testing.T) {
	watch, err := FromXPub(XPub{CoinType: 60, Key: devXPub})
	require.NoError(t, err)
	_, err = NewSigner(Policy{Codecs: map[chain.ID]chain.Codec{fakeMain: &fakeCodec{coinType: 60}}}, watch)
	var bad *ConfigError
	require.ErrorAs(t, err, &bad)
	require.Contains(t, bad.Reason, "watch")
	k, err := watch.account(60)
	require.NoError(t, err)
	require.Nil(t, k.key.reveal)
}

// A zero address revokes a delegation; that is the one place where it is legal.
func TestZeroDelegateIsLegal(t *testing.T) {
	d := newDesk(t)
	zero := chain.Address("f0000000000000000000000000000000000000000")
	d.policy.Delegates = map[chain.ID][]chain.Address{fakeMain: {zero}}
	d.renew()
	r := d.request(chain.Effects{Delegate: zero})
	r.Purpose = chain.SignAuthorization
	d.accepted(r)
}

// Whatever bytes come as a payload, there is a signature exactly where the
// codec understood it and all receivers are allowed.
func FuzzSign(f *testing.F) {
	f.Add([]byte(`{"Chain":"fake:main","Effects":{"Effects":[{"To":"f1111111111111111111111111111111111111111","Asset":"fake:main/x:y","Amount":"1"}]}}`))
	f.Add([]byte(`{}`))
	d := newDesk(f)
	request, self := d.pay(), d.address(d.active, 60, 0, 0)
	f.Fuzz(func(t *testing.T, payload []byte) {
		r := request
		r.Payload = payload
		signatures, err := d.signer.Sign(context.Background(), []chain.SignRequest{r})
		if err != nil {
			var refusal *chain.PolicyError
			if !errors.As(err, &refusal) || signatures != nil {
				t.Fatalf("%T, %x", err, signatures)
			}
			return
		}
		var p fakePayload
		if json.Unmarshal(payload, &p) != nil || len(p.Effects.Effects) == 0 {
			t.Fatalf("signed %q", payload)
		}
		for _, e := range p.Effects.Effects {
			if e.To != d.treasury && e.To != self {
				t.Fatalf("signed a payment to %s", e.To)
			}
		}
	})
}
