package evm

import (
	"bytes"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// receipt is what is needed of a transaction receipt.
type receipt struct {
	txHash, blockHash [32]byte
	height, index     uint64
	from              [addressLength]byte
	ok                bool // status 1
	gasUsed           uint64
	price             chain.Amount // effectiveGasPrice
	l1Fee             chain.Amount // zero where the chain has none
	blobGas           uint64
	blobPrice         chain.Amount
	// created is the contract that was made, where made is true.
	created [addressLength]byte
	made    bool
	// logs are those of listed tokens.
	logs []logObject
	// unswept are the logs by which a sweeper, whoever's, says what it did not move.
	unswept []unsweptLog
	// missing is true where the node has no receipt.
	missing bool
}

// unsweptTopicRaw is contracts.UnsweptTopic, which costs a hash.
const unsweptTopicRaw = "\x3a\x4a\xf6\x6b\x15\xc2\x8b\xf1\x7d\xaf\x52\x2f\x29\x72\x80\x8e" +
	"\x35\x2d\x8f\x32\x82\xd3\x92\xf0\x6a\xad\x84\x61\x8d\x92\xc2\xa5"

// unsweptLog is one of them.
type unsweptLog struct {
	address [addressLength]byte
	data    []byte
}

const (
	receiptTx = 1 << iota
	receiptBlock
	receiptHeight
	receiptIndex
	receiptFrom
	receiptStatus
	receiptGas
	receiptPrice
	receiptLogs
	receiptL1Fee
	receiptBlobGas
	receiptBlobPrice
	receiptCreated

	receiptRequired = receiptTx | receiptBlock | receiptHeight | receiptIndex | receiptFrom |
		receiptStatus | receiptGas | receiptPrice | receiptLogs
)

// receipt reads a receipt, or null, and keeps the logs of the listed tokens. A
// receipt without a status is refused: before Byzantium it had a state root
// instead, which does not tell success from failure.
func (s *scanner) receipt(r *receipt, listed *tokenTable) {
	*r = receipt{logs: r.logs[:0]}
	if r.missing = s.isNull(); r.missing {
		return
	}
	var seen uint32
	if !s.open('{') {
		return
	}
	for first := true; ; {
		name, ok := s.key(&first)
		if !ok {
			break
		}
		switch string(name) {
		case "transactionHash":
			s.once(&seen, receiptTx)
			s.fixed(r.txHash[:])
		case "blockHash":
			s.once(&seen, receiptBlock)
			s.fixed(r.blockHash[:])
		case "blockNumber":
			s.once(&seen, receiptHeight)
			r.height = s.uint64()
		case "transactionIndex":
			s.once(&seen, receiptIndex)
			r.index = s.uint64()
		case "from":
			s.once(&seen, receiptFrom)
			s.fixed(r.from[:])
		case "logs":
			s.once(&seen, receiptLogs)
			s.receiptLogs(r, listed)
		default:
			s.receiptOutcome(string(name), &seen, r)
		}
	}
	s.need(seen, receiptRequired)
}

// receiptOutcome reads the fields that tell what happened and what it cost.
func (s *scanner) receiptOutcome(name string, seen *uint32, r *receipt) {
	switch name {
	case "status":
		s.once(seen, receiptStatus)
		status := s.uint64()
		if r.ok = status == 1; status > 1 {
			s.fail("a status other than 0 and 1")
		}
	case "gasUsed":
		s.once(seen, receiptGas)
		r.gasUsed = s.uint64()
	case "effectiveGasPrice":
		s.once(seen, receiptPrice)
		r.price = s.amount()
	case "l1Fee":
		s.once(seen, receiptL1Fee)
		if !s.isNull() {
			r.l1Fee = s.amount()
		}
	case "blobGasUsed":
		s.once(seen, receiptBlobGas)
		if !s.isNull() {
			r.blobGas = s.uint64()
		}
	case "blobGasPrice":
		s.once(seen, receiptBlobPrice)
		if !s.isNull() {
			r.blobPrice = s.amount()
		}
	case "contractAddress":
		s.once(seen, receiptCreated)
		if r.made = !s.isNull(); r.made {
			s.fixed(r.created[:])
		}
	default:
		s.skip()
	}
}

func (s *scanner) receiptLogs(r *receipt, listed *tokenTable) {
	var ok bool
	r.logs, ok = s.logs(r.logs, func(l *logObject) bool {
		if l.topicCount == 1 && string(l.topics[0][:]) == unsweptTopicRaw && !l.removed {
			r.unswept = append(r.unswept, unsweptLog{address: l.address, data: s.lastLogData()})
		}
		_, isListed := listed.ids[l.address]
		return isListed && isTransferTopic(&l.topics[0])
	})
	if !ok {
		s.fail("want an array")
	}
}

// lastLogData is the whole data of the log that was read last, of at most as many
// bytes as a batch can need.
func (s *scanner) lastLogData() []byte {
	_, digits, _ := bytes.Cut(bytes.Trim(s.logData, " \t\r\n\""), []byte("0x"))
	if len(digits) > 2*32*(3+contracts.MaxEntries) {
		return nil
	}
	out := make([]byte, len(digits)/2)
	if !unhex(out, digits) {
		return nil
	}
	return out
}

// unsweptBy is what a contract says in a receipt that it did not move; nil where it
// says nothing, or what is no such thing.
func (r *receipt) unsweptBy(sweeper *contracts.Sweeper) *chain.Unswept {
	if sweeper == nil {
		return nil
	}
	for _, l := range r.unswept {
		if l.address != sweeper.Address() {
			continue
		}
		u, err := contracts.DecodeUnswept(contracts.OpSweep, l.data)
		if err != nil {
			return nil
		}
		out := &chain.Unswept{Tried: u.Tried}
		for _, e := range u.Failed {
			out.Failed = append(out.Failed, chain.UnsweptMove{Account: checksummed(e.Account), Amount: e.Amount})
		}
		return out
	}
	return nil
}

// fee returns all that the transaction cost: gas, blobs, and the share of the
// layer below. It fails on numbers that no chain has.
func (r *receipt) fee() (chain.Amount, error) {
	gas, err := r.price.Mul(r.gasUsed)
	if err != nil {
		return chain.Amount{}, err
	}
	blobs, err := r.blobPrice.Mul(r.blobGas)
	if err != nil {
		return chain.Amount{}, err
	}
	fee, err := gas.Add(blobs)
	if err != nil {
		return chain.Amount{}, err
	}
	return fee.Add(r.l1Fee)
}
