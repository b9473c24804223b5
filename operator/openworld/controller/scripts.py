"""Runs scripts for the engine: in one sandboxed process that is killed when a script will not end.

An evaluation has a time limit by the clock; whatever a script does, only its own evaluation fails and the
next one finds a fresh or an unharmed process. Calls queue. A sandbox that cannot be started raises: that is
never the script's fault, and the caller tries again later.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import orjson

import openworld
from openworld.api.meta import Json, JsonObject
from openworld.engine.needs import NeedScript, ScriptAnswer

SECONDS = 2.0
MAX_INPUT_BYTES = 4 * 1024 * 1024
_MAX_ANSWER_BYTES = 1024 * 1024
_START_SECONDS = 30.0
_GRACE_SECONDS = 1.0
_CHILD = Path(__file__).with_name("script_child.py")
_TOO_MUCH = "the script ended its sandbox: it needs too much memory, or nests too deeply"


@dataclass(frozen=True, slots=True)
class ScriptOutcome:
    """A script's value, or why there is none."""

    value: Json = None
    error: str | None = None


class SandboxUnavailable(Exception):
    """The sandbox's process does not start; nothing is known of the script."""


class _Died(Exception):
    """The process ended in the middle of a conversation."""


class ScriptRunner:
    """One sandbox process and the queue before it."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def run(self, need: NeedScript) -> ScriptAnswer:
        """Answer the engine's question. Raises SandboxUnavailable."""
        outcome = await self.evaluate(need.evaluator, need.expression, orjson.loads(need.data))
        return ScriptAnswer(outcome.value, outcome.error)

    async def evaluate(self, evaluator: str, expression: str, data: Json) -> ScriptOutcome:
        """The value of an expression over data, or the script's error. Raises SandboxUnavailable."""
        try:
            request = orjson.dumps([evaluator, expression, data])
        except TypeError as error:
            return ScriptOutcome(error=f"the script or its data is not JSON: {error}")
        if len(request) > MAX_INPUT_BYTES:
            return ScriptOutcome(error=f"the data has more than {MAX_INPUT_BYTES} bytes")
        async with self._lock:
            # A process that died idle is not the script's doing: only the second death is.
            for _ in range(2):
                process = await self._started()
                try:
                    async with asyncio.timeout(self._seconds):
                        answer = await _ask(process, request)
                except TimeoutError:
                    await self._end()
                    return ScriptOutcome(error=f"the script ran longer than {self._seconds:g} s")
                except _Died:
                    await self._end(dying=True)
                except BaseException:
                    await self._end()
                    raise
                else:
                    return ScriptOutcome(answer.get("value"), answer.get("error"))
        return ScriptOutcome(error=_TOO_MUCH)

    async def close(self) -> None:
        """End the process. The runner may be used again."""
        async with self._lock:
            await self._end()

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        await self._end(dying=True)
        paths = [str(Path(openworld.__file__).parents[1]), *(entry for entry in sys.path if entry)]
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-S",
                "-I",
                str(_CHILD),
                os.pathsep.join(dict.fromkeys(paths)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
            async with asyncio.timeout(_START_SECONDS):
                await _receive(self._process)
        except (OSError, TimeoutError, _Died) as error:
            await self._end(dying=isinstance(error, _Died))
            raise SandboxUnavailable(f"the sandbox for scripts does not start: {error!r}") from error
        except BaseException:
            await self._end()
            raise
        return self._process

    async def _end(self, *, dying: bool = False) -> None:
        """End the process; one that is dying already is waited for, since asyncio loses its status if hit."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_SECONDS if dying else 0):
                await process.wait()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _ask(process: asyncio.subprocess.Process, request: bytes) -> JsonObject:
    writer = process.stdin
    assert writer is not None  # noqa: S101 - both pipes are asked for above
    try:
        writer.write(struct.pack(">I", len(request)) + request)
        await writer.drain()
    except (BrokenPipeError, ConnectionResetError) as error:
        raise _Died from error
    return await _receive(process)


async def _receive(process: asyncio.subprocess.Process) -> JsonObject:
    reader = process.stdout
    assert reader is not None  # noqa: S101 - both pipes are asked for above
    try:
        size = struct.unpack(">I", await reader.readexactly(4))[0]
        if size > _MAX_ANSWER_BYTES:
            raise _Died
        answer: JsonObject = json.loads(await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionResetError) as error:
        raise _Died from error
    return answer
