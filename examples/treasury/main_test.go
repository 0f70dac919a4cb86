package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"math/big"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// demo runs the program.
func demo(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	status = run(ctx, args, &out, &errs)
	return status, out.String(), errs.String()
}

func TestTheTable(t *testing.T) {
	status, stdout, stderr := demo(t, "-payments", "12")
	require.Equal(t, exitGood, status, "%s\n%s", stderr, stdout)
	require.Empty(t, stderr)
	for _, line := range []string{
		`^12 payments of 25 USD,`,
		`^ +classic +24 +6\d\d,\d{3} +5\d,\d{3} +– +238,554 +0\.0006\d\d +0\.000[01]\d\d +1000 +1300$`,
		`^ +together, first +1 +[34]\d\d,\d{3} +3\d,\d{3} +3\d\.\d % +242,\d{3} +0\.000[34]\d\d +0\.000000 +1000 +1300$`,
		`^ +together, again +1 +1\d\d,\d{3} +1\d,\d{3} +7\d\.\d % +17,\d{3} +0\.0001\d\d +0\.000000 +1300 +1600$`,
		`^Every payment is in its treasury`,
	} {
		require.Regexp(t, regexp.MustCompile("(?m)"+line), stdout)
	}
}

// TestWhatIsMeasured: what the table has is so, in numbers.
func TestWhatIsMeasured(t *testing.T) {
	all, err := (&scene{payments: 12, ways: ways(), log: io.Discard}).play(t.Context())
	require.NoError(t, err)
	require.NoError(t, verdict(all))
	require.Len(t, all, 3)
	classic, first, again := all[0], all[1], all[2]
	require.Equal(t, []int{24, 1, 1}, []int{classic.txs, first.txs, again.txs})
	require.Less(t, first.gas*3, classic.gas*2, "it saves a third")
	require.Less(t, again.gas*2, first.gas, "and the next time more than half of the rest")
	for _, o := range all {
		require.Equal(t, 12, o.swept)
		got, err := o.after.Sub(o.before)
		require.NoError(t, err)
		require.Equal(t, "300000000", got.String(), "what was paid is in the treasury")
		most := new(big.Int).Mul(new(big.Int).SetUint64(o.gas), big.NewInt(gasPrice+gasPrice/100))
		least := new(big.Int).Mul(new(big.Int).SetUint64(o.gas), big.NewInt(gasPrice))
		require.True(t, o.fee.Big().Cmp(least) >= 0 && o.fee.Big().Cmp(most) < 0, "%s: gas costs 1 gwei: %s", o.name, o.fee)
	}
}

// TestWhoseAddresses: payments have addresses of their own, and who pays again has a
// permanent one.
func TestWhoseAddresses(t *testing.T) {
	c, err := newLocalChain(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, c.backend.Close()) }()
	for _, w := range ways() {
		x, err := openTill(t.Context(), c, w.together, io.Discard)
		require.NoError(t, err)
		shown, err := (&scene{payments: 3}).addresses(t.Context(), x, w)
		require.NoError(t, err)
		require.Len(t, slices.Compact(slices.SortedFunc(slices.Values(shown), common.Address.Cmp)), 3)
		payments, err := x.gateway.Payments(t.Context(), bursar.PaymentFilter{}, bursar.MaxPage, "")
		require.NoError(t, err)
		require.Equal(t, w.again, len(payments.Items) == 0)
		require.NoError(t, x.close(t.Context()))
	}
}

// TestALostPaymentIsSeen: where a customer pays somebody else, the run says so in each
// way, and prints no success.
func TestALostPaymentIsSeen(t *testing.T) {
	for i, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			s := &scene{payments: 3, ways: ways()[i : i+1], log: io.Discard}
			s.customers = func(_ way, shown []common.Address) []common.Address {
				return []common.Address{shown[0], shown[1], common.HexToAddress("0x00000000000000000000000000000000000Bad00")}
			}
			err := show(t.Context(), s, &out)
			require.ErrorContains(t, err, w.name+": 2 of 3 payments are in the treasury")
			has := "the treasury has 1050, and 1075 is due"
			if w.again {
				has = "the treasury has 1125, and 1150 is due"
			}
			require.ErrorContains(t, err, has)
			require.NotContains(t, out.String(), "Every payment")
		})
	}
}

