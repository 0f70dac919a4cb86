package layering_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestThreat_G22_SecretsAreComparedInConstantTime: the rule by which TestModule
// goes through every package finds each way to compare too early.
func TestThreat_G22_SecretsAreComparedInConstantTime(t *testing.T) {
	const plain, guarded = "", "import \"crypto/hmac\"\nimport _ \"crypto/subtle\"\n"
	for expression, in := range map[string]struct{ plain, guarded bool }{
		// In a package that makes signatures, whatever they are called.
		"hmac.Equal(got, want)":                          {false, false},
		"subtle.ConstantTimeCompare(got, want) == 1":     {false, false},
		"bytes.Equal(got, want)":                         {false, true},
		"bytes.Compare(got, want) == 0":                  {false, true},
		"bytes.HasPrefix(got, want)":                     {false, true},
		"slices.Equal(got, want)":                        {false, true},
		"reflect.DeepEqual(got, want)":                   {false, true},
		"strings.EqualFold(got, want)":                   {false, true},
		"string(got) == string(want)":                    {false, true},
		"string(got) != text":                            {false, true},
		"hex.EncodeToString(sum) == text":                {false, true},
		"base64.StdEncoding.EncodeToString(sum) == text": {false, true},
		"len(got) == len(want)":                          {false, false},
		"n == m":                                         {false, false},
		// Anywhere, by the name.
		"bytes.Equal(secret, got)":              {true, true},
		"bytes.Equal(c.signature[:], got)":      {true, true},
		"strings.EqualFold(password, given)":    {true, true},
		"r.Header.Get(\"x\") == c.apiKey":       {true, true},
		"given == cfg.WebhookSecret":            {true, true},
		"given != s.Reveal()":                   {true, true},
		"string(secret) == given":               {true, true},
		"bytes.Equal([]byte(mnemonic), got)":    {true, true},
		"(passphrase) == given":                 {true, true},
		"secret == \"\"":                        {false, false},
		"nil == secret":                         {false, false},
		"len(signature) != 65":                  {false, false},
		"secrets.Equal(other)":                  {false, false},
		"len(got) == maxSignatures":             {false, false},
		"key.secret == known":                   {false, false},
		"bytes.Equal(got, key.public)":          {false, false},
		"bytes.Equal(got, public.secret)":       {true, true},
		"subtle.ConstantTimeEq(secret, 1) == n": {false, false},
	} {
		for head, bad := range map[string]bool{plain: in.plain, guarded: in.guarded} {
			source := "// Package p is.\npackage p\n" + head + "const known = 5\nfunc f() bool { return " + expression + " }"
			found := check(t, "scanner", "x.go", source)
			require.Equal(t, bad, len(found) > 0, "%s: %v", source, found)
			if bad {
				require.Contains(t, found[0], "in constant time")
			}
			require.Empty(t, check(t, "scanner", "x_test.go", source[len("// Package p is.\n"):]), "a test is nobody's oracle")
		}
	}
}
