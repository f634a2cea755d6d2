"""Which brokers hold which partition: pure functions, as Kafka's `AdminUtils` lays replicas out.

Leaders go round robin over the brokers in id order, followers at a shift that grows by one each time the
brokers were all used, so that the followers of one leader's partitions spread over the others.

With racks the brokers are taken in turn from each rack, and a follower's place is skipped while its rack has
a replica and another one has none (KIP-36). All brokers name a rack, or none does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Racks = Mapping[int, str | None]
"""The rack of each broker."""


def assign_replicas(
    brokers: Sequence[int],
    partitions: int,
    replication: int,
    *,
    first_partition: int = 0,
    start: int = 0,
    shift: int = 0,
    racks: Racks | None = None,
) -> list[tuple[int, ...]]:
    """Replica lists (leader first) of `partitions` partitions, numbered from `first_partition`.

    `brokers` are node ids in the order to use, `start` the index of the first leader among them and `shift`
    the distance of the first follower. With racks the order is another one: see `rack_alternated`. Raises
    ValueError when the arguments cannot be met, or some brokers name a rack and others do not.
    """
    count = len(brokers)
    if partitions < 0:
        raise ValueError(f"cannot assign {partitions} partitions")
    if not 1 <= replication <= count:
        raise ValueError(f"replication factor {replication} needs 1 to {count} brokers")
    rack_of = _racks_in_use(brokers, racks)
    if rack_of is not None:
        brokers = rack_alternated(rack_of)
    assignment: list[tuple[int, ...]] = []
    for partition in range(first_partition, first_partition + partitions):
        if partition > 0 and partition % count == 0:
            shift += 1
        leader = (partition + start) % count
        if rack_of is None:
            followers = (
                brokers[(leader + 1 + (shift + k) % (count - 1)) % count] for k in range(replication - 1)
            )
            assignment.append((brokers[leader], *followers))
        else:
            assignment.append(_over_racks(brokers, rack_of, leader, replication, shift))
    return assignment


def rack_alternated(rack_of: Mapping[int, str]) -> list[int]:
    """One broker of each rack in turn, as long as the rack has more; racks by name, brokers by id."""
    members: dict[str, list[int]] = {}
    for broker in sorted(rack_of):
        members.setdefault(rack_of[broker], []).append(broker)
    of_racks = [members[rack] for rack in sorted(members)]
    longest = max(map(len, of_racks), default=0)
    return [ids[turn] for turn in range(longest) for ids in of_racks if turn < len(ids)]


def continue_assignment(
    brokers: Sequence[int],
    existing: Sequence[Sequence[int]],
    additional: int,
    *,
    racks: Racks | None = None,
) -> list[tuple[int, ...]]:
    """Replica lists of `additional` partitions that carry on the pattern of the `existing` ones.

    `brokers` are in id order, also with racks.
    """
    replication = len(existing[0])
    # Kafka starts where partition 0 starts, so that added partitions look as if made from the beginning.
    # With racks it counts in id order all the same, and uses that index in the other order.
    first_leader = existing[0][0]
    start = next((index for index, broker in enumerate(brokers) if broker >= first_leader), 0)
    return assign_replicas(
        brokers,
        additional,
        replication,
        first_partition=len(existing),
        start=start,
        shift=start,
        racks=racks,
    )


def not_all_in_racks(brokers: Sequence[int], racks: Racks | None) -> str | None:
    """Why replicas cannot be laid out over these racks, or None."""
    missing = sorted(broker for broker in brokers if racks is None or racks.get(broker) is None)
    if 0 < len(missing) < len(brokers):
        return f"brokers {missing} name no rack, the others do: none may, or all must"
    return None


def _racks_in_use(brokers: Sequence[int], racks: Racks | None) -> dict[int, str] | None:
    if (problem := not_all_in_racks(brokers, racks)) is not None:
        raise ValueError(problem)
    rack_of = {broker: rack for broker in brokers if racks and (rack := racks.get(broker)) is not None}
    return rack_of or None


def _over_racks(
    brokers: Sequence[int], rack_of: Mapping[int, str], leader: int, replication: int, shift: int
) -> tuple[int, ...]:
    """The replicas of one partition. Ends, since there is a broker left as long as a replica is missing."""
    count, rack_count = len(brokers), len(set(rack_of.values()))
    replicas, used_racks = [brokers[leader]], {rack_of[brokers[leader]]}
    k = 0
    while len(replicas) < replication:
        broker = brokers[(leader + 1 + (shift * rack_count + k) % (count - 1)) % count]
        k += 1
        if broker not in replicas and (rack_of[broker] not in used_racks or len(used_racks) == rack_count):
            replicas.append(broker)
            used_racks.add(rack_of[broker])
    return tuple(replicas)


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
