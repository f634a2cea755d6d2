"""Tests of the console, without a cluster."""
