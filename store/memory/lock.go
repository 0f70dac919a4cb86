package memory

import (
	"runtime"
	"sync"
)

// yields is how often a caller makes way for others before it parks.
const yields = 100

// lock is a mutex for critical sections of microseconds. A sync.Mutex that many
// callers want goes over to handing itself from one parked goroutine to the
// next, and every hand-over leaves a processor idle for as long as a thread
// takes to wake: on two cores that cost a sixth of all payments per second. A
// caller that lets others run first finds the lock free almost always. Where it
// does not, it parks like any other, so that nobody starves.
type lock struct{ parked sync.Mutex }

// Lock implements sync.Locker.
func (l *lock) Lock() {
	for range yields {
		if l.parked.TryLock() {
			return
		}
		runtime.Gosched()
	}
	l.parked.Lock()
}

// Unlock implements sync.Locker.
func (l *lock) Unlock() { l.parked.Unlock() }
