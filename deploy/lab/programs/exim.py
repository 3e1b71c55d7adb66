"""Attacks an Exim by every way that it refuses, and writes whose each line is. The
log goes to syslog, where each refusal stands twice."""
import base64
import os
import re
import shutil
import signal
import subprocess
import time

from lab import Cast, Client, Log, OUT, ROOT, SERVER, VICTIM, VICTIM6, run, write_truth

CONF = os.path.join(ROOT, "lab")

BASE = """primary_hostname = mail1.example
domainlist local_domains = mail1.example : lab.example
exim_user = Debian-exim
daemon_smtp_ports = 25
log_file_path = syslog
never_users =
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts = *
tls_certificate = /lab/cert.pem
tls_privatekey = /lab/key.pem
smtp_accept_max = 200
smtp_accept_max_per_host = ${if eq{$sender_host_address}{198.18.0.1}{2}{50}}
smtp_receive_timeout = 2s
smtp_enforce_sync = true
smtp_max_synprot_errors = 3
smtp_max_unknown_commands = 3
smtp_accept_max_nonmail = 5
message_size_limit = 2000
message_logs = false
auth_advertise_hosts = ${if eq{$received_port}{26}{}{*}}
acl_smtp_connect = conn
acl_smtp_helo = helo
acl_smtp_mail = mail
acl_smtp_rcpt = rcpt
acl_smtp_data = data
acl_smtp_vrfy = vrfy
%s
begin acl
conn:
  deny hosts = 198.18.200.0/24 : 2001:db8:bad:200::/64
       message = go away
  accept
helo:
  deny condition = ${if eq{$sender_helo_name}{mail1.example}}
       message = that is my name
  accept
mail:
  deny senders = spam@bad.example
       message = we know you
  defer senders = later@bad.example
       message = try later
  accept
rcpt:
  deny senders = liar@bad.example
       message = Sender verify failed
  deny local_parts = listed
       message = $sender_host_address is in a black list at bl.example
  defer local_parts = grey
       message = greylisted
  deny local_parts = closed
       message = not for you
  require verify = sender
  accept authenticated = *
  require message = relay not permitted
          domains = +local_domains
  require verify = recipient
  accept
data:
  deny condition = ${if match{$h_subject:}{spam}}
       message = this is spam
  accept
vrfy:
  deny
begin routers
local:
  driver = accept
  domains = +local_domains
  local_parts = joe : ann : postmaster
  transport = drop
none:
  driver = accept
  domains = good.example : bad.example
  verify_only
  transport = drop
begin transports
drop:
  driver = appendfile
  file = /dev/null
  user = Debian-exim
begin retry
* * F,1h,10m
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if eq{$auth2}{broken}{${lookup{x}lsearch{/lab/missing}}}{${if and{{eq{$auth2}{alice}}{eq{$auth3}{first}}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = User Name : Password
  server_condition = ${if and{{eq{$auth1}{alice}}{eq{$auth2}{first}}}}
  server_set_id = $auth1
"""

CONFIGS = {
    "plain": "",
    "selectors": "log_selector = +incoming_port +incoming_interface +smtp_protocol_error +smtp_syntax_error +smtp_no_mail +smtp_connection +lost_incoming_connection +pid +millisec\nhelo_allow_chars = _\n",
    "junk": "helo_accept_junk_hosts = *\nlog_selector = +smtp_protocol_error +smtp_syntax_error +incoming_port\nsyslog_timestamp = false\n",
}

NAMES = ["client.example", "[%s]" % VICTIM, "ylmf-pc", "localhost"]
JUNK = [
    "a) [%s]" % VICTIM, "a) [%s]:25 F=<b@c> rejected RCPT <d@e>: relay not permitted" % VICTIM, "[%s]" % VICTIM,
    "x (y) [%s]:" % VICTIM, "a) [%s]: 535 Incorrect authentication data (set_id=joe" % VICTIM, "h\366he", "a b", "()", "a\\) [%s]" % VICTIM,
    "[%s]:25 I=[%s]:25" % (VICTIM, SERVER), "H=(a) [%s]" % VICTIM, "a) [%s] x" % VICTIM6,
]
LOCALS = ['"a) [%s]"' % VICTIM, '"a> H=(b) [%s] F=<c@d> rejected RCPT <x"' % VICTIM, '"x: relay not permitted"']
USERS = ["joe", "info@example.com", "x) [%s]" % VICTIM, "x) [%s]: 535 Incorrect authentication data (set_id=y" % VICTIM, "j\366e", "a\nb", "(%s)" % VICTIM]


