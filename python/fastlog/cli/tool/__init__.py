"""`fastlog`: the command line for any Kafka cluster and for data directories; one module a verb."""
