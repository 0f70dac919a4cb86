package send

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/webhook"
)

func TestDefaults(t *testing.T) {
	s, err := New(Config{URL: "https://example.com", Secrets: []webhook.Secret{testSecret(t, 1)}, Breaker: &BreakerConfig{}})
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, 15*time.Second, s.config.Timeout)
	require.Equal(t, int64(65536), s.config.MaxResponse)
	require.Equal(t, BreakerConfig{Failures: 5, Cooldown: 30 * time.Second, MaxCooldown: 10 * time.Minute}, *s.config.Breaker)
	require.Equal(t, []uint16{443}, s.config.Ports)
	require.WithinDuration(t, time.Now(), s.config.Now(), time.Minute)
	require.Equal(t, `send.Sender("https://example.com")`, s.String())
	require.Equal(t, "example.com", s.Host())

	// Whatever the environment says, there is no proxy, and no decompression.
	require.Nil(t, s.transport.Proxy)
	require.True(t, s.transport.DisableCompression)
	require.Equal(t, int64(65536), s.transport.MaxResponseHeaderBytes)
}

func TestConfigIsCopied(t *testing.T) {
	c := local(t, "http://127.0.0.1", func(c *Config) {
		c.Header = http.Header{"X-A": {"1"}}
		c.Ports = []uint16{8443}
		c.Breaker = &BreakerConfig{Failures: 3}
	})
	s, err := New(c)
	require.NoError(t, err)
	defer s.Close()
	c.Header.Set("X-A", "changed")
	c.AllowPrivate[0] = netip.MustParsePrefix("10.0.0.0/8")
	c.Ports[0] = 22
	c.Secrets[0] = webhook.Secret{}
	c.Breaker.Failures = 99
	require.Equal(t, "1", s.config.Header.Get("X-A"))
	require.Equal(t, "127.0.0.0/8", s.config.AllowPrivate[0].String())
	require.Equal(t, []uint16{8443, 443}, s.config.Ports)
	require.False(t, s.config.Secrets[0].IsZero())
	require.Equal(t, 3, s.config.Breaker.Failures)
	require.Equal(t, 3, s.breaker.config.Failures)
	require.Zero(t, c.Timeout, "the caller's value is left alone")
}

func TestConfigErrors(t *testing.T) {
	for name, c := range map[string]struct {
		field string
		edit  func(c *Config)
	}{
		"no secrets":         {"Secrets", func(c *Config) { c.Secrets = nil }},
		"zero secret":        {"Secrets", func(c *Config) { c.Secrets = []webhook.Secret{{}} }},
		"negative timeout":   {"Timeout", func(c *Config) { c.Timeout = -1 }},
		"endless timeout":    {"Timeout", func(c *Config) { c.Timeout = MaxTimeout + 1 }},
		"negative response":  {"MaxResponse", func(c *Config) { c.MaxResponse = -1 }},
		"huge response":      {"MaxResponse", func(c *Config) { c.MaxResponse = MaxMaxResponse + 1 }},
		"negative slots":     {"Concurrency", func(c *Config) { c.Concurrency = -1 }},
		"too many slots":     {"Concurrency", func(c *Config) { c.Concurrency = 1025 }},
		"negative every":     {"Every", func(c *Config) { c.Every = -1 }},
		"negative burst":     {"Burst", func(c *Config) { c.Burst = -1 }},
		"port zero":          {"Ports", func(c *Config) { c.Ports = []uint16{8443, 0} }},
		"no network":         {"AllowPrivate[2]", func(c *Config) { c.AllowPrivate = append(c.AllowPrivate, netip.Prefix{}) }},
		"the internet":       {"AllowPrivate[2]", func(c *Config) { c.AllowPrivate = append(c.AllowPrivate, prefixes("0.0.0.0/0")...) }},
		"the new internet":   {"AllowPrivate[2]", func(c *Config) { c.AllowPrivate = append(c.AllowPrivate, prefixes("::/0")...) }},
		"mapped network":     {"AllowPrivate[2]", func(c *Config) { c.AllowPrivate = append(c.AllowPrivate, prefixes("::ffff:10.0.0.0/104")...) }},
		"negative failures":  {"Breaker.Failures", func(c *Config) { c.Breaker = &BreakerConfig{Failures: -1} }},
		"too many failures":  {"Breaker.Failures", func(c *Config) { c.Breaker = &BreakerConfig{Failures: 1001} }},
		"negative cooldown":  {"Breaker.Cooldown", func(c *Config) { c.Breaker = &BreakerConfig{Cooldown: -1} }},
		"cooldowns reversed": {"Breaker.MaxCooldown", func(c *Config) { c.Breaker = &BreakerConfig{Cooldown: 2, MaxCooldown: 1} }},
	} {
		_, err := New(local(t, "http://127.0.0.1", c.edit))
		requireField(t, err, c.field, name)
	}
}

