"""The same packets, and the same commands, to the keeper and to a real Apache ZooKeeper: the same answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest

from fastlog.coordination.zookeeper.codes import OpCode, ZkCode
from fastlog.coordination.zookeeper.errors import ZkError
from fastlog.coordination.zookeeper.jute import Reader, Writer
from fastlog.coordination.zookeeper.replies import Event, Result, read_header, read_result
from fastlog.coordination.zookeeper.requests import (
    Auth,
    Bare,
    Check,
    Create,
    Delete,
    Multi,
    OfPath,
    OfWatch,
    Read,
    Request,
    SetAcl,
    SetData,
    SetWatches,
)
from fastlog.coordination.zookeeper.structures import Acl, Stat
from tests.harness.keeper_link import KeeperLink, word
from tests.harness.keeper_process import KeeperProcess
from tests.peers.zookeeper import ZooKeeperServer, run_client

pytestmark = pytest.mark.java

E, G, C, C2 = OpCode.EXISTS, OpCode.GET_DATA, OpCode.GET_CHILDREN, OpCode.GET_CHILDREN2
ME: Final = (Acl(31, "auth", ""),)
ANYONE_READS: Final = (Acl(31, "auth", ""), Acl(1, "world", "anyone"))


def multi(*parts: Request) -> Multi:
    return Multi(OpCode.MULTI, parts)


SCRIPT: Final[list[Request]] = [
    *(Create("/a", b"x"), Create("/a", b"x"), Create("/a/b", None), Create("/missing/b"), Create("/")),
    *(Read(G, "/a"), Read(G, "/a/b"), Read(G, "/missing"), Read(E, "/a"), Read(E, "/missing"), Read(G, "/")),
    *(
        Create("relative"),
        Create("/end/"),
        Create("/a//b"),
        Create("/a/./b"),
        Create("/a/\u0001"),
        Create(""),
    ),
    *(Create("/ä €", "ü".encode()), Read(G, "/ä €"), Delete("/ä €")),
    *(
        SetData("/a", b"y"),
        SetData("/a", b"z", 1),
        SetData("/a", b"z", 1),
        SetData("/a", None),
        Read(G, "/a"),
    ),
    *(Delete("/a"), Delete("/a/b", 5), Delete("/a/b", 0), Delete("/a/b"), Delete("/"), Delete("/zookeeper")),
    *(Create("/a/s-", b"", flags=2), Create("/a/s-", b"", flags=3), Create("/a/", b"", flags=2)),
    *(Create("/a/e", b"", flags=1), Create("/a/e/child"), Create("/f", b"", flags=9), Create("/f", flags=-1)),
    *(Create("/two", b"q", op=OpCode.CREATE2), Create("/two", b"q", op=OpCode.CREATE2)),
    *(Create("/cont", b"", flags=4, op=OpCode.CREATE_CONTAINER), Create("/cont/x", b""), Read(E, "/cont")),
    *(Create("/ttl", b"", flags=5, ttl=100_000, op=OpCode.CREATE_TTL), Read(E, "/ttl")),
    *(Create("/ttl0", b"", flags=5, ttl=0, op=OpCode.CREATE_TTL), Create("/ttl1", b"", flags=5)),
    *(Read(C, "/a"), Read(C2, "/a"), Read(C, "/missing"), Read(C2, "/zookeeper"), Read(C, "bad")),
    *(
        SetData("bad", b""),
        Delete("bad"),
        Delete("/a/"),
        SetData("/a//b", b""),
        SetAcl("bad", ME),
        Read(E, "bad"),
    ),
    *(multi(Check("bad")), multi(Delete("bad")), OfPath(OpCode.GET_ACL, "bad"), OfPath(OpCode.SYNC, "bad")),
    *(Create("/a/n\u0000l"), Create("/missing/\u0001"), Create("/x", flags=1, op=OpCode.CREATE_CONTAINER)),
    *(Create("/y", flags=0, op=OpCode.CREATE_TTL), Create("/z", flags=6, ttl=90_000, op=OpCode.CREATE_TTL)),
    *(OfPath(OpCode.SYNC, "/a"), OfPath(OpCode.GET_ACL, "/a"), OfPath(OpCode.GET_ACL, "/missing")),
    *(OfPath(OpCode.GET_EPHEMERALS, "/"), OfPath(OpCode.GET_EPHEMERALS, "/two")),
    *(OfPath(OpCode.GET_ALL_CHILDREN_NUMBER, "/a"), OfPath(OpCode.GET_ALL_CHILDREN_NUMBER, "/missing")),
    *(SetAcl("/a", (Acl(1, "world", "anyone"),)), SetData("/a", b""), Read(E, "/a"), Delete("/a/e")),
    *(Create("/a/no"), OfPath(OpCode.GET_ACL, "/a"), SetAcl("/a", (Acl(31, "world", "anyone"),))),
    *(Create("/acl", b"", ()), Create("/acl", b"", ME), Create("/acl", b"", (Acl(31, "digest", "no"),))),
    *(Create("/acl", b"", (Acl(31, "ip", "999.1.1.1"),)), Create("/acl", b"", (Acl(31, "unknown", "x"),))),
    Auth("digest", b"user:secret"),
    *(Create("/acl", b"", ME), OfPath(OpCode.GET_ACL, "/acl"), Create("/acl2", b"", ANYONE_READS)),
    *(SetAcl("/acl2", ANYONE_READS, 7), SetAcl("/acl2", ANYONE_READS, 0), OfPath(OpCode.GET_ACL, "/acl2")),
    *(Create("/acl3", b"", (Acl(1, "ip", "127.0.0.1"),)), Read(G, "/acl3"), SetData("/acl3", b"")),
    *(multi(Create("/m", b"1"), SetData("/m", b"2", 0), Check("/m", 1), Create("/m/c", op=OpCode.CREATE2)),),
    *(multi(Create("/n"), Check("/m", 9), Delete("/m/c")), multi(Check("/missing")), multi(), Read(E, "/n")),
    *(multi(Delete("/m/c"), Delete("/m"), Create("/m")), multi(Create("/m"), Create("/n"), Delete("/none"))),
    *(multi(Create("/seq-", flags=2), Create("/seq-", flags=2)), multi(Create("bad")), Read(C2, "/")),
    Multi(OpCode.MULTI_READ, (Read(G, "/a"), Read(C, "/a"), Read(G, "/missing"), Read(C, "/acl3"))),
    *(Read(G, "/two", True), Read(C, "/two", True), Read(E, "/two/x", True), Read(E, "/two", True)),
    *(SetData("/two", b"1"), SetData("/two", b"2"), Create("/two/x"), Delete("/two/x")),
    *(Read(G, "/two", True), Read(C, "/two", True), Read(E, "/two", True), Delete("/two"), Create("/two")),
    *(OfWatch(OpCode.ADD_WATCH, "/two", 0), Create("/two/x"), SetData("/two", b""), Delete("/two/x")),
    *(OfWatch(OpCode.CHECK_WATCHES, "/two", 3), OfWatch(OpCode.REMOVE_WATCHES, "/two", 3)),
    *(OfWatch(OpCode.REMOVE_WATCHES, "/two", 3), OfWatch(OpCode.CHECK_WATCHES, "/two", 2)),
    *(OfWatch(OpCode.ADD_WATCH, "/two", 0), Read(G, "/two", True), OfWatch(OpCode.CHECK_WATCHES, "/two", 4)),
    *[OfWatch(OpCode.CHECK_WATCHES, "/two", kind) for kind in (0, 1, 2, 3, 5, 6, -1)],
    *[OfWatch(OpCode.REMOVE_WATCHES, "/two", kind) for kind in (0, 1, 5, 6, 4, 4)],
    *(OfWatch(OpCode.CHECK_WATCHES, "/two", 2), SetData("/two", b"told once"), SetData("/two", b"not")),
    *(OfWatch(OpCode.ADD_WATCH, "/two", 1), Read(C, "/two", True), OfWatch(OpCode.CHECK_WATCHES, "/two", 5)),
    *[OfWatch(OpCode.REMOVE_WATCHES, "/two", kind) for kind in (4, 5, 5)],
    *(Create("/two/y"), Delete("/two/y")),
    *(OfWatch(OpCode.ADD_WATCH, "/", 1), Create("/two/y"), SetData("/two/y", b"1"), Delete("/two/y")),
    *(OfWatch(OpCode.ADD_WATCH, "/", 7), OfWatch(OpCode.REMOVE_WATCHES, "/", 3)),
    *(SetWatches(OpCode.SET_WATCHES, 0, ["/two", "/gone"], ["/two", "/gone"], ["/two", "/gone"]),),
    SetWatches(OpCode.SET_WATCHES, 2**62, ["/two"], ["/gone"], ["/two"]),
    *(Create("/gone"), SetData("/two", b"9"), Create("/two/z")),
    SetWatches(OpCode.SET_WATCHES2, 2**62, [], [], [], ["/two"], ["/"]),
    *(SetData("/two", b"9"), Delete("/two/z"), Bare(OpCode.PING), Bare(OpCode.WHO_AM_I)),
    Bare(OpCode.CLOSE_SESSION),
]


class Talk(KeeperLink):
    """One session: what was sent, what came, in the terms of a table."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        assert self.reply.timeout_ms == 10_000
        assert self.reply.session_id != 0
        self._zxid: int | None = None

    def told(self, request: Request) -> list[object]:
        """The answer, after the events that came before it."""
        xid = self.request(request)
        said: list[object] = []
        while isinstance(answer := self.answer(), Event):
            said.append(answer)
        got, zxid, code, reader = answer
        assert got == xid
        # Reads tell the last zxid of the server; its distance from the first one is what can be compared.
        if self._zxid is None:
            self._zxid = zxid
        said.append(
            (zxid and zxid - self._zxid, code, None if code else self._plain(read_result(request, reader)))
        )
        assert reader.left == 0, request
        return said

    def _plain(self, result: Result) -> Result:
        parts = [
            (kind, outcome.code if isinstance(outcome, ZkError) else self._plain(outcome))
            for kind, outcome in result.parts
        ]
        return result._replace(
            stat=None if result.stat is None else self._stat(result.stat),
            names=sorted(result.names),
            parts=parts,  # type: ignore[arg-type]
        )

    def _stat(self, stat: Stat) -> Stat:
        first = self._zxid or 0
        # The nodes of a new server are as old as the server: 0 there, and here.
        zxids = {name: max(getattr(stat, name) - first, -1) for name in ("czxid", "mzxid", "pzxid")}
        owner = -7 if stat.ephemeral_owner == self.reply.session_id else stat.ephemeral_owner
        return stat._replace(**zxids, ctime=0, mtime=0, ephemeral_owner=owner)


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeeperProcess]:
    with KeeperProcess(tmp_path_factory.mktemp("keeper")) as process:
        yield process


