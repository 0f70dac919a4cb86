package evm

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/holiman/uint256"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// ErrSweeperDeployed is returned where the sweeper to be deployed is there already.
var ErrSweeperDeployed = errors.New("evm: the sweeper is deployed already")

// SweeperCodeError reports that the code at the sweeper's address is not the
// sweeper's. An authorisation for it would be used up for nothing, or bind an account
// to somebody else's code. Where there is no code it is a chain.ErrNoContract.
type SweeperCodeError struct {
	// Address is where the sweeper should be.
	Address chain.Address
	// Want is the hash of the code that it has, Got that of the code which is there;
	// empty where there is none.
	Want, Got string
}

// Error names both hashes.
func (e *SweeperCodeError) Error() string {
	got := "there is none: deploy it"
	if e.Got != "" {
		got = "there is code with the hash " + e.Got
	}
	return fmt.Sprintf("evm: sweeper at %s: want code with the hash %s, %s", e.Address, e.Want, got)
}

// Unwrap returns chain.ErrNoContract where there is no code.
func (e *SweeperCodeError) Unwrap() error {
	if e.Got == "" {
		return chain.ErrNoContract
	}
	return nil
}

// VerifySweeper checks that the code at the address of Config.Sweeper is the
// contract's, in the newest block: *SweeperCodeError where it is not. Without a
// Sweeper it is chain.ErrUnsupported. Identify does the same, so that a gateway does
// not start without.
func (c *Client) VerifySweeper(ctx context.Context) error {
	if c.cfg.Sweeper == nil {
		return errNoSweeper()
	}
	w := c.writer()
	var code *hexData
	if err := w.ask(ctx, "eth_getCode", &code, checksummed(w.sweeper.Address()), "latest"); err != nil {
		return err
	}
	if code == nil {
		return &IncoherentError{Reason: "eth_getCode returned nothing"}
	}
	return w.sweeperIs(*code)
}

func errNoSweeper() error {
	return fmt.Errorf("evm: no sweeper is configured: %w", chain.ErrUnsupported)
}

// sweeperIs compares the code at the sweeper's address with the sweeper's.
func (w writer) sweeperIs(code []byte) error {
	if bytes.Equal(code, w.sweeper.Code()) {
		return nil
	}
	want := w.sweeper.CodeHash()
	out := &SweeperCodeError{Address: checksummed(w.sweeper.Address()), Want: hexHash(&want)}
	if len(code) > 0 {
		got := keccak256(code)
		out.Got = hexHash(&got)
	}
	return out
}

// DeploySweeper drafts the transaction that puts Config.Sweeper on the chain, by the
// deterministic deployment proxy, sent and paid by an account of ours; Sign and
// Broadcast take it like others. Anybody may send it instead, to the same effect:
// contracts.Sweeper.Deployment. taken are locks of other attempts, as in
// Intent.Taken.
//
// Errors: ErrSweeperDeployed; *SweeperCodeError where other code is there;
// chain.ErrNoContract where the chain lacks the proxy; chain.ErrUnsupported without
// Config.Sweeper; and those of Prepare.
func (c *Client) DeploySweeper(ctx context.Context, from chain.Account, taken ...chain.Lock) (chain.Draft, error) {
	return c.writer().deploySweeper(ctx, chain.Intent{Purpose: chain.PurposeDeployment, FeePayer: from, Taken: taken})
}

func (w writer) deploySweeper(ctx context.Context, in chain.Intent) (chain.Draft, error) {
	from, _, err := w.deployment(in)
	if err != nil {
		return chain.Draft{}, err
	}
	in.FeePayer.Address = from
	to, data := w.sweeper.Deployment()
	if err := w.undeployed(ctx, to); err != nil {
		return chain.Draft{}, err
	}
	nonce, err := w.nonce(ctx, from, in)
	if err != nil {
		return chain.Draft{}, err
	}
	q, err := w.market(ctx)
	if err != nil {
		return chain.Draft{}, err
	}
	gas, err := w.gas(ctx, from, checksummed(to), new(uint256.Int), data)
	if err != nil {
		return chain.Draft{}, err
	}
	b := builder{writer: w, in: in, quote: q}
	b.tx = transaction{Legacy: !q.Dynamic, Nonce: nonce, To: to, Data: data}
	b.tx.ChainID.SetUint64(w.chain)
	fee, err := b.pricedFor(ctx, q.ordinary(), gas)
	if err != nil {
		return chain.Draft{}, err
	}
	fee, missing, err := b.payable(ctx, from, fee)
	if err != nil {
		return chain.Draft{}, err
	}
	d := chain.Draft{Chain: w.coin.Chain(), Intent: in, Fee: fee}
	if !missing.IsZero() {
		d.Needs = []chain.Need{{Account: in.FeePayer, Asset: w.coin, Amount: missing}}
		return d, nil
	}
	d.Locks = []chain.Lock{nonceLock(from, nonce)}
	d.Payload, err = b.tx.payload()
	return d, err
}

// undeployed checks that the proxy is there and the sweeper is not.
func (w writer) undeployed(ctx context.Context, proxy contracts.Address) error {
	var there, code hexData
	if err := w.ask(ctx, "eth_getCode", &there, checksummed(proxy), "latest"); err != nil {
		return err
	}
	if !bytes.Equal(there, contracts.DeployerCode()) {
		return fmt.Errorf("evm: no deployment proxy at %s: %w", checksummed(proxy), chain.ErrNoContract)
	}
	if err := w.ask(ctx, "eth_getCode", &code, checksummed(w.sweeper.Address()), "latest"); err != nil {
		return err
	}
	switch err := w.sweeperIs(code); {
	case err == nil:
		return ErrSweeperDeployed
	case len(code) > 0:
		return err
	}
	return nil
}

// deployment checks the intent of a deployment: who sends it, and what it does.
func (w writer) deployment(in chain.Intent) (from chain.Address, want chain.Effects, err error) {
	switch {
	case w.sweeper == nil:
		return "", want, errNoSweeper()
	case len(in.Moves) > 0:
		return "", want, badIntent("moves", "", "a deployment has none")
	}
	raw, err := parseAddress(string(in.FeePayer.Address))
	if err != nil {
		return "", want, err
	}
	return checksummed(raw), chain.Effects{Contract: checksummed(w.sweeper.Address())}, nil
}
