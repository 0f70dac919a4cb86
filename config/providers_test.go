package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain/quorum"
	"github.com/bursar-go/bursar/config"
	"github.com/bursar-go/bursar/store/memory"
)

// several is the smallest file with providers, with more lines for the chain.
func several(lines ...string) string {
	text := strings.Replace(minimal, "    url: http://127.0.0.1:8545\n", "", 1)
	return text + strings.Join(lines, "\n") + "\n"
}

const three = `    providers:
      own: {url: "http://n1/"}
      a-eu: {url: "http://n2/", operator: a}
      a-us: {url: "http://n3/", operator: a}`

// quorumOf builds a file of one chain and returns its client.
func quorumOf(t *testing.T, text string, env ...string) *quorum.Client {
	t.Helper()
	f, err := load(t, text, append(env, seed...)...)
	require.NoError(t, err)
	cfg, err := f.Build(memory.New())
	require.NoError(t, err)
	q, ok := cfg.Chains[0].Client.(*quorum.Client)
	require.True(t, ok, "%T", cfg.Chains[0].Client)
	return q
}

func names(q *quorum.Client) (out []string) {
	for _, p := range q.Providers() {
		out = append(out, p.Name+"/"+p.Operator)
	}
	return out
}

// TestProviders: who is asked, in which order, and how many must agree.
func TestProviders(t *testing.T) {
	q := quorumOf(t, several(three, "    quorum: {agree: 2}"))
	require.Equal(t, []string{"a-eu/a", "a-us/a", "own/own"}, names(q), "by name where no priority is set")
	require.Contains(t, q.String(), "agree 2")
	q = quorumOf(t, several(strings.Replace(strings.Replace(three, "operator: a}", "operator: a, priority: 7}", 1), "operator: a}", "operator: a, priority: 2, page_blocks: 3}", 1), "    quorum: {agree: 1, sample: 50}"))
	require.Equal(t, []string{"own/own", "a-us/a", "a-eu/a"}, names(q))
	require.EqualValues(t, 3, q.Info().PageBlocks, "the least of all")
	q = quorumOf(t, several("    providers: {own: {url: \"http://n1/\"}}"))
	require.Equal(t, []string{"own/own"}, names(q), "one provider needs no number")
	require.Contains(t, q.String(), "agree 1")
}

// TestProvidersByEnvironment: each field is a variable, and a provider can be
// made by them.
func TestProvidersByEnvironment(t *testing.T) {
	q := quorumOf(t, several(three), "BURSAR_CHAINS_LOCAL_QUORUM_AGREE=2", "BURSAR_CHAINS_LOCAL_PROVIDERS_B_URL=https://b.example", "BURSAR_CHAINS_LOCAL_PROVIDERS_B_HEADERS_X_API_KEY=k",
		"BURSAR_CHAINS_LOCAL_PROVIDERS_A_US_OPERATOR=c", "BURSAR_CHAINS_LOCAL_PROVIDERS_OWN_PRIORITY=9", "BURSAR_CHAINS_LOCAL_QUORUM_HEDGE_LEAST=10ms",
		"BURSAR_CHAINS_LOCAL_QUORUM_CHECKPOINTS=7 0x"+strings.Repeat("ab", 32)+", 9 0x"+strings.Repeat("cd", 32))
	require.Equal(t, []string{"a-eu/a", "a-us/c", "b/b", "own/own"}, names(q))
}

