package sendmail

import "testing"

func TestMaskUnknown(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"something that sendmail never said 17", "something that sendmail never said 17"},
		{id + "strange line, user=joe", id + "strange line, user=***"},
		{id + `refused "AUTH LOGIN am9lQGV4YW1wbGU=" at last`, id + `refused "AUTH LOGIN ***`},
		{"smtpd: auth plain AGpvZQBodW50ZXIy", "smtpd: auth plain ***"},
		{"AUTH LOGIN", "AUTH LOGIN"},
		{"oauth token abc", "oauth token abc"},
		{"dovecot: login with password=hunter2, rip=192.0.2.1", "dovecot: login with password=***, rip=192.0.2.1"},
		{`{"passwd": "hunter2", "x": 1}`, `{"passwd": "***", "x": 1}`},
		{"pass: hunter2", "pass: ***"},
		{"answer Zm9vYmFyYmF6cXV4 is wrong", "answer *** is wrong"},
		{"answer aHVudGVyMg== is wrong", "answer *** is wrong"},
		{"queue id 6ANJY8aV000052 is none", "queue id 6ANJY8aV000052 is none"},
		{"/usr/lib/sm.bin/sendmail", "/usr/lib/sm.bin/sendmail"},
		{"\xff\xfe no text \x00", "\xff\xfe no text \x00"},
		{"\xff\xff\xff PASS=hunter2", "\xff\xff\xff PASS=***"},
		{"\xff\xffİ AUTH PLAIN AGpvZQ", "\xff\xffİ AUTH PLAIN ***"},
		{"\xff\xff\xff\xffpass", "\xff\xff\xff\xffpass"},
		{"", ""},
	} {
		got := MaskUnknown(tt.text)
		if got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
		if again := MaskUnknown(got); again != got {
			t.Errorf("%q, then %q", got, again)
		}
	}
}

func TestShape(t *testing.T) {
	for _, tt := range []struct{ a, b string }{
		{id + "strange line 17", "6ANJY8aV000099: strange line 93"},
		{"number 5 of many", "number 7 of many"},
		{"number 5 of many", "number 12345678901234567890 of many"},
	} {
		if a, b := Shape(tt.a, 24), Shape(tt.b, 24); a != b {
			t.Errorf("%q and %q", a, b)
		}
	}
	if a, b := Shape("one thing", 24), Shape("another thing", 24); a == b {
		t.Errorf("both %q", a)
	}
}

// Whatever bytes come, masking ends, masks nothing twice and cuts nothing off.
func FuzzMaskUnknown(f *testing.F) {
	for _, seed := range []string{"\xffpass=\xff", "auth auth auth x", "password:passwd=token", "AAAA====", `secret":"`, "\u0130AUTH PLAIN x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := MaskUnknown(text)
		if twice := MaskUnknown(once); twice != once {
			t.Errorf("%q, then %q", once, twice)
		}
		Shape(text, 24)
	})
}
