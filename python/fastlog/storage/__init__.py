"""Partitions and log directories on this disk: open, recover, flush, retain, checkpoint."""
