package receiver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
)

// inherited are the sockets that systemd bound for us and keeps while we
// restart, so that no datagram is lost.
type inherited struct {
	packets []net.PacketConn
	streams []net.Listener
}

// inherit takes over files and closes them.
func inherit(files []*os.File) (*inherited, error) {
	in := new(inherited)
	for _, f := range files {
		packet, err := net.FilePacketConn(f)
		if err == nil {
			in.packets = append(in.packets, packet)
			f.Close()
			continue
		}
		stream, err := net.FileListener(f)
		f.Close()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("socket activation: %s is not a listening socket: list only datagram and stream sockets in the .socket unit", f.Name()), in.close())
		}
		in.streams = append(in.streams, stream)
	}
	return in, nil
}

// takePacket returns the socket bound to address, nil if there is none.
func takePacket[T net.PacketConn](in *inherited, address string) (taken T) {
	for i, p := range in.packets {
		if conn, ok := p.(T); ok && isSameAddress(p.LocalAddr(), address) {
			in.packets = append(in.packets[:i], in.packets[i+1:]...)
			return conn
		}
	}
	return taken
}

// takeStream returns the TCP socket that listens on address, nil if there is
// none.
func (in *inherited) takeStream(address string) *net.TCPListener {
	for i, s := range in.streams {
		if l, ok := s.(*net.TCPListener); ok && isSameAddress(l.Addr(), address) {
			in.streams = append(in.streams[:i], in.streams[i+1:]...)
			return l
		}
	}
	return nil
}

// isSameAddress compares where a socket is bound with what the configuration
// says; all ways to write "any address" are the same.
func isSameAddress(bound net.Addr, address string) bool {
	if unix, ok := bound.(*net.UnixAddr); ok {
		return unix.Net == "unixgram" && unix.Name == address
	}
	b, err := netip.ParseAddrPort(bound.String())
	if err != nil {
		return false
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || port != fmt.Sprint(b.Port()) {
		return false
	}
	a, err := netip.ParseAddr(host)
	if host != "" && err != nil {
		return false
	}
	return a.Unmap() == b.Addr().Unmap() || (host == "" || a.IsUnspecified()) && b.Addr().IsUnspecified()
}

// close closes what was not taken.
func (in *inherited) close() error {
	var errs []error
	for _, p := range in.packets {
		errs = append(errs, p.Close())
	}
	for _, s := range in.streams {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
