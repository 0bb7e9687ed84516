"""Compares ways to cluster faces, from embeddings alone.

    python -m bench.clustering EMBEDDINGS.npz [HARD.npz ...] [--each]      of real photos: bench/embed.py makes them
    python -m bench.clustering --synthetic 500000 [--largest 25000] [--choose-on 100000]

Prints a Markdown table, a line a method, and the verdict. Each method has a process of its own, and its bound is chosen
where it is not reported: on the people whose name has an even CRC-32 for the odd ones and the other way round (means of
both, in --orders orders of arrival); on a smaller synthetic gallery of another seed. Chosen and ranked by the mean of
pairwise and BCubed F; means less than .002 apart are equal, and then the faster is the better.

HARD.npz hold hard versions of photos of the first file, of the same names: of each such photo one version counts. With
--each every HARD.npz is a gallery of its own, the bound is the one chosen on the first file, and a line tells means.
Neighbours are found as in the daemon, among the faces enrolled before; `--neighbours-of all` finds them among all.
Packages for some of the methods: requirements/bench.txt. Run it from the root of the project.
"""

from __future__ import annotations

import argparse
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from bench.clustering.galleries import Search, load_gallery, read_faces, synthetic, with_neighbours
from bench.clustering.methods import METHODS
from bench.clustering.scores import Scores
from bench.clustering.worker import Result, read_result

EQUAL = 0.002


@dataclass(frozen=True, slots=True)
class Contest:
    """pairs: folders of galleries, where a bound is chosen and where it is reported. bounds: to choose from, first."""

    title: str
    pairs: tuple[tuple[Path, Path], ...]
    bounds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """The means over all pairs; the largest peak and stall."""

    bounds: tuple[float, ...]
    scores: Scores
    cpu_s: float
    seconds: float
    peak_gb: float
    stall_ms: float


def runs(folder: Path, method: str, bounds: Sequence[float], limit_s: float) -> tuple[list[Result], str]:
    """The results that came within so many CPU seconds for each bound, and what went wrong."""
    command = [sys.executable, "-m", "bench.clustering.worker", str(folder), method, *map(str, bounds)]
    limit = int(limit_s * len(bounds)) + 1
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit)),  # one thread here
    ) as worker:
        out, told = worker.communicate()
    results = [read_result(line) for line in out.decode().splitlines() if line.endswith("}")]
    if worker.returncode == 0:
        return results, ""
    too_slow = worker.returncode in (-signal.SIGXCPU, -signal.SIGKILL)
    return results, f"over {limit_s:.0f} s" if too_slow else (told.decode().strip().splitlines() or ["killed"])[-1]


@cache
def chosen_bound(folder: Path, bounds: tuple[float, ...], method: str, limit_s: float) -> tuple[float, str]:
    """Where the mean F is highest: first in steps of .04, then of .02, until both sides of the best are worse."""
    tried: dict[float, float] = {}
    wanted = list(bounds)
    while wanted:
        results, problem = runs(folder, method, wanted, limit_s)
        tried |= dict.fromkeys(wanted, -1.0) | {result.bound: result.scores.mean_f for result in results}
        best = max(tried, key=lambda bound: tried[bound])
        if tried[best] < 0:
            return 0.0, problem
        wanted = [bound for bound in (round(best - 0.02, 2), round(best + 0.02, 2)) if bound > 0 and bound not in tried]
    return best, ""


def line(contest: Contest, method: str, limit_s: float) -> Line | str:
    """What the method is worth, or why that is not known."""
    results = []
    for chosen_on, reported_on in contest.pairs:
        bound, problem = chosen_bound(chosen_on, contest.bounds, method, limit_s)
        if problem:
            return f"{problem} (choosing a bound)"
        found, problem = runs(reported_on, method, [bound], limit_s)
        if not found:
            return f"{problem} (bound {bound:.2f})"
        results += found
    return Line(
        bounds=tuple(result.bound for result in results),
        scores=Scores(*np.mean([result.scores for result in results], axis=0).tolist()),
        cpu_s=float(np.mean([result.cpu_s for result in results])),
        seconds=float(np.mean([result.seconds for result in results])),
        peak_gb=max(result.peak_gb for result in results),
        stall_ms=max(result.stall_ms for result in results),
    )


