"""Who is what to the head of her household: told from ages and sexes, so that it is likely and always the same."""

from __future__ import annotations

from functools import lru_cache

from examples.city.people import Person, household_of, person

_GENERATION, _TWO, _COUPLE = 15, 45, 12  # years between them: at least, at least, at most


def relation_of(seed: int, number: int) -> str:
    """Her relation to the head, a code of GB/T 4761-2008; 02 for the head."""
    household = household_of(number)
    return _relations(seed, household)[household.index(number)]


@lru_cache(maxsize=16)  # residents are made in the order of their numbers
def _relations(seed: int, household: tuple[int, ...]) -> tuple[str, ...]:
    people = [person(seed, number) for number in household]
    grown = [who for who in people if 20 <= who.age < 75]
    head = max(grown or people, key=lambda who: who.age)
    spouse = next((who for who in people if _is_couple(head, who)), None)
    return tuple("02" if who is head else "10" if who is spouse else _kin(head, who) for who in people)


def _is_couple(head: Person, who: Person) -> bool:
    near = abs(head.age - who.age) <= _COUPLE
    return near and head.sex != who.sex and head.marital_status == who.marital_status == "married"


def _kin(head: Person, who: Person) -> str:
    """Of the codes for men and women the one of this generation."""
    younger = head.age - who.age
    if younger >= _TWO:
        men, women = "41", "42"
    elif younger >= _GENERATION:
        men, women = "20", "30"
    elif younger <= -_GENERATION:
        men, women = "51", "52"
    else:
        men, women = ("73", "77") if younger >= 0 else ("71", "75")
    return men if who.sex == "male" else women
