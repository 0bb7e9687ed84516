"""The trust report as one HTML page: nothing is loaded from anywhere, pictures are inside.

Room:    cli (talks)
Imports: words, stdlib
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from face_organizer.cli.words import date_in_words

Answer = dict[str, Any]
Pictures = Mapping[int, bytes]
"""face id -> JPEG."""

STYLE = """
:root { color-scheme: light dark; --ground: #f6f5f2; --card: #fff; --ink: #1d1c1a; --faint: #66625a; --line: #dedad2;
  --good: #2e7d4f; --fair: #b7791f; --bad: #b3362b; --accent: #3a5f8a; --rest: #b9b4aa; }
@media (prefers-color-scheme: dark) { :root { --ground: #161513; --card: #211f1c; --ink: #ece9e3; --faint: #a39e94;
  --line: #38352f; --good: #6cc08b; --fair: #e0b05c; --bad: #ef8379; --accent: #8fb4de; --rest: #5a564e; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 26px; margin: 0; } h2 { font-size: 18px; margin: 40px 0 4px; }
p { margin: 4px 0 12px; } .faint { color: var(--faint); } code { font: 13px ui-monospace, monospace; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 24px 0; }
.figure, .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
.figure b { display: block; font-size: 26px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.good b { color: var(--good); } .fair b { color: var(--fair); } .bad b { color: var(--bad); }
.bar { display: flex; height: 18px; border-radius: 9px; overflow: hidden; margin: 12px 0 8px; background: var(--line); }
.key { display: flex; flex-wrap: wrap; gap: 4px 18px; } .key i { display: inline-block; width: 11px; height: 11px;
  border-radius: 3px; margin-right: 6px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(372px, 100%), 1fr)); gap: 12px; }
.card figure, .card img, .card .gone { width: 88px; } .card img, .card .gone { height: 88px; }
.row { display: flex; align-items: flex-start; gap: 10px; flex-wrap: wrap; }
figure { margin: 0; width: 96px; } figure img, .gone { width: 96px; height: 96px; border-radius: 8px; object-fit: cover;
  display: block; background: var(--line); } figcaption { font-size: 12px; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; } .verdict { align-self: center; font-size: 13px; color: var(--faint); text-align: center; }
.answers { margin: 10px 0 0; font-size: 13px; color: var(--faint); overflow-wrap: anywhere; }
.suspect img { outline: 3px solid var(--bad); outline-offset: -3px; }
.people { display: grid; grid-template-columns: repeat(auto-fill, 96px); gap: 14px 16px; margin-top: 12px; }
table { border-collapse: collapse; width: 100%; } td { padding: 4px 12px 4px 0; border-bottom: 1px solid var(--line); }
"""


BEGINNING = "<!doctype html><html lang=en><head><meta charset=utf-8><title>Face Organizer: trust report</title>"
"""By which such a page is known."""


def page(report: Answer, pictures: Pictures, made: str) -> str:
    """The report as HTML. pictures: of the faces in it, as far as there are any. made: the date, in words."""
    draw = _Drawing(pictures)
    body = [
        f"<h1>How far to trust this library</h1><p class=faint>{escape(report['library'])} &middot; {made}</p>",
        _figures(report),
        _coverage(report),
        _section("Surely wrong", _provable(report["provable_errors"], draw), report["provable_errors"], _PROVABLE),
        _section("Likely intruders", _intruders(report, draw), report["likely_intruders"], _INTRUDERS),
        _section("Likely the same person", _same(report, draw), report["likely_same"], _SAME),
        _changes(report["changes"]),
        _people(report, draw),
    ]
    return (
        f"{BEGINNING}<meta name=viewport content='width=device-width, initial-scale=1'>"
        "<meta http-equiv=Content-Security-Policy"
        " content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<style>{STYLE}</style></head><body><main>{''.join(body)}</main></body></html>"
    )


_PROVABLE = (
    "Two faces of one image lie with one person, and nobody is twice in an image (mirrors and collages are what"
    " <code>--together</code> is for).",
    "None: nobody is twice in an image.",
)
_INTRUDERS = (
    "Faces that fit their person badly. The expected number of wrong ones is {wrong_faces} of all.",
    "None that is likely enough to be asked about.",
)
_SAME = (
    "Pairs that look alike but lie apart, the ones first that are worth most faces. Where all is in order, these are"
    " strangers who look alike.",
    "None that is likely enough to be asked about.",
)


class _Drawing:
    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures

    def face(self, row: Answer | None, caption: str, kind: str = "", told: str = "") -> str:
        jpeg = self._pictures.get(row["face_id"], b"") if row else b""
        alt = escape(caption, quote=True)
        picture = "<div class=gone></div>"
        if jpeg:
            picture = f'<img alt="{alt}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
        where = escape(str(row["path"] or ""), quote=True) if row else ""
        words = escape(caption) + (f"<br>{told}" if told else "")
        return f'<figure class="{kind}" title="{where}">{picture}<figcaption>{words}</figcaption></figure>'

    def person(self, person: Answer) -> str:
        return self.face(person["cover_face"], person["name"], told=f"{person['faces']:,} faces")


def faces_in(report: Answer) -> list[Answer]:
    """Every face that the page shows, as rows with path, box and size_px."""
    rows = [person["cover_face"] for person in report["people"]]
    for error in report["provable_errors"]["shown"]:
        rows += [*error["faces"][:FACES_SHOWN], error["person"]["cover_face"]]
    for question in report["likely_intruders"]["shown"]:
        rows += [question["face"], question["person"]["cover_face"]]
        rows += [question["other"]["cover_face"]] if question["other"] else []
    for question in report["likely_same"]["shown"]:
        rows += [question["a"]["cover_face"], question["b"]["cover_face"]]
    return [row for row in rows if row]


FACES_SHOWN = 4


def _figures(report: Answer) -> str:
    counts, provable = report["counts"], report["provable_errors"]["total"]
    wrong, apart = report["likely_intruders"]["wrong_faces"], report["likely_same"]["total"]
    rate = report["false_merge_rate"]
    share = wrong / max(1, report["coverage"]["faces_with_person"])
    rows = [
        ("", f"{counts['persons']:,}", "persons"),
        ("", f"{counts['faces']:,}", f"faces in {counts['images']:,} images"),
        ("bad" if provable else "good", f"{provable:,}", "provable errors"),
        (_grade(share, 0.002, 0.02), f"{share:.1%}", "of faces likely with the wrong person"),
        ("fair" if apart else "good", f"{apart:,}", "pairs to look at: one person?"),
        (_grade(rate, 0.01, 0.05), "unknown" if rate is None else f"{rate:.2%}", "of persons fused, as estimated"),
    ]
    figures = (f"<div class='figure {kind}'><b>{value}</b>{escape(what)}</div>" for kind, value, what in rows)
    return f"<div class=figures>{''.join(figures)}</div>"


def _grade(share: float | None, good_max: float, fair_max: float) -> str:
    if share is None:
        return ""
    return "good" if share <= good_max else "fair" if share <= fair_max else "bad"


def _coverage(report: Answer) -> str:
    counts, coverage = report["counts"], report["coverage"]
    sorted_images = counts["images"] - counts["outliers"] - counts["no_face"]
    parts = [
        ("var(--good)", sorted_images, "images with a person"),
        ("var(--fair)", counts["outliers"], "with faces of nobody"),
        ("var(--rest)", counts["no_face"], "without a face"),
        ("var(--bad)", counts["quarantined"], "unusable"),
    ]
    total = max(1, sum(number for _, number, _ in parts))
    bar = "".join(
        f"<span style='width:{100 * number / total:.2f}%;background:{colour}'></span>" for colour, number, _ in parts
    )
    key = "".join(
        f"<span><i style='background:{colour}'></i>{number:,} {what}</span>" for colour, number, what in parts
    )
    looked = (
        f"{coverage['persons_named']:,} of {counts['persons']:,} persons have a name; {coverage['faces_confirmed']:,}"
        f" of {counts['faces']:,} faces were confirmed by a human; {coverage['persons_hidden']:,} persons are hidden."
    )
    return f"<h2>Coverage</h2><div class=bar>{bar}</div><div class=key>{key}</div><p class=faint>{looked}</p>"


def _section(title: str, cards: Iterable[str], told: Answer, words: tuple[str, str]) -> str:
    shown, total = list(cards), told["total"]
    text = (words[0] if total else words[1]).format(**told)
    more = f"<p class=faint>and {total - len(shown):,} more</p>" if total > len(shown) else ""
    return (
        f"<h2>{escape(title)}{f' ({total:,})' if total else ''}</h2><p class=faint>{text}</p>"
        f"<div class=cards>{''.join(f'<div class=card>{card}</div>' for card in shown)}</div>{more}"
    )


def _provable(told: Answer, draw: _Drawing) -> Iterable[str]:
    for error in told["shown"]:
        faces = "".join(draw.face(face, _similar(face), "suspect") for face in error["faces"][:FACES_SHOWN])
        ids = " or ".join(f"<code>reject {face['face_id']}</code>" for face in error["faces"])
        yield f"<div class=row>{draw.person(error['person'])}{faces}</div><div class=answers>the wrong one: {ids}</div>"


def _intruders(report: Answer, draw: _Drawing) -> Iterable[str]:
    for question in report["likely_intruders"]["shown"]:
        count, ids = len(question["faces"]), " ".join(map(str, question["faces"]))
        what = f"{question['similarity']:.2f}" + (f", {count} faces" if count > 1 else "")
        other = draw.person(question["other"]) if question["other"] else ""
        nearer = "rather" if other and question["other_similarity"] > question["similarity"] else "next is"
        rather = f"<div class=verdict>{nearer}<br>{question['other_similarity']:.2f}</div>" if other else ""
        suspect = draw.face(question["face"], what, "suspect")
        yield (
            f"<div class=row>{draw.person(question['person'])}{suspect}{rather}{other}"
            f"</div><div class=answers>wrong: <code>reject {ids}</code> &middot; right: <code>assign {ids}"
            f" {question['person']['person_id']}</code></div>"
        )


def _same(report: Answer, draw: _Drawing) -> Iterable[str]:
    for question in report["likely_same"]["shown"]:
        a, b = question["a"], question["b"]
        pair = f"{b['person_id']} {a['person_id']}"
        yield (
            f"<div class=row>{draw.person(a)}<div class=verdict>similarity<br>{question['similarity']:.2f}</div>"
            f"{draw.person(b)}</div><div class=answers>one: <code>merge {pair}</code> &middot; two:"
            f" <code>apart {pair}</code></div>"
        )


def _changes(told: Answer) -> str:
    run, decisions = told["last_run"], told["decisions"]
    rows = []
    if run:
        keys = ("born", "merged", "split", "vanished", "moved", "joined")
        figures = ", ".join(f"{run[key]:,} {key}" for key in keys if run[key]) or "nothing"
        when = date_in_words(run["at_s"]) or "at an unknown time"
        rows.append(f"<p>Run {run['run_id']} ({escape(run['reason'])}, {when}) changed: {figures}.</p>")
    else:
        rows.append("<p>There was no re-clustering yet.</p>")
    rows.append(f"<p>Since then: {told['new_faces']:,} new faces, {len(decisions):,} decisions.</p>")
    cells = "".join(
        f"<tr><td>{each['decision_id']}</td><td>{escape(each['says'])}</td></tr>" for each in decisions[-20:]
    )
    return f"<h2>What changed</h2>{''.join(rows)}<table>{cells}</table>"


def _people(report: Answer, draw: _Drawing) -> str:
    shown = "".join(draw.person(person) for person in report["people"])
    left = report["counts"]["persons"] - len(report["people"])
    more = f"<p class=faint>and {left:,} more</p>" if left > 0 else ""
    return f"<h2>Who is here</h2><div class=people>{shown}</div>{more}"


def _similar(face: Answer) -> str:
    return "" if face["similarity"] is None else f"{face['similarity']:.2f}"
