package guard

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"

	"uppercut/enforcer/prefix"

	"golang.org/x/sys/unix"
)

// RefreshSSHPeers looks at the socket table now: whoever has an open
// connection to one of Config.SSHPorts is exempt when it returns. Run does so
// every Config.Poll; an enforcer that wants no gap at all calls it before it
// writes a batch of blocks.
//
// Only finished handshakes count, so that nobody can spoof an exemption. But
// any client that sshd lets wait for a password is exempt while it waits
// (sshd_config LoginGraceTime), and no longer: its next offence after that is
// judged with what it has already earned.
func (g *Guard) RefreshSSHPeers(ctx context.Context) error {
	ports := g.configuration().SSHPorts
	peers, err := connectedPeers(ctx, g.options.NetNS, ports)
	if err != nil {
		return fmt.Errorf("read ssh connections: %w", err)
	}
	g.change(func(s *snapshot) { s.set(sshPeers, peers) })
	return nil
}

func (g *Guard) pollSSHPeers(ctx context.Context) {
	for pause(ctx, g.configuration().Poll) {
		err := g.RefreshSSHPeers(ctx)
		if ctx.Err() != nil {
			return
		}
		g.settle(sourceSSH, err)
	}
}

// connectedPeers returns the far ends of established TCP connections to local
// ports, from sock_diag(7). The kernel picks out the port.
func connectedPeers(ctx context.Context, netns int, ports []int) (ps []netip.Prefix, err error) {
	if len(ports) == 0 {
		return nil, nil
	}
	conn, err := openNetlink(unix.NETLINK_SOCK_DIAG, netns)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	take := func(_ uint16, payload []byte) {
		if a := remoteAddr(payload); a.IsValid() {
			ps = append(ps, prefix.Single(a))
		}
	}
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		for _, port := range ports {
			if err := conn.dump(ctx, unix.SOCK_DIAG_BY_FAMILY, connectionsRequest(family, port), take); err != nil {
				return nil, err
			}
		}
	}
	return ps, nil
}

// Of linux/inet_diag.h: struct inet_diag_req_v2 is family, protocol, two bytes,
// the states as bits and struct inet_diag_sockid (48 bytes, which begins with
// the local port); struct inet_diag_msg is family, state, two bytes and a
// sockid (ports, local address, remote address).
const (
	diagRequestSize = 8 + 48
	diagRemote      = 4 + 4 + 16
)

func connectionsRequest(family byte, port int) []byte {
	b := make([]byte, diagRequestSize)
	b[0], b[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], 1<<unix.BPF_TCP_ESTABLISHED)
	binary.BigEndian.PutUint16(b[8:], uint16(port))
	return b
}

func remoteAddr(b []byte) netip.Addr {
	if len(b) < diagRemote+16 {
		return netip.Addr{}
	}
	if b[0] == unix.AF_INET {
		return addrOf(b[diagRemote : diagRemote+4])
	}
	return addrOf(b[diagRemote : diagRemote+16])
}