@pytest.fixture(scope="module")
def zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeperServer]:
    with ZooKeeperServer(tmp_path_factory.mktemp("zookeeper")) as server:
        yield server


@pytest.mark.timeout(120)
def test_the_same_packets_get_the_same_answers(keeper: KeeperProcess, zookeeper: ZooKeeperServer) -> None:
    differences = []
    with Talk(keeper.port) as ours, Talk(zookeeper.port) as theirs:
        for number, request in enumerate(SCRIPT):
            mine, real = ours.told(request), theirs.told(request)
            if mine != real:
                differences.append(f"{number} {request}\n  keeper    {mine}\n  zookeeper {real}")
    assert not differences, "\n".join(differences)


COMMANDS: Final = """create /cli one
create -e /cli/e two
create -s /cli/s three
ls /cli
ls -R /cli
get /cli
get -s /cli/e
set /cli changed
set -v 7 /cli no
stat /missing
create -c /cli/c
getAcl /cli
addauth digest u:p
setAcl /cli/c auth:u:p:crdwa
getAcl /cli/c
getEphemerals
getAllChildrenNumber /cli
whoami
delete /cli
deleteall /cli
ls /
quit
"""


@pytest.mark.timeout(120)
def test_zookeepers_own_command_line_says_the_same(keeper: KeeperProcess, zookeeper: ZooKeeperServer) -> None:
    said = [_without_times(run_client(server.address, COMMANDS)) for server in (keeper, zookeeper)]
    assert said[0] == said[1]
    assert "version No is not valid : /cli" in said[0]


