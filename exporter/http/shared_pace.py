"""Share one pace between the exports on one machine that use the same key and host.

A small file under the user's state folder holds when each of them last sent a request, by the machine's monotonic
clock: the wall clock may jump. Its name is a hash of key, host and boot, so the key is nowhere to be read and a reboot
starts afresh. The file is locked only from the check of the slot to the departure; the lock goes with the process that
holds it. Only joining may block; what follows happens in the event loop, in 6 µs a slot. Above 20 requests a second a
process leases the slots of the next 50 ms at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import orjson
import platformdirs

from exporter.config.options import Settings
from exporter.events import Event, Noticed
from exporter.http.pacer import UNPACED
from exporter.vendor.http_times import LONGEST_RETRY_AFTER

LEASE = 0.05
"""Seconds whose slots are leased at once."""
RETRY = 0.002
"""Seconds until a file that another process has locked is tried again."""
HUNG = 1.0
"""A holder that keeps the lock for this many seconds is asleep, not at work."""
SHORTEST_POLITE = 0.002
POLITE = 0.01
POLITE_SHARE = 0.2
"""Who left last waits this much longer while others want slots too: so they alternate."""
SLACK = 1.05
"""A lease lasts this much longer than its slots: safety margins and timers make them late."""
PLAUSIBLE = 1.0
"""Nobody leases slots farther ahead: a departure beyond is another boot's."""
LONGEST_PAUSE = LONGEST_RETRY_AFTER
"""Nobody pauses for longer: a pause in the file that ends later is none, whoever wrote it."""
REMEMBERED = 600.0
LARGEST_STATE = 65536
FORGOTTEN = 7 * 24 * 3600
"""Seconds after which the file of an ended export is removed."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def join(settings: Settings, *, on_event: Callable[[Event], None], folder: Path | None = None) -> FilePace | None:
    """Return the pace shared with other exports of this key and host; None if there is nothing to share.

    Where the state folder can't be written, a `Noticed` event says so and this process keeps the pace alone.
    """
    if settings.rate > UNPACED:
        return None
    folder = platformdirs.user_state_path("duoplus-exporter", appauthor=False) / "pace" if folder is None else folder
    boot = BOOT_ID.read_text() if BOOT_ID.exists() else ""
    identity = "\0".join((settings.api_key.reveal(), settings.base_url.rstrip("/").lower(), boot))
    path = folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.json"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _forget(folder)
        return FilePace(path, gap=1 / settings.rate, on_event=on_event)
    except OSError as error:
        on_event(_alone(error))
        return None


@cache
def _forget(folder: Path) -> None:
    """Remove the files of exports that ended long ago: once a process is enough, however many teams it serves."""
    for old in folder.iterdir():
        with suppress(OSError):  # another export may have been faster
            if old.stat().st_mtime < time.time() - FORGOTTEN:
                old.unlink()


def _alone(error: Exception) -> Noticed:
    return Noticed(message=f"the pace can't be shared with other exports on this machine ({error}); run one at a time")


class FilePace:
    """One process's share. All times are seconds of the machine's monotonic clock."""

    def __init__(self, path: Path, *, gap: float, on_event: Callable[[Event], None]) -> None:
        self._gap = gap
        self._on_event = on_event
        self._owner = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._lease_size = max(1, int(LEASE / gap))
        self._lease_left = 0
        self._lease_until = 0.0
        self._blocked_since: float | None = None
        self._last = (self._owner, 0.0)
        self._seen: dict[str, float] = {}
        self._paused_until = 0.0
        self._text = b""
        """What the file held when it was read or written last: it is parsed, and cut, only where it differs."""
        self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._holding = False

    def take(self, now: float) -> float:
        """Try to take the slot for this process; return the moment at which it is worth trying again, or `now`."""
        if self._file is None or (self._lease_left and now <= self._lease_until):
            return now
        self._lease_left = 0
        if not self._locked():
            return self._blocked(now)
        self._blocked_since = None
        self._seen[self._owner] = now
        free = self._free(now)
        if free > now:
            self._save(self._last)
            return free
        return now

    def left(self, at: float) -> None:
        """Record that the request left, and free the slots after it."""
        if self._lease_left:
            self._lease_left -= 1
            if not self._lease_left and self._locked():
                self._save((self._owner, at))
        elif self._holding:
            self._lease_left = self._lease_size - 1
            self._lease_until = at + self._lease_left * self._gap * SLACK
            self._save((self._owner, self._lease_until))

    def pause(self, until: float) -> bool:
        """Let nobody leave before a moment; return whether the others could be informed."""
        self._paused_until = max(self._paused_until, until)
        if self._file is None or self._holding:  # the departure under way records it
            return True
        if self._locked():
            self._save(self._last)
            return True
        return False

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)  # and with it the lock
            self._file = None
            self._holding = False

    def _blocked(self, now: float) -> float:
        """Return when to try again while another process has the file locked."""
        if self._file is None:
            return now
        if self._blocked_since is None:
            self._blocked_since = now
        return now + RETRY if now - self._blocked_since < HUNG else now

    def _free(self, now: float) -> float:
        """Return the moment from which this process may leave."""
        if self._paused_until > now + LONGEST_PAUSE:
            self._paused_until = 0.0
        owner, last = self._last
        if last > now + PLAUSIBLE:
            return self._paused_until
        free = last + self._gap
        recent = now - 4 * self._gap * self._lease_size
        if owner == self._owner and any(at > recent for other, at in self._seen.items() if other != owner):
            free = max(free, self._lease_until + self._gap)  # what the others have read
            free += max(SHORTEST_POLITE, min(POLITE, POLITE_SHARE * self._gap))
        return max(free, self._paused_until)

    def _locked(self) -> bool:
        """Lock the file and read it, unless another process has it locked. Without a file there is nothing to lock."""
        if self._file is None:
            return False
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._holding = True
            text = os.pread(self._file, LARGEST_STATE, 0)
        except BlockingIOError:
            return False
        except OSError as error:
            self._go_on_alone(error)
            return False
        if text == self._text:
            return True
        self._text = text
        try:
            state = orjson.loads(text)
            owner, last = state["last"]
            seen = {str(other): float(at) for other, at in state["seen"].items()}
            self._paused_until = max(self._paused_until, float(state["paused_until"]))
            self._last, self._seen = (str(owner), float(last)), seen
        except (ValueError, TypeError, KeyError, AttributeError):
            pass  # new, or torn by a crash: what was read last holds
        return True

    def _save(self, last: tuple[str, float]) -> None:
        """Write the file and unlock it."""
        self._last = last
        newest = max(self._seen.values(), default=0.0)
        self._seen = {owner: at for owner, at in self._seen.items() if at > newest - REMEMBERED}
        text = orjson.dumps({"last": last, "seen": self._seen, "paused_until": self._paused_until})
        try:
            if self._file is not None:
                os.pwrite(self._file, text, 0)
                if len(text) < len(self._text):
                    os.ftruncate(self._file, len(text))
                self._text = text
                fcntl.flock(self._file, fcntl.LOCK_UN)
                self._holding = False
        except OSError as error:
            self._go_on_alone(error)

    def _go_on_alone(self, error: OSError) -> None:
        self.close()
        self._on_event(_alone(error))
