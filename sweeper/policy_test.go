package sweeper

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func TestNew_NamesTheField(t *testing.T) {
	w := newWorld(t)
	good := func() Config {
		return Config{Client: w.client(), Journal: newBook(t, w), Signer: &keys{}, Policy: Policy{Treasury: treasury, Sponsor: sponsor}}
	}
	_, err := New(good())
	require.NoError(t, err)
	for field, change := range map[string]func(*Config){
		"Client":                 func(c *Config) { c.Client = nil },
		"Journal":                func(c *Config) { c.Journal = nil },
		"Interval":               func(c *Config) { c.Interval = -1 },
		"CallTimeout":            func(c *Config) { c.CallTimeout = -1 },
		"Policy.Treasury":        func(c *Config) { c.Policy.Treasury = "" },
		"Policy.Sponsor":         func(c *Config) { c.Policy.Sponsor.Address = treasury },
		"Policy.MaxFeeShare":     func(c *Config) { c.Policy.MaxFeeShare = 101 },
		"Policy.MaxTopUps":       func(c *Config) { c.Policy.MaxTopUps = -1 },
		"Policy.TopUpPause":      func(c *Config) { c.Policy.TopUpPause = -1 },
		"Policy.MaxOpen":         func(c *Config) { c.Policy.MaxOpen = -1 },
		"Policy.QuarantineAfter": func(c *Config) { c.Policy.QuarantineAfter = -1 },
		"Policy.MaxBumps":        func(c *Config) { c.Policy.MaxBumps = -1 },
		"Policy.ResendCap":       func(c *Config) { c.Policy.Resend, c.Policy.ResendCap = 2, 1 },
		"Policy.RetryCap":        func(c *Config) { c.Policy.Retry, c.Policy.RetryCap = 2, 1 },
		"Policy.QuarantineCap":   func(c *Config) { c.Policy.QuarantineCap = 1 },
		"Policy.Deadline":        func(c *Config) { c.Policy.Deadline = time.Hour },
	} {
		cfg := good()
		change(&cfg)
		_, err := New(cfg)
		var config *ConfigError
		require.ErrorAs(t, err, &config, field)
		require.Equal(t, field, config.Field)
		require.Contains(t, err.Error(), field)
	}
}

func TestNew_KeyWithoutSponsor(t *testing.T) {
	w := newWorld(t)
	p := Policy{Treasury: treasury, Sponsor: chain.Account{Key: sponsor.Key}}
	_, err := New(Config{Client: w, Journal: newBook(t, w), Signer: &keys{}, Policy: p})
	require.ErrorContains(t, err, "Policy.Sponsor")
}

func TestNew_ClientWithoutChain(t *testing.T) {
	w := newWorld(t)
	_, err := New(Config{Client: nameless{w}, Journal: newBook(t, w)})
	require.ErrorContains(t, err, "chain id")
}

type nameless struct{ *world }

func (nameless) Info() chain.Info { return chain.Info{} }

func TestNew_Defaults(t *testing.T) {
	w := newWorld(t)
	s, err := New(Config{Client: w, Journal: newBook(t, w)})
	require.NoError(t, err, "to watch needs no treasury")
	require.True(t, s.WatchOnly())
	require.Equal(t, blockTime, s.interval)
	require.Equal(t, DefaultCallTimeout, s.timeout)
	require.Equal(t, 4*blockTime, s.policy.Resend)
	require.Equal(t, 5*time.Minute, s.policy.BumpAfter)
	require.Equal(t, s.policy, s.policy.withDefaults(time.Hour), "filling in twice changes nothing")
	require.Empty(t, w.calls, "New calls nobody")
}

// TestResendAt: pauses double, out of nothing but the two stored times.
func TestResendAt(t *testing.T) {
	p := Policy{Resend: time.Minute, ResendCap: 10 * time.Minute}.withDefaults(0)
	a := Attempt{SignedAt: t0}
	require.False(t, p.resendAt(a).After(t0), "never sent: at once")
	var at []time.Duration
	for a.SentAt = t0; len(at) < 7; a.SentAt = p.resendAt(a) {
		at = append(at, a.SentAt.Sub(t0)/time.Minute)
	}
	require.Equal(t, []time.Duration{0, 1, 2, 4, 8, 16, 26}, at)
}

func TestRetryPause(t *testing.T) {
	p := Policy{Retry: time.Minute, RetryCap: 10 * time.Minute, QuarantineCap: time.Hour}.withDefaults(0)
	pauses := func(cause error) (out []time.Duration) {
		for n := range 8 {
			out = append(out, p.retryPause(n, cause)/time.Minute)
		}
		return out
	}
	require.Equal(t, []time.Duration{1, 2, 4, 8, 10, 10, 10, 10}, pauses(&chain.FeeTooHighError{}))
	require.Equal(t, []time.Duration{1, 2, 4, 8, 16, 32, 60, 60}, pauses(fmt.Errorf("x: %w", &chain.RevertError{})))
	require.Equal(t, []time.Duration{1, 1, 1, 1, 1, 1, 1, 1}, pauses(chain.ErrTransient))
	require.Equal(t, 10*time.Minute, p.retryPause(1<<30, errLost), "no loop without end")
}

func TestIsTransient(t *testing.T) {
	for _, err := range []error{chain.ErrTransient, chain.ErrReorg, context.DeadlineExceeded, fmt.Errorf("x: %w", chain.ErrTransient)} {
		require.True(t, isTransient(err), err)
	}
	for _, err := range []error{errLost, &chain.RevertError{}, chain.ErrLockSpent, nil} {
		require.False(t, isTransient(err), err)
	}
}

func TestErrors_SayTheirFacts(t *testing.T) {
	job := &JobError{Job: "j1", Call: "Sent", Err: errLost}
	require.ErrorIs(t, job, errLost)
	require.Equal(t, "sweeper: job j1: Sent: connection lost", job.Error())
	require.Equal(t, `sweeper: refused: move.to "x": no`, refuse("move.to", "x", "no").Error())
	err := guard("Journal.Plan", func() error { panic("boom") })
	var p *PanicError
	require.ErrorAs(t, err, &p)
	require.Equal(t, "sweeper: Journal.Plan panicked: boom", p.Error())
	require.Contains(t, string(p.Stack), "TestErrors_SayTheirFacts")
	require.False(t, errors.As(guard("x", func() error { return nil }), &p))
}
