"""The words for a name that is not known."""

from proxyset.errors import nearest, one_line


def test_the_nearest_name_is_offered_or_all_of_few() -> None:
    assert nearest("hearding", ["herding", "random"]) == "did you mean 'herding'?"
    assert nearest("HERDING", ["herding", "random"]) == "did you mean 'herding'?"
    assert nearest("zzz", ["herding", "random"]) == "known: herding, random"
    assert nearest("zzz", map(str, range(100))) == "none of the 100 known is near it"


def test_a_foreign_error_becomes_one_short_line() -> None:
    assert one_line(ValueError("first\n  second")) == "first second"
    assert len(one_line("x" * 1000)) == 160
