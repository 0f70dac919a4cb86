package metrics_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/metrics"
)

// told is a gateway that is as it is told to be.
type told bursar.Health

func (h told) Health(context.Context) bursar.Health { return bursar.Health(h) }

func TestEverythingThatHealthTells(t *testing.T) {
	at := time.Unix(1_700_000_000, 5e8)
	h := told{
		Running: true, Unwritable: &bursar.UnwritableError{},
		Chains: []bursar.ChainHealth{{
			ID: "eip155:1", Name: "ethereum", Verified: true, Halted: "deep_reorg", IssuanceHalted: "moved",
			Tip: chain.BlockRef{Height: 90, Time: at.Add(-time.Minute)}, Head: chain.BlockRef{Height: 100, Time: at}, Lag: 10,
			Rate: 90, Left: 7 * time.Second, Final: 80, Unprobed: errors.New("pruned"), UpdatedAt: at, Problem: errors.New("refused"),
			Conditions: []chain.Condition{{Kind: chain.ConditionDiverged, Active: true}},
			Providers: []chain.ProviderReport{
				{Name: "a", Operator: "me", Head: chain.BlockRef{Height: 100}, Latency: 20 * time.Millisecond, Calls: 12, Failures: 3, ErrorRate: 250},
				{Name: "b", Operator: "they", Aside: true, Fault: "lying"},
			},
		}},
	}
	want := `
# HELP bursar_chain_catch_up_seconds Seconds until nothing is behind, at the present rate.
# TYPE bursar_chain_catch_up_seconds gauge
bursar_chain_catch_up_seconds{chain="eip155:1",name="ethereum"} 7
# HELP bursar_chain_condition 1 for each thing that is wrong with the chain's nodes now.
# TYPE bursar_chain_condition gauge
bursar_chain_condition{chain="eip155:1",kind="diverged",name="ethereum",provider=""} 1
# HELP bursar_chain_halted 1 where nothing is credited, and why.
# TYPE bursar_chain_halted gauge
bursar_chain_halted{chain="eip155:1",name="ethereum",reason="deep_reorg"} 1
# HELP bursar_chain_head_timestamp_seconds Time of the newest block, in Unix seconds.
# TYPE bursar_chain_head_timestamp_seconds gauge
bursar_chain_head_timestamp_seconds{chain="eip155:1",name="ethereum"} 1.7000000005e+09
# HELP bursar_chain_lag_blocks Blocks between the newest one and the newest that is scanned.
# TYPE bursar_chain_lag_blocks gauge
bursar_chain_lag_blocks{chain="eip155:1",name="ethereum"} 10
# HELP bursar_chain_scan_blocks_per_second Blocks that this instance scanned in a second, over the last minute.
# TYPE bursar_chain_scan_blocks_per_second gauge
bursar_chain_scan_blocks_per_second{chain="eip155:1",name="ethereum"} 1.5
# HELP bursar_provider_aside 1 where the provider is not asked, and the class of its fault.
# TYPE bursar_provider_aside gauge
bursar_provider_aside{chain="eip155:1",fault="",name="ethereum",operator="me",provider="a"} 0
bursar_provider_aside{chain="eip155:1",fault="lying",name="ethereum",operator="they",provider="b"} 1
# HELP bursar_provider_error_ratio Share of calls that failed of late, 0 to 1.
# TYPE bursar_provider_error_ratio gauge
bursar_provider_error_ratio{chain="eip155:1",name="ethereum",operator="me",provider="a"} 0.25
bursar_provider_error_ratio{chain="eip155:1",name="ethereum",operator="they",provider="b"} 0
# HELP bursar_provider_failures_total Calls without an answer.
# TYPE bursar_provider_failures_total counter
bursar_provider_failures_total{chain="eip155:1",name="ethereum",operator="me",provider="a"} 3
bursar_provider_failures_total{chain="eip155:1",name="ethereum",operator="they",provider="b"} 0
# HELP bursar_provider_head_height Height of the newest block that the provider told of.
# TYPE bursar_provider_head_height gauge
bursar_provider_head_height{chain="eip155:1",name="ethereum",operator="me",provider="a"} 100
# HELP bursar_running 1 between Start and Stop of the gateway.
# TYPE bursar_running gauge
bursar_running 1
# HELP bursar_store_writable 1 where the store takes writes.
# TYPE bursar_store_writable gauge
bursar_store_writable 0
`
	var names []string
	for _, m := range regexp.MustCompile(`# TYPE (\S+)`).FindAllStringSubmatch(want, -1) {
		names = append(names, m[1])
	}
	c := metrics.New(h, metrics.Options{})
	require.NoError(t, testutil.CollectAndCompare(c, strings.NewReader(want), names...))
	problems, err := testutil.CollectAndLint(c)
	require.NoError(t, err)
	require.Empty(t, problems)
}

// A store that does not answer tells nothing of the chains, which is not the same as
// chains at block 0.
func TestWhatIsNotKnownIsLeftOut(t *testing.T) {
	h := told{Running: true, Err: errors.New("away"), Chains: []bursar.ChainHealth{{ID: "eip155:1", Name: "ethereum"}}}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics.New(h, metrics.Options{Labels: prometheus.Labels{"shop": "a"}}))
	found, err := registry.Gather()
	require.NoError(t, err)
	names := map[string]bool{}
	for _, f := range found {
		names[f.GetName()] = true
		for _, m := range f.GetMetric() {
			require.Contains(t, m.String(), `"shop"`)
		}
	}
	require.True(t, names["bursar_chain_verified"])
	for _, name := range []string{"head_height", "tip_height", "lag_blocks", "halted", "head_timestamp_seconds", "updated_timestamp_seconds", "scan_blocks_per_second", "catch_up_seconds"} {
		require.False(t, names["bursar_chain_"+name], name)
	}
}

func TestARunningGateway(t *testing.T) {
	kit := bursartest.New(t, bursartest.Options{})
	kit.Mine(3)
	c := metrics.New(kit.Gateway, metrics.Options{})
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	require.NoError(t, testutil.CollectAndCompare(c, strings.NewReader(`
# HELP bursar_chain_lag_blocks Blocks between the newest one and the newest that is scanned.
# TYPE bursar_chain_lag_blocks gauge
bursar_chain_lag_blocks{chain="eip155:1337",name="local"} 0
# HELP bursar_ready 1 where payments can be made and are credited on every chain.
# TYPE bursar_ready gauge
bursar_ready 1
`), "bursar_ready", "bursar_chain_lag_blocks"))
}

// TestTheDocTellsAll: each metric is in the package's page.
func TestTheDocTellsAll(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	descs := make(chan *prometheus.Desc, 100)
	metrics.New(told{}, metrics.Options{}).Describe(descs)
	close(descs)
	for d := range descs {
		name := regexp.MustCompile(`fqName: "bursar_([a-z]+_)?([a-z_]+)"`).FindStringSubmatch(d.String())
		require.NotNil(t, name, d)
		require.Regexp(t, `\b(bursar_`+name[1]+`|_)`+name[2]+`\b`, string(text))
	}
}
