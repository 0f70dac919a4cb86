package relational

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
)

// D11: what is wrong with a schema is named, and the newest word of a newer release
// before anything else.
func TestThreat_D11_WhatIsWrongWithASchema(t *testing.T) {
	known := []Migration{{Version: 1, Name: "one", sum: "a"}, {Version: 2, Name: "two", sum: "b"}}
	one, two := Applied{1, "one", "a"}, Applied{2, "two", "b"}
	for name, c := range map[string]struct {
		have []Applied
		todo int
		want string
	}{
		"empty":               {nil, 2, ""},
		"older":               {[]Applied{one}, 1, ""},
		"the same":            {[]Applied{one, two}, 0, ""},
		"newer":               {[]Applied{one, two, {3, "three", "c"}}, 0, "newer than this release: migration 3, three, is unknown (database at version 3, this release at 2)"},
		"newer, with a gap":   {[]Applied{one, {3, "three", "c"}}, 0, "newer than this release: migration 3, three, is unknown"},
		"newer, none of ours": {[]Applied{{9, "nine", "x"}}, 0, "newer than this release: migration 9, nine, is unknown"},
		"newer, and changed":  {[]Applied{{1, "one", "x"}, two, {3, "three", "c"}}, 0, "newer than this release"},
		"a gap":               {[]Applied{two}, 0, "migration 1 is missing"},
		"changed":             {[]Applied{one, {2, "two", "x"}}, 0, "migration 2, two, was another one"},
	} {
		todo, err := Pending(known, c.have)
		require.Len(t, todo, c.todo, name)
		if c.want == "" {
			require.NoError(t, err, name)
			continue
		}
		var wrong *bursar.SchemaError
		require.True(t, errors.As(err, &wrong), name)
		require.ErrorContains(t, err, c.want, name)
	}
}
