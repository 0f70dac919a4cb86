package layering

import "strings"

// Exception permits one violation.
type Exception struct {
	// Match is a part of the violation's text, Reason why it may be.
	Match, Reason string
}

// Exceptions returns those of this module.
func Exceptions() []Exception {
	return nil
}

// Filter takes out what is excepted, and returns which exceptions were of no
// use: an exception that nobody needs would hide the next violation.
func Filter(found []Violation, exceptions []Exception) (left []Violation, unused []Exception) {
	used := make([]bool, len(exceptions))
next:
	for _, v := range found {
		for i, e := range exceptions {
			if strings.Contains(v.String(), e.Match) {
				used[i] = true
				continue next
			}
		}
		left = append(left, v)
	}
	for i, e := range exceptions {
		if !used[i] {
			unused = append(unused, e)
		}
	}
	return left, unused
}
