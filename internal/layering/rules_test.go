package layering_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/internal/layering"
)

// ours returns the import path of a folder.
func ours(rel string) string { return strings.TrimSuffix(layering.Module+"/"+rel, "/") }

func TestImports(t *testing.T) {
	const (
		geth    = "github.com/ethereum/go-ethereum/common"
		testify = "github.com/stretchr/testify/require"
	)
	for _, c := range []struct{ from, to, rule string }{
		{"chain", ours("internal/lifecycle"), "chain imports nothing of ours"},
		{"chain", "github.com/holiman/uint256", ""},
		{"chain", "context", ""},
		{"chain/evm", ours("chain"), ""},
		{"chain/evm", ours("scanner"), "an adapter knows"},
		{"chain/evm", ours(""), "an adapter knows"},
		{"chain/evm/presets", ours("chain/evm"), ""},
		{"chain/evm", geth, ""},
		{"chain/quorum", geth, "go-ethereum is confined"},
		{"chain/chaintest", geth, ""},
		{"", geth, "go-ethereum is confined"},
		{"storetest", geth, "go-ethereum is confined"},
		{"examples/quickstart", geth, ""},

		{"scanner", ours("chain"), ""},
		{"scanner", ours(""), "a mechanism never imports the root"},
		{"scanner", ours("sweeper"), "a mechanism never imports another"},
		{"sweeper/plan", ours("hdwallet/keys"), "a mechanism never imports another"},
		{"sweeper", ours("sweeper/plan"), ""},
		{"signer", ours("hdwallet"), "a mechanism never imports another"},
		{"signer", ours("chain"), ""},
		{"hdwallet", ours("internal/lifecycle"), "a mechanism knows the words of chain"},
		{"hdwallet", ours("store/memory"), "a mechanism knows the words of chain"},
		{"hdwallet", ours("chain/chaintest"), "only tests use packages for tests"},
		{"internal/sim", ours("chain/chaintest"), ""},
		{"internal/sim/oracle", geth, ""},
		{"internal/simple", geth, "go-ethereum is confined to chain/evm, programs and tests"},
		{"", ours("internal/sim/oracle"), "only tests use packages for tests"},
		{"rates", ours("chain"), ""},

		{"webhook", ours("chain"), "a receiver of webhooks"},
		{"webhook", "golang.org/x/time/rate", "webhook is standard library only"},
		{"webhook", "crypto/hmac", ""},
		{"webhook/send", ours("webhook"), ""},
		{"webhook/send", "golang.org/x/time/rate", ""},
		{"webhook/send", ours("chain"), "the sender of webhooks"},

		{"", ours("chain"), ""},
		{"", ours("scanner"), ""},
		{"", ours("internal/lifecycle"), ""},
		{"", ours("store/memory"), "no store"},
		{"", ours("storetest"), "only tests use packages for tests"},
		{"", ours("chain/chaintest"), "only tests use packages for tests"},
		{"", ours("bursartest"), "only tests use packages for tests"},
		{"", ours("examples/quickstart"), "below programs"},

		{"store/memory", ours(""), ""},
		{"store/memory", "testing", "what is not for tests"},
		{"store/memory", "testing/synctest", "what is not for tests"},
		{"store/memory", testify, "what is not for tests"},
		{"store/memory", "pgregory.net/rapid", "what is not for tests"},
		{"storetest", testify, ""},
		{"storetest", "testing", ""},
		{"chain/chaintest", "testing", ""},
		{"contest", "testing", ""}, // ends in test, too
		{"testing", "testing", "what is not for tests"},
	} {
		found := layering.Imports(layering.Package{ImportPath: ours(c.from), Imports: []string{c.to}})
		name := fmt.Sprintf("%q imports %s", c.from, c.to)
		if c.rule == "" {
			require.Empty(t, found, name)
			continue
		}
		require.Len(t, found, 1, name)
		require.Contains(t, found[0].String(), c.rule, name)
		require.Contains(t, found[0].String(), c.to)
	}
	require.Empty(t, layering.Imports(layering.Package{ImportPath: "fmt", Imports: []string{ours("")}}), "not ours")
}

