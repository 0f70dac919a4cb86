package pgtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// preparedSince is the release of PgBouncer that follows prepared statements
// through transaction pooling.
var preparedSince = Version{1, 21}

// defaultPoolSize is the default of BouncerConfig.PoolSize.
const defaultPoolSize = 4

// BouncerConfig says how a PgBouncer pools transactions. Each transaction of a
// client may run on another connection of the server, and the pool takes its
// connections in turn, so that whoever relies on a session is found out.
type BouncerConfig struct {
	// PoolSize is default_pool_size, the connections to the server for each
	// database. Default 4; at least 1.
	PoolSize int
	// MaxPreparedStatements is max_prepared_statements, how many prepared
	// statements it follows for each client. 0: none, so that clients must not
	// prepare. Anything else needs PgBouncer 1.21.
	MaxPreparedStatements int
	// ResetQuery is run on a connection after each transaction. "" for none,
	// PgBouncer's own default in this mode.
	ResetQuery string
	// TCP has it listen on the loopback too, with the cluster's password.
	TCP bool
	// Settings are further lines of the section pgbouncer, name to value; they
	// win. It is copied.
	Settings map[string]string
}

// Bouncer is a PgBouncer before a cluster. Its methods may be called concurrently.
type Bouncer struct {
	cluster *Cluster
	version Version
	dir     string
	port    int
	tcp     bool

	mu      sync.Mutex // held while the process ends, by design
	process *process   // nil once stopped
}

// StartBouncer starts a PgBouncer before a cluster and returns it once one gets
// through it to the server. The error is an ErrMissing where PgBouncer is not
// there or too old for what is asked. It ends with Stop, or with its cluster.
func StartBouncer(ctx context.Context, cluster *Cluster, config BouncerConfig) (*Bouncer, error) {
	path, version, err := FindBouncer(ctx)
	if err != nil {
		return nil, err
	}
	if config.MaxPreparedStatements > 0 && version.Before(preparedSince) {
		return nil, fmt.Errorf("%w: BouncerConfig.MaxPreparedStatements: PgBouncer %s follows none, %s does", ErrMissing, version, preparedSince)
	}
	if config.PoolSize == 0 {
		config.PoolSize = defaultPoolSize
	}
	if config.PoolSize < 0 || config.MaxPreparedStatements < 0 {
		return nil, errors.New("pgtest: BouncerConfig.PoolSize and MaxPreparedStatements must not be negative")
	}
	b := &Bouncer{cluster: cluster, version: version, port: socketPort, tcp: config.TCP}
	if b.dir, err = os.MkdirTemp(cluster.dir, "b"); err != nil {
		return nil, err
	}
	if config.TCP {
		if b.port, err = freePort(ctx); err != nil {
			return nil, err
		}
	}
	if err := b.configure(config); err != nil {
		return nil, err
	}
	if err := b.start(ctx, path); err != nil {
		return nil, err
	}
	return b, cluster.adopt(b)
}

// adopt has the cluster stop b when it closes.
func (c *Cluster) adopt(b *Bouncer) error {
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.bouncers = append(c.bouncers, b)
	}
	c.mu.Unlock()
	if closed {
		return errors.Join(errors.New("pgtest: the cluster is closed"), b.Stop())
	}
	return nil
}

// configure writes its files.
func (b *Bouncer) configure(config BouncerConfig) error {
	files := map[string]string{
		"ini":   b.ini(config),
		"users": fmt.Sprintf("%q %q\n", superuser, b.cluster.password),
		"hba":   "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(b.dir, name)
		if err := os.WriteFile(path, []byte(files[name]), 0o600); err != nil {
			return err
		}
		if err := b.cluster.account.own(path); err != nil {
			return err
		}
	}
	return b.cluster.account.own(b.dir)
}

// ini is its configuration.
func (b *Bouncer) ini(config BouncerConfig) string {
	settings := map[string]string{
		"pool_mode":              "transaction",
		"default_pool_size":      strconv.Itoa(config.PoolSize),
		"max_client_conn":        "1000",
		"server_round_robin":     "1",
		"unix_socket_dir":        b.dir,
		"listen_port":            strconv.Itoa(b.port),
		"auth_type":              "hba",
		"auth_file":              filepath.Join(b.dir, "users"),
		"auth_hba_file":          filepath.Join(b.dir, "hba"),
		"admin_users":            superuser,
		"server_login_retry":     "0.1", // a server that comes back is found at once
		"log_connections":        "0",
		"log_disconnections":     "0",
		"server_connect_timeout": "5",
	}
	if config.TCP {
		settings["listen_addr"] = "127.0.0.1"
	}
	if config.ResetQuery != "" {
		settings["server_reset_query"] = config.ResetQuery
		settings["server_reset_query_always"] = "1"
	}
	if !b.version.Before(preparedSince) {
		// Newer releases follow some without being asked.
		settings["max_prepared_statements"] = strconv.Itoa(config.MaxPreparedStatements)
	}
	maps.Copy(settings, config.Settings)
	var text strings.Builder
	fmt.Fprintf(&text, "[databases]\n* = host=%s port=%d\n[pgbouncer]\n", b.cluster.dir, b.cluster.port)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s = %s\n", name, settings[name])
	}
	return text.String()
}

// start runs it.
func (b *Bouncer) start(ctx context.Context, path string) error {
	process, err := launch(b.cluster.account, b.dir, filepath.Join(b.dir, "log"), path, filepath.Join(b.dir, "ini"))
	if err != nil {
		return fmt.Errorf("pgtest: pgbouncer: %w", err)
	}
	err = process.ready(ctx, func(ctx context.Context) error {
		_, err := b.query(ctx, "postgres", "SELECT 1")
		return err
	})
	if err != nil {
		return errors.Join(err, process.kill())
	}
	b.process = process
	return nil
}

// query is Cluster.Query through the pooler.
func (b *Bouncer) query(ctx context.Context, database, statements string) ([][]string, error) {
	s, err := connect(ctx, socketIn(b.dir, b.port), database)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.query(statements)
}

// Version returns the pooler's version.
func (b *Bouncer) Version() Version { return b.version }

// DSN returns the URL of a database through the pooler's socket, as superuser.
func (b *Bouncer) DSN(database string) string { return socketDSN(b.dir, b.port, database) }

// TCPDSN is DSN through TCP on the loopback. It panics without BouncerConfig.TCP.
func (b *Bouncer) TCPDSN(database string) string {
	if !b.tcp {
		panic("pgtest: a TCP address of a pooler without BouncerConfig.TCP")
	}
	return b.cluster.DSNVia("127.0.0.1:"+strconv.Itoa(b.port), database)
}

// Log returns the end of what it has logged.
func (b *Bouncer) Log() string { return logTail(filepath.Join(b.dir, "log")) }

// Stop kills it; it has nothing to keep. Its clients lose their connections. It
// may be called twice.
func (b *Bouncer) Stop() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.process == nil {
		return nil
	}
	err := b.process.kill()
	b.process = nil
	return err
}
