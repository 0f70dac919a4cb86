package hdwallet_test

import (
	"context"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/hdwallet"
)

const (
	mainnet   chain.ID      = "eip155:1"
	treasury  chain.Address = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
	usdc      chain.Address = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
	delegate  chain.Address = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
	depositor chain.Address = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
)

// evmDesk is a signer for Ethereum with the real codec.
type evmDesk struct {
	signer  *hdwallet.Signer
	account *hdwallet.Account
}

func newEVMDesk(t *testing.T) evmDesk {
	t.Helper()
	w, err := hdwallet.FromMnemonic(devMnemonic, "")
	require.NoError(t, err)
	a, err := w.Account(60)
	require.NoError(t, err)
	s, err := hdwallet.NewSigner(hdwallet.Policy{
		Codecs:    map[chain.ID]chain.Codec{mainnet: evm.Codec(), "eip155:56": evm.Codec()},
		Treasury:  map[chain.ID][]chain.Address{mainnet: {treasury}, "eip155:56": {treasury}},
		Delegates: map[chain.ID][]chain.Address{mainnet: {delegate}},
	}, w)
	require.NoError(t, err)
	return evmDesk{s, a}
}

func (d evmDesk) request(id chain.ID, payload []byte) chain.SignRequest {
	return chain.SignRequest{Chain: id, Purpose: chain.SignTransaction, Scheme: chain.ECDSA, Key: d.account.KeyRef(0, 0), Payload: payload}
}

func (d evmDesk) sign(r chain.SignRequest) ([]byte, error) {
	signatures, err := d.signer.Sign(context.Background(), []chain.SignRequest{r})
	if err != nil {
		return nil, err
	}
	return signatures[0], nil
}

func (d evmDesk) refused(t *testing.T, rule string, r chain.SignRequest) {
	t.Helper()
	signature, err := d.sign(r)
	var refusal *chain.PolicyError
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, rule, refusal.Rule, refusal.Detail)
	require.Nil(t, signature)
}

func encode(t *testing.T, prefix []byte, fields ...any) []byte {
	t.Helper()
	list, err := rlp.EncodeToBytes(fields)
	require.NoError(t, err)
	return append(prefix, list...)
}

func transferData(to chain.Address, amount byte) []byte {
	data := append([]byte{0xa9, 0x05, 0x9c, 0xbb}, make([]byte, 12)...)
	data = append(append(data, common.HexToAddress(string(to)).Bytes()...), make([]byte, 31)...)
	return append(data, amount)
}

// dynamic is an EIP-1559 transaction as go-ethereum has it, and as it is signed.
func dynamic(t *testing.T, number int64, to chain.Address, value int64, data []byte) (*types.Transaction, []byte) {
	t.Helper()
	address := common.HexToAddress(string(to))
	tx := types.NewTx(&types.DynamicFeeTx{
		ChainID: big.NewInt(number), Nonce: 7, GasTipCap: big.NewInt(1), GasFeeCap: big.NewInt(100), Gas: 65000,
		To: &address, Value: big.NewInt(value), Data: data,
	})
	payload := encode(t, []byte{2}, big.NewInt(number), uint64(7), big.NewInt(1), big.NewInt(100), uint64(65000), address, big.NewInt(value), data, []any{})
	return tx, payload
}

// go-ethereum, which knows nothing of us, reads our signatures as those of the
// deposit address.
func TestEVMSignaturesAreAccepted(t *testing.T) {
	d := newEVMDesk(t)
	for name, c := range map[string]struct {
		to    chain.Address
		value int64
		data  []byte
	}{
		"native":                 {treasury, 5, nil},
		"token":                  {usdc, 0, transferData(treasury, 5)},
		"nothing to oneself":     {depositor, 0, nil},
		"token of any contract":  {delegate, 0, transferData(treasury, 1)},
		"largest native payment": {treasury, 1<<63 - 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			tx, payload := dynamic(t, 1, c.to, c.value, c.data)
			signature, err := d.sign(d.request(mainnet, payload))
			require.NoError(t, err)
			signer := types.LatestSignerForChainID(big.NewInt(1))
			signed, err := tx.WithSignature(signer, signature)
			require.NoError(t, err)
			from, err := types.Sender(signer, signed)
			require.NoError(t, err)
			require.Equal(t, string(depositor), from.Hex())
		})
	}
}

