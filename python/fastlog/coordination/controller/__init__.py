"""The controller of a cluster. What it decides is here as plain data and pure functions: no I/O, no clock."""
