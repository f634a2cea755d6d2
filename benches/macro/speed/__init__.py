"""The table of speed: every row beside Apache Kafka in one run. `python -m benches.macro.speed`."""
