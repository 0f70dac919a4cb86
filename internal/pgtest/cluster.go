package pgtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Cluster is one PostgreSQL server with data of its own. Its methods may be
// called concurrently; those that start and end the server take turns.
type Cluster struct {
	// What never changes.
	config   Config
	version  Version
	bin, dir string
	password string
	account  account
	port     int

	names atomic.Int64 // numbers databases

	mu       sync.Mutex // held while the server starts and ends, by design
	server   *process   // nil while it does not run
	bouncers []*Bouncer
	closed   bool
}

// portAttempts is how many ports are tried for TCP: between looking for a free one
// and listening on it somebody else may take it.
const portAttempts = 5

// Start makes a cluster and returns it once it serves. The error is an ErrMissing
// where PostgreSQL is not there. The caller closes it; ctx bounds the start alone.
func Start(ctx context.Context, config Config) (*Cluster, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Cluster{config: config, password: rand.Text(), port: socketPort}
	if c.bin, c.version, err = FindServer(ctx); err != nil {
		return nil, err
	}
	if c.account, err = serverAccount(); err != nil {
		return nil, err
	}
	if c.dir, err = makeDir(c.account); err != nil {
		return nil, err
	}
	if err = c.initialise(ctx); err == nil {
		err = c.startFirst(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// initialise makes the data.
func (c *Cluster) initialise(ctx context.Context) error {
	secret := filepath.Join(c.dir, "password")
	if err := os.WriteFile(secret, []byte(c.password+"\n"), 0o600); err != nil {
		return err
	}
	if err := c.account.own(secret); err != nil {
		return err
	}
	cmd := c.account.command(ctx, c.dir, filepath.Join(c.bin, "initdb"), "-D", dataDir(c.dir),
		"--username="+superuser, "--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile="+secret,
		"--encoding=UTF8", "--locale=C", "--no-sync")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("pgtest: initdb: %w\n%s", err, out.Bytes())
	}
	return os.Remove(secret)
}

// startFirst starts the server for the first time, which settles its port.
func (c *Cluster) startFirst(ctx context.Context) error {
	if !c.config.TCP {
		return c.Restart(ctx)
	}
	var failed error
	for range portAttempts {
		port, err := freePort(ctx)
		if err != nil {
			return err
		}
		c.port = port
		if failed = c.Restart(ctx); failed == nil || !strings.Contains(failed.Error(), "TCP/IP socket") {
			return failed
		}
	}
	return failed
}

// Version returns the server's version.
func (c *Cluster) Version() Version { return c.version }

// SocketDir returns the folder of its socket, as libpq and pgx want it for host.
func (c *Cluster) SocketDir() string { return c.dir }

// Socket returns the socket itself, for those who dial.
func (c *Cluster) Socket() string { return socketIn(c.dir, c.port) }

// DSN returns the URL of a database on the socket, as superuser.
func (c *Cluster) DSN(database string) string { return socketDSN(c.dir, c.port, database) }

// TCPDSN is DSN through TCP on the loopback, with the password. It panics for a
// cluster without Config.TCP, which listens nowhere.
func (c *Cluster) TCPDSN(database string) string { return c.DSNVia(c.Addr(), database) }

// Addr returns the TCP address, 127.0.0.1:port. It panics as TCPDSN does.
func (c *Cluster) Addr() string {
	if !c.config.TCP {
		panic("pgtest: a TCP address of a cluster without Config.TCP")
	}
	return "127.0.0.1:" + strconv.Itoa(c.port)
}

// DSNVia is TCPDSN through host:port of a proxy that leads here.
func (c *Cluster) DSNVia(addr, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(superuser, c.password), Host: addr, Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Query runs statements as superuser on the socket, and returns the rows of all of
// them as text, NULL as "". A statement that fails is a *ServerError.
func (c *Cluster) Query(ctx context.Context, database, statements string) ([][]string, error) {
	s, err := connect(ctx, c.Socket(), database)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.query(statements)
}

// NewDatabase makes a database like another one, "" for an empty one, and returns
// its name and DSN. Nobody may be connected to the template. It stays until
// DropDatabase or the end of the cluster.
func (c *Cluster) NewDatabase(ctx context.Context, template string) (name, dsn string, err error) {
	if template == "" {
		template = "template1"
	}
	name = fmt.Sprintf("test_%d", c.names.Add(1))
	_, err = c.Query(ctx, "postgres", "CREATE DATABASE "+quote(name)+" TEMPLATE "+quote(template))
	return name, c.DSN(name), err
}

// DropDatabase removes a database, and ends who is connected to it. One that is
// not there is no error.
func (c *Cluster) DropDatabase(ctx context.Context, name string) error {
	_, err := c.Query(ctx, "postgres", "DROP DATABASE IF EXISTS "+quote(name)+" WITH (FORCE)")
	return err
}

// Restart starts the server on its data, after Stop or Kill, and returns once it
// serves. DSNs stay what they were. It does nothing while the server runs.
func (c *Cluster) Restart(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.New("pgtest: the cluster is closed")
	}
	if c.server != nil {
		return nil
	}
	// Last words of the server before would be taken for those of this one.
	_ = os.Remove(c.logFile()) // there may be none
	server, err := launch(c.account, c.dir, c.logFile(), filepath.Join(c.bin, "postgres"), c.config.arguments(c.dir, c.port)...)
	if err != nil {
		return fmt.Errorf("pgtest: postgres: %w", err)
	}
	err = server.ready(ctx, func(ctx context.Context) error { return c.serves(ctx, server.cmd.Process.Pid) })
	if err != nil {
		return errors.Join(err, server.kill())
	}
	c.server = server
	return nil
}

// serves returns nil once the server of a process serves. It connects only to one
// that says it is ready: every refusal before that would be a line in its log.
func (c *Cluster) serves(ctx context.Context, pid int) error {
	// A killed server leaves its file, so that the first line matters.
	if lines := c.pidFile(); len(lines) < 8 || lines[0] != strconv.Itoa(pid) || strings.TrimSpace(lines[7]) != "ready" {
		return errors.New("pgtest: the server is not ready")
	}
	s, err := connect(ctx, c.Socket(), "postgres")
	if err == nil {
		s.close()
	}
	return err
}

// pidFile returns the lines of what a server writes about itself while it runs:
// the process, the data, when it started, port, socket and address, key and id of
// its shared memory, and how far it is. None if it left in order.
func (c *Cluster) pidFile() []string {
	text, err := os.ReadFile(filepath.Join(dataDir(c.dir), "postmaster.pid"))
	if err != nil {
		return nil
	}
	return strings.Split(string(text), "\n")
}

// Stop ends the server in order: it drops its clients, writes everything and
// leaves. It does nothing while the server does not run.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == nil {
		return nil
	}
	// "Fast shutdown"; an error means that it is gone.
	_ = c.server.cmd.Process.Signal(os.Interrupt)
	err := c.server.wait()
	c.server = nil
	return err
}

