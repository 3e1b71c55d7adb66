"""Attacks a Dovecot by every way that its login processes refuse, and writes whose
each line is. 2.3 and 2.4 differ in configuration and in the words of the log."""
import base64
import os
import shutil
import signal
import subprocess
import time

from lab import (Cast, Client, Log, OUT, ROOT, VICTIM, VICTIM6, run, write_truth)

CONF = os.path.join(ROOT, "lab")
version = subprocess.run(["chroot", ROOT, "dovecot", "--version"], capture_output=True, text=True).stdout
NEW = version.startswith("2.4")
PORTS = {"imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995, "submission": 587, "sieve": 4190}

USERS = """alice:{PLAIN}first:1000:1000::/mail/alice
carol:{PLAIN}third:1000:1000::/mail/carol::%s
""" % ("nologin" if not NEW else "nologin")
OTHERS = "bob:{PLAIN}second:1000:1000::/mail/bob\n"

BASE23 = """protocols = imap pop3 submission sieve
listen = *, ::
ssl = yes
ssl_cert = </lab/cert.pem
ssl_key = </lab/key.pem
mail_location = maildir:~/Maildir
auth_mechanisms = plain login cram-md5
auth_failure_delay = 0 secs
submission_relay_host = 127.0.0.1
login_trusted_networks = 198.18.0.1/32
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service submission-login {
  inet_listener submission {
    port = 587
  }
}
"""
BASE24 = """dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1
protocols = imap pop3 submission sieve
listen = *, ::
ssl = yes
ssl_server_cert_file = /lab/cert.pem
ssl_server_key_file = /lab/key.pem
mail_driver = maildir
mail_path = ~/Maildir
auth_mechanisms = plain login cram-md5
auth_failure_delay = 0 secs
submission_relay_host = 127.0.0.1
login_trusted_networks = 198.18.0.1/32
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service submission-login {
  inet_listener submission {
    port = 587
  }
}
"""


def database(kind, name, file, extra=""):
    if NEW:
        field = "passwd_file_path"
        return "%s %s {\n driver = passwd-file\n %s = %s\n%s}\n" % (kind, name, field, file, extra)
    return "%s {\n driver = passwd-file\n args = %s\n%s}\n" % (kind, file, extra)


def plaintext(allowed):
    if NEW:
        return "auth_allow_cleartext = %s\n" % ("yes" if allowed else "no")
    return "disable_plaintext_auth = %s\n" % ("no" if allowed else "yes")


def chars(value):
    return "auth_username_chars = %s\n" % value


def two():
    return (database("passdb", "users", "/lab/users") + database("passdb", "others", "/lab/others")
            + database("userdb", "users", "/lab/users") + database("userdb", "others", "/lab/others"))


CONFIGS = {
    "quiet": plaintext(True) + two(),
    "verbose": plaintext(True) + "auth_verbose = yes\n" + two(),
    "anychar": plaintext(True) + "auth_verbose = yes\n" + chars("") + two(),
    "tlsonly": plaintext(False) + "auth_verbose = yes\n" + two(),
    "broken": plaintext(True) + database("passdb", "gone", "/lab/gone") + database("userdb", "users", "/lab/users"),
    "deny": plaintext(True) + "auth_verbose = yes\n" + database("passdb", "deny", "/lab/deny", " deny = yes\n") + two(),
}


class Dovecot:
    def __init__(self, config):
        with open(os.path.join(CONF, "dovecot.conf"), "w") as f:
            f.write((BASE24 if NEW else BASE23) + CONFIGS[config])
        self.p = subprocess.Popen(["chroot", ROOT, "dovecot", "-F", "-c", "/lab/dovecot.conf"])
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                for port in PORTS.values():
                    Client("127.0.0.1", port, wait=False).close()
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("dovecot does not start: " + config)

    def stop(self):
        self.p.send_signal(signal.SIGTERM)
        self.p.wait()


def prepare():
    shutil.rmtree(CONF, ignore_errors=True)
    os.makedirs(CONF)
    os.makedirs(os.path.join(ROOT, "mail"), exist_ok=True)
    os.chown(os.path.join(ROOT, "mail"), 1000, 1000)
    for name, text in (("users", USERS), ("others", OTHERS), ("deny", "mallory:::::::\n")):
        with open(os.path.join(CONF, name), "w") as f:
            f.write(text)
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=mail.example",
        "-keyout", os.path.join(CONF, "key.pem"), "-out", os.path.join(CONF, "cert.pem"))
    run("chmod", "-R", "a+rX", CONF)


