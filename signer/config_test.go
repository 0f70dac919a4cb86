package signer_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/signer"
)

func TestServerConfigIsChecked(t *testing.T) {
	d := newDesk(t)
	for field, change := range map[string]func(*signer.ServerConfig){
		"Signer":      func(c *signer.ServerConfig) { c.Signer = nil },
		"Secrets":     func(c *signer.ServerConfig) { c.Secrets = nil },
		"Secrets[a]":  func(c *signer.ServerConfig) { c.Secrets = map[string]signer.Secret{"a": {}} },
		"Window":      func(c *signer.ServerConfig) { c.Window = time.Hour },
		"Timeout":     func(c *signer.ServerConfig) { c.Timeout = -1 },
		"MaxBody":     func(c *signer.ServerConfig) { c.MaxBody = -1 },
		"MaxRequests": func(c *signer.ServerConfig) { c.MaxRequests = -1 },
		"PerSecond":   func(c *signer.ServerConfig) { c.PerSecond = -1 },
	} {
		cfg := d.config
		change(&cfg)
		_, err := signer.NewServer(cfg)
		var bad *signer.ConfigError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, field, bad.Field)
	}
	cfg := d.config
	cfg.Secrets = map[string]signer.Secret{"a b": d.secret}
	_, err := signer.NewServer(cfg)
	require.ErrorContains(t, err, "a b")
}

func TestThreat_E19_ClientConfigIsChecked(t *testing.T) {
	d := newDesk(t)
	good := signer.ClientConfig{URL: "https://signer.example:8443", KeyID: "shop", Secret: d.secret, Codecs: codecs(), Keys: d.keys}
	for name, c := range map[string]struct {
		change func(*signer.ClientConfig)
		field  string
	}{
		"no URL":         {func(c *signer.ClientConfig) { c.URL = "" }, "URL"},
		"plain":          {func(c *signer.ClientConfig) { c.URL = "http://signer.example" }, "URL"},
		"plain private":  {func(c *signer.ClientConfig) { c.URL = "http://10.0.0.1:80" }, "URL"},
		"like loopback":  {func(c *signer.ClientConfig) { c.URL = "http://127.0.0.1.example" }, "URL"},
		"scheme":         {func(c *signer.ClientConfig) { c.URL = "ftp://localhost" }, "URL"},
		"user":           {func(c *signer.ClientConfig) { c.URL = "https://u:p@signer.example" }, "URL"},
		"path":           {func(c *signer.ClientConfig) { c.URL = "https://signer.example/x" }, "URL"},
		"query":          {func(c *signer.ClientConfig) { c.URL = "https://signer.example?x" }, "URL"},
		"insecure":       {func(c *signer.ClientConfig) { c.TLS = &tls.Config{InsecureSkipVerify: true} }, "TLS"},
		"no credentials": {func(c *signer.ClientConfig) { c.Secret = signer.Secret{} }, "Secret"},
		"no key id":      {func(c *signer.ClientConfig) { c.KeyID = "" }, "KeyID"},
		"line break":     {func(c *signer.ClientConfig) { c.KeyID = "a\nb" }, "KeyID"},
		"timeout":        {func(c *signer.ClientConfig) { c.Timeout = -1 }, "Timeout"},
		"no codecs":      {func(c *signer.ClientConfig) { c.Codecs = nil }, "Codecs"},
		"no keys":        {func(c *signer.ClientConfig) { c.Keys = nil }, "Keys"},
	} {
		cfg := good
		c.change(&cfg)
		_, err := signer.NewClient(cfg)
		var bad *signer.ConfigError
		require.ErrorAs(t, err, &bad, name)
		require.Equal(t, c.field, bad.Field, name)
	}
	for _, url := range []string{good.URL, "http://127.0.0.1:1", "http://[::1]:1", "http://localhost", "https://signer.example/"} {
		cfg := good
		cfg.URL = url
		_, err := signer.NewClient(cfg)
		require.NoError(t, err)
	}
	_, err := signer.NewSecret(make([]byte, 31))
	var bad *signer.ConfigError
	require.ErrorAs(t, err, &bad)
	c := d.dial(d.http.URL, func(c *signer.ClientConfig) { c.Rand = iotest.ErrReader(errors.New("none")) })
	_, err = c.Status(t.Context())
	remote(t, err, signer.CodeUnreachable)
}

