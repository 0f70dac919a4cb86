package bursar

import (
	"context"
	"log/slog"
)

// calmHandler is a host's log handler whose panics end nothing: most records are
// written by goroutines of ours, where a panic would end the host's process.
type calmHandler struct{ inner slog.Handler }

func (h calmHandler) Enabled(ctx context.Context, level slog.Level) (on bool) {
	defer calm()
	return h.inner.Enabled(ctx, level)
}

func (h calmHandler) Handle(ctx context.Context, r slog.Record) error {
	defer calm()
	return h.inner.Handle(ctx, r)
}

func (h calmHandler) WithAttrs(attrs []slog.Attr) (out slog.Handler) {
	defer calm()
	out = h
	return calmHandler{h.inner.WithAttrs(attrs)}
}

func (h calmHandler) WithGroup(name string) (out slog.Handler) {
	defer calm()
	out = h
	return calmHandler{h.inner.WithGroup(name)}
}

// calm drops a panic: there is nobody left to tell.
func calm() { _ = recover() }