def compared(contest: Contest, names: Sequence[str], limit_s: float) -> dict[str, Line]:
    """Prints the table as it grows; the lines of the methods that came to an end."""
    print(f"\n{contest.title}\n")
    print("| | bound | mean F | F (P / R) | bF (P / R) | persons | CPU s | s | GB | stall ms |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    lines: dict[str, Line] = {}
    faces = max(len(np.load(folder / "who.npy", mmap_mode="r")) for pair in contest.pairs for folder in pair)
    for name in names:
        method = METHODS[name]
        if faces > method.faces_max:
            continue
        told = line(contest, name, limit_s) if method.is_here else f"the package {method.package} is not installed"
        if isinstance(told, Line):
            lines[name] = told
        print(row(method.title, told), flush=True)
    return lines


def row(title: str, line: Line | str) -> str:
    if isinstance(line, str):
        return f"| {title} | {line} |"
    s = line.scores
    low, high = min(line.bounds), max(line.bounds)
    return (
        f"| {title} | {low:.2f}" + (f"-{high:.2f}" if high > low else "") + f" | {s.mean_f:.4f} "
        f"| {s.f:.4f} ({s.precision:.4f} / {s.recall:.4f}) | {s.b_f:.4f} ({s.b_precision:.4f} / {s.b_recall:.4f}) "
        f"| {s.persons:.0f} | {line.cpu_s:.2f} | {line.seconds:.2f} | {line.peak_gb:.2f} | {line.stall_ms:.0f} |"
    )


def verdict(results: dict[str, Line]) -> str:
    """The rule: quality first, then time."""
    best = max(result.scores.mean_f for result in results.values())
    equal = [name for name, result in results.items() if result.scores.mean_f > best - EQUAL]
    first = min(equal, key=lambda name: results[name].cpu_s)
    others = ", ".join(METHODS[name].title for name in equal if name != first)
    return f"\nBest by the rule: {METHODS[first].title}" + (f" (as good, but slower: {others})" if others else "")


Halves = tuple[Path, Path]
FIRST_BOUNDS = (0.36, 0.40, 0.44, 0.48, 0.52, 0.56, 0.60)


def mixed_contest(files: Sequence[Path], orders: int, work: Path, how: Search) -> Contest:
    pairs: list[Halves] = []
    for seed in range(orders):
        even, odd = halves(files, seed, work / f"mixed-{seed}", how)
        pairs += [(even, odd), (odd, even)]
    sizes = np.unique(read_faces(files).people, return_counts=True)[1]
    told = ", ".join(file.stem for file in files)
    title = f"{told}: {sizes.sum()} faces of {len(sizes)} people, {(sizes > 1).sum()} of two or more, in halves"
    return Contest(title, tuple(pairs), FIRST_BOUNDS)


def contest_of_each(clean: Path, hard: Sequence[Path], orders: int, work: Path, how: Search) -> Contest:
    pairs: list[Halves] = []
    for seed in range(orders):
        chosen_on = halves([clean], seed, work / f"clean-{seed}", how)
        for file in hard:
            even, odd = halves([file], seed, work / f"{file.stem}-{seed}", how)
            pairs += [(chosen_on[0], odd), (chosen_on[1], even)]
    title = f"means over {', '.join(file.stem for file in hard)}, each alone, bound chosen on {clean.stem}"
    return Contest(title, tuple(pairs), FIRST_BOUNDS)


def halves(files: Sequence[Path], seed: int, folder: Path, how: Search) -> Halves:
    """The galleries of the people whose name has an even and an odd CRC-32."""
    faces = read_faces(files, seed=seed)
    made = []
    for odd in (0, 1):
        part = faces.half(odd)
        who = np.unique(part.people, return_inverse=True)[1]
        gallery = with_neighbours(part.vectors, who, part.founder, how)
        made.append(gallery.save(folder / ("odd" if odd else "even")))
    return made[0], made[1]


def synthetic_contest(n: int, chosen_on: int, largest: int, d: int, work: Path, how: Search) -> Contest:
    folders = []
    for seed, count in enumerate((chosen_on, n)):
        most = largest * count // n
        folder = work / f"synthetic-{count}-{d}-{most}-{seed}-{how.k}-{how.nprobe}-{how.among}"
        if not (folder / "similarities.npy").exists():
            vectors, who = synthetic(count, d, largest=most, seed=seed)
            founder = np.ones(count, np.bool_)
            with_neighbours(vectors, who, founder, how).save(folder)
        folders.append(folder)
    sizes = np.bincount(load_gallery(folders[-1]).who)
    title = f"synthetic: {n} faces of {len(sizes)} people, {(sizes > 1).sum()} of two or more, one of {sizes.max()}"
    return Contest(title, ((folders[0], folders[1]),), (0.28, 0.32, 0.36, 0.40, 0.44, 0.48))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("embeddings", nargs="*", type=Path)
    arguments.add_argument("--each", action="store_true", help="every file but the first is a gallery of its own")
    arguments.add_argument("--synthetic", type=int, default=0, metavar="FACES")
    arguments.add_argument("--choose-on", type=int, default=0, metavar="FACES", help="a fifth of them, if not said")
    arguments.add_argument("--largest", type=int, default=0, help="faces of one person, a twentieth if not said")
    arguments.add_argument("--orders", type=int, default=2, help="of arrival, of real photos")
    arguments.add_argument("--dimensions", type=int, default=512)
    arguments.add_argument("--neighbours", type=int, default=20)
    arguments.add_argument("--neighbours-of", choices=["earlier", "all"], default="earlier")
    arguments.add_argument("--nprobe", type=int, default=32)
    arguments.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    arguments.add_argument("--limit-s", type=float, default=300, help="CPU seconds for one run of a method")
    arguments.add_argument("--work", type=Path, help="keep galleries here, and take synthetic ones from here")
    given = arguments.parse_args()
    if bool(given.embeddings) == bool(given.synthetic):
        arguments.error("EMBEDDINGS.npz or --synthetic FACES")
    with tempfile.TemporaryDirectory() as own:
        work = given.work or Path(own)
        how = Search(given.neighbours, given.nprobe, given.neighbours_of)
        if given.synthetic:
            n = given.synthetic
            contest = synthetic_contest(
                n, given.choose_on or n // 5, given.largest or n // 20, given.dimensions, work, how
            )
        elif given.each:
            contest = contest_of_each(given.embeddings[0], given.embeddings[1:], given.orders, work, how)
        else:
            contest = mixed_contest(given.embeddings, given.orders, work, how)
        print(verdict(compared(contest, given.methods, given.limit_s)))


if __name__ == "__main__":
    main()