func requireField(t *testing.T, err error, field, name string) {
	t.Helper()
	var bad *FieldError
	require.ErrorAs(t, err, &bad, name)
	require.Equal(t, field, bad.Field, name)
	require.NotEmpty(t, bad.Reason, name)
	require.Contains(t, err.Error(), "webhook/send: "+field)
}

func TestThreat_E19_OldTLSRefused(t *testing.T) {
	for _, v := range []uint16{tls.VersionSSL30, tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS13 + 1} { //nolint:staticcheck // Old on purpose.
		_, err := New(local(t, "https://example.com", func(c *Config) { c.MinTLS = v }))
		requireField(t, err, "MinTLS", "")
	}
	s := newLocal(t, "https://example.com")
	require.Equal(t, uint16(tls.VersionTLS12), s.transport.TLSClientConfig.MinVersion)
	require.False(t, s.transport.TLSClientConfig.InsecureSkipVerify)
}

// TestThreat_E9_URLs: what cannot be a receiver is refused before it is ever
// dialled; the rest is the dialer's.
func TestThreat_E9_URLs(t *testing.T) {
	for _, text := range []string{
		"", "example.com", "/hook", "//example.com/hook", "https:", "https://", "https:///hook", "https://:443/", "https:example.com",
		"ftp://example.com", "file:///etc/passwd", "gopher://example.com", "javascript:alert(1)", "HTTPS+unix://example.com", "unix:///run/docker.sock",
		"http://example.com/", // AllowHTTP is off below.
		"https://user@example.com", "https://user:pw@example.com", "https://@example.com", "https://example.com@127.0.0.1/",
		"https://example.com/#f", "https://example.com/#", "https://example.com/hook#",
		"https://example.com:0/", "https://example.com:65536/", "https://example.com:-1/", "https://example.com:/", "https://example.com:https/", "https://example.com:22/", "https://example.com:8080/",
		"https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/", "https://127.0.0.0x1/", "https://example.1/", "https://127.0.0.1./",
		"https://1.2.3.4.5/", "https://256.1.1.1/",
		"https://127.0.0.1/", "https://10.0.0.1/", "https://169.254.169.254/latest/meta-data", "https://0.0.0.0/", "https://[::1]/", "https://[::]/",
		"https://[::ffff:127.0.0.1]/", "https://[::ffff:8.8.8.8]/", "https://[64:ff9b::7f00:1]/", "https://[fc00::1]/", "https://[fe80::1]/", "https://[fe80::1%25eth0]/", "https://[::1%25lo]/",
		"https://[2002:7f00:1::]/", "https://[v1.x]/",
		"https://exämple.com/", "https://１２７.0.0.1/", "https://example。com/", "https://exa mple.com/", "https://example.com\\@127.0.0.1/", "https://ex*mple.com/", "https://a..b/", "https://.example.com/", "https://example.com../", "https://a,b/",
		"https://" + strings.Repeat("a", 64) + ".com/", "https://example.com/" + strings.Repeat("a", 2048),
	} {
		_, err := New(Config{URL: text, Secrets: []webhook.Secret{testSecret(t, 1)}})
		requireField(t, err, "URL", text)
		if len(text) > 20 {
			require.NotContains(t, err.Error(), text)
		}
	}
	for _, text := range []string{
		"https://example.com", "https://example.com/", "https://example.com:443/a/b?c=d&e=%20", "HTTPS://EXAMPLE.com./", "https://xn--exmple-cua.com/", "https://a_b.example.com/",
		"https://8.8.8.8/", "https://[2606:4700::1111]/", "https://3com.com/", "https://localhost/", // A name: the dialer decides.
		"https://0xample.com/",
	} {
		s, err := New(Config{URL: text, Secrets: []webhook.Secret{testSecret(t, 1)}})
		require.NoError(t, err, text)
		s.Close()
	}
}

