package contracts

import (
	"encoding/binary"
	"fmt"

	"github.com/bursar-go/bursar/chain"
)

const (
	selectorSweep   = 0x6ea056a9
	selectorExecute = 0xb61d27f6
)

// Sweep returns the data of a call to one deposit address that sweeps it; of all
// where amount is zero. The sponsor signs it, or anybody where there is none. On a
// delegated account it fails where the sweep does, or in another's transaction; a
// forwarder answers one byte if it went well and none otherwise, and never fails.
func Sweep(asset Address, amount chain.Amount) []byte {
	value := amount.Bytes32()
	return words(selectorSweep, leftPad(asset), value)
}

// Execute returns the data of a call to one deposit address, or to the Sweeper
// itself, that has it call a target with a value in wei and data: the owner's way
// to what a sweep cannot move. To others than the owner it fails, as it does
// where the target's call does; a forwarder answers as in Sweep.
func Execute(target Address, value chain.Amount, data []byte) []byte {
	var size, offset [32]byte
	binary.BigEndian.PutUint64(size[24:], uint64(len(data)))
	offset[31] = 0x60
	call := append(words(selectorExecute, leftPad(target), value.Bytes32(), offset, size), data...)
	return append(call, make([]byte, (32-len(data)%32)%32)...)
}

// UnsweptTopic returns the first topic of the log that a batch leaves when not
// every entry was swept. It counts only where Sweeper.Address is the log's
// address. Where a batch has none, every entry was tried and answered as it
// should; of a token that lies, that means nothing.
func UnsweptTopic() Hash { return keccak([]byte("Unswept(uint256,bytes32[])")) }

// Unswept is what a batch could not sweep.
type Unswept struct {
	// Tried is how many of the entries were tried, from the first on. Behind them
	// the gas was short, and nothing was done.
	Tried int
	// Failed are those of them that failed: not the sponsor's to sweep, not delegated
	// or not deployed, nothing there, frozen, refused, or out of the entry's gas.
	// Amounts are as in the batch.
	Failed []Entry
}

// DecodeUnswept reads the data of the log, or what eth_call returns of a batch,
// or gives a *DecodeError. The batch's Op says what its entries are.
func DecodeUnswept(op Op, data []byte) (Unswept, error) {
	bad := func(reason string) (Unswept, error) { return Unswept{}, &DecodeError{"unswept", reason} }
	width := ops[op].width
	switch {
	case width == 0:
		return bad("no such batch: " + op.String())
	case len(data) < 96 || len(data)%32 != 0:
		return bad(fmt.Sprintf("%d bytes", len(data)))
	}
	tried, fits := small(data[:32])
	offset, _ := small(data[32:64])
	failed, counted := small(data[64:96])
	if !fits || !counted || offset != 64 || failed != (len(data)-96)/32 || failed > tried {
		return bad("counts that do not fit")
	}
	u := Unswept{Tried: tried}
	for rest := data[96:]; len(rest) > 0; rest = rest[32:] {
		for _, b := range rest[width:32] {
			if b != 0 {
				return bad("bytes behind an entry")
			}
		}
		e := entryOf(op, rest)
		amount, err := chain.AmountFromBytes(rest[width-amountSize : width])
		if err != nil {
			return Unswept{}, err
		}
		e.Amount = amount
		u.Failed = append(u.Failed, e)
	}
	return u, nil
}

// small reads a word that is a count.
func small(word []byte) (int, bool) {
	for _, b := range word[:28] {
		if b != 0 {
			return 0, false
		}
	}
	n := binary.BigEndian.Uint32(word[28:])
	return int(n), n <= MaxEntries
}

func leftPad(a Address) (word [32]byte) {
	copy(word[12:], a[:])
	return word
}

func words(selector uint32, args ...[32]byte) []byte {
	out := binary.BigEndian.AppendUint32(make([]byte, 0, 4+32*len(args)), selector)
	for _, a := range args {
		out = append(out, a[:]...)
	}
	return out
}
