"""fastlog: the Kafka-compatible message broker that you can pip install."""
