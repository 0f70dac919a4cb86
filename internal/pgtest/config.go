package pgtest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

const (
	// superuser owns every cluster and database.
	superuser = "postgres"
	// socketPort names the socket of a cluster that does not listen on TCP.
	socketPort = 5432
	// defaultConnections is the default of Config.MaxConnections.
	defaultConnections = 200
	// maxSocketPath is how long a socket's path may be: struct sockaddr_un has 108
	// bytes on Linux, 104 elsewhere, the last of them zero.
	maxSocketPath = 103
)

// Config says what cluster to start. Its zero value is one for fast tests.
type Config struct {
	// Durable has every commit wait for the disk, as in production, for tests of
	// crashes and for figures. Without it a crash of the server alone still loses
	// no commit, since the system has what the server wrote.
	Durable bool
	// TCP has it listen on the loopback too. See Cluster.TCPDSN.
	TCP bool
	// MaxConnections is the server's max_connections. Default 200; at least 1.
	MaxConnections int
	// Settings are further lines of postgresql.conf, name to value; they win over
	// what this package sets. It is copied.
	Settings map[string]string
}

// withDefaults copies c.
func (c Config) withDefaults() (Config, error) {
	if c.MaxConnections == 0 {
		c.MaxConnections = defaultConnections
	}
	if c.MaxConnections < 1 {
		return Config{}, fmt.Errorf("pgtest: Config.MaxConnections: %d is not positive", c.MaxConnections)
	}
	c.Settings = maps.Clone(c.Settings)
	return c, nil
}

// arguments are the server's command line for data and socket in dir.
func (c Config) arguments(dir string, port int) []string {
	settings := map[string]string{
		"max_connections":         strconv.Itoa(c.MaxConnections),
		"shared_buffers":          "128MB",
		"unix_socket_directories": dir,
		"unix_socket_permissions": "0700",
		"listen_addresses":        "",
		"port":                    strconv.Itoa(port),
		"log_min_messages":        "warning",
		// Files below the data, which are gone with it even after a kill.
		"dynamic_shared_memory_type": "mmap",
	}
	if c.TCP {
		settings["listen_addresses"] = "127.0.0.1"
	}
	if !c.Durable {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
	}
	maps.Copy(settings, c.Settings)
	arguments := []string{"-D", dataDir(dir)}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		arguments = append(arguments, "-c", name+"="+settings[name])
	}
	return arguments
}
