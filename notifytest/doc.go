// Package notifytest checks a bursar.Notifier against what the outbox relies on: an
// event counts as told when the receiver has it, and not before; it is the same at
// every try; and a receiver that is away loses nothing.
//
//	func TestConformance(t *testing.T) {
//		notifytest.Run(t, func(t *testing.T) notifytest.Receiver { return open(t) })
//	}
package notifytest