// TestProvidersAreChecked: each mistake names its field, in the file's words.
func TestProvidersAreChecked(t *testing.T) {
	good, hash := "    quorum: {agree: 2}", "0x"+strings.Repeat("ab", 32)
	for _, c := range []struct {
		name  string
		lines []string
		field string
		code  bursar.Code
	}{
		{"both forms", []string{three, good, "    url: http://127.0.0.1:1"}, "url", bursar.CodeMismatch},
		{"a lone websocket", []string{three, good, "    websocket: ws://127.0.0.1:1"}, "websocket", bursar.CodeMismatch},
		{"neither form", nil, "url", bursar.CodeRequired},
		{"a quorum of nobody", []string{"    url: http://n", "    quorum: {agree: 1}"}, "quorum", bursar.CodeMismatch},
		{"no number", []string{three}, "quorum.agree", bursar.CodeRequired},
		{"more than operators", []string{three, "    quorum: {agree: 3}"}, "quorum.agree", bursar.CodeOutOfRange},
		{"sample beside agreement", []string{three, "    quorum: {agree: 2, sample: 3}"}, "quorum.sample", bursar.CodeInvalid},
		{"no url", []string{three, "      c: {operator: c}", good}, "providers.c.url", bursar.CodeRequired},
		{"bad url", []string{"    providers: {a: {url: \"ftp://x\"}}"}, "providers.a.url", bursar.CodeInvalid},
		{"bad websocket", []string{"    providers: {a: {url: \"http://x\", websocket: \"http://x\"}}"}, "providers.a.websocket", bursar.CodeInvalid},
		{"bad name", []string{"    providers: {a b: {url: \"http://x\"}}"}, "providers.(unreadable key)", bursar.CodeInvalid},
		{"bad operator", []string{"    providers: {a: {url: \"http://x\", operator: \"http://y/key\"}}"}, "providers.a.operator", bursar.CodeInvalid},
		{"bad source", []string{"    providers: {a: {url: \"http://x\", native: fast}}"}, "providers.a.native", bursar.CodeUnknown},
		{"bad source of all", []string{"    providers: {a: {url: \"http://x\"}}", "    native: fast"}, "native", bursar.CodeUnknown},
		{"bad batch", []string{"    providers: {a: {url: \"http://x\", max_batch: 5000}}"}, "providers.a.max_batch", bursar.CodeInvalid},
		{"bad batch of all", []string{"    providers: {a: {url: \"http://x\"}}", "    max_batch: 5000"}, "max_batch", bursar.CodeInvalid},
		{"bad page", []string{"    providers: {a: {url: \"http://x\", page_blocks: 5000}}"}, "providers.a.page_blocks", bursar.CodeInvalid},
		{"bad header", []string{"    providers: {a: {url: \"http://x\", headers: {\"b c\": {file: bursar.yaml}}}}"}, "providers.a.headers.(unreadable key)", bursar.CodeInvalid},
		{"burst without rate", []string{"    providers: {a: {url: \"http://x\", burst: 5}}"}, "providers.a.burst", bursar.CodeInvalid},
		{"negative rate", []string{"    providers: {a: {url: \"http://x\", rate: -5}}"}, "providers.a.rate", bursar.CodeInvalid},
		{"bad hedge", []string{three, "    quorum: {agree: 2, hedge_least: 5s, hedge_most: 1s}"}, "quorum.hedge_most", bursar.CodeInvalid},
		{"bad checkpoint", []string{three, "    quorum: {agree: 2, checkpoints: [5 0xabc]}"}, "quorum.checkpoints[0]", bursar.CodeInvalid},
		{"bad height", []string{three, "    quorum: {agree: 2, checkpoints: [5 " + hash + ", 0x5 " + hash + "]}"}, "quorum.checkpoints[1]", bursar.CodeInvalid},
		{"traced against untraced", []string{three, "      c: {url: \"http://c\", native: trace}", good}, "providers.c.native", bursar.CodeMismatch},
		{"traced against sampled", []string{three, "      c: {url: \"http://c\", native: trace}", "    quorum: {agree: 1, sample: 9}"}, "providers.c.native", bursar.CodeMismatch},
		{"chosen by the node", []string{three, "      c: {url: \"http://c\", native: blocks}", good}, "providers.c.native", bursar.CodeMismatch},
		{"unknown field", []string{three, "      c: {uri: x, url: \"http://c\"}", good}, "providers.c.uri", bursar.CodeUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, several(c.lines...), seed...)
			got := faults(t, err)
			require.Contains(t, got, "chains.local."+c.field)
			require.Equal(t, c.code, got["chains.local."+c.field].Code, got["chains.local."+c.field])
			require.Len(t, got, 1, err)
		})
	}
	// What is not compared may differ.
	quorumOf(t, several(three, "      c: {url: \"http://c\", native: probe}", "    quorum: {agree: 1}"))
	quorumOf(t, several(three, "      c: {url: \"http://c\", native: trace}", "    quorum: {agree: 1}"))
	quorumOf(t, several(three, "      c: {url: \"http://c\", native: raw}", good))
	quorumOf(t, several(three, "    native: trace", good))
}

