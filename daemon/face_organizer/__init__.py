"""Face Organizer: drop face images into a folder, find them sorted by person."""

__version__ = "0.1.0"
