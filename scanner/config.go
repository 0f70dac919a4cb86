package scanner

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Bounds and defaults of a Config.
const (
	// MinPoll and MaxPoll bound the default of Config.Poll.
	MinPoll = 250 * time.Millisecond
	MaxPoll = 15 * time.Second
	// DefaultMaxBackoff is the default of Config.MaxBackoff.
	DefaultMaxBackoff = time.Minute
	// DefaultFailAfter is the default of Config.FailAfter.
	DefaultFailAfter = 5
	// DefaultFinalityStallAfter is the default of Config.FinalityStallAfter.
	DefaultFinalityStallAfter = time.Hour
)

// Config is what a Scanner needs. New copies it.
type Config struct {
	// Client reads the chain. Required. Its Info must have an ID, and PageBlocks
	// and MaxReorg of at least 1.
	Client chain.Reader
	// Sink takes the findings. Required.
	Sink Sink
	// Poll is the pause between two looks at the head while there is nothing to
	// catch up with. Default: Info.BlockTime, at least MinPoll and at most
	// MaxPoll. It must not be negative.
	Poll time.Duration
	// MaxBackoff caps the pause after errors, which begins at Poll and doubles
	// with each one in a row. Default: DefaultMaxBackoff; never below Poll.
	MaxBackoff time.Duration
	// FailAfter is how many errors in a row are reported as Failing. Default:
	// DefaultFailAfter.
	FailAfter int
	// LagBlocks is how far the tip may be behind the head before Lagging is
	// reported; it ends at half of that. Default: five minutes of blocks, at
	// least 20.
	LagBlocks uint64
	// StallAfter is how long the head may stand still before Stalled is
	// reported. Default: 20 times Info.BlockTime, at least a minute. It is not
	// used where Info.OnDemandBlocks.
	StallAfter time.Duration
	// FinalityStallAfter is the same for the final block. Default:
	// DefaultFinalityStallAfter.
	FinalityStallAfter time.Duration
	// Logger gets what happens beside the money path. Default: slog.Default().
	Logger *slog.Logger
	// Rand spreads the pauses after errors. Default: seeded by the runtime. It
	// is used by one goroutine at a time.
	Rand rand.Source
}

// withDefaults checks a configuration and fills what was left out.
func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Client == nil:
		return c, &ConfigError{Field: "Client", Reason: "missing"}
	case c.Sink == nil:
		return c, &ConfigError{Field: "Sink", Reason: "missing"}
	case c.Poll < 0, c.MaxBackoff < 0, c.StallAfter < 0, c.FinalityStallAfter < 0:
		return c, &ConfigError{Field: "Poll, MaxBackoff, StallAfter, FinalityStallAfter", Reason: "negative duration"}
	case c.FailAfter < 0:
		return c, &ConfigError{Field: "FailAfter", Reason: "negative"}
	}
	info := c.Client.Info()
	switch {
	case info.ID == "":
		return c, &ConfigError{Field: "Client", Reason: "its Info has no ID"}
	case info.PageBlocks < 1:
		return c, &ConfigError{Field: "Client", Reason: "its Info has PageBlocks 0, want at least 1"}
	case info.MaxReorg < 1 || info.MaxReorg > 1<<20:
		return c, &ConfigError{Field: "Client", Reason: fmt.Sprintf("its Info has MaxReorg %d, want 1 to 2^20", info.MaxReorg)}
	}
	c.Poll = fallback(c.Poll, min(max(info.BlockTime, MinPoll), MaxPoll))
	c.MaxBackoff = max(fallback(c.MaxBackoff, DefaultMaxBackoff), c.Poll)
	c.FailAfter = fallback(c.FailAfter, DefaultFailAfter)
	c.LagBlocks = fallback(c.LagBlocks, max(20, uint64(5*time.Minute/max(info.BlockTime, time.Millisecond))))
	c.StallAfter = fallback(c.StallAfter, max(20*info.BlockTime, time.Minute))
	c.FinalityStallAfter = fallback(c.FinalityStallAfter, DefaultFinalityStallAfter)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Rand == nil {
		c.Rand = rand.NewPCG(rand.Uint64(), rand.Uint64())
	}
	return c, nil
}

// fallback returns v, or other where v is zero.
func fallback[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}
