package hdwallet

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// The chains of these tests. fakeMain and fakeSide have coin type 60 and so the
// same addresses, fakeCoin has coin type 0.
const (
	fakeMain chain.ID = "fake:main"
	fakeSide chain.ID = "fake:side"
	fakeCoin chain.ID = "fake:coin"

	coinAsset  chain.AssetID = "fake:main/slip44:60"
	tokenAsset chain.AssetID = "fake:main/erc20:T"
)

// fakePayload is what a fake chain signs: its effects in JSON.
type fakePayload struct {
	Chain   chain.ID
	Effects chain.Effects
	Nonce   int
}

// fakeCodec is a chain family whose addresses are "f" and 20 hex bytes in upper
// case; lower case parses too, without being canonical.
type fakeCodec struct {
	coinType uint32
	// on replaces the behaviour of a method by name, to break it.
	on map[string]func() error
}

func fakeCodecs() map[chain.ID]chain.Codec {
	return map[chain.ID]chain.Codec{
		fakeMain: &fakeCodec{coinType: 60}, fakeSide: &fakeCodec{coinType: 60}, fakeCoin: &fakeCodec{coinType: 0},
	}
}

// errEmptyAddress makes Format return an empty address and no error.
var errEmptyAddress = errors.New("empty")

func (c *fakeCodec) call(name string) error {
	if f := c.on[name]; f != nil {
		return f()
	}
	return nil
}

func (c *fakeCodec) Parse(text string) (chain.Address, error) {
	if err := c.call("Parse"); err != nil {
		return "", err
	}
	digits, ok := strings.CutPrefix(text, "f")
	raw, err := hex.DecodeString(digits)
	if !ok || err != nil || len(raw) != 20 {
		return "", &chain.FormatError{What: "address", Text: text, Reason: "not fake"}
	}
	return c.Format(raw)
}

func (c *fakeCodec) Format(key []byte) (chain.Address, error) {
	if err := c.call("Format"); err != nil {
		if errors.Is(err, errEmptyAddress) {
			return "", nil
		}
		return "", err
	}
	return chain.Address("f" + strings.ToUpper(hex.EncodeToString(key))), nil
}

func (c *fakeCodec) FromPublicKey(dst, publicKey []byte) ([]byte, error) {
	if err := c.call("FromPublicKey"); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(publicKey)
	return append(dst, sum[:20]...), nil
}

func (c *fakeCodec) Path(change, index uint32) string {
	if err := c.call("Path"); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("m/44'/%d'/0'/%d/%d", c.coinType, change, index)
}

func (c *fakeCodec) WatchKeys(a chain.Address) ([][]byte, error) {
	if err := c.call("WatchKeys"); err != nil {
		return nil, err
	}
	raw, err := hex.DecodeString(string(a[1:]))
	return [][]byte{raw}, err
}

func (c *fakeCodec) PaymentURI(chain.Asset, chain.Address, chain.Amount) (string, error) {
	return "", chain.ErrUnsupported
}

func (c *fakeCodec) Decode(r chain.SignRequest) (chain.Effects, []byte, error) {
	if err := c.call("Decode"); err != nil {
		return chain.Effects{}, nil, err
	}
	var p fakePayload
	if err := json.Unmarshal(r.Payload, &p); err != nil {
		return chain.Effects{}, nil, errors.New("no fake payload")
	}
	if p.Chain != r.Chain {
		return chain.Effects{}, nil, errors.New("made for another chain")
	}
	digest := sha256.Sum256(r.Payload)
	return p.Effects, digest[:], nil
}

// desk is a signer with everything that its tests need.
type desk struct {
	t        testing.TB
	codecs   map[chain.ID]chain.Codec
	active   *Wallet
	retired  *Wallet
	signer   *Signer
	policy   Policy
	treasury chain.Address
	delegate chain.Address
	approver ed25519.PrivateKey
	now      time.Time
}

