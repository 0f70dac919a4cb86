package cutproxy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIsCommit(t *testing.T) {
	for text, want := range map[string]bool{
		"commit": true, "COMMIT;": true, " \n\tCommit WORK ;": true, "end": true, "END TRANSACTION": true,
		"commit prepared 'x'": true, "begin; insert into a values (1); commit": true,
		"-- first\ncommit": true, "/* a /* b */ c */ commit": true, "select 'it''s'; commit": true,
		`select E'\''; commit`: true, `select "a;b"; commit`: true, "select $$;$$; commit": true, "select $x$ $$ $x$;commit": true,

		"": false, ";": false, "rollback": false, "commits": false, "end_of_day": false, "select 'commit'": false,
		"select 1 -- ; commit": false, "/* commit */ select 1": false, "select ';commit'": false, `select E'\';commit'`: false,
		`select ";commit"`: false, "select $$;commit$$": false, "select $x$;commit $$ ;commit $x$": false,
		"select case when true then 1 end": false, "create function f() returns trigger as $f$ begin return new; end $f$": false,
		"select $1; select 2": false, "/* never; commit": false, "select 'never; commit": false, "comment on table t is ''": false,
	} {
		require.Equal(t, want, isCommit(text), "%q", text)
	}
}

// saw has a client send messages, "P s1|commit" for a type and its texts, and
// returns which of them commit.
func saw(messages ...string) (out []string) {
	c := newCommits()
	for _, m := range messages {
		if c.see(m[0], []byte(strings.ReplaceAll(m[2:], "|", "\x00")+"\x00\x00\x00")) {
			out = append(out, m)
		}
	}
	return out
}

func TestSee(t *testing.T) {
	require.Equal(t, []string{"Q commit"}, saw("Q begin", "Q commit", "Q select 1"))
	require.Equal(t, []string{"E p"}, saw("P s|commit", "B p|s", "E p", "E other", "E "))
	require.Equal(t, []string{"E ", "E "}, saw("P |commit", "B |", "E ", "B |", "E "), "prepared once, executed twice")
	require.Empty(t, saw("P s|commit", "P s|select 1", "B p|s", "E p"), "the name means something else now")
	require.Empty(t, saw("P s|commit", "B p|s", "B p|other", "E p"))
	require.Empty(t, saw("P s|commit", "C Ss", "B p|s", "E p"))
	require.Empty(t, saw("P s|commit", "B p|s", "C Pp", "E p"))
	require.Equal(t, []string{"E p"}, saw("P s|commit", "B p|s", "C Ss", "E p"), "a portal outlives its statement here")
}

func TestIsCommitted(t *testing.T) {
	require.True(t, isCommitted('C', []byte("COMMIT\x00")))
	require.True(t, isCommitted('C', []byte("COMMIT PREPARED\x00")))
	require.False(t, isCommitted('C', []byte("ROLLBACK\x00")), "what a COMMIT of a failed transaction gets")
	require.False(t, isCommitted('D', []byte("COMMIT\x00")))
}

func FuzzCommits(f *testing.F) {
	f.Add(byte('Q'), []byte("begin;commit\x00"))
	f.Add(byte('P'), []byte("s\x00commit\x00\x00\x00"))
	f.Add(byte('E'), []byte("$x$E'\\/*\"\x00\x00"))
	f.Fuzz(func(t *testing.T, kind byte, payload []byte) {
		c := newCommits()
		commits := c.see(kind, payload)
		text, _ := cut(payload)
		if isCommit(text) && !strings.Contains(strings.ToLower(text), "commit") && !strings.Contains(strings.ToLower(text), "end") {
			t.Errorf("%q commits", text)
		}
		if kind == 'Q' && commits != isCommit(text) {
			t.Errorf("%q commits as a query alone", text)
		}
		// A COMMIT after anything that is whole is one.
		if !strings.ContainsAny(text, `'"$/-`) && !isCommit(text+";commit") {
			t.Errorf("%q hides the commit after it", text)
		}
	})
}