func TestPlainHTTPStaysPrivate(t *testing.T) {
	secrets := []webhook.Secret{testSecret(t, 1)}
	for name, c := range map[string]Config{
		"not allowed":              {URL: "http://127.0.0.1/", AllowPrivate: prefixes("127.0.0.0/8")},
		"public address":           {URL: "http://8.8.8.8/", AllowHTTP: true, AllowPrivate: prefixes("127.0.0.0/8")},
		"name, nothing is private": {URL: "http://example.com/", AllowHTTP: true},
	} {
		c.Secrets = secrets
		_, err := New(c)
		requireField(t, err, "URL", name)
	}
}

func TestPorts(t *testing.T) {
	s, err := New(Config{URL: "https://example.com:8443", Secrets: []webhook.Secret{testSecret(t, 1)}, Ports: []uint16{8443}})
	require.NoError(t, err)
	s.Close()
}

func TestThreat_E20_ExtraHeaders(t *testing.T) {
	for name, h := range map[string]http.Header{
		"CR LF in value":      {"X-A": {"1\r\nX-B: 2"}},
		"LF in value":         {"X-A": {"ok", "1\n"}},
		"NUL in value":        {"X-A": {"\x00"}},
		"DEL in value":        {"X-A": {"\x7f"}},
		"non-ASCII value":     {"X-A": {"é"}},
		"CR LF in name":       {"X-A\r\nX-B": {"1"}},
		"colon in name":       {"X-A:": {"1"}},
		"space in name":       {"X A": {"1"}},
		"empty name":          {"": {"1"}},
		"non-ASCII name":      {"X-É": {"1"}},
		"Kelvin sign in name": {"X-\u212a": {"1"}},
		"two spellings":       {"X-A": {"1"}, "x-a": {"2"}},
	} {
		_, err := New(local(t, "https://example.com", func(c *Config) { c.Header = h }))
		requireField(t, err, "Header", name)
	}
	for _, name := range []string{
		"Host", "host", "Content-Type", "CONTENT-LENGTH", "Content-Encoding", "Transfer-Encoding", "Connection", "Keep-Alive", "TE", "Trailer", "Upgrade", "Expect",
		"Accept-Encoding", "Cookie", "Proxy-Authorization", "webhook-id", "Webhook-Signature", "webhook-anything", "x-gateway-signature",
	} {
		_, err := New(local(t, "https://example.com", func(c *Config) { c.Header = http.Header{name: {"x"}} }))
		requireField(t, err, "Header", name)
		require.Contains(t, err.Error(), "reserved")
	}
}

// FuzzURL: what is accepted has the parts that it seems to have, by a second
// reading, and nothing panics.
func FuzzURL(f *testing.F) {
	for _, text := range []string{"https://example.com:443/a?b", "https://[::1]:8443", "http://127.0.0.1", "https://a@b", "https://0x7f.1", "https://a\r\nb", "https://8.8.8.8#"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		target, err := checkURL(text, true)
		if err != nil {
			requireField(t, err, "URL", text)
			return
		}
		u, err := url.Parse(text)
		require.NoError(t, err)
		require.Contains(t, []string{"http", "https"}, u.Scheme)
		require.Nil(t, u.User)
		require.Empty(t, u.Fragment)
		require.Equal(t, strings.ToLower(u.Hostname()), target.host)
		require.NotZero(t, target.port)
		require.False(t, strings.ContainsAny(target.url.RequestURI()+target.url.Host, "\r\n\x00 "), "%q", text)
	})
}
