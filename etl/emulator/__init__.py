"""
A local stand-in for the API, on a real socket.

It shares no code with the client: one misreading of the API in both would pass every test.
"""

from etl.emulator.behaviour import Behaviour, Fault, RequestInfo
from etl.emulator.server import API_KEY, Emulator, RequestRecord, serve
from etl.emulator.task import FINAL, RESULT_KEPT_FOR, STATUSES, IllegalMove, Task
from etl.emulator.world import World

__all__ = [
    "API_KEY", "FINAL", "RESULT_KEPT_FOR", "STATUSES", "Behaviour", "Emulator", "Fault", "IllegalMove",
    "RequestInfo", "RequestRecord", "Task", "World", "serve",
]  # fmt: skip
