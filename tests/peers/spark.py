"""Spark with its Kafka source and sink, from Maven Central: a driver with two local cores. And PySpark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.harness.app_process import JVM_FLAGS
from tests.peers.maven import class_path
from tests.peers.python_clients import python_with

SPARK: Final = "4.2.0"
"""With kafka-clients 3.9.2."""
OPENED: Final = tuple(
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in (
        "java.lang",
        "java.lang.invoke",
        "java.lang.reflect",
        "java.io",
        "java.net",
        "java.nio",
        "java.util",
        "java.util.concurrent",
        "java.util.concurrent.atomic",
        "jdk.internal.ref",
        "sun.nio.ch",
        "sun.nio.cs",
        "sun.security.action",
        "sun.util.calendar",
    )
)
"""What Spark needs to be given of Java 17."""


def spark_class_path() -> str:
    """Spark SQL and its Kafka connector for Scala 2.13."""
    parts = ("spark-sql_2.13", "spark-sql-kafka-0-10_2.13")
    return class_path(f"spark-{SPARK}", [f"org.apache.spark:{part}:{SPARK}" for part in parts])


def pyspark_environment() -> Mapping[str, str]:
    """An environment in which `sys.executable` imports PySpark, and its JVM finds the connector."""
    wanted = ("spark-sql-kafka", "spark-token-provider-kafka", "kafka-clients", "commons-pool2")
    jars = [jar for jar in spark_class_path().split(":") if Path(jar).name.startswith(wanted)]
    assert len(jars) == len(wanted), jars
    flags = f"--driver-memory 768m --driver-java-options '{' '.join(JVM_FLAGS)}'"
    options = f"--jars {','.join(jars)} {flags} pyspark-shell"
    return {**python_with(f"pyspark=={SPARK}"), "PYSPARK_SUBMIT_ARGS": options}
