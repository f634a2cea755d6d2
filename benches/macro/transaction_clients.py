"""The same loads through librdkafka, as applications run them: a thread for each producer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from confluent_kafka import Producer

from benches.macro.transaction_flow import RECORD_BYTES, TOPIC, Load, Run


def run_librdkafka(bootstrap: str, load: Load, seconds: float, broker_cpu: Callable[[], float]) -> Run:
    """All producers run transactions for so many seconds, after a quarter of that as a warm-up."""
    run, lock = Run(), threading.Lock()
    ready = threading.Barrier(load.producers + 1)
    span: list[float] = []
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            _transactions(bootstrap, load, number, ready, span, run, lock)
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)
            ready.abort()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(load.producers)]
    for thread in threads:
        thread.start()
    began = time.perf_counter() + seconds / 4
    span += (began, began + seconds)
    try:
        ready.wait(60)
    except threading.BrokenBarrierError:
        raise failures[0] if failures else TimeoutError("producers do not start") from None
    began = time.perf_counter() + seconds / 4
    span[:] = (began, began + seconds)
    time.sleep(seconds / 4)
    cpu, own = broker_cpu(), time.process_time()
    time.sleep(max(0.0, span[1] - time.perf_counter()))
    run.broker_cpu, run.client_cpu, run.seconds = broker_cpu() - cpu, time.process_time() - own, seconds
    for thread in threads:
        thread.join(60)
    if failures:
        raise failures[0]
    return run


def _transactions(
    bootstrap: str,
    load: Load,
    number: int,
    ready: threading.Barrier,
    span: list[float],
    run: Run,
    lock: threading.Lock,
) -> None:
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": f"librdkafka-{load.name}-{number}",
            "linger.ms": 0,
        }
    )
    producer.init_transactions(60)
    value, latencies = bytes(RECORD_BYTES), []
    ready.wait(60)
    while (began := time.perf_counter()) < span[1]:
        producer.begin_transaction()
        for partition in range(load.partitions):
            producer.produce(TOPIC, value, partition=partition)
        producer.commit_transaction(60)
        ended = time.perf_counter()
        if span[0] <= began and ended <= span[1]:
            latencies.append(ended - began)
    with lock:
        run.latencies += latencies
