"""Scenarios of raw transactional requests, played with Apache Kafka and with us, and what they tell."""
