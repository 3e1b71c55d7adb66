package lab

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
)

// Commands and answers of the milter protocol (libmilter/mfdef.h).
const (
	milterOptions   = 'O'
	milterMacro     = 'D'
	milterAbort     = 'A'
	milterQuit      = 'Q'
	milterQuitNew   = 'K'
	milterRecipient = 'R'
	milterSender    = 'M'

	milterContinue = 'c'
	milterReply    = 'y'

	milterVersion = 6
	milterActions = 0 // what we may change: nothing
	milterSkip    = 0 // what we need not see: nothing
)

// serveMilter is mx2's content filter. It refuses senders with "virus" and
// recipients with "blocked" in them, and greylists senders with "greylist".
func serveMilter(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			filterMail(conn)
		}()
	}
}

func filterMail(conn io.ReadWriter) {
	var greylisted bool
	for {
		command, data, err := readMilter(conn)
		if err != nil || command == milterQuit {
			return
		}
		switch command {
		case milterOptions:
			options := binary.BigEndian.AppendUint32(nil, milterVersion)
			options = binary.BigEndian.AppendUint32(options, milterActions)
			writeMilter(conn, milterOptions, binary.BigEndian.AppendUint32(options, milterSkip))
		case milterMacro, milterAbort, milterQuitNew:
		case milterSender:
			greylisted = bytes.Contains(data, []byte("greylist"))
			judge(conn, bytes.Contains(data, []byte("virus")), "550 5.7.1 sender rejected by content filter")
		case milterRecipient:
			if greylisted {
				judge(conn, true, "451 4.7.1 Greylisting in action, please come back later")
				continue
			}
			judge(conn, bytes.Contains(data, []byte("blocked")), "550 5.7.1 recipient rejected by content filter")
		default:
			writeMilter(conn, milterContinue, nil)
		}
	}
}

func judge(conn io.Writer, refuse bool, reply string) {
	if refuse {
		writeMilter(conn, milterReply, append([]byte(reply), 0))
		return
	}
	writeMilter(conn, milterContinue, nil)
}

func readMilter(r io.Reader) (command byte, data []byte, err error) {
	var size uint32
	if err := binary.Read(r, binary.BigEndian, &size); err != nil {
		return 0, nil, err
	}
	packet := make([]byte, size)
	if _, err := io.ReadFull(r, packet); err != nil || size == 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return packet[0], packet[1:], nil
}

// writeMilter ignores errors: the next read meets them.
func writeMilter(w io.Writer, command byte, data []byte) {
	packet := binary.BigEndian.AppendUint32(nil, uint32(len(data)+1))
	_, _ = w.Write(append(append(packet, command), data...))
}
