"""A cluster of three brokers on this machine, to look at while brokers die and come back: `make cluster`."""
