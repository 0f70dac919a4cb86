package clocktest

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// gettime is the address of the function that the runtime calls for the time.
//
//go:linkname gettime runtime.vdsoClockgettimeSym
var gettime uintptr

// state is what the process started with.
var state struct {
	sync.Mutex
	original uintptr
}

// shift makes the wall clock differ by that many seconds.
func shift(seconds int64) error {
	state.Lock()
	defer state.Unlock()
	if seconds == 0 {
		if state.original != 0 {
			atomic.StoreUintptr(&gettime, state.original)
		}
		return nil
	}
	// Code that was in use is never changed or given back: a thread may be in it.
	code, err := syscall.Mmap(-1, 0, syscall.Getpagesize(), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return err
	}
	copy(code, machineCode(seconds))
	if err := syscall.Mprotect(code, syscall.PROT_READ|syscall.PROT_EXEC); err != nil {
		return err
	}
	if state.original == 0 {
		state.original = atomic.LoadUintptr(&gettime)
	}
	atomic.StoreUintptr(&gettime, uintptr(unsafe.Pointer(&code[0]))) //nolint:gosec // an address that stays where it is: the memory is the kernel's
	return nil
}

// machineCode is int clock_gettime(clockid_t, struct timespec *) by the calling
// convention of System V: it asks the kernel, and adds to the seconds of
// CLOCK_REALTIME, which is 0. A system call leaves edi and rsi as they are.
func machineCode(seconds int64) []byte {
	code := []byte{
		0xb8, 228, 0, 0, 0, // mov eax, SYS_clock_gettime
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi
		0x75, 13, // jnz over the next two
		0x48, 0xb8, // movabs rax, seconds
	}
	code = binary.LittleEndian.AppendUint64(code, uint64(seconds))
	return append(code,
		0x48, 0x01, 0x06, // add [rsi], rax
		0x31, 0xc0, // xor eax, eax
		0xc3, // ret
	)
}
