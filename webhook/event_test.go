package webhook_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/webhook"
)

func sample() webhook.Event {
	return webhook.Event{
		ID: "evt_1", Event: "payment.confirmed", Seq: 7, Livemode: true,
		Timestamp: time.Date(2026, 3, 1, 12, 0, 0, 120e6, time.FixedZone("", 3600)),
		Data:      json.RawMessage(`{"payment_id":"pay_1","amount":"25.00","confirmations":12,"metadata":{"order":"4<5"}}`),
	}
}

func TestMarshal(t *testing.T) {
	body, err := webhook.Marshal(sample())
	require.NoError(t, err)
	require.Equal(t, `{"id":"evt_1","event":"payment.confirmed","timestamp":"2026-03-01T11:00:00.12Z","seq":7,"livemode":true,`+
		`"data":{"payment_id":"pay_1","amount":"25.00","confirmations":12,"metadata":{"order":"4<5"}}}`, string(body))

	e, err := webhook.Parse(body)
	require.NoError(t, err)
	want := sample()
	want.Timestamp = want.Timestamp.UTC()
	require.Equal(t, want, e)
}

func TestMarshalData(t *testing.T) {
	for in, want := range map[string]string{
		"":                                       `{}`,
		"  \n":                                   `{}`,
		"{ \"a\" :\t1 ,\n\"b\" : [ ] }":          `{"a":1,"b":[]}`,
		`{"z":1,"a":{"y":null,"b":[true,-5]}}`:   `{"z":1,"a":{"y":null,"b":[true,-5]}}`,
		`{"a":"<>&\u003c\u0026\/"}`:              `{"a":"<>&<&/"}`,
		`{"a":"\u2028\u2029"}`:                   "{\"a\":\"\u2028\u2029\"}",
		"{\"a\":\"\u2028\u007f\u0080\"}":         "{\"a\":\"\u2028\u007f\u0080\"}",
		`{"a":"\u0000\u0008\u0009\u000A\u000b"}`: `{"a":"\u0000\b\t\n\u000b"}`,
		`{"a":"\u000C\u000d\u001F\u0022\\"}`:     `{"a":"\f\r\u001f\"\\"}`,
		`{"a":"\ud83d\ude00\uFFFD"}`:             "{\"a\":\"😀\uFFFD\"}",
		`{"a":"\\ud83d"}`:                        `{"a":"\\ud83d"}`,
		`{"a":9007199254740991,"b":-9007199254740991,"c":0}`: `{"a":9007199254740991,"b":-9007199254740991,"c":0}`,
		`{"4294967295":1,"01":2,"-1":3,"1.0":4,"":5}`:        `{"4294967295":1,"01":2,"-1":3,"1.0":4,"":5}`,
		`{"__proto__":{"a":1},"\u0061b":2}`:                  `{"__proto__":{"a":1},"ab":2}`,
	} {
		e := sample()
		e.Data = json.RawMessage(in)
		body, err := webhook.Marshal(e)
		require.NoError(t, err, in)
		_, data, _ := bytes.Cut(body, []byte(`"data":`))
		require.Equal(t, want+"}", string(data), in)
	}
}

