package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// Source is what a collector asks: a *bursar.Gateway.
type Source interface {
	Health(ctx context.Context) bursar.Health
}

// DefaultTimeout is Options.Timeout where it is zero.
const DefaultTimeout = 5 * time.Second

// Options changes how a collector works. The zero value is ready.
type Options struct {
	// Timeout bounds a scrape, above zero; DefaultTimeout where it is zero. The store
	// counts as unreadable where it takes longer.
	Timeout time.Duration
	// Labels are added to every metric, to tell gateways in one process apart.
	Labels prometheus.Labels
}

// Collector is a prometheus.Collector of one gateway, safe for concurrent use.
type Collector struct {
	source  Source
	timeout time.Duration
	metrics map[string]*prometheus.Desc
}

// New returns the collector of a gateway.
func New(source Source, o Options) *Collector {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	c := &Collector{source: source, timeout: o.Timeout, metrics: map[string]*prometheus.Desc{}}
	for _, m := range table() {
		c.metrics[m.name] = prometheus.NewDesc("bursar_"+m.name, m.help, m.labels, o.Labels)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.metrics {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	h := c.source.Health(ctx)
	s := scrape{c, to}
	s.flag("running", h.Running)
	s.flag("ready", h.Ready)
	s.flag("store_readable", h.Err == nil)
	s.flag("store_writable", h.Unwritable == nil)
	for _, net := range h.Chains {
		s.chain(net, h.Err == nil)
		for _, p := range net.Providers {
			s.provider(p, string(net.ID), net.Name)
		}
	}
}

// scrape is one look at a gateway.
type scrape struct {
	*Collector
	to chan<- prometheus.Metric
}

func (s scrape) send(name string, kind prometheus.ValueType, value float64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(s.metrics[name], kind, value, labels...)
}

func (s scrape) gauge(name string, value float64, labels ...string) {
	s.send(name, prometheus.GaugeValue, value, labels...)
}

// flag is 1 or 0.
func (s scrape) flag(name string, on bool, labels ...string) {
	value := 0.0
	if on {
		value = 1
	}
	s.gauge(name, value, labels...)
}

// reason is 1 with the reason as a label, or 0 without one.
func (s scrape) reason(name, why string, labels ...string) {
	s.flag(name, why != "", append(labels, why)...)
}

// height is left out for a block that nobody told.
func (s scrape) height(name string, at uint64, labels ...string) {
	if at > 0 {
		s.gauge(name, float64(at), labels...)
	}
}

// at is left out for a time that is not known.
func (s scrape) at(name string, t time.Time, labels ...string) {
	if !t.IsZero() {
		s.gauge(name, float64(t.UnixMilli())/1000, labels...)
	}
}

// chain tells of a chain; of what lies in the store only where it was read.
func (s scrape) chain(net bursar.ChainHealth, read bool) {
	of := []string{string(net.ID), net.Name}
	s.flag("chain_ready", net.Ready, of...)
	s.flag("chain_verified", net.Verified, of...)
	s.flag("chain_broken", net.Broken, of...)
	s.flag("chain_failing", net.Problem != nil, of...)
	s.flag("chain_unprobed", net.Unprobed != nil, of...)
	s.reason("chain_issuance_halted", net.IssuanceHalted, of...)
	for _, c := range net.Conditions {
		s.flag("chain_condition", c.Active, append(of, string(c.Kind), c.Provider)...)
	}
	if net.Rate > 0 {
		s.gauge("chain_scan_blocks_per_second", float64(net.Rate)/60, of...)
		s.gauge("chain_catch_up_seconds", net.Left.Seconds(), of...)
	}
	if !read {
		return
	}
	s.reason("chain_halted", net.Halted, of...)
	s.height("chain_head_height", net.Head.Height, of...)
	s.height("chain_tip_height", net.Tip.Height, of...)
	s.height("chain_final_height", net.Final, of...)
	if net.Tip.Height > 0 {
		s.gauge("chain_lag_blocks", float64(net.Lag), of...)
	}
	s.at("chain_head_timestamp_seconds", net.Head.Time, of...)
	s.at("chain_tip_timestamp_seconds", net.Tip.Time, of...)
	s.at("chain_updated_timestamp_seconds", net.UpdatedAt, of...)
}

func (s scrape) provider(p chain.ProviderReport, of ...string) {
	of = append(of, p.Name, p.Operator)
	fault := p.Fault
	if !p.Aside {
		fault = ""
	}
	s.flag("provider_aside", p.Aside, append(of, fault)...)
	s.height("provider_head_height", p.Head.Height, of...)
	s.height("provider_final_height", p.Final.Height, of...)
	if p.Latency > 0 {
		s.gauge("provider_latency_seconds", p.Latency.Seconds(), of...)
	}
	s.gauge("provider_error_ratio", float64(p.ErrorRate)/1000, of...)
	s.send("provider_calls_total", prometheus.CounterValue, float64(p.Calls), of...)
	s.send("provider_failures_total", prometheus.CounterValue, float64(p.Failures), of...)
}