// Kill ends the server and all its children at once (SIGKILL), and returns when
// none is left. It does nothing while the server does not run. Away from Linux
// the children are left to notice by themselves.
func (c *Cluster) Kill() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kill()
}

func (c *Cluster) kill() error {
	if c.server == nil {
		return nil
	}
	err := c.server.kill()
	c.server = nil
	return err
}

// Close ends the server and its bouncers and removes all data. It may be called
// twice.
func (c *Cluster) Close() error {
	c.mu.Lock()
	bouncers := c.bouncers
	c.bouncers = nil
	c.mu.Unlock()
	var failed []error
	for _, b := range bouncers {
		failed = append(failed, b.Stop())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.Join(failed...)
	}
	c.closed = true
	if c.server != nil {
		// "Immediate shutdown": nobody needs the data, yet unlike after a kill the
		// server gives back its shared memory.
		_ = c.server.cmd.Process.Signal(syscall.SIGQUIT)
		failed = append(failed, c.server.wait())
		c.server = nil
	} else {
		c.freeMemory()
	}
	return errors.Join(append(failed, os.RemoveAll(c.dir))...)
}

// freeMemory gives back the segment of shared memory that a killed server has
// left: the system keeps it until it restarts, and has room for 4096.
func (c *Cluster) freeMemory() {
	lines := c.pidFile()
	if len(lines) < 7 {
		return // it left in order, or never started
	}
	if fields := strings.Fields(lines[6]); len(fields) == 2 {
		// Without the program 56 bytes are lost.
		_ = exec.CommandContext(context.Background(), "ipcrm", "-m", fields[1]).Run()
	}
}

// Log returns the end of what the server has logged since its last start.
func (c *Cluster) Log() string { return logTail(c.logFile()) }

func (c *Cluster) logFile() string { return filepath.Join(c.dir, "log") }
