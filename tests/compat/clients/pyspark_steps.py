"""What `SparkSteps.java` does, in Python: `pyspark_steps.py broker copy|count setting=value...`.

"copy" is a streaming query from one topic to another that goes on from its checkpoint, "count" reads a topic
whole. Spark and the jars of its connector come by the environment (`tests/peers/spark.py`).
"""

from __future__ import annotations

import sys
from typing import Any

from pyspark.sql import SparkSession


def main(broker: str, step: str, *arguments: str) -> None:
    """Ends when the step does."""
    settings = dict(argument.split("=", 1) for argument in arguments)
    builder: Any = SparkSession.builder.master("local[2]").appName("steps")
    for key, value in {
        "spark.ui.enabled": "false",
        # Its bars would be in the midst of what is said here.
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
    }.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    print("ready", flush=True)
    (copy if step == "copy" else count)(spark, broker, settings)
    spark.stop()
    print("done", flush=True)


def copy(spark: Any, broker: str, settings: dict[str, str]) -> None:
    """All that there is, or all that comes with `trigger` (milliseconds)."""
    out, checkpoint, source = (settings.pop(key) for key in ("out", "checkpoint", "in"))
    trigger = settings.pop("trigger", None)
    stream = spark.readStream.format("kafka").option("kafka.bootstrap.servers", broker)
    stream = stream.option("subscribe", source).option("startingOffsets", "earliest").options(**settings)
    query = stream.load().select("key", "value").writeStream.format("kafka")
    query = query.option("kafka.bootstrap.servers", broker).option("topic", out)
    query = query.option("checkpointLocation", checkpoint)
    timing = {"availableNow": True} if trigger is None else {"processingTime": f"{trigger} milliseconds"}
    query.trigger(**timing).start().awaitTermination()


def count(spark: Any, broker: str, settings: dict[str, str]) -> None:
    """Says how many records there are, how many different ones, and the sum of their numbers."""
    reader = spark.read.format("kafka").option("kafka.bootstrap.servers", broker)
    rows = (
        reader.option("subscribe", settings["in"])
        .load()
        .selectExpr("cast(cast(value as string) as bigint) as number")
    )
    print("records", rows.count())
    print("different", rows.distinct().count())
    print("sum", rows.groupBy().sum("number").first()[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
