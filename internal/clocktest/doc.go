// Package clocktest moves the wall clock of a test's own process.
//
// Setting the machine's clock would disturb everything else on it, and a
// preloaded library reaches no Go program, which asks the kernel's vDSO without
// the C library. So the call itself is replaced: time.Now then tells another wall
// time, while the monotonic clock, and with it timers, time.Since and deadlines,
// goes on undisturbed, as it does where an operator or a time server sets a
// clock.
package clocktest
