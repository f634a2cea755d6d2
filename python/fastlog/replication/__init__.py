"""Replicas, their high watermarks, and the purgatory where produce and fetch requests wait."""
