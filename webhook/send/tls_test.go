package send

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// authority signs certificates for one test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	return a
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// issue makes a certificate for 127.0.0.1, changed by edit.
func (a *authority) issue(edit func(c *x509.Certificate)) tls.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	edit(template)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// secure starts a TLS receiver; proto is that of the last request.
func secure(t *testing.T, config *tls.Config) (server *httptest.Server, proto *string) {
	t.Helper()
	proto = new(string)
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { *proto = r.Proto }))
	server.TLS = config
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, proto
}

func unchanged(*x509.Certificate) {}

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	server, proto := secure(t, &tls.Config{Certificates: []tls.Certificate{a.issue(unchanged)}})
	s := newLocal(t, server.URL, func(c *Config) { c.RootCAs = a.pool() })
	require.NoError(t, s.Send(t.Context(), message("a")))
	require.Equal(t, "HTTP/2.0", *proto)
}

func TestThreat_E19_BadCertificates(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	for name, c := range map[string]struct {
		certificate tls.Certificate
		trust       *x509.CertPool
	}{
		"wrong host": {a.issue(func(c *x509.Certificate) { c.IPAddresses = nil; c.DNSNames = []string{"example.com"} }), a.pool()},
		"expired":    {a.issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }), a.pool()},
		"too early":  {a.issue(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }), a.pool()},
		"wrong use": {a.issue(func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), a.pool()},
		"other authority": {other.issue(unchanged), a.pool()},
		"system's roots":  {a.issue(unchanged), nil},
	} {
		server, proto := secure(t, &tls.Config{Certificates: []tls.Certificate{c.certificate}})
		s := newLocal(t, server.URL, func(config *Config) { config.RootCAs = c.trust })
		var failed *TransportError
		require.ErrorAs(t, s.Send(t.Context(), message("a")), &failed, name)
		require.Equal(t, FailTLS, failed.Kind, name)
		require.Empty(t, *proto, name)
	}
}

func TestThreat_E19_Downgrade(t *testing.T) {
	a := newAuthority(t)
	for _, c := range []struct{ server, least uint16 }{{tls.VersionTLS11, 0}, {tls.VersionTLS12, tls.VersionTLS13}} {
		server, proto := secure(t, &tls.Config{
			Certificates: []tls.Certificate{a.issue(unchanged)}, MinVersion: tls.VersionTLS10, MaxVersion: c.server, // an old server is the point
		})
		s := newLocal(t, server.URL, func(config *Config) { config.RootCAs, config.MinTLS = a.pool(), c.least })
		var failed *TransportError
		require.ErrorAs(t, s.Send(t.Context(), message("a")), &failed)
		require.Equal(t, FailTLS, failed.Kind)
		require.Empty(t, *proto)
	}
}

// TestTLSMissing: a receiver that speaks plain HTTP on an https URL.
func TestTLSMissing(t *testing.T) {
	server := answering(t, 200)
	s := newLocal(t, "https"+server.URL[len("http"):])
	var failed *TransportError
	require.ErrorAs(t, s.Send(t.Context(), message("a")), &failed)
	require.Equal(t, FailTLS, failed.Kind)
}

func TestClientCertificate(t *testing.T) {
	a := newAuthority(t)
	server, proto := secure(t, &tls.Config{
		Certificates: []tls.Certificate{a.issue(unchanged)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.pool(),
	})
	without := newLocal(t, server.URL, func(c *Config) { c.RootCAs = a.pool() })
	require.Error(t, without.Send(t.Context(), message("a")))
	require.Empty(t, *proto)
	with := newLocal(t, server.URL, func(c *Config) {
		c.RootCAs, c.ClientCertificates = a.pool(), []tls.Certificate{a.issue(unchanged)}
	})
	require.NoError(t, with.Send(t.Context(), message("a")))
	require.NotEmpty(t, *proto)
}