def b64(text):
    return base64.b64encode(text.encode("latin-1")).decode()


# The line of a refusal and its class, by what the client did. "" stands for every
# attack. The words are those of the configuration above.
LABELS = [
    ("auth_fail", " authenticator failed for ", "auth_fail"),
    ("auth_decode", " authenticator failed for ", "auth_decode"),
    ("auth_unavailable", " authenticator failed for ", "auth_unavailable"),
    ("", "rejected RCPT <x@other.example>: relay not permitted", "relay_denied"),
    ("", "rejected RCPT <nobody@lab.example>: Unrouteable address", "unknown_user"),
    ("", "is in a black list at bl.example", "dnsbl"),
    ("", "rejected RCPT <closed@lab.example>: not for you", "rcpt_access"),
    ("", ">: relay not permitted", "relay_denied"),
    ("sender", "rejected MAIL <spam@bad.example>: we know you", "sender_access"),
    ("sender", ">: Sender verify failed", "rcpt_access"),
    ("", " sender verify fail for <", "sender_domain"),
    ("", "AUTH command used when not advertised", "null_connection"),
    ("pregreet", "(input sent without waiting for greeting)", "pregreet"),
    ("pipelining", "SMTP protocol synchronization error (next input sent too soon", "ehlo_pipelining"),
    ("", " dropped: too many ", "bad_command"),
    ("", 'SMTP syntax error in "MAIL', "bad_sender_syntax"),
    ("", 'SMTP syntax error in "RCPT', "rcpt_syntax"),
    ("", "SMTP syntax error in ", "other"),
    ("", "SMTP protocol error in ", "other"),
    ("", ": no HELO/EHLO given", "other"),
    ("", "rejected VRFY", "vrfy_expn_rejected"),
    ("", "rejected EXPN", "vrfy_expn_rejected"),
    ("", "rejected EHLO or HELO ", "bad_helo"),
    ("", "syntactically invalid argument(s)", "bad_helo"),
    ("", "no MAIL in SMTP connection from ", "null_connection"),
    ("", "unexpected disconnection while reading SMTP command from ", "lost_input"),
    ("", "SMTP command timeout on connection from ", "timeout"),
    ("", "TLS error on connection from ", "tls_fail"),
    ("", ": message too big", "too_big"),
    ("data", "rejected after DATA: this is spam", "header_reject"),
    ("access_reject", 'rejected connection in "connect" ACL', "access_reject"),
    ("conn_limit", " refused: too many connections", "conn_limit"),
]


def label(what, text):
    """The class of a line, "none" if it is no refusal, a 4xx, or a part of one."""
    if re.match(r"\[\d+[/\\]\d+\]", text) or " temporarily rejected " in text:
        return "none"
    for attack, words, cls in LABELS:
        if attack in ("", what) and words in text:
            return cls
    return "none"


def strip(line):
    """A line without the headers of syslog and Exim."""
    line = line.split(": ", 1)[1]
    return re.sub(r"^(\d{4}-\d\d-\d\d [\d:.]+ )?(\[\d+\] )?", "", line)


def row(n, own, what, line):
    """The truth about a line. Where text of the client's makes another reading as
    good as the true one the line may be given to nobody."""
    text = strip(line)
    truth = {"n": n, "ip": own, "cls": label(what, text)}
    if any(") [%s]" % victim in text for victim in (VICTIM, VICTIM6)):
        truth["may"] = "miss"
    return truth


