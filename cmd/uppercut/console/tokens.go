package console

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// tokens makes and checks what a form must carry to be taken for ours. It is
// valid for one user until the process ends.
type tokens struct{ key []byte }

func newTokens() tokens {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails, see crypto/rand
	return tokens{key}
}

func (t tokens) of(user string) string {
	mac := hmac.New(sha256.New, t.key)
	mac.Write([]byte(user))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (t tokens) valid(user, token string) bool {
	return hmac.Equal([]byte(t.of(user)), []byte(token))
}
