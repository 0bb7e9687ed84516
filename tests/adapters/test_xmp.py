"""Regions as other programs write them, and as exiftool reads ours."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from face_organizer.adapters.xmp import Region, is_ours, packet, regions_in

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
MWG = 'xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/" xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"'
BOX = (0.4, 0.3, 0.6, 0.7)

LIGHTROOM = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 5.6"><rdf:RDF {RDF}>
 <rdf:Description rdf:about="" {MWG}><mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag>
  <rdf:li><rdf:Description mwg-rs:Name="Ann O'Neil" mwg-rs:Type="Face" mwg-rs:Rotation="0.1">
   <mwg-rs:Area stArea:h="0.4" stArea:w="0.2" stArea:x="0.5" stArea:y="0.5" stArea:unit="normalized"/>
  </rdf:Description></rdf:li>
  <rdf:li><rdf:Description mwg-rs:Type="Focus">
   <mwg-rs:Area stArea:h="0.1" stArea:w="0.1" stArea:x="0.2" stArea:y="0.2"/>
  </rdf:Description></rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions></rdf:Description></rdf:RDF></x:xmpmeta>"""
DIGIKAM = f"""<?xpacket begin="" id=""?><x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF {RDF}><rdf:Description rdf:about="" {MWG}><mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList>
  <rdf:Bag><rdf:li rdf:parseType="Resource"><mwg-rs:Area stArea:x="0.5" stArea:y="0.5" stArea:w="0.2" stArea:h="0.4"
   stArea:unit="normalized"/><mwg-rs:Name>Ann O'Neil</mwg-rs:Name><mwg-rs:Type>Face</mwg-rs:Type></rdf:li>
  </rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions></rdf:Description></rdf:RDF></x:xmpmeta>"""
EXIFTOOL = f"""<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF {RDF}><rdf:Description rdf:about='' {MWG}>
 <mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:RegionList><rdf:Bag><rdf:li rdf:parseType='Resource'>
 <mwg-rs:Area rdf:parseType='Resource'><stArea:h>0.4</stArea:h><stArea:w>0.2</stArea:w><stArea:x>0.5</stArea:x>
 <stArea:y>0.5</stArea:y></mwg-rs:Area><mwg-rs:Name>Ann O&apos;Neil</mwg-rs:Name></rdf:li></rdf:Bag></mwg-rs:RegionList>
 </mwg-rs:Regions></rdf:Description></rdf:RDF></x:xmpmeta>"""
PICASA = LIGHTROOM.replace("http://ns.adobe.com/xmp/sType/Area#", "http://ns.adobe.com/xap/1.0/sType/Area#")
APPLE = LIGHTROOM.replace(
    "</rdf:Description></rdf:li>\n  <rdf:li>",
    '<mwg-rs:Extensions xmlns:apple-fi="http://ns.apple.com/faceinfo/1.0/" apple-fi:AngleInfoYaw="0"/>'
    "</rdf:Description></rdf:li>\n  <rdf:li>",
)
NESTED = DIGIKAM.replace(
    '<mwg-rs:Area stArea:x="0.5" stArea:y="0.5" stArea:w="0.2" stArea:h="0.4"\n   stArea:unit="normalized"/>',
    '<mwg-rs:Area><rdf:Description stArea:x="0.5" stArea:y="0.5" stArea:w="0.2" stArea:h="0.4"/></mwg-rs:Area>',
)
WINDOWS = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}><rdf:Description rdf:about=""
 xmlns:MP="http://ns.microsoft.com/photo/1.2/" xmlns:MPRI="http://ns.microsoft.com/photo/1.2/t/RegionInfo#"
 xmlns:MPReg="http://ns.microsoft.com/photo/1.2/t/Region#"><MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions>
 <rdf:Bag><rdf:li MPReg:PersonDisplayName="Ann O'Neil" MPReg:Rectangle="0.4, 0.3, 0.2, 0.4"/></rdf:Bag></MPRI:Regions>
 </MP:RegionInfo></rdf:Description></rdf:RDF></x:xmpmeta>"""


@pytest.mark.parametrize(
    "text",
    [LIGHTROOM, DIGIKAM, EXIFTOOL, PICASA, APPLE, NESTED, WINDOWS],
    ids=["lightroom", "digikam", "exiftool", "picasa", "apple", "nested", "windows"],
)
def test_a_named_face_is_read_whoever_wrote_it(text: str) -> None:
    (found,) = regions_in(text.encode())

    assert found.name == "Ann O'Neil"
    assert found.box == pytest.approx(BOX)
    assert regions_in(b"\xff\xd8\xff\xe1\x00\x00http://ns.adobe.com/xap/1.0/\x00" + text.encode() + b"\xff\xd9") == [
        found
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        LIGHTROOM[:-40],
        LIGHTROOM.replace("<rdf:RDF", "<!DOCTYPE x [<!ENTITY a 'a'>]><rdf:RDF"),
        LIGHTROOM.replace("Ann O'Neil", ""),
        LIGHTROOM.replace('stArea:h="0.4"', 'stArea:h="many"'),
        LIGHTROOM.replace('stArea:h="0.4"', 'stArea:h="nan"'),
        LIGHTROOM.replace('stArea:h="0.4"', ""),
        LIGHTROOM.replace("</rdf:li>", "", 1),
        WINDOWS.replace("0.4, 0.3, 0.2, 0.4", "0.4, 0.3"),
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{"<a>" * 90_000}{"</a>" * 90_000}</x:xmpmeta>',
        "<rdf:RDF " * 200_000,
        "<rdf:RDF></rdf:RDF>" * 1000,
    ],
    ids=range(12),
)
def test_what_cannot_be_read_gives_nothing(text: str) -> None:
    assert regions_in(text.encode()) == []


def test_what_we_write_we_read_and_know_as_ours() -> None:
    regions = [Region('A "quoted" & <odd> name', BOX), Region("Zoë", (0.0, 0.0, 0.25, 0.5))]

    data = packet(regions, 400, 300).encode()

    assert [region.name for region in regions_in(data)] == [region.name for region in regions]
    assert regions_in(data)[1].box == pytest.approx(regions[1].box, abs=1e-5)
    assert is_ours(data)
    assert not is_ours(LIGHTROOM.encode())


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool (libimage-exiftool-perl) is not installed")
def test_exiftool_reads_what_we_write(tmp_path: Path) -> None:
    (tmp_path / "a.xmp").write_text(packet([Region("Zoë & Co", BOX)], 400, 300), encoding="utf-8")

    told = subprocess.run(
        ["exiftool", "-struct", "-j", "-RegionInfo", "-PersonInImage", tmp_path / "a.xmp"],
        capture_output=True,
        check=True,
    )

    (found,) = json.loads(told.stdout)
    (region,) = found["RegionInfo"]["RegionList"]
    assert (region["Name"], region["Type"]) == ("Zoë & Co", "Face")
    assert {key: float(value) for key, value in region["Area"].items() if key != "Unit"} == pytest.approx(
        {"X": 0.5, "Y": 0.5, "W": 0.2, "H": 0.4}
    )
    assert found["RegionInfo"]["AppliedToDimensions"] == {"W": 400, "H": 300, "Unit": "pixel"}
    assert found["PersonInImage"] == ["Zoë & Co"]