def _without_times(text: str) -> list[str]:
    text = re.sub(r"127\.0\.0\.1:\d+", "SERVER", text)
    text = re.sub(r"(?m)^(ephemeralOwner = )0x\w{2,}$", r"\1SESSION", text)
    text = re.sub(r"(?m)^(([cmp]Z?xid|ctime|mtime|[cp]time) = ).*$", r"\1ANY", text)
    text = re.sub(r"(?m)^(cZxid|mZxid|pZxid) = .*$", r"\1 = ANY", text)
    # What the client says of its connection comes when it likes.
    noise = re.compile("session|WATCHER::|WatchedEvent", re.IGNORECASE)
    return [line for line in text.splitlines() if line.strip() and not noise.search(line)]


def test_four_letter_words_have_the_same_names(keeper: KeeperProcess, zookeeper: ZooKeeperServer) -> None:
    for asked in (b"ruok", b"isro"):
        assert word(keeper.port, asked) == word(zookeeper.port, asked)
    for asked in (b"srvr", b"stat", b"conf"):
        mine, real = (_names(word(server.port, asked)) for server in (keeper, zookeeper))
        assert mine <= real, (asked, mine - real)
    mine, real = (
        {line.split("\t")[0] for line in word(server.port, b"mntr").splitlines()}
        for server in (keeper, zookeeper)
    )
    assert mine <= real, mine - real


def _names(text: str) -> set[str]:
    return {re.split("[:=]", line)[0] for line in text.splitlines() if line and not line.startswith(" ")}


def test_a_body_that_is_cut_short_is_answered(keeper: KeeperProcess, zookeeper: ZooKeeperServer) -> None:
    out = Writer()
    out.int32(1)
    out.int32(OpCode.GET_DATA)
    out.int32(1_000_000)
    for server in (keeper, zookeeper):
        with Talk(server.port) as talk:
            talk.send(bytes(out))
            xid, _, code = read_header(Reader(talk.packet()))
            assert (xid, code) == (1, ZkCode.MARSHALLING_ERROR)
