package bursar

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// ChainID is a CAIP-2 chain id; see package chain.
type ChainID = chain.ID

// AddressRequest asks for a permanent deposit address.
type AddressRequest struct {
	// Chain is a chain whose family the address is for; an address serves all
	// configured chains of the family.
	Chain ChainID
	// Customer is whose address it is. Required; a customer has one address per
	// family, or two by TokensOnly, and asking again returns it.
	Customer string
	// TokensOnly asks for the customer's address for tokens, which is another one than
	// that for everything. Tokens at it are swept together with others', which costs two
	// fifths less gas and from the second time on four fifths less (Chain.MaxBatch). From
	// then on the address has code, and a payment in coin that offers it no more than
	// 21,000 gas, as wallets and exchanges do, fails: its sender keeps the coin. Only offer
	// it for tokens.
	TokensOnly bool
	// Metadata are the host's own pairs; see PaymentRequest.Metadata.
	Metadata map[string]string
}

// CreateAddress returns the permanent deposit address of a customer, made at
// the first call. Every deposit to it is an incoming transaction with events of
// its own; it never expires.
//
// Errors: *FieldError before anything is written; ErrIdempotencyConflict where
// the customer's address exists with other metadata; ErrChainNotReady.
func (g *Gateway) CreateAddress(ctx context.Context, req AddressRequest) (Address, error) {
	if err := g.writable(ctx); err != nil {
		return Address{}, err
	}
	net, ok := g.nets[req.Chain]
	switch {
	case !ok:
		return Address{}, fieldErr("AddressRequest.Chain", CodeUnknown, "chain %q is not configured", req.Chain)
	case req.Customer == "":
		return Address{}, fieldErr("AddressRequest.Customer", CodeRequired, "whose address it is")
	}
	if err := checkText("AddressRequest.Customer", req.Customer, MaxCustomer); err != nil {
		return Address{}, err
	}
	if err := checkMetadata("AddressRequest.Metadata", req.Metadata); err != nil {
		return Address{}, err
	}
	if !net.isReady() {
		return Address{}, fmt.Errorf("%w: %s", ErrChainNotReady, net.info.ID)
	}
	for try := 0; ; try++ {
		it, err := net.book.take(ctx)
		if err != nil {
			return Address{}, err
		}
		row, fresh, err := g.storeAddress(ctx, req, net, it)
		if !fresh {
			net.book.giveBack(it)
		}
		if errors.Is(err, ErrConflict) && try < maxAddressTries {
			continue
		}
		return row, err
	}
}

func (g *Gateway) storeAddress(ctx context.Context, req AddressRequest, net *network, it issued) (row Address, fresh bool, err error) {
	key := permanentKey(net, req.Customer, req.TokensOnly)
	print := metadataPrint(req.Metadata)
	err = g.store.Write(ctx, func(tx Tx) error {
		row, fresh = Address{}, false
		old, err := tx.Addresses(ctx, AddressQuery{IdempotencyKeys: []string{key}})
		if err != nil {
			return err
		}
		if len(old) > 0 {
			if row = old[0]; row.Fingerprint != print {
				return fmt.Errorf("%w: the address of customer %q has other metadata", ErrIdempotencyConflict, req.Customer)
			}
			return nil
		}
		fresh = true
		row = it.row(RolePermanent)
		row.Customer, row.Metadata, row.IdempotencyKey, row.Fingerprint = req.Customer, maps.Clone(req.Metadata), key, print
		row.CreatedAt, row.TokensOnly = tx.Now(), req.TokensOnly
		return tx.Apply(ctx, Batch{Addresses: []Address{row}})
	})
	if err != nil {
		return Address{}, fresh, err
	}
	if fresh {
		row.Version = 1
	}
	return row, fresh, nil
}

// permanentKey is the idempotency key of a customer's permanent address: one for each
// family of chains, and one more for tokens.
func permanentKey(net *network, customer string, tokensOnly bool) string {
	name := "permanent"
	if tokensOnly {
		name = "tokens"
	}
	return fmt.Sprintf("%s/%d/%s", name, net.info.CoinType, customer)
}

func metadataPrint(m map[string]string) string {
	var b strings.Builder
	for _, k := range sortedKeys(m) {
		fmt.Fprintf(&b, "%d:%s%d:%s", len(k), k, len(m[k]), m[k])
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}
