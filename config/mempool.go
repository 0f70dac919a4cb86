package config

import "github.com/bursar-go/bursar"

// mempool checks what is asked of the mempool.
func (b *chainBuilder) mempool() {
	c := b.from
	streams := !c.WebSocket.IsZero()
	for _, name := range sorted(c.Providers) {
		streams = streams || !c.Providers[name].WebSocket.IsZero()
	}
	if c.Mempool && !streams {
		b.add(b.at("mempool"), bursar.CodeMismatch, "pending transactions come by websocket, which is not set")
	}
	if c.DropAfter != 0 && (c.DropAfter < bursar.MinDropAfter || c.DropAfter > bursar.MaxDropAfter) {
		b.add(b.at("drop_after"), bursar.CodeOutOfRange, "want 1m to 720h")
	}
}
