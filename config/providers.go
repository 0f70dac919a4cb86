package config

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/quorum"
)

// sources are the values of native.
var sources = [...]string{string(evm.NativeFull), string(evm.NativeRaw), string(evm.NativeTrace), string(evm.NativeProbe), string(evm.NativeBlocks)}

// checkNodes validates who is asked: the one node of url, or providers.
func (b *chainBuilder) checkNodes() {
	c := b.from
	oneOf(b.report, b.at("native"), c.Native, sources[:]...)
	if len(c.Providers) == 0 {
		if c.URL.IsZero() {
			b.add(b.at("url"), bursar.CodeRequired, "the node's endpoint, or several providers")
		}
		if !reflect.ValueOf(c.Quorum).IsZero() {
			b.add(b.at("quorum"), bursar.CodeMismatch, "is for providers")
		}
		return
	}
	for _, field := range []struct {
		name string
		set  bool
	}{{"url", !c.URL.IsZero()}, {"websocket", !c.WebSocket.IsZero()}, {"headers", len(c.Headers) > 0}} {
		if field.set {
			b.add(b.at(field.name), bursar.CodeMismatch, "with providers it stands at each of them")
		}
	}
	operators := map[string]bool{}
	for _, name := range sorted(c.Providers) {
		operators[cmp.Or(c.Providers[name].Operator, name)] = true
		b.checkProvider(name)
	}
	b.checkQuorum(len(operators))
}

// providerPath is the path of a provider.
func (b *chainBuilder) providerPath(name string) string { return join(b.at("providers"), shown(name)) }

func (b *chainBuilder) checkProvider(name string) {
	p, path := b.from.Providers[name], b.providerPath(name)
	if !plainName(name) {
		b.add(path, bursar.CodeInvalid, "a provider's name is 1 to 64 of a-z, A-Z, 0-9, ., _ and -")
	}
	if p.Operator != "" && !plainName(p.Operator) {
		b.add(path+".operator", bursar.CodeInvalid, "want 1 to 64 of a-z, A-Z, 0-9, ., _ and -")
	}
	if p.URL.IsZero() {
		b.add(path+".url", bursar.CodeRequired, "the node's endpoint")
	}
	oneOf(b.report, path+".native", p.Native, sources[:]...)
}

// checkQuorum validates what concerns all providers.
func (b *chainBuilder) checkQuorum(operators int) {
	q, c := b.from.Quorum, b.from
	switch {
	case q.Agree == 0 && operators > 1:
		// With 1 each more provider is one more that can make money up: that is not
		// decided by leaving a line out.
		b.add(b.at("quorum.agree"), bursar.CodeRequired, "how many of the %d operators must say the same", operators)
	case q.Agree < 0 || q.Agree > operators:
		b.add(b.at("quorum.agree"), bursar.CodeOutOfRange, "want 1 to %d, the number of operators", operators)
	}
	if q.Agree <= 1 && q.Sample == 0 {
		return // nobody is compared with anybody
	}
	first := sorted(c.Providers)[0]
	for _, name := range sorted(c.Providers) {
		if !showSame(b.source(name), b.source(first)) {
			b.add(b.providerPath(name)+".native", bursar.CodeMismatch,
				"%s may show coin that %s of %s does not: want trace in all, or full or raw in each, or not to compare them", b.source(name), b.source(first), shown(first))
			return
		}
	}
}

// showSame reports whether two sources show the same coin whatever their nodes
// can do. Those that choose by the node do not.
func showSame(x, y evm.NativeSource) bool {
	plain := func(s evm.NativeSource) bool { return s == evm.NativeFull || s == evm.NativeRaw }
	return plain(x) && plain(y) || x == evm.NativeTrace && y == evm.NativeTrace
}

// source is where a provider's movements of native coin are read from. What a
// node turns out to have would differ from one to the other, and look like a lie.
func (b *chainBuilder) source(name string) evm.NativeSource {
	return evm.NativeSource(cmp.Or(b.from.Providers[name].Native, b.from.Native, string(evm.NativeFull)))
}

// connect makes the client of the node, or of the providers; nil where the
// report says why not. shared is what is alike in all of them.
func (b *chainBuilder) connect(shared evm.Config) bursar.ChainClient {
	if len(b.from.Providers) > 0 {
		return b.quorum(shared)
	}
	shared.URL, shared.WebSocket = b.from.URL.Reveal(), b.from.WebSocket.Reveal()
	shared.Headers = headers(b.report, b.at("headers"), b.from.Headers)
	client, err := evm.New(shared)
	if err != nil {
		b.refused(err, b.path, nil)
		return nil
	}
	b.nodes = []Node{{Client: client}}
	return client
}

