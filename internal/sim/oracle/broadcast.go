package oracle

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

type lock = chain.Lock

// raw is what a signed transaction does.
type raw struct {
	id     chain.TxID
	tx     *types.Transaction
	nonce  uint64
	to     chain.Address // who gets it
	asset  chain.AssetID
	amount *big.Int
	// most is what its fee can come to.
	most *big.Int
	// parts is what the sweeper is to move from whom, delegates what nonces of theirs the
	// transaction uses up; nil where it is no batch.
	parts     map[chain.Address]chain.Amount
	delegates []chain.Lock
}

// Broadcast is S5: the bytes that go out were written down before, do what their
// payout is for, and pay the treasury, an account of ours, or who an approval
// names; and S6 and S9 for the same bytes.
func (o *Oracle) Broadcast(s chain.Signed) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	a := o.past.attempts[s.ID]
	if a == nil || !bytes.Equal(a.Raw, s.Raw) {
		return broken("S5", "transaction %s was broadcast and never written down", s.ID)
	}
	if o.past.sent[s.ID] {
		return nil // the same bytes were looked at
	}
	tx, err := o.decode(s.Raw)
	if err != nil {
		return broken("S5", "transaction %s: %v", s.ID, err)
	}
	from, err := types.Sender(types.LatestSignerForChainID(tx.tx.ChainId()), tx.tx)
	if err != nil {
		return broken("S5", "transaction %s is signed by nobody: %v", s.ID, err)
	}
	p := o.past.payouts[a.PayoutID]
	if p == nil {
		return broken("S5", "transaction %s is of payout %q, which never was", s.ID, a.PayoutID)
	}
	if err := o.serves(tx, chain.Address(from.Hex()), a, p); err != nil {
		return err
	}
	o.past.sent[s.ID] = true
	return nil
}

// serves compares a decoded transaction with the payout that it is for.
func (o *Oracle) serves(tx raw, from chain.Address, a *bursar.Attempt, p *bursar.Payout) error {
	spends := chain.Lock("nonce:" + string(from) + ":" + strconv.FormatUint(tx.nonce, 10))
	if a.Cancels {
		return tx.cancels(from, spends, a, p)
	}
	switch {
	case tx.id != a.TxID:
		return broken("S5", "the bytes of %s are those of %s", a.TxID, tx.id)
	case tx.tx.ChainId().String() != p.Chain.Reference():
		return broken("S5", "transaction %s is for chain %s, not %s", tx.id, tx.tx.ChainId(), p.Chain)
	case !o.may(tx, p):
		return broken("S5", "transaction %s of payout %s pays %s %s to the stranger %s", tx.id, p.ID, tx.amount, tx.asset, tx.to)
	case from != p.From.Address || tx.to != p.To || tx.asset != p.Asset.ID:
		return broken("S6", "transaction %s moves %s from %s to %s, payout %s is of %s from %s to %s", tx.id, tx.asset, from, tx.to, p.ID, p.Asset.ID, p.From.Address, p.To)
	case tx.amount.Cmp(p.Amount.Big()) > 0 || !p.LessFee && tx.amount.Cmp(p.Amount.Big()) < 0:
		return broken("S6", "transaction %s moves %s, payout %s is of %s", tx.id, tx.amount, p.ID, p.Amount)
	case !slices.Contains(a.Locks, spends):
		return broken("S6", "transaction %s spends %s, written down are %v", tx.id, spends, a.Locks)
	case tx.most.Cmp(a.MaxFee.Big()) > 0 || !p.MaxFee.IsZero() && tx.most.Cmp(p.MaxFee.Big()) > 0:
		return broken("S9", "transaction %s can cost %s, written down are %s and %s", tx.id, tx.most, a.MaxFee, p.MaxFee)
	}
	return tx.ofBatch(a, p)
}

// may reports whether somebody may be paid.
func (o *Oracle) may(tx raw, p *bursar.Payout) bool {
	if tx.to == o.cfg.Treasury || tx.to == o.cfg.Sponsor || o.past.homes[tx.to] {
		return true
	}
	ok := p.Approval
	return ok != nil && ok.To == tx.to && ok.Asset == tx.asset && ok.Payout == p.ID && ok.Amount.Big().Cmp(tx.amount) == 0
}

// decode reads a signed transaction. What is neither a plain payment nor a
// transfer of a configured token is an error.
func (o *Oracle) decode(b []byte) (raw, error) {
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(b); err != nil {
		return raw{}, fmt.Errorf("its bytes are no transaction: %w", err)
	}
	out := raw{id: chain.TxID(tx.Hash().Hex()), tx: tx, nonce: tx.Nonce(), most: new(big.Int).Mul(tx.GasFeeCap(), new(big.Int).SetUint64(tx.Gas()))}
	to := tx.To()
	switch {
	case to == nil:
		return raw{}, errors.New("it creates a contract")
	case o.cfg.Sweeper != "" && chain.Address(to.Hex()) == o.cfg.Sweeper:
		return out, o.decodeBatch(&out)
	case len(tx.SetCodeAuthorizations()) > 0:
		return raw{}, errors.New("it gives an account to a contract")
	case len(tx.Data()) == 0:
		out.to, out.asset, out.amount = chain.Address(to.Hex()), o.truth.chain.Info().Native.ID, tx.Value()
		return out, nil
	}
	return out, o.decodeToken(&out, *to)
}

// decodeToken reads the call transfer(address,uint256).
func (o *Oracle) decodeToken(out *raw, contract common.Address) error {
	data := out.tx.Data()
	if len(data) != 68 || !bytes.Equal(data[:4], []byte{0xa9, 0x05, 0x9c, 0xbb}) || !bytes.Equal(data[4:16], make([]byte, 12)) {
		return fmt.Errorf("it calls %x of %s", data, contract.Hex())
	}
	if out.tx.Value().Sign() != 0 {
		return fmt.Errorf("it gives %s to the contract %s", out.tx.Value(), contract.Hex())
	}
	if id, ok := o.token(chain.Address(contract.Hex())); ok {
		out.to, out.asset, out.amount = chain.Address(common.BytesToAddress(data[16:36]).Hex()), id, new(big.Int).SetBytes(data[36:])
		return nil
	}
	return fmt.Errorf("it calls %s, which is no configured token", contract.Hex())
}

// token finds a configured token, or one that was added while the gateway ran.
func (o *Oracle) token(contract chain.Address) (chain.AssetID, bool) {
	for _, a := range o.cfg.Assets {
		if a.Contract == contract {
			return a.ID, true
		}
	}
	if st := o.m.chains[o.cfg.Chain.Info().ID]; st != nil {
		for _, a := range st.Assets {
			if a.Asset.Contract == contract {
				return a.Asset.ID, true
			}
		}
	}
	return "", false
}
