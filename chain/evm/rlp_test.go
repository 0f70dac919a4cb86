package evm

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/hex"
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/trie"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"
)

// The tests take go-ethereum's types as the oracle for what is read here by hand.

func testKey(i int) *ecdsa.PrivateKey {
	key, err := crypto.ToECDSA(crypto.Keccak256(fmt.Append(nil, "rlp test ", i)))
	if err != nil {
		panic(err)
	}
	return key
}

// oracleTx makes a signed transaction of one of the five types.
func oracleTx(t testing.TB, i int) *types.Transaction {
	id := big.NewInt(1337)
	to := common.BigToAddress(big.NewInt(int64(i + 1)))
	receiver := &to
	if i%7 == 3 {
		receiver = nil
	}
	value, data := big.NewInt(int64(i%3)*1e9), bytes.Repeat([]byte{byte(i)}, i%150)
	var body types.TxData
	switch i % 6 {
	case 0:
		body = &types.LegacyTx{Nonce: uint64(i), GasPrice: big.NewInt(7), Gas: 21000, To: receiver, Value: value, Data: data}
	case 1:
		body = &types.AccessListTx{ChainID: id, Nonce: uint64(i), GasPrice: big.NewInt(7), Gas: 21000, To: receiver, Value: value, Data: data,
			AccessList: types.AccessList{{Address: to, StorageKeys: []common.Hash{{1}}}}}
	case 2:
		body = &types.BlobTx{ChainID: uint256.NewInt(1337), Nonce: uint64(i), GasTipCap: uint256.NewInt(1), GasFeeCap: uint256.NewInt(2), Gas: 21000,
			To: to, Value: uint256.MustFromBig(value), Data: data, BlobFeeCap: uint256.NewInt(1), BlobHashes: []common.Hash{{1}}}
	case 3:
		body = &types.SetCodeTx{ChainID: uint256.NewInt(1337), Nonce: uint64(i), GasTipCap: uint256.NewInt(1), GasFeeCap: uint256.NewInt(2), Gas: 21000,
			To: to, Value: uint256.MustFromBig(value), Data: data, AuthList: []types.SetCodeAuthorization{{Nonce: 1}}}
	default:
		body = &types.DynamicFeeTx{ChainID: id, Nonce: uint64(i), GasTipCap: big.NewInt(1), GasFeeCap: big.NewInt(2), Gas: 21000, To: receiver, Value: value, Data: data}
	}
	signer := types.LatestSignerForChainID(id)
	if i%6 == 0 && i%4 == 0 {
		signer = types.HomesteadSigner{}
	}
	tx, err := types.SignNewTx(testKey(i%3), signer, body)
	require.NoError(t, err)
	return tx
}

func oracleBlock(t testing.TB, n int) *types.Block {
	var txs []*types.Transaction
	for i := range n {
		txs = append(txs, oracleTx(t, i))
	}
	header := &types.Header{Number: big.NewInt(77), Time: 1_700_000_000, ParentHash: common.Hash{9}, Difficulty: new(big.Int), BaseFee: big.NewInt(7),
		Bloom: types.BytesToBloom(bytes.Repeat([]byte{0x5a}, 256)), Extra: []byte("x")}
	return types.NewBlock(header, &types.Body{Transactions: txs, Withdrawals: []*types.Withdrawal{}}, nil, trie.NewStackTrie(nil))
}

// readRaw reads a block as the node's answer has it.
func readRaw(encoding []byte) (*block, *DecodeError) {
	b := new(block)
	s := &scanner{data: []byte(`"0x` + hex.EncodeToString(encoding) + `"`)}
	s.rawBlock(b)
	s.end()
	return b, s.err
}

func encoded(t testing.TB, b *types.Block) []byte {
	out, err := rlp.EncodeToBytes(b)
	require.NoError(t, err)
	return out
}

func TestRawBlock(t *testing.T) {
	for _, n := range []int{0, 1, 2, 15, 16, 17, 127, 128, 129, 200, 300} {
		want := oracleBlock(t, n)
		b, bad := readRaw(encoded(t, want))
		require.Nil(t, bad)
		require.Equal(t, [32]byte(want.Hash()), b.hash)
		require.Equal(t, [32]byte(want.ParentHash()), b.parent)
		require.Equal(t, want.NumberU64(), b.height)
		require.Equal(t, want.Time(), b.seconds)
		require.Equal(t, [256]byte(want.Bloom()), b.bloom)
		require.True(t, b.hasBloom)
		require.False(t, b.opaque)
		require.Equal(t, n, b.count())
		require.Equal(t, [32]byte(want.TxHash()), b.txRoot)
		require.Equal(t, b.txRoot, new(rootBuilder).root(b.rawTxs), "%d transactions", n)
		for i, tx := range want.Transactions() {
			o, ok := b.rawTxs[i].object(1337)
			require.True(t, ok, "transaction %d", i)
			require.Equal(t, [32]byte(tx.Hash()), o.hash)
			require.Equal(t, o.hash, b.hashAt(i))
			require.Equal(t, [20]byte(crypto.PubkeyToAddress(testKey(i%3).PublicKey)), o.from, "type %d", tx.Type())
			require.Equal(t, tx.Nonce(), o.nonce)
			require.Equal(t, tx.To() == nil, o.creates)
			if tx.To() != nil {
				require.Equal(t, [20]byte(*tx.To()), o.to)
			}
			require.Equal(t, common.BigToHash(tx.Value()), common.Hash(o.value))
		}
	}
}

