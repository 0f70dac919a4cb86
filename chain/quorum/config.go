package quorum

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Defaults of a Config.
const (
	// DefaultRecheck is how often a provider is asked again which chain it serves.
	DefaultRecheck = 10 * time.Minute
	// DefaultCooldown is how long a provider is put aside the first time.
	DefaultCooldown = 10 * time.Second
	// DefaultMaxCooldown is the longest time a provider is put aside, unless it
	// asked for a longer one itself.
	DefaultMaxCooldown = 5 * time.Minute
	// DefaultFailAfter is how many failures in a row put a provider aside.
	DefaultFailAfter = 3
	// DefaultHedgeLeast and DefaultHedgeMost bound the wait for one provider before
	// another one is asked the same.
	DefaultHedgeLeast = 50 * time.Millisecond
	DefaultHedgeMost  = 2 * time.Second
	// DefaultFeeRatio is how often the median a draft may cost.
	DefaultFeeRatio = 4
)

// maxProviders bounds what one call can cost; nobody needs as many.
const maxProviders = 64

// Provider is one of the nodes behind a quorum.
type Provider struct {
	// Name names it in statuses, errors and conditions. Required, unique, up to
	// 64 printable characters; it must not be a URL that holds a key.
	Name string
	// Operator is who runs it. Two providers of one operator, such as two URLs of
	// one company, are one voice where providers must agree. Default: Name.
	Operator string
	// Client reaches it. Required. All clients of a quorum describe the same
	// chain: their Info differs in PageBlocks at most. They should be configured
	// alike, since what one can see and another cannot looks like a lie.
	Client chain.Client
	// Rate is how many calls of the port it gets in a second on average, and Burst
	// how many at once. A call is a few requests of the provider's own counting.
	// Zero Rate: no limit. Default of Burst: Rate.
	Rate, Burst int
}

// String names the provider and its operator, and nothing of its client.
func (p Provider) String() string { return fmt.Sprintf("%s (%s)", p.Name, p.Operator) }

// Format prints String for every verb: a client may hold a key.
func (p Provider) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// Config says who is asked and who is believed. New copies it, fills in the
// defaults and validates it.
type Config struct {
	// Providers are asked in this order while all are healthy. 1 to 64.
	Providers []Provider
	// Agree is how many distinct operators must say the same before anything is
	// believed: heads, blocks, pages of transfers, mined transactions, balances.
	// 1 to the number of operators. Default 1: any one is believed. With fewer
	// than that many alive nothing is answered, and nothing credited.
	Agree int
	// Sample has one page in so many, on average, read by a second operator too,
	// where Agree is 1: a provider that hides deposits is found out after about so
	// many pages. Zero: never. It needs two operators, and is an error where
	// Agree is above 1, since then every page is read so.
	Sample uint64
	// Genesis is the hash of the chain's first block. Empty: what most operators
	// say when the quorum is first used; a tie is an error.
	Genesis chain.BlockHash
	// Checkpoints are blocks, by Height and Hash, that a provider must have: a
	// fork keeps chain id and genesis. Optional; Parent and Time are not read.
	Checkpoints []chain.BlockRef
	// Recheck is how often a provider's chain id, genesis and checkpoints are
	// asked for again, at its next use. At least a second. Default:
	// DefaultRecheck. They are also asked after every failure.
	Recheck time.Duration
	// Cooldown is how long a provider is put aside the first time; each time that
	// follows within MaxCooldown after its return doubles it, up to MaxCooldown.
	// At least a millisecond. Defaults: DefaultCooldown, DefaultMaxCooldown.
	Cooldown, MaxCooldown time.Duration
	// FailAfter is how many failures in a row of one kind of call put a provider
	// aside. Default: DefaultFailAfter.
	FailAfter int
	// HedgeLeast and HedgeMost bound the time after which a second provider is asked
	// what a first has not answered; in between it is three times what that call
	// took lately. A provider that is given up after HedgeMost has failed.
	// Defaults: DefaultHedgeLeast, DefaultHedgeMost.
	HedgeLeast, HedgeMost time.Duration
	// MaxBehind is how many blocks a provider may be behind the second highest
	// one before it is put aside. Default: two minutes of blocks, at least 10.
	MaxBehind uint64
	// HeadAge is how long the head may stand still before HeadStale is reported,
	// and how long a head is held up that no provider repeats. Default: 20 times
	// Info.BlockTime, at least a minute.
	HeadAge time.Duration
	// FeeRatio is how far above or below the median of the operators a draft may
	// cost. At least 2. Default: DefaultFeeRatio.
	FeeRatio uint64
	// OnCondition is told what changes: see Condition. It is called without any
	// lock held, by whichever goroutine noticed, and should return soon. A panic of
	// it is contained.
	OnCondition func(Condition) `json:"-"`
	// Rand chooses the pages to sample. Default: seeded by the runtime. It is used
	// by one goroutine at a time.
	Rand rand.Source `json:"-"`
}

// ConfigError names the field of a Config that New refuses.
type ConfigError struct {
	// Field is the Go path of the field, "Providers[1].Name".
	Field string
	// Reason is what is wrong with it.
	Reason string
}

// Error tells what went wrong, without secrets.
func (e *ConfigError) Error() string { return "quorum: Config." + e.Field + ": " + e.Reason }

