package contracts

import (
	"encoding/binary"
	"fmt"

	"github.com/bursar-go/bursar/chain"
)

// Op is which batch a call is.
type Op uint8

const (
	// OpSweep sweeps accounts that delegate to the contract, or forwarders by their
	// address. The sponsor signs it; of anybody else's transaction every entry fails,
	// unless there is no sponsor.
	OpSweep Op = iota + 1
	// OpFlush sweeps deployed forwarders by salt, which is 12 bytes shorter. Who may
	// is as for OpSweep.
	OpFlush
	// OpDeploy deploys forwarders and sweeps them. The sponsor or the owner sends
	// it; to others it fails. An entry whose sweep fails is not deployed either, and
	// one that is deployed already fails. Where there is a sponsor, the owner's
	// deploys and sweeps nothing, which is no failure.
	OpDeploy
)

// ops are the batches: selector of the function, bytes of an entry.
var ops = map[Op]struct {
	name     string
	selector uint32
	width    int
}{
	OpSweep:  {"sweep", 0x915cb338, 32},
	OpFlush:  {"flush", 0x4502780e, 20},
	OpDeploy: {"deploy", 0x8132544c, 20},
}

// String returns "sweep", "flush" or "deploy".
func (o Op) String() string {
	if op, ok := ops[o]; ok {
		return op.name
	}
	return fmt.Sprintf("Op(%d)", uint8(o))
}

const (
	// headerSize is the bytes before the entries: selector, asset, gas.
	headerSize = 32
	// amountSize is the bytes of an amount.
	amountSize = 12
	// MaxEntries bounds a batch, by far above what fits into a transaction.
	MaxEntries = 4096
	// MinEntryGas is the least gas of an entry that any sweep gets along with.
	MinEntryGas = 15_000
	// MaxEntryGas is the most: a transaction's.
	MaxEntryGas = TxGas
	// EntryGas is what the clients of this library give an entry: three times what
	// tokens in wide use take. A token that burns gas burns this much for each entry.
	EntryGas = 150_000
)

// Fits reports whether an amount fits an entry: it is below 2^96.
func Fits(amount chain.Amount) bool { return amount.Big().BitLen() <= 8*amountSize }

// Entry is one address of a batch.
type Entry struct {
	// Account is the address to sweep, of OpSweep.
	Account Address
	// Salt is the forwarder's, of OpFlush and OpDeploy.
	Salt Salt
	// Amount is in base units, below 2^96. Zero is whatever is there when the
	// transaction runs, for larger amounts, and where late deposits are to be taken
	// along; a token is asked for it then, at 600 to 900 gas.
	Amount chain.Amount
}

// Batch sweeps many addresses of one asset. It is sent to Sweeper.Address without
// value. Entries are independent: one that fails is told in Unswept and keeps no
// other one back.
type Batch struct {
	// Op is which of the batches.
	Op Op
	// Asset is the token's contract, or zero for the coin.
	Asset Address
	// Gas is the most that one entry may use, from MinEntryGas to MaxEntryGas. What
	// an honest token takes, with room: a token that burns gas burns this much for
	// each entry. A batch that has less than that left stops, and keeps what it did.
	Gas uint64
	// Entries are 1 to MaxEntries, each address or salt once.
	Entries []Entry
}

// Encode returns the call's data, or a *FieldError.
func (b Batch) Encode() ([]byte, error) {
	op, known := ops[b.Op]
	switch {
	case !known:
		return nil, fieldErr("Batch.Op", "is none: %d", uint8(b.Op))
	case b.Gas < MinEntryGas || b.Gas > MaxEntryGas:
		return nil, fieldErr("Batch.Gas", "want %d to %d, have %d", uint64(MinEntryGas), uint64(MaxEntryGas), b.Gas)
	case len(b.Entries) == 0:
		return nil, fieldErr("Batch.Entries", "is empty")
	case len(b.Entries) > MaxEntries:
		return nil, fieldErr("Batch.Entries", "has %d, at most %d", len(b.Entries), MaxEntries)
	}
	data := make([]byte, 0, headerSize+op.width*len(b.Entries))
	data = binary.BigEndian.AppendUint32(data, op.selector)
	data = append(data, b.Asset[:]...)
	data = binary.BigEndian.AppendUint64(data, b.Gas)
	seen := make(map[string]int, len(b.Entries))
	for i, e := range b.Entries {
		who, err := b.subject(i)
		if err != nil {
			return nil, err
		}
		if first, twice := seen[string(who)]; twice {
			return nil, fieldErr(fmt.Sprintf("Batch.Entries[%d]", i), "is that of entry %d", first)
		}
		seen[string(who)] = i
		if !Fits(e.Amount) {
			return nil, fieldErr(fmt.Sprintf("Batch.Entries[%d].Amount", i), "over 12 bytes: %s; zero is all of it", e.Amount)
		}
		amount := e.Amount.Bytes32()
		data = append(append(data, who...), amount[32-amountSize:]...)
	}
	return data, nil
}

// subject returns whom an entry is about, as bytes of the call.
func (b Batch) subject(i int) ([]byte, error) {
	e, at := b.Entries[i], fmt.Sprintf("Batch.Entries[%d]", i)
	switch {
	case b.Op != OpSweep && e.Account != Address{}:
		return nil, fieldErr(at+".Account", "is set, and %s takes salts", b.Op)
	case b.Op != OpSweep:
		return e.Salt[:], nil
	case e.Salt != Salt{}:
		return nil, fieldErr(at+".Salt", "is set, and sweep takes accounts")
	case e.Account == Address{}:
		return nil, fieldErr(at+".Account", "is required")
	case e.Account == b.Asset:
		return nil, fieldErr(at+".Account", "is the asset")
	}
	return e.Account[:], nil
}

// DecodeBatch reads a call's data, as a signer does before it signs it. It takes
// what Encode makes and nothing else; anything else is a *DecodeError, or the
// *FieldError that Encode would have.
func DecodeBatch(data []byte) (Batch, error) {
	if len(data) < headerSize {
		return Batch{}, &DecodeError{"batch", "shorter than its header"}
	}
	b := Batch{Asset: Address(data[4:24]), Gas: binary.BigEndian.Uint64(data[24:headerSize])}
	selector := binary.BigEndian.Uint32(data)
	for op, is := range ops {
		if is.selector == selector {
			b.Op = op
		}
	}
	if b.Op == 0 {
		return Batch{}, &DecodeError{"batch", fmt.Sprintf("another function: %08x", selector)}
	}
	width, rest := ops[b.Op].width, data[headerSize:]
	if len(rest)%width != 0 || len(rest)/width > MaxEntries {
		return Batch{}, &DecodeError{"batch", fmt.Sprintf("%d bytes of entries of %d", len(rest), width)}
	}
	for ; len(rest) > 0; rest = rest[width:] {
		e := entryOf(b.Op, rest[:width])
		amount, err := chain.AmountFromBytes(rest[width-amountSize : width])
		if err != nil {
			return Batch{}, err
		}
		e.Amount = amount
		b.Entries = append(b.Entries, e)
	}
	if _, err := b.Encode(); err != nil {
		return Batch{}, err
	}
	return b, nil
}

// entryOf reads whom an entry is about.
func entryOf(op Op, raw []byte) (e Entry) {
	if op == OpSweep {
		e.Account = Address(raw[:20])
	} else {
		e.Salt = Salt(raw[:8])
	}
	return e
}
