"""Tests of `fastlog.server.security`."""