// TestVerifyNeedsAHashedChain: it is not asked for where it cannot be, and refused
// where somebody does.
func TestVerifyNeedsAHashedChain(t *testing.T) {
	unhashed := append([]string{"BURSAR_CHAINS_LOCAL_DESCRIBE_HASHED=false"}, seed...)
	sampled := several(three, "    quorum: {agree: 1, sample: 9}")
	_, err := load(t, sampled, unhashed...)
	require.NoError(t, err)
	_, err = load(t, several(three, "    quorum: {agree: 1, sample: 9}", "    verify: true"), unhashed...)
	require.Contains(t, faults(t, err), "chains.local.verify")
	_, err = load(t, several(three, "    quorum: {agree: 2}", "    verify: true"), seed...)
	require.NoError(t, err)
	_, err = load(t, minimal+"    verify: true\n", unhashed...)
	require.Contains(t, faults(t, err), "chains.local.verify")
}

// TestThreat_C19_ProvidersInAFile: the keys in the providers' URLs and headers
// appear in no error and in nothing that is made of the file.
func TestThreat_C19_ProvidersInAFile(t *testing.T) {
	text := several("    providers:", "      a: {url: \"https://node.example/"+canary+"\", websocket: \"wss://node.example/"+canary+"\"}", "      b: {url: \"https://b.example/"+canary+"\"}", "    quorum: {agree: 2}")
	f, err := load(t, text, append(seed, "BURSAR_CHAINS_LOCAL_PROVIDERS_A_HEADERS_X_KEY="+canary)...)
	require.NoError(t, err)
	cfg, err := f.Build(memory.New())
	require.NoError(t, err)
	require.Contains(t, cfg.Chains[0].Client.(*quorum.Client).String(), "agree 2 of a (a), b (b)")
	notShown(t, f)
	for _, broken := range []string{
		strings.Replace(text, "https://node", "ftp://node", 1), strings.Replace(text, "wss://node", "https://node", 1), strings.Replace(text, "https://node.example/", "https://:1:1/", 1),
		strings.Replace(text, "agree: 2", "agree: 3", 1), strings.Replace(text, "      b:", "      https://b.example/"+canary+":", 1),
	} {
		_, err := load(t, broken, seed...)
		require.Error(t, err)
		require.NotContains(t, err.Error(), canary)
	}
}

// TestQuorumTakesEverySetting: a setting of the file that did not reach the
// quorum would be one that somebody believes in.
func TestQuorumTakesEverySetting(t *testing.T) {
	f, err := load(t, several(three, "    quorum: {agree: 1}"), seed...)
	require.NoError(t, err)
	for field, set := range map[string]func(*config.Quorum){
		"recheck":      func(q *config.Quorum) { q.Recheck = time.Millisecond },
		"cooldown":     func(q *config.Quorum) { q.Cooldown = 1 },
		"max_cooldown": func(q *config.Quorum) { q.MaxCooldown = 1 },
		"hedge_least":  func(q *config.Quorum) { q.HedgeLeast = 1 },
		"hedge_most":   func(q *config.Quorum) { q.HedgeMost = 1 },
		"head_age":     func(q *config.Quorum) { q.HeadAge = -1 },
		"fail_after":   func(q *config.Quorum) { q.FailAfter = -1 },
		"fee_ratio":    func(q *config.Quorum) { q.FeeRatio = 1 },
		"agree":        func(q *config.Quorum) { q.Agree = -1 },
		"sample":       func(q *config.Quorum) { q.Agree, q.Sample = 2, 3 },
	} {
		c := f.Chains["local"]
		set(&c.Quorum)
		g := *f
		g.Chains = map[string]config.Chain{"local": c}
		_, err := g.Build(memory.New())
		require.Contains(t, faults(t, err), "chains.local.quorum."+field)
	}
}