// String tells who is asked and how many must agree, without any client.
func (c Config) String() string {
	names := make([]string, len(c.Providers))
	for i, p := range c.Providers {
		names[i] = p.String()
	}
	return fmt.Sprintf("quorum.Config{agree %d of %s}", c.Agree, strings.Join(names, ", "))
}

// Format prints String for every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// withDefaults returns a copy that shares no memory with c. The defaults that
// follow from the chain's own pace are set by New, which knows the chain.
func (c Config) withDefaults() Config {
	c.Providers, c.Checkpoints = slices.Clone(c.Providers), slices.Clone(c.Checkpoints)
	for i := range c.Providers {
		p := &c.Providers[i]
		orDefault(&p.Operator, p.Name)
		orDefault(&p.Burst, p.Rate)
	}
	orDefault(&c.Agree, 1)
	orDefault(&c.Recheck, DefaultRecheck)
	orDefault(&c.Cooldown, DefaultCooldown)
	orDefault(&c.MaxCooldown, max(DefaultMaxCooldown, c.Cooldown))
	orDefault(&c.FailAfter, DefaultFailAfter)
	orDefault(&c.HedgeLeast, DefaultHedgeLeast)
	orDefault(&c.HedgeMost, max(DefaultHedgeMost, c.HedgeLeast))
	orDefault(&c.FeeRatio, DefaultFeeRatio)
	if c.Rand == nil {
		c.Rand = rand.NewPCG(rand.Uint64(), rand.Uint64())
	}
	return c
}

// paced sets what follows from the chain.
func (c Config) paced(info chain.Info) Config {
	orDefault(&c.MaxBehind, max(10, uint64(2*time.Minute/max(info.BlockTime, time.Millisecond))))
	orDefault(&c.HeadAge, max(20*info.BlockTime, time.Minute))
	return c
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) validate() error {
	if n := len(c.Providers); n < 1 || n > maxProviders {
		return &ConfigError{"Providers", fmt.Sprintf("%d of them, want 1 to %d", n, maxProviders)}
	}
	operators := map[string]bool{}
	for i := range c.Providers {
		if err := c.validateProvider(i); err != nil {
			return err
		}
		operators[c.Providers[i].Operator] = true
	}
	switch {
	case c.Agree < 1 || c.Agree > len(operators):
		return &ConfigError{"Agree", fmt.Sprintf("%d, there are %d operators", c.Agree, len(operators))}
	case c.Sample > 0 && c.Agree > 1:
		return &ConfigError{"Sample", fmt.Sprintf("%d, and Agree is %d: every page is compared", c.Sample, c.Agree)}
	case c.Sample > 0 && len(operators) < 2:
		return &ConfigError{"Sample", "needs a second operator"}
	case c.FailAfter < 1:
		return &ConfigError{"FailAfter", fmt.Sprintf("%d, want at least 1", c.FailAfter)}
	case c.FeeRatio < 2:
		return &ConfigError{"FeeRatio", fmt.Sprintf("%d, want at least 2", c.FeeRatio)}
	}
	for i, b := range c.Checkpoints {
		if b.Hash == "" {
			return &ConfigError{fmt.Sprintf("Checkpoints[%d].Hash", i), "missing"}
		}
	}
	return c.validateTimes()
}

func (c Config) validateTimes() error {
	for _, d := range []struct {
		field         string
		value, lowest time.Duration
	}{
		{"Recheck", c.Recheck, time.Second},
		{"Cooldown", c.Cooldown, time.Millisecond},
		{"MaxCooldown", c.MaxCooldown, c.Cooldown},
		{"HedgeLeast", c.HedgeLeast, time.Millisecond},
		{"HedgeMost", c.HedgeMost, c.HedgeLeast},
		{"HeadAge", c.HeadAge, 0},
	} {
		if d.value < d.lowest {
			return &ConfigError{d.field, fmt.Sprintf("%s, want at least %s", d.value, d.lowest)}
		}
	}
	return nil
}

// maxName bounds names, which end in logs and errors.
const maxName = 64

func (c Config) validateProvider(i int) error {
	p, at := c.Providers[i], fmt.Sprintf("Providers[%d].", i)
	switch {
	case !label(p.Name):
		return &ConfigError{at + "Name", "want 1 to 64 printable ASCII characters and no URL"}
	case !label(p.Operator):
		return &ConfigError{at + "Operator", "want 1 to 64 printable ASCII characters and no URL"}
	case slices.ContainsFunc(c.Providers[:i], func(o Provider) bool { return o.Name == p.Name }):
		return &ConfigError{at + "Name", "another provider has it"}
	case p.Client == nil:
		return &ConfigError{at + "Client", "required"}
	case p.Rate < 0 || p.Burst < 0:
		return &ConfigError{at + "Rate", "negative"}
	case p.Rate == 0 && p.Burst > 0:
		return &ConfigError{at + "Burst", "without a Rate there is no budget"}
	}
	first, info := c.Providers[0].Client.Info(), p.Client.Info()
	if info.PageBlocks < 1 {
		return &ConfigError{at + "Client", "its Info has PageBlocks 0"}
	}
	if first.PageBlocks = info.PageBlocks; first != info {
		return &ConfigError{at + "Client", fmt.Sprintf("describes %s otherwise than Providers[0] describes %s", info.ID, first.ID)}
	}
	return nil
}

// label accepts what can be shown anywhere and is no URL, in which providers put
// their keys.
func label(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= maxName && !strings.Contains(s, "://")
}
