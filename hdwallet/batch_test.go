package hdwallet_test

import (
	"math/big"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/contracts"
	"github.com/bursar-go/bursar/hdwallet"
)

// batchDesk is a signer whose chain knows a sweeper.
type batchDesk struct {
	evmDesk
	sweeper *contracts.Sweeper
	policy  hdwallet.Policy
	wallet  *hdwallet.Wallet
}

func sweeperFor(t testing.TB, treasury chain.Address) *contracts.Sweeper {
	t.Helper()
	s, err := contracts.New(contracts.Params{Treasury: common.HexToAddress(string(treasury)), Owner: contracts.Address{0: 0xbb}})
	require.NoError(t, err)
	return s
}

func newBatchDesk(t *testing.T, change ...func(*hdwallet.Policy)) batchDesk {
	t.Helper()
	d := batchDesk{sweeper: sweeperFor(t, treasury)}
	var err error
	d.wallet, err = hdwallet.FromMnemonic(devMnemonic, "")
	require.NoError(t, err)
	d.account, err = d.wallet.Account(60)
	require.NoError(t, err)
	d.policy = hdwallet.Policy{
		Codecs:   map[chain.ID]chain.Codec{mainnet: evm.CodecWith(d.sweeper), "eip155:56": evm.Codec()},
		Treasury: map[chain.ID][]chain.Address{mainnet: {treasury}, "eip155:56": {treasury}},
	}
	for _, f := range change {
		f(&d.policy)
	}
	d.signer, err = hdwallet.NewSigner(d.policy, d.wallet)
	require.NoError(t, err)
	return d
}

// deposit is the address of a deposit key.
func (d batchDesk) deposit(t *testing.T, index uint32) chain.Address {
	t.Helper()
	public, err := d.account.PublicKey(0, index)
	require.NoError(t, err)
	raw, err := evm.Codec().FromPublicKey(nil, public)
	require.NoError(t, err)
	a, err := evm.Codec().Format(raw)
	require.NoError(t, err)
	return a
}

// authorise is a request for an authorisation.
func (d batchDesk) authorise(t *testing.T, index uint32, number int64, to contracts.Address, nonce uint64) chain.SignRequest {
	r := d.request(mainnet, encode(t, []byte{5}, big.NewInt(number), common.Address(to), nonce))
	r.Purpose, r.Key = chain.SignAuthorization, d.account.KeyRef(0, index)
	return r
}

// signedAuthorisation has one signed.
func (d batchDesk) signedAuthorisation(t *testing.T, index uint32, nonce uint64) []any {
	t.Helper()
	s, err := d.sign(d.authorise(t, index, 1, d.sweeper.Address(), nonce))
	require.NoError(t, err)
	return []any{big.NewInt(1), common.Address(d.sweeper.Address()), nonce, uint64(s[64]), new(big.Int).SetBytes(s[:32]), new(big.Int).SetBytes(s[32:64])}
}

// batch is a request for the transaction of a batch, of so much from each of the
// deposits from 0 on.
func (d batchDesk) batch(t *testing.T, to contracts.Address, nonce uint64, auths []any, amounts ...uint64) chain.SignRequest {
	t.Helper()
	b := contracts.Batch{Op: contracts.OpSweep, Asset: common.HexToAddress(string(usdc)), Gas: 150_000}
	for i, n := range amounts {
		b.Entries = append(b.Entries, contracts.Entry{Account: common.HexToAddress(string(d.deposit(t, uint32(i)))), Amount: chain.NewAmount(n)})
	}
	data, err := b.Encode()
	require.NoError(t, err)
	fields := []any{big.NewInt(1), nonce, big.NewInt(1), big.NewInt(100), uint64(200_000), common.Address(to), uint64(0), data, []any{}}
	kind := []byte{2}
	if auths != nil {
		kind, fields = []byte{4}, append(fields, auths)
	}
	r := d.request(mainnet, encode(t, kind, fields...))
	r.Key = d.account.KeyRef(1, 0)
	return r
}

