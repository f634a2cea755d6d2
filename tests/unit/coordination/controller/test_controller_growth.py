"""What happens to a broker costs what it hosts: work is counted beside few partitions and beside many."""

from __future__ import annotations

from fastlog.coordination.controller import brokers
from fastlog.coordination.controller.flow import Flow, Pause
from tests.unit.coordination.controller.world import World, live
from tests.unit.coordination.work import steps_of

FEW, MANY = 50, 500


async def steps_of_flow(world: World, flow: Flow[object]) -> int:
    async def carry_out() -> None:
        world.run(flow)

    return await steps_of(carry_out())


async def failure_beside(others: int) -> tuple[int, int]:
    """Steps of a failure of a broker that hosts ten partitions, and of its controlled shutdown before."""
    world = World([1, 2, 3])
    world.create("other", *([1, 2] for _ in range(others)))
    world.create("hosted", *([3, 1] for _ in range(5)), *([1, 3] for _ in range(5)))
    shutdown = await steps_of_flow(world, brokers.controlled_shutdown(world.context, 3, -1))
    assert len(world.writes) == 10
    world.run(brokers.brokers_failed(world.context, [3]))
    world.run(brokers.brokers_started(world.context, [live(3, world.next_zxid())]))
    for number in range(10):
        world.put_state(("hosted", number), 3, (3, 1))
    failure = await steps_of_flow(world, brokers.brokers_failed(world.context, [3]))
    return failure, shutdown


async def test_a_failure_visits_what_the_broker_hosts() -> None:
    few, many = await failure_beside(FEW), await failure_beside(MANY)
    # One instruction for each of the others would be 450 more.
    assert many[0] < few[0] + 400, (few, many)
    assert many[1] < few[1] + 400, (few, many)


def test_many_partitions_are_gone_through_in_turns() -> None:
    world = World([1, 2])
    world.create("t", *([1, 2] for _ in range(1_000)))
    pauses = 0

    def counted(flow: Flow[object]) -> Flow[object]:
        nonlocal pauses
        reply: object = None
        while True:
            try:
                command = flow.send(reply)
            except StopIteration as done:
                return done.value
            pauses += isinstance(command, Pause)
            reply = yield command

    world.run(counted(brokers.brokers_failed(world.context, [1])))
    assert len(world.writes) == 1_000
    # Elected, stored, told; then taken out of the sets, and told again.
    assert pauses >= 5 * 4
