package bursar

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FuzzParseCursor: a cursor comes back from strangers through URLs. What is
// accepted means exactly one place, and nothing panics.
func FuzzParseCursor(f *testing.F) {
	for _, c := range []Cursor{{time.Unix(0, 0), "a"}, {time.Date(2024, 1, 1, 0, 0, 0, 999, time.UTC), "pay_test_018cc253"}, {time.Unix(-5, 0), "x"}} {
		f.Add(c.text())
	}
	f.Add("")
	f.Add("MTIzIA")
	f.Add("////")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCursor(text)
		if err != nil {
			var bad *FieldError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, "Cursor", bad.Field)
			return
		}
		if text == "" {
			require.Equal(t, Cursor{}, c)
			return
		}
		require.True(t, validName(c.ID))
		again, err := parseCursor(c.text())
		require.NoError(t, err)
		require.Equal(t, c, again)
	})
}

func TestCursorRefusesWhatNoListHas(t *testing.T) {
	for _, id := range []string{"", "a b", "a\x00", "\xff", "a'--"} {
		_, err := parseCursor(Cursor{time.Unix(1, 0), id}.text())
		require.Error(t, err, "%q", id)
	}
}

// FuzzParsePlace: the same of a cursor among deliveries.
func FuzzParsePlace(f *testing.F) {
	for _, c := range []DeliveryCursor{{At: time.Unix(0, 0), Endpoint: "a", EventID: "e"}, {At: time.Unix(-5, 1000), Endpoint: "shop", Subject: "eip155:1", Seq: 7, EventID: "evt_1"}} {
		f.Add(c.text())
	}
	f.Add("")
	f.Add("e30")
	f.Add("////")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parsePlace("Cursor", text)
		if err != nil {
			var bad *FieldError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, "Cursor", bad.Field)
			return
		}
		if text == "" {
			require.Equal(t, DeliveryCursor{}, c)
			return
		}
		require.True(t, validName(c.Endpoint))
		again, err := parsePlace("Cursor", c.text())
		require.NoError(t, err)
		require.Equal(t, c, again)
	})
}
