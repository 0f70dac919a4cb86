package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/hdwallet"
)

// open makes the wallet of the deposits; nil where it cannot.
func (d *Deposits) open(r *report, path string) *hdwallet.Wallet {
	if len(d.Authorisations) > 0 && !d.Mnemonic.IsZero() {
		r.add(join(path, "authorisations"), bursar.CodeMismatch, "are for where the mnemonic is not")
	}
	return Wallet{Mnemonic: d.Mnemonic, Passphrase: d.Passphrase, XPubs: d.XPubs}.one(r, path)
}

// offline reports whether the deposits' keys are elsewhere.
func (d *Deposits) offline() bool { return d != nil && d.Mnemonic.IsZero() }

// presign puts what was signed before in front of the signer, where deposits' keys are
// elsewhere and there is one.
func (f *File) presign(r *report, cfg *bursar.Config) {
	names, wallets := []string{"wallet"}, []Wallet{f.Wallet}
	for _, name := range sorted(f.Retired) {
		names, wallets = append(names, join("retired", shown(name))), append(wallets, f.Retired[name])
	}
	var away []*hdwallet.Wallet
	for i, w := range append([]*hdwallet.Wallet{cfg.Wallet}, cfg.Retired...) {
		if wallets[i].Deposits.offline() {
			away = append(away, w)
		}
	}
	if len(away) == 0 || cfg.Signer == nil && cfg.Wallet.WatchOnly() {
		return // all keys are here, or nobody signs
	}
	policy, inner := policyOf(*cfg), cfg.Signer
	set, err := hdwallet.NewAuthorisations(policy.Codecs, away...)
	if err == nil && inner == nil {
		inner, err = hdwallet.NewSigner(policy, signing(*cfg)...)
	}
	if err != nil {
		r.wrap("wallet.deposits", bursar.CodeInvalid, err, "cannot be used")
		return
	}
	if cfg.Signer, err = hdwallet.Presigned(inner, set); err != nil {
		r.wrap("wallet.deposits", bursar.CodeInvalid, err, "cannot be used")
		return
	}
	for i, w := range wallets {
		if w.Deposits == nil {
			continue
		}
		for k, path := range w.Deposits.Authorisations {
			if err := readAuthorisations(set, path); err != nil {
				r.wrap(fmt.Sprintf("%s.deposits.authorisations[%d]", names[i], k), bursar.CodeInvalid, err, "cannot be used")
			}
		}
	}
}

func readAuthorisations(set *hdwallet.Authorisations, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	_, err = set.Read(context.Background(), file)
	return err
}

// signing are the wallets that have keys of their own accounts.
func signing(cfg bursar.Config) (out []*hdwallet.Wallet) {
	for _, w := range append([]*hdwallet.Wallet{cfg.Wallet}, cfg.Retired...) {
		if !w.WatchOnly() {
			out = append(out, w)
		}
	}
	return out
}

// ForgetAuthorisations takes the files of authorisations out of f, for a program that signs nothing: to
// read and verify many takes minutes. Which keys are offline stays known.
func (f *File) ForgetAuthorisations() {
	forget := func(w Wallet) Wallet {
		if w.Deposits != nil {
			without := *w.Deposits
			without.Authorisations = nil
			w.Deposits = &without
		}
		return w
	}
	f.Wallet = forget(f.Wallet)
	for name, w := range f.Retired {
		f.Retired[name] = forget(w)
	}
}

// Authorise writes authorisations of deposit addresses to w: that they delegate to the
// contract of the chain's sweeper section, for wallet.deposits.authorisations of a gateway
// that has their xpubs alone. cfg is what Build made of the file; the chain is named by its
// name there or its id. The range is from the index from on, count of them.
//
// Errors are *Error where the file has no mnemonic of deposits, *bursar.FieldError
// where the chain is unknown or has no contract, and those of hdwallet.WriteAuthorisations.
func (f *File) Authorise(ctx context.Context, w io.Writer, cfg bursar.Config, on string, from uint32, count int) error {
	r := newReport(f.name, f.places)
	if f.Wallet.Deposits == nil || f.Wallet.Deposits.Mnemonic.IsZero() {
		r.add("wallet.deposits.mnemonic", bursar.CodeRequired, "authorisations are signed where it is")
		return r.err()
	}
	vault := f.Wallet.Deposits.open(r, "wallet.deposits")
	if err := r.err(); err != nil {
		return err
	}
	codec, info, err := contractOf(cfg, on)
	if err != nil {
		return err
	}
	account, err := vault.Account(info.CoinType)
	if err != nil {
		return err
	}
	signer, err := hdwallet.NewSigner(policyOf(cfg), vault)
	if err != nil {
		return err
	}
	return hdwallet.WriteAuthorisations(ctx, w, signer, hdwallet.AuthorisationRange{Chain: info.ID, Codec: codec, Account: account, From: from, Count: count})
}

// contractOf finds a chain with a contract.
func contractOf(cfg bursar.Config, name string) (chain.Codec, chain.Info, error) {
	for _, c := range cfg.Chains {
		info := c.Client.Info()
		if info.Name != name && string(info.ID) != name {
			continue
		}
		if codec, ok := c.Client.Codec().(chain.ContractCodec); ok {
			if contract, _ := codec.Contract(); contract != "" {
				return codec, info, nil
			}
		}
		return nil, info, &bursar.FieldError{
			Field: "chain", Code: bursar.CodeMismatch, Reason: info.Name + " has no contract to delegate to", Err: errors.ErrUnsupported,
		}
	}
	return nil, chain.Info{}, &bursar.FieldError{Field: "chain", Code: bursar.CodeUnknown, Reason: fmt.Sprintf("no chain %q is configured", name)}
}
