"""`fastlog-broker`: the daemon, from its options over signals to its exit code."""
