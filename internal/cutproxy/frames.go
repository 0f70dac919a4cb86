package cutproxy

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// frames takes a stream apart into messages: a letter, four bytes of length that
// count themselves, and the rest.
type frames struct {
	from   net.Conn
	reader *bufio.Reader
	// message is the one at hand, whole or its beginning; rest what of it was not
	// read yet.
	message []byte
	rest    int64
}

// headLen is the length of letter and length.
const headLen = 5

// next reads the next message, of a long one its beginning.
func (f *frames) next() error {
	if f.reader == nil {
		f.reader = bufio.NewReader(f.from)
	}
	var head [headLen]byte
	if _, err := io.ReadFull(f.reader, head[:]); err != nil {
		return err
	}
	n := int64(int32(binary.BigEndian.Uint32(head[1:]))) - 4
	if n < 0 {
		return fmt.Errorf("%w: a message %q of %d bytes", errBroken, head[0], n)
	}
	begin := min(n, MaxPayload)
	f.message = append(append(f.message[:0], head[:]...), make([]byte, begin)...)
	f.rest = n - begin
	_, err := io.ReadFull(f.reader, f.message[headLen:])
	return err
}

func (f *frames) kind() byte { return f.message[0] }

func (f *frames) payload() []byte { return f.message[headLen:] }

// pass writes the message, all of it.
func (f *frames) pass(to io.Writer) error {
	if _, err := to.Write(f.message); err != nil {
		return err
	}
	_, err := io.CopyN(to, f.reader, f.rest)
	return err
}
