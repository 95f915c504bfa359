"""All faults, in one order, so that a seed always draws the same ones."""

from __future__ import annotations

from chaos.faults import network, processes, servers, source, storage
from chaos.faults.base import Fault, NotPossible

FAULTS: tuple[type[Fault], ...] = (
    processes.KillRole,
    processes.KillAllRoles,
    processes.KillTwice,
    processes.PauseRole,
    processes.RestartBroker,
    processes.RebalanceStorm,
    processes.ClockJump,
    processes.Operator,
    source.CrashDepartment,
    source.CutSessions,
    source.RefuseLogin,
    source.DropSlot,
    source.RecreateSlot,
    source.LoseSlot,
    source.AddColumn,
    source.RenameColumn,
    source.PoisonFlood,
    source.CutDump,
    source.Burst,
    storage.FullDisk,
    storage.FailingSync,
    storage.TornTail,
    storage.FlippedByte,
    storage.LockedDatabase,
    servers.KillNode,
    servers.KillController,
    servers.PauseNode,
    servers.CrashDatabase,
    servers.CutDatabaseSessions,
    servers.ReadOnlyDatabase,
    servers.LostTail,
    network.BadNetwork,
    network.IdleClients,
)

__all__ = ["FAULTS", "Fault", "NotPossible"]
