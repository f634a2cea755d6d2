"""The cluster's metadata in a ZooKeeper tree, as Kafka 3.9 has it there: paths, JSON, and the writer."""
