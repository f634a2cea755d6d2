"""One program per client library: `produce FILE` sends a file's records in order, `consume FILE` reads them.

Each is run as a process of its own, so that two releases of one library can be used side by side. Common
arguments: `--bootstrap --topic --codec --count`; the topic has one partition and is read by assignment.
"""
