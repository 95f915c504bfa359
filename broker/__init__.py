"""The embedded broker: one durable process that speaks the Kafka protocol, for laptop, test and demo."""

from broker.errors import Damaged, DirectoryInUse, PortInUse
from broker.server import Broker, BrokerSettings, serve

__all__ = ["Broker", "BrokerSettings", "Damaged", "DirectoryInUse", "PortInUse", "serve"]