func TestThreat_F1_EVMStrangersRefused(t *testing.T) {
	d := newEVMDesk(t)
	_, native := dynamic(t, 1, delegate, 5, nil)
	d.refused(t, "treasury", d.request(mainnet, native))
	_, token := dynamic(t, 1, usdc, 0, transferData(delegate, 5))
	d.refused(t, "treasury", d.request(mainnet, token))
	// A call to the treasury that is no transfer is not understood.
	_, call := dynamic(t, 1, treasury, 0, []byte{0x09, 0x5e, 0xa7, 0xb3})
	d.refused(t, "payload", d.request(mainnet, call))
}

// F15: the chain's number is in what is signed, and it is the right one.
func TestThreat_F15_EVMChainIDAlways(t *testing.T) {
	d := newEVMDesk(t)
	_, elsewhere := dynamic(t, 56, treasury, 5, nil)
	d.refused(t, "payload", d.request(mainnet, elsewhere))
	signature, err := d.sign(d.request("eip155:56", elsewhere))
	require.NoError(t, err)
	require.Len(t, signature, 65)

	to := common.HexToAddress(string(treasury))
	unprotected := encode(t, nil, uint64(7), big.NewInt(100), uint64(21000), to, big.NewInt(5), []byte(nil))
	d.refused(t, "payload", d.request(mainnet, unprotected))
	foreign := encode(t, nil, uint64(7), big.NewInt(100), uint64(21000), to, big.NewInt(5), []byte(nil), big.NewInt(56), uint64(0), uint64(0))
	d.refused(t, "payload", d.request(mainnet, foreign))
	zero := encode(t, nil, uint64(7), big.NewInt(100), uint64(21000), to, big.NewInt(5), []byte(nil), uint64(0), uint64(0), uint64(0))
	d.refused(t, "payload", d.request(mainnet, zero))

	protected := encode(t, nil, uint64(7), big.NewInt(100), uint64(21000), to, big.NewInt(5), []byte(nil), big.NewInt(1), uint64(0), uint64(0))
	signature, err = d.sign(d.request(mainnet, protected))
	require.NoError(t, err)
	signer := types.NewEIP155Signer(big.NewInt(1))
	signed, err := types.NewTx(&types.LegacyTx{Nonce: 7, GasPrice: big.NewInt(100), Gas: 21000, To: &to, Value: big.NewInt(5)}).WithSignature(signer, signature)
	require.NoError(t, err)
	from, err := types.Sender(signer, signed)
	require.NoError(t, err)
	require.Equal(t, string(depositor), from.Hex())
}

func TestEVMAuthorization(t *testing.T) {
	d := newEVMDesk(t)
	address := common.HexToAddress(string(delegate))
	r := d.request(mainnet, encode(t, []byte{5}, big.NewInt(1), address, uint64(3)))
	r.Purpose = chain.SignAuthorization
	signature, err := d.sign(r)
	require.NoError(t, err)
	authority, err := (&types.SetCodeAuthorization{
		ChainID: *uint256.NewInt(1), Address: address, Nonce: 3, V: signature[64],
		R: *new(uint256.Int).SetBytes(signature[:32]), S: *new(uint256.Int).SetBytes(signature[32:64]),
	}).Authority()
	require.NoError(t, err)
	require.Equal(t, string(depositor), authority.Hex())

	r.Payload = encode(t, []byte{5}, big.NewInt(1), common.HexToAddress(string(usdc)), uint64(3))
	d.refused(t, "delegate", r)
	// Chain 0 would bind the account everywhere.
	r.Payload = encode(t, []byte{5}, big.NewInt(0), address, uint64(3))
	d.refused(t, "payload", r)
	// An authorisation does not pass for a transaction.
	r.Payload = encode(t, []byte{5}, big.NewInt(1), address, uint64(3))
	r.Purpose = chain.SignTransaction
	d.refused(t, "payload", r)
}
