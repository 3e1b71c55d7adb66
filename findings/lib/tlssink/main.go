// Command tlssink is the server of the findings about rsyslog and TLS: it
// writes an authority and certificates into a directory, accepts TLS
// connections on a loopback port that it prints, and prints at the end of its
// standard input, when the connections have ended, how many lines came.
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	dir := flag.String("dir", "", "where ca.pem, client.pem, client.key, stranger.pem and stranger.key are written")
	version := flag.String("tls", "1.3", "the only TLS version spoken: 1.2 or 1.3")
	tickets := flag.Bool("tickets", true, "send session tickets")
	client := flag.Bool("client-certificate", false, "ask for a certificate of the authority")
	keep := flag.Bool("keep", false, "use the authority and the certificate of an earlier run")
	address := flag.String("listen", "127.0.0.1:0", "")
	slow := flag.Duration("pause", 0, "pause before each 1000 lines")
	once := flag.Bool("close-after-first", false, "close each connection in order, close_notify first, after its first line")
	flag.Parse()

	if !*keep {
		certificates(*dir)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(*dir, "server.pem"), filepath.Join(*dir, "server.key"))
	check(err)
	authority, err := os.ReadFile(filepath.Join(*dir, "ca.pem"))
	check(err)

	config := &tls.Config{
		Certificates:           []tls.Certificate{pair},
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: !*tickets,
	}
	if *version == "1.2" {
		config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	}
	if *client {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM(authority)
	}
	listener, err := tls.Listen("tcp", *address, config)
	check(err)
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	fmt.Println(port)

	var lines, connections, failed atomic.Int64
	var readers sync.WaitGroup
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			readers.Go(func() {
				defer conn.Close()
				n, err := read(conn, *slow, *once)
				lines.Add(n)
				if err != nil && !errors.Is(err, io.EOF) {
					failed.Add(1)
					log.Print(err)
				}
			})
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
	listener.Close()
	over := make(chan struct{})
	go func() { readers.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(10 * time.Second):
	}
	fmt.Printf("lines=%d connections=%d failed=%d\n", lines.Load(), connections.Load(), failed.Load())
}

// certificates makes an authority, certificates of it for server and client,
// and one of a stranger.
func certificates(dir string) {
	ca, caKey := certificate(nil, nil, "authority")
	write(dir, "ca.pem", "CERTIFICATE", ca.Raw)
	for _, name := range []string{"server", "client"} {
		c, key := certificate(ca, caKey, map[string]string{"server": "sink.example.org", "client": "mx1.example.org"}[name])
		write(dir, name+".pem", "CERTIFICATE", c.Raw)
		write(dir, name+".key", "EC PRIVATE KEY", marshal(key))
	}
	other, otherKey := certificate(nil, nil, "another authority")
	stranger, key := certificate(other, otherKey, "stranger.example.org")
	write(dir, "stranger.pem", "CERTIFICATE", stranger.Raw)
	write(dir, "stranger.key", "EC PRIVATE KEY", marshal(key))
}

func read(conn net.Conn, pause time.Duration, once bool) (lines int64, err error) {
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		if lines%1000 == 0 {
			time.Sleep(pause)
		}
		if _, err := r.ReadSlice('\n'); err != nil {
			return lines, err
		}
		lines++
		if once {
			return lines, nil
		}
	}
}

func certificate(parent *x509.Certificate, parentKey *ecdsa.PrivateKey, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	check(err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	check(err)
	c, err := x509.ParseCertificate(der)
	check(err)
	return c, key
}

func marshal(key *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalECPrivateKey(key)
	check(err)
	return der
}

func write(dir, name, kind string, der []byte) {
	check(os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
