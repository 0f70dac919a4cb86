package pgtest

import (
	"context"
	"sync"
	"testing"
)

// Pool has one cluster for all tests of a binary, which the first that needs it
// starts. Its zero value is ready. It may be used concurrently.
type Pool struct {
	// Config is that of the cluster. It is not to be changed once a test runs.
	Config Config

	start   sync.Once
	cluster *Cluster
	failed  error

	mu        sync.Mutex
	templates map[string]*template
}

// template is a database that others are copied from. Once it is made.
type template struct {
	make   sync.Once
	failed error
}

// Main runs the tests, then ends the cluster. It returns the exit code.
func (p *Pool) Main(m *testing.M) int {
	code := m.Run()
	if err := p.Close(); err != nil {
		println(err.Error()) // there is no test left to tell
		return max(code, 1)
	}
	return code
}

// Close ends the cluster if there is one. The Pool cannot be used after it.
func (p *Pool) Close() error {
	p.start.Do(func() { p.failed = ErrMissing })
	if p.cluster == nil {
		return nil
	}
	return p.cluster.Close()
}

// Cluster returns the cluster. What prevents it ends every test alike, see
// Missing. Tests that stop or kill a server start one of their own.
func (p *Pool) Cluster(t testing.TB) *Cluster {
	t.Helper()
	// It outlives the test that starts it, so no test's context bounds it.
	p.start.Do(func() { p.cluster, p.failed = Start(context.Background(), p.Config) })
	Missing(t, p.failed)
	return p.cluster
}

// Database makes a database for a test and returns its DSN. It is a copy of the
// template, see Template; "" makes it empty.
func (p *Pool) Database(t testing.TB, template string) string {
	t.Helper()
	_, dsn, err := p.Cluster(t).NewDatabase(t.Context(), template)
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// Template makes the database of a name for others to be copied from, the first
// time it is asked for, and has fill put in what they begin with. fill closes its
// connections, or nothing can be copied, and does not call the Pool. Its error
// ends every test that wants the template.
func (p *Pool) Template(t testing.TB, name string, fill func(dsn string) error) {
	t.Helper()
	cluster := p.Cluster(t)
	p.mu.Lock()
	if p.templates == nil {
		p.templates = map[string]*template{}
	}
	made, ok := p.templates[name]
	if !ok {
		made = &template{}
		p.templates[name] = made
	}
	p.mu.Unlock()
	made.make.Do(func() {
		_, made.failed = cluster.Query(context.Background(), "postgres", "CREATE DATABASE "+quote(name))
		if made.failed == nil {
			made.failed = fill(cluster.DSN(name))
		}
	})
	if made.failed != nil {
		t.Fatalf("template %q: %v", name, made.failed)
	}
}

// StartForTest is Start for one test: the cluster ends with it.
func StartForTest(t testing.TB, config Config) *Cluster {
	t.Helper()
	cluster, err := Start(t.Context(), config)
	Missing(t, err)
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	return cluster
}

// StartBouncerForTest is StartBouncer for one test: the pooler ends with it.
func StartBouncerForTest(t testing.TB, cluster *Cluster, config BouncerConfig) *Bouncer {
	t.Helper()
	bouncer, err := StartBouncer(t.Context(), cluster, config)
	Missing(t, err)
	t.Cleanup(func() {
		if err := bouncer.Stop(); err != nil {
			t.Error(err)
		}
	})
	return bouncer
}