func TestReach(t *testing.T) {
	geth := "github.com/ethereum/go-ethereum/rlp"
	require.Len(t, layering.Reach(ours(""), []string{"fmt", geth}), 1)
	require.Len(t, layering.Reach(ours("scanner"), []string{geth}), 1)
	require.Empty(t, layering.Reach(ours("chain/evm"), []string{geth}))
	require.Empty(t, layering.Reach(ours("storetest"), []string{geth}))
	require.Len(t, layering.Reach(ours("webhook"), []string{"fmt", "crypto/hmac", "golang.org/x/sys/cpu"}), 1)
	require.Empty(t, layering.Reach(ours("scanner"), []string{"fmt", "github.com/holiman/uint256"}))
	require.Empty(t, layering.Reach("fmt", []string{geth}))
}

// check runs the rules over one file of a package.
func check(t *testing.T, importPath, file, source string) (out []string) {
	t.Helper()
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, file, source, parser.ParseComments)
	require.NoError(t, err)
	p := layering.Package{ImportPath: ours(importPath), Name: tree.Name.Name}
	for _, v := range layering.Source(fset, p, []layering.File{{Name: file, Syntax: tree}}) {
		out = append(out, v.String())
	}
	return out
}

func TestState(t *testing.T) {
	for declaration, rule := range map[string]string{
		// Allowed.
		`var ErrX = errors.New("x")`:                        "",
		`var ErrX = fmt.Errorf("x: %w", errY)`:              "",
		`var _ io.Reader = (*t)(nil)`:                       "",
		`var re = regexp.MustCompile("x")`:                  "",
		`var table = map[string]int{"a": 1}`:                "",
		`var table = [...]string{"a", "b"}`:                 "",
		`var nested = []row{{a: 1}, {a: -2}}`:               "",
		`var selector = []byte("transfer")`:                 "",
		`var sum = mustHash("x")`:                           "",
		`var prefix = netip.MustParsePrefix("10.0.0.0/8")`:  "",
		`var n = 1 << 3`:                                    "",
		"//go:embed x.sql\nvar files embed.FS":              "",
		`const x = 1`:                                       "",
		`var x = 1; func f() { x := 2; x = 3; _ = x }`:      "",
		`var x = 1; func f(x int) { x++ }`:                  "",
		`var table = map[string]int{}[""]`:                  "package state",
		`var x int`:                                         "without a value",
		`var mu sync.Mutex`:                                 "without a value",
		`var mu = sync.Mutex{}`:                             "package state",
		`var n = atomic.Int64{}`:                            "package state",
		`var cache = map[string]int{}`:                      "package state",
		`var cache = make(map[string]int)`:                  "package state",
		`var ch = make(chan int)`:                           "package state",
		`var shared = &T{}`:                                 "package state",
		`var shared = load()`:                               "package state",
		`var shared = []*T{{}, &T{}}`:                       "package state",
		`var Default = 5`:                                   "exported package variable",
		`var Known = []string{"a"}`:                         "exported package variable",
		`var x = 1; func f() { x = 2 }`:                     "is written",
		`var x = 1; func f() { x++ }`:                       "is written",
		`var x = 1; func f() { go func() { x += 2 }() }`:    "is written",
		`var x = 1; func f() { for x = range 3 {} }`:        "is written",
		`var x = 1; func f() *int { return &x }`:            "pointed at",
		`var x = []int{1}; func f() { x[0] = 2 }`:           "is written",
		`var x = []int{1}; func f() { copy(x[:], nil) }`:    "is written",
		`var x = row{}; func f() { x.a.b = 2 }`:             "is written",
		`var x = map[int]int{1: 2}; func f() { x[1] = 2 }`:  "is written",
		`var x = map[int]int{1: 2}; func f() { clear(x) }`:  "is written",
		`var x = map[int]int{1: 2}; func f() { (x)[1]++ }`:  "is written",
		`var x = map[int]int{1: 2}; func init() { _ = &x }`: "pointed at",
	} {
		found := strings.Join(check(t, "scanner", "x.go", "// Package p is.\npackage p\n// Doc.\n"+declaration), "\n")
		if rule == "" {
			require.Empty(t, found, declaration)
		} else {
			require.Contains(t, found, rule, declaration)
		}
		require.Empty(t, check(t, "scanner", "x_test.go", "package p\n"+declaration), "tests may")
	}
}