def b64(text):
    return base64.b64encode(text.encode("latin-1")).decode()


def greet(client, protocol):
    if protocol == "submission":
        client.ask("EHLO [%s]" % VICTIM, until=b"250 ")
    if protocol == "sieve":
        while True:
            line = client.line()
            if not line or line.startswith(b"OK"):
                return


def plain(client, protocol, user, password, mech="PLAIN"):
    """One attempt; the response in one piece where the protocol lets it."""
    response = b64("\0" + user + "\0" + password)
    if protocol == "imap":
        return client.ask("a AUTHENTICATE %s %s" % (mech, response), until=b"a ")
    if protocol == "sieve":
        return client.ask('AUTHENTICATE "%s" "%s"' % (mech, response))
    return client.ask("AUTH %s %s" % (mech, response))


def login(client, protocol, user, password):
    if protocol == "imap":
        return client.ask('a LOGIN "%s" "%s"' % (user.replace("\\", "\\\\").replace('"', '\\"'), password), until=b"a ")
    if protocol == "pop3":
        client.ask("USER " + user)
        return client.ask("PASS " + password)
    return plain(client, protocol, user, password)


def quit(client, protocol):
    client.send({"imap": "z LOGOUT", "sieve": "LOGOUT"}.get(protocol, "QUIT") + "\r\n")
    client.line()


NAMES = ["joe", "root", "info@example.com", "alice"]
HOSTILE = [
    "x>, rip=%s, lip=" % VICTIM,
    "x>, rip=%s, lip=192.0.2.1" % VICTIM,
    "x>, rip=%s, lip=192.0.2.1, session=<abc" % VICTIM,
    "x>, method=PLAIN, rip=%s, lip=192.0.2.1, TLS, session=<AAAA>" % VICTIM,
    "x>, rip=%s, lip=192.0.2.1, TLS: <" % VICTIM,
    "joe>: user=<joe>, rip=%s, lip=192.0.2.1" % VICTIM,
    'q" %s,' % VICTIM, "joe %s" % VICTIM, "[%s]" % VICTIM,
    "(auth failed, 1 attempts): user=<j>, rip=%s" % VICTIM,
    "x>, rip=%s, lip=::1" % VICTIM6,
    "Login: user=<joe>, method=PLAIN, rip=%s" % VICTIM,
    "a" * 46 + ">, rip=%s, lip=192.0.2.1" % VICTIM,
    "a" * 200, "%s%n%d", "j\366e", "joe,%s,<abc>): unknown user" % VICTIM, "x>, rip=", "rip=%s" % VICTIM,
    "x>, session=<s>, rip=%s, lip=1.1.1.1" % VICTIM, "x>, TLS handshaking: rip=%s" % VICTIM,
    "joe\\>, rip=%s" % VICTIM, "'joe', rip=%s, lip=1" % VICTIM, "x%sy" % VICTIM, "<%s>" % VICTIM,
]


# What each attack is called in the log's classes, where that is not its own name.
CLASSES = {"cleartext": "null_connection", "mech": "other", "base64": "auth_decode", "leaves": "auth_fail", "givesup": "null_connection"}


def label(want, line):
    """The class of one line of a session in which want was done. Refusals of
    cleartext are written twice; a database that is gone is not always admitted; a
    handshake that the client gave up before the server refused it is no failure."""
    if want is None or "-login: Login failed: " in line or "-login: Authenticate " in line:
        return "none"
    if want == "backend":
        return "auth_unavailable" if "temporary failure" in line else "auth_fail"
    if want == "tls_fail" and "SSL_accept() " not in line:
        return "null_connection"
    return CLASSES.get(want, want)


