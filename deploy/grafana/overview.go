package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// overview answers in one look: are we under attack, are we blocking the right
// ones, is the blocking real.
func overview() *dashboard.DashboardBuilder {
	return page("uppercut-overview", "uppercut / Overview", "Are we under attack, do we block the right ones, is the blocking real?").
		WithPanel(number("Enforcing", "1 when table, sets and rules were all found in the kernel at the last look, for both families.", "bool_yes_no",
			query{"min(" + series("uppercut_firewall_enforcing") + ")", ""}, otherwise("red"), from(1, "green"))).
		WithPanel(number("Blocked now", "Blocks in force, addresses and networks.", "short",
			query{"sum(" + series("uppercut_blocks_active") + ")", ""}, otherwise("text"))).
		WithPanel(number("Rejections", "SMTP clients refused per second, over all hosts.", "reqps",
			query{"sum(" + rate("uppercut_rejections_total") + ")", ""}, otherwise("text"))).
		WithPanel(number("Rejected share", "Share of rejections in rejections and accepted mail.", "percentunit",
			query{rejectedShare(""), ""}, otherwise("green"), from(0.9, "orange"), from(0.98, "red"))).
		WithPanel(number("Packets dropped", "Packets per second dropped by the block rules.", "pps",
			query{"sum(" + rate("uppercut_firewall_dropped_packets_total") + ")", ""}, otherwise("text"))).
		WithPanel(number("Line to block", "99th percentile of the time from receiving the deciding line to the kernel's acknowledgement.", "s",
			query{quantile("0.99", "uppercut_block_duration_seconds"), ""}, otherwise("green"), from(0.1, "orange"), from(1, "red"))).
		WithPanel(number("Silent hosts", "Mail hosts that have sent nothing for longer than configured.", "short",
			query{silentHosts(), ""}, otherwise("green"), from(1, "red"))).
		WithPanel(number("Breakers open", "Hosts whose evidence is disregarded because they refuse innocent clients.", "short",
			query{"sum(" + series("uppercut_breaker_open") + ") or vector(0)", ""}, otherwise("green"), from(1, "orange"))).
		WithPanel(stack("Rejections by reason", "SMTP rejections, by reason.", "reqps",
			query{"sum by (reason) (" + rate("uppercut_rejections_total") + ") > 0", "{{reason}}"})).
		WithPanel(stack("Blocks by rule", "New blocks, by the rule that fired; manual ones were made by an administrator.", "short",
			query{"sum by (rule) (increase(" + series("uppercut_blocks_total") + "[$__rate_interval]))", "{{rule}}"})).
		WithPanel(graph("Rejected share by host", "Share of rejections in rejections and accepted mail. One host far above the others has a broken filter.", "percentunit",
			query{rejectedShare("host"), "{{host}}"}).Max(1)).
		WithPanel(stack("Blocks in force", "What the list holds.", "short",
			query{"sum by (family, kind) (" + series("uppercut_blocks_active") + ")", "{{family}} {{kind}}"})).
		WithPanel(graph("Dropped packets", "Packets dropped by the block rules.", "pps",
			query{"sum by (family) (" + rate("uppercut_firewall_dropped_packets_total") + ")", "{{family}}"})).
		WithPanel(graph("From line to block", "Time from receiving the deciding line to the kernel's acknowledgement.", "s",
			query{quantile("0.5", "uppercut_block_duration_seconds"), "median"},
			query{quantile("0.99", "uppercut_block_duration_seconds"), "99 %"})).
		WithPanel(graph("Blocks not made", "Blocks that were decided and not made, by cause.", "short",
			query{"sum by (cause) (increase(" + series("uppercut_blocks_suppressed_total") + "[$__rate_interval]))", "{{cause}}"})).
		WithPanel(graph("Blocks ended", "Blocks that were removed, by cause.", "short",
			query{"sum by (cause) (increase(" + series("uppercut_unblocks_total") + "[$__rate_interval]))", "{{cause}}"}))
}

// rejectedShare is the share of rejections by a label, or over all.
func rejectedShare(by string) string {
	sum := "sum("
	if by != "" {
		sum = "sum by (" + by + ") ("
	}
	rejected := sum + rate("uppercut_rejections_total") + ")"
	return rejected + " / (" + rejected + " + " + sum + rate("uppercut_mail_accepted_total") + "))"
}

func silentHosts() string {
	return "count(time() - " + series("uppercut_host_last_message_timestamp_seconds") +
		" > on (job, instance, host) " + series("uppercut_host_silence_threshold_seconds") + ") or vector(0)"
}
