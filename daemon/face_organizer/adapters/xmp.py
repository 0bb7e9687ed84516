"""Regions of faces in XMP, as digiKam, Lightroom, Picasa, Apple Photos and Windows write and read them.

Room:    adapters (touches the text of other programs)
Imports: stdlib

What is written are the regions of the Metadata Working Group (mwg-rs, "Guidelines for handling image metadata" 2.0,
5.9), and the names as keywords of persons (Iptc4xmpExt:PersonInImage). What is read are those, in every shape that RDF
allows, and Microsoft's (MP). The bytes may be hostile: a document type, where entities are declared, is refused.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

Box = tuple[float, float, float, float]

OURS = "Face Organizer"
"""Who wrote a packet: only our own are overwritten or deleted."""

MARK = f'x:xmptk="{OURS}"'.encode()

PACKET_BYTES_MAX, TAGS_MAX = 1 << 22, 200_000

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
MWG = "{http://www.metadataworkinggroup.com/schemas/regions/}"
AREA = "{http://ns.adobe.com/xmp/sType/Area#}"
AREAS = (AREA, "{http://ns.adobe.com/xap/1.0/sType/Area#}")
MS_REGION = "{http://ns.microsoft.com/photo/1.2/t/Region#}"

_BEGINNING = re.compile(rb"<((?:\w{1,20}:)?xmpmeta|rdf:RDF)[\s>]")


@dataclass(frozen=True, slots=True)
class Region:
    """name: of the person, "" where none is told. box: x1 y1 x2 y2, shares of the image as it is stored."""

    name: str
    box: Box


def packet(regions: Sequence[Region], width_px: int, height_px: int) -> str:
    """An XMP packet with these regions. width_px, height_px: of the image as it is stored."""
    items = "".join(
        f'\n     <rdf:li><rdf:Description mwg-rs:Name={quoteattr(region.name)} mwg-rs:Type="Face">'
        f"<mwg-rs:Area {_area(region.box)}/></rdf:Description></rdf:li>"
        for region in regions
    )
    names = "".join(f"<rdf:li>{escape(name)}</rdf:li>" for name in dict.fromkeys(region.name for region in regions))
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="{OURS}">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
    xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"
    xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <Iptc4xmpExt:PersonInImage><rdf:Bag>{names}</rdf:Bag></Iptc4xmpExt:PersonInImage>
   <mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:AppliedToDimensions stDim:w="{width_px}" stDim:h="{height_px}" stDim:unit="pixel"/>
    <mwg-rs:RegionList><rdf:Bag>{items}
    </rdf:Bag></mwg-rs:RegionList>
   </mwg-rs:Regions>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""


def is_ours(data: bytes) -> bool:
    """Did we write this sidecar?"""
    return MARK in data[:1000]


def regions_in(data: bytes) -> list[Region]:
    """The faces with a name of every XMP packet in a sidecar or an image; none where there is nothing to be read."""
    found: dict[Region, None] = {}
    for text in _packets(data):
        if (
            len(text) > PACKET_BYTES_MAX
            or text.count(b"<") > TAGS_MAX
            or b"<!" in text.replace(b"<!--", b"").replace(b"<![CDATA[", b"")
        ):
            continue
        try:
            root = ET.fromstring(text)
        except ET.ParseError:
            continue
        for region in (*_mwg(root), *_microsoft(root)):
            found.setdefault(region)
    return list(found)


def _packets(data: bytes) -> Iterator[bytes]:
    """From each beginning to its end; one pass over the data."""
    at = 0
    while (begins := _BEGINNING.search(data, at)) is not None:
        closing = b"</" + begins[1] + b">"
        end = data.find(closing, begins.end())
        if end < 0:
            return
        at = end + len(closing)
        yield data[begins.start() : at]


def _area(box: Box) -> str:
    x1, y1, x2, y2 = box
    values = {"x": (x1 + x2) / 2, "y": (y1 + y2) / 2, "w": x2 - x1, "h": y2 - y1}
    return " ".join(f'stArea:{key}="{value:.6f}"' for key, value in values.items()) + ' stArea:unit="normalized"'


def _mwg(root: ET.Element) -> Iterator[Region]:
    for element in root.iter():
        area = next((child for child in element if child.tag == f"{MWG}Area"), None)
        if area is None or (_value(element, f"{MWG}Type") or "Face") != "Face":
            continue
        figures = [_figure(area, key) for key in ("x", "y", "w", "h")]
        name = _value(element, f"{MWG}Name")
        if name and None not in figures:
            x, y, w, h = (figure or 0.0 for figure in figures)
            yield Region(name, (x - w / 2, y - h / 2, x + w / 2, y + h / 2))


def _microsoft(root: ET.Element) -> Iterator[Region]:
    for element in root.iter():
        name, rectangle = _value(element, f"{MS_REGION}PersonDisplayName"), _value(element, f"{MS_REGION}Rectangle")
        figures = [_number(figure) for figure in rectangle.split(",")]
        if name and len(figures) == 4 and None not in figures:
            x, y, w, h = (figure or 0.0 for figure in figures)
            yield Region(name, (x, y, x + w, y + h))


def _value(element: ET.Element, name: str) -> str:
    """A property, written as an attribute or as an element."""
    child = element.find(name)
    text = element.get(name) or (child.text if child is not None else "") or ""
    return " ".join(text.split())


def _figure(area: ET.Element, key: str) -> float | None:
    """Of an area: on the element itself, in it, or in the description in it."""
    for holder in (area, *area.iter(f"{RDF}Description")):
        for namespace in AREAS:
            if text := _value(holder, f"{namespace}{key}"):
                return _number(text)
    return None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if -10 < number < 10 else None
