"""The embedded keeper: one server of ZooKeeper's client protocol, for a broker on its own or a small cluster.

It is not an ensemble: while it is down nobody can coordinate, and what it has acknowledged is on one disk.
"""
