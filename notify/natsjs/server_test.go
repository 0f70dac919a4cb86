package natsjs_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/internal/wiretest"
	"github.com/bursar-go/bursar/notify/natsjs"
	"github.com/bursar-go/bursar/notifytest"
)

// The account of the gateway. Nothing may show the password.
const (
	user     = "gateway"
	password = "correct-horse"
	// watcher has the same right to everything, over a wire that nobody cuts.
	watcher = "watcher"
	// mute may publish nothing but requests to JetStream itself.
	mute = "mute"
)

// bus is a JetStream server in this process, and a gateway's way to it.
type bus struct {
	t    testing.TB
	srv  *server.Server
	wire *wiretest.Wire
	nc   *nats.Conn          // the gateway's, over the wire
	js   jetstream.JetStream // of nc
	eye  jetstream.JetStream // the watcher's
}

const (
	streamName = "PAYMENTS"
	subjects   = "bursar.>"
)

// newBus starts a server with a stream for the subjects of the default prefix.
func newBus(t testing.TB, edit ...func(*jetstream.StreamConfig)) *bus {
	t.Helper()
	b := bareBus(t)
	c := jetstream.StreamConfig{Name: streamName, Subjects: []string{subjects}, Storage: jetstream.MemoryStorage, Duplicates: 20 * time.Minute}
	for _, f := range edit {
		f(&c)
	}
	b.stream(c)
	return b
}

// bareBus starts a server without a stream.
func bareBus(t testing.TB) *bus {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true, MaxPayload: 64 << 10,
		Users: []*server.User{
			{Username: user, Password: password},
			{Username: watcher, Password: password},
			{Username: mute, Password: password, Permissions: &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{"$JS.>"}}}},
		},
	})
	require.NoError(t, err)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	require.True(t, srv.ReadyForConnections(10*time.Second))
	b := &bus{t: t, srv: srv, wire: &wiretest.Wire{}}
	b.nc, b.js = b.connect(user, b.wire)
	_, b.eye = b.connect(watcher, &wiretest.Wire{})
	return b
}

// connect is how a host connects, but for the wire and the haste.
func (b *bus) connect(name string, wire *wiretest.Wire) (*nats.Conn, jetstream.JetStream) {
	b.t.Helper()
	at := &url.URL{Scheme: "nats", User: url.UserPassword(name, password), Host: b.srv.Addr().String()}
	nc, err := nats.Connect(at.String(), nats.MaxReconnects(-1), nats.SetCustomDialer(wire), nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(0, 0))
	require.NoError(b.t, err)
	b.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(b.t, err)
	return nc, js
}

func (b *bus) stream(c jetstream.StreamConfig) {
	b.t.Helper()
	_, err := b.eye.CreateStream(b.t.Context(), c)
	require.NoError(b.t, err)
}

// publisher makes the notifier under test.
func (b *bus) publisher(edit ...func(*natsjs.Config)) *natsjs.Publisher {
	b.t.Helper()
	c := natsjs.Config{Name: "nats", JetStream: b.js, Stream: streamName}
	for _, f := range edit {
		f(&c)
	}
	p, err := natsjs.New(c)
	require.NoError(b.t, err)
	return p
}

// stored are the messages of the stream.
func (b *bus) stored() (out []*jetstream.RawStreamMsg) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := b.eye.Stream(ctx, streamName)
	require.NoError(b.t, err)
	state := s.CachedInfo().State
	for seq := max(state.FirstSeq, 1); seq <= state.LastSeq; seq++ {
		m, err := s.GetMsg(ctx, seq)
		require.NoError(b.t, err)
		out = append(out, m)
	}
	return out
}

// away cuts the wire and waits until the connection has noticed.
func (b *bus) away() {
	changed := b.nc.StatusChanged(nats.RECONNECTING)
	b.wire.Cut()
	<-changed
}

// back mends the wire and waits until there is a connection.
func (b *bus) back() {
	changed := b.nc.StatusChanged(nats.CONNECTED)
	b.wire.Mend()
	<-changed
}

func TestConformance(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Receiver {
		b := newBus(t)
		return notifytest.Receiver{
			Notifier: b.publisher(),
			Got: func(testing.TB) (out []notifytest.Message) {
				for _, m := range b.stored() {
					out = append(out, notifytest.Message{ID: m.Header.Get(nats.MsgIdHdr), Body: m.Data})
				}
				return out
			},
			Away: b.away, Back: b.back,
		}
	})
}
