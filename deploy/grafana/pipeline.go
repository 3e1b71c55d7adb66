package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// pipeline follows a line from the socket to the kernel.
func pipeline() *dashboard.DashboardBuilder {
	d := page("uppercut-pipeline", "uppercut / Pipeline", "From the socket to the kernel: what is received, lost, waiting and enforced.")
	receiving(d)
	judging(d)
	blocking(d)
	telling(d)
	return process(d)
}

func receiving(d *dashboard.DashboardBuilder) {
	d.WithRow(dashboard.NewRowBuilder("Receiving")).
		WithPanel(graph("Messages", "Received, by listener, and judged.", "short",
			query{"sum by (listener) (" + rate("uppercut_messages_received_total") + ")", "received, {{listener}}"},
			query{"sum(" + rate("uppercut_messages_judged_total") + ")", "judged"}).Span(third)).
		WithPanel(graph("Waiting for the judge", "At 100 % readers and senders wait.", "percentunit",
			query{"max by (queue) (" + series("uppercut_queue_length") + " / " + series("uppercut_queue_capacity") + ")", "{{queue}}"}).Max(1).Span(third)).
		WithPanel(graph("Lost", "Messages that are never judged: dropped by the kernel, or refused by uppercut.", "short",
			query{"sum by (listener) (" + rate("uppercut_udp_kernel_drops_total") + ")", "kernel, {{listener}}"},
			query{"sum by (listener, reason) (" + rate("uppercut_messages_dropped_total") + ") > 0", "{{listener}}, {{reason}}"}).Span(third)).
		WithPanel(graph("Connections", "Open sender connections.", "short",
			query{"sum by (listener) (" + series("uppercut_connections") + ")", "{{listener}}"}).Span(third)).
		WithPanel(graph("Connections refused", "Connections that were refused or closed, by reason.", "short",
			query{"sum by (listener, reason) (" + rate("uppercut_connections_rejected_total") + ") > 0", "{{listener}}, {{reason}}"}).Span(third)).
		WithPanel(graph("Receive buffer", "Receive buffer that the kernel granted the UDP sockets: twice receive_buffer for each reader, if possible.", "bytes",
			query{"min by (listener) (" + series("uppercut_udp_receive_buffer_bytes") + ")", "{{listener}}"}).Span(third))
}

func judging(d *dashboard.DashboardBuilder) {
	d.WithRow(dashboard.NewRowBuilder("Judging")).
		WithPanel(graph("Not understood", "Messages that could not be read, by stage.", "short",
			query{"sum by (stage) (" + rate("uppercut_parse_failures_total") + ")", "{{stage}}"}).Span(third)).
		WithPanel(stack("Sendmail lines", "sendmail's log lines by class.", "short",
			query{"sum by (class) (" + rate("uppercut_sendmail_lines_total") + ") > 0", "{{class}}"}).Span(third)).
		WithPanel(graph("Set aside", "Lines that are not counted, or not again.", "short",
			query{"sum(" + rate("uppercut_duplicate_lines_total") + ")", "sent twice"},
			query{"sum(" + rate("uppercut_late_lines_total") + ")", "late"},
			query{"sum(" + rate("uppercut_foreign_lines_total") + ")", "other programs"},
			query{"sum(" + rate("uppercut_orphaned_offences_total") + ")", "no client proven"}).Span(third)).
		WithPanel(graph("Sources watched", "Sources with a live score, and the limit.", "short",
			query{"sum by (family) (" + series("uppercut_tracked_sources") + ")", "{{family}}"},
			query{"sum(" + series("uppercut_tracked_sources_limit") + ")", "limit"}).Span(third)).
		WithPanel(graph("Verdicts waiting", "Blocks waiting because of the ceiling of blocks per minute.", "short",
			query{"sum(" + series("uppercut_verdicts_waiting") + ")", "waiting"}).Span(third)).
		WithPanel(graph("Over before they came", "Blocks that were not made because they would already have ended when their line arrived.", "short",
			query{"sum(increase(" + series("uppercut_verdicts_ran_out_total") + "[$__rate_interval]))", "ran out"}).Span(third)).
		WithPanel(graph("How old lines are when they arrive", "Time of arrival minus the time in the header: hours while a host sends a backlog.", "s",
			query{quantile("0.5", "uppercut_message_lag_seconds"), "median"},
			query{quantile("0.99", "uppercut_message_lag_seconds"), "99 %"})).
		WithPanel(stack("Rejections by ruleset", "Rejections by sendmail ruleset, permanent (5xx) or temporary (4xx).", "reqps",
			query{"sum by (ruleset, reply_class) (" + rate("uppercut_ruleset_rejections_total") + ") > 0", "{{ruleset}} {{reply_class}}"}))
}

