package send

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/webhook"
)

// forbidden are addresses that a webhook never goes to unless allowed.
var forbidden = []string{
	"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255",
	"192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
	"::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
	"100::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "3fff::1", "4000::1",
}

func TestThreat_E9_ForbiddenAddresses(t *testing.T) {
	g := newGuard(Config{Ports: []uint16{443}}, false)
	for _, text := range forbidden {
		a := netip.AddrPortFrom(netip.MustParseAddr(text), 443)
		network := "tcp4"
		if a.Addr().Is6() {
			network = "tcp6"
		}
		require.ErrorIs(t, g.control(network, a.String(), nil), ErrBlocked, text)
	}
	for _, text := range []string{"8.8.8.8:443", "1.1.1.1:443", "172.32.0.1:443", "[2606:4700::1111]:443"} {
		network := "tcp4"
		if strings.HasPrefix(text, "[") {
			network = "tcp6"
		}
		require.NoError(t, g.control(network, text, nil), text)
		require.ErrorIs(t, g.control(network, strings.TrimSuffix(text, "443")+"22", nil), ErrBlocked, text)
		require.ErrorIs(t, g.control("udp4", text, nil), ErrBlocked, text)
		require.ErrorIs(t, g.control("unix", text, nil), ErrBlocked, text)
	}
	require.ErrorIs(t, g.control("tcp4", "/run/docker.sock", nil), ErrBlocked)
}

func TestThreat_E9_AllowListOpensNothingElse(t *testing.T) {
	g := newGuard(Config{Ports: []uint16{443}, AllowPrivate: prefixes("10.1.0.0/16", "fd00:1::/32")}, false)
	allowed := func(text string) bool { return g.check(netip.MustParseAddrPort(text)) == nil }
	for _, text := range []string{"10.1.2.3:443", "10.1.2.3:8080", "[::ffff:10.1.2.3]:80", "[fd00:1::5]:9000", "8.8.8.8:443"} {
		require.True(t, allowed(text), text)
	}
	for _, text := range []string{"10.2.0.1:443", "127.0.0.1:443", "[::ffff:10.2.0.1]:443", "[fd00:2::5]:443", "[fd00:1::5%eth0]:443", "8.8.8.8:8080", "169.254.169.254:80"} {
		require.False(t, allowed(text), text)
	}
	// Over plain http the public internet is closed as well.
	g = newGuard(Config{Ports: []uint16{443, 80}, AllowPrivate: prefixes("10.1.0.0/16")}, true)
	require.True(t, allowed("10.1.2.3:80"))
	require.False(t, allowed("8.8.8.8:443"))
	require.False(t, allowed("8.8.8.8:80"))
}

// listenOn starts a receiver on one loopback address and counts connections.
func listenOn(t *testing.T, address string) (port string, connections *atomic.Int64) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", address)
	require.NoError(t, err)
	connections = &atomic.Int64{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close") // So that the next message looks the name up again.
	}))
	require.NoError(t, server.Listener.Close())
	server.Listener = listener
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	_, port, err = net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	return port, connections
}

// TestThreat_E10_Rebinding: the name is good when it is first looked up and
// points inside afterwards. A listener is there, and gets no connection.
func TestThreat_E10_Rebinding(t *testing.T) {
	port, good := listenOn(t, "127.0.0.1:0")
	_, inside := listenOn(t, "127.0.0.2:"+port)
	dns := &fakeDNS{answers: [][]string{{"127.0.0.1"}, {"127.0.0.2"}}}
	s := newLocal(t, "http://rebind.test:"+port, func(c *Config) {
		c.AllowPrivate = prefixes("127.0.0.1/32")
		c.Resolver = dns.resolver()
	})
	require.NoError(t, s.Send(t.Context(), message("a")))
	for range 3 {
		err := s.Send(t.Context(), message("b"))
		require.ErrorIs(t, err, ErrBlocked)
		var failed *TransportError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, FailBlocked, failed.Kind)
	}
	require.Equal(t, int64(1), good.Load())
	require.Zero(t, inside.Load())
	require.Equal(t, 4, dns.asked)
}

// TestThreat_E10_MixedAnswers: of several addresses, the forbidden ones are
// skipped, wherever they stand.
func TestThreat_E10_MixedAnswers(t *testing.T) {
	port, good := listenOn(t, "127.0.0.1:0")
	_, inside := listenOn(t, "127.0.0.2:"+port)
	dns := &fakeDNS{answers: [][]string{{"127.0.0.2", "127.0.0.1"}, {"127.0.0.1", "127.0.0.2"}}}
	s := newLocal(t, "http://mixed.test:"+port, func(c *Config) {
		c.AllowPrivate = prefixes("127.0.0.1/32")
		c.Resolver = dns.resolver()
	})
	require.NoError(t, s.Send(t.Context(), message("a")))
	require.NoError(t, s.Send(t.Context(), message("b")))
	require.Equal(t, int64(2), good.Load())
	require.Zero(t, inside.Load())
}

// TestThreat_E9_NamesOfInternalHosts go through the real dialer.
func TestThreat_E9_NamesOfInternalHosts(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "169.254.169.254", "10.0.0.1", "0.0.0.0"} {
		dns := &fakeDNS{answers: [][]string{{address}}}
		s, err := New(Config{URL: "https://internal.test/", Secrets: []webhook.Secret{testSecret(t, 1)}, Resolver: dns.resolver()})
		require.NoError(t, err)
		err = s.Send(context.Background(), message("a"))
		require.ErrorIs(t, err, ErrBlocked, address)
		s.Close()
	}
}
