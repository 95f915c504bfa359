"""Real parts for tests: brokers and databases, and which of them a run uses (docs/services.md)."""

from services.apache_kafka import ApacheKafka
from services.choice import Services
from services.databases import MariaDb, Postgres
from services.embedded import BrokerProcess, broker_process

__all__ = ["ApacheKafka", "BrokerProcess", "MariaDb", "Postgres", "Services", "broker_process"]
