"""What the attacks on the mail programs have in common: clients at addresses of
their own, the log that is watched, and the truth that is written beside it."""
import ipaddress
import json
import os
import socket
import ssl
import subprocess
import sys
import time

ROOT, OUT = sys.argv[1], sys.argv[2]
SERVER, SERVER6 = "198.51.100.25", "2001:db8:25::25"
VICTIM, VICTIM6 = "192.0.2.66", "2001:db8:dead::66"
LOG = os.path.join(OUT, "traditional.log")


class Log:
    """The log as rsyslog writes it; lines are numbered from 1."""

    def __init__(self):
        self.file = open(LOG, "rb")
        self.rest = b""
        self.number = 0

    def read(self):
        self.rest += self.file.read()
        *lines, self.rest = self.rest.split(b"\n")
        new = []
        for line in lines:
            self.number += 1
            new.append((self.number, line.decode("latin-1")))
        return new

    def quiet(self, wanted, longest=4.0, pause=0.12):
        """Lines until wanted(lines) holds and then nothing comes for a moment."""
        lines, end, calm = [], time.monotonic() + longest, None
        while time.monotonic() < end:
            new = self.read()
            lines += new
            if new:
                calm = None
            if wanted(lines):
                calm = calm or time.monotonic()
                if time.monotonic() - calm > pause:
                    return lines
            time.sleep(0.02)
        return lines


class Cast:
    """Gives out clients' addresses, one for each session."""

    def __init__(self):
        self.n = 0

    def next(self, six=False):
        self.n += 1
        if six:
            a = str(ipaddress.ip_address("2001:db8:bad::") + self.n)
            run("ip", "-6", "address", "add", a + "/128", "dev", "lo", "nodad")
        else:
            a = str(ipaddress.ip_address("198.18.0.0") + self.n)
            run("ip", "address", "add", a + "/32", "dev", "lo")
        return a


def run(*argv):
    subprocess.run(argv, check=True)


class Client:
    def __init__(self, address, port, tls=False, wait=True):
        server = SERVER6 if ":" in address else SERVER
        self.s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.s.settimeout(3)
        self.s.bind((address, 0))
        self.s.connect((server, port))
        self.buffer = b""
        if tls:
            self.tls()
        if wait:
            self.line()

    def tls(self, **options):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.s = context.wrap_socket(self.s, server_hostname=options.get("name"))

    def send(self, data):
        if isinstance(data, str):
            data = data.encode("latin-1")
        try:
            self.s.sendall(data)
        except OSError:
            pass

    def line(self):
        while b"\n" not in self.buffer:
            try:
                got = self.s.recv(4096)
            except OSError:
                return b""
            if not got:
                return b""
            self.buffer += got
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line

    def ask(self, command, until=None):
        self.send(command + "\r\n")
        line = self.line()
        while until and line and not line.startswith(until):
            line = self.line()
        return line

    def close(self):
        try:
            self.s.close()
        except OSError:
            pass


def write_truth(rows):
    with open(os.path.join(OUT, "truth.jsonl"), "w") as f:
        for row in rows:
            f.write(json.dumps(row) + "\n")
