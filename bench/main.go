package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// figure is one line of the output.
type figure struct {
	name, unit, about string
	// bound is what the value must not pass: at least that much where atLeast
	// is true, else at most.
	bound   float64
	atLeast bool
	// procs is GOMAXPROCS during the measurement.
	procs   int
	measure func(*bench) (reading, error)
}

// figures lists all there are, in the order they are printed.
func figures() []figure {
	return append([]figure{
		{"derive_vs_gobip32", "x", "an address below an xpub: time of go-bip32 / ours in batches of 256", 30, true, 1, deriveAgainstLibrary},
		{"derive_vs_floor", "x", "our time per address in batches of 256 / base multiplication + HMAC-SHA512 + Keccak", 1.3, false, 1, deriveAgainstFloor},
		{"create_vs_derive", "x", "CreatePayment per second on the memory store / batch derivations per second", 0.5, true, 2, createAgainstDerive},
		{"scan_vs_json", "x", "CPU of a page with a block of 200 transactions / CPU of encoding/json on the same bytes", 0.4, false, 1, scanAgainstJSON},
		{"scan_vs_raw_geth", "x", "time of pages of whole blocks far below the head / of the same requests with answers thrown away, geth archive on disk, cold, 1,000 addresses, two tokens", 1.3, false, 2, scanAgainstRawGeth},
		{"scan_vs_raw_anvil", "x", "the same by traces on anvil, in turn", 1.3, false, 2, scanAgainstRawAnvil},
		{"catchup_geth", "blocks/s", "a scanner catches up with 500 blocks of 200 transactions, geth archive on disk, cold, 1,000 addresses, two tokens", 300, true, 2, catchUpGeth},
		{"catchup_vs_raw", "x", "that rate / the rate of the same requests with answers thrown away", 0.75, true, 2, catchUpAgainstRaw},
		{"requests_per_block", "requests", "HTTP requests per block of that scanner", 0.1, false, 2, requestsPerBlock},
		{"requests_live", "requests", "HTTP requests for the page of a new block of which nothing concerns us", 1, false, 2, requestsLive},
		{"detect_latency", "ms", "median time between a block at geth and the call of the host's handler, heads pushed, memory store", 50, false, 2, detectPushed},
		{"detect_latency_polled", "ms", "the same where the node is asked every 200 ms", 250, false, 2, detectPolled},
		{"full_geth", "blocks/s", "pages of full blocks with logs by range, geth, cold", 0, true, 2, fullGeth},
		{"raw_geth", "blocks/s", "pages of raw blocks, geth, cold", 0, true, 2, rawGeth},
		{"trace_anvil", "blocks/s", "pages by traces, anvil", 0, true, 2, traceAnvil},
		{"probe_geth", "blocks/s", "pages by balances, geth, cold", 1000, true, 2, probeGeth},
		{"probe_anvil", "blocks/s", "pages by balances, anvil", 2000, true, 2, probeAnvil},
		{"client_cpu", "ms", "CPU of the client per raw block of 200 transactions, real node", 0.5, false, 2, clientCPU},
		{"watch_flat", "x", "CPU per block at 1,000,000 watched addresses / at 1,000", 1.2, false, 1, watchFlat},
		{"pg_create_vs_raw", "x", "CreatePayment per second on PostgreSQL, 16 callers / the same rows in a pipeline written by hand, 16 connections", 0.6, true, 2, createOnPostgres},
		{"sqlite_create_vs_raw", "x", "CreatePayment per second on SQLite, 16 callers / the same rows in transactions written by hand", 0.6, true, 2, createOnSQLite},
		{"claim_rate_vs_raw", "x", "deliveries per second from the outbox on PostgreSQL / a queue by SKIP LOCKED written by hand, one lane", 0.6, true, 2, claimOnPostgres},
		{"webhook_rate_vs_floor", "x", "webhooks per second from the outbox on PostgreSQL to a receiver on the loopback / the same requests by a bare http.Client, 64 at once", 0.5, true, 2, webhooksOnPostgres},
		{"webhook_rate_vs_floor_sqlite", "x", "the same on SQLite", 0, true, 2, webhooksOnSQLite},
		{"lane_isolation", "x", "webhooks per second to 99 endpoints while one more never answers / while it answers too", 0.9, true, 2, laneIsolation},
		{"pg_create_p99", "s", "99th percentile of CreatePayment on PostgreSQL, 200 callers at once", 1, false, 2, createLatency},
		{"pg_list_1m", "ms", "median of the slowest list of 20 among 1,000,000 payments on PostgreSQL", 20, false, 2, slowestList},
		{"watch_load_1m", "s", "start of a gateway with 1,000,000 issued addresses on PostgreSQL", 5, false, 2, watchLoad},
		{"watch_load_1m_memory", "MB", "heap after that start", 120, false, 2, watchLoadMemory},
		{"sim_rate", "blocks/s", "simulated blocks per second: one instance, memory store, 20 open payments, 2 transfers a block, no faults", 1000, true, 1, simRate},
		{"sim_rate_chaos", "blocks/s", "the same with three instances and all faults", 0, true, 1, simRateChaos},
		{"watch_memory", "MB", "heap of 1,000,000 watched addresses", 80, false, 1, watchMemory},
	}, sweepFigures()...)
}

