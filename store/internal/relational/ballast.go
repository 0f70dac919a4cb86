package relational

import (
	"crypto/rand"
	"encoding/base64"
)

// Ballast is a text of 16 KiB that no database can make smaller, different each
// time: about what a payment with its address, events, deliveries and the rows of
// their indexes takes, so that there is room for one where it finds room.
func Ballast() string {
	b := make([]byte, 12<<10)
	_, _ = rand.Read(b) // it never fails, and ends the program where it would
	return base64.StdEncoding.EncodeToString(b)
}