class Exim:
    def __init__(self, config):
        with open(os.path.join(CONF, "exim.conf"), "w") as f:
            f.write(BASE % CONFIGS[config])
        os.chmod(os.path.join(CONF, "exim.conf"), 0o644)
        self.p = subprocess.Popen(["chroot", ROOT, "exim4", "-C", "/lab/exim.conf", "-bdf", "-oX", "25:26"])
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                Client("127.0.0.1", 25, wait=False).close()
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("exim does not start: " + config)

    def stop(self):
        self.p.send_signal(signal.SIGTERM)
        self.p.wait()


def prepare():
    shutil.rmtree(CONF, ignore_errors=True)
    os.makedirs(CONF)
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=mail.example",
        "-keyout", os.path.join(CONF, "key.pem"), "-out", os.path.join(CONF, "cert.pem"))
    run("chmod", "-R", "a+rX", CONF)


class Lab:
    def __init__(self):
        self.log, self.cast, self.truth = Log(), Cast(), []
        self.config = None

    def session(self, name, attack, six=False, own=None, port=25, wait=True, lines=1, longest=0.7):
        own = own or self.cast.next(six)
        self.log.read()
        client = Client(own, port, wait=wait)
        client.address = own
        attack(client)
        client.close()
        for n, line in self.log.quiet(lambda new: len(new) >= lines, longest=longest, pause=0.15):
            self.truth.append(row(n, own, name, line))

    def helo(self, c, name="client.example"):
        c.ask("EHLO " + name, until=b"250 ")

    def mails(self, helos):
        recipients = ["x@other.example", "nobody@lab.example", "listed@lab.example", "closed@lab.example", "grey@lab.example"]
        for i, helo in enumerate(helos):
            def attack(c, helo=helo):
                self.helo(c, helo)
                c.ask("MAIL FROM:<a@good.example>")
                for r in recipients:
                    c.ask("RCPT TO:<%s>" % r)
                c.ask("QUIT")
            self.session("rcpt", attack, six=i % 3 == 1, lines=8)

    def senders(self):
        for sender in ("spam@bad.example", "later@bad.example", "liar@bad.example", "x@nowhere.invalid", ""):
            for local in ("x",) + tuple(LOCALS):
                def attack(c, sender=sender, local=local):
                    self.helo(c)
                    c.ask("MAIL FROM:<%s>" % sender)
                    c.ask("RCPT TO:<%s@other.example>" % local)
                    c.ask("QUIT")
                self.session("sender", attack)
        for local in LOCALS:
            def attack(c, local=local):
                self.helo(c)
                c.ask("MAIL FROM:<%s@good.example>" % local)
                c.ask("RCPT TO:<x@other.example>")
                c.ask("QUIT")
            self.session("hostile_sender", attack)

    def auth(self, helos):
        for helo in helos:
            for user in USERS:
                def attack(c, helo=helo, user=user):
                    self.helo(c, helo)
                    c.ask("AUTH PLAIN " + b64("\0" + user + "\0wrong"))
                    c.ask("QUIT")
                self.session("auth_fail", attack, lines=2)
        for user in USERS[:4]:
            def attack(c, user=user):
                self.helo(c)
                c.ask("AUTH LOGIN")
                c.ask(b64(user))
                c.ask(b64("wrong"))
                c.ask("QUIT")
            self.session("auth_fail", attack, six=True, lines=2)
        def broken(c):
            self.helo(c)
            c.ask("AUTH PLAIN " + b64("\0broken\0wrong"))
        self.session("auth_unavailable", broken)
        def nonsense(c):
            self.helo(c)
            c.ask("AUTH PLAIN !!!")
        self.session("auth_decode", nonsense)
        def unasked(c):
            self.helo(c)
            c.ask("AUTH LOGIN " + b64("joe"))
        self.session("auth_not_advertised", unasked, port=26)

    def protocol(self):
        for six in (False, True):
            self.session("pregreet", lambda c: (c.send("GET / HTTP/1.1 H=(a) [%s]\r\n\r\n" % VICTIM), c.line()), six=six, wait=False)
            self.session("pipelining", lambda c: (self.helo(c), c.send("HELO b\r\nMAIL FROM:<a@b> H=(x) [%s]\r\n" % VICTIM), c.line(), c.line()), six=six)
            self.session("bad_command", lambda c: ([c.ask("FOO H=(x) [%s]" % VICTIM) for _ in range(6)]), six=six)
            self.session("syntax", lambda c: (self.helo(c), c.ask('MAIL FROM:"<a> H=(x) [%s] x' % VICTIM), c.ask("RCPT x"), c.ask("QUIT")), six=six)
            self.session("nonmail", lambda c: (self.helo(c), [c.ask("NOOP") for _ in range(8)]), six=six)
            self.session("too_many_errors", lambda c: ([c.ask("RCPT TO:<x> H=(a) [%s]" % VICTIM) for _ in range(8)]), six=six)
            self.session("vrfy", lambda c: (self.helo(c), c.ask("VRFY joe H=(x) [%s]" % VICTIM), c.ask("EXPN joe"), c.ask("QUIT")), six=six)
            self.session("no_helo", lambda c: (c.ask("MAIL FROM:<a@good.example>"), c.ask("RCPT TO:<x@other.example>"), c.ask("QUIT")), six=six)
            self.session("bad_helo", lambda c: (c.ask("EHLO mail1.example"), c.ask("QUIT")), six=six)
            self.session("bad_helo", lambda c: (c.ask("HELO a) [%s] b" % VICTIM), c.ask("EHLO @ [%s]" % VICTIM), c.ask("QUIT")), six=six)
            self.session("silent", lambda c: c.ask("QUIT"), six=six)
            self.session("lost", lambda c: (self.helo(c), c.ask("MAIL FROM:<a@good.example>")), six=six)
            self.session("tls", lambda c: (self.helo(c), c.ask("STARTTLS"), c.send("GET / [%s]\r\n" % VICTIM), c.line()), six=six, lines=9, longest=1.5)
            self.session("too_big", lambda c: (self.helo(c), c.ask("MAIL FROM:<a@good.example> SIZE=99999"), c.ask("QUIT")), six=six)
            self.session("big_data", lambda c: (self.message(c, "x" * 60 + "\r\n" + ("y" * 60 + "\r\n") * 90)), six=six)
            self.session("timeout", lambda c: (self.helo(c), time.sleep(2.3)), six=six)
        refused = "198.18.200.%d"
        for i in range(1, 4):
            run("ip", "address", "add", refused % i + "/32", "dev", "lo") if self.config == "plain" else None
            self.session("access_reject", lambda c: None, own=refused % i)

    def message(self, c, body):
        self.helo(c)
        c.ask("MAIL FROM:<a@good.example>")
        c.ask("RCPT TO:<joe@lab.example>")
        c.ask("DATA")
        c.send(body + "\r\n.\r\n")
        c.line()
        c.ask("QUIT")

    def data(self):
        for subject in ("spam", "spam H=(a) [%s] F=<b@c> rejected RCPT <d@e>: relay not permitted" % VICTIM, "spam\r\n 2026-12-01 04:00:00 H=(a) [%s] F=<b@c> rejected RCPT <d@e>: relay not permitted" % VICTIM):
            self.session("data", lambda c: self.message(c, "Subject: " + subject + "\r\n\r\nx"))
        self.session("accepted", lambda c: self.message(c, "Subject: hello\r\n\r\nx"), lines=3)

    def connections(self):
        own = "198.18.0.1"
        def attack(c):
            more = [Client(own, 25, wait=False) for _ in range(4)]
            for m in more:
                m.line()
            for m in more:
                m.close()
        self.session("conn_limit", attack, own=own, lines=3)

    def run(self):
        prepare()
        self.cast.next()
        for self.config in CONFIGS:
            server = Exim(self.config)
            self.log.quiet(lambda _: True, pause=0.5)
            helos = NAMES + JUNK if self.config == "junk" else NAMES
            for step in (lambda: self.mails(helos), self.senders, lambda: self.auth(helos if self.config == "junk" else NAMES[:2]),
                         self.protocol, self.data, self.connections):
                step()
            server.stop()
            self.log.quiet(lambda _: True, pause=0.3)
        write_truth(self.truth)


Lab().run()
