package nft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Link is a network device.
type Link struct {
	Index, Master int    // Master is that of the bridge or bond that it is in, 0 if none
	Name, Kind    string // Kind is bridge, vlan and so on, "" for hardware
}

const ifinfomsgLen = 16

// Links lists the devices of a network namespace; 0 is that of the thread.
func Links(netns int) (links []Link, err error) {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{NetNS: netns})
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	answers, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETLINK, Flags: netlink.Request | netlink.Dump},
		Data:   make([]byte, ifinfomsgLen),
	})
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	for _, m := range answers {
		if len(m.Data) >= ifinfomsgLen {
			links = append(links, linkOf(m.Data))
		}
	}
	return links, nil
}

func linkOf(b []byte) (l Link) {
	l.Index = int(int32(binary.NativeEndian.Uint32(b[4:])))
	for k, v := range attributes(b[ifinfomsgLen:]) {
		switch {
		case k == unix.IFLA_IFNAME:
			l.Name = text(v)
		case k == unix.IFLA_MASTER && len(v) == 4:
			l.Master = int(int32(binary.NativeEndian.Uint32(v)))
		case k == unix.IFLA_LINKINFO:
			for k, v := range attributes(v) {
				if k == unix.IFLA_INFO_KIND {
					l.Kind = text(v)
				}
			}
		}
	}
	return l
}
