package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// fleet has a row for each mail host.
func fleet() *dashboard.DashboardBuilder {
	byHost := func(expr string) string { return "sum by (host) (" + expr + ")" }
	return page("uppercut-fleet", "uppercut / Fleet", "The mail hosts: who logs, who is loud, who is quiet, whose clock is wrong.").
		WithPanel(hostTable("Mail hosts", "A row for each mail host.",
			column{"Last line, seconds ago", "s", "max by (host) (time() - " + series("uppercut_host_last_message_timestamp_seconds") + ")"},
			column{"Lines/s", "short", byHost(rate("uppercut_host_messages_total"))},
			column{"Rejections/s", "reqps", byHost(rate("uppercut_rejections_total"))},
			column{"Accepted/s", "reqps", byHost(rate("uppercut_mail_accepted_total"))},
			column{"Rejected share", "percentunit", rejectedShare("host")},
			column{"AUTH failures/s", "reqps", byHost(rate("uppercut_auth_failures_total"))},
			column{"Lines behind", "s", "max by (host) (" + series("uppercut_host_clock_skew_seconds") + ")"},
			column{"Breaker open", "bool_yes_no", "max by (host) (" + series("uppercut_breaker_open") + ")"},
		)).
		WithPanel(graph("Lines by host", "Syslog messages received.", "short",
			query{byHost(rate("uppercut_host_messages_total")), "{{host}}"})).
		WithPanel(graph("Rejections by host", "SMTP clients refused.", "reqps",
			query{byHost(rate("uppercut_rejections_total")), "{{host}}"})).
		WithPanel(graph("Mail accepted by host", "Messages accepted for delivery.", "reqps",
			query{byHost(rate("uppercut_mail_accepted_total")), "{{host}}"})).
		WithPanel(graph("AUTH failures by host", "Failed SMTP AUTH attempts.", "reqps",
			query{byHost(rate("uppercut_auth_failures_total")), "{{host}}"})).
		WithPanel(graph("Behind", "Arrival minus the time in the newest line: a queue being sent, a wrong clock or a wrong zone; negative when the clock is ahead.", "s",
			query{"max by (host) (" + series("uppercut_host_clock_skew_seconds") + ")", "{{host}}"}).Min(-300)).
		WithPanel(graph("Breakers", "1 while part of the host's evidence is set aside.", "short",
			query{"max by (host) (" + series("uppercut_breaker_open") + ")", "{{host}}"}).Max(1))
}
