package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

const (
	messageHeaderLen   = 16 // struct nlmsghdr
	attributeHeaderLen = 4  // struct nlattr
	// resourceNone and resourceTables go into nfgenmsg.res_id; a batch names
	// the subsystem that it is for (nfnetlink.c).
	resourceNone   = 0
	resourceTables = unix.NFNL_SUBSYS_NFTABLES
)

// encoder appends netlink messages to buf. Lengths are filled in when a
// message or a nested attribute is closed.
type encoder struct {
	buf []byte
	seq uint32
}

func (e *encoder) reset() { e.buf = e.buf[:0] }

// open starts a message of the nftables subsystem and returns what close takes.
func (e *encoder) open(kind, flags uint16) int {
	return e.openRaw(unix.NFNL_SUBSYS_NFTABLES<<8|kind, flags, unix.NFPROTO_INET, resourceNone)
}

func (e *encoder) openRaw(kind, flags uint16, family uint8, resource uint16) int {
	start := len(e.buf)
	e.seq++
	e.buf = binary.NativeEndian.AppendUint32(e.buf, 0)
	e.buf = binary.NativeEndian.AppendUint16(e.buf, kind)
	e.buf = binary.NativeEndian.AppendUint16(e.buf, flags|unix.NLM_F_REQUEST)
	e.buf = binary.NativeEndian.AppendUint32(e.buf, e.seq)
	e.buf = binary.NativeEndian.AppendUint32(e.buf, 0)
	e.buf = append(e.buf, family, unix.NFNETLINK_V0)
	e.buf = binary.BigEndian.AppendUint16(e.buf, resource)
	return start
}

func (e *encoder) close(start int) {
	binary.NativeEndian.PutUint32(e.buf[start:], uint32(len(e.buf)-start))
}

func (e *encoder) beginBatch() {
	e.close(e.openRaw(unix.NFNL_MSG_BATCH_BEGIN, 0, unix.AF_UNSPEC, resourceTables))
}

func (e *encoder) endBatch() {
	e.close(e.openRaw(unix.NFNL_MSG_BATCH_END, 0, unix.AF_UNSPEC, resourceTables))
}

// nest starts a nested attribute and returns what unnest takes.
func (e *encoder) nest(kind uint16) int {
	start := len(e.buf)
	e.header(attributeHeaderLen, kind|unix.NLA_F_NESTED)
	return start
}

func (e *encoder) unnest(start int) {
	binary.NativeEndian.PutUint16(e.buf[start:], uint16(len(e.buf)-start))
}

func (e *encoder) header(length int, kind uint16) {
	e.buf = binary.NativeEndian.AppendUint16(e.buf, uint16(length))
	e.buf = binary.NativeEndian.AppendUint16(e.buf, kind)
}

func (e *encoder) bytes(kind uint16, b []byte) {
	e.header(attributeHeaderLen+len(b), kind)
	e.buf = append(e.buf, b...)
	e.pad()
}

func (e *encoder) string(kind uint16, s string) {
	e.header(attributeHeaderLen+len(s)+1, kind)
	e.buf = append(e.buf, s...)
	e.buf = append(e.buf, 0)
	e.pad()
}

func (e *encoder) uint32(kind uint16, v uint32) {
	e.header(attributeHeaderLen+4, kind)
	e.buf = binary.BigEndian.AppendUint32(e.buf, v)
}

func (e *encoder) uint64(kind uint16, v uint64) {
	e.header(attributeHeaderLen+8, kind)
	e.buf = binary.BigEndian.AppendUint64(e.buf, v)
}

func (e *encoder) pad() {
	for len(e.buf)%4 != 0 {
		e.buf = append(e.buf, 0)
	}
}

// message is one received message, its bytes valid until the next receive.
type message struct {
	kind  uint16 // the low byte of the type for nftables messages
	flags uint16
	seq   uint32
	port  uint32
	body  []byte // behind nlmsghdr
}

// cutMessage takes the first message off b.
func cutMessage(b []byte) (m message, rest []byte, ok bool) {
	if len(b) < messageHeaderLen {
		return m, nil, false
	}
	n := int(binary.NativeEndian.Uint32(b))
	if n < messageHeaderLen || n > len(b) {
		return m, nil, false
	}
	m = message{
		kind:  binary.NativeEndian.Uint16(b[4:]),
		flags: binary.NativeEndian.Uint16(b[6:]),
		seq:   binary.NativeEndian.Uint32(b[8:]),
		port:  binary.NativeEndian.Uint32(b[12:]),
		body:  b[messageHeaderLen:n],
	}
	return m, b[min(align4(n), len(b)):], true
}

// attributes yields the attributes in b; what is malformed ends the walk.
func attributes(b []byte) func(func(kind uint16, value []byte) bool) {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= attributeHeaderLen {
			n := int(binary.NativeEndian.Uint16(b))
			if n < attributeHeaderLen || n > len(b) {
				return
			}
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(kind, b[attributeHeaderLen:n]) {
				return
			}
			b = b[min(align4(n), len(b)):]
		}
	}
}

// payload is what follows nfgenmsg in an nftables message.
func (m message) payload() []byte {
	if len(m.body) < 4 {
		return nil
	}
	return m.body[4:]
}

// is reports whether m is the nftables message of that kind.
func (m message) is(kind uint16) bool {
	return m.kind == unix.NFNL_SUBSYS_NFTABLES<<8|kind
}

func align4(n int) int { return (n + 3) &^ 3 }

func text(b []byte) string {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return string(b)
}

func number32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func number64(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// askLast makes the last message from offset at on ask for an acknowledgement.
// It reports whether there is one behind the first of the buffer.
func (e *encoder) askLast(at int) bool {
	for next := at; next < len(e.buf); {
		at = next
		next += align4(int(binary.NativeEndian.Uint32(e.buf[at:])))
	}
	flags := binary.NativeEndian.Uint16(e.buf[at+6:])
	binary.NativeEndian.PutUint16(e.buf[at+6:], flags|unix.NLM_F_ACK)
	return at > 0
}
