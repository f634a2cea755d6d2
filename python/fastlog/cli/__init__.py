"""Command lines: `fastlog-broker`."""