// The signer's answers make a transaction that go-ethereum reads as ours.
func TestEVMBatchIsSigned(t *testing.T) {
	d := newBatchDesk(t)
	auth := d.signedAuthorisation(t, 0, 3)
	r := d.batch(t, d.sweeper.Address(), 7, []any{auth}, 5, 6)
	s, err := d.sign(r)
	require.NoError(t, err)
	data, err := contracts.Batch{
		Op: contracts.OpSweep, Asset: common.HexToAddress(string(usdc)), Gas: 150_000, Entries: []contracts.Entry{
			{Account: common.HexToAddress(string(d.deposit(t, 0))), Amount: chain.NewAmount(5)}, {Account: common.HexToAddress(string(d.deposit(t, 1))), Amount: chain.NewAmount(6)},
		},
	}.Encode()
	require.NoError(t, err)
	word := func(i int) uint256.Int { return *uint256.MustFromBig(auth[i].(*big.Int)) }
	inner := types.SetCodeAuthorization{ChainID: *uint256.NewInt(1), Address: common.Address(d.sweeper.Address()), Nonce: 3, V: uint8(auth[3].(uint64)), R: word(4), S: word(5)}
	who, err := inner.Authority()
	require.NoError(t, err)
	require.Equal(t, string(d.deposit(t, 0)), who.Hex())
	tx := types.NewTx(&types.SetCodeTx{
		ChainID: uint256.NewInt(1), Nonce: 7, GasTipCap: uint256.NewInt(1), GasFeeCap: uint256.NewInt(100), Gas: 200_000,
		To: common.Address(d.sweeper.Address()), Value: new(uint256.Int), Data: data, AuthList: []types.SetCodeAuthorization{inner},
	})
	signer := types.NewPragueSigner(big.NewInt(1))
	signed, err := tx.WithSignature(signer, s)
	require.NoError(t, err)
	from, err := types.Sender(signer, signed)
	require.NoError(t, err)
	public, err := d.account.PublicKey(1, 0)
	require.NoError(t, err)
	raw, err := evm.Codec().FromPublicKey(nil, public)
	require.NoError(t, err)
	require.Equal(t, common.BytesToAddress(raw), from)

	// Addresses that were used before need no authorisation.
	_, err = d.sign(d.batch(t, d.sweeper.Address(), 8, nil, 5, 6))
	require.NoError(t, err)
}

// An authorisation gives an account away for good: only a deposit address gives it,
// only to the contract that the signer derives, only on its chain.
func TestThreat_F1_DelegatesAreDerived(t *testing.T) {
	d := newBatchDesk(t)
	_, err := d.sign(d.authorise(t, 0, 1, d.sweeper.Address(), 0))
	require.NoError(t, err)

	other := sweeperFor(t, delegate)
	d.refused(t, "delegate", d.authorise(t, 0, 1, other.Address(), 0)) // pays somebody else
	d.refused(t, "delegate", d.authorise(t, 0, 1, contracts.Address{1}, 0))
	d.refused(t, "delegate", d.authorise(t, 0, 1, contracts.Address{}, 0))
	d.refused(t, "payload", d.authorise(t, 0, 0, d.sweeper.Address(), 0)) // every chain
	d.refused(t, "payload", d.authorise(t, 0, 56, d.sweeper.Address(), 0))

	own := d.authorise(t, 0, 1, d.sweeper.Address(), 0)
	own.Key = d.account.KeyRef(1, 0)
	d.refused(t, "delegate", own) // the sponsor
	elsewhere := d.authorise(t, 0, 56, d.sweeper.Address(), 0)
	elsewhere.Chain = "eip155:56"
	d.refused(t, "delegate", elsewhere) // that chain knows no contract
	strange := d.authorise(t, 0, 1, d.sweeper.Address(), 0)
	strange.Key.Wallet = "x"
	d.refused(t, "key", strange)

	// A single key is no deposit address either.
	key, err := hdwallet.NewKey(common.FromHex("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"))
	require.NoError(t, err)
	alone := newBatchDesk(t, func(p *hdwallet.Policy) { p.Keys = []*hdwallet.Key{key} })
	single := alone.authorise(t, 0, 1, alone.sweeper.Address(), 0)
	single.Key = key.KeyRef()
	alone.refused(t, "delegate", single)
}

