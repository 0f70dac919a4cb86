package natsjs_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/notify/natsjs"
)

// unconnected is a JetStream whose connection was not made: enough for what New and
// Subject look at.
type unconnected struct {
	jetstream.JetStream
	nc *nats.Conn
}

func (u unconnected) Conn() *nats.Conn { return u.nc }

func connection(o nats.Options) jetstream.JetStream { return unconnected{nc: &nats.Conn{Opts: o}} }

func forever() jetstream.JetStream {
	return connection(nats.Options{AllowReconnect: true, MaxReconnect: -1})
}

func TestSubject(t *testing.T) {
	p, err := natsjs.New(natsjs.Config{Name: "n", JetStream: forever(), Prefix: "shop.live"})
	require.NoError(t, err)
	for _, tc := range []struct {
		kind    bursar.Kind
		subject string
		want    string
	}{
		{bursar.PaymentConfirmed, "pay_0198-aB", "shop.live.payment.confirmed.pay_0198-aB"},
		{bursar.ChainHalted, "eip155:1", "shop.live.chain.halted.eip155:1"},
		{bursar.PaymentConfirmed, "a.b", "shop.live.payment.confirmed.a%2Eb"},
		{bursar.PaymentConfirmed, "*", "shop.live.payment.confirmed.%2A"},
		{bursar.PaymentConfirmed, ">", "shop.live.payment.confirmed.%3E"},
		{bursar.PaymentConfirmed, "a b\r\n\x00%", "shop.live.payment.confirmed.a%20b%0D%0A%00%25"},
		{bursar.PaymentConfirmed, "é\xff", "shop.live.payment.confirmed.%C3%A9%FF"},
		{bursar.PaymentConfirmed, "", "shop.live.payment.confirmed.%"},
		{"payment..*", "x", "shop.live.payment.%.%2A.x"},
		{"", "x", "shop.live.%.x"},
		{bursar.PaymentConfirmed, strings.Repeat("x", 200), "shop.live.payment.confirmed." + strings.Repeat("x", 200)},
	} {
		require.Equal(t, tc.want, p.Subject(bursar.Event{Kind: tc.kind, Subject: tc.subject}), "%q", tc.subject)
	}
	long := p.Subject(bursar.Event{Kind: bursar.PaymentConfirmed, Subject: strings.Repeat("x", 201)})
	require.Regexp(t, `^shop\.live\.payment\.confirmed\.%%[0-9a-f]{64}$`, long)
	require.NotEqual(t, long, p.Subject(bursar.Event{Kind: bursar.PaymentConfirmed, Subject: strings.Repeat("x", 202)}))
}

// TestThreat_E20_Subject: whatever an id holds, it is one token of one subject, and no
// other id has it.
func TestThreat_E20_Subject(t *testing.T) {
	p, err := natsjs.New(natsjs.Config{Name: "n", JetStream: forever()})
	require.NoError(t, err)
	of := func(s string) string { return p.Subject(bursar.Event{Kind: bursar.PaymentConfirmed, Subject: s}) }
	// Few characters, so that different ids come close to each other.
	ids := rapid.OneOf(rapid.StringOfN(rapid.SampledFrom([]rune("a.*>%2E \r\n\x00é:")), 0, 4, -1), rapid.String(), rapid.Map(rapid.SliceOfN(rapid.Byte(), 150, 300), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		a, b := ids.Draw(t, "a"), ids.Draw(t, "b")
		got := of(a)
		parts := strings.Split(got, ".")
		require.Len(t, parts, 4)
		require.NotContains(t, parts, "")
		require.Less(t, len(got), 300)
		for _, c := range []byte(parts[3]) {
			require.True(t, c > ' ' && c < 0x7f && c != '*' && c != '>', "%q", got)
		}
		require.Equal(t, a == b, got == of(b))
	})
}

func TestConfigErrors(t *testing.T) {
	good := func() natsjs.Config {
		return natsjs.Config{Name: "n", JetStream: forever(), Prefix: "a-1.B_2", Stream: "S", Timeout: time.Second}
	}
	_, err := natsjs.New(good())
	require.NoError(t, err)
	for _, tc := range []struct {
		field string
		code  bursar.Code
		edit  func(*natsjs.Config)
	}{
		{"Name", bursar.CodeRequired, func(c *natsjs.Config) { c.Name = "" }},
		{"JetStream", bursar.CodeRequired, func(c *natsjs.Config) { c.JetStream = nil }},
		{"JetStream", bursar.CodeInvalid, func(c *natsjs.Config) { c.JetStream = connection(nats.GetDefaultOptions()) }},
		{"JetStream", bursar.CodeInvalid, func(c *natsjs.Config) { c.JetStream = connection(nats.Options{AllowReconnect: true}) }},
		{"JetStream", bursar.CodeInvalid, func(c *natsjs.Config) { c.JetStream = connection(nats.Options{MaxReconnect: -1}) }},
		{"Prefix", bursar.CodeInvalid, func(c *natsjs.Config) { c.Prefix = "." }},
		{"Prefix", bursar.CodeInvalid, func(c *natsjs.Config) { c.Prefix = "a." }},
		{"Prefix", bursar.CodeInvalid, func(c *natsjs.Config) { c.Prefix = "a b" }},
		{"Prefix", bursar.CodeInvalid, func(c *natsjs.Config) { c.Prefix = "a.*" }},
		{"Prefix", bursar.CodeInvalid, func(c *natsjs.Config) { c.Prefix = "$JS" }},
		{"Prefix", bursar.CodeInvalid, func(c *natsjs.Config) { c.Prefix = "šhop" }},
		{"Prefix", bursar.CodeInvalid, func(c *natsjs.Config) { c.Prefix = strings.Repeat("x", 129) }},
		{"Stream", bursar.CodeInvalid, func(c *natsjs.Config) { c.Stream = "a.b" }},
		{"Stream", bursar.CodeInvalid, func(c *natsjs.Config) { c.Stream = "a\r\nb" }},
		{"Timeout", bursar.CodeOutOfRange, func(c *natsjs.Config) { c.Timeout = -1 }},
		{"Timeout", bursar.CodeOutOfRange, func(c *natsjs.Config) { c.Timeout = natsjs.MaxTimeout + 1 }},
	} {
		c := good()
		tc.edit(&c)
		_, err := natsjs.New(c)
		var bad *bursar.FieldError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, "natsjs.Config."+tc.field, bad.Field)
		require.Equal(t, tc.code, bad.Code)
	}
}

// TestConsumersFilterBySubject: by kind, and by payment.
func TestConsumersFilterBySubject(t *testing.T) {
	b := newBus(t)
	p := b.publisher()
	for _, subject := range []string{"pay_1", "pay_2"} {
		require.NoError(t, p.Notify(t.Context(), event(subject, 1)))
		late := event(subject, 2)
		late.Kind = bursar.TransactionConfirmed
		require.NoError(t, p.Notify(t.Context(), late))
	}
	count := func(filter string) (out []string) {
		c, err := b.eye.OrderedConsumer(t.Context(), streamName, jetstream.OrderedConsumerConfig{FilterSubjects: []string{filter}})
		require.NoError(t, err)
		batch, err := c.FetchNoWait(10)
		require.NoError(t, err)
		for m := range batch.Messages() {
			out = append(out, m.Headers().Get("Nats-Msg-Id"))
		}
		slices.Sort(out)
		return out
	}
	require.Equal(t, []string{"evt_pay_1_1", "evt_pay_2_1"}, count("bursar.payment.>"))
	require.Equal(t, []string{"evt_pay_1_1", "evt_pay_1_2"}, count("bursar.*.*.pay_1"))
}
