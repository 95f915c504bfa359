"""Consumer groups: Kafka's classic coordinator, with static members (KIP-345) and the second join (KIP-394).

Membership is durable. A broker that forgot it would answer UNKNOWN_MEMBER_ID to everyone after a restart, and members
that must finish work before they rejoin (Faust) would wait for each other.

    Empty -> PreparingRebalance -> CompletingRebalance -> Stable -> PreparingRebalance …
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from broker.errors import Code
from broker.journal import Journal

State = Literal["Empty", "PreparingRebalance", "CompletingRebalance", "Stable"]


@dataclass
class Member:
    """One member, and the answer that it is waiting for, if any."""

    id: str
    instance: str | None
    client: str
    host: str
    session_s: float = 10.0
    rebalance_s: float = 60.0
    protocols: dict[str, bytes] = field(default_factory=dict)
    assignment: bytes = b""
    joining: asyncio.Future[Code] | None = None
    syncing: asyncio.Future[Code] | None = None
    timer: asyncio.TimerHandle | None = None

    def answer(self, code: Code) -> None:
        """End what the member waits for."""
        for waiting in (self.joining, self.syncing):
            if waiting and not waiting.done():
                waiting.set_result(code)

    def stop_timer(self) -> None:
        """No session to expire any more."""
        if self.timer:
            self.timer.cancel()


class Join(NamedTuple):
    """What a member says when it joins."""

    member_id: str
    instance: str | None
    client: str
    host: str
    protocol_type: str
    protocols: dict[str, bytes]
    session_s: float
    rebalance_s: float
    needs_id: bool


class Group:
    """One group. Every method runs on the event loop."""

    def __init__(self, name: str, journal: Journal) -> None:
        self.name, self._journal = name, journal
        self.state: State = "Empty"
        self.generation, self.protocol, self.protocol_type, self.leader = 0, "", "", ""
        self.members: dict[str, Member] = {}
        self._pending: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    # -- durability ---------------------------------------------------------------------------------------------------

    def _persist(self) -> None:
        stable = self.members.values() if self.state == "Stable" else ()
        self._journal.put(
            [
                (
                    self.name,
                    {
                        "generation": self.generation,
                        "type": self.protocol_type,
                        "protocol": self.protocol,
                        "leader": self.leader,
                        "members": [_member_to_json(member) for member in stable],
                    },
                )
            ]
        )

    def restore(self, stored: dict[str, Any]) -> Group:
        """Take up where the last run of the broker stopped; each session starts anew."""
        self.generation, self.protocol_type = stored["generation"], stored["type"]
        self.protocol, self.leader = stored["protocol"], stored["leader"]
        for about in stored["members"]:
            member = _member_from_json(about)
            self.members[member.id] = member
            self._arm(member)
        if self.members:
            self.state = "Stable"
        return self

    # -- sessions -----------------------------------------------------------------------------------------------------

    def _arm(self, member: Member) -> None:
        member.stop_timer()
        member.timer = asyncio.get_running_loop().call_later(member.session_s, self.remove, member.id)

    def remove(self, member_id: str) -> bool:
        """Take a member out (its session ended, or it left); the others divide its work."""
        self._pending.discard(member_id)
        member = self.members.pop(member_id, None)
        if member is None:
            return False
        member.stop_timer()
        member.answer(Code.UNKNOWN_MEMBER_ID)
        if self.leader == member_id:
            self.leader = next(iter(self.members), "")
        if self.state in ("Stable", "CompletingRebalance"):
            self._prepare()
        elif self.state == "PreparingRebalance":
            self._complete_if_all_joined()
        return True

    def by_instance(self, instance: str | None) -> Member | None:
        """The static member of this instance id."""
        return next((m for m in self.members.values() if instance and m.instance == instance), None)

    def flaw(self, member_id: str, generation: int, instance: str | None) -> Code:
        """NONE if the member speaks for itself in the current generation."""
        static = self.by_instance(instance)
        if static and static.id != member_id:
            return Code.FENCED_INSTANCE_ID
        if member_id not in self.members:
            return Code.UNKNOWN_MEMBER_ID
        return Code.NONE if generation == self.generation else Code.ILLEGAL_GENERATION

    # -- rebalance ----------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        for member in self.members.values():
            if member.syncing and not member.syncing.done():
                member.syncing.set_result(Code.REBALANCE_IN_PROGRESS)
        self.state = "PreparingRebalance"
        if self._timer:
            self._timer.cancel()
        longest = max((member.rebalance_s for member in self.members.values()), default=0)
        self._timer = asyncio.get_running_loop().call_later(longest, self._complete)
        self._complete_if_all_joined()

    def _complete_if_all_joined(self) -> None:
        if self.state == "PreparingRebalance" and all(member.joining for member in self.members.values()):
            self._complete()

    def _complete(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        for member in [member for member in self.members.values() if not member.joining]:
            del self.members[member.id]
            member.stop_timer()
        self.generation += 1
        if not self.members:
            self.state, self.protocol, self.leader = "Empty", "", ""
            self._persist()
            return
        self.protocol = self._elect_protocol()
        if self.leader not in self.members:
            self.leader = next(iter(self.members))
        self.state = "CompletingRebalance"
        self._persist()
        for member in self.members.values():
            joining, member.joining, member.assignment = member.joining, None, b""
            self._arm(member)
            if joining and not joining.done():
                joining.set_result(Code.NONE)

    def _elect_protocol(self) -> str:
        common = set.intersection(*(set(member.protocols) for member in self.members.values()))
        votes = Counter(next(p for p in member.protocols if p in common) for member in self.members.values())
        return votes.most_common(1)[0][0]

    # -- requests -----------------------------------------------------------------------------------------------------

    async def join(self, wish: Join) -> tuple[Code, str]:
        """Join or rejoin. Returns when the generation has formed, with the member's id."""
        others = [set(member.protocols) for member in self.members.values()]
        if not wish.protocols or (
            others and (wish.protocol_type != self.protocol_type or not set.intersection(set(wish.protocols), *others))
        ):
            return Code.INCONSISTENT_GROUP_PROTOCOL, wish.member_id
        code, member_id = self._admit(wish)
        if code:
            return code, member_id
        member = self.members.get(member_id)
        unchanged = member is not None and member.protocols == wish.protocols
        if member is None:
            member = Member(member_id, wish.instance, wish.client, wish.host)
            self.members[member_id] = member
        member.protocols, self.protocol_type = wish.protocols, wish.protocol_type
        member.session_s, member.rebalance_s = wish.session_s, wish.rebalance_s
        settled = self.state == "CompletingRebalance" or (self.state == "Stable" and member_id != self.leader)
        if unchanged and settled:
            return Code.NONE, member_id
        return await self._wait_for_generation(member), member_id

    async def _wait_for_generation(self, member: Member) -> Code:
        member.stop_timer()
        joining: asyncio.Future[Code] = asyncio.get_running_loop().create_future()
        member.joining = joining
        if self.state == "PreparingRebalance":
            self._complete_if_all_joined()
        else:
            self._prepare()
        try:
            return await joining
        except asyncio.CancelledError:  # the connection is gone; the member may come back within its session
            if member.joining is joining:
                member.joining = None
                self._arm(member)
            raise

    def _admit(self, wish: Join) -> tuple[Code, str]:
        member_id = wish.member_id
        if wish.instance:
            old = self.by_instance(wish.instance)
            if old and member_id and old.id != member_id:
                return Code.FENCED_INSTANCE_ID, member_id
            if old and not member_id:
                return Code.NONE, self._take_over(old, wish)
            member_id = member_id or f"{wish.instance}-{uuid.uuid4()}"
        elif not member_id:
            member_id = f"{wish.client}-{uuid.uuid4()}"
            if wish.needs_id:
                self._pending.add(member_id)
                return Code.MEMBER_ID_REQUIRED, member_id
        elif member_id not in self.members and member_id not in self._pending:
            return Code.UNKNOWN_MEMBER_ID, member_id
        self._pending.discard(member_id)
        return Code.NONE, member_id

    def _take_over(self, old: Member, wish: Join) -> str:
        """A static member that restarted gets its predecessor's place under a new id; the predecessor is fenced."""
        new_id = f"{wish.instance}-{uuid.uuid4()}"
        del self.members[old.id]
        old.stop_timer()
        old.answer(Code.FENCED_INSTANCE_ID)
        new = Member(new_id, wish.instance, wish.client, wish.host)
        new.protocols, new.assignment = dict(old.protocols), old.assignment
        new.session_s, new.rebalance_s = wish.session_s, wish.rebalance_s
        self.members[new_id] = new
        if self.leader == old.id:
            self.leader = new_id
        self._arm(new)
        return new_id

    async def sync(self, member_id: str, assignments: dict[str, bytes]) -> Code:
        """Give out the leader's assignment; followers wait for it."""
        member = self.members[member_id]
        self._arm(member)
        if self.state == "PreparingRebalance":
            return Code.REBALANCE_IN_PROGRESS
        if self.state == "CompletingRebalance":
            if member_id == self.leader:
                self._assign(assignments)
            else:
                member.syncing = asyncio.get_running_loop().create_future()
                code: Code = await member.syncing
                member.syncing = None
                return code
        return Code.NONE

    def _assign(self, assignments: dict[str, bytes]) -> None:
        for member_id, assignment in assignments.items():
            if member_id in self.members:
                self.members[member_id].assignment = assignment
        self.state = "Stable"
        self._persist()
        for member in self.members.values():
            if member.syncing and not member.syncing.done():
                member.syncing.set_result(Code.NONE)

    def heartbeat(self, member_id: str) -> Code:
        """Prolong a session."""
        member = self.members[member_id]
        if not member.joining:
            self._arm(member)
        return Code.REBALANCE_IN_PROGRESS if self.state == "PreparingRebalance" else Code.NONE


