"""ZooKeeper's client protocol: the codec that client and keeper share, and the asyncio client.

Facts are those of Apache ZooKeeper 3.9 (`zookeeper.jute`, `ZooDefs`, `KeeperException`).
"""
