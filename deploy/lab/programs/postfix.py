"""Attacks a Postfix by every rule with which it refuses, and writes whose each line
is and what it is about. Its policy service, milter, name server and Dovecot are
played by this program."""
import base64
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

from lab import SERVER, VICTIM, VICTIM6, ROOT, Cast, Client, Log, run, write_truth

CONF = os.path.join(ROOT, "etc/postfix")
MX, SUBMISSION, EARLY, LIMITS, FILTER, MILTER, SCREEN = 25, 2525, 2526, 2527, 2529, 2530, 2531

MAIN = """
compatibility_level = 3.6
myhostname = mail1.example
mydestination = here.example
mynetworks = 127.0.0.0/8
inet_interfaces = all
inet_protocols = all
maillog_file =
local_recipient_maps = inline:{alice=x,bob=x,grey=x,policy=x,refused=x,later=x}
local_transport = discard
default_transport = discard
smtpd_client_event_limit_exceptions =
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:12345
smtpd_tls_cert_file = /etc/postfix/cert.pem
smtpd_tls_key_file = /etc/postfix/key.pem
smtpd_tls_security_level = may
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 20
smtpd_hard_error_limit = 20
smtpd_timeout = 3s
smtpd_starttls_timeout = 3s
disable_vrfy_command = yes
strict_rfc821_envelopes = yes
smtpd_helo_required = yes
message_size_limit = 20000
smtpd_forbidden_commands = CONNECT GET POST regexp:{{/^[^A-Z]/ Thrash}}
smtpd_reject_footer =
smtpd_recipient_limit = 40
smtpd_client_restrictions = check_client_access inline:{{198.18.9.200=REJECT go away [192.0.2.66]}}, reject_rbl_client bl.example
smtpd_helo_restrictions = reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname, check_helo_access inline:{{evil.example=REJECT}}
smtpd_sender_restrictions = reject_non_fqdn_sender, reject_unknown_sender_domain, check_sender_access inline:{{bad.example=REJECT sender [192.0.2.66]; from=<x>}, {trap.example=554 5.7.1 trap}}
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:12346
header_checks = regexp:{{/^Subject: .*casino/ REJECT spam}, {/^Subject: .*warned/ WARN}}
body_checks = regexp:{{/viagra/ REJECT body}}
postscreen_greet_wait = 1s
postscreen_greet_action = enforce
postscreen_pipelining_enable = yes
postscreen_non_smtp_command_enable = yes
postscreen_bare_newline_enable = yes
postscreen_bare_newline_action = enforce
postscreen_cache_map =
postscreen_dnsbl_sites = bl.example
postscreen_dnsbl_action = enforce
postscreen_access_list = cidr:{{198.18.9.201 reject}}
postscreen_denylist_action = enforce
postscreen_forbidden_commands = CONNECT, GET, POST
"""

