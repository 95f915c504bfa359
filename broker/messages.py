"""kafka-python's protocol classes, which have no types; all of the room's use of them comes through here."""

from __future__ import annotations

from typing import Any

import kafka.protocol.admin
import kafka.protocol.consumer
import kafka.protocol.metadata
import kafka.protocol.producer
from kafka.errors import UnsupportedCodecError
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

admin: Any = kafka.protocol.admin
consumer: Any = kafka.protocol.consumer
metadata: Any = kafka.protocol.metadata
producer: Any = kafka.protocol.producer
RecordBatch: Any = DefaultRecordBatch
RecordBatchBuilder: Any = DefaultRecordBatchBuilder
CodecMissing: type[Exception] = UnsupportedCodecError
