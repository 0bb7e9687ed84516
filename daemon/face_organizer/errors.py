"""Errors that name their fate: what happens to the image, the command or the process.

Room:    names
Imports: stdlib
"""

import errno

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system says when a disk, or somebody's share of it, is full."""


def why_not_written(error: OSError) -> str:
    """What the system says, and what helps where it is a service's own walls."""
    said = error.strerror or str(error)
    if error.errno == errno.EROFS:
        return (
            f"{said} (as a service: `face-organizer install-service` lets it write where its settings say; restart it)"
        )
    return said


class FaceOrganizerError(Exception):
    """A failure whose message a person will read: it names the thing, the cause and the way out."""


class ItemError(FaceOrganizerError):
    """This input is bad: it goes to quarantine with this sentence, and the rest go on.

    unfinished: the file may only not be complete yet (empty, truncated); it deserves another look before its verdict.
    """

    def __init__(self, reason: str, *, unfinished: bool = False) -> None:
        super().__init__(reason)
        self.unfinished = unfinished


class DecodeError(ItemError):
    """The bytes are not an image we read, or a damaged one."""


class UnreadableError(ItemError):
    """The file cannot be opened as a regular file inside the inbox: permissions, a link, a FIFO, a device."""


class DeniedError(UnreadableError):
    """The file cannot be read for now (permissions, a failing disk): it stays in the inbox and is tried again, for
    nobody can tell yet what it is."""


class GoneError(ItemError):
    """The file vanished between being noticed and being read: nobody's fault, nothing to keep."""


class ConfigError(FaceOrganizerError):
    """Refuse the configuration, keep the old one. Exit code 2."""


class ModelError(FaceOrganizerError):
    """A model pack is missing, damaged, or does not run on the device that was asked for."""


class DeviceError(ModelError):
    """A device failed while it ran a network that it had run before: it is used no more."""


class RequestError(FaceOrganizerError):
    """Somebody asked for what cannot be done (no such person, an image that is not here): they are told so."""


class StoreError(FaceOrganizerError):
    """The truth is in danger: stop."""


class NoRoomError(FaceOrganizerError):
    """A disk is full: pause and try again, nothing is lost. What was to be written is undone, whole.

    again: room has been made meanwhile; to do it once more is all it takes.
    """

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


class AlreadyRunningError(FaceOrganizerError):
    """Another process owns this library. Exit code 75."""


class NotAnsweringError(AlreadyRunningError):
    """It answers no command just now: it may be about to."""