// TestEveryFaultIsSeen: each thing that must hold is looked at by itself.
func TestEveryFaultIsSeen(t *testing.T) {
	good := outcome{
		way: ways()[0], asked: 2, swept: 2, txs: 4, minedTxs: 4, gas: 100_000, minedGas: 100_000, due: holding(opening, 2), after: holding(opening, 2),
	}
	require.NoError(t, verdict([]outcome{good}))
	for name, it := range map[string]struct {
		spoil func(*outcome)
		says  string
	}{
		"a payment is lost":      {func(o *outcome) { o.swept = 1 }, "1 of 2 payments"},
		"one too many":           {func(o *outcome) { o.swept = 3 }, "3 of 2 payments"},
		"too little is there":    {func(o *outcome) { o.after = holding(opening, 1) }, "the treasury has 1025, and 1050 is due"},
		"too much is there":      {func(o *outcome) { o.after = holding(opening, 3) }, "the treasury has 1075, and 1050 is due"},
		"a transaction unsaid":   {func(o *outcome) { o.minedTxs = 5 }, "tells of 4 transactions, the blocks of 5"},
		"gas unsaid":             {func(o *outcome) { o.minedGas++ }, "tells of 100000 gas, the blocks of 100001"},
		"books that are off":     {func(o *outcome) { o.audit.Findings = []bursar.Finding{{}} }, "1 findings"},
		"books nobody looked at": {func(o *outcome) { o.audit.Skipped = []bursar.Skipped{{What: "the chain", Reason: "pruned"}} }, "skipped the chain: pruned"},
	} {
		bad := good
		it.spoil(&bad)
		err := verdict([]outcome{good, bad})
		require.ErrorContains(t, err, "classic: ", name)
		require.ErrorContains(t, err, it.says, name)
		require.Len(t, bad.faults(), 1, name)
	}
}

func TestSaving(t *testing.T) {
	of := func(name string, gas uint64) outcome { return outcome{way: way{name: name}, gas: gas} }
	classic := of("classic", 50_000)
	require.Equal(t, "–", saving(classic, classic))
	require.Equal(t, "80.0 %", saving(classic, of("x", 10_000)))
	require.Equal(t, "-12.1 %", saving(classic, of("x", 56_050)), "one payment alone costs more")
	require.Equal(t, "0.0 %", saving(classic, of("x", 50_000)))
	require.Equal(t, "–", saving(of("classic", 0), of("x", 1)))
}

func TestGrouped(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 123_456: "123,456", 1_234_567: "1,234,567"} {
		require.Equal(t, want, grouped(n))
	}
	amount, err := chain.AmountFromBig(big.NewInt(2_706_499_999_999_999))
	require.NoError(t, err)
	require.Equal(t, "0.002706", coins(amount))
}

func TestBadCommandLines(t *testing.T) {
	for name, it := range map[string]struct {
		args []string
		flag string
		says string
	}{
		"none":         {[]string{"-payments", "0"}, "payments", `from 1 to 400, have "0"`},
		"below":        {[]string{"-payments", "-1"}, "payments", `have "-1"`},
		"too many":     {[]string{"-payments", "401"}, "payments", `have "401"`},
		"no number":    {[]string{"-payments", "many"}, "payments", `have "many"`},
		"no whole one": {[]string{"-payments", "1.5"}, "payments", `have "1.5"`},
		"immense":      {[]string{"-payments", "99999999999999999999"}, "payments", `have "9999`},
		"empty":        {[]string{"-payments", ""}, "payments", `have ""`},
		"no value":     {[]string{"-payments"}, "", "needs an argument"},
		"unknown":      {[]string{"-nosuch"}, "", "-nosuch"},
		"argument":     {[]string{"12"}, "", "no arguments"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(it.args, io.Discard)
			var refused *flagError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, it.flag, refused.flag)
			require.ErrorContains(t, err, it.says)
			status, stdout, stderr := demo(t, it.args...)
			require.Equal(t, exitUsage, status)
			require.Empty(t, stdout, "nothing is begun")
			require.Contains(t, stderr, it.says)
		})
	}
	for text, n := range map[string]int{"1": 1, "400": 400} {
		got, err := parse([]string{"-payments", text}, io.Discard)
		require.NoError(t, err)
		require.Equal(t, n, got)
	}
	got, err := parse(nil, io.Discard)
	require.NoError(t, err)
	require.Equal(t, 100, got)
}

func TestHelp(t *testing.T) {
	status, stdout, stderr := demo(t, "-h")
	require.Equal(t, exitGood, status)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "1 to 400")
	_, err := parse([]string{"-h"}, io.Discard)
	require.ErrorIs(t, err, flag.ErrHelp)
}

// TestStopsWhenTold: Ctrl-C ends it, with no success.
func TestStopsWhenTold(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	s := &scene{payments: 3, ways: ways(), log: io.Discard}
	s.customers = func(_ way, shown []common.Address) []common.Address {
		cancel(errors.New("told to stop"))
		return shown
	}
	var out bytes.Buffer
	require.Error(t, show(ctx, s, &out))
	require.NotContains(t, out.String(), "Every payment")
}
