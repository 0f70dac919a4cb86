package evm

import (
	"net/url"
	"slices"
	"strings"
)

// redactor removes the secrets of a Config from text that others wrote: error
// texts of the HTTP transport and of the node, which like to repeat the URL.
type redactor struct {
	host, wsHost string
	replacer     *strings.Replacer
}

// newRedactor collects every part of the URLs and of the headers that could be a
// key. Short parts such as "v3" or "eth" are left alone: they are no secrets,
// and removing them would make messages unreadable.
func newRedactor(cfg Config) redactor {
	var secrets []string
	add := func(texts ...string) {
		for _, s := range texts {
			if len(s) >= 4 {
				secrets = append(secrets, s, url.QueryEscape(s), url.PathEscape(s))
			}
		}
	}
	endpoint := func(text string, u *url.URL, err error) (host string) {
		if err != nil {
			return ""
		}
		add(text, u.RequestURI(), u.RawQuery)
		add(strings.Split(u.Path, "/")...)
		if u.User != nil {
			password, _ := u.User.Password()
			add(u.User.String(), u.User.Username(), password)
		}
		for _, values := range u.Query() {
			add(values...)
		}
		return u.Host
	}
	var r redactor
	u, err := parseURL(cfg.URL)
	r.host = endpoint(cfg.URL, u, err)
	u, err = parseWebSocket(cfg.WebSocket)
	r.wsHost = endpoint(cfg.WebSocket, u, err)
	for _, values := range cfg.Headers {
		for _, v := range values {
			add(v)
			add(strings.Fields(v)...)
		}
	}
	// Longest first: a part must not be cut out of a whole that then shows.
	slices.SortFunc(secrets, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	pairs := make([]string, 0, 2*len(secrets))
	for _, s := range slices.Compact(secrets) {
		pairs = append(pairs, s, "(redacted)")
	}
	r.replacer = strings.NewReplacer(pairs...)
	return r
}

// text returns s without secrets, without control characters and cut to limit
// bytes. The cut comes last: half a secret must not survive it.
func (r redactor) text(s string, limit int) string {
	s = r.replacer.Replace(s)
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}
