"""How well and how fast faces are told apart, from embeddings alone: `python -m bench.clustering --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "daemon"))
