"""Nothing runs in the background of the broker outside of the supervised room.

A task, a timer or a thread that is begun elsewhere must be on the list below, with the reason why nobody is
left in the dark when it dies.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import fastlog

PACKAGE = Path(fastlog.__file__).parent
OBSERVABILITY = Path(__file__).parents[3] / "docs" / "observability.md"
# The command-line tools, the client library and the tests' plugin come and go with their callers.
NOT_THE_BROKER = ("client/", "cli/", "testing/")
STARTS = {"create_task", "ensure_future", "call_later", "call_at", "Thread", "Timer", "start_new_thread"}
STARTS |= {"TaskGroup", "add_reader", "add_writer"}

# (file, what it calls) -> why.
ALLOWED = {
    ("base/tasks.py", "create_task"): "the supervised room itself",
    ("base/tasks.py", "call_later"): "its pause before a loop is started again",
    ("base/log_writer.py", "Thread"): "it goes on whatever a line meets, and counts",
    ("base/ending.py", "create_task"): "waited for, with a bound; its failure is noted",
    ("net/connection.py", "call_at"): "one connection's time-outs; the next request sets it again",
    ("storage/disk_jobs.py", "ensure_future"): "the caller waits for it and gets what it raises",
    ("storage/cleaner_run.py", "create_task"): "of one compaction; it goes on whatever the engine raises",
    ("storage/io.py", "add_reader"): "each result is guarded",
    ("replication/committer.py", "call_later"): "tries one flush again; what fails is the failure of its log",
    ("replication/purgatory.py", "call_at"): "each operation is guarded, then the timer is set again",
    (
        "coordination/serial_changes.py",
        "ensure_future",
    ): "the caller waits for it; a retry looks at the outcome",
    ("coordination/serial_changes.py", "call_later"): "what it starts is looked at, and tried again",
    ("coordination/groups/timers.py", "call_later"): "guarded, and set again after a failure",
    ("coordination/groups/consumer/writer.py", "call_later"): "guarded, and set again after a failure",
    ("coordination/groups/classic/membership.py", "create_task"): "one request; its failure is its answer",
    (
        "coordination/groups/consumer/assigning.py",
        "create_task",
    ): "its failure is counted; the next heartbeat begins anew",
    ("coordination/groups/consumer/service.py", "create_task"): "asked for again by the next heartbeat",
    ("coordination/transactions/questions.py", "call_at"): "what it meets is counted, and answered",
    ("coordination/transactions/questions.py", "create_task"): "one request; its failure is its answer",
    ("coordination/transactions/changes.py", "call_later"): "guarded; tries one completion again",
    ("coordination/transactions/changes.py", "create_task"): "one record; its failure is its answer",
    ("coordination/transactions/leadership.py", "call_later"): "has the loop look at one partition again",
    (
        "coordination/transactions/markers.py",
        "create_task",
    ): "logged, and its markers sent again",
    ("coordination/keeper/journal.py", "create_task"): "what it raises ends the keeper, which is told",
    ("coordination/keeper/listener.py", "call_later"): "look once at one connection",
    (
        "coordination/controller/channels.py",
        "create_task",
    ): "an answer that is waited for; a channel that closes",
    (
        "coordination/controller/controller.py",
        "call_later",
    ): "puts an event into the queue, whose loop is supervised",
    ("coordination/controller/socket_link.py", "create_task"): "waits for one connection to break, and tells",
    ("coordination/controller/suspicion.py", "create_task"): "one broker's port; its failure is logged",
    ("replication/controller_link.py", "ensure_future"): "the request that began it waits for it",
    ("coordination/member/controller_watch.py", "ensure_future"): "the loop that begins them waits for them",
    (
        "coordination/member/presence.py",
        "ensure_future",
    ): "tells of one failed directory, again until it is told",
    (
        "coordination/member/receiver.py",
        "create_task",
    ): "what groups have of one topic; its failure is logged",
    (
        "coordination/znodes/controller_store.py",
        "create_task",
    ): "the caller waits for all, and gets what they raise",
    ("server/requests/turns.py", "create_task"): "one long request; its failure is its answer",
    ("server/network/file_sender.py", "add_writer"): "one answer of one connection",
    ("server/network/muting.py", "call_at"): "the end of one connection's wait, whose failure closes it",
    ("server/network/receiving.py", "add_reader"): "each connection is guarded",
    ("server/network/acceptor.py", "add_reader"): "what it meets is counted; the next one is accepted",
    ("server/network/acceptor.py", "call_later"): "lets one connection in, or ends it",
    ("server/network/acceptor.py", "create_task"): "one connection; its failure is counted",
    ("server/network/tls_layer.py", "call_later"): "ends one connection; so does the sweeper",
    ("server/network/sasl_gate.py", "call_later"): "ends one connection; so does the sweeper",
    ("server/observability/http_server.py", "create_task"): "one HTTP connection",
}


def starts() -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith(NOT_THE_BROKER) and not name.startswith("cli/broker/service_manager"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if called in STARTS:
                    found[name, called] += 1
    return found


def test_whatever_runs_in_the_background_is_supervised_or_accounted_for() -> None:
    found = starts()
    assert sorted(set(found) - set(ALLOWED)) == [], "use Supervisor.run, repeat or guard, or give a reason"
    assert sorted(set(ALLOWED) - set(found)) == [], "no longer there: take it off the list"
    # A second one in the same file would hide behind the first.
    assert {place: count for place, count in found.items() if count > 1} == {
        ("coordination/controller/channels.py", "create_task"): 2,
        ("coordination/groups/timers.py", "call_later"): 2,
        ("coordination/keeper/listener.py", "call_later"): 2,
        ("coordination/member/controller_watch.py", "ensure_future"): 2,
    }


def test_every_loop_has_its_row_in_the_documentation() -> None:
    """Those of the keeper are in another process, which has no metrics."""
    text = OBSERVABILITY.read_text(encoding="utf-8")
    table = text[text.index("| `loop` |") : text.index("For Kubernetes")]
    named = {
        name + ("N" if name.endswith("-") else "")
        for path in PACKAGE.rglob("*.py")
        if "keeper" not in path.parts
        for name in re.findall(r"tasks\.run\(f?\"([a-z-]+)", path.read_text(encoding="utf-8"))
    }
    assert {"cleaner-N", "zookeeper-session", "scrub"} <= named
    assert [name for name in sorted(named) if f"`{name}`" not in table] == []
