"""Every write of the pages, as a person does it: open, fill in, read the plan, apply; then ask the API."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import expect

from tests.harness.browser import PATIENCE_MS, Visitor
from tests.harness.console import ConsoleProcess

__all__ = ["access", "groups", "placement", "records", "settings", "topics"]


def _open(visitor: Visitor, item: str) -> None:
    visitor.page.get_by_role("button", name="More actions").click()
    visitor.page.get_by_role("menuitem", name=item).click()


_SECRETS: Final = ("a secret of carol", "another secret")


def _fill(visitor: Visitor, **fields: str) -> None:
    for label, text in fields.items():
        name = re.compile(rf"^{re.escape(label.replace('_', ' '))}( \(needed\))?$")
        visitor.page.locator("dialog").get_by_label(name).first.fill(text)


def _topic(console: ConsoleProcess, name: str) -> Any:
    return console.get("describe_topic", topic=name)


def _ends(console: ConsoleProcess, name: str) -> int:
    return sum(row["latest_offset"] for row in _topic(console, name)["partitions"])


def topics(visitor: Visitor, console: ConsoleProcess) -> None:
    """Create, more partitions, purge, delete; what is only planned is not done."""
    page = visitor.go("/topics", "Topics")
    page.get_by_role("button", name="Create topic").first.click()
    visitor.page.locator("dialog [data-review]").click()
    expect(page.locator("dialog [role=alert]")).to_contain_text("The name is missing")
    _fill(visitor, Name="parcels", Partitions="2", Replicas="1", Setting_1="retention.ms", Value_1="86400000")
    assert "create topic parcels with 2 partitions" in visitor.review()
    assert console.get("list_topics", pattern="parcels")["total"] == 0
    visitor.apply()
    expect(page.locator("h1")).to_have_text("parcels", timeout=PATIENCE_MS)
    assert _topic(console, "parcels")["configs"]["retention.ms"] == "86400000"

    _open(visitor, "Add partitions")
    _fill(visitor, Partitions_in_all="1")
    visitor.expects("Bad Request")
    visitor.expects("409 (Conflict)")
    page.locator("dialog [data-review]").click()
    expect(page.locator("dialog [role=alert]")).to_contain_text("PARTITIONS", timeout=PATIENCE_MS)
    _fill(visitor, Partitions_in_all="3")
    assert "2 to 3 partitions" in visitor.review()
    assert _topic(console, "parcels")["partition_count"] == 2
    visitor.apply()
    assert _topic(console, "parcels")["partition_count"] == 3

    for number in range(4):
        console.post("produce", topic="parcels", key=None, value=str(number), partition=0, dry_run=False)
    visitor.go("/topic/partitions?name=parcels", "parcels")
    _open(visitor, "Purge records")
    page.locator("dialog").get_by_text("All records of all partitions").click()
    _fill(visitor, Partition_1="0")
    page.locator("dialog").get_by_label("Offset (-1: all) 1").fill("3")
    assert "delete 3 records" in visitor.review()
    assert _topic(console, "parcels")["partitions"][0]["earliest_offset"] == 0
    visitor.apply()
    assert _topic(console, "parcels")["partitions"][0]["earliest_offset"] == 3

    _open(visitor, "Delete topic")
    assert "delete 1 topic with 1 record" in visitor.plan()
    apply = page.locator("dialog [data-apply]")
    expect(apply).to_be_disabled()
    _fill(visitor, Type_parcels_to_confirm="parcel")
    expect(apply).to_be_disabled()
    _fill(visitor, Type_parcels_to_confirm="parcels")
    visitor.apply()
    expect(page.locator("h1")).to_have_text("Topics", timeout=PATIENCE_MS)
    assert console.get("list_topics", pattern="parcels")["total"] == 0


def records(visitor: Visitor, console: ConsoleProcess, place: Path) -> None:
    """Produce, re-send, tombstone, export, import."""
    console.post("create_topic", topic="letters", partitions=2, replication_factor=1, dry_run=False)
    page = visitor.go("/topic?name=letters", "letters")
    page.get_by_role("button", name="Produce").click()
    _fill(visitor, Key="a", Name_1="from", Value_1="Ada")
    page.locator("dialog").get_by_label("Value", exact=True).fill('{"n": 1}')
    page.locator("dialog").get_by_label("Partition", exact=True).select_option("1")
    assert "to letters, partition 1" in visitor.review()
    assert _ends(console, "letters") == 0
    visitor.apply()
    expect(visitor.rows("Records")).to_have_count(1, timeout=PATIENCE_MS)
    made = console.get("get_message", topic="letters", partition=1, offset=0)
    assert (made["key"], made["value"], made["headers"]) == ("a", '{"n": 1}', [["from", "Ada"]])

    visitor.rows("Records").first.click()
    page.get_by_role("button", name="Re-send").click()
    _fill(visitor, To_partition="0")
    assert "to letters, partition 0" in visitor.review()
    visitor.apply()
    assert console.get("get_message", topic="letters", partition=0, offset=0)["value"] == '{"n": 1}'
    page.get_by_role("button", name="Tombstone").click()
    assert "write a tombstone to letters, partition 1" in visitor.plan()
    visitor.apply()
    assert console.get("get_message", topic="letters", partition=1, offset=1)["value"] is None
    page.keyboard.press("Escape")
    _open(visitor, "Write a tombstone")
    _fill(visitor, Key="b")
    assert "tombstone" in visitor.review()
    visitor.apply()
    assert _ends(console, "letters") == 4

    page.get_by_role("button", name="More actions").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Export JSON lines").click()
    kept = place / "letters.jsonl"
    download.value.save_as(kept)
    assert len([json.loads(line) for line in kept.read_text().splitlines()]) == 4
    _open(visitor, "Import records")
    page.locator("dialog input[type=file]").set_input_files(kept)
    assert "4 records" in visitor.review()
    assert _ends(console, "letters") == 4
    visitor.apply()
    assert _ends(console, "letters") == 8


def groups(visitor: Visitor, console: ConsoleProcess) -> None:
    """Reset in each way, forget offsets of a topic, delete."""
    for topic in ("read", "other"):
        console.post("create_topic", topic=topic, partitions=2, replication_factor=1, dry_run=False)
        for number in range(10):
            console.post("produce", topic=topic, key=None, value=str(number), partition=0, dry_run=False)
    console.post("reset_offsets", group="readers", to="latest", topics=["read", "other"], dry_run=False)

    def at(topic: str = "read") -> int:
        rows = console.get("describe_group", group="readers")["offsets"]
        return next(
            int(row["committed_offset"]) for row in rows if (row["topic"], row["partition"]) == (topic, 0)
        )

    page = visitor.go("/group?name=readers", "readers")
    for to, fields, summary, end in (
        ("earliest", {"Topics": "read:0"}, "move 1 partition of group readers", 0),
        ("shift", {"Records": "4", "Topics": "read:0"}, "move 1 partition", 4),
        ("offset", {"Offset": "7", "Topics": "read:0"}, "move 1 partition", 7),
        ("time", {"Time": "2020-01-01T00:00:00Z", "Topics": "read:0"}, "2020-01-01", 0),
        ("latest", {"Topics": "read"}, "move 1 partition", 10),
        ("offsets", {}, "the given offsets", 5),
    ):
        before = at()
        page.get_by_role("button", name="Reset offsets").click()
        page.locator("dialog").get_by_label("Move to").select_option(to)
        for label, text in fields.items():
            page.locator("dialog").get_by_label(label).first.fill(text)
        if to == "offsets":
            names = page.locator("dialog input[aria-label^='topic:partition']")
            index = next(i for i in range(names.count()) if names.nth(i).input_value() == "read:0")
            page.locator("dialog").get_by_label(f"Offset {index + 1}", exact=True).fill("5")
        assert summary in visitor.review()
        assert at() == before
        visitor.apply()
        assert at() == end, f"--to {to}"
    assert at("other") == 10

    _open(visitor, "Forget offsets of other")
    assert "of topic other from group readers" in visitor.plan()
    visitor.apply()
    assert {row["topic"] for row in console.get("describe_group", group="readers")["offsets"]} == {"read"}
    _open(visitor, "Delete group")
    assert "delete 1 group" in visitor.plan()
    visitor.apply()
    expect(page.locator("h1")).to_have_text("Groups", timeout=PATIENCE_MS)
    assert console.get("list_groups", pattern="readers")["total"] == 0


def settings(visitor: Visitor, console: ConsoleProcess) -> None:
    """A topic's and a broker's, changed and put back."""
    console.post("create_topic", topic="tuned", partitions=1, replication_factor=1, dry_run=False)
    broker = str(console.get("describe_cluster")["brokers"][0]["id"])
    for address, kind, resource, name, value in (
        ("/topic/settings?name=tuned", "topic", "tuned", "retention.ms", "3600000"),
        (f"/settings?resource={broker}", "broker", broker, "log.cleaner.threads", "2"),
    ):

        def now(kind: str = kind, resource: str = resource, name: str = name) -> tuple[str, str]:
            rows = console.get("describe_configs", resource_type=kind, resource=resource)["configs"]
            return next((row["value"], row["source"]) for row in rows if row["name"] == name)

        before = now()
        page = visitor.go(address)
        page.get_by_role("searchbox").fill(name)
        page.get_by_role("button", name=f"Change {name}", exact=True).click()
        _fill(visitor, Value=value)
        assert name in visitor.review()
        assert now() == before
        visitor.apply()
        assert now() == (value, kind)
        page.get_by_role("button", name=f"Back to the default: {name}").click()
        assert name in visitor.plan()
        visitor.apply()
        assert now() == before


def placement(visitor: Visitor, console: ConsoleProcess) -> None:
    """Elections and moves. With one broker a move that changes nothing is all there is."""
    console.post("create_topic", topic="placed", partitions=1, replication_factor=1, dry_run=False)
    page = visitor.go("/topic/partitions?name=placed", "placed")
    _open(visitor, "Elect leaders")
    assert "elect leaders of 0 partitions" in visitor.review()
    visitor.apply()
    _open(visitor, "Move replicas")
    page.locator("dialog [data-review]").click()
    expect(page.locator("dialog [role=alert]")).to_contain_text("No line differs")
    _fill(visitor, Brokers_1="99")
    visitor.expects("400 (Bad Request)")
    page.locator("dialog [data-review]").click()
    expect(page.locator("dialog [role=alert]")).to_contain_text("broker 99 is not there", timeout=PATIENCE_MS)
    node = _topic(console, "placed")["partitions"][0]["leader"]
    _fill(visitor, Brokers_1=f"{node} ")
    assert "move 1 partition of topic placed" in visitor.review()
    visitor.apply()
    visitor.go("/brokers", "Brokers")
    page.get_by_role("button", name="Elect preferred leaders").click()
    assert "elect leaders" in visitor.review()
    visitor.apply()


def access(visitor: Visitor, console: ConsoleProcess) -> None:
    """Users, rules and quotas: made, changed, taken away; no password is kept in the audit log."""
    page = visitor.go("/access/users", "Access")
    page.get_by_role("button", name="Add user").click()
    _fill(visitor, Name="carol", Password=_SECRETS[0])
    assert "carol" in visitor.review()
    assert console.get("list_users", pattern="carol")["total"] == 0
    visitor.apply()
    expect(visitor.rows("Users").filter(has_text="carol")).to_have_count(2, timeout=PATIENCE_MS)
    page.get_by_role("button", name="New password for carol").first.click()
    _fill(visitor, Password=_SECRETS[1])
    visitor.review()
    visitor.apply()
    page.get_by_role("button", name="Delete carol").first.click()
    assert "carol" in visitor.plan()
    visitor.apply()
    assert console.get("list_users", pattern="carol")["total"] == 0

    visitor.go("/access/rules", "Access")
    page.get_by_role("button", name="Add rule").click()
    _fill(visitor, Principal="User:carol", Its_name="letters-")
    page.locator("dialog").get_by_label("The name is").select_option("prefixed")
    visitor.review()
    assert console.get("list_acls", principal="User:carol")["total"] == 0
    visitor.apply()
    (rule,) = console.get("list_acls", principal="User:carol")["acls"]
    assert (rule["operation"], rule["name"], rule["pattern"]) == ("Read", "letters-", "prefixed")
    page.get_by_role("button", name="Delete the rule of User:carol").click()
    visitor.plan()
    visitor.apply()
    assert console.get("list_acls", principal="User:carol")["total"] == 0

    visitor.go("/access/quotas", "Access")
    page.get_by_role("button", name="Set quota").click()
    _fill(visitor, Client_id="loader", Limit="1048576")
    visitor.review()
    visitor.apply()
    row = visitor.rows("Quotas").filter(has_text="loader")
    expect(row).to_contain_text("1 MiB/s", timeout=PATIENCE_MS)
    row.get_by_role("button", name="Change the quota").click()
    _fill(visitor, Limit="2097152")
    visitor.review()
    visitor.apply()
    expect(row).to_contain_text("2 MiB/s", timeout=PATIENCE_MS)
    row.get_by_role("button", name="Remove the quota").click()
    visitor.plan()
    visitor.apply()
    expect(row).to_have_count(0, timeout=PATIENCE_MS)

    visitor.go("/audit", "Audit")
    expect(visitor.rows("Changes").filter(has_text="set password").first).to_contain_text(
        "carol", timeout=PATIENCE_MS
    )
    text = page.locator(".main").inner_text()
    assert not any(secret in text for secret in _SECRETS)