func TestMarshalRefuses(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 32) + "{}" + strings.Repeat("}", 32)
	for name, c := range map[string]struct {
		field string
		edit  func(*webhook.Event)
	}{
		"no id":                {"id", func(e *webhook.Event) { e.ID = "" }},
		"dot in id":            {"id", func(e *webhook.Event) { e.ID = "evt.1" }},
		"no event":             {"event", func(e *webhook.Event) { e.Event = "" }},
		"upper case event":     {"event", func(e *webhook.Event) { e.Event = "Payment" }},
		"line break in event":  {"event", func(e *webhook.Event) { e.Event = "a\nb" }},
		"long event":           {"event", func(e *webhook.Event) { e.Event = strings.Repeat("a", 65) }},
		"no time":              {"timestamp", func(e *webhook.Event) { e.Timestamp = time.Time{} }},
		"year 10000":           {"timestamp", func(e *webhook.Event) { e.Timestamp = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		"seq beyond 2^53":      {"seq", func(e *webhook.Event) { e.Seq = 1 << 53 }},
		"data is a list":       {"data", func(e *webhook.Event) { e.Data = json.RawMessage(`[]`) }},
		"data is null":         {"data", func(e *webhook.Event) { e.Data = json.RawMessage(`null`) }},
		"two values":           {"data", func(e *webhook.Event) { e.Data = json.RawMessage(`{}{}`) }},
		"cut off":              {"data.a", func(e *webhook.Event) { e.Data = json.RawMessage(`{"a":`) }},
		"cut off list":         {"data.a", func(e *webhook.Event) { e.Data = json.RawMessage(`{"a":[1`) }},
		"cut off object":       {"data", func(e *webhook.Event) { e.Data = json.RawMessage(`{"a":1`) }},
		"trailing comma":       {"data", func(e *webhook.Event) { e.Data = json.RawMessage(`{"a":1,}`) }},
		"name twice":           {"data.a", func(e *webhook.Event) { e.Data = json.RawMessage(`{"a":1,"\u0061":2}`) }},
		"name like an index":   {"data.m.12", func(e *webhook.Event) { e.Data = json.RawMessage(`{"m":{"b":1,"12":2}}`) }},
		"last index":           {"data.4294967294", func(e *webhook.Event) { e.Data = json.RawMessage(`{"4294967294":2}`) }},
		"fraction":             {"data.a[1]", func(e *webhook.Event) { e.Data = json.RawMessage(`{"a":[1,1.5]}`) }},
		"exponent":             {"data.a", func(e *webhook.Event) { e.Data = json.RawMessage(`{"a":1e3}`) }},
		"minus zero":           {"data.a", func(e *webhook.Event) { e.Data = json.RawMessage(`{"a":-0}`) }},
		"2^53":                 {"data.a", func(e *webhook.Event) { e.Data = json.RawMessage(`{"a":9007199254740992}`) }},
		"-2^53":                {"data.a", func(e *webhook.Event) { e.Data = json.RawMessage(`{"a":-9007199254740992}`) }},
		"over 64 bits":         {"data.a", func(e *webhook.Event) { e.Data = json.RawMessage(`{"a":18446744073709551616}`) }},
		"invalid UTF-8":        {"data", func(e *webhook.Event) { e.Data = json.RawMessage("{\"a\":\"\xff\"}") }},
		"lone high surrogate":  {"data", func(e *webhook.Event) { e.Data = json.RawMessage(`{"a":"\ud83d"}`) }},
		"lone low surrogate":   {"data", func(e *webhook.Event) { e.Data = json.RawMessage(`{"a":"\udE00x"}`) }},
		"two low ones":         {"data", func(e *webhook.Event) { e.Data = json.RawMessage(`{"a":"\ude00\ude00"}`) }},
		"high and no escape":   {"data", func(e *webhook.Event) { e.Data = json.RawMessage(`{"a":"\ud83dxude00"}`) }},
		"high then a letter":   {"data", func(e *webhook.Event) { e.Data = json.RawMessage(`{"a":"\ud83d\u0041"}`) }},
		"high and a backslash": {"data", func(e *webhook.Event) { e.Data = json.RawMessage(`{"a":"\ud83d\\ude00"}`) }},
		"too deep":             {"data" + strings.Repeat(".a", 32), func(e *webhook.Event) { e.Data = json.RawMessage(deep) }},
		"lists too deep": {"data.a" + strings.Repeat("[0]", 31), func(e *webhook.Event) {
			e.Data = json.RawMessage(`{"a":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + "}")
		}},
	} {
		e := sample()
		c.edit(&e)
		_, err := webhook.Marshal(e)
		var field *webhook.FieldError
		require.ErrorAs(t, err, &field, name)
		require.Equal(t, c.field, field.Field, name)
	}
}

// TestMarshalIsWhatJavaScriptWrites compares with a second way to the same
// bytes: encoding/json's own encoder, set to what JSON.stringify does.
func TestMarshalIsWhatJavaScriptWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := sample()
		e.ID = rapid.StringMatching(`[A-Za-z0-9_-]{1,40}`).Draw(t, "id")
		e.Seq = rapid.Uint64Range(0, webhook.MaxSeq).Draw(t, "seq")
		e.Livemode = rapid.Bool().Draw(t, "livemode")
		e.Timestamp = time.Unix(0, rapid.Int64Range(1, 1<<62).Draw(t, "time"))
		value := rapid.String().Draw(t, "value") + rapid.SampledFrom([]string{"", "\u2028", "<\x00\x1f\x7f>", "\\u2028", "é😀"}).Draw(t, "odd")
		name := "n" + rapid.String().Draw(t, "name")
		number := rapid.Int64Range(-webhook.MaxSeq, webhook.MaxSeq).Draw(t, "number")
		data := map[string]any{name: value, "list": []any{number, nil, true, value}}
		e.Data = must(json.MarshalIndent(data, " ", "\t"))

		body, err := webhook.Marshal(e)
		require.NoError(t, err)
		require.Equal(t, stringify(t, struct {
			ID        string         `json:"id"`
			Event     string         `json:"event"`
			Timestamp string         `json:"timestamp"`
			Seq       uint64         `json:"seq"`
			Livemode  bool           `json:"livemode"`
			Data      map[string]any `json:"data"`
		}{e.ID, e.Event, e.Timestamp.UTC().Format(time.RFC3339Nano), e.Seq, e.Livemode, data}), string(body))

		back, err := webhook.Parse(body)
		require.NoError(t, err)
		require.True(t, back.Timestamp.Equal(e.Timestamp))
		again, err := webhook.Marshal(back)
		require.NoError(t, err)
		require.Equal(t, string(body), string(again))
	})
}

// stringify is JSON.stringify by way of encoding/json, for values whose member
// names sort the same both ways.
func stringify(t require.TestingT, v any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	require.NoError(t, encoder.Encode(v))
	// An escaped backslash before "u2028" must stay; it comes first in pairs.
	unescape := strings.NewReplacer(`\\`, `\\`, `\u2028`, "\u2028", `\u2029`, "\u2029", "\n", "")
	return unescape.Replace(out.String())
}

func TestParse(t *testing.T) {
	const good = `{"id":"evt_1","event":"payment.confirmed","timestamp":"2026-03-01T12:00:00+01:00","seq":7,"livemode":false,"data":{"a":1.5},"added_later":[1]}`
	e, err := webhook.Parse([]byte(" " + good + "\n"))
	require.NoError(t, err)
	require.Equal(t, webhook.Event{
		ID: "evt_1", Event: "payment.confirmed", Timestamp: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC), Seq: 7, Data: json.RawMessage(`{"a":1.5}`),
	}, e)

	for field, edits := range map[string][][2]string{
		"body":      {{good, ""}, {good, "null"}, {good, "[]"}, {good, good + "{}"}, {good, good[:40]}},
		"id":        {{`"id"`, `"ID"`}, {`"evt_1"`, `null`}, {`"evt_1"`, `1`}, {`evt_1`, `evt.1`}, {`evt_1`, ``}},
		"event":     {{`"event"`, `"Event"`}, {`payment.confirmed`, "a b"}, {`"payment.confirmed"`, `{}`}},
		"timestamp": {{`"timestamp"`, `"time"`}, {`2026-03-01T12`, "yesterday"}, {`"2026-03-01T12:00:00+01:00"`, "1772362800"}, {`2026`, "1926"}},
		"seq":       {{`"seq"`, `"sequence"`}, {`:7`, `:-7`}, {`:7`, `:7.5`}, {`:7`, `:"7"`}, {`:7`, `:9007199254740992`}},
		"livemode":  {{`"livemode"`, `"live"`}, {`false`, `"false"`}, {`false`, `0`}, {`false`, `null`}},
		"data":      {{`"data"`, `"Data"`}, {`{"a":1.5}`, `[]`}, {`{"a":1.5}`, `"x"`}, {`{"a":1.5}`, `null`}},
	} {
		for _, edit := range edits {
			require.Contains(t, good, edit[0])
			_, err := webhook.Parse([]byte(strings.Replace(good, edit[0], edit[1], 1)))
			var bad *webhook.FieldError
			require.ErrorAs(t, err, &bad, "%s", edit)
			require.Equal(t, field, bad.Field, "%s", edit)
		}
	}
}

// FuzzParse: whatever parses can be written again, or is refused for a reason
// that only Marshal has; what it writes parses to the same event.
func FuzzParse(f *testing.F) {
	f.Add(must(webhook.Marshal(sample())))
	f.Add([]byte(`{"id":"a","event":"b","timestamp":"2026-01-01T00:00:00Z","seq":1,"livemode":true,"data":{"a":"\ud800","1":1e400}}`))
	f.Add([]byte(`{"data":{"a":"\u`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := webhook.Parse(body)
		if err != nil {
			return
		}
		out, err := webhook.Marshal(e)
		if err != nil {
			return
		}
		require.True(t, json.Valid(out))
		back, err := webhook.Parse(out)
		require.NoError(t, err)
		again, err := webhook.Marshal(back)
		require.NoError(t, err)
		require.Equal(t, string(out), string(again))
		var before, after any
		require.NoError(t, json.Unmarshal(e.Data, &before))
		require.NoError(t, json.Unmarshal(back.Data, &after))
		require.Equal(t, before, after)
	})
}