// TestThreat_F18_SecretsDoNotShow in any value, error or line of the log.
func TestThreat_F18_SecretsDoNotShow(t *testing.T) {
	d := newDesk(t)
	for _, v := range []any{d.secret, &d.secret, d.client, *d.client, d.server, d.config, signer.ClientConfig{Secret: d.secret}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			text := fmt.Sprintf(verb, v)
			require.NotContains(t, text, "canary")
			require.NotContains(t, strings.ToLower(text), hex.EncodeToString(secretBytes))
			require.NotContains(t, text, strings.Trim(fmt.Sprint(secretBytes), "[]"))
		}
	}
	text, err := json.Marshal(map[string]any{"s": d.secret})
	require.NoError(t, err)
	require.JSONEq(t, `{"s":"[secret]"}`, string(text))
	_, err = d.client.Sign(t.Context(), []chain.SignRequest{d.request(0, 1, stranger, 5)})
	refused(t, err, "treasury")
	d.http.Close()
	_, err = d.client.Sign(t.Context(), []chain.SignRequest{d.request(0, 1, treasury, 5)})
	remote(t, err, signer.CodeUnreachable)
	require.NotContains(t, err.Error(), "canary")
	d.config.Logger.Info("the desk", "secret", d.secret)
	require.Contains(t, d.logs.String(), "[secret]")
	require.NotContains(t, d.logs.String(), "canary")
	require.Empty(t, fmt.Sprint(signer.Secret{}))
}

// TestMutualTLS needs no secret, and with one needs both.
func TestMutualTLS(t *testing.T) {
	authority, pool := newCertificate(t, "authority", nil)
	server, _ := newCertificate(t, "127.0.0.1", &authority)
	shop, _ := newCertificate(t, "shop", &authority)
	other, _ := newCertificate(t, "other", &authority)
	d := newDesk(t)
	serve := func(edit func(*signer.ServerConfig)) string {
		cfg := d.config
		cfg.Certificate = func(c *x509.Certificate) bool { return c.Subject.CommonName == "shop" }
		edit(&cfg)
		s, err := signer.NewServer(cfg)
		require.NoError(t, err)
		h := httptest.NewUnstartedServer(s)
		h.TLS = &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool, MinVersion: tls.VersionTLS13}
		h.StartTLS()
		t.Cleanup(h.Close)
		return h.URL
	}
	ask := func(url string, secret signer.Secret, certificates ...tls.Certificate) error {
		c := d.dial(url, func(c *signer.ClientConfig) {
			c.Secret = secret
			c.TLS = &tls.Config{RootCAs: pool, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(certificates) == 0 {
					return &tls.Certificate{}, nil
				}
				return &certificates[0], nil
			}}
		})
		_, err := c.Sign(t.Context(), []chain.SignRequest{d.request(0, 1, treasury, 5)})
		return err
	}
	onlyTLS := serve(func(c *signer.ServerConfig) { c.Secrets = nil })
	require.NoError(t, ask(onlyTLS, signer.Secret{}, shop))
	remote(t, ask(onlyTLS, signer.Secret{}, other), signer.CodeUnauthorized)
	remote(t, ask(onlyTLS, signer.Secret{}), signer.CodeUnauthorized)
	both := serve(func(*signer.ServerConfig) {})
	require.NoError(t, ask(both, d.secret, shop))
	remote(t, ask(both, signer.Secret{}, shop), signer.CodeUnauthorized)
	remote(t, ask(both, d.secret, other), signer.CodeUnauthorized)
	// A server of another authority is none.
	c := d.dial(both)
	_, err := c.Status(context.Background())
	remote(t, err, signer.CodeUnreachable)
}

// newCertificate makes a certificate, signed by itself where there is no parent.
func newCertificate(t *testing.T, name string, parent *tls.Certificate) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{{127, 0, 0, 1}}, IsCA: parent == nil, BasicConstraintsValid: true,
	}
	by, signKey := template, any(key)
	if parent != nil {
		by, signKey = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, &key.PublicKey, signKey)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}
