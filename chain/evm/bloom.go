package evm

import "math/bits"

// bloomBits are the three bits that a value sets in a block's bloom, each as a
// byte's place and a mask.
type bloomBits [3]struct {
	at   uint8
	mask byte
}

// bitsOf returns a value's bits: three numbers of eleven bits from the start of
// its hash, counted from the end of the bloom.
//
// Source: the yellow paper, section 4.3.1.
func bitsOf(value []byte) (b bloomBits) {
	sum := keccak256(value)
	for i := range b {
		n := (uint(sum[2*i])<<8 | uint(sum[2*i+1])) & 2047
		b[i].at, b[i].mask = uint8(255-n/8), 1<<(n%8)
	}
	return b
}

// in reports whether the value may be in the bloom. False is proof that it is
// not.
func (b *bloomBits) in(bloom *[256]byte) bool {
	return bloom[b[0].at]&b[0].mask != 0 && bloom[b[1].at]&b[1].mask != 0 && bloom[b[2].at]&b[2].mask != 0
}

// certain is a chance of one, in the unit that chance has.
const certain = 1 << 33

// chance is how likely a value that is not in the block looks as if it were: the
// share of the bloom's bits that are set, three times over, in parts of certain.
func chance(bloom *[256]byte) uint64 {
	set := 0
	for _, c := range bloom {
		set += bits.OnesCount8(c)
	}
	return uint64(set * set * set)
}

// bloomQuestion is what a page asks of the bloom of each of its blocks: can
// there be a Transfer log of a listed token, to one of the receivers where there
// are some.
type bloomQuestion struct {
	topic     bloomBits
	contracts []bloomBits
	receivers []bloomBits // empty: any
}

func newBloomQuestion(listed *tokenTable, receivers [][addressLength]byte) *bloomQuestion {
	q := &bloomQuestion{topic: bitsOf([]byte(transferTopicRaw))}
	for i := range listed.contracts {
		q.contracts = append(q.contracts, bitsOf(listed.contracts[i][:]))
	}
	var word [32]byte
	for i := range receivers {
		copy(word[12:], receivers[i][:])
		q.receivers = append(q.receivers, bitsOf(word[:]))
	}
	return q
}

// possible reports whether the bloom admits such a log. doubt is how many such
// answers, in parts of certain, would be expected by chance alone where there is
// none: below one half
// the bloom has something to say, far above it says the same of every block.
func (q *bloomQuestion) possible(bloom *[256]byte) (yes bool, doubt uint64) {
	if !q.topic.in(bloom) || !anyIn(q.contracts, bloom) {
		return false, 0
	}
	doubt = chance(bloom) * uint64(len(q.contracts))
	if len(q.receivers) == 0 {
		return true, doubt
	}
	// The contract may well be there, with logs to others.
	return anyIn(q.receivers, bloom), chance(bloom) * uint64(len(q.receivers))
}

func anyIn(list []bloomBits, bloom *[256]byte) bool {
	for i := range list {
		if list[i].in(bloom) {
			return true
		}
	}
	return false
}
