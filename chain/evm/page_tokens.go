package evm

import (
	"strconv"

	"github.com/bursar-go/bursar/chain"
)

// tokenTransfers appends a block's transfers of listed tokens to watched
// receivers.
func (p *pageReader) tokenTransfers(i int) {
	var counts ordinals
	for j := range p.logs[i] {
		l := &p.logs[i][j]
		if !l.isTransfer() {
			p.client.stats.odd.Add(1)
			continue
		}
		to := l.to()
		key, ok := p.watch.Match(to[:])
		if !ok {
			continue
		}
		t := counts.transfer(l, p.listed, p.blocks[i].height)
		if p.listed.ids[l.address].coin && p.direct(i, l) {
			continue
		}
		if t.Amount.IsZero() {
			p.client.stats.zero.Add(1)
			continue
		}
		t.Key = key
		p.page.Transfers = append(p.page.Transfers, t)
	}
}

// direct reports whether a log of the coin is that of its transaction's own value,
// which the transaction tells by itself.
func (p *pageReader) direct(i int, l *logObject) bool {
	for k := range p.hits {
		if h := &p.hits[k]; h.block == i && uint64(h.index) == l.txIndex {
			own := h.received && !h.logged && l.ofValue(&h.tx, &h.receipt)
			h.logged = h.logged || own
			return own
		}
	}
	return false
}

// ofValue reports whether a log of the coin may be that of a transaction's value.
func (l *logObject) ofValue(t *transactionObject, r *receipt) bool {
	to := t.to
	if t.creates {
		to = r.created
	}
	return t.value != [32]byte{} && l.data == t.value && l.from() == t.from && l.to() == to
}

// ordinals numbers the transfers of a token to a receiver inside their
// transaction. Transfers of nothing are numbered too: a transaction that is
// executed again may move another amount, and the transfers behind it must keep
// their names.
type ordinals map[ordinalKey]uint64

type ordinalKey struct {
	tx        uint64
	token, to [addressLength]byte
}

// transfer turns a log of the right shape into a transfer. It must see every
// such log to a receiver, in the order of the block.
func (o *ordinals) transfer(l *logObject, listed *tokenTable, height uint64) chain.Transfer {
	if *o == nil {
		*o = ordinals{}
	}
	key := ordinalKey{tx: l.txIndex, token: l.address, to: l.to()}
	k := (*o)[key]
	(*o)[key] = k + 1
	token, to := listed.ids[l.address], checksummed(l.to())
	ordinal, via := "t:"+string(token.contract), chain.ViaDirect
	if token.coin {
		ordinal, via = "c", chain.ViaContract
	}
	return chain.Transfer{
		ID: chain.TransferID{
			Tx:      chain.TxID(hexHash(&l.txHash)),
			Ordinal: ordinal + ":" + string(to) + ":" + strconv.FormatUint(k, 10),
		},
		Asset:   token.id,
		From:    checksummed(l.from()),
		To:      to,
		Amount:  amountOfWord(&l.data),
		Block:   height,
		Hash:    chain.BlockHash(hexHash(&l.blockHash)),
		TxIndex: uint32(l.txIndex),
		Via:     via,
	}
}
