"""Looking at a data directory that no broker has open: what `fastlog log dump` and `fastlog doctor` stand on.

Nothing here writes. Formats are Kafka's; the Rust files that own them document the bytes.
"""
