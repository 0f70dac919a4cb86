package main

import (
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/bursar-go/bursar/chain"
)

// title says what is compared.
func title(out io.Writer, payments int, all []way) {
	fmt.Fprintf(out, `%d payments of %s %s, each to an address of its own, on an EVM in this process
with the rules of Osaka and gas at 1 gwei. Three gateways sweep them:

`, payments, holding(0, 1).Format(decimals), symbol)
	for _, w := range all {
		fmt.Fprintf(out, "   %-*s   %s\n", nameWidth, w.name, w.about)
	}
	fmt.Fprintln(out)
}

// nameWidth is that of the longest name of a way.
const nameWidth = len("together, first")

// table prints what became of the payments. Savings are against the first way.
func table(out io.Writer, all []outcome) error {
	t := tabwriter.NewWriter(out, 0, 4, 3, ' ', tabwriter.AlignRight)
	row := func(name string, cells ...string) {
		// The names alone are on the left.
		fmt.Fprintf(t, "%-*s\t%s\t\n", nameWidth, name, strings.Join(cells, "\t"))
	}
	row("", "transactions", "gas", "per payment", "saved", "then", "fee, ETH", "left behind, ETH", "treasury had", "has, "+symbol)
	for _, o := range all {
		row(o.name, strconv.Itoa(o.txs), grouped(o.gas), grouped(o.each()), saving(all[0], o), grouped(o.next/uint64(o.asked)), coins(o.fee), coins(o.left), o.before.Format(decimals), o.after.Format(decimals))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(out, `
gas           of all transactions, those that send gas with them, from their receipts
then          gas per payment that the client expects under the rules of the coming fork, a projection
left behind   coin that addresses were sent for gas and did not use
treasury      by the chain; what it has more is what its customers paid, to the unit
`)
	return err
}

// each is the gas for each payment, all transactions counted.
func (o outcome) each() uint64 { return o.gas / uint64(o.asked) }

// saving is how much less gas a way took than the classic one, in percent with one
// decimal; below zero where it took more.
func saving(classic, o outcome) string {
	if classic.gas == 0 || o.way == classic.way {
		return "–"
	}
	less := new(big.Int).Sub(new(big.Int).SetUint64(classic.gas), new(big.Int).SetUint64(o.gas))
	percent := new(big.Rat).SetFrac(less.Mul(less, big.NewInt(100)), new(big.Int).SetUint64(classic.gas))
	return percent.FloatString(1) + " %"
}

// grouped is a number with its thousands apart.
func grouped(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// coins are wei as coins, rounded to a millionth.
func coins(wei chain.Amount) string {
	return new(big.Rat).SetFrac(wei.Big(), big.NewInt(1e18)).FloatString(6)
}

// verdict is what is wrong with all the ways, nil where nothing is.
func verdict(all []outcome) error {
	var wrong []error
	for _, o := range all {
		for _, what := range o.faults() {
			wrong = append(wrong, fmt.Errorf("%s: %s", o.name, what))
		}
	}
	return errors.Join(wrong...)
}

// faults tell where something does not hold of a way: every payment is in the treasury,
// and what the gateway says is what the chain says.
func (o outcome) faults() (wrong []string) {
	for _, it := range []struct {
		holds bool
		what  string
	}{
		{o.swept == o.asked, fmt.Sprintf("%d of %d payments are in the treasury", o.swept, o.asked)},
		{o.after == o.due, fmt.Sprintf("the treasury has %s, and %s is due", o.after.Format(decimals), o.due.Format(decimals))},
		{o.txs == o.minedTxs, fmt.Sprintf("the gateway tells of %d transactions, the blocks of %d", o.txs, o.minedTxs)},
		{o.gas == o.minedGas, fmt.Sprintf("the gateway tells of %d gas, the blocks of %d", o.gas, o.minedGas)},
		{o.audit.Clean() && len(o.audit.Skipped) == 0, "the gateway's audit: " + o.audit.String()},
	} {
		if !it.holds {
			wrong = append(wrong, it.what)
		}
	}
	return wrong
}
