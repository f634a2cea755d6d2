"""Tests of the verbs, without a cluster."""
