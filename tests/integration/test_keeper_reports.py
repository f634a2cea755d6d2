"""What users of ZooKeeper's protocol have reported of other servers, asked of the keeper packet by packet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog.coordination.zookeeper.codes import CreateMode, EventType, KeeperState, OpCode, ZkCode
from fastlog.coordination.zookeeper.replies import Event, read_result
from fastlog.coordination.zookeeper.requests import (
    Bare,
    Create,
    Delete,
    OfWatch,
    Read,
    Request,
    SetData,
    SetWatches,
)
from tests.harness.keeper_link import KeeperLink, word
from tests.harness.keeper_process import KeeperProcess
from tests.harness.waiting import wait_until

EPHEMERAL = CreateMode.EPHEMERAL


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[KeeperProcess]:
    with KeeperProcess(tmp_path, tick_ms=500) as process:
        yield process


def figure(keeper: KeeperProcess, name: str) -> int:
    lines = dict(line.split("\t") for line in word(keeper.port, b"mntr").splitlines())
    return int(lines[f"zk_{name}"])


def done(link: KeeperLink, *requests: Request) -> None:
    for request in requests:
        code, _ = link.ask(request)
        assert code == ZkCode.OK, request


def exists(link: KeeperLink, path: str, *, watch: bool = False) -> bool:
    return link.ask(Read(OpCode.EXISTS, path, watch))[0] == ZkCode.OK


def told(link: KeeperLink, count: int) -> list[tuple[EventType, str]]:
    """The next events; the answer to a ping shows that there are no more."""
    link.request(Bare(OpCode.PING))
    events = []
    while isinstance(answer := link.answer(), Event):
        events.append((answer.type, answer.path))
    assert len(events) == count, events
    return events


def test_a_session_is_resumed_with_what_is_its_own_and_an_unknown_one_is_told(keeper: KeeperProcess) -> None:
    """ClickHouse #116690: a session must not be replaced by another one silently."""
    with KeeperLink(keeper.port) as first:
        done(first, Create("/mine", b"", flags=EPHEMERAL))
    with KeeperLink(keeper.port, resume=first.reply) as again:
        assert again.reply == first.reply
        assert exists(again, "/mine")
        sessions = figure(keeper, "global_sessions")
        strangers = [
            first.reply._replace(password=b"?" * 16),
            first.reply._replace(session_id=first.reply.session_id + 12345),
            first.reply._replace(password=b""),
        ]
        for stranger in strangers:
            with KeeperLink(keeper.port, resume=stranger) as refused:
                assert (refused.reply.session_id, refused.reply.timeout_ms) == (0, 0)
                with pytest.raises((AssertionError, ConnectionError)):
                    refused.packet()
        assert figure(keeper, "global_sessions") == sessions
        done(again, Bare(OpCode.CLOSE_SESSION))
    with KeeperLink(keeper.port, resume=first.reply) as late, KeeperLink(keeper.port) as other:
        assert late.reply.session_id == 0
        assert not exists(other, "/mine")


def test_a_session_that_has_seen_more_than_the_keeper_is_told_that_it_is_over(keeper: KeeperProcess) -> None:
    """kazoo #42: after a loss of data the same client must be able to begin anew."""
    with KeeperLink(keeper.port) as first:
        done(first, Create("/mine", b"", flags=EPHEMERAL))
    ahead = 2**62
    forged = first.reply._replace(password=b"?" * 16)
    with KeeperLink(keeper.port, resume=forged, last_zxid=ahead) as stranger:
        assert stranger.reply.session_id == 0
    with KeeperLink(keeper.port) as other:
        assert exists(other, "/mine")
    with KeeperLink(keeper.port, resume=first.reply, last_zxid=ahead) as told_so:
        assert told_so.reply.session_id == 0
    with KeeperLink(keeper.port, last_zxid=ahead) as anew:
        assert anew.reply.session_id != 0
        assert not exists(anew, "/mine")


