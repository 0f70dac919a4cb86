package cutproxy

import (
	"bytes"
	"strings"
)

// commits recognises which messages of one client commit. It is used by the
// client's direction alone.
type commits struct {
	// statements and portals are the names of those that are a COMMIT. Their
	// number is that of the names which the client gives to commits.
	statements, portals map[string]bool
}

func newCommits() *commits {
	return &commits{statements: map[string]bool{}, portals: map[string]bool{}}
}

// see takes notice of a message of the client, and reports whether it commits.
func (c *commits) see(kind byte, payload []byte) bool {
	switch kind {
	case 'Q':
		text, _ := cut(payload)
		return isCommit(text)
	case 'P': // Parse: statement, text
		name, rest := cut(payload)
		text, _ := cut(rest)
		set(c.statements, name, isCommit(text))
	case 'B': // Bind: portal, statement
		portal, rest := cut(payload)
		name, _ := cut(rest)
		set(c.portals, portal, c.statements[name])
	case 'E': // Execute: portal
		portal, _ := cut(payload)
		return c.portals[portal]
	case 'C': // Close: what, name
		if len(payload) > 0 {
			name, _ := cut(payload[1:])
			if payload[0] == 'S' {
				delete(c.statements, name)
			} else {
				delete(c.portals, name)
			}
		}
	}
	return false
}

// set puts a name into the set or takes it out.
func set(names map[string]bool, name string, in bool) {
	if in {
		names[name] = true
	} else {
		delete(names, name)
	}
}

// cut takes the text before the next zero byte.
func cut(payload []byte) (text string, rest []byte) {
	before, rest, _ := bytes.Cut(payload, []byte{0})
	return string(before), rest
}

// isCommitted reports whether a CommandComplete tells of a commit.
func isCommitted(kind byte, payload []byte) bool {
	tag, _ := cut(payload)
	return kind == 'C' && (tag == "COMMIT" || tag == "COMMIT PREPARED")
}

// isCommit reports whether one of the statements in a text is COMMIT, or END,
// which is another word for it.
func isCommit(text string) bool {
	begins := true // whether a statement begins here
	for text != "" {
		switch {
		case text[0] == ';':
			begins, text = true, text[1:]
		case strings.ContainsRune(" \t\r\n\f", rune(text[0])):
			text = text[1:]
		case strings.HasPrefix(text, "--"):
			_, text, _ = strings.Cut(text, "\n")
		case strings.HasPrefix(text, "/*"):
			text = afterComment(text)
		default:
			var word string
			word, text = token(text)
			if begins && (strings.EqualFold(word, "commit") || strings.EqualFold(word, "end")) {
				return true
			}
			begins = false
		}
	}
	return false
}

// afterComment skips a comment, which may hold others.
func afterComment(text string) string {
	depth := 0
	for text != "" {
		switch {
		case strings.HasPrefix(text, "/*"):
			depth, text = depth+1, text[2:]
		case strings.HasPrefix(text, "*/"):
			if depth, text = depth-1, text[2:]; depth == 0 {
				return text
			}
		default:
			text = text[1:]
		}
	}
	return ""
}

// token takes a word, something quoted, or one other character. A semicolon
// inside of quotes begins no statement.
func token(text string) (word, rest string) {
	switch {
	case text[0] == '\'' || text[0] == '"':
		return quoted(text, text[:1])
	case text[0] == '$':
		if end := strings.IndexByte(text[1:], '$'); end >= 0 && isWord(text[1:1+end]) {
			return quoted(text, text[:end+2])
		}
	}
	n := 0
	for n < len(text) && wordByte(text[n]) {
		n++
	}
	if n == 0 {
		n = 1
	}
	// E'…' alone has backslashes that escape quotes.
	if n == 1 && (text[0] == 'e' || text[0] == 'E') && strings.HasPrefix(text[1:], "'") {
		return escaped(text)
	}
	return text[:n], text[n:]
}

// quoted takes what stands between a mark and its next occurrence. A doubled
// quote reads as two strings, which is as good here.
func quoted(text, mark string) (word, rest string) {
	end := strings.Index(text[len(mark):], mark)
	if end < 0 {
		return text, ""
	}
	end += 2 * len(mark)
	return text[:end], text[end:]
}

// escaped takes E'…'.
func escaped(text string) (word, rest string) {
	for i := 2; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '\'':
			return text[:i+1], text[i+1:]
		}
	}
	return text, ""
}

func wordByte(b byte) bool {
	return b == '_' || b >= 0x80 || b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z'
}

func isWord(text string) bool {
	for i := range len(text) {
		if !wordByte(text[i]) {
			return false
		}
	}
	return true
}
