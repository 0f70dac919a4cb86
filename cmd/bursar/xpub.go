package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/bursar-go/bursar/config"
	"github.com/bursar-go/bursar/hdwallet"
)

func xpubCommand() *command {
	return &command{
		name: "xpub", short: "prints the xpubs of the configuration's mnemonics, offline",
		long: `Prints the extended public keys of the mnemonics under wallet and wallet.deposits, for
the file of a process that shall not have them: of a gateway beside bursar signer, or of
the machine that runs bursar authorise. No store and no node is asked. An xpub is no
key, and tells all addresses: keep it as private as a list of customers.`,
		prepare: func(*flag.FlagSet) func(context.Context, *call) error {
			return func(_ context.Context, c *call) error { return c.xpub() }
		},
	}
}

// xpubLine is one xpub.
type xpubLine struct {
	Wallet   string `json:"wallet"` // the section that its mnemonic is in
	CoinType uint32 `json:"coin_type"`
	XPub     string `json:"xpub"`
}

func (c *call) xpub() error {
	f, err := c.load()
	if err != nil {
		return err
	}
	cfg, err := c.build(f, noStore{})
	if err != nil {
		return err
	}
	var coins []uint32
	for _, on := range cfg.Chains {
		coins = append(coins, on.Client.Info().CoinType)
	}
	slices.Sort(coins)
	type section struct {
		name              string
		words, passphrase config.Secret
	}
	sections := []section{{"wallet", f.Wallet.Mnemonic, f.Wallet.Passphrase}}
	if d := f.Wallet.Deposits; d != nil {
		sections = append(sections, section{"wallet.deposits", d.Mnemonic, d.Passphrase})
	}
	out := []xpubLine{}
	var text strings.Builder
	for _, s := range sections {
		if s.words.IsZero() {
			continue
		}
		w, err := hdwallet.FromMnemonic(s.words.Reveal(), s.passphrase.Reveal())
		if err != nil {
			return err
		}
		for _, coin := range slices.Compact(coins) {
			key, err := w.XPub(coin)
			if err != nil {
				return err
			}
			out = append(out, xpubLine{s.name, coin, key})
			fmt.Fprintf(&text, "%s %d %s\n", s.name, coin, key)
		}
	}
	if len(out) == 0 {
		return errors.New("the configuration has no mnemonic")
	}
	return c.print(out, text.String())
}
