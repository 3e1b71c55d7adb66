package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// revoke connects as senders and as a user of the page, takes their rights away,
// reloads, and sees how long they stay.
func revoke(ctx context.Context, t *target, r *result) error {
	thief, err := t.dialTLS(ctx, "thief")
	if err != nil {
		return err
	}
	defer thief.Close()
	plain, err := t.dial(ctx, "127.5.5.5", tcpAddress)
	if err != nil {
		return err
	}
	defer plain.Close()
	page, news, err := t.follow(ctx)
	if err != nil {
		return err
	}
	defer page.Close()
	for _, conn := range []net.Conn{thief, plain} {
		if _, err := fmt.Fprintf(conn, "<22>%s mx1 sendmail[1]: hello\n", time.Now().Format(time.Stamp)); err != nil {
			return err
		}
	}
	if err := errors.Join(
		t.configure("[127.9.0.0/16]", "[honest]"),
		os.WriteFile(t.path("web.yml"), []byte("basic_auth_users: {bob: $2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi}\n"), 0o600),
		t.reload(),
	); err != nil {
		return err
	}
	began := time.Now()
	for conn, stream := range map[net.Conn]io.Reader{thief: thief, plain: plain, page: news} {
		_ = conn.SetReadDeadline(began.Add(r.duration))
		_, err := io.Copy(io.Discard, stream)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			r.stays++
		}
		r.revoked = max(r.revoked, time.Since(began))
	}
	return nil
}

// follow opens a live page as anna; news is what it says.
func (t *target) follow(ctx context.Context) (conn net.Conn, news io.Reader, err error) {
	if conn, err = t.dial(ctx, "", pageAddress); err != nil {
		return nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+pageAddress+"/live", nil)
	if err != nil {
		return nil, nil, err
	}
	req.SetBasicAuth("anna", password)
	if err := req.Write(conn); err != nil {
		return nil, nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req) //nolint:bodyclose // it ends with conn
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("live page: %s", resp.Status)
	}
	return conn, resp.Body, nil
}

// guess tries passwords over many connections; the user is still let in.
func guess(ctx context.Context, t *target, r *result) error {
	before, began := t.cpu(), time.Now()
	for n := range 100 {
		r.running.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if _, err := t.get(ctx, "/", fmt.Sprintf("wrong %d %d", n, i)); err != nil {
					pause(ctx)
				}
			}
		})
	}
	<-ctx.Done()
	r.running.Wait()
	r.core = float64(t.cpu()-before) / float64(time.Since(began))
	if status, err := t.get(context.WithoutCancel(ctx), "/", password); err != nil || status != http.StatusOK {
		return fmt.Errorf("the user is kept out: %d, %w", status, err)
	}
	return nil
}

// idlePages holds connections of the web listener; the page must still answer.
func idlePages(ctx context.Context, t *target, r *result) error {
	r.running.Go(func() { hold(ctx, t, 3000, pageAddress, "") })
	<-ctx.Done()
	r.running.Wait()
	began := time.Now()
	status, err := t.get(context.WithoutCancel(ctx), "/", password)
	r.page = time.Since(began)
	if err != nil || status != http.StatusOK {
		return fmt.Errorf("the page does not answer: %d, %w", status, err)
	}
	return nil
}
