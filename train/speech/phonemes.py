"""Find phrases that sound nearly like another: a detector must learn that they are something else.

How near is counted in phonemes, as espeak-ng gives them in the International
Phonetic Alphabet: an edit distance in which like sounds cost less.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from kwspot.train.speech.espeak import Synthesiser

LEAST_PHONEMES = 3

NEAREST = 1.0
"""What is nearer than this may well be the phrase itself, said by someone else."""

Phonemes = tuple[str, ...]

_VOWELS = frozenset("aeiouyæɑɒɐəɚɛɜɝɞɔʌʊɪɨʉʏøœɶɵɤɯᵻ")
# Consonants that are taken for each other: voiced or not, and by place.
_FAMILIES = ("pb", "td", "kg", "fvθð", "szʃʒ", "mnŋ", "lɹrɾʁ", "wv", "jʝ", "hx")
_STRESS = frozenset("ˈˌ")
_GAP = 0.9
_LIKE, _UNLIKE, _OTHER_KIND = 0.5, 1.0, 1.3
_LENGTH_ALONE = 0.15

# What is put in the place of a letter, and before one.
_VOWEL_LETTERS, _CONSONANT_LETTERS = "aeiou", "bdfgklmnprstvwz"
_NEAREST_WORDS = 25


def phonemes_of(ipa: str) -> Phonemes:
    """Return the sounds of a transcription, without stress, words run together; a mark stays with its sound.

    >>> phonemes_of("hˈeɪ sɐvˈɑːnt")
    ('h', 'e', 'ɪ', 's', 'ɐ', 'v', 'ɑː', 'n', 't')
    """
    found: list[str] = []
    for mark in ipa:
        if mark in _STRESS or mark.isspace():
            continue
        if found and (unicodedata.combining(mark) or unicodedata.category(mark) == "Lm"):
            found[-1] += mark
        elif mark.isalpha():
            found.append(mark)
    return tuple(found)


def distance(one: Phonemes, other: Phonemes) -> float:
    """Compute a weighted edit distance; 1 is a sound in place of quite another, of the same kind.

    >>> distance(("k", "æ", "t"), ("k", "æ", "t")), distance(("k", "æ", "t"), ("b", "æ", "t"))
    (0.0, 1.0)
    """
    row = [k * _GAP for k in range(len(other) + 1)]
    for k, sound in enumerate(one, 1):
        before, row = row, [k * _GAP]
        for j, sound2 in enumerate(other, 1):
            row.append(min(before[j] + _GAP, row[-1] + _GAP, before[j - 1] + _cost(sound, sound2)))
    return row[-1]


def _cost(one: str, other: str) -> float:
    if one == other:
        return 0.0
    if one[0] == other[0]:
        return _LENGTH_ALONE
    if (one[0] in _VOWELS) != (other[0] in _VOWELS):
        return _OTHER_KIND
    alike = one[0] in _VOWELS or any(one[0] in family and other[0] in family for family in _FAMILIES)
    return _LIKE if alike else _UNLIKE


def confusables(
    phrases: Sequence[str], vocabulary: Sequence[str], count: int, synthesiser: Synthesiser, accent: str
) -> list[tuple[str, float]]:
    """Find `count` texts for each phrase that sound nearly like it, and their distance; nearest first.

    They are parts of the phrase, the phrase with a letter replaced, left out or
    put in, words of the vocabulary, and two of its words in a row. None is
    nearer than `NEAREST` to any phrase, and no two sound the same.
    """

    def sounds(text: str) -> Phonemes:
        return phonemes_of(synthesiser.phonemes(text, accent))

    targets = [sounds(phrase) for phrase in phrases]
    taken: set[Phonemes] = set(targets)
    found: list[tuple[str, float]] = []
    for phrase, target in zip(phrases, targets, strict=True):
        texts = dict.fromkeys([*parts(phrase), *misspelt(phrase), *vocabulary, *_pairs(vocabulary, target, sounds)])
        near: list[tuple[float, str]] = []
        for text in texts:
            spoken = sounds(text)
            if not spoken or spoken in taken:
                continue
            if min(distance(spoken, other) for other in targets) >= NEAREST:
                taken.add(spoken)
                near.append((distance(spoken, target), text))
        kept = sorted(near)[:count]
        # The parts are heard inside of every utterance, however far they are.
        chosen = {text for _, text in kept}
        kept += [(far, text) for far, text in near if text in set(parts(phrase)) - chosen]
        found += [(text, round(far, 3)) for far, text in kept]
    return found


def parts(phrase: str) -> list[str]:
    """List the words of a phrase alone, runs of them, and the first and last letters of it."""
    words = phrase.split()
    runs = [" ".join(words[k:m]) for k, m in itertools.combinations(range(len(words) + 1), 2)]
    letters = len(phrase)
    halves = [phrase[: letters * k // 4] for k in (2, 3)] + [phrase[letters * k // 4 :] for k in (1, 2)]
    return [text for part in [*runs, *halves] if len(text := part.strip()) > 1 and text != phrase]


def misspelt(phrase: str) -> Iterable[str]:
    """List the phrase with one letter replaced, removed or added."""
    for k, letter in enumerate(phrase):
        if not letter.isalpha():
            continue
        vowel = letter.lower() in _VOWEL_LETTERS
        for other in _VOWEL_LETTERS if vowel else _CONSONANT_LETTERS:
            yield phrase[:k] + other + phrase[k + 1 :]
        yield phrase[:k] + phrase[k + 1 :]
        yield phrase[:k] + ("n" if vowel else "a") + phrase[k:]


def _pairs(vocabulary: Sequence[str], target: Phonemes, sounds: Callable[[str], Phonemes]) -> list[str]:
    """List pairs of words: those that begin most like the phrase before those that end most like it."""
    sounds_of = {word: sounds(word) for word in vocabulary}
    half = len(target) // 2

    def nearest(part: Phonemes) -> list[str]:
        return sorted(
            sounds_of, key=lambda word: (distance(sounds_of[word], part) / max(len(sounds_of[word]), 1), word)
        )

    firsts, seconds = nearest(target[:half])[:_NEAREST_WORDS], nearest(target[half:])[:_NEAREST_WORDS]
    ranked = sorted(
        (distance(sounds_of[first] + sounds_of[second], target), f"{first} {second}")
        for first in firsts
        for second in seconds
        if first != second
    )
    return [text for _, text in ranked[: 4 * _NEAREST_WORDS]]
