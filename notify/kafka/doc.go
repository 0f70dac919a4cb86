// Package kafka publishes a gateway's events to a Kafka topic.
//
//	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
//	to, err := kafka.New(kafka.Config{Name: "kafka", Client: client, Topic: "payments"})
//	cfg.Notify = append(cfg.Notify, to)
//
// The client is the host's: it is closed by the host, after Gateway.Stop, and the
// topic is made by the host. New refuses a client that could lose or reorder events:
// one that does not wait for all in-sync replicas, is not idempotent, or spreads the
// records of one key over partitions. What kgo.NewClient makes without options about
// producing is as it must be. How many replicas are in sync at least is a setting of
// the topic (min.insync.replicas, with a replication factor above it).
//
// # What is published
//
// The value is the body of a webhook, bursar.MarshalEvent, the same bytes at every
// try. The key is the id of what the event is about, so that the events of one
// payment are in one partition. The headers HeaderID, HeaderEvent and HeaderSeq
// repeat what a consumer filters by.
//
// # At least once
//
// An event is delivered when all in-sync replicas have acknowledged it. The client
// repeats a request that got no answer without storing it twice; what the gateway
// publishes again, after a crash above all, is stored again. So a consumer drops an
// id that it knows, or a seq that is not above the subject's last.
//
// # Order
//
// The gateway tells the events of one subject one after the other, each when the
// one before it was acknowledged, so that they stand in the partition in order of
// seq, as long as the topic keeps its number of partitions. An event that the broker
// refuses for 15 minutes lets later ones pass, as bursar.Notifier says.
//
// # Failures
//
// While no broker answers, or none can take anything just now, nothing counts as a
// try: the events wait, in order, for as long as it takes. The client's own log
// (kgo.WithLogger) says why it does not get on. A record that the client cannot take back, because a broker may
// have it, stays with the client; the next try waits for it instead of publishing
// another one. Whatever a broker answers, a missing topic, a missing right, a message
// that is too large, is tried again on the schedule, because an operator can put it
// right. Nothing that a broker says makes a delivery dead at once.
package kafka
