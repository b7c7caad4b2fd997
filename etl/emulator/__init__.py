"""
A local emulator of the API, on a real socket.

It shares no code with the client: a misreading of the API in shared code would pass every test.
"""

from etl.emulator.behaviour import Behaviour, Fault, RequestInfo
from etl.emulator.server import serve
from etl.emulator.state import API_KEY, Emulator
from etl.emulator.task import RESULT_KEPT_FOR, STATUSES, TERMINAL, IllegalTransition, Task
from etl.emulator.world import World

__all__ = [
    "API_KEY",
    "RESULT_KEPT_FOR",
    "STATUSES",
    "TERMINAL",
    "Behaviour",
    "Emulator",
    "Fault",
    "IllegalTransition",
    "RequestInfo",
    "Task",
    "World",
    "serve",
]  # fmt: skip
