// Package lifecycle starts and stops what runs in the background.
//
// Every goroutine is a named lane. The name serves three readers: a profile
// shows it as the label "lane", a log handler finds it with Name(ctx), and a
// simulation orders what happens by it. No goroutine is without an owner: Go
// tells when it ended and why, also when it panicked, and a Group waits for
// all of its lanes.
//
//	new ──Start──► starting ──setup ok──► running ──Stop──► stopped
//	  ▲               │  └──────Stop────────────────────────────▲
//	  └──setup failed─┘          (Stop before Start ends there too)
//
// Stopped is for ever: what was stopped may have left half-finished work with
// its callers, and a fresh Group costs nothing.
package lifecycle
