package receiver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"time"
)

// checkAddresses reports every entry of a list of listen addresses that is not
// "host:port" with a numeric port.
func checkAddresses(key string, addresses []string) error {
	var errs []error
	seen := make(map[string]bool, len(addresses))
	for i, a := range addresses {
		host, port, err := net.SplitHostPort(a)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s[%d]: %q is not an address with a port, as 127.0.0.1:5514 or [::1]:5514", key, i, a))
		case host == "*":
			errs = append(errs, fmt.Errorf("%s[%d]: %q: * is not an address; write \":%s\" to listen on every address", key, i, a, port))
		case seen[a]:
			errs = append(errs, fmt.Errorf("%s[%d]: %q is listed twice", key, i, a))
		}
		seen[a] = true
	}
	return errors.Join(errs...)
}

// checkPaths reports every entry of a list of socket paths that the kernel
// would not take.
func checkPaths(key string, paths []string) error {
	const longest = 107 // sun_path, unix(7), with its NUL
	var errs []error
	for i, p := range paths {
		if !filepath.IsAbs(p) || len(p) > longest {
			errs = append(errs, fmt.Errorf("%s[%d]: %q is not an absolute path of at most %d bytes", key, i, p, longest))
		}
	}
	return errors.Join(errs...)
}

// lookupTimeout bounds the look-up of a name to listen on.
const lookupTimeout = 5 * time.Second

// resolveAddresses reports every entry whose host is a name without an address,
// which could not be listened on.
func resolveAddresses(key string, addresses []string) error {
	var errs []error
	for i, a := range addresses {
		host, _, err := net.SplitHostPort(a)
		if _, is := netip.ParseAddr(host); err != nil || host == "" || is == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
		_, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		cancel()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s[%d]: %q: %w: choose an address of this host", key, i, a, err))
		}
	}
	return errors.Join(errs...)
}
