package bursar

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/sweeper"
)

// why is a reason as people read it.
func why(r sweeper.Reason) string {
	switch r {
	case sweeper.ReasonCoin:
		return "coin pays for its own transfer"
	case sweeper.ReasonTogether:
		return "many addresses in one transaction"
	case sweeper.ReasonCoinAddress:
		return "coin may be paid to the address"
	case sweeper.ReasonMissed:
		return "a batch has missed it"
	case sweeper.ReasonOffline:
		return "waits for the address's key, which is offline"
	case sweeper.ReasonNoBatches:
		return "no batches are set up"
	case sweeper.ReasonBelowMinimum:
		return "below the sweep minimum"
	case sweeper.ReasonOff:
		return "nothing is swept"
	}
	return string(r)
}

// unknown is what stands for a figure that is not known.
const unknown = "?"

// String is the costs as an operator reads them.
func (s SweepCosts) String() string {
	w := &textWriter{}
	w.line("%s (%s), %s", s.Name, s.Chain, when(s.At))
	switch {
	case s.Unpriced != "":
		w.line("  the price of gas is not known: %s", s.Unpriced)
	case s.Usual.IsZero():
		w.line("  a unit of gas costs %s %s now", s.Coin.Format(s.Price), s.Coin.Symbol)
	default:
		w.line("  a unit of gas costs %s %s now, and %s in the middle of the last day", s.Coin.Format(s.Price), s.Coin.Symbol, s.Coin.Format(s.Usual))
	}
	if s.Off {
		w.line("  nothing is swept on this chain: sweeps are off, or there is no signer")
	}
	if s.Halted != "" {
		w.line("  nothing is swept for now, the chain is halted: %s", s.Halted)
	}
	if len(s.Waiting) == 0 {
		w.line("  nothing waits to be swept")
		return w.String()
	}
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	row := func(cells ...string) { _, _ = fmt.Fprintf(t, "  %s\n", strings.Join(cells, "\t")) } // a Builder takes all
	row("amount", "payments", "addresses", "way", "why", "transactions", "gas each", "fee each, "+s.Coin.Symbol, "of the amount", "gas each then")
	rules := ""
	for _, f := range s.Waiting {
		for i, c := range f.Ways {
			lead := []string{"", "", "", "or " + string(c.Way), ""}
			if i == 0 {
				lead = []string{f.Asset.Format(f.Amount) + " " + f.Asset.Symbol, strconv.Itoa(f.Payments), addressesOf(f), string(c.Way), why(f.Reason)}
			}
			if f.Way == "" {
				lead[3] = "stays (" + string(c.Way) + ")"
			}
			if c.Rules != "" {
				rules = c.Rules
			}
			row(append(lead, strconv.Itoa(c.Transactions), number(c.Now.GasEach), s.coins(c.Now.FeeEach), percent(c.Now.Share), number(c.Next.GasEach))...)
		}
	}
	_ = t.Flush()
	for line := range strings.Lines(table.String()) {
		w.line("%s", strings.TrimRight(line, " \n"))
	}
	if rules != "" {
		w.line("  then: a projection, under the rules of %s", rules)
	}
	return w.String()
}

// addressesOf tells how many addresses there are, and how many are used again.
func addressesOf(f SweepForecast) string {
	if f.Delegating == 0 {
		return strconv.Itoa(f.Addresses)
	}
	return fmt.Sprintf("%d, %d again", f.Addresses, f.Delegating)
}

// number is a figure, where it is known.
func number(n uint64) string {
	if n == 0 {
		return unknown
	}
	return strconv.FormatUint(n, 10)
}

// coins is an amount of the chain's coin, where it is known.
func (s SweepCosts) coins(n chain.Amount) string {
	if n.IsZero() {
		return unknown
	}
	return s.Coin.Format(n)
}

// percent writes hundredths of a percent; of a token nothing is known.
func percent(share uint64) string {
	if share == 0 {
		return unknown
	}
	return fmt.Sprintf("%d.%02d %%", share/100, share%100)
}
