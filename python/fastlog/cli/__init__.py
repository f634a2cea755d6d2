"""Command lines: `fastlog-broker`, `fastlog` and `fastlog-keeper`."""
