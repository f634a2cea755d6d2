"""Cluster state: topics, assignments, configs, producer ids, and where they are kept."""
