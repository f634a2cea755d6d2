"""Which brokers hold which partition: pure functions, as Kafka's `AdminUtils` lays replicas out.

Leaders go round robin over the brokers in id order, followers at a shift that grows by one each time the
brokers were all used, so that the followers of one leader's partitions spread over the others. Racks are not
looked at yet; `BrokerInfo.rack` is there for it.
"""

from __future__ import annotations

from collections.abc import Sequence


def assign_replicas(
    brokers: Sequence[int],
    partitions: int,
    replication: int,
    *,
    first_partition: int = 0,
    start: int = 0,
    shift: int = 0,
) -> list[tuple[int, ...]]:
    """Replica lists (leader first) of `partitions` partitions, numbered from `first_partition`.

    `brokers` are node ids in the order to use, `start` the index of the first leader among them and `shift`
    the distance of the first follower. Raises ValueError when the arguments cannot be met.
    """
    count = len(brokers)
    if partitions < 0:
        raise ValueError(f"cannot assign {partitions} partitions")
    if not 1 <= replication <= count:
        raise ValueError(f"replication factor {replication} needs 1 to {count} brokers")
    assignment: list[tuple[int, ...]] = []
    for partition in range(first_partition, first_partition + partitions):
        if partition > 0 and partition % count == 0:
            shift += 1
        leader = (partition + start) % count
        followers = ((leader + 1 + (shift + k) % (count - 1)) % count for k in range(replication - 1))
        assignment.append((brokers[leader], *(brokers[index] for index in followers)))
    return assignment


def continue_assignment(
    brokers: Sequence[int], existing: Sequence[Sequence[int]], additional: int
) -> list[tuple[int, ...]]:
    """Replica lists of `additional` partitions that carry on the pattern of the `existing` ones."""
    replication = len(existing[0])
    # Kafka starts where partition 0 starts, so that added partitions look as if made from the beginning.
    first_leader = existing[0][0]
    start = next((index for index, broker in enumerate(brokers) if broker >= first_leader), 0)
    return assign_replicas(
        brokers, additional, replication, first_partition=len(existing), start=start, shift=start
    )


def assignment_problem(replicas: Sequence[int], brokers: Sequence[int], replication: int) -> str | None:
    """Why an operator may not assign one partition to `replicas`, or None."""
    if not replicas:
        return "a partition needs at least one replica"
    if len(set(replicas)) != len(replicas):
        return f"replicas {list(replicas)} name a broker twice"
    if any(replica < 0 for replica in replicas):
        return f"replicas {list(replicas)} hold a negative broker id"
    unknown = [replica for replica in replicas if replica not in brokers]
    if unknown:
        return f"replicas {list(replicas)} name unknown brokers {unknown}"
    if len(replicas) != replication:
        return f"replicas {list(replicas)} differ in number from the first partition's {replication}"
    return None
