"""A group goes back to what is stored of it, when the log has refused its changes."""

from __future__ import annotations

from fastlog.coordination.groups.consumer.members import ConsumerMember, MemberState, Position
from fastlog.coordination.groups.consumer.state import Before, ConsumerGroup, Deadline, Kind
from fastlog.coordination.groups.results import Now
from fastlog.coordination.groups.weight import Weighed, regex_weight, target_weight


def restore(group: ConsumerGroup, before: Before, now: Now) -> None:
    """Takes changes back: `before` has what `ConsumerGroup.before` had of all of them, the oldest of each.

    Members that had left, or were fenced, have one session more.
    """
    group.undone += 1
    targets, regexes, deadlines = dict(group.targets), dict(group.regexes), dict(group.deadlines)
    for (kind, text), value in before.items():
        if kind is Kind.TARGET:
            targets[text] = value
        elif kind is Kind.REGEX:
            regexes[text] = value
    former = _restore_members(group, before)
    group.epoch, group.metadata_hash = before.get((Kind.GROUP, ""), (group.epoch, group.metadata_hash))
    group.assignment_epoch = before.get((Kind.TARGET_EPOCH, ""), group.assignment_epoch)
    wanted = {
        name: target for name, target in targets.items() if target is not None and name in group.members
    }
    group.targets = Weighed(target_weight, wanted)
    patterns = group.patterns()
    group.regexes = Weighed(
        regex_weight,
        {text: found for text, found in regexes.items() if found is not None and text in patterns},
    )
    group.forget_touched()
    group.deadlines = {key: at for key, at in deadlines.items() if key[0] in group.members}
    for member in former:
        if (member.member_id, Deadline.SESSION) not in group.deadlines:
            group.start_session(member, now)
        if member.position.state is MemberState.UNREVOKED and not member.is_classic:
            group.set_deadline(member, Deadline.REVOCATION, member.details.rebalance_timeout_ms, now)


def _restore_members(group: ConsumerGroup, before: Before) -> list[ConsumerMember]:
    """The members that were others, or were not there; all others of `before` are gone."""
    former: list[ConsumerMember] = []
    for member_id in dict.fromkeys(text for kind, text in before if kind in (Kind.MEMBER, Kind.POSITION)):
        member = group.members.get(member_id)
        details = before.get((Kind.MEMBER, member_id), None if member is None else member.details)
        position = before.get((Kind.POSITION, member_id), Position() if member is None else member.position)
        if details is not None:
            former.append(ConsumerMember(member_id, details, position))
        if member is not None:
            group.remove(member_id)
    # Partitions may have gone from one of them to another: first all are free.
    for one in former:
        group.put(one)
    return former