// A batch is signed only for the contract, and only where each authorisation in it
// is one for it: whoever asks cannot smuggle another one in.
func TestThreat_F1_OtherBatchersRefused(t *testing.T) {
	d := newBatchDesk(t)
	auth := d.signedAuthorisation(t, 0, 0)
	good := func() []any { return append([]any{}, auth...) }
	_, err := d.sign(d.batch(t, d.sweeper.Address(), 7, []any{good()}, 5))
	require.NoError(t, err)

	other := sweeperFor(t, delegate)
	d.refused(t, "payload", d.batch(t, other.Address(), 7, nil, 5))
	d.refused(t, "payload", d.batch(t, other.Address(), 7, []any{good()}, 5))
	for name, change := range map[string]func(a []any){
		"another delegate":   func(a []any) { a[1] = common.Address(other.Address()) },
		"every chain":        func(a []any) { a[0] = big.NewInt(0) },
		"another nonce":      func(a []any) { a[2] = uint64(1) }, // then another account gave it, which is not swept
		"another signature":  func(a []any) { a[3] = 1 - a[3].(uint64) },
		"a signature of two": func(a []any) { a[3] = uint64(2) },
	} {
		a := good()
		change(a)
		t.Log(name)
		d.refused(t, "payload", d.batch(t, d.sweeper.Address(), 7, []any{a}, 5))
	}
	d.refused(t, "payload", d.batch(t, d.sweeper.Address(), 7, []any{good(), good()}, 5))
	d.refused(t, "payload", d.batch(t, d.sweeper.Address(), 7, []any{}, 5))
	d.refused(t, "payload", d.batch(t, d.sweeper.Address(), 7, nil, 0)) // all there will be

	// A signer that knows no contract signs none of it.
	plain := newEVMDesk(t)
	plain.refused(t, "payload", d.batch(t, d.sweeper.Address(), 7, nil, 5))
	plain.refused(t, "delegate", d.authorise(t, 0, 1, d.sweeper.Address(), 0))
}

// The limits of fees and of what leaves hold for batches as for payments.
func TestThreat_F20_BatchesAreCounted(t *testing.T) {
	token, now := chain.AssetID("eip155:1/erc20:"+string(usdc)), time.Now()
	d := newBatchDesk(t, func(p *hdwallet.Policy) {
		p.MaxFee = map[chain.ID]chain.Amount{mainnet: chain.NewAmount(100 * 200_000)}
		p.Limits = []hdwallet.Limit{{Asset: token, Window: time.Hour, Max: chain.NewAmount(20)}}
		p.Now = func() time.Time { return now }
	})
	auth := d.signedAuthorisation(t, 0, 0) // moves nothing
	_, err := d.sign(d.batch(t, d.sweeper.Address(), 7, []any{auth}, 5, 6))
	require.NoError(t, err)
	d.refused(t, "limit", d.batch(t, d.sweeper.Address(), 8, nil, 4, 6))
	_, err = d.sign(d.batch(t, d.sweeper.Address(), 7, []any{auth}, 10, 10))
	require.NoError(t, err, "a replacement counts once, with the larger amount")
	d.refused(t, "limit", d.batch(t, d.sweeper.Address(), 9, nil, 1))

	cheap := newBatchDesk(t, func(p *hdwallet.Policy) {
		p.MaxFee = map[chain.ID]chain.Amount{mainnet: chain.NewAmount(100*200_000 - 1)}
	})
	cheap.refused(t, "fee", cheap.batch(t, cheap.sweeper.Address(), 7, nil, 5))
}

// The deployment is exactly that of the contract.
func TestEVMDeploymentIsSigned(t *testing.T) {
	d := newBatchDesk(t)
	deploy := func(s *contracts.Sweeper, value uint64) chain.SignRequest {
		to, data := s.Deployment()
		return d.request(mainnet, encode(t, []byte{2}, big.NewInt(1), uint64(7), big.NewInt(1), big.NewInt(100), uint64(500_000), common.Address(to), value, data, []any{}))
	}
	_, err := d.sign(deploy(d.sweeper, 0))
	require.NoError(t, err)
	d.refused(t, "payload", deploy(sweeperFor(t, delegate), 0))
	d.refused(t, "payload", deploy(d.sweeper, 1))
}

// A contract that pays anybody but a treasury is a way around the treasury.
func TestThreat_F1_ContractPaysATreasury(t *testing.T) {
	w, err := hdwallet.FromMnemonic(devMnemonic, "")
	require.NoError(t, err)
	s := sweeperFor(t, treasury)
	contract, _ := evm.CodecWith(s).(chain.ContractCodec).Contract()
	for name, list := range map[string][]chain.Address{"another": {delegate}, "none": nil, "the contract itself": {treasury, contract}} {
		_, err := hdwallet.NewSigner(hdwallet.Policy{
			Codecs: map[chain.ID]chain.Codec{mainnet: evm.CodecWith(s)}, Treasury: map[chain.ID][]chain.Address{mainnet: list},
		}, w)
		var bad *hdwallet.ConfigError
		require.ErrorAs(t, err, &bad, name)
		require.Equal(t, "Policy.Codecs[eip155:1]", bad.Field)
	}
}
