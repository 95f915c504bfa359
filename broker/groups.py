"""A consumer group: the classic protocol, with static members (KIP-345) and known ids before the first join (KIP-394).

    Empty → PreparingRebalance (members join) → CompletingRebalance (the leader assigns) → Stable

Membership outlives the broker: a client whose group is forgotten is told UNKNOWN_MEMBER_ID, and Faust deadlocks on that.
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from broker.errors import Code, Refused

_LONGEST_SESSION_S = 1_800.0


class State(Enum):
    """The states by their names in the protocol."""

    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"
    COMPLETING = "CompletingRebalance"
    STABLE = "Stable"


class Joining(NamedTuple):
    """What a member brings along when it joins."""

    member_id: str
    instance: str | None
    client_id: str
    host: str
    session_s: float
    rebalance_s: float
    protocol_type: str
    protocols: dict[str, bytes]
    needs_known_id: bool


class Joined(NamedTuple):
    """What a member is told when all have joined; ``members`` is filled for the leader."""

    member_id: str
    leader: str
    members: list[Member]


@dataclass
class Member:
    """A member; ``joining`` and ``syncing`` are the answers that it waits for."""

    ident: str
    instance: str | None
    client_id: str
    host: str
    session_s: float
    rebalance_s: float
    protocols: dict[str, bytes]
    assignment: bytes = b""
    joining: asyncio.Future[None] | None = field(default=None, repr=False)
    syncing: asyncio.Future[None] | None = field(default=None, repr=False)
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    def answer(self, error: Refused | None) -> None:
        """End what the member waits for."""
        for waiting in (self.joining, self.syncing):
            _settle(waiting, error)
        self.joining = self.syncing = None

    def forget_timer(self) -> None:
        """Stop watching the session."""
        if self.timer:
            self.timer.cancel()
            self.timer = None


def _settle(waiting: asyncio.Future[None] | None, error: Refused | None = None) -> None:
    if waiting is not None and not waiting.done():
        if error:
            waiting.set_exception(error)
        else:
            waiting.set_result(None)


class Group:
    """One group. ``keep`` stores what ``stored`` gives, whenever it has changed."""

    def __init__(self, name: str, keep: Callable[[Group], None]) -> None:
        self.name, self._keep = name, keep
        self.state, self.generation = State.EMPTY, 0
        self.protocol_type, self.protocol, self.leader = "", "", ""
        self.members: dict[str, Member] = {}
        self._promised: set[str] = set()  # ids that were given out, to be joined with
        self._timer: asyncio.TimerHandle | None = None

    # -- durability ---------------------------------------------------------------------------------------------------

    def stored(self) -> dict[str, Any]:
        """The membership as JSON values."""
        members = [
            {
                "ident": member.ident,
                "instance": member.instance,
                "client_id": member.client_id,
                "host": member.host,
                "session_s": member.session_s,
                "rebalance_s": member.rebalance_s,
                "protocols": {name: base64.b64encode(data).decode() for name, data in member.protocols.items()},
                "assignment": base64.b64encode(member.assignment).decode(),
            }
            for member in self.members.values()
        ]
        names = ("generation", "protocol_type", "protocol", "leader")
        return {name: getattr(self, name) for name in names} | {"state": self.state.value, "members": members}

    def restore(self, stored: dict[str, Any]) -> None:
        """Take the membership up again: a stable group goes on, one in a rebalance begins it anew."""
        for name in ("generation", "protocol_type", "protocol", "leader"):
            setattr(self, name, stored[name])
        for values in stored["members"]:
            protocols = {name: base64.b64decode(data) for name, data in values["protocols"].items()}
            assignment = base64.b64decode(values["assignment"])
            member = Member(**(values | {"protocols": protocols, "assignment": assignment}))
            self.members[member.ident] = member
            self._watch(member)
        self.state = State(stored["state"])
        if self.state in (State.PREPARING, State.COMPLETING):
            self._prepare()

    # -- membership ---------------------------------------------------------------------------------------------------

    def _watch(self, member: Member) -> None:
        """Give the member another session's time."""
        member.forget_timer()
        member.timer = asyncio.get_running_loop().call_later(member.session_s, self._expire, member)

    def _expire(self, member: Member) -> None:
        if self.members.get(member.ident) is member and member.joining is None:
            self._remove(member)

    def _remove(self, member: Member) -> None:
        del self.members[member.ident]
        member.forget_timer()
        member.answer(Refused(Code.UNKNOWN_MEMBER_ID, "the member was removed"))
        if self.leader == member.ident:
            self.leader = next(iter(self.members), "")
        if self.state is State.PREPARING:
            self._complete_if_all_joined()
        else:
            self._prepare()
        self._keep(self)

    def holder(self, instance: str | None) -> Member | None:
        """The member of this static instance."""
        same = (member for member in self.members.values() if member.instance == instance)
        return next(same, None) if instance else None

    def confirm(self, member_id: str, instance: str | None, generation: int) -> Member:
        """The member, alive for another session. Raises Refused."""
        member, holder = self.members.get(member_id), self.holder(instance)
        if holder and holder is not member:
            raise Refused(Code.FENCED_INSTANCE_ID, f"{instance} has joined anew")
        if member is None:
            raise Refused(Code.UNKNOWN_MEMBER_ID, member_id)
        if generation != self.generation:
            raise Refused(Code.ILLEGAL_GENERATION, f"{generation}, the group is at {self.generation}")
        if member.joining is None:
            self._watch(member)
        return member

    def leave(self, member_id: str, instance: str | None) -> str:
        """Remove a member at its own wish, or an operator's; gives its id. Raises Refused."""
        if instance and not member_id:
            holder = self.holder(instance)
            member_id = holder.ident if holder else ""
        if member_id in self._promised:
            self._promised.discard(member_id)
            return member_id
        if member_id not in self.members:
            raise Refused(Code.UNKNOWN_MEMBER_ID, member_id)
        if instance and self.members[member_id].instance != instance:
            raise Refused(Code.FENCED_INSTANCE_ID, f"{instance} has joined anew")
        self._remove(self.members[member_id])
        return member_id

    # -- joining ------------------------------------------------------------------------------------------------------

    async def join(self, new: Joining) -> Joined:
        """Take part in the next generation; returns when it has begun. Raises Refused."""
        if not 0 < new.session_s <= _LONGEST_SESSION_S:
            raise Refused(Code.INVALID_SESSION_TIMEOUT, f"{new.session_s} s; up to {_LONGEST_SESSION_S} s")
        self._check_protocols(new)
        member, replaced = self._admit(new)
        self.protocol_type = new.protocol_type
        unchanged = member.protocols == new.protocols
        member.protocols, member.session_s, member.rebalance_s = new.protocols, new.session_s, new.rebalance_s
        stays = self.state is State.STABLE and (replaced or member.ident != self.leader)
        if unchanged and self.generation and (stays or self.state is State.COMPLETING):
            self._watch(member)
            if replaced:
                self._keep(self)
            return self._joined(member, leader=replaced or self.leader)
        await self._wait_for_all(member)
        return self._joined(member, leader=self.leader)

    def _joined(self, member: Member, *, leader: str) -> Joined:
        """A restarted static leader is told its former id as the leader's: it keeps its assignment and assigns nothing."""
        members = list(self.members.values()) if member.ident == leader else []
        return Joined(member.ident, leader, members)

    def _check_protocols(self, new: Joining) -> None:
        others = [member.protocols for member in self.members.values() if member.ident != new.member_id]
        common = set(new.protocols).intersection(*others)
        if not common or (self.members and new.protocol_type != self.protocol_type):
            raise Refused(Code.INCONSISTENT_GROUP_PROTOCOL, "nothing in common with the other members")

    def _admit(self, new: Joining) -> tuple[Member, str]:
        """(the member, the id that it had before if it is a static one that has restarted). Raises Refused."""
        holder = self.holder(new.instance)
        if holder and not new.member_id:
            return self._replace(holder, new)
        if holder and holder.ident != new.member_id:
            raise Refused(Code.FENCED_INSTANCE_ID, f"{new.instance} has joined anew")
        if new.member_id in self.members:
            return self.members[new.member_id], ""
        if new.member_id and new.member_id not in self._promised:
            raise Refused(Code.UNKNOWN_MEMBER_ID, new.member_id)
        ident = new.member_id or f"{new.instance or new.client_id}-{uuid.uuid4()}"
        if not new.member_id and not new.instance and new.needs_known_id:
            self._promise(ident, new.session_s)
            raise Refused(Code.MEMBER_ID_REQUIRED, ident)
        self._promised.discard(ident)
        member = Member(ident, new.instance, new.client_id, new.host, new.session_s, new.rebalance_s, {})
        self.members[ident] = member
        return member, ""

    def _promise(self, ident: str, session_s: float) -> None:
        self._promised.add(ident)
        asyncio.get_running_loop().call_later(session_s, self._promised.discard, ident)

    def _replace(self, holder: Member, new: Joining) -> tuple[Member, str]:
        """Give a restarted static member a new id, which fences its former self, and its former place."""
        former = holder.ident
        holder.answer(Refused(Code.FENCED_INSTANCE_ID, f"{new.instance} has joined anew"))
        holder.ident = f"{new.instance}-{uuid.uuid4()}"
        holder.client_id, holder.host = new.client_id, new.host
        self.members = {member.ident: member for member in self.members.values()}
        if self.leader == former:
            self.leader = holder.ident
        return holder, former

    async def _wait_for_all(self, member: Member) -> None:
        _settle(member.joining, Refused(Code.REBALANCE_IN_PROGRESS, "joined again on another connection"))
        waiting = member.joining = asyncio.get_running_loop().create_future()
        member.forget_timer()
        if self.state is State.PREPARING:
            self._complete_if_all_joined()
        else:
            self._prepare()
        try:
            await waiting
        finally:
            if member.joining is waiting:  # the connection broke
                member.joining = None
                self._watch(member)

    def _prepare(self) -> None:
        """Call for a new generation: members learn of it with their next heartbeat, and join again."""
        for member in self.members.values():
            _settle(member.syncing, Refused(Code.REBALANCE_IN_PROGRESS, "a member has come or gone"))
            member.syncing = None
        self.state = State.PREPARING
        if self._timer:
            self._timer.cancel()
        patience_s = max((member.rebalance_s for member in self.members.values()), default=0.0)
        self._timer = asyncio.get_running_loop().call_later(patience_s, self._complete)
        self._complete_if_all_joined()

    def _complete_if_all_joined(self) -> None:
        if all(member.joining for member in self.members.values()):
            self._complete()

    def _complete(self) -> None:
        """Begin the generation with those who have joined; static members keep their place until their session ends."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        for member in list(self.members.values()):
            if member.joining is None and member.instance is None:
                member.forget_timer()
                del self.members[member.ident]
        joined = [member for member in self.members.values() if member.joining]
        if not joined:
            if self.members:  # static members that are away: wait for one of them, or for their sessions to end
                self._timer = asyncio.get_running_loop().call_later(1.0, self._complete)
                return
            self.state, self.protocol, self.leader = State.EMPTY, "", ""
            self.generation += 1
            self._keep(self)
            return
        self._begin_generation(joined)

    def _begin_generation(self, joined: list[Member]) -> None:
        self.generation += 1
        self.state, self.protocol = State.COMPLETING, self._vote()
        if self.leader not in (member.ident for member in joined):
            self.leader = joined[0].ident
        for member in joined:
            member.assignment = b""
            waiting, member.joining = member.joining, None
            self._watch(member)
            _settle(waiting)
        self._keep(self)

    def _vote(self) -> str:
        """The assignment strategy that most members name first, among those that all know."""
        everyone = [member.protocols for member in self.members.values()]
        common = set(everyone[0]).intersection(*everyone)
        return Counter(next(name for name in one if name in common) for one in everyone).most_common(1)[0][0]

    # -- after joining ------------------------------------------------------------------------------------------------

    async def sync(self, member: Member, assignments: Iterable[tuple[str, bytes]]) -> bytes:
        """The member's assignment, when the leader has made it. Raises Refused."""
        if self.state is State.PREPARING:
            raise Refused(Code.REBALANCE_IN_PROGRESS, "a member has come or gone")
        if self.state is State.COMPLETING:
            if member.ident == self.leader:
                self._assign(dict(assignments))
            else:
                _settle(member.syncing, Refused(Code.REBALANCE_IN_PROGRESS, "asked again on another connection"))
                member.syncing = asyncio.get_running_loop().create_future()
                await member.syncing
        return member.assignment

    def _assign(self, assignments: dict[str, bytes]) -> None:
        self.state = State.STABLE
        for member in self.members.values():
            member.assignment = assignments.get(member.ident, b"")
        self._keep(self)
        for member in self.members.values():
            _settle(member.syncing)
            member.syncing = None

    def heartbeat(self) -> None:
        """Raise Refused when the member has to join again."""
        if self.state is State.PREPARING:
            raise Refused(Code.REBALANCE_IN_PROGRESS, "a member has come or gone")

    def close(self) -> None:
        """Stop all timers."""
        if self._timer:
            self._timer.cancel()
        for member in self.members.values():
            member.forget_timer()