def test_answers_about_watches_have_the_body_that_clients_read(keeper: KeeperProcess) -> None:
    """ClickHouse #98499, #98079: a code after the head of addWatch's answer, nothing after the others'."""
    with KeeperLink(keeper.port) as link:
        done(link, Create("/a", b""))
        code, body = link.ask(OfWatch(OpCode.ADD_WATCH, "/a", 1))
        assert (code, body.int32(), body.left) == (0, 0, 0)
        for op, kind, expected in (
            (OpCode.CHECK_WATCHES, 5, ZkCode.OK),
            (OpCode.CHECK_WATCHES, 4, ZkCode.NO_WATCHER),
            (OpCode.REMOVE_WATCHES, 4, ZkCode.NO_WATCHER),
            (OpCode.REMOVE_WATCHES, 3, ZkCode.OK),
            (OpCode.REMOVE_WATCHES, 3, ZkCode.NO_WATCHER),
            (OpCode.REMOVE_WATCHES, 6, ZkCode.MARSHALLING_ERROR),
        ):
            code, body = link.ask(OfWatch(op, "/a", kind))
            assert (code, body.left) == (expected, 0), (op, kind)
        assert figure(keeper, "watch_count") == 0


def test_recursive_watches_tell_the_path_of_the_node_that_changed(keeper: KeeperProcess) -> None:
    """ClickHouse #121333."""
    with KeeperLink(keeper.port) as link, KeeperLink(keeper.port) as writer:
        done(writer, Create("/a", b""), Create("/ab", b""))
        done(link, OfWatch(OpCode.ADD_WATCH, "/a", 1))
        done(
            writer, Create("/a/b", b""), Create("/a/b/c", b""), SetData("/a/b/c", b"1"), SetData("/ab", b"1")
        )
        done(writer, Delete("/a/b/c"), SetData("/a", b"1"))
        assert told(link, 5) == [
            (EventType.CREATED, "/a/b"),
            (EventType.CREATED, "/a/b/c"),
            (EventType.DATA_CHANGED, "/a/b/c"),
            (EventType.DELETED, "/a/b/c"),
            (EventType.DATA_CHANGED, "/a"),
        ]


def test_a_child_watch_fires_for_children_and_for_the_end_of_its_node_alone(keeper: KeeperProcess) -> None:
    """ClickHouse #28190: not for the data of a child, nor of the node."""
    with KeeperLink(keeper.port) as link, KeeperLink(keeper.port) as writer:
        done(writer, Create("/a", b""), Create("/a/b", b""))
        done(link, Read(OpCode.GET_CHILDREN2, "/a", True))
        done(writer, SetData("/a/b", b"1"), SetData("/a", b"1"), Create("/a/b/c", b""), Delete("/a/b/c"))
        assert told(link, 0) == []
        done(writer, Delete("/a/b"))
        assert told(link, 1) == [(EventType.CHILDREN_CHANGED, "/a")]
        done(link, Read(OpCode.GET_CHILDREN, "/a", True), Read(OpCode.GET_DATA, "/a", True))
        done(writer, Delete("/a"))
        assert told(link, 1) == [(EventType.DELETED, "/a")]


def test_an_event_comes_after_the_answer_that_set_its_watch_and_before_one_that_shows_the_change(
    keeper: KeeperProcess,
) -> None:
    """ClickHouse #28197, #18217: with reads and writes of two connections under way at once."""
    rounds, at_once = 60, 5
    look = Read(OpCode.GET_DATA, "/a", True)
    with KeeperLink(keeper.port) as reader, KeeperLink(keeper.port) as writer:
        done(writer, Create("/a", b""))
        armed: int | None = None
        answers = events = version = 0
        for _ in range(rounds):
            reader.request(*[look] * at_once)
            writer.request(*[SetData("/a", b"x")] * at_once)
            for _ in range(at_once):
                writer.answer()
        while answers < rounds * at_once:
            said = reader.answer()
            if isinstance(said, Event):
                assert armed is not None, "an event before the answer that set its watch"
                armed, events = None, events + 1
                continue
            stat = read_result(look, said[3]).stat
            assert stat is not None
            assert armed in (None, stat.version), "a change that the event has not told of yet"
            armed, answers, version = stat.version, answers + 1, stat.version
        told(reader, int(version < rounds * at_once))
        assert events > rounds // 2


