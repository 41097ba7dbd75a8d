"""Traces by OpenTelemetry: events, rendered as spans. An extra; imported only where it is on."""