// ok reports whether a value keeps the figure's bound.
func (f figure) ok(value float64) bool {
	if f.atLeast {
		return value >= f.bound
	}
	return value <= f.bound
}

func (f figure) sign() string {
	if f.atLeast {
		return ">="
	}
	return "<="
}

// errMissed is the outcome of -check.
var errMissed = errors.New("figures miss their bounds")

func run(args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "figures to measure, separated by commas")
	list := flags.Bool("list", false, "list the figures and their bounds")
	check := flags.Bool("check", false, "fail where a figure misses its bound")
	quick := flags.Bool("quick", false, "short rounds and small sets; the values mean little")
	listed := flags.Int("payments", 0, "payments of pg_list_1m (default 1,000,000)")
	rounds := flags.Int("rounds", 0, "rounds of each figure (default 9)")
	profile := flags.String("cpuprofile", "", "file for a CPU profile of the whole run")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *list {
		for _, f := range figures() {
			fmt.Fprintf(out, "%-18s %s %g %s  GOMAXPROCS=%d  %s\n", f.name, f.sign(), f.bound, f.unit, f.procs, f.about)
		}
		return nil
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	if *profile != "" {
		end, err := startProfile(*profile)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, end()) }()
	}
	b := newBench(*quick, *rounds)
	if *listed > 0 {
		b.listed = *listed
	}
	defer func() { err = errors.Join(err, b.close()) }()
	return b.all(out, chosen, *check)
}

// all prints figures, and where check is true fails if one misses its bound.
func (b *bench) all(out io.Writer, chosen []figure, check bool) error {
	var missed []string
	for _, f := range chosen {
		value, err := b.print(out, f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if check && !f.ok(value) {
			missed = append(missed, fmt.Sprintf("%s %.3f, want %s %g", f.name, value, f.sign(), f.bound))
		}
	}
	if len(missed) > 0 {
		return fmt.Errorf("%w: %s", errMissed, strings.Join(missed, "; "))
	}
	return nil
}

// startProfile begins a CPU profile and returns what ends it.
func startProfile(path string) (end func() error, err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// choose selects figures by name; no name means all.
func choose(only string) ([]figure, error) {
	all := figures()
	if only == "" {
		return all, nil
	}
	var out []figure
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(all, func(f figure) bool { return f.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no figure is called %q, see -list", name)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// print measures a figure and writes its line.
func (b *bench) print(out io.Writer, f figure) (float64, error) {
	procs := min(f.procs, runtime.NumCPU())
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
	got, err := f.measure(b)
	if err != nil {
		return 0, err
	}
	quick := ""
	if b.quick {
		quick = ", quick: of no meaning"
	}
	fmt.Fprintf(out, "%s %.3f %s  # GOMAXPROCS=%d, %s%s\n", f.name, got.value, f.unit, procs, got.how, quick)
	return got.value, nil
}