const fakeStranger chain.Address = "fAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func newDesk(t testing.TB) *desk {
	t.Helper()
	d := &desk{
		t: t, codecs: fakeCodecs(),
		treasury: "f1111111111111111111111111111111111111111",
		delegate: "f2222222222222222222222222222222222222222",
		approver: ed25519.NewKeyFromSeed(make([]byte, 32)),
		now:      time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
	}
	var err error
	d.active, err = FromMnemonic(devWords, "")
	require.NoError(t, err)
	d.retired, err = FromMnemonic(aboutWords, "")
	require.NoError(t, err)
	d.policy = Policy{
		Codecs:    d.codecs,
		Treasury:  map[chain.ID][]chain.Address{fakeMain: {d.treasury}},
		Approvers: []ed25519.PublicKey{ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", 32))).Public().(ed25519.PublicKey), d.approver.Public().(ed25519.PublicKey)},
		Now:       func() time.Time { return d.now },
	}
	d.renew()
	return d
}

// renew builds the signer again after a change of the policy.
func (d *desk) renew() {
	d.t.Helper()
	var err error
	d.signer, err = NewSigner(d.policy, d.active, d.retired)
	require.NoError(d.t, err)
}

func (d *desk) key(w *Wallet, coinType, change, index uint32) chain.KeyRef {
	a, err := w.Account(coinType)
	require.NoError(d.t, err)
	return a.KeyRef(change, index)
}

func (d *desk) address(w *Wallet, coinType, change, index uint32) chain.Address {
	a, err := w.Account(coinType)
	require.NoError(d.t, err)
	pub, err := a.PublicKey(change, index)
	require.NoError(d.t, err)
	raw, err := (&fakeCodec{}).FromPublicKey(nil, pub)
	require.NoError(d.t, err)
	address, err := (&fakeCodec{}).Format(raw)
	require.NoError(d.t, err)
	return address
}

// own returns an address of ours with its proof.
func (d *desk) own(w *Wallet, change, index uint32) chain.OwnTarget {
	return chain.OwnTarget{Address: d.address(w, 60, change, index), Key: d.key(w, 60, change, index)}
}

// pay is a transaction of the active wallet's first deposit address.
func (d *desk) pay(effects ...chain.Effect) chain.SignRequest {
	return d.request(chain.Effects{Effects: effects})
}

func (d *desk) request(e chain.Effects) chain.SignRequest {
	return chain.SignRequest{
		Chain: fakeMain, Purpose: chain.SignTransaction, Scheme: chain.ECDSA,
		Key: d.key(d.active, 60, 0, 0), Payload: d.payload(fakePayload{Chain: fakeMain, Effects: e}),
	}
}

func (d *desk) payload(p fakePayload) []byte {
	data, err := json.Marshal(p)
	require.NoError(d.t, err)
	return data
}

// approved is a payout to a stranger, signed by an approver.
func (d *desk) approved() (chain.SignRequest, *chain.Approval) {
	e := chain.Effect{To: fakeStranger, Asset: tokenAsset, Amount: chain.NewAmount(25)}
	r := d.pay(e)
	r.Approval = &chain.Approval{Payout: "po_1", Asset: e.Asset, To: e.To, Amount: e.Amount, NotAfter: d.now.Add(time.Hour)}
	d.sign(r.Approval)
	return r, r.Approval
}

func (d *desk) sign(a *chain.Approval) { a.Signature = ed25519.Sign(d.approver, a.Message()) }

// refused checks that the signer refuses by that rule and signs nothing.
func (d *desk) refused(rule string, requests ...chain.SignRequest) *chain.PolicyError {
	d.t.Helper()
	signatures, err := d.signer.Sign(context.Background(), requests)
	var refusal *chain.PolicyError
	require.ErrorAs(d.t, err, &refusal)
	require.Equal(d.t, rule, refusal.Rule, refusal.Detail)
	require.Nil(d.t, signatures)
	return refusal
}

func (d *desk) accepted(requests ...chain.SignRequest) [][]byte {
	d.t.Helper()
	signatures, err := d.signer.Sign(context.Background(), requests)
	require.NoError(d.t, err)
	require.Len(d.t, signatures, len(requests))
	return signatures
}

// requestOf is a request with a text in every place that has one.
func requestOf(t testing.TB, text string) []chain.SignRequest {
	t.Helper()
	return []chain.SignRequest{{Chain: fakeMain, Purpose: chain.SignTransaction, Scheme: chain.ECDSA, Payload: []byte(text)}}
}
