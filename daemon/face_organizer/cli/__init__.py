"""The command line: argv <-> calls.

Room:    cli (talks)
Imports: cli

Exit codes: 0 done; 1 a failure that the message explains; 2 bad usage or configuration; 75 already running.
"""

from face_organizer.cli import ask, decide, doctor, exchange, install, reembed, report, start
from face_organizer.cli.shared import main

__all__ = ["ask", "decide", "doctor", "exchange", "install", "main", "reembed", "report", "start"]
