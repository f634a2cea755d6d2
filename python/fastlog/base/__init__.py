"""What every layer may build on, and what knows nothing of Kafka: background work under supervision, time,
small files, an end that comes in any case, and a log that nobody waits for, files that end."""