MASTER = """
25        inet  n       -       n       -       -       smtpd
2525      inet  n       -       n       -       -       smtpd
  -o syslog_name=postfix/submission -o smtpd_sasl_auth_enable=yes -o smtpd_client_restrictions=
2526      inet  n       -       n       -       -       smtpd
  -o syslog_name=postfix-in -o smtpd_delay_reject=no
2527      inet  n       -       n       -       -       smtpd
  -o smtpd_client_connection_rate_limit=3 -o smtpd_client_message_rate_limit=2 -o smtpd_client_recipient_rate_limit=3
  -o smtpd_client_auth_rate_limit=2 -o smtpd_sasl_auth_enable=yes -o smtpd_client_connection_count_limit=2
2529      inet  n       -       n       -       -       smtpd
2530      inet  n       -       n       -       -       smtpd
  -o smtpd_milters=inet:127.0.0.1:12347
2531      inet  n       -       n       -       1       postscreen
smtpd     pass  -       -       n       -       -       smtpd
dnsblog   unix  -       -       n       -       0       dnsblog
tlsproxy  unix  -       -       n       -       0       tlsproxy
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
proxymap  unix  -       -       n       -       -       proxymap
error     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""


def thread(target, *args):
    threading.Thread(target=target, args=args, daemon=True).start()


def serve(port, each):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port))
    s.listen(50)

    def accept():
        while True:
            c, _ = s.accept()
            thread(each, c)
    thread(accept)


def dovecot(c):
    """Dovecot's auth protocol: only alice with her password is let in."""
    f = c.makefile("rb")
    c.sendall(b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00112233445566778899aabbccddeeff\nDONE\n")
    names = {}
    for line in f:
        w = line.rstrip(b"\n").split(b"\t")
        if w[0] == b"AUTH":
            resp = [x[5:] for x in w if x.startswith(b"resp=")]
            if w[2] == b"LOGIN" and not resp:
                c.sendall(b"CONT\t" + w[1] + b"\t" + base64.b64encode(b"Username:") + b"\n")
                continue
            plain = base64.b64decode(resp[0] + b"==").split(b"\0") if resp else [b""] * 3
        elif w[0] == b"CONT":
            if w[1] not in names:
                names[w[1]] = base64.b64decode(w[2] + b"==")
                c.sendall(b"CONT\t" + w[1] + b"\t" + base64.b64encode(b"Password:") + b"\n")
                continue
            plain = [b"", names.pop(w[1]), base64.b64decode(w[2] + b"==")]
        else:
            continue
        plain += [b""] * 3
        user = re.sub(rb"[\t\n\0\x01]", b"?", plain[1])
        if plain[1] == b"alice" and plain[2] == b"first":
            c.sendall(b"OK\t" + w[1] + b"\tuser=alice\n")
        elif plain[1] == b"down":
            c.sendall(b"FAIL\t" + w[1] + b"\tuser=down\ttemp\n")
        else:
            c.sendall(b"FAIL\t" + w[1] + b"\tuser=" + user + b"\n")


def policy(c):
    f = c.makefile("rb")
    to = b""
    for line in f:
        if line.startswith(b"recipient="):
            to = line[10:].strip()
        if line == b"\n":
            action = b"DUNNO"
            if to.startswith(b"grey"):
                action = b"DEFER_IF_PERMIT Greylisted, see http://x/[192.0.2.66]; from=<a@b> client unknown[192.0.2.66]"
            if to.startswith(b"policy"):
                action = b"REJECT SPF: client-ip=192.0.2.66; from=<x>"
            c.sendall(b"action=" + action + b"\n\n")


def milter(c):
    f = c.makefile("rb")

    def say(b):
        c.sendall(struct.pack(">I", len(b)) + b)
    while True:
        head = f.read(4)
        if len(head) < 4:
            return
        body = f.read(struct.unpack(">I", head)[0])
        cmd = body[:1]
        if cmd == b"O":
            say(b"O" + struct.pack(">III", 6, 0, 0))
        elif cmd == b"R" and b"refused" in body:
            say(b"y550 5.7.1 refused [192.0.2.66]; from=<x@y> to=<z>\0")
        elif cmd == b"R" and b"later" in body:
            say(b"t")
        elif cmd == b"M" and b"milterbad" in body:
            say(b"r")
        elif cmd == b"E":
            say(b"r")
        elif cmd in b"DQA":
            if cmd == b"Q":
                return
        else:
            say(b"c")


def name(data, at=12):
    labels = []
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode("latin-1").lower())
        at += data[at] + 1
    return ".".join(labels), at + 5


def wire(text):
    return b"".join(bytes([len(x)]) + x.encode() for x in text.split(".")) + b"\0"


