"""`fastlog console` beside a broker: what it shows, what it does, and what attacks come to."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fastlog import Admin, Producer
from tests.harness.cli import fastlog
from tests.harness.console import ConsoleProcess
from tests.harness.waiting import wait_until
from tests.integration.conftest import BrokerFactory
from tests.integration.running import RunningBroker

pytestmark = pytest.mark.timeout(240)
SCRIPT = "<script>alert(1)</script>\"'&</textarea>"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    found = RunningBroker(tmp_path_factory.mktemp("broker"))
    try:
        found.start()
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def running(broker: RunningBroker) -> Iterator[ConsoleProcess]:
    with ConsoleProcess(broker.bootstrap, "--allow-writes") as found:
        yield found


@pytest.fixture(autouse=True)
def empty(broker: RunningBroker) -> None:
    """No test sees what another has left."""
    with Admin(broker.bootstrap) as admin:
        admin.delete_groups([row.group_id for row in admin.list_groups()]).check()
        admin.delete_topics(admin.list_topics()).check()


@pytest.fixture
def console(running: ConsoleProcess) -> ConsoleProcess:
    return running.log_in()


def send(bootstrap: str, topic: str, *rows: tuple[str | None, bytes | None], **more: Any) -> None:
    with Producer(bootstrap, max_request_size=16 << 20) as producer:
        for key, value in rows:
            producer.send(topic, value, key=None if key is None else key.encode(), **more).result(timeout=30)


def test_a_topic_through_its_life(console: ConsoleProcess, broker: RunningBroker) -> None:
    plan = console.post("create_topic", topic="orders", partitions=2, configs={"retention.ms": "60000"})
    assert (plan["executed"], plan["partitions"]) == (False, 2)
    assert console.get("list_topics")["topics"] == []
    console.post("create_topic", topic="orders", partitions=2, dry_run=False)
    made = console.post("produce", topic="orders", key="k1", value='{"id": 1}', partition=0, dry_run=False)
    assert (made["partition"], made["offset"]) == (0, 0)
    for number in range(2, 6):
        console.post("produce", topic="orders", key=f"k{number}", value=f'{{"id": {number}}}', dry_run=False)
    again = console.post("resend", topic="orders", partition=0, offset=0, to_partition=1, dry_run=False)
    copy = console.get("get_message", topic="orders", partition=1, offset=again["offset"])
    assert (copy["key"], copy["value"], copy["value_format"]) == ("k1", '{"id": 1}', "json")

    found = console.get("browse", topic="orders", filter="value.id > 3", position="beginning")
    assert sorted(row["key"] for row in found["messages"]) == ["k4", "k5"]
    assert (found["stopped"], found["scanned"]) == ("end", 6)
    assert [row["key"] for row in console.get("browse", topic="orders", key="k4")["messages"]] == ["k4"]

    alter = {"topic": "orders", "partitions": 3, "configs": {"retention.ms": "1000"}}
    assert console.post("alter_topic", **alter)["changes"][0]["after"] == "1000"
    assert len(console.get("describe_topic", topic="orders")["partitions"]) == 2
    console.post("alter_topic", **alter, dry_run=False)
    described = console.get("describe_topic", topic="orders")
    assert (described["partition_count"], described["configs"]) == (3, {"retention.ms": "1000"})
    every = console.get("describe_configs", resource_type="topic", resource="orders")["configs"]
    (retention,) = [row for row in every if row["name"] == "retention.ms"]
    assert (retention["value"], retention["source"]) == ("1000", "topic")

    plan = console.post("purge", topic="orders", before={"0": 1})
    assert [row["records"] for row in plan["partitions"]] == [1]
    console.post("purge", topic="orders", before={"0": 1}, dry_run=False)
    assert console.get("describe_topic", topic="orders")["partitions"][0]["earliest_offset"] == 1
    assert (
        console.get("get_message", 404, topic="orders", partition=0, offset=0)["error"]["code"] == "NOT_FOUND"
    )
    gone = console.post("delete_topics", topics=["orders", "none"], dry_run=False)["topics"]
    assert [(row["topic"], row["status"]) for row in gone] == [("orders", "deleted"), ("none", "failed")]
    notes = console.get("audit")["notes"]
    assert [note["verb"] for note in notes][:2] == ["delete_topics", "purge"]
    assert {note["outcome"] for note in notes[:2]} == {"done"}
    assert broker.failures == []


def test_a_group_and_its_offsets(console: ConsoleProcess, broker: RunningBroker) -> None:
    fastlog("topic", "create", "orders", "-p", "2", bootstrap=broker.bootstrap)
    send(broker.bootstrap, "orders", *((None, b"x") for _ in range(10)), partition=1)
    plan = console.post("reset_offsets", group="g", to="latest", topics=["orders"])
    assert [row["new_offset"] for row in plan["partitions"]] == [0, 10]
    assert console.get("list_groups")["groups"] == []
    console.post("reset_offsets", group="g", to="offsets", offsets={"orders:1": 4}, dry_run=False)
    (row,) = console.get("list_groups")["groups"]
    assert (row["group"], row["members"], row["topics"], row["total_lag"]) == ("g", 0, ["orders"], 6)
    (row,) = console.get("list_topic_groups", topic="orders")["groups"]
    assert row["total_lag"] == 6
    console.post("reset_offsets", group="g", to="shift", shift=100, dry_run=False)
    (offset,) = console.get("describe_group", group="g")["offsets"]
    assert (offset["committed_offset"], offset["lag"], offset["lag_seconds"]) == (10, 0, 0)
    plan = console.post("reset_offsets", group="g", to="shift", shift=100)
    assert plan["partitions"][0]["clamped"]
    console.post("delete_group_offsets", group="g", topic="orders", dry_run=False)
    console.post("delete_groups", groups=["g"], dry_run=False)
    assert console.get("describe_group", 404, group="g")["error"]["code"] == "GROUP_ID_NOT_FOUND"


def test_rates_and_lag_are_measured(console: ConsoleProcess, broker: RunningBroker) -> None:
    fastlog("topic", "create", "orders", bootstrap=broker.bootstrap)
    send(broker.bootstrap, "orders", (None, b"x"))
    console.post("reset_offsets", group="g", to="latest", topics=["orders"], dry_run=False)
    looks = len(console.get("history", kind="lag", names="g")["series"][0]["times"])
    wait_until(
        lambda: len(console.get("history", kind="lag", names="g")["series"][0]["times"]) > looks,
        "the console does not look",
        seconds=60,
        pause=0.3,
    )

    def measured() -> bool:
        send(broker.bootstrap, "orders", (None, b"x"))
        (topic,) = console.get("list_topics")["topics"]
        (lag,) = console.get("history", kind="lag", names="g")["series"]
        return bool(
            topic["records_per_second"]
            and topic["groups"] == 1
            and topic["lag"]
            and any(lag["values"])
            and console.get("describe_group", group="g")["max_lag_seconds"]
        )

    wait_until(measured, lambda: f"nothing is measured: {console.get('session')}", seconds=60, pause=0.3)
    send(broker.bootstrap, "orders", (None, b"x"))
    by_lag = console.get("list_topics", sort="lag", descending=True)["topics"]
    assert by_lag[0]["topic"] == "orders"
    (series,) = console.get("history", kind="records_per_second", names="orders")["series"]
    assert len(series["times"]) == len(series["values"]) >= 2


def test_pages_of_messages_come_once_and_the_newest_first(
    console: ConsoleProcess, broker: RunningBroker
) -> None:
    fastlog("topic", "create", "orders", "-p", "3", bootstrap=broker.bootstrap)
    rows = [(None, b"%d" % number) for number in range(500)]
    for number, row in enumerate(rows):
        send(broker.bootstrap, "orders", row, partition=number % 3) if number < 3 else None
    with Producer(broker.bootstrap) as producer:
        for number in range(3, 500):
            producer.send(
                "orders", b"%d" % number, partition=number % 3, timestamp_ms=1_796_000_000_000 + number
            )
    for position in ("newest", "beginning"):
        seen: list[tuple[int, int]] = []
        cursor: dict[str, str] = {}
        while True:
            page = console.get("browse", topic="orders", position=position, limit=37, **cursor)
            seen += [(row["partition"], row["offset"]) for row in page["messages"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert len(seen) == len(set(seen)) == 500, position
    first = console.get("browse", topic="orders", limit=5, filter="timestamp < 1797000000000")["messages"]
    assert [row["value"] for row in first] == ["499", "498", "497", "496", "495"]
    found = console.get("browse", topic="orders", limit=5, filter="value == '17'")
    assert [row["value"] for row in found["messages"]] == ["17"]
    assert console.get("browse", topic="orders", position="-2", partitions=[0, 1])["scanned"] == 4


def test_a_filter_that_never_matches_ends_and_goes_on(console: ConsoleProcess, broker: RunningBroker) -> None:
    fastlog("topic", "create", "orders", bootstrap=broker.bootstrap)
    with Producer(broker.bootstrap, linger_ms=20) as producer:
        for _ in range(20):
            producer.send_many("orders", [b"x" * 40] * 5000)
    page = console.get("browse", topic="orders", filter="value == 'never'", max_ms=1, position="beginning")
    assert (page["messages"], page["stopped"]) == ([], "time")
    assert page["scanned"] < 100_000
    later = console.get(
        "browse",
        topic="orders",
        filter="value == 'never'",
        max_ms=30_000,
        position="beginning",
        cursor=page["next_cursor"],
    )
    assert (later["stopped"], later["next_cursor"]) == ("end", None)
    assert page["scanned"] + later["scanned"] == 100_000


def test_the_tail_shows_some_and_counts_the_rest(console: ConsoleProcess, broker: RunningBroker) -> None:
    fastlog("topic", "create", "orders", "-p", "2", bootstrap=broker.bootstrap)
    ended = threading.Event()

    def flood() -> None:
        with Producer(broker.bootstrap) as producer:
            while not ended.wait(0.05):
                producer.send_many("orders", [b"x"] * 500)

    writer = threading.Thread(target=flood)
    writer.start()
    try:
        events = console.events("/api/tail?topic=orders&per_second=20", 3)
        matched = console.events("/api/tail?topic=orders&filter=value%20%3D%3D%20%27y%27", 1)
    finally:
        ended.set()
        writer.join()
    for name, found in events:
        assert name == "records"
        assert 0 < len(found["messages"]) <= 10
        assert found["arrived"] == found["sampled"] + found["dropped"]
    assert events[-1][1]["total_dropped"] > 0
    assert matched[0][1]["messages"] == []
    assert console.get("tail", 400, topic="orders", per_second=10_000)["error"]["code"] == "BAD_ARGUMENT"
    assert console.get("tail", 404, topic="none")["error"]["code"] == "UNKNOWN_TOPIC_OR_PARTITION"


def test_files_out_and_in(console: ConsoleProcess, broker: RunningBroker) -> None:
    fastlog("topic", "create", "from", "to", bootstrap=broker.bootstrap)
    send(broker.bootstrap, "from", ("k", b'text, with "quotes"\n'), (None, b"\xff\x00"), ("t", None))
    for form in ("jsonl", "csv"):
        found = console.ask("GET", f"/api/export?topic=from&format={form}")
        assert (found.status, found.headers["content-disposition"]) == (
            200,
            f'attachment; filename="from.{form}"',
        )
        target = f"/api/import?topic=to&format={form}"
        kind = {"Content-Type": "application/octet-stream"}
        plan = console.ask("POST", target, data=found.body, headers=kind).json
        assert (plan["executed"], plan["records"], plan["problems"]) == (False, 3, [])
        console.ask("POST", f"{target}&dry_run=false", data=found.body, headers=kind)
        rows = console.get("browse", topic="to", position="-3")["messages"]
        assert [(row["key"], row["value"]) for row in rows] == [
            ("k", 'text, with "quotes"\n'),
            (None, {"base64": "/wA="}),
            ("t", None),
        ]
    bad = console.ask("POST", "/api/import?topic=to&dry_run=false", data=b'{"value": "a"}\n{"key": "b"}\n')
    assert (bad.status, bad.json["error"]["code"]) == (400, "BAD_ARGUMENT")
    assert console.get("describe_topic", topic="to")["partitions"][0]["latest_offset"] == 6
    parquet = console.ask("GET", "/api/export?topic=from&format=parquet")
    assert parquet.status == 200 or parquet.json["error"]["code"] == "UNSUPPORTED"


def test_users_and_quotas(console: ConsoleProcess) -> None:
    word = {"password": "geheim"}
    assert console.post("set_password", user="ada", **word)["exists"] is False
    assert console.get("list_users")["users"] == []
    console.post("set_password", user="ada", **word, mechanisms=["SCRAM-SHA-256"], dry_run=False)
    assert [row["user"] for row in console.get("list_users")["users"]] == ["ada"]
    limits = {"producer_byte_rate": 1_000_000}
    console.post("alter_quotas", user="ada", quotas=limits)
    assert console.get("list_quotas")["quotas"] == []
    console.post("alter_quotas", user="ada", quotas=limits, dry_run=False)
    (row,) = console.get("list_quotas")["quotas"]
    assert (row["user"], row["quota"], row["limit"]) == ("ada", "producer_byte_rate", 1_000_000)
    plan = console.post("alter_quotas", user="ada", quotas={"producer_byte_rate": None}, dry_run=False)
    assert plan["changes"][0]["before"] == 1_000_000
    console.post("delete_user", user="ada", dry_run=False)
    assert console.post("delete_user", 409, user="ada")["error"]["code"] == "RESOURCE_NOT_FOUND"
    assert "geheim" not in console.said
    assert "geheim" not in json.dumps(console.get("audit"))


def test_rules(start_broker: BrokerFactory) -> None:
    settings = {
        "authorizer.class.name": "kafka.security.authorizer.AclAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
        "super.users": "User:ANONYMOUS",
    }
    broker = start_broker(**settings)
    rule = {"resource": "Topic", "name": "t", "principal": "User:ada", "operation": "Read"}
    with ConsoleProcess(broker.bootstrap, "--allow-writes") as console:
        console.log_in()
        console.post("create_acl", **rule)
        assert console.get("list_acls")["acls"] == []
        console.post("create_acl", **rule, dry_run=False)
        (row,) = console.get("list_acls", topic="t")["acls"]
        assert (row["principal"], row["operation"], row["permission"]) == ("User:ada", "Read", "Allow")
        console.post("delete_acl", **rule, dry_run=False)
        assert console.post("delete_acl", 404, **rule)["error"]["code"] == "NOT_FOUND"


def test_a_console_that_may_only_look(broker: RunningBroker) -> None:
    fastlog("topic", "create", "orders", bootstrap=broker.bootstrap)
    with ConsoleProcess(broker.bootstrap) as console:
        console.log_in()
        assert console.get("session")["allow_writes"] is False
        assert console.post("create_topic", topic="new")["executed"] is False
        for verb, arguments in (
            ("create_topic", {"topic": "new"}),
            ("delete_topics", {"topics": ["orders"]}),
            ("purge", {"topic": "orders"}),
            ("produce", {"topic": "orders", "value": "x"}),
        ):
            found = console.post(verb, 403, **arguments, dry_run=False)
            assert found["error"]["code"] == "READ_ONLY"
        target = "/api/import?topic=orders&dry_run=false"
        assert console.ask("POST", target, data=b'{"value": "a"}\n').json["error"]["code"] == "READ_ONLY"
        assert [note["outcome"] for note in console.get("audit")["notes"]] == ["refused"] * 5
        (topic,) = console.get("list_topics")["topics"]
        assert (topic["topic"], topic["records"]) == ("orders", 0)


def test_nobody_else_gets_in(console: ConsoleProcess) -> None:
    used = console.ask("POST", "/api/login", body={"token": console.said.partition("token=")[2].split()[0]})
    assert (used.status, used.json["error"]["code"]) == (401, "WRONG_TOKEN")
    for body in ({}, {"user": "a", "password": "b"}, {"token": 5}, {"token": "x" * 5000}, [1]):
        assert console.ask("POST", "/api/login", body=body).status == 400
    stranger = {"Cookie": "fastlog_console=x"}
    assert console.ask("GET", "/api/list_topics", headers=stranger).status == 401
    assert console.ask("POST", "/api/create_topic", body={"topic": "t"}, headers=stranger).status == 401
    # DNS rebinding, cross-site writes.
    assert console.ask("GET", "/api/list_topics", headers={"Host": "evil.example"}).status == 421
    assert console.ask("GET", "/", headers={"Host": "evil.example"}).status == 421
    body = {"topic": "t", "dry_run": False}
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": None},
        {"X-Fastlog-Console": None},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert console.ask("POST", "/api/create_topic", body=body, headers=headers).status == 403
    plain = {"Content-Type": "text/plain"}
    assert console.ask("POST", "/api/create_topic", body=body, headers=plain).status == 400
    assert console.get("list_topics")["topics"] == []
    console.ask("POST", "/api/logout", body={})
    assert console.ask("GET", "/api/list_topics").status == 401


def test_tokens_are_in_no_log(broker: RunningBroker) -> None:
    with ConsoleProcess(broker.bootstrap) as console:
        token = console.token
        console.log_in()
        cookie = str(console.cookie).partition("=")[2]
        console.get("list_topics")
        console.get("nothing", 404)
        assert console.ask("GET", f"/{token}").status == 200
        said = console.said
    # It is told once, to whoever has started it; then there is another one.
    assert said.count(token) == 1
    assert cookie not in said


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2f..%2fapp.py",
        "/static/%2e%2e/serve.py",
        "/static//etc/passwd",
        "/static/..\\app.py",
        "/static/index.html%00.js",
        "/static/",
        "/static",
        "/api/../static/index.html",
        "/favicon.ico",
    ],
)
def test_paths_lead_nowhere(console: ConsoleProcess, path: str) -> None:
    found = console.ask("GET", path)
    assert found.status in (200, 404)
    assert b"import" not in found.body
    assert b"root:" not in found.body
    assert "python" not in found.headers["content-type"]
    index = console.ask("GET", "/topics/my.topic%2Fx").body
    assert index == console.ask("GET", "/").body
    assert found.status == 404 or found.body == index


def test_scripts_in_names_and_records_stay_texts(console: ConsoleProcess, broker: RunningBroker) -> None:
    fastlog("topic", "create", "orders", bootstrap=broker.bootstrap)
    send(broker.bootstrap, "orders", (SCRIPT, SCRIPT.encode()), headers=[(SCRIPT, SCRIPT.encode())])
    console.post("reset_offsets", group=SCRIPT, to="earliest", topics=["orders"], dry_run=False)
    found = console.ask("GET", "/api/browse?topic=orders")
    assert found.headers["content-type"] == "application/json"
    assert b"<" not in found.body
    (row,) = found.json["messages"]
    assert (row["key"], row["value"], row["headers"]) == (SCRIPT, SCRIPT, [[SCRIPT, SCRIPT]])
    groups = console.ask("GET", "/api/list_groups")
    assert b"<" not in groups.body
    assert groups.json["groups"][0]["group"] == SCRIPT
    refused = console.ask("POST", "/api/create_topic", body={"topic": SCRIPT, "dry_run": False})
    assert (refused.status, b"<" in refused.body) == (409, False)
    assert b"<" not in console.ask("GET", "/api/nothing%3Cscript%3E").body
    assert b"<" not in console.ask("GET", f"/api/describe_topic?topic={'%3Cscript%3E'}").body


def test_records_of_ten_megabytes_and_of_anything(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{"message.max.bytes": str(16 << 20)})
    fastlog("topic", "create", "orders", bootstrap=broker.bootstrap)
    large = b"\xff" * (10 << 20)
    with Producer(broker.bootstrap, max_request_size=12 << 20) as producer:
        for value in (large, b"x" * (10 << 20), bytes(range(256)), b""):
            producer.send("orders", value, key=b"\xfe").result(timeout=30)
    with ConsoleProcess(broker.bootstrap) as console:
        console.log_in()
        found = console.ask("GET", "/api/browse?topic=orders&max_chars=1000&max_ms=30000")
        assert len(found.body) < 20_000
        rows = {row["offset"]: row for row in found.json["messages"]}
        assert [rows[at]["value_size"] for at in range(4)] == [10 << 20, 10 << 20, 256, 0]
        assert [rows[at]["truncated"] for at in range(4)] == [True, True, False, False]
        assert base64.b64decode(rows[2]["value"]["base64"]) == bytes(range(256))
        assert rows[0]["key"] == {"base64": "/g=="}
        one = console.ask("GET", "/api/get_message?topic=orders&partition=0&offset=1")
        assert (len(one.json["value"]), one.json["truncated"]) == (262_144, True)


def test_bodies_have_a_bound(console: ConsoleProcess) -> None:
    large = json.dumps({"topic": "t", "value": "x" * (9 << 20)}).encode()
    try:
        found = console.ask("POST", "/api/produce", data=large)
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused before all of it was sent
    else:
        assert found.json["error"]["code"] == "TOO_MUCH"
    for body in (b"[" * 1_000_000, b"{", b"\xff", b"5"):
        assert console.ask("POST", "/api/produce", data=body).status == 400
    assert console.get("session")["who"] == "token"


def test_what_is_masked_is_masked_everywhere(broker: RunningBroker, tmp_path: Any) -> None:
    rules = tmp_path / "masks.json"
    rules.write_text('[{"topic": "u*", "field": "email"}, {"topic": "u*", "part": "key"}]')
    fastlog("topic", "create", "users", "other", bootstrap=broker.bootstrap)
    send(broker.bootstrap, "users", ("ada", b'{"id": 1, "email": "ada@example.org"}'))
    with ConsoleProcess(broker.bootstrap, "--mask", str(rules), "--allow-writes") as console:
        console.log_in()
        answers = [
            console.ask("GET", "/api/browse?topic=users"),
            console.ask("GET", "/api/browse?topic=users&value_format=hex&key_format=hex"),
            console.ask("GET", "/api/get_message?topic=users&partition=0&offset=0"),
            console.ask("GET", "/api/export?topic=users"),
            console.ask("GET", "/api/export?topic=users&format=csv"),
        ]
        for found in answers:
            assert found.status == 200
            assert b"ada" not in found.body
            assert b"616461" not in found.body
        assert console.get("browse", topic="users", filter="value contains 'ada@'")["messages"] == []
        assert console.get("browse", 400, topic="users", key="ada")["error"]["code"] == "BAD_ARGUMENT"
        copy = {"topic": "users", "partition": 0, "offset": 0, "to_topic": "other", "dry_run": False}
        assert console.post("resend", 400, **copy)["error"]["code"] == "BAD_ARGUMENT"
