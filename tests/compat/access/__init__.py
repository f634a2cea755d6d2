"""Access rules beside those of Apache Kafka."""
