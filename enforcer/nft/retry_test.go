package nft

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestRetry(t *testing.T) {
	busy, gone := fmt.Errorf("send: %w", unix.EBUSY), fmt.Errorf("send: %w", unix.ENOENT)
	for _, tt := range []struct {
		name   string
		errs   []error // of one attempt after the other; the last of all that follow
		want   error
		within time.Duration
	}{
		{"well", []error{nil}, nil, 0},
		{"an interval ran out", []error{gone, nil}, nil, 0},
		{"something is missing", []error{gone, gone, nil}, unix.ENOENT, 0},
		{"a rehash", []error{busy, busy, nil}, nil, 3 * time.Millisecond},
		{"a rehash and then an interval", []error{busy, gone, nil}, nil, time.Millisecond},
		{"busy for good", []error{busy}, unix.EBUSY, 2 * busyFor},
		{"an element that it does not take", []error{unix.EINVAL, nil}, unix.EINVAL, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				errs := tt.errs
				err := retry(func() error {
					err := errs[0]
					errs = errs[min(1, len(errs)-1):]
					return err
				})
				if !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
				}
				if took := time.Since(start); took > tt.within {
					t.Errorf("took %v, want at most %v", took, tt.within)
				}
			})
		})
	}
}

// What is busy is no fault of an element: taken for one, a block would be
// struck off the list.
func TestBusyIsNoRefusal(t *testing.T) {
	if refusesElement(unix.EBUSY) {
		t.Error("refused for good")
	}
}
