// Package send posts webhooks to one endpoint each. It decides how a request is
// made; what to send, when to try again and when to give up is the outbox's
// business, which lives in the database.
//
//	Message → limits → breaker → sign → dial (address checked) → TLS → POST → status
//
// An endpoint is a stranger's server, and often a stranger chose its URL:
//
//   - Addresses are judged when the connection is made, on the address that is
//     really dialled. A host name that resolved to a public address a moment
//     ago and to 169.254.169.254 now gains nothing. What is not on the public
//     internet needs Config.AllowPrivate.
//   - Redirects are not followed, proxies of the environment not used, answers
//     not decompressed; headers, body and time are bounded.
//   - No error carries the URL's path or query, where many services keep a
//     token, nor the value of an extra header.
//   - A 2xx is the one success. Whatever else happens, the receiver may have
//     handled the event: the next attempt carries the same id.
package send