func blocking(d *dashboard.DashboardBuilder) {
	d.WithRow(dashboard.NewRowBuilder("Blocking")).
		WithPanel(graph("Waiting for the kernel", "Blocks and commands that are not yet written.", "short",
			query{"sum(" + series("uppercut_firewall_queue_length") + ")", "waiting"}).Span(third)).
		WithPanel(graph("Netlink operations", "Netlink operations, and separately those that failed.", "ops",
			query{"sum by (operation) (" + rate("uppercut_firewall_operations_total") + ")", "{{operation}}"},
			query{"sum by (operation) (" + rate("uppercut_firewall_operation_failures_total") + ") > 0", "{{operation}} failed"}).Span(third)).
		WithPanel(graph("Netlink duration", "99th percentile.", "s",
			query{quantile("0.99", "uppercut_firewall_operation_duration_seconds", "operation"), "{{operation}}"}).Span(third)).
		WithPanel(graph("Drift", "Elements that differ from the list, as of the last comparison.", "short",
			query{"sum by (kind) (" + series("uppercut_firewall_drift_elements") + ")", "{{kind}}"}).Span(third)).
		WithPanel(graph("Repairs", "Times that the firewall was repaired after others had changed it.", "short",
			query{"sum(increase(" + series("uppercut_firewall_repairs_total") + "[$__rate_interval]))", "repairs"}).Span(third)).
		WithPanel(graph("How full the sets are", "At 100 % the blocks with the lowest scores make room for new ones.", "percentunit",
			query{"max by (set) (" + series("uppercut_firewall_set_elements") + " / " + series("uppercut_firewall_set_capacity") + ")", "{{set}}"}).Max(1).Span(third)).
		WithPanel(graph("How old blocks are when they begin", "Time from the deciding line's own timestamp to the kernel's acknowledgement.", "s",
			query{quantile("0.5", "uppercut_block_event_age_seconds"), "median"},
			query{quantile("0.99", "uppercut_block_event_age_seconds"), "99 %"})).
		WithPanel(graph("Seen after their block", "Blocked sources that still appeared in the logs: their packets bypass the gateway.", "short",
			query{"sum(increase(" + series("uppercut_seen_after_block_total") + "[$__rate_interval]))", "seen"}))
}

func telling(d *dashboard.DashboardBuilder) {
	d.WithRow(dashboard.NewRowBuilder("Events out")).
		WithPanel(graph("Events", "Events delivered by webhook and syslog, and lost ones by reason.", "short",
			query{"sum by (sink) (" + rate("uppercut_events_delivered_total") + ")", "{{sink}}"},
			query{"sum by (sink, reason) (" + rate("uppercut_events_dropped_total") + ") > 0", "{{sink}} lost, {{reason}}"}).Span(third)).
		WithPanel(graph("Failed attempts", "Failed attempts to deliver; they are repeated.", "short",
			query{"sum by (sink) (" + rate("uppercut_event_delivery_failures_total") + ")", "{{sink}}"}).Span(third)).
		WithPanel(graph("Waiting for delivery", "At 100 % further events are lost.", "percentunit",
			query{"max by (sink) (" + series("uppercut_event_queue_length") + " / " + series("uppercut_event_queue_capacity") + ")", "{{sink}}"}).Max(1).Span(third))
}

func process(d *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	return d.WithRow(dashboard.NewRowBuilder("Process")).
		WithPanel(graph("Ready", "1 for each condition of readiness that holds.", "short",
			query{"min by (check) (" + series("uppercut_check_ok") + ")", "{{check}}"}).Max(1).Span(quarter)).
		WithPanel(graph("CPU", "Cores in use.", "short",
			query{"sum by (instance) (" + rate("process_cpu_seconds_total") + ")", "{{instance}}"}).Span(quarter)).
		WithPanel(graph("Memory", "Resident memory.", "bytes",
			query{"sum by (instance) (" + series("process_resident_memory_bytes") + ")", "{{instance}}"}).Span(quarter)).
		WithPanel(graph("Own log lines", "Lines of uppercut's own log, by level.", "short",
			query{"sum by (level) (" + rate("uppercut_log_messages_total") + ")", "{{level}}"}).Span(quarter))
}