def test_watches_are_armed_again_and_a_change_in_between_is_told(keeper: KeeperProcess) -> None:
    """kazoo #151, rust-zookeeper #97, and kazoo pull 305: data and children of one path."""
    with KeeperLink(keeper.port) as first:
        done(first, Create("/a", b""), Create("/b", b""), Create("/b/c", b""))
        first.request(Read(OpCode.GET_DATA, "/b"))
        said = first.answer()
        assert not isinstance(said, Event)
        _, zxid, _, _ = said
    with KeeperLink(keeper.port) as writer:
        done(writer, SetData("/b", b"changed"), Create("/new", b""))
    with (
        KeeperLink(keeper.port, resume=first.reply, last_zxid=zxid) as again,
        KeeperLink(keeper.port) as writer,
    ):
        again.request(SetWatches(OpCode.SET_WATCHES, zxid, ["/a", "/b"], ["/new", "/absent"], ["/a", "/b"]))
        assert [again.answer(), again.answer()] == [
            Event(EventType.DATA_CHANGED, KeeperState.CONNECTED, "/b"),
            Event(EventType.CREATED, KeeperState.CONNECTED, "/new"),
        ]
        assert not isinstance(again.answer(), Event)
        done(writer, Create("/a/child", b""), SetData("/a", b"1"), Create("/absent", b""), Delete("/b/c"))
        done(writer, SetData("/b", b"told already"))
        assert told(again, 4) == [
            (EventType.CHILDREN_CHANGED, "/a"),
            (EventType.DATA_CHANGED, "/a"),
            (EventType.CREATED, "/absent"),
            (EventType.CHILDREN_CHANGED, "/b"),
        ]


def test_counts_of_watches_and_connections_follow_those_who_go(keeper: KeeperProcess) -> None:
    """ClickHouse #84890, helix #733: cut, closed and expired sessions; watches of nodes that are missing."""
    everything = [
        *(Read(OpCode.GET_DATA, "/a", True), Read(OpCode.GET_CHILDREN, "/a", True)),
        *(OfWatch(OpCode.ADD_WATCH, "/a", 0), OfWatch(OpCode.ADD_WATCH, "/", 1)),
    ]

    def watching(timeout_ms: int = 10_000) -> KeeperLink:
        link = KeeperLink(keeper.port, timeout_ms=timeout_ms)
        done(link, *everything)
        for number in range(100):
            assert not exists(link, f"/missing-{number}", watch=True)
        return link

    with KeeperLink(keeper.port) as witness:

        def unwatched() -> bool:
            done(witness, Bare(OpCode.PING))
            return figure(keeper, "watch_count") == 0

        done(witness, Create("/a", b""))
        with watching():
            # The word comes over a connection of its own.
            assert (figure(keeper, "watch_count"), figure(keeper, "num_alive_connections")) == (104, 3)
        wait_until(unwatched, "watches of a cut connection", seconds=20)
        ending = watching()
        done(ending, Bare(OpCode.CLOSE_SESSION))
        assert figure(keeper, "watch_count") == 0
        before = figure(keeper, "global_sessions")
        silent = watching(timeout_ms=1000)
        done(witness, Create("/a/still-here", b""))
        wait_until(unwatched, "watches of an expired session", seconds=30)
        assert figure(keeper, "global_sessions") == before
        assert "Total watches:0" in word(keeper.port, b"wchs")
        for link in (ending, silent):
            link.socket.close()
        wait_until(
            lambda: (
                figure(keeper, "num_alive_connections") == 2
                and "Connections: 2\n" in word(keeper.port, b"srvr")
                and word(keeper.port, b"cons").count("sid=") == 1
            ),
            "connections that are gone are counted",
            seconds=20,
        )


def test_a_client_that_does_not_read_its_last_answers_is_not_waited_for(keeper: KeeperProcess) -> None:
    with KeeperLink(keeper.port) as link:
        done(link, Create("/large", b"x" * 1_000_000))
        link.request(*[Read(OpCode.GET_DATA, "/large")] * 12, Bare(OpCode.CLOSE_SESSION))
        wait_until(lambda: figure(keeper, "num_alive_connections") == 1, "it is served for ever", seconds=30)


def test_what_was_alive_at_a_crash_stays_if_it_comes_back_and_goes_if_not(tmp_path: Path) -> None:
    """dCache #5475, #5523: ephemeral nodes of the time before a crash of the server."""
    with KeeperProcess(tmp_path, tick_ms=250) as keeper:
        links = [KeeperLink(keeper.port, timeout_ms=5000) for _ in range(2)]
        for name, link in zip("ab", links, strict=True):
            done(link, Create(f"/{name}", b"", flags=EPHEMERAL))
        for link in links:
            link.socket.close()
        keeper.kill()
        keeper.start()
        with KeeperLink(keeper.port, resume=links[0].reply) as back, KeeperLink(keeper.port) as other:
            assert back.reply == links[0].reply

            def gone() -> bool:
                done(back, Bare(OpCode.PING))
                return not exists(other, "/b")

            wait_until(gone, "the node of a session that did not come back", seconds=60)
            assert exists(other, "/a")
        with KeeperLink(keeper.port, resume=links[1].reply) as late:
            assert late.reply.session_id == 0
