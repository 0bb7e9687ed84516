"""Face Organizer: drop face images into a folder, find them sorted by person."""

__version__ = "0.1.0"

import os

# Before numpy is imported. The networks have the cores; a BLAS whose threads spin beside them slows both down fourfold.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
