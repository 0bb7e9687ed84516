"""The bounds that the configuration and the pack agree on."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from face_organizer.app.parts import attributes_lack, pack_of, rules_of
from face_organizer.config import Config, FacesConfig, PeopleConfig

PACK = pack_of(Config().faces)


def test_the_packs_bounds_hold_and_a_library_may_move_them() -> None:
    rules = rules_of(Config(), PACK)

    assert rules.similarity_link_min == PACK.similarity_link_min
    assert rules.impostors is PACK.impostors
    assert rules.false_merge_max == Config().persons.false_merge_max

    moved = rules.as_found({"calibration": {"similarity_shift": 0.02}})
    assert moved.similarity_link_min == pytest.approx(PACK.similarity_link_min + 0.02)
    assert moved.similarity_join_min == pytest.approx(PACK.similarity_join_min + 0.02)
    assert moved.similarity_member_min == PACK.similarity_member_min


@pytest.mark.parametrize("key", ["similarity_join_min", "similarity_link_min"])
def test_a_bound_that_a_user_set_stays_where_it_was_put(key: str) -> None:
    rules = rules_of(Config(persons=PeopleConfig(**{key: 0.6})), PACK)

    assert getattr(rules, key) == 0.6
    assert rules.impostors is None


def test_a_learned_bound_for_members_is_followed_unless_a_user_set_one() -> None:
    found = {"similarity_member_min": 0.25}
    own = Config(people=2, persons=PeopleConfig(similarity_member_min=0.5))

    assert rules_of(Config(people=2), PACK).as_found(found).similarity_min == 0.25
    assert rules_of(own, PACK).as_found(found).similarity_min == 0.5
    assert rules_of(Config(), PACK).as_found(found).similarity_member_min == PACK.similarity_member_min


def test_where_gender_and_age_are_not_told_the_packs_that_tell_them_are_named(tmp_path: Path) -> None:
    folder, models_dir = tiny.buffalo(tmp_path / "buffalo_x"), str(tmp_path / "models")

    assert "buffalo_l" in attributes_lack(FacesConfig(models_dir=models_dir))
    assert attributes_lack(FacesConfig(pack=str(folder), models_dir=models_dir)) == ""
    assert "faces.attributes" in attributes_lack(FacesConfig(pack=str(folder), models_dir=models_dir, attributes=False))
