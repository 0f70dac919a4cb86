package pgtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
)

// makeDir makes the folder of a cluster, where its account can enter it and a
// socket's path is short enough: in the temporary folder, or else in /tmp.
func makeDir(a account) (string, error) {
	parent := os.TempDir()
	if len(socketIn(filepath.Join(parent, "bursar-pg-0123456789", "b00"), 65535)) > maxSocketPath || a.other && !open(parent) {
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, "bursar-pg-")
	if err != nil {
		return "", err
	}
	return dir, a.own(dir)
}

// open reports whether anybody may enter a folder.
func open(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}

func dataDir(dir string) string { return filepath.Join(dir, "data") }

// socketIn returns the name that libpq derives for a socket in a folder.
func socketIn(dir string, port int) string {
	return filepath.Join(dir, ".s.PGSQL."+strconv.Itoa(port))
}

// socketDSN is the URL of a database on a socket in a folder.
func socketDSN(dir string, port int, database string) string {
	query := url.Values{"host": {dir}, "port": {strconv.Itoa(port)}}
	return (&url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + database, RawQuery: query.Encode()}).String()
}

// freePort returns a port of the loopback that is free now. It lies below those
// that systems give to clients, so that it is still free after a server that
// comes back was away.
func freePort(ctx context.Context) (int, error) {
	var failed error
	for range 100 {
		port := 20000 + rand.IntN(10000)
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return port, l.Close()
		}
		failed = err
	}
	return 0, fmt.Errorf("pgtest: no free port: %w", failed)
}
