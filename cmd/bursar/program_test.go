package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/bursartest"
)

var update = flag.Bool("update", false, "write docs/cli.md")

// intro is what docs/cli.md says before the commands.
const intro = `# The command-line tool

` + "`cmd/bursar`" + ` is for operators: it looks after the store of a gateway that a host program runs. It reads the gateway's own configuration file
([configuration.md](configuration.md)) and opens the same SQLite file or PostgreSQL schema; the host need not stop, but for recover.

    go install github.com/bursar-go/bursar/cmd/bursar@latest
    bursar verify -config /etc/shop/bursar.yaml

Verify, explain, preflight, migrate -dry-run, addresses, sweeper, sweeps, xpub, deliveries and resend without -yes change nothing. No command but signer and authorise signs, and none sends money or prints a secret: all output is searched for the
secrets of the configuration, and what is found is shown as [secret]. With -json a result is JSON on the standard output; errors are text on the standard error.

| exit code | meaning |
|---|---|
| 0 | all is well, or done |
| 1 | it failed, or found something that is not as it must be |
| 2 | it was called in a way that cannot be |

A database is opened as it is: where its tables are not those of the tool's release, every command but migrate refuses it. Use the tool of the release that
the gateway runs. The texts below are those of ` + "`bursar help COMMAND`" + `.
`

// outro is what it says after them.
const outro = `
## After the loss of a database

1. Stop every gateway. Keep what is left of the database: a backup, however old, is better than this way, since it knows payments and customers.
2. Point store at a new database; run ` + "`bursar migrate`" + `.
3. Find an index that no lost address was above: from logs, orders, or an old backup. Indexes are handed out in order, in blocks of 256 per instance; add a few blocks.
4. ` + "`bursar recover -chain NAME -to-index N -from-block H`" + ` for each chain, H being a block before the last backup or the first payment that matters. Look at the
   plan, compare the first address with one that you know, then repeat it with -yes.
5. Start the gateway. It scans from H, books what it finds as alert.unissued_address, and sweeps it. ` + "`bursar explain ADDRESS`" + ` tells what came where.
`

func TestDocumentation(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "cli.md")
	var b strings.Builder
	b.WriteString(intro)
	p := standard()
	fmt.Fprintf(&b, "\n```\n%s```\n", p.overview())
	for _, c := range p.commands {
		fmt.Fprintf(&b, "\n## %s\n\n```\n%s```\n", c.name, c.help())
	}
	b.WriteString(outro)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o600))
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, b.String(), string(got), "run go test -C cmd/bursar -run TestDocumentation -update")
}

func TestHelp(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, result{code: exitOK, out: standard().overview()}, w.bare("help"))
	for _, c := range standard().commands {
		for _, args := range [][]string{{"help", c.name}, {c.name, "-h"}, {c.name, "-help"}} {
			r := w.bare(args...)
			require.Equal(t, result{code: exitOK, out: c.help()}, r, "%v", args)
		}
		require.Contains(t, c.help(), "usage: bursar "+c.name+" [flags]")
		require.Contains(t, c.help(), "-config FILE")
		require.Contains(t, c.help(), "-json")
	}
}

func TestUsage(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "usage: bursar COMMAND"},
		{[]string{"frob"}, `there is no command "frob"`},
		{[]string{"help", "frob"}, `there is no command "frob"`},
		{[]string{"verify", "-frob"}, "-frob"},
		{[]string{"verify", "more"}, "want 0 arguments after the flags, got 1"},
		{[]string{"explain"}, "want 1 arguments after the flags, got 0"},
		{[]string{"explain", "a", "-json"}, "want 1 arguments after the flags, got 2"},
		{[]string{"backup"}, "want 1 arguments"},
		{[]string{"migrate", "-print", "-dry-run"}, "exclude each other"},
		{[]string{"recover", "-to-index", "3"}, "-chain is required"},
		{[]string{"recover", "-chain", "local"}, "-to-index is required"},
		{[]string{"recover", "-chain", "local", "-to-index", "10000000"}, "-to-index"},
		{[]string{"recover", "-chain", "local", "-to-index", "many"}, "-to-index"},
		{[]string{"recover", "-chain", "local", "-to-index", "1", "-gap", "100001"}, "-gap is at most"},
		{[]string{"addresses", "-from", "2", "-to", "1"}, "indexes in order"},
		{[]string{"sweeper", "deploy"}, "want 0 arguments"},
		{[]string{"signer", "halt"}, "want 0 arguments"},
		{[]string{"addresses", "-to", "100000"}, "at most 100000"},
		{[]string{"addresses", "-from", "2147483648", "-to", "2147483648"}, "below 2^31"},
	} {
		r := w.bare(c.args...)
		require.Equal(t, exitUsage, r.code, "%v", c.args)
		require.Contains(t, r.errors, c.says, "%v", c.args)
		require.Empty(t, r.out)
	}
}