def dns():
    """Every third client has a name, which begins with the victim's address; those
    of 198.18.9 from .100 are on the list bl.example."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 53))
    while True:
        q, who = s.recvfrom(2000)
        asked, end = name(q)
        kind = struct.unpack(">H", q[end - 4:end - 2])[0]
        answer = b""
        m = re.fullmatch(r"(\d+)\.(\d+)\.18\.198\.in-addr\.arpa", asked)
        if m and kind == 12 and int(m[1]) % 3 == 0:
            answer = struct.pack(">HIH", 1, 60, 0)
            target = wire("192.0.2.66.h%s-%s.dyn.example" % (m[2], m[1]))
            answer = b"\xc0\x0c" + struct.pack(">HHIH", 12, 1, 60, len(target)) + target
        m = re.fullmatch(r"192\.0\.2\.66\.h(\d+)-(\d+)\.dyn\.example", asked)
        if m and kind == 1:
            answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([198, 18, int(m[1]), int(m[2])])
        m = re.fullmatch(r"(1\d\d)\.9\.18\.198\.bl\.example", asked)
        if m and kind == 1:
            answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([127, 0, 0, 2])
        if m and kind == 16:
            text = b"listed [192.0.2.66]: see http://x/?ip=192.0.2.66"
            answer = b"\xc0\x0c" + struct.pack(">HHIH", 16, 1, 60, len(text) + 1) + bytes([len(text)]) + text
        if asked in ("good.example", "bad.example", "trap.example", "milterbad.example") and kind in (1, 15):
            if kind == 1:
                answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([198, 51, 100, 25])
        code = 0 if answer or asked.endswith(("good.example", "dyn.example", "bad.example", "trap.example")) else 3
        if asked.startswith("tempfail"):
            code = 2
        s.sendto(q[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, 1 if answer else 0, 0, 0) + q[12:end] + answer, who)


def prepare():
    for file, text in (("main.cf", MAIN), ("master.cf", MASTER)):
        with open(os.path.join(CONF, file), "w") as f:
            f.write(text)
    with open(os.path.join(ROOT, "etc/resolv.conf"), "w") as f:
        f.write("nameserver 127.0.0.1\n")
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=mail.example",
        "-keyout", os.path.join(CONF, "key.pem"), "-out", os.path.join(CONF, "cert.pem"))
    thread(dns)
    serve(12345, dovecot)
    serve(12346, policy)
    serve(12347, milter)
    run("chroot", ROOT, "postfix", "set-permissions")
    run("chroot", ROOT, "postfix", "start")
    end = time.monotonic() + 20
    while True:
        try:
            Client("127.0.0.1", MX).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def b64(text):
    return base64.b64encode(text.encode("latin-1")).decode()


V = VICTIM
HELOS = [
    "x> from unknown[%s]: 554 5.7.1 <y" % V, "[%s]" % V, "x,%s" % V, "unknown[%s]:" % V, "a.example;client=[%s]" % V,
    "x>_proto=ESMTP_from_unknown[%s]" % V, "client.example", "NOQUEUE: reject: RCPT from unknown[%s]: 554 5.7.1 <a@b>: Relay access denied; from=<c@d>" % V,
    "\xa0unknown[%s]\xff" % V, "%s%n", "a" * 300,
]
ADDRESSES = [
    '"a> from unknown[%s]: 554 5.7.1"@other.example' % V, "joe@[%s]" % V, '"x: Relay access denied; from=<"@other.example',
    '"unknown[%s]: SASL LOGIN authentication failed"@other.example' % V, "a@other.example", '"<a@b>: Helo command rejected"@other.example',
    '"; proto=ESMTP helo=<x> unknown[%s]"@other.example' % V, '"blocked using bl.example; Client host ["@other.example',
]
USERS = [
    "joe", "bob, sasl_username=x unknown[%s]" % V, "unknown[%s]: SASL LOGIN authentication failed" % V, "x]: y[%s" % V,
    "root@[%s]" % V, "a" * 300, "j\xf6e", "%s%n", "warning: unknown[%s]: SASL PLAIN authentication failed: , sasl_username=" % V, "",
]


# What comes beside what a session is for.
OTHERS = {
    r"NOQUEUE: reject: RCPT from \S+ 450 4.3.2 ": "tempfail",
    r"warning: non-SMTP command from ": "bad_command",
    r"(NOQUEUE: )?lost connection after CONNECT from ": "null_connection",
    r"(NOQUEUE: |[0-9A-Za-z]+: )?lost connection after ": "lost_input",
    r"(NOQUEUE: |[0-9A-Za-z]+: )?timeout after ": "timeout",
    r"SSL_accept error from ": "tls_fail",
    r"HANGUP ": "null_connection",
    r"NON-SMTP COMMAND from ": "bogus_cmd",
    r"disconnect from .* data=[1-9]": "accepted",
    r"[0-9A-Za-z]+: client=\S+, sasl_method=": "auth",
    r"improper command pipelining after ": "ehlo_pipelining",
}


class Lab:
    def __init__(self):
        self.log, self.cast, self.truth = Log(), Cast(), []

    def session(self, port, wanted, attack, six=False, address=None, wait=True, close=True):
        """One session of one client. wanted are the lines that are offences, by how
        they go on behind "TAG[PID]: ", and the class of each."""
        own = address or self.cast.next(six)
        self.log.read()
        client = Client(own, port, wait=wait)
        attack(client)
        if close:
            client.close()
        ends = ("disconnect from ", "DISCONNECT ", "HANGUP ")
        lines = self.log.quiet(lambda new: any(re.search(r"\]: (disconnect from |DISCONNECT |HANGUP )", l[:120]) for _, l in new), pause=0.15)
        missing = dict(wanted)
        for n, line in lines:
            text = line.split("]: ", 1)[-1]
            row = {"n": n, "ip": own, "cls": "none"}
            for form, cls in {**wanted, **OTHERS}.items():
                if re.match(form, text):
                    row["cls"] = cls
                    missing.pop(form, None)
                    break
            self.truth.append(row)
        if missing:
            print("session of", own, port, missing, "wrote", *[l for _, l in lines], sep="\n  ")
        return lines

    def refused(self, command, cls, port=MX, hello="client.example", before=(), verb=None, six=False, **more):
        def attack(c):
            c.ask("EHLO " + hello, until=b"250 ")
            for b in before:
                c.ask(b)
            c.ask(command)
            c.ask("QUIT")
        verb = verb or command.split()[0].split(":")[0]
        self.session(port, {r"[0-9A-Za-z]+: reject: %s from " % verb: cls}, attack, six=six, **more)

    def recipients(self):
        for i, h in enumerate(HELOS):
            for j, a in enumerate(ADDRESSES):
                cls = "bad_helo"
                if re.fullmatch(r"[a-z.]+\.example|\[%s\]" % re.escape(V), h):
                    cls = "relay_denied"
                self.refused("RCPT TO:<%s>" % a, cls, hello=h, before=["MAIL FROM:<%s>" % ("x@good.example" if j % 2 else "")], six=j % 3 == 0)
        good = ["MAIL FROM:<x@good.example>"]
        for six in (False, True):
            self.refused("RCPT TO:<nobody@here.example>", "unknown_user", before=good, six=six)
            self.refused("RCPT TO:<grey@here.example>", "tempfail", before=good, six=six)
            self.refused("RCPT TO:<policy@here.example>", "access", before=good, six=six)
            self.refused("RCPT TO:<alice@here.example>", "sender", before=["MAIL FROM:<x@bad.example>"], six=six)
            self.refused("RCPT TO:<alice@here.example>", "sender", before=["MAIL FROM:<x@trap.example>"], six=six)
            self.refused("RCPT TO:<alice@here.example>", "sender_domain_temp", before=["MAIL FROM:<x@nowhere.example>"], six=six)
            self.refused("RCPT TO:<alice@here.example>", "sender_domain_temp", before=["MAIL FROM:<x@tempfail.example>"], six=six)
            self.refused("RCPT TO:<alice@here.example>", "bad_sender_syntax", before=["MAIL FROM:<x@local>"], six=six)
            self.refused("RCPT TO:<alice@here.example>", "bad_helo", hello="evil.example", before=good, six=six)
            self.refused("RCPT TO:<alice@here.example>", "bad_helo", hello="localname", before=good, six=six)
            self.session(MX, {}, lambda c: (c.ask("EHLO x.example", until=b"250 "), c.ask("VRFY unknown[%s]" % V), c.ask("ETRN from.unknown[%s]" % V), c.ask("QUIT")), six=six)
            self.refused("MAIL FROM:<x@good.example> SIZE=999999", "too_big", six=six)
        for last in (200,):
            a = "198.18.9.%d" % last
            run("ip", "address", "add", a + "/32", "dev", "lo")
            self.refused("RCPT TO:<alice@here.example>", "access_reject", before=good, address=a)

    def early(self):
        for h in HELOS:
            if h in ("client.example", "[%s]" % V, "%s%n"):
                continue
            self.session(EARLY, {r"NOQUEUE: reject: EHLO from ": "bad_helo"}, lambda c: c.ask("EHLO " + h) and c.ask("QUIT"))
            self.session(EARLY, {r"NOQUEUE: reject: HELO from ": "bad_helo"}, lambda c: c.ask("HELO " + h) and c.ask("QUIT"), six=True)
        self.refused("MAIL FROM:<x@bad.example>", "sender", port=EARLY)

    def sasl(self):
        for i, user in enumerate(USERS):
            for mech in ("PLAIN", "LOGIN"):
                def attack(c):
                    c.ask("EHLO x", until=b"250 ")
                    if mech == "PLAIN":
                        c.ask("AUTH PLAIN " + b64("\0" + user + "\0wrong"))
                    else:
                        c.ask("AUTH LOGIN")
                        c.ask(b64(user))
                        c.ask(b64("wrong"))
                    c.ask("QUIT")
                self.session(SUBMISSION, {r"warning: \S+\[[0-9a-f.:]+\]: SASL %s authentication failed" % mech: "auth_fail"}, attack, six=i % 2)
        for mech in ("X-[%s]" % V, "]:UNKNOWN[%s]:" % V, "CRAM-MD5"):
            self.session(SUBMISSION, {r"warning: \S+\[[0-9a-f.:]+\]: SASL ": "auth_mechanism"},
                         lambda c: (c.ask("EHLO x", until=b"250 "), c.ask("AUTH %s" % mech), c.ask("QUIT")))
        for i in range(3):
            self.session(SUBMISSION, {r"warning: \S+\[[0-9a-f.:]+\]: SASL ": "auth_fail"},
                         lambda c: (c.ask("EHLO x", until=b"250 "), c.ask("AUTH PLAIN " + b64("\0down\0x")), c.ask("QUIT")))
        for i in range(6):
            self.session(SUBMISSION, {r"[0-9A-Za-z]+: client=": "auth"},
                         lambda c: (c.ask("EHLO x.example", until=b"250 "), c.ask("AUTH PLAIN " + b64("\0alice\0first")), c.ask("MAIL FROM:<x@good.example>"),
                                    c.ask("RCPT TO:<a@far.example>"), c.ask("DATA"), c.ask("Subject: hello\r\n\r\nhi\r\n."), c.ask("QUIT")))

    def protocol(self):
        for i, word in enumerate(("GET / HTTP/1.1", "POST /unknown[%s]:25 HTTP/1.0" % V, "CONNECT %s:25 HTTP/1.0" % V, "\x16\x03\x01 unknown[%s]" % V, "Subject: from unknown[%s]" % V)):
            for six in (False, True):
                self.session(MX, {r"warning: non-SMTP command from ": "bogus_cmd"}, lambda c: c.ask(word), six=six)
        for six in (False, True):
            for first in ("EHLO x", "NOOP"):
                self.session(MX, {r"improper command pipelining after ": "ehlo_pipelining"},
                             lambda c: (c.send("%s\r\nMAIL FROM:<x@good.example> from unknown[%s]: y\r\nRSET\r\nQUIT\r\n" % (first, V)), [c.line() for _ in range(6)]), six=six)
            def many(c):
                c.ask("EHLO x", until=b"250 ")
                for k in range(25):
                    c.ask("xx%d from unknown[%s]" % (k, V))
            self.session(MX, {r"(NOQUEUE: )?too many errors after ": "bad_command"}, many, six=six)
            for k in range(4):
                self.session(MX, {r"(NOQUEUE: )?lost connection after CONNECT": "null_connection"}, lambda c: None, six=six)
                self.session(MX, {r"(NOQUEUE: )?lost connection after EHLO": "lost_input"}, lambda c: c.ask("EHLO x", until=b"250 "), six=six)
            self.session(MX, {r"(NOQUEUE: )?timeout after ": "timeout"}, lambda c: (c.ask("EHLO x", until=b"250 "), time.sleep(3.5)), six=six)
            self.session(MX, {r"SSL_accept error": "tls_fail"},
                         lambda c: (c.ask("EHLO x", until=b"250 "), c.ask("STARTTLS"), c.send("GET / unknown[%s]\r\n" % V), c.line()), six=six)
            for command in ("MAIL FROM:x y unknown[%s]" % V, "RCPT TO:<unknown[%s]: >" % V):
                self.session(MX, {r"warning: Illegal address syntax from ": "syntax"},
                             lambda c: (c.ask("EHLO x.example", until=b"250 "), command.startswith("RCPT") and c.ask("MAIL FROM:<>"), c.ask(command), c.ask("QUIT")), six=six)

    def mail(self, port, subject, wanted, body="hi", sender="x@good.example", to="alice@here.example", hello="client.example", six=False):
        self.session(port, wanted, lambda c: (c.ask("EHLO " + hello, until=b"250 "), c.ask("MAIL FROM:<%s>" % sender), c.ask("RCPT TO:<%s>" % to),
                                              c.ask("DATA"), c.ask("Subject: %s\r\n\r\n%s\r\n." % (subject, body)), c.ask("QUIT")), six=six)

    def content(self):
        evil = ["casino", "casino from unknown[%s]; from=<a@b> to=<c@d> proto=ESMTP helo=<x>: 5.7.1 spam" % V,
                "casino\r\n from unknown[%s]; from=<a@b>" % V, "[%s] casino" % V, "casino from x[%s]" % V, "casino; from=<> from h[%s]; " % V]
        for i, s in enumerate(evil):
            for h in ("client.example", "[%s]" % V):
                self.mail(FILTER, s, {r"[0-9A-Za-z]+: reject: header ": "header_reject"}, hello=h, six=i % 2)
        self.mail(FILTER, "warned from unknown[%s]; from=<x>" % V, {})
        self.mail(FILTER, "x", {r"[0-9A-Za-z]+: reject: body ": "header_reject"}, body="viagra from unknown[%s]; from=<x> to=<y>" % V)
        for i in range(12):
            self.mail(FILTER, "hello from unknown[%s]" % V, {r"disconnect from ": "accepted"}, six=i % 3 == 2)
        for six in (False, True):
            for h in ("client.example", "[%s]" % V):
                self.mail(MILTER, "x", {r"[0-9A-Za-z]+: milter-reject: END-OF-MESSAGE from ": "milter_reject"}, hello=h, six=six)
                self.mail(MILTER, "x", {r"[0-9A-Za-z]+: milter-reject: MAIL from ": "milter_reject"}, sender="x@milterbad.example", hello=h, six=six)
                self.mail(MILTER, "x", {r"[0-9A-Za-z]+: milter-reject: RCPT from ": "milter_reject"}, to="refused@here.example", hello=h, six=six)
                self.mail(MILTER, "x", {r"[0-9A-Za-z]+: milter-reject: RCPT from ": "tempfail"}, to="later@here.example", hello=h, six=six)

    def limits(self):
        a = self.cast.next()
        for i in range(6):
            self.session(LIMITS, {} if i < 3 else {r"warning: Connection rate limit exceeded": "rate_limit"}, lambda c: c.ask("QUIT"), address=a)
        for _ in range(3):
            self.session(LIMITS, {r"warning: Recipient (address )?rate limit": "rate_limit"},
                         lambda c: (c.ask("EHLO x.example", until=b"250 "), c.ask("MAIL FROM:<>"), [c.ask("RCPT TO:<alice@here.example>") for _ in range(6)], c.ask("QUIT")))
            self.session(LIMITS, {r"warning: AUTH command rate limit exceeded": "rate_limit", r"warning: \S+: SASL ": "auth_fail"},
                         lambda c: (c.ask("EHLO x.example", until=b"250 "), [c.ask("AUTH PLAIN " + b64("\0joe\0x")) for _ in range(4)], c.ask("QUIT")))
            self.session(LIMITS, {r"warning: Message delivery request rate": "rate_limit"},
                         lambda c: (c.ask("EHLO x.example", until=b"250 "), [(c.ask("MAIL FROM:<>"), c.ask("RSET")) for _ in range(5)], c.ask("QUIT")))

    def listed(self):
        for i in range(1, 6):
            a = "198.18.9.%d" % (100 + i)
            run("ip", "address", "add", a + "/32", "dev", "lo")
            self.refused("RCPT TO:<alice@here.example>", "dnsbl", before=["MAIL FROM:<x@good.example>"], address=a)
            self.session(SCREEN, {r"DNSBL rank ": "none", r"NOQUEUE: reject: RCPT from \S+ 550 ": "dnsbl"},
                         lambda c: (time.sleep(1.3), c.ask("EHLO x from [%s]:25" % V, until=b"250 "), c.ask("MAIL FROM:<>"), c.ask("RCPT TO:<alice@here.example>"), c.ask("QUIT")), address=a)

    def screen(self):
        for i, text in enumerate(("EHLO [%s]:25 x\r\n" % V, "from [%s]:25: x\r\n" % V, "\x16\x03\x01\x00\r\n", "GET / HTTP/1.1\r\n", "0.1 from [%s]:25: EHLO\r\n" % V)):
            for six in (False, True):
                self.session(SCREEN, {r"PREGREET ": "pregreet"}, lambda c: (c.send(text), c.line(), time.sleep(1.2)), wait=False, six=six)
        for six in (False, True):
            self.session(SCREEN, {r"HANGUP ": "null_connection"}, lambda c: None, wait=False, six=six)
            hello = lambda c: (time.sleep(1.2), c.ask("EHLO x.example", until=b"250 "))
            self.session(SCREEN, {r"NON-SMTP COMMAND from ": "bogus_cmd"}, lambda c: (hello(c), c.ask("GET /[%s]:25 after CONNECT: x" % V)), six=six)
            self.session(SCREEN, {r"BARE NEWLINE from ": "bare_newline"}, lambda c: (hello(c), c.send("MAIL FROM:<a@[%s]:25>\n" % V), c.line(), c.ask("QUIT")), six=six)
            self.session(SCREEN, {r"COMMAND PIPELINING from ": "ehlo_pipelining"}, lambda c: (time.sleep(1.2), c.send("EHLO x\r\nMAIL FROM:<a@[%s]:25>\r\nRSET\r\nQUIT\r\n" % V), [c.line() for _ in range(9)]), six=six)
        run("ip", "address", "add", "198.18.9.201/32", "dev", "lo")
        self.session(SCREEN, {r"DENYLISTED ": "none", r"NOQUEUE: reject: RCPT from ": "access_reject"},
                     lambda c: (time.sleep(1.2), c.ask("EHLO x", until=b"250 "), c.ask("MAIL FROM:<>"), c.ask("RCPT TO:<alice@here.example>"), c.ask("QUIT")), address="198.18.9.201")

    def run(self):
        prepare()
        self.log.quiet(lambda _: True, pause=0.5)
        try:
            for step in (self.sasl, self.recipients, self.early, self.content, self.protocol, self.limits, self.listed, self.screen):
                if len(sys.argv) > 3 and step.__name__ not in sys.argv[3:]:
                    continue
                step()
                print("after", step.__name__, len(self.truth), flush=True)
                write_truth(self.truth)
        finally:
            run("chroot", ROOT, "postfix", "stop")
        write_truth(self.truth)


Lab().run()
