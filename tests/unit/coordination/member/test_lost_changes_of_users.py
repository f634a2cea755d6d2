"""Delegation tokens and passwords: whatever packet is lost, a change is made once, and its caller told so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from fastlog.base.clock import ManualClock
from fastlog.config.token_settings import TokenSettings
from fastlog.coordination.delegation_token import DelegationToken, secret_of
from fastlog.coordination.member.delegation_tokens import DelegationTokens
from fastlog.coordination.member.scram_users import ScramUsers
from fastlog.coordination.member.topic_writes import TopicWrites
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.scram_credentials import ScramCredential
from fastlog.coordination.znodes import node_json, paths, token_nodes
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.coordination.controller.tree_world import World
from tests.unit.coordination.member.test_topic_writes import Controller
from tests.unit.coordination.znodes.world import Cutter

KEY: Final = b"key"
SETTINGS: Final = TokenSettings(KEY, 7000, 1000, 60_000, 100)
MECHANISM: Final = "SCRAM-SHA-256"
CLOCK: Final = ManualClock()
NOW: Final = CLOCK.now_ms()
TOKEN: Final = DelegationToken("first", "User:a", "User:a", ("User:b",), NOW, NOW + 1000, NOW + 7000)
SECRET: Final = secret_of("first", KEY)


class Place:
    """What one broker changes."""

    def __init__(self, world: World, tree: MemberTree, *, is_controller: bool = False) -> None:
        writes = TopicWrites(tree, Controller())
        self.users = ScramUsers(tree, writes)
        self.tokens = DelegationTokens(
            tree, SETTINGS, lambda: is_controller, lambda: True, CLOCK, world.tasks
        )


CHANGES: Final[dict[str, Callable[[Place], Awaitable[Any]]]] = {
    "make": lambda place: place.tokens.create("User:c", "User:a", [], -1),
    "renew": lambda place: place.tokens.renew("User:b", SECRET, 5000),
    "end later": lambda place: place.tokens.expire("User:a", SECRET, 9000),
    "end": lambda place: place.tokens.expire("User:a", SECRET, -1),
    "drop a password": lambda place: place.users.change("u", {MECHANISM: None}),
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        await made.admin.create(paths.CONTROLLER_EPOCH, b"4")
        await made.admin.create(paths.CONTROLLER, b"{}")
        await made.admin.ensure(*token_nodes.PERSISTENT)
        yield made


async def children(world: World, parent: str) -> list[str]:
    """The names of nodes."""
    return (await world.admin.children(parent))[0]


async def reset(world: World) -> None:
    """One token, and one user with a password and a quota."""
    for parent in (token_nodes.TOKENS, token_nodes.CHANGES, paths.USER_CONFIGS, paths.CONFIG_CHANGES):
        for name in await children(world, parent):
            await world.admin.delete(f"{parent}/{name}")
    await world.admin.create(token_nodes.path_of("first"), token_nodes.encode_token(TOKEN))
    stored = ScramCredential(b"s", b"k", b"k", 4096).format()
    data = node_json.encode_config({MECHANISM: stored, "producer_byte_rate": "1"})
    await world.admin.create(paths.user_config("u"), data)


async def check(world: World, name: str) -> None:
    """What was to be done is done, once, and told to others once."""
    tokens = await children(world, token_nodes.TOKENS)
    found = [token_nodes.decode_token(path, world.data(path)) for path in map(token_nodes.path_of, tokens)]
    ends = {"renew": NOW + 5000, "end later": NOW + 7000}
    expected = [] if name == "end" else [TOKEN.until(ends.get(name, TOKEN.expiry_ms))]
    assert [token for token in found if token.owner == TOKEN.owner] == expected
    assert len(found) - len(expected) == (1 if name == "make" else 0)
    configs = node_json.decode_config("", world.data(paths.user_config("u")))
    is_dropped = name == "drop a password"
    assert configs.keys() == {"producer_byte_rate"} | (set() if is_dropped else {MECHANISM})
    parent = paths.CONFIG_CHANGES if is_dropped else token_nodes.CHANGES
    assert len(await children(world, parent)) == 1


@pytest.mark.parametrize("direction", ["requests", "answers"])
@pytest.mark.parametrize("name", CHANGES)
async def test_whatever_packet_is_lost(world: World, name: str, direction: str) -> None:
    for lost in range(20):
        await reset(world)
        cutter = Cutter(world.keeper)
        client = await world.client(cutter)
        place = Place(world, MemberTree(client, wait_seconds=5))
        place.tokens.table.put(TOKEN)
        setattr(cutter, direction, lost)
        outcome = await CHANGES[name](place)
        left = getattr(cutter, direction)
        setattr(cutter, direction, None)
        await client.session.close()
        await check(world, name)
        told = {"renew": NOW + 5000, "end later": NOW + 7000, "end": NOW}
        assert outcome == told.get(name) or name in ("make", "drop a password")
        table = {token.token_id: token for token in place.tokens.table.all()}
        assert ("first" in table) is (name != "end")
        assert len(table) == {"make": 2, "end": 0}.get(name, 1)
        if left is not None:
            return
    raise AssertionError("the change has more packets than were tried")


async def test_who_comes_second_is_told_so(world: World) -> None:
    """Each by what its broker believed before."""
    await reset(world)
    first, second = [Place(world, MemberTree(await world.client(), wait_seconds=5)) for _ in range(2)]
    for place in (first, second):
        place.tokens.table.put(TOKEN)
    await first.users.change("u", {MECHANISM: None})
    with pytest.raises(KafkaError) as caught:
        await second.users.change("u", {MECHANISM: None})
    assert caught.value.code is ErrorCode.RESOURCE_NOT_FOUND
    assert await first.tokens.renew("User:b", SECRET, 3000) == NOW + 3000
    assert await second.tokens.renew("User:a", SECRET, 2000) == NOW + 2000
    await first.tokens.expire("User:b", SECRET, -1)
    for change in ("renew", "end later", "end"):
        with pytest.raises(KafkaError) as caught:
            await CHANGES[change](second)
        assert caught.value.code is ErrorCode.DELEGATION_TOKEN_NOT_FOUND
    assert second.tokens.table.all() == []


async def test_old_tokens_are_removed_by_the_controller(world: World) -> None:
    """But what somebody has renewed meanwhile, at another broker, stays."""
    await reset(world)
    old = DelegationToken("old", "User:a", "User:a", (), 0, 1, 2)
    renewed = DelegationToken("renewed", "User:a", "User:a", (), 0, 1, NOW + 5)
    for token in (old, renewed):
        await world.admin.create(token_nodes.path_of(token.token_id), token_nodes.encode_token(token))
    other, place = [
        Place(world, MemberTree(await world.client(), wait_seconds=5), is_controller=which)
        for which in (False, True)
    ]
    for each in (other, place):
        for token in (TOKEN, old, renewed):
            each.tokens.table.put(token)
    after = token_nodes.encode_token(renewed.until(NOW + 5))
    await world.admin.set(token_nodes.path_of("renewed"), after)
    await other.tokens._sweep()
    assert len(await children(world, token_nodes.TOKENS)) == 3
    await place.tokens._sweep()
    assert sorted(await children(world, token_nodes.TOKENS)) == ["first", "renewed"]
    assert {token.token_id: token.expiry_ms for token in place.tokens.table.all()} == {
        "first": NOW + 1000,
        "renewed": NOW + 5,
    }
