"""Clients in C, so that a benchmark measures the broker; `build` makes them, with librdkafka's sources."""
