package contracts

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const gasDoc = "../../../docs/contracts.md"

// readDoc is the page on the contract.
func readDoc(t *testing.T) string {
	text, err := os.ReadFile(gasDoc)
	require.NoError(t, err)
	return string(text)
}

// grouped is a number with its thousands apart.
func grouped(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// rows are the names of ways as the tables of the page have them, in its order.
func rows() []struct {
	way  Way
	name string
} {
	return []struct {
		way  Way
		name string
	}{
		{Fresh, "EIP-7702, first sweep"}, {Reused, "EIP-7702, later"}, {ForwarderFirst, "forwarder, first sweep"}, {ForwarderLater, "forwarder, later"},
		{TopUp, "gas sent there, then a transfer"}, {TopUpLater, "the same, of an account that is there"}, {Transfer, "a transfer of its own"},
	}
}

// forksTable is the table of ways and forks, in hundreds of gas: what is not there yet
// is known no better.
func forksTable() string {
	var b strings.Builder
	b.WriteString("| | asset | Osaka, N = 1 | 100 | Amsterdam, N = 1 | 100 |\n|---|---|---|---|---|---|\n")
	for _, row := range rows() {
		name := "| " + row.name + " "
		for _, class := range []Class{Plain, Checked, Proxied, Coin} {
			line := name + "| " + class.String()
			for _, rules := range []Rules{Osaka, Amsterdam} {
				g, err := GasOf(rules, row.way, class)
				if err != nil {
					line = ""
					break
				}
				for _, n := range []int{1, 100} {
					line += " | " + grouped((g.Of(n)/uint64(n)+50)/100*100)
				}
			}
			if line != "" {
				b.WriteString(line + " |\n")
				name = "| "
			}
		}
	}
	return b.String()
}

// The page has what the code says.
func TestTheTableOfForks(t *testing.T) {
	want := forksTable()
	require.True(t, strings.Contains(readDoc(t), "\n\n"+want+"\n"), "%s has another table of ways and forks than the code, whose is:\n%s", gasDoc, want)
}

// The model is what was measured, as the other table of the page has it.
func TestGasIsWhatWasMeasured(t *testing.T) {
	line := regexp.MustCompile(`(?m)^\| ?([^|]*?) ?\| (oz|usdt|usdc|coin) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$`)
	names := map[string]Way{}
	for _, row := range rows() {
		names[row.name] = row.way
	}
	classes := map[string]Class{"oz": Plain, "usdt": Checked, "usdc": Proxied, "coin": Coin}
	way, found := Way(0), 0
	_, text, ok := strings.Cut(readDoc(t), "\n## Gas\n")
	require.True(t, ok)
	for _, m := range line.FindAllStringSubmatch(text, -1) {
		if m[1] != "" {
			way = names[m[1]]
			require.NotZero(t, way, m[1])
		}
		g, err := GasOf(Osaka, way, classes[m[2]])
		require.NoError(t, err)
		for i, n := range []int{1, 10, 100} {
			want, err := strconv.ParseUint(strings.ReplaceAll(m[3+i], ",", ""), 10, 64)
			require.NoError(t, err)
			require.InEpsilon(t, want, g.Of(n)/uint64(n), 0.003, "%s %s, %d a batch", way, m[2], n)
			found++
		}
	}
	require.Equal(t, 3*(4*4+3), found, "each row of the table")
}

// What a transaction asks for is never less than what it uses before refunds, and not
// much more.
func TestCostIsAboveGas(t *testing.T) {
	for way := Fresh; way <= ForwarderLater; way++ {
		for class := Coin; class <= Proxied; class++ {
			cost, err := CostOf(way, class)
			require.NoError(t, err)
			gas, err := GasOf(Osaka, way, class)
			require.NoError(t, err)
			require.Greater(t, cost.Base, gas.Base)
			require.Greater(t, cost.Entry, gas.Entry, "%s %s", way, class)
			require.Less(t, cost.Entry*100, gas.Entry*102, "%s %s", way, class)
		}
	}
}

func TestGasOfWhatIsNone(t *testing.T) {
	known := 0
	for rules := Rules(0); rules <= Amsterdam+1; rules++ {
		for way := Way(0); way <= Transfer+1; way++ {
			for class := Class(0); class <= Proxied+1; class++ {
				g, err := GasOf(rules, way, class)
				none := rules == 0 || rules > Amsterdam || way == 0 || way > Transfer || class == 0 || class > Proxied ||
					class == Coin && (way == TopUp || way == TopUpLater) || class != Coin && way == Transfer
				if none {
					var bad *FieldError
					require.ErrorAs(t, err, &bad)
					require.Zero(t, g)
					continue
				}
				require.NoError(t, err)
				require.Positive(t, g.Entry)
				known++
			}
		}
	}
	require.Equal(t, 2*(4*4+3*2+1), known)
	for way := Fresh; way <= Transfer; way++ {
		require.NotContains(t, way.String(), "Way(")
	}
	require.Equal(t, "Rules(9) Way(9) Class(9)", Rules(9).String()+" "+Way(9).String()+" "+Class(9).String())
	require.Contains(t, Amsterdam.String(), "EIP-8037")
}

// What the coming rules do to each way: to make an account or a slot becomes dear, to
// use it again hardly.
func TestTheComingRulesMakeFirstUseDear(t *testing.T) {
	for class := Plain; class <= Proxied; class++ {
		factor := func(way Way) uint64 { // in percent
			now, err := GasOf(Osaka, way, class)
			require.NoError(t, err)
			next, err := GasOf(Amsterdam, way, class)
			require.NoError(t, err)
			return next.Of(100) * 100 / now.Of(100)
		}
		require.Greater(t, factor(Fresh), uint64(700))
		require.Less(t, factor(Reused), uint64(180))
		require.Greater(t, factor(TopUp), uint64(400))
		require.Less(t, factor(TopUpLater), uint64(120))
	}
}

// Refunds are never more than a fifth of what is used, nothing wraps, and together it is
// never dearer than apart.
func TestGasAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) Gas {
			g, err := GasOf(rapid.SampledFrom([]Rules{Osaka, Amsterdam}).Draw(t, "rules "+name), Way(rapid.IntRange(1, 4).Draw(t, name)), Class(rapid.IntRange(1, 4).Draw(t, "class "+name)))
			require.NoError(t, err)
			return g
		}
		a, b := draw("a"), draw("b")
		n, m := rapid.IntRange(0, 2000).Draw(t, "n"), rapid.IntRange(0, 2000).Draw(t, "m")
		got := a.With(n, b, m)
		require.Equal(t, got, b.With(m, a, n))
		require.Equal(t, a.Of(n+m), a.With(n, a, m), "one transaction, paid once")
		if n > 0 && m > 0 {
			require.LessOrEqual(t, got, a.Of(n)+b.Of(m), "apart")
		}
		before := Gas{Base: a.Base, Entry: a.Entry}.With(n, Gas{Base: b.Base, Entry: b.Entry}, m)
		require.LessOrEqual(t, got, before)
		require.GreaterOrEqual(t, got*5+5, before*4, "a fifth at most")
		require.Less(t, a.Of(n), a.Of(n+1))
		require.Less(t, a.Of(1<<62), uint64(1)<<52, "and no more than is counted")
		require.Zero(t, a.Of(-n))
	})
}
