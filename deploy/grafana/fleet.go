package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// fleet has a row for each mail host.
func fleet() *dashboard.DashboardBuilder {
	byHost := func(expr string) string { return "sum by (host) (" + expr + ")" }
	return page("uppercut-fleet", "uppercut / Fleet", "The mail hosts: which ones log, how much, which are silent, and whose clock is wrong.").
		WithPanel(hostTable("Mail hosts", "A row for each mail host.",
			column{"Last line, seconds ago", "s", "max by (host) (time() - " + series("uppercut_host_last_message_timestamp_seconds") + ")"},
			column{"Lines/s", "short", byHost(rate("uppercut_host_messages_total"))},
			column{"Rejections/s", "reqps", byHost(rate("uppercut_rejections_total"))},
			column{"Accepted/s", "reqps", byHost(rate("uppercut_mail_accepted_total"))},
			column{"Rejected share", "percentunit", rejectedShare("host")},
			column{"AUTH failures/s", "reqps", byHost(rate("uppercut_auth_failures_total"))},
			column{"Backlog", "s", "max by (host) (" + series("uppercut_host_lag_seconds") + ")"},
			column{"Clock behind", "s", "max by (host) (" + series("uppercut_host_clock_skew_seconds") + ")"},
			column{"Breaker open", "bool_yes_no", "max by (host) (" + series("uppercut_breaker_open") + ")"},
		)).
		WithPanel(graph("Lines by host", "Syslog messages received.", "short",
			query{byHost(rate("uppercut_host_messages_total")), "{{host}}"})).
		WithPanel(graph("Rejections by host", "SMTP clients refused.", "reqps",
			query{byHost(rate("uppercut_rejections_total")), "{{host}}"})).
		WithPanel(graph("Mail accepted by host", "Messages accepted for delivery.", "reqps",
			query{byHost(rate("uppercut_mail_accepted_total")), "{{host}}"})).
		WithPanel(graph("AUTH failures by host", "Failed logins, of SMTP AUTH and other programs.", "reqps",
			query{byHost(rate("uppercut_auth_failures_total")), "{{host}}"})).
		WithPanel(graph("Backlog", "Arrival minus the time at which the newest line was judged: large while a queue is being sent.", "s",
			query{"max by (host) (" + series("uppercut_host_lag_seconds") + ")", "{{host}}"})).
		WithPanel(graph("Clocks", "How far the hosts' clocks are behind the gateway's; negative when they are ahead.", "s",
			query{"max by (host) (" + series("uppercut_host_clock_skew_seconds") + ")", "{{host}}"}).Min(-300)).
		WithPanel(graph("Breakers", "1 while part of the host's evidence is set aside.", "short",
			query{"max by (host) (" + series("uppercut_breaker_open") + ")", "{{host}}"}).Max(1)).
		WithPanel(graph("Lost on the way", "Messages missing from the sequence numbers that some senders add.", "short",
			query{"sum by (listener) (increase(" + series("uppercut_messages_lost_total") + "[$__rate_interval]))", "{{listener}}"}))
}