func TestRawBlockOfAnotherChainHasNoSenders(t *testing.T) {
	b, bad := readRaw(encoded(t, oracleBlock(t, 12)))
	require.Nil(t, bad)
	for i := range b.rawTxs {
		_, ok := b.rawTxs[i].object(1)
		// Before EIP-155 a signature named no chain.
		require.Equal(t, i == 0, ok, "transaction %d", i)
	}
}

func TestRawBlockWithAnUnknownType(t *testing.T) {
	want := oracleBlock(t, 3)
	var header, txs rlp.RawValue
	header, _ = rlp.EncodeToBytes(want.Header())
	deposit, _ := rlp.EncodeToBytes([]byte{0x7e, 0xc0})
	legacy, _ := rlp.EncodeToBytes(want.Transactions()[0])
	txs, _ = rlp.EncodeToBytes([]rlp.RawValue{deposit, legacy})
	whole, err := rlp.EncodeToBytes([]rlp.RawValue{header, txs, {0xc0}})
	require.NoError(t, err)
	b, bad := readRaw(whole)
	require.Nil(t, bad)
	require.True(t, b.opaque)
	require.Equal(t, 2, b.count())
	require.Equal(t, [32]byte(want.Transactions()[0].Hash()), b.hashAt(1))
}

// Each byte of a block is part of its hash or of its root: no change of one can
// pass both.
func TestRawBlockBitFlips(t *testing.T) {
	good := encoded(t, oracleBlock(t, 20))
	first, bad := readRaw(good)
	require.Nil(t, bad)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		at := rnd.IntN(len(good) - 2) // the empty lists at the end are neither
		changed := bytes.Clone(good)
		changed[at] ^= 1 << rnd.IntN(8)
		b, bad := readRaw(changed)
		if bad == nil {
			same := b.hash == first.hash && new(rootBuilder).root(b.rawTxs) == first.txRoot
			require.False(t, same, "byte %d", at)
		}
	}
}

func TestThreat_C5_RawBlocksThatAreNone(t *testing.T) {
	good := encoded(t, oracleBlock(t, 5))
	for name, raw := range map[string][]byte{
		"empty": {}, "a string": {0x80}, "an empty list": {0xc0}, "two lists": {0xc2, 0xc0, 0xc0},
		"cut": good[:len(good)-3], "bytes behind": append(bytes.Clone(good), 0),
		"a huge length": {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "nested": bytes.Repeat([]byte{0xc1}, 64),
	} {
		b, bad := readRaw(raw)
		require.True(t, bad != nil || b.missing, name)
	}
	for _, text := range []string{`"0xf"`, `"f90000"`, `"0xzz00"`, `7`, `{}`, `"`} {
		s := &scanner{data: []byte(text)}
		s.rawBlock(new(block))
		require.NotNil(t, s.err, text)
	}
}

func TestRlpPrefix(t *testing.T) {
	for _, n := range []int{0, 1, 55, 56, 255, 256, 65535, 65536} {
		content := bytes.Repeat([]byte{0xee}, n)
		want, err := rlp.EncodeToBytes(content)
		require.NoError(t, err)
		require.Equal(t, want, rlpString(nil, content))
	}
	require.Equal(t, []byte{0x7f}, rlpString(nil, []byte{0x7f}))
}

func FuzzRawBlock(f *testing.F) {
	for _, n := range []int{0, 1, 7, 40} {
		f.Add(encoded(f, oracleBlock(f, n)))
	}
	f.Add([]byte{0xc0})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, bad := readRaw(data)
		var want types.Block
		err := rlp.DecodeBytes(data, &want)
		if err == nil {
			// What go-ethereum takes for a block is one here, except for fields
			// that this package reads more strictly.
			if bad != nil {
				require.Contains(t, []string{"a header with too few fields", "a header field of the wrong size"}, bad.Reason)
				return
			}
			require.Equal(t, [32]byte(want.Hash()), b.hash)
			require.Equal(t, len(want.Transactions()), b.count())
			for i, tx := range want.Transactions() {
				require.Equal(t, [32]byte(tx.Hash()), b.hashAt(i))
			}
		}
		if bad == nil {
			_ = new(rootBuilder).root(b.rawTxs)
			for i := range b.rawTxs {
				_, _ = b.rawTxs[i].object(1337)
			}
		}
	})
}

func TestBloom(t *testing.T) {
	var receipt types.Receipt
	for i := range 40 {
		receipt.Logs = append(receipt.Logs, &types.Log{Address: common.BigToAddress(big.NewInt(int64(i))), Topics: []common.Hash{{byte(i)}, crypto.Keccak256Hash([]byte{byte(i)})}})
	}
	bloom := [256]byte(types.CreateBloom(&receipt))
	for _, l := range receipt.Logs {
		for _, v := range [][]byte{l.Address[:], l.Topics[0][:], l.Topics[1][:]} {
			bits := bitsOf(v)
			require.True(t, bits.in(&bloom))
		}
	}
	hits := 0
	for i := range 1000 {
		bits := bitsOf(fmt.Append(nil, "absent ", i))
		require.Equal(t, types.BloomLookup(types.Bloom(bloom), absent(fmt.Append(nil, "absent ", i))), bits.in(&bloom))
		if bits.in(&bloom) {
			hits++
		}
	}
	require.InDelta(t, 1000*chance(&bloom)/certain, hits, 30)
}

type absent []byte

func (a absent) Bytes() []byte { return a }
