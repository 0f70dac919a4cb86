package contracts

import (
	"encoding/hex"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
)

// most is the largest amount of an entry.
func most() chain.Amount {
	a, err := chain.AmountFromBytes(unhex("ffffffffffffffffffffffff"))
	if err != nil {
		panic(err)
	}
	return a
}

func TestBatchBytes(t *testing.T) {
	b := Batch{Op: OpSweep, Asset: addr(0xaa), Gas: 150_000, Entries: []Entry{{Account: addr(0x01), Amount: chain.NewAmount(5)}, {Account: addr(0x02), Amount: most()}}}
	data, err := b.Encode()
	require.NoError(t, err)
	require.Equal(t, "915cb338"+"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"+"00000000000249f0"+
		"0101010101010101010101010101010101010101"+"000000000000000000000005"+
		"0202020202020202020202020202020202020202"+"ffffffffffffffffffffffff", hex.EncodeToString(data))

	b = Batch{Op: OpDeploy, Gas: 150_000, Entries: []Entry{{Salt: Salt{7: 9}, Amount: chain.NewAmount(5)}}}
	data, err = b.Encode()
	require.NoError(t, err)
	require.Equal(t, "8132544c"+"0000000000000000000000000000000000000000"+"00000000000249f0"+
		"0000000000000009"+"000000000000000000000005", hex.EncodeToString(data))
}

func TestBatchesThatAreNone(t *testing.T) {
	over, err := chain.AmountFromBig(new(big.Int).Lsh(big.NewInt(1), 96))
	require.NoError(t, err)
	good := func() Batch {
		return Batch{Op: OpSweep, Asset: addr(0xaa), Gas: 150_000, Entries: []Entry{{Account: addr(1)}, {Account: addr(2)}}}
	}
	_, err = good().Encode()
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(*Batch)
		field  string
	}{
		"no operation":            {func(b *Batch) { b.Op = 0 }, "Batch.Op"},
		"another operation":       {func(b *Batch) { b.Op = 4 }, "Batch.Op"},
		"no gas":                  {func(b *Batch) { b.Gas = MinEntryGas - 1 }, "Batch.Gas"},
		"too much gas":            {func(b *Batch) { b.Gas = MaxEntryGas + 1 }, "Batch.Gas"},
		"nobody":                  {func(b *Batch) { b.Entries = nil }, "Batch.Entries"},
		"too many":                {func(b *Batch) { b.Entries = make([]Entry, MaxEntries+1) }, "Batch.Entries"},
		"twice":                   {func(b *Batch) { b.Entries[1].Account = addr(1) }, "Batch.Entries[1]"},
		"twice, another amount":   {func(b *Batch) { b.Entries[1] = Entry{Account: addr(1), Amount: chain.NewAmount(1)} }, "Batch.Entries[1]"},
		"no account":              {func(b *Batch) { b.Entries[1].Account = Address{} }, "Batch.Entries[1].Account"},
		"the token itself":        {func(b *Batch) { b.Entries[1].Account = addr(0xaa) }, "Batch.Entries[1].Account"},
		"over 12 bytes":           {func(b *Batch) { b.Entries[1].Amount = over }, "Batch.Entries[1].Amount"},
		"a salt beside":           {func(b *Batch) { b.Entries[1].Salt = Salt{1} }, "Batch.Entries[1].Salt"},
		"an account beside":       {func(b *Batch) { b.Op = OpFlush }, "Batch.Entries[0].Account"},
		"the same salt to deploy": {func(b *Batch) { b.Op, b.Entries = OpDeploy, make([]Entry, 2) }, "Batch.Entries[1]"},
	} {
		b := good()
		c.change(&b)
		data, err := b.Encode()
		var bad *FieldError
		require.ErrorAs(t, err, &bad, name)
		require.Equal(t, c.field, bad.Field, name)
		require.Nil(t, data, name)
	}
}

// batches are random ones that are right.
func batches() *rapid.Generator[Batch] {
	return rapid.Custom(func(t *rapid.T) Batch {
		b := Batch{
			Op:    rapid.SampledFrom([]Op{OpSweep, OpFlush, OpDeploy}).Draw(t, "op"),
			Asset: Address(rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, "asset")),
			Gas:   rapid.Uint64Range(MinEntryGas, MaxEntryGas).Draw(t, "gas"),
		}
		for i := range rapid.IntRange(1, 20).Draw(t, "entries") {
			amount, err := chain.AmountFromBytes(rapid.SliceOfN(rapid.Byte(), 0, amountSize).Draw(t, "amount"))
			require.NoError(t, err)
			e := Entry{Amount: amount}
			if b.Op == OpSweep {
				e.Account = Address(rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, "account"))
				e.Account[0], e.Account[1] = byte(i), ^b.Asset[1]
			} else {
				e.Salt = Salt(rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "salt"))
				e.Salt[0] = byte(i)
			}
			b.Entries = append(b.Entries, e)
		}
		return b
	})
}

func TestDecodeBatchIsTheInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := batches().Draw(t, "batch")
		data, err := b.Encode()
		require.NoError(t, err)
		back, err := DecodeBatch(data)
		require.NoError(t, err)
		require.Equal(t, b, back)
	})
}

// What a signer reads is all there is: no byte of a call can be changed without
// the decoded batch changing.
func FuzzDecodeBatch(f *testing.F) {
	for _, op := range []Op{OpSweep, OpFlush, OpDeploy} {
		b := Batch{Op: op, Asset: addr(0xaa), Gas: 150_000, Entries: []Entry{{Amount: chain.NewAmount(5)}}}
		if op == OpSweep {
			b.Entries[0].Account = addr(1)
		}
		data, err := b.Encode()
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeBatch(data)
		if err != nil {
			require.Empty(t, b)
			return
		}
		again, err := b.Encode()
		require.NoError(t, err)
		require.Equal(t, data, again)
	})
}

// unsweptData is what the contract says.
func unsweptData(tried, offset, failed int, entries string) []byte {
	var data []byte
	for _, n := range []int{tried, offset, failed} {
		word := chain.NewAmount(uint64(n)).Bytes32()
		data = append(data, word[:]...)
	}
	return append(data, unhex(entries)...)
}

func TestDecodeUnswept(t *testing.T) {
	entry := "0101010101010101010101010101010101010101" + "000000000000000000000005"
	u, err := DecodeUnswept(OpSweep, unsweptData(7, 64, 1, entry))
	require.NoError(t, err)
	require.Equal(t, Unswept{Tried: 7, Failed: []Entry{{Account: addr(1), Amount: chain.NewAmount(5)}}}, u)
	u, err = DecodeUnswept(OpFlush, unsweptData(7, 64, 1, "0102030405060708"+"000000000000000000000005"+"000000000000000000000000"))
	require.NoError(t, err)
	require.Equal(t, Unswept{Tried: 7, Failed: []Entry{{Salt: Salt{1, 2, 3, 4, 5, 6, 7, 8}, Amount: chain.NewAmount(5)}}}, u)
	u, err = DecodeUnswept(OpDeploy, unsweptData(3, 64, 0, ""))
	require.NoError(t, err)
	require.Equal(t, Unswept{Tried: 3}, u)

	for name, c := range map[string]struct {
		op   Op
		data []byte
	}{
		"no batch":             {0, unsweptData(7, 64, 1, entry)},
		"nothing":              {OpSweep, nil},
		"half a word":          {OpSweep, unsweptData(7, 64, 1, entry[:32])},
		"another offset":       {OpSweep, unsweptData(7, 32, 1, entry)},
		"more than it says":    {OpSweep, unsweptData(7, 64, 0, entry)},
		"less than it says":    {OpSweep, unsweptData(7, 64, 2, entry)},
		"more than were tried": {OpSweep, unsweptData(0, 64, 1, entry)},
		"a huge count":         {OpSweep, append(append(make([]byte, 0), unhex("ff00000000000000000000000000000000000000000000000000000000000007")...), unsweptData(7, 64, 1, entry)[32:]...)},
		"too many":             {OpSweep, unsweptData(MaxEntries+1, 64, 1, entry)},
		"an account as a salt": {OpFlush, unsweptData(7, 64, 1, entry)},
	} {
		_, err := DecodeUnswept(c.op, c.data)
		var bad *DecodeError
		require.ErrorAs(t, err, &bad, name)
	}
}

func FuzzDecodeUnswept(f *testing.F) {
	f.Add(uint8(1), unsweptData(7, 64, 1, "0101010101010101010101010101010101010101"+"000000000000000000000005"))
	f.Add(uint8(2), unsweptData(7, 64, 0, ""))
	f.Fuzz(func(t *testing.T, op uint8, data []byte) {
		u, err := DecodeUnswept(Op(op), data)
		if err == nil {
			require.LessOrEqual(t, len(u.Failed), u.Tried)
			require.Len(t, data, 96+32*len(u.Failed))
		}
	})
}

func TestCalls(t *testing.T) {
	require.Equal(t, "6ea056a9"+
		"000000000000000000000000"+"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"+
		"0000000000000000000000000000000000000000000000000000000000000005",
		hex.EncodeToString(Sweep(addr(0xaa), chain.NewAmount(5))))
	require.Equal(t, "b61d27f6"+
		"000000000000000000000000"+"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"+
		"0000000000000000000000000000000000000000000000000000000000000007"+
		"0000000000000000000000000000000000000000000000000000000000000060"+
		"0000000000000000000000000000000000000000000000000000000000000003"+
		"0102030000000000000000000000000000000000000000000000000000000000",
		hex.EncodeToString(Execute(addr(0xbb), chain.NewAmount(7), []byte{1, 2, 3})))
	require.Len(t, Execute(addr(0xbb), chain.Amount{}, nil), 4+4*32)
	require.Len(t, Execute(addr(0xbb), chain.Amount{}, make([]byte, 32)), 4+5*32)
}
