package hdwallet

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// contractCodec is a fakeCodec that knows a contract.
type contractCodec struct {
	*fakeCodec
	contract, treasury chain.Address
	panics             bool
}

func (c contractCodec) Contract() (contract, treasury chain.Address) {
	if c.panics {
		panic("boom")
	}
	return c.contract, c.treasury
}

// What a codec says is held against the policy again: it is the host's code.
func TestThreat_F1_BatchEffectsAreJudged(t *testing.T) {
	d := newDesk(t)
	contract := chain.Address("f3333333333333333333333333333333333333333")
	with := contractCodec{fakeCodec: &fakeCodec{coinType: 60}, contract: contract, treasury: d.treasury}
	d.codecs[fakeMain] = with
	d.policy.Codecs = d.codecs
	d.renew()
	entry := chain.Effect{From: fakeStranger, To: d.treasury, Asset: tokenAsset, Amount: chain.NewAmount(1)}
	batch := func(e ...chain.Effect) chain.Effects { return chain.Effects{Contract: contract, Effects: e} }
	d.accepted(d.request(batch(entry, entry)))
	d.accepted(d.request(batch())) // a deployment

	elsewhere := batch(entry)
	elsewhere.Contract = d.delegate
	d.refused("contract", d.request(elsewhere))
	d.refused("sender", d.request(chain.Effects{Effects: []chain.Effect{entry}}))
	for _, to := range []chain.Address{fakeStranger, d.address(d.active, 60, 0, 0), d.own(d.active, 0, 5).Address} {
		wrong := entry
		wrong.To = to
		r := d.request(batch(entry, wrong))
		r.Own = []chain.OwnTarget{d.own(d.active, 0, 5)}
		d.refused("treasury", r)
	}
	// Not even an approval lets a batch pay a stranger.
	approved, approval := d.approved()
	e := batch(chain.Effect{From: d.treasury, To: approval.To, Asset: approval.Asset, Amount: approval.Amount})
	approved.Payload = d.payload(fakePayload{Chain: fakeMain, Effects: e})
	d.refused("treasury", approved)
	binds := batch(entry)
	binds.Delegate = contract
	d.refused("purpose", d.request(binds))

	auth := d.request(chain.Effects{Delegate: contract})
	auth.Purpose = chain.SignAuthorization
	d.accepted(auth)
	auth.Key = d.key(d.active, 60, 1, 0)
	d.refused("delegate", auth)
	both := d.request(chain.Effects{Delegate: contract, Contract: contract})
	both.Purpose = chain.SignAuthorization
	d.refused("purpose", both)

	// On a chain that knows no contract there is none.
	side := d.request(batch())
	side.Chain, side.Payload = fakeSide, d.payload(fakePayload{Chain: fakeSide, Effects: batch()})
	d.refused("contract", side)

	with.panics = true
	d.codecs[fakeMain] = with
	_, err := NewSigner(d.policy, d.active)
	var bad *ConfigError
	require.ErrorAs(t, err, &bad)
	require.Equal(t, "Policy.Codecs[fake:main]", bad.Field)
}
