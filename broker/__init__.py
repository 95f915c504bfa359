"""The embedded broker: a durable log that speaks the Kafka protocol, for one machine."""

from broker.errors import AddressUnusable, Damaged, DirectoryInUse, PortInUse
from broker.flusher import Fsync
from broker.server import Broker, BrokerSettings, serve

__all__ = ["AddressUnusable", "Broker", "BrokerSettings", "Damaged", "DirectoryInUse", "Fsync", "PortInUse", "serve"]
