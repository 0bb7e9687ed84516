"""The command face-organizer, also as python -m face_organizer.

Room:    cli (talks)
Imports: cli, hints
"""

import signal
import sys


def main() -> None:
    """Before anything else, which takes a second to import: a daemon that is starting must not die of SIGHUP."""
    if sys.argv[1:2] == ["run"]:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from face_organizer.cli import main as talk
    from face_organizer.hints import program

    talk(prog_name=program())


if __name__ == "__main__":
    main()