func TestErrorsNameFileAndField(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ file, says string }{
		{"", "want memory, sqlite or postgres"},
		{"store: {driver: floppy}\n", "bursar.yaml:1: store.driver: want memory"},
		{"store: {driver: sqlite}\nfrob: 1\n", "bursar.yaml:2: frob"},
	} {
		w.write("bursar.yaml", c.file)
		for _, cmd := range [][]string{{"verify"}, {"explain", "x"}, {"preflight"}, {"migrate"}, {"backup", "y"}, {"recover", "-chain", "local", "-to-index", "1"}, {"addresses"}, {"sweeper"}, {"signer"}} {
			require.Contains(t, w.fails(exitFailed, cmd...), c.says)
		}
	}
	w.config = filepath.Join(t.TempDir(), "none.yaml")
	require.Contains(t, w.fails(exitFailed, "verify"), w.config+": cannot be read")
}

func TestMemoryHasNothingToLookAfter(t *testing.T) {
	w := newWorld(t)
	text, err := os.ReadFile(w.config)
	require.NoError(t, err)
	w.write("bursar.yaml", strings.Replace(string(text), "driver: sqlite, path: "+w.path, "driver: memory", 1))
	for _, cmd := range [][]string{{"verify"}, {"explain", "x"}, {"migrate"}, {"migrate", "-print"}, {"backup", "y"}} {
		require.Contains(t, w.fails(exitFailed, cmd...), w.config+": store.driver: memory is in the gateway's own process")
	}
	require.Contains(t, w.ok("addresses", "-to", "1"), "m/44'/60'/0'/0/1", "no store is needed")
}

// TestThreat_G8_NoSecretIsPrinted: whatever is printed, whoever wrote it; see also
// world.bare, which looks at the output of every call of every test.
func TestThreat_G8_NoSecretIsPrinted(t *testing.T) {
	w := newWorld(t)
	w.env = []string{"BURSAR_WALLET_PASSPHRASE=" + passphrase}
	w.ok("migrate")
	for _, cmd := range [][]string{
		{"verify"}, {"verify", "-json"}, {"explain", bursartest.Mnemonic}, {"explain", "-json", hookSecret}, {"explain", passphrase}, {"preflight"},
		{"preflight", "-json"}, {"migrate", "-print"}, {"addresses", "-json"}, {"addresses", "-wallet", passphrase}, {"backup", "/nowhere/" + hookSecret},
		{"recover", "-chain", nodeKey, "-to-index", "1"}, {"recover", "-chain", "local", "-to-index", "1", "-from-block", "5"},
		{"sweeper"}, {"sweeper", "-chain", nodeKey},
	} {
		w.run(cmd...) // what it says is checked there
	}
	require.Contains(t, w.run("explain", hookSecret).out, "[secret]")

	for _, dsn := range []string{
		"postgres://shop:" + dbPassword + "@127.0.0.1:1/shop", "host=127.0.0.1 port=1 user=shop password=" + dbPassword,
		"postgres://shop:" + dbPassword + "@127.0.0.1:one/shop", dbPassword + " = = '",
	} {
		w.write("dsn", dsn)
		w.write("bursar.yaml", "store: {driver: postgres, dsn: {file: dsn}}\nwallet: {mnemonic: {file: mnemonic}}\nchains:\n  local: {url: http://127.0.0.1:1, sweep: \"off\", describe: {chain_id: 1337}}\n")
		for _, cmd := range [][]string{{"verify"}, {"migrate"}, {"preflight"}, {"backup", "x"}} {
			require.Contains(t, w.fails(exitFailed, cmd...), w.config+": store.dsn: ")
		}
	}
}
