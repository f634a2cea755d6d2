"""The pytest plugin: suites of users, as `pytester` runs them, and its parts on real brokers."""