// quorum makes one client of all providers.
func (b *chainBuilder) quorum(shared evm.Config) bursar.ChainClient {
	q := b.from.Quorum
	cfg := quorum.Config{
		Agree: q.Agree, Sample: q.Sample, Genesis: shared.Genesis, Checkpoints: b.checkpoints(), Recheck: q.Recheck,
		Cooldown: q.Cooldown, MaxCooldown: q.MaxCooldown, FailAfter: q.FailAfter, HedgeLeast: q.HedgeLeast, HedgeMost: q.HedgeMost,
		MaxBehind: q.MaxBehind, HeadAge: q.HeadAge, FeeRatio: q.FeeRatio,
	}
	names := sorted(b.from.Providers)
	slices.SortStableFunc(names, func(x, y string) int {
		return cmp.Compare(b.from.Providers[x].Priority, b.from.Providers[y].Priority)
	})
	before := len(b.errs)
	for _, name := range names {
		p := b.from.Providers[name]
		client := b.provider(name, shared)
		b.nodes = append(b.nodes, Node{Name: name, Client: client})
		cfg.Providers = append(cfg.Providers, quorum.Provider{Name: name, Operator: p.Operator, Client: client, Rate: p.Rate, Burst: p.Burst})
	}
	if len(b.errs) > before {
		return nil
	}
	client, err := quorum.New(cfg)
	if err != nil {
		b.disagreed(err, names)
		return nil
	}
	return client
}

// provider makes the client of one provider.
func (b *chainBuilder) provider(name string, cfg evm.Config) *evm.Client {
	p, path := b.from.Providers[name], b.providerPath(name)
	cfg.URL, cfg.WebSocket, cfg.Native = p.URL.Reveal(), p.WebSocket.Reveal(), b.source(name)
	cfg.Headers = headers(b.report, path+".headers", p.Headers)
	replace(&cfg.Timeout, p.Timeout)
	replace(&cfg.MaxResponse, p.MaxResponse)
	replace(&cfg.MaxBatch, p.MaxBatch)
	replace(&cfg.PageBlocks, p.PageBlocks)
	client, err := evm.New(cfg)
	if err != nil {
		b.refused(err, path, map[string]bool{
			"Timeout": p.Timeout != 0, "MaxResponse": p.MaxResponse != 0, "MaxBatch": p.MaxBatch != 0, "PageBlocks": p.PageBlocks != 0,
			"URL": true,
		})
	}
	return client
}

// refused tells why a client refuses its configuration. path is where its node
// is described, and own are the fields that were taken from there; the others are
// the chain's.
func (b *chainBuilder) refused(err error, path string, own map[string]bool) {
	var field *evm.ConfigError
	if !errors.As(err, &field) {
		b.wrap(path, bursar.CodeInvalid, err, "refused")
		return
	}
	name := strings.TrimPrefix(strings.TrimPrefix(field.Field, "Preset."), "Info.")
	at := b.at(snake(name))
	switch {
	case name == "WebSocket":
		at = join(path, "websocket")
	case own[name]:
		at = join(path, snake(name))
	case name == "ID":
		at = b.at("describe.chain_id")
	case strings.HasPrefix(field.Field, "Preset.") && name != "PageBlocks":
		at = b.at("describe." + snake(name))
	}
	b.add(at, bursar.CodeInvalid, "%s", field.Reason)
}

// disagreed tells why the providers make no quorum. names are theirs, in order.
func (b *chainBuilder) disagreed(err error, names []string) {
	var field *quorum.ConfigError
	if !errors.As(err, &field) {
		b.wrap(b.at("quorum"), bursar.CodeInvalid, err, "refused")
		return
	}
	path := b.at("quorum." + snake(field.Field))
	if parts := regexp.MustCompile(`^Providers\[(\d+)\]\.([A-Za-z]+)$`).FindStringSubmatch(field.Field); parts != nil {
		if i, err := strconv.Atoi(parts[1]); err == nil && i < len(names) {
			path = join(b.providerPath(names[i]), snake(parts[2]))
		}
	} else if field.Field == "Providers" {
		path = b.at("providers")
	}
	b.add(path, bursar.CodeInvalid, "%s", field.Reason)
}

// checkpoints reads pairs of height and hash.
func (b *chainBuilder) checkpoints() (out []chain.BlockRef) {
	for i, text := range b.from.Quorum.Checkpoints {
		height, hash, _ := strings.Cut(text, " ")
		number, err := strconv.ParseUint(height, 10, 64)
		if err != nil || !wholeNumber(height) || !regexp.MustCompile(`^0x[0-9a-f]{64}$`).MatchString(hash) {
			b.add(fmt.Sprintf("%s[%d]", b.at("quorum.checkpoints"), i), bursar.CodeInvalid, "want a height and a hash of 64 lower-case hex digits: 1920000 0x…")
			continue
		}
		out = append(out, chain.BlockRef{Height: number, Hash: chain.BlockHash(hash)})
	}
	return out
}
