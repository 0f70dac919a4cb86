// Package webhook is what the two ends of a webhook agree on: the envelope of
// an event, its signatures, and their verification. It needs nothing but the
// standard library, so that a receiver can import it alone; package
// webhook/send makes the HTTP requests.
//
//	sender     Event → Marshal → Message → Sign → headers + body
//	receiver   headers + raw body → Verifier → Parse → Event      (or Handler, which does all of it)
//
// # Two signatures
//
// Each request is signed twice, by HMAC-SHA256 with the endpoint's Secret.
//
// The headers of the Standard Webhooks specification (webhook-id,
// webhook-timestamp, webhook-signature) cover id, time and body. They are the
// ones to verify: a captured request is worthless after a few minutes.
//
// X-Gateway-Signature covers the raw body alone, for receivers that can do no
// more than one HMAC. It has no time in it: whoever verifies only this one must
// remember the event ids it has handled, or a captured request can be replayed
// for ever.
//
// # Rotation of a secret
//
// webhook-signature carries one signature for each of the sender's secrets, so
// a receiver that holds either one verifies. X-Gateway-Signature has room for
// one signature and is made with the first secret. Therefore:
//
//  1. the receiver accepts the old and the new secret (a Verifier takes both);
//  2. the sender signs with the new secret first and the old one second;
//  3. after the window, both drop the old one.
//
// A receiver that verifies webhook-signature may do step 1 any time before
// step 3; one that verifies X-Gateway-Signature must do it before step 2.
//
// # What a receiver must do
//
// Verify the bytes as they came, before any JSON library has touched them.
// Delivery is at least once: the same id may come again, and the host fulfils
// once per id. Events of one subject are numbered by Seq and each carries the
// whole snapshot, so an event with a lower Seq than the last one handled is old
// news and can be dropped.
package webhook
