package send

import (
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxURLLength is the longest URL accepted, in bytes.
const maxURLLength = 2048

// target is a checked URL, taken apart.
type target struct {
	url *url.URL
	// host is without brackets, port never zero.
	host string
	port uint16
}

// checkURL takes a URL apart. No error repeats any of it, and net/url's own
// errors, which do, are not wrapped.
func checkURL(text string, allowHTTP bool) (target, error) {
	bad := func(reason string) (target, error) { return target{}, &FieldError{"URL", reason} }
	switch {
	case text == "":
		return bad("empty")
	case len(text) > maxURLLength:
		return bad("longer than 2048 bytes")
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return bad("want printable ASCII without spaces; write a host in its xn-- form and escape the rest")
	case strings.ContainsAny(text, `\#`):
		return bad("want neither backslash nor fragment")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return bad("not a URL")
	case u.Scheme == "http" && !allowHTTP:
		return bad("want https; http needs AllowHTTP")
	case u.Scheme != "http" && u.Scheme != "https":
		return bad("want the scheme https")
	case u.User != nil:
		return bad("want no user or password")
	case u.Opaque != "" || u.Hostname() == "":
		return bad("want a host")
	case strings.HasSuffix(u.Host, ":"):
		return bad("empty port")
	}
	t := target{url: u, host: strings.ToLower(u.Hostname()), port: 443}
	if u.Scheme == "http" {
		t.port = 80
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return bad("want a port from 1 to 65535")
		}
		t.port = uint16(n)
	}
	if reason := checkHost(t.host); reason != "" {
		return bad(reason)
	}
	return t, nil
}

// checkHost refuses hosts whose reading depends on the resolver. A name whose
// last label is a number is what browsers and libc read as an IPv4 address in
// decimal, octal, hexadecimal or short form (WHATWG URL, "ends in a number").
func checkHost(host string) string {
	if strings.Contains(host, ":") {
		if a, err := netip.ParseAddr(host); err != nil || a.Zone() != "" {
			return "want an IPv6 address without a zone"
		}
		return ""
	}
	for i := range len(host) {
		c := host[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return "host has a character that no host name has"
		}
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	last := labels[len(labels)-1]
	for _, l := range labels {
		if l == "" || len(l) > 63 {
			return "host has an empty or over-long label"
		}
	}
	numeric := strings.HasPrefix(last, "0x") || strings.Trim(last, "0123456789") == ""
	if _, err := netip.ParseAddr(host); numeric && err != nil {
		return "host is a number but no IPv4 address in the usual form"
	}
	return ""
}

// origin returns scheme and host of a URL, the part that may be shown.
func origin(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "invalid URL"
	}
	return strconv.QuoteToASCII(u.Scheme + "://" + u.Host)
}

// checkPrefix refuses networks that would switch the address check off or that
// no dialled address is ever in.
func checkPrefix(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return "not a network"
	case p.Bits() == 0:
		return "the whole internet is no private network"
	case p.Addr().Is4In6():
		return "write an IPv4 network in its IPv4 form"
	}
	return ""
}

// reservedHeader lists what an extra header may not touch: framing, hop by hop
// and content headers, and the signatures.
func reservedHeader(name string) bool {
	switch name = strings.ToLower(name); name {
	case "host", "content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "keep-alive", "te",
		"trailer", "upgrade", "expect", "accept-encoding", "cookie", "x-gateway-signature":
		return true
	}
	return strings.HasPrefix(name, "webhook-") || strings.HasPrefix(name, "proxy-")
}

// checkHeader refuses what could end a header early and begin another one.
func checkHeader(h http.Header) error {
	const field = "Header"
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		switch key := strings.ToLower(name); {
		case !isToken(name):
			return &FieldError{field, "a name is no HTTP token"}
		case reservedHeader(name):
			return &FieldError{field, name + " is reserved"}
		case seen[key]:
			return &FieldError{field, name + " is given in two spellings"}
		default:
			seen[key] = true
		}
		for _, v := range h[name] {
			if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f }) {
				return &FieldError{field, name + ": want printable ASCII"}
			}
		}
	}
	return nil
}

// isToken is RFC 9110, 5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		letter := 'a' <= r|0x20 && r|0x20 <= 'z' && r < 0x7f
		return !letter && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}
