package header

import "testing"

func TestOwnTags(t *testing.T) {
	list := NewTags([]string{"sendmail", "sm-*"}, nil)
	for tag, want := range map[string]bool{
		"sendmail": true, "sm-mta": true, "sm-": true, "sendmail2": false, "sm": false, "dovecot": false, "": false,
	} {
		if list.Own(tag) != want {
			t.Errorf("%q: %v, want %v", tag, !want, want)
		}
	}
}
