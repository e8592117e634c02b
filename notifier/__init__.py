"""Tells people and other systems of alarms: routes, calendars, escalation, mail, webhooks, MQTT; with an outbox on the log."""
