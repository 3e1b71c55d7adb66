dnl What the three mail hosts have in common. @NAME@ placeholders are filled in
dnl when the host starts; @DIR@ is its own directory.
divert(0)dnl
define(`_USE_ETC_MAIL_')dnl
include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
VERSIONID(`uppercut lab, @HOST@')
OSTYPE(`debian')dnl
DOMAIN(`debian-mta')dnl
undefine(`confHOST_STATUS_DIRECTORY')dnl
define(`ALIAS_FILE', `@DIR@/etc/aliases')dnl
define(`QUEUE_DIR', `@DIR@/mqueue')dnl
define(`STATUS_FILE', `@DIR@/statistics')dnl
define(`HELP_FILE', `@DIR@/etc/helpfile')dnl
define(`confPID_FILE', `@DIR@/sendmail.pid')dnl
define(`confCONTROL_SOCKET_NAME', `@DIR@/control')dnl
define(`confSERVICE_SWITCH_FILE', `@DIR@/etc/service.switch')dnl
define(`confDEAD_LETTER_DROP', `@DIR@/dead.letter')dnl
define(`confCW_FILE', `@DIR@/etc/local-host-names')dnl
define(`confDOMAIN_NAME', `@HOST@.lab.example')dnl
define(`confDELIVERY_MODE', `background')dnl
define(`confQUEUE_LA', `200')define(`confREFUSE_LA', `300')define(`confDELAY_LA', `0')dnl
define(`confMAX_DAEMON_CHILDREN', `400')dnl
define(`confCONNECTION_RATE_THROTTLE', `200')dnl
define(`confSERVER_CERT', `@DIR@/tls/cert.pem')dnl
define(`confSERVER_KEY', `@DIR@/tls/key.pem')dnl
define(`confCACERT', `@DIR@/tls/ca.pem')dnl
define(`confCACERT_PATH', `@DIR@/tls')dnl
define(`confAUTH_MECHANISMS', `LOGIN PLAIN')dnl
TRUST_AUTH_MECH(`LOGIN PLAIN')dnl
define(`LOCAL_MAILER_PATH', `@DIR@/bin/discard')dnl
define(`LOCAL_MAILER_ARGS', `discard $u')dnl
FEATURE(`use_cw_file')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`access_db', `hash -o -T<TMPF> @DIR@/etc/access', `skip')dnl
FEATURE(`blocklist_recipients')dnl
FEATURE(`virtusertable', `hash -o @DIR@/etc/virtusertable')dnl
FEATURE(`mailertable', `hash -o @DIR@/etc/mailertable')dnl
