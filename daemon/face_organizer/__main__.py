"""python -m face_organizer.

Room:    cli (talks)
Imports: cli
"""

from face_organizer.cli import main

main(prog_name="face-organizer")