class Lab:
    def __init__(self):
        self.log, self.cast, self.truth = Log(), Cast(), []
        self.trusted = self.cast.next()

    def session(self, port, want, attack, tls=False, six=False, address=None, truth=None, wait=True, repeat=None):
        """One session of one client. want is the class of the line that the login
        process writes about it, None for a line that is no offence."""
        own = address or self.cast.next(six)
        self.log.read()
        client = Client(own, PORTS[port], tls=tls, wait=wait)
        client.address = own
        attack(client)
        client.close()
        lines = self.log.quiet(lambda new: any(" dovecot: " in l and "-login: " in l for _, l in new))
        found = [(n, l) for n, l in lines if "-login: " in l.split(" dovecot", 1)[-1][:40]]
        for n, line in found:
            if "rip=127.0.0.1, " in line:
                continue  # asked whether the server is up
            self.truth.append({"n": n, "ip": truth or own, "cls": label(want, line)})
            if repeat:
                self.truth[-1]["repeat"] = repeat

    def passwords(self, users, protocols=("imap", "pop3", "submission", "sieve")):
        for i, user in enumerate(users):
            for protocol in protocols:
                def attack(c, protocol=protocol, user=user):
                    greet(c, protocol)
                    plain(c, protocol, user, "wrong")
                    if i % 2:
                        quit(c, protocol)
                self.session(protocol, "auth_fail", attack, six=i % 3 == 2)

    def logins(self, users):
        for i, user in enumerate(users):
            for protocol in ("imap", "pop3"):
                def attack(c, protocol=protocol, user=user):
                    login(c, protocol, user, "wrong")
                self.session(protocol, "auth_fail", attack, six=i % 3 == 1)

    def several(self):
        for count in (2, 3):
            for protocol in ("imap", "pop3", "submission"):
                def attack(c, protocol=protocol):
                    greet(c, protocol)
                    for k in range(count):
                        plain(c, protocol, "user%d" % k, "wrong")
                self.session(protocol, "auth_fail", attack, repeat=count)

    def tls(self):
        for port, protocol in (("imaps", "imap"), ("pop3s", "pop3")):
            for user in ("joe", HOSTILE[2]):
                def attack(c, protocol=protocol, user=user):
                    plain(c, protocol, user, "wrong")
                self.session(port, "auth_fail", attack, tls=True)
            self.session(port, "null_connection", lambda c: None, tls=True)
            self.session(port, "tls_fail", lambda c: c.send("GET / HTTP/1.0\r\n\r\n") or c.line(), wait=False)
            self.session(port, "tls_fail", lambda c: c.send(b"\x16\x03\x01\x00\x05rip=" + VICTIM.encode()) or c.line(), wait=False)
            self.session(port, "null_connection", lambda c: None, wait=False)
        for i in range(2):
            self.session("imap", "tls_fail", lambda c: (c.ask("a STARTTLS", until=b"a "), c.send("rip=%s, lip=\r\n" % VICTIM), c.line()))

    def silent(self):
        for port in ("imap", "pop3", "submission", "sieve"):
            self.session(port, "null_connection", lambda c: None)
            self.session(port, "null_connection", lambda c, p=port: (greet(c, p), quit(c, p)))
            self.session(port, "null_connection", lambda c: c.send("x>, rip=%s, lip=1.1.1.1, session=<a>\r\n" % VICTIM) or c.line())
            self.session(port, "null_connection", lambda c: None, six=True)

    def misuse(self):
        for port in ("imap", "pop3", "submission", "sieve"):
            def attack(c, port=port):
                greet(c, port)
                for k in range(30):
                    c.send("x%d user=<joe>, rip=%s, lip=192.0.2.1\r\n" % (k, VICTIM))
                while c.line():
                    pass
            self.session(port, "bad_command", attack)
            self.session(port, "bad_command", attack, six=True)
        for port in ("imap",):
            def attack(c):
                c.send("a LOGIN " + "x" * 70000)
                while c.line():
                    pass
            self.session(port, "long_input", attack)

    def mechanisms(self):
        for mech in ("X-EVIL", "GSSAPI", "RIP=%s" % VICTIM, ">,RIP=%s,LIP=1" % VICTIM, "NTLM"):
            for protocol in ("imap", "pop3", "submission", "sieve"):
                def attack(c, protocol=protocol, mech=mech):
                    greet(c, protocol)
                    plain(c, protocol, "joe", "wrong", mech)
                self.session(protocol, "mech", attack)
        for protocol in ("imap", "pop3", "submission"):
            def broken(c, protocol=protocol):
                greet(c, protocol)
                c.ask("a AUTHENTICATE PLAIN !!!" if protocol == "imap" else "AUTH PLAIN !!!")
            self.session(protocol, "base64", broken)

            def leaves(c, protocol=protocol):
                greet(c, protocol)
                c.ask("a AUTHENTICATE LOGIN" if protocol == "imap" else "AUTH LOGIN")
                c.ask(b64(HOSTILE[1]))
            self.session(protocol, "leaves", leaves)

            def gives_up(c, protocol=protocol):
                greet(c, protocol)
                c.ask("a AUTHENTICATE LOGIN" if protocol == "imap" else "AUTH LOGIN")
                c.ask("*")
            self.session(protocol, "givesup", gives_up)

    def honest(self):
        for protocol in ("imap", "pop3", "sieve"):
            for user, password in (("alice", "first"), ("bob", "second")):
                self.session(protocol, None, lambda c, p=protocol, u=user, w=password: (greet(c, p), plain(c, p, u, w), quit(c, p)))

    def trusting(self):
        for user in ("joe", HOSTILE[1]):
            forwarded = self.cast.next()
            def attack(c, user=user, forwarded=forwarded):
                c.ask('a ID ("x-originating-ip" "%s" "x-originating-port" "4711" "x-connected-ip" "198.51.100.25" "x-connected-port" "143")' % forwarded, until=b"a ")
                login(c, "imap", user, "wrong")
            self.session("imap", "auth_fail", attack, address=self.trusted, truth=forwarded)

    def run(self):
        prepare()
        plans = {
            "quiet": [lambda: self.passwords(NAMES + HOSTILE[:14]), lambda: self.logins(NAMES + HOSTILE[::2]), self.several, self.tls,
                      self.silent, self.misuse, self.mechanisms, self.honest, self.trusting],
            "verbose": [lambda: self.passwords(HOSTILE[::3], ("imap", "submission")), self.several, self.honest],
            "anychar": [lambda: self.passwords(HOSTILE), lambda: self.logins(HOSTILE), self.trusting],
            "tlsonly": [lambda: self.cleartext(), self.tls],
            "broken": [lambda: self.backend()],
            "deny": [lambda: self.passwords(["mallory"]), self.honest],
        }
        for config, steps in plans.items():
            server = Dovecot(config)
            self.log.quiet(lambda _: True, pause=0.5)
            for step in steps:
                step()
            server.stop()
            self.log.quiet(lambda _: True, pause=0.3)
        write_truth(self.truth)

    def cleartext(self):
        for user in ("joe", HOSTILE[1]):
            for protocol in ("imap", "pop3", "submission", "sieve"):
                def attack(c, protocol=protocol, user=user):
                    greet(c, protocol)
                    login(c, protocol, user, "wrong")
                self.session(protocol, "cleartext", attack)

    def backend(self):
        for user in ("alice", HOSTILE[1]):
            for protocol in ("imap", "pop3", "submission"):
                def attack(c, protocol=protocol, user=user):
                    greet(c, protocol)
                    plain(c, protocol, user, "first")
                self.session(protocol, "backend", attack)


Lab().run()