def _member_to_json(member: Member) -> dict[str, Any]:
    return {
        "id": member.id,
        "instance": member.instance,
        "client": member.client,
        "host": member.host,
        "session_s": member.session_s,
        "rebalance_s": member.rebalance_s,
        "protocols": {name: base64.b64encode(data).decode() for name, data in member.protocols.items()},
        "assignment": base64.b64encode(member.assignment).decode(),
    }


def _member_from_json(about: dict[str, Any]) -> Member:
    protocols = {name: base64.b64decode(data) for name, data in about["protocols"].items()}
    return Member(**{**about, "protocols": protocols, "assignment": base64.b64decode(about["assignment"])})


class Groups:
    """All groups of the broker, and the offsets that they committed."""

    def __init__(self, memberships: Journal, offsets: Journal) -> None:
        self._memberships, self.offsets = memberships, offsets
        self._groups = {name: Group(name, memberships).restore(stored) for name, stored in memberships.data.items()}

    def get(self, name: str) -> Group:
        """The group of this name, made if need be."""
        if name not in self._groups:
            self._groups[name] = Group(name, self._memberships)
        return self._groups[name]

    def known(self) -> dict[str, Group]:
        """Groups with members, a past, or offsets."""
        named = {key.split("\0")[0] for key in self.offsets.data}
        return {name: self.get(name) for name in named | {g.name for g in self._groups.values() if g.generation}}

    def committed(self, name: str) -> dict[tuple[str, int], tuple[int, int, str]]:
        """(topic, partition) -> (offset, leader epoch, metadata)."""
        found = {}
        for key, (offset, epoch, metadata) in self.offsets.data.items():
            group, topic, partition = key.split("\0")
            if group == name:
                found[topic, int(partition)] = (offset, epoch, metadata)
        return found

    def commit(self, name: str, offsets: dict[tuple[str, int], tuple[int, int, str]]) -> None:
        """Store offsets."""
        self.offsets.put([(f"{name}\0{topic}\0{index}", list(value)) for (topic, index), value in offsets.items()])

    def forget_topic(self, topic: str) -> None:
        """Remove the offsets of a deleted topic."""
        self.offsets.put([(key, None) for key in list(self.offsets.data) if key.split("\0")[1] == topic])

    def delete(self, name: str) -> Code:
        """Remove an empty group."""
        group = self.known().get(name)
        if group is None:
            return Code.GROUP_ID_NOT_FOUND
        if group.members:
            return Code.NON_EMPTY_GROUP
        self._groups.pop(name, None)
        self._memberships.put([(name, None)])
        self.offsets.put([(key, None) for key in list(self.offsets.data) if key.split("\0")[0] == name])
        return Code.NONE