func TestFloats(t *testing.T) {
	for source, bad := range map[string]bool{
		"func f(x float64) {}":                        true,
		"func f() (y []float32) { return nil }":       true,
		"func (t t) f(m map[string]float64) {}":       true,
		"type t struct { price float64 }":             true,
		"type t interface { price() float64 }":        true,
		"type t = float64":                            true,
		"func f(x int) { y := float64(x); _ = y }":    false,
		"func f(x int64) string { return \"float\" }": false,
	} {
		found := check(t, "scanner", "x.go", "// Package p is.\npackage p\n"+source)
		require.Equal(t, bad, len(found) > 0, "%s: %v", source, found)
		require.Empty(t, check(t, "storetest", "x.go", "// Package p is.\npackage p\n"+source))
		require.Empty(t, check(t, "bench/figures", "x.go", "// Package p is.\npackage p\n"+source), "figures are no money")
	}
}

func TestSleeps(t *testing.T) {
	require.Len(t, check(t, "scanner", "x_test.go", `package p
func TestX(t *testing.T) { time.Sleep(1) }`), 1)
	require.Len(t, check(t, "scanner", "x.go", `// Package p is.
package p
func f() { go func() { time.Sleep(1) }() }`), 1, "code is no better")
	require.Len(t, check(t, "scanner", "x.go", `// Package p is.
package p
func f() { synctest.Wait(); time.Sleep(1) }`), 1, "synctest excuses tests only")
	require.Empty(t, check(t, "scanner", "x_test.go", `package p
func TestX(t *testing.T) { synctest.Test(t, func(t *testing.T) { time.Sleep(1) }) }`), "virtual time")
	require.Empty(t, check(t, "scanner", "x_test.go", `package p
func TestX(t *testing.T) { clock.Sleep(1); time.After(1) }`))
}

func TestDocumentation(t *testing.T) {
	for source, bad := range map[string]string{
		"func F() {}":                                           "F is exported",
		"// F does.\nfunc F() {}":                               "",
		"func f() {}":                                           "",
		"type T struct{}":                                       "T is exported",
		"// T is.\ntype T struct{}":                             "",
		"// All.\ntype (\n A int\n B int\n)":                    "",
		"type (\n A int\n)":                                     "A is exported",
		"type t struct{}\nfunc (t) F() {}":                      "",
		"// T is.\ntype T struct{}\nfunc (*T) F() {}":           "F is exported",
		"// T is.\ntype T[K any] struct{}\nfunc (*T[K]) F() {}": "F is exported",
		"// T is.\ntype T[K, V any] int\nfunc (T[K, V]) F() {}": "F is exported",
		"// T is.\ntype T int\nfunc (T) Error() string { }":     "",
		"const C = 1":                                           "C is exported",
		"// All.\nconst (\n C = 1\n D = 2\n)":                   "",
		"const (\n C = 1 // C is one.\n)":                       "",
		"const (\n // C is one.\n C = 1\n D=2\n)":               "D is exported",
		"var Err = errors.New(\"x\")":                           "Err is exported",
		"// Err is.\nvar Err = errors.New(\"x\")":               "",
	} {
		found := strings.Join(check(t, "scanner", "x.go", "// Package p is.\npackage p\n"+source), "\n")
		if bad == "" {
			require.Empty(t, found, source)
		} else {
			require.Contains(t, found, bad, source)
		}
	}
	require.Contains(t, check(t, "scanner", "x.go", "package p")[0], "a package has a comment")
	require.Empty(t, check(t, "examples/x", "x.go", "// X is a program.\npackage main\nfunc F() {}"), "nobody imports a program")
}

func TestLength(t *testing.T) {
	long := "// Package p is.\npackage p\n" + strings.Repeat("\n", layering.MaxLines-1)
	found := check(t, "scanner", "x.go", long)
	require.Len(t, found, 1)
	require.Contains(t, found[0], "601 lines")
	require.Empty(t, check(t, "scanner", "x.go", strings.TrimSuffix(long, "\n")))
	require.Empty(t, check(t, "scanner", "x.go", "// Code generated by x. DO NOT EDIT.\n\n"+long))
}

func TestFilter(t *testing.T) {
	found := []layering.Violation{{Where: "a", What: "x", Rule: "no"}, {Where: "b", What: "y", Rule: "no"}}
	left, unused := layering.Filter(found, []layering.Exception{{Match: "a: x"}, {Match: "gone"}})
	require.Equal(t, found[1:], left)
	require.Equal(t, []layering.Exception{{Match: "gone"}}, unused)
	for _, e := range layering.Exceptions() {
		require.NotEmpty(t, e.Reason, e.Match)
		require.Greater(t, len(e.Match), 10, "an exception names what it excepts")
	}
}
