package claim_test

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/bursar-go/bursar/claim"
)

// The host sends a payer who paid too much a link, and the payer says where to.
func Example() {
	secret := sha256.Sum256([]byte("32 random bytes, from wherever secrets are kept"))
	links, err := claim.New(secret[:])
	if err != nil {
		panic(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	token, err := links.Token(claim.Claim{Payment: "pay_0192", Key: "overpaid", Excess: true, NotAfter: now.Add(7 * 24 * time.Hour)})
	if err != nil {
		panic(err)
	}
	link := "https://shop.example/refund/" + token
	fmt.Println(len(link) < 250)

	// A day later somebody opens the page and enters an address.
	c, err := links.Open(token, now.Add(24*time.Hour))
	if err != nil {
		panic(err)
	}
	req := c.Request("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
	fmt.Println(c.Payment, req.Key, req.Excess, req.To) // gw.Refund(ctx, c.Payment, req)

	_, err = links.Open(token, now.Add(8*24*time.Hour))
	fmt.Println(err)
	// Output:
	// true
	// pay_0192 overpaid true 0x70997970C51812dc3A010C7d01b50e0d17dc79C8
	// claim: the link has expired
}
