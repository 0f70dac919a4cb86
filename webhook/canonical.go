package webhook

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"unicode/utf8"
)

// maxDepth is how deep Data may nest.
const maxDepth = 32

// appendObject appends the JSON object in raw to dst the way JavaScript's
// JSON.stringify would write it, or says why it cannot.
func appendObject(dst, raw []byte) ([]byte, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return append(dst, "{}"...), nil
	}
	// Checked on the raw text, because Go's decoder replaces both silently.
	if !utf8.Valid(raw) || loneSurrogate(raw) {
		return nil, &FieldError{"data", "invalid Unicode"}
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	first, err := d.Token()
	if err != nil {
		return nil, &FieldError{"data", "invalid JSON"}
	}
	if first != json.Delim('{') {
		return nil, &FieldError{"data", "want an object"}
	}
	w := rewriter{d: d, out: dst}
	if err := w.object("data", 1); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, &FieldError{"data", "more than one value"}
	}
	return w.out, nil
}

// rewriter copies tokens from d to out.
type rewriter struct {
	d   *json.Decoder
	out []byte
}

// object copies the rest of an object whose brace has been read.
func (w *rewriter) object(path string, depth int) error {
	if depth > maxDepth {
		return &FieldError{path, "nested too deep"}
	}
	seen := map[string]bool{}
	w.out = append(w.out, '{')
	for w.d.More() {
		token, err := w.d.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return &FieldError{path, "invalid JSON"}
		}
		member := path + "." + name
		switch {
		case seen[name]:
			return &FieldError{member, "name occurs twice"}
		case isIndex(name):
			return &FieldError{member, "name looks like an array index"}
		case len(seen) > 0:
			w.out = append(w.out, ',')
		}
		seen[name] = true
		w.out = append(appendString(w.out, name), ':')
		if err := w.value(member, depth); err != nil {
			return err
		}
	}
	return w.end(path, '}')
}

// array copies the rest of an array whose bracket has been read.
func (w *rewriter) array(path string, depth int) error {
	if depth > maxDepth {
		return &FieldError{path, "nested too deep"}
	}
	w.out = append(w.out, '[')
	for i := 0; w.d.More(); i++ {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if err := w.value(path+"["+strconv.Itoa(i)+"]", depth); err != nil {
			return err
		}
	}
	return w.end(path, ']')
}

func (w *rewriter) end(path string, bracket byte) error {
	if _, err := w.d.Token(); err != nil {
		return &FieldError{path, "invalid JSON"}
	}
	w.out = append(w.out, bracket)
	return nil
}

func (w *rewriter) value(path string, depth int) error {
	token, err := w.d.Token()
	if err != nil {
		return &FieldError{path, "invalid JSON"}
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '{' {
			return w.object(path, depth+1)
		}
		return w.array(path, depth+1)
	case string:
		w.out = appendString(w.out, v)
	case json.Number:
		// The shortest way to be sure that JavaScript prints the same digits.
		n, err := strconv.ParseInt(v.String(), 10, 64)
		if err != nil || n > MaxSeq || n < -MaxSeq || v == "-0" {
			return &FieldError{path, "want a whole number within ±(2^53-1), or a string"}
		}
		w.out = strconv.AppendInt(w.out, n, 10)
	case bool:
		w.out = strconv.AppendBool(w.out, v)
	default:
		w.out = append(w.out, "null"...)
	}
	return nil
}

// appendString writes valid UTF-8 as JSON.stringify does (ECMA-262,
// QuoteJSONString): quotes, backslash and control characters are escaped and
// nothing else; encoding/json would also escape U+2028, U+2029 and, by default,
// '<', '>' and '&'.
func appendString(dst []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= 0x20:
			dst = append(dst, c)
		case c == '\b':
			dst = append(dst, `\b`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\f':
			dst = append(dst, `\f`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(dst, '"')
}

// isIndex reports whether JavaScript takes a member's name for an array index,
// a decimal number below 2^32-1 without leading zeros, and lists it first.
func isIndex(name string) bool {
	n, err := strconv.ParseUint(name, 10, 32)
	return err == nil && n < 1<<32-1 && strconv.FormatUint(n, 10) == name
}

// loneSurrogate reports whether JSON text escapes half of a UTF-16 pair. Such a
// string has no UTF-8 form.
func loneSurrogate(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++ // The escaped character, which may be a backslash itself.
		unit, ok := escapedUnit(raw, i)
		if !ok || unit < 0xD800 || unit > 0xDFFF {
			continue
		}
		low, ok := escapedUnit(raw, i+6)
		if unit > 0xDBFF || !ok || raw[i+5] != '\\' || low < 0xDC00 || low > 0xDFFF {
			return true
		}
		i += 10
	}
	return false
}

// escapedUnit reads uXXXX at i.
func escapedUnit(raw []byte, i int) (uint64, bool) {
	if i+5 > len(raw) || raw[i] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(raw[i+1:i+5]), 16, 16)
	return n, err == nil
}
