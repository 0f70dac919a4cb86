package pgtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// As much of PostgreSQL's protocol as creating databases takes (version 3.0,
// chapter "Frontend/Backend Protocol" of its manual): the driver is a dependency
// of the store, and this module has none. It knows no password, so it speaks to
// sockets only.

// maxMessage bounds what an answer may claim to be long.
const maxMessage = 16 << 20

// ServerError is what the server answers to a statement that fails.
type ServerError struct {
	// Code is the SQLSTATE, Message the server's words, Statement what was asked;
	// it is empty for a connection that was refused.
	Code, Message, Statement string
}

// Error says all of it.
func (e *ServerError) Error() string {
	return fmt.Sprintf("pgtest: %q: %s (SQLSTATE %s)", e.Statement, e.Message, e.Code)
}

// session is one connection.
type session struct {
	conn   net.Conn
	reader *bufio.Reader
	ended  func() bool
}

// connect opens a session of the superuser on a socket.
func connect(ctx context.Context, socket, database string) (*session, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	// The end of ctx ends what is under way.
	ended := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	s := &session{conn: conn, reader: bufio.NewReader(conn), ended: ended}
	startup := binary.BigEndian.AppendUint32(make([]byte, 4), 3<<16)
	startup = append(startup, "user\x00"+superuser+"\x00database\x00"+database+"\x00\x00"...)
	binary.BigEndian.PutUint32(startup, uint32(len(startup)))
	if _, err = conn.Write(startup); err == nil {
		_, err = s.answer("")
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close ends the session; what it had to say was said.
func (s *session) close() {
	s.ended()
	_ = s.conn.Close()
}

// query runs statements, and returns the rows of all of them as text, NULL as "".
func (s *session) query(statement string) ([][]string, error) {
	message := append([]byte{'Q', 0, 0, 0, 0}, statement+"\x00"...)
	binary.BigEndian.PutUint32(message[1:], uint32(len(message)-1))
	if _, err := s.conn.Write(message); err != nil {
		return nil, err
	}
	return s.answer(statement)
}

// answer reads until the server is ready for the next statement.
func (s *session) answer(statement string) (rows [][]string, failed error) {
	for {
		kind, payload, err := s.read()
		if err != nil {
			return nil, err
		}
		switch kind {
		case 'R':
			if len(payload) < 4 || binary.BigEndian.Uint32(payload) != 0 {
				return nil, fmt.Errorf("pgtest: the server wants a password on its socket")
			}
		case 'D':
			row, err := parseRow(payload)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		case 'E':
			failed = parseError(payload, statement)
			if statement == "" {
				return nil, failed // refused: nothing comes after it
			}
		case 'Z':
			return rows, failed
		}
	}
}

// read returns the next message.
func (s *session) read() (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(s.reader, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n < 4 || n > maxMessage {
		return 0, nil, fmt.Errorf("pgtest: a message %q of %d bytes", head[0], n)
	}
	payload = make([]byte, n-4)
	_, err = io.ReadFull(s.reader, payload)
	return head[0], payload, err
}

// parseRow reads a DataRow.
func parseRow(payload []byte) ([]string, error) {
	broken := fmt.Errorf("pgtest: a broken row %q", payload)
	if len(payload) < 2 {
		return nil, broken
	}
	row := make([]string, binary.BigEndian.Uint16(payload))
	payload = payload[2:]
	for i := range row {
		if len(payload) < 4 {
			return nil, broken
		}
		n := int32(binary.BigEndian.Uint32(payload))
		payload = payload[4:]
		if n < 0 {
			continue
		}
		if int(n) > len(payload) {
			return nil, broken
		}
		row[i], payload = string(payload[:n]), payload[n:]
	}
	return row, nil
}

// parseError reads an ErrorResponse.
func parseError(payload []byte, statement string) error {
	e := &ServerError{Statement: statement}
	for field := range bytes.SplitSeq(payload, []byte{0}) {
		switch {
		case len(field) == 0:
		case field[0] == 'C':
			e.Code = string(field[1:])
		case field[0] == 'M':
			e.Message = string(field[1:])
		}
	}
	return e
}

// quote makes any text an identifier.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
