// Package natsjs publishes a gateway's events to NATS JetStream.
//
//	nc, err := nats.Connect(url, nats.MaxReconnects(-1))
//	js, err := jetstream.New(nc)
//	to, err := natsjs.New(natsjs.Config{Name: "nats", JetStream: js, Stream: "PAYMENTS"})
//	cfg.Notify = append(cfg.Notify, to)
//
// The connection is the host's: it is closed by the host, after Gateway.Stop, and
// the stream is made by the host, with subjects that cover the prefix ("bursar.>").
//
// # What is published
//
// The body is that of a webhook, bursar.MarshalEvent, the same bytes at every try.
// The subject is prefix, kind and the id of what the event is about:
// "bursar.payment.confirmed.pay_…". So a consumer may filter by kind
// ("bursar.payment.>") or by payment ("bursar.*.*.pay_…").
//
// # At least once
//
// An event is delivered when the stream has acknowledged it, and published again
// where no acknowledgement came. Nats-Msg-Id is the event's id: what comes again
// within the stream's duplicate window (2 minutes unless the stream says otherwise)
// is stored once. Beyond the window it is stored again, so a consumer drops an id
// that it knows, or a seq that is not above the subject's last. A window of 20
// minutes or more covers every try of the time in which an event holds its place.
//
// # Order
//
// The gateway tells the events of one subject one after the other, each when the
// one before it was acknowledged, so that they stand in the stream in order of seq.
// An event that the stream refuses for 15 minutes lets later ones pass, as
// bursar.Notifier says.
//
// # Failures
//
// While the connection is away nothing is sent, and nothing counts as a try: the
// events wait in the outbox, in order, for as long as it takes. Whatever the server
// answers, a missing stream, a full one, a message that is too large, is tried again
// on the schedule, because an operator can put it right. Nothing that a server says
// makes a delivery dead at once.
package natsjs
