# Programs of a mail host that call syslog(3): callers.py COUNT. Prints how long
# the calls took, in seconds. Gives up once three have taken 1.5 s.
import json, sys, syslog, time

count, taken, waits = int(sys.argv[1]), [], 0
syslog.openlog("sm-mta", syslog.LOG_PID, syslog.LOG_MAIL)


def call(text):
    begin = time.monotonic()
    syslog.syslog(syslog.LOG_INFO, text)
    taken.append(time.monotonic() - begin)


for i in range(1, count + 1):
    call("number %d" % i)
    if i % 1000 == 0:
        for name, facility in ("sshd", syslog.LOG_AUTH), ("house", syslog.LOG_LOCAL0):
            syslog.openlog(name, syslog.LOG_PID, facility)
            call("line %d" % i)
        syslog.openlog("sm-mta", syslog.LOG_PID, syslog.LOG_MAIL)
    waits += taken[-1] > 1.5
    if waits == 3:
        break
taken.sort()
json.dump({"calls": i, "slow": sum(t > 0.05 for t in taken), "max": taken[-1]}, sys.stdout)
