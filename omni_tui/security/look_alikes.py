"""Names that can be mistaken for each other: equal but for invisible characters, case and shapes.

The letters are those of `identifiers`, each with the ASCII letter that it looks like (a subset of the
confusables of UTS #39); full-width, mathematical and other forms come from NFKC.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from omni_tui.security.identifiers import marked
from omni_tui.security.text import count_hidden, strip_invisible

_LOOKS_LIKE = {
    "a": "аАαΑᎪⲀⲁꓮɑᴀ",
    "b": "ВЬΒᏏ\u13f0ᏴⲂꓐʙƄ",
    "c": "сСϲϹᏟⲤⲥꓚᴄ",
    "d": "ԁᎠᏧꓓᴅ",
    "e": "еЕΕᎬⲈꓰᴇɛ",
    "f": "ꓝ",
    "g": "Ԍցգ\u13c0\u13e9\u13f3ꓖɡɢ",
    "h": "НһҺΗհᎻᏂⲎꓧʜ",
    "i": "іІιΙᎥ\u13c6Ⲓꓲıɩɪ",
    "j": "јЈϳͿյᎫꓙȷᴊ",
    "k": "КκΚᏦⲔꓗᴋ",
    "l": "\u13b5ӀӏԼᏞꓡⵏוʟℓƖǀװ",
    "m": "МΜᎷⲘꓟᴍ",
    "n": "ΝոՈղⲚꓠɴ",
    "o": "оОοΟσօՕⲞⲟꓳჿⵔ𐐄𐐬סᴏ",
    "p": "рРρΡքᏢⲢⲣꓑᴘƿ",
    "q": "ԛզ",
    "r": "ᎡᏒꓣʀ",
    "s": "ѕЅՏᏕᏚꓢꜱƽ",
    "t": "ТΤτᎢⲦꓔᴛ",
    "u": "υսՍꓴʋᴜ",
    "v": "ѵѴνᏙꓦᴠ",
    "w": "ԜԝᎳᏔꓪɯᴡ",
    "x": "хХΧχⲬⲭꓫⵝ",
    "y": "уУүҮΥγᎩᎽⲨꓬʏ",
    "z": "ΖᏃꓜᴢ",
    "3": "З",
    "5": "Ƽ",
    "2": "Հ",
    "4": "Ꮞ",
    "6": "бᏮ",
    "!": "ǃ",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u02d7\u2043\u2796\u2500",
    ".": "\u2024\u00b7",
    ":": "\u02d0",
}
_FOLDED = str.maketrans({letter: ascii_ for ascii_, letters in _LOOKS_LIKE.items() for letter in letters})
_SHAPES = str.maketrans({"I": "l", "1": "l", "|": "l", "0": "o", "O": "o", "5": "s", "S": "s"})
_PAIRS = (("rn", "m"), ("vv", "w"), ("cl", "d"))
_LONGEST = 256
"""Characters of a name that are compared."""


@lru_cache(20_000)
def skeletons(name: str) -> frozenset[str]:
    """Return what a name looks like. Two names that share one can be mistaken for each other.

    The first is for look-alike letters and case, the second also for shapes within ASCII (`l`, `1`, `I`).
    """
    plain = strip_invisible(name[:_LONGEST])[0]
    for _ in range(2):  # a form may be of a letter that looks like another one
        plain = unicodedata.normalize("NFKD", plain).translate(_FOLDED)
    plain = "".join(each for each in plain if not unicodedata.combining(each) and not each.isspace())
    cased = plain.casefold().translate(_FOLDED)
    shape = plain.translate(_SHAPES).casefold().translate(_FOLDED)
    for pair, letter in _PAIRS:
        shape = shape.replace(pair, letter)
    # Both kinds are kept apart: a name is compared with the same kind of another.
    return frozenset((f"=:{cased}", f"~:{shape}"))


def imitates(name: str, other: str) -> bool:
    """Whether a name looks like another one because of characters that are not what they seem.

    It has invisible characters, look-alikes of ASCII letters, or blanks; names that differ only in case or
    in ASCII letters and digits are merely alike.
    """
    return name != other and is_deceptive(name) and not skeletons(name).isdisjoint(skeletons(other))


@lru_cache(20_000)
def is_deceptive(name: str) -> bool:
    """Whether a name has characters that cannot be seen, or that pass for others."""
    name = name[:_LONGEST]
    mixed = any(letter.isascii() and letter.isalpha() for letter in name)
    return (
        marked(name) != name
        or count_hidden(name, joined=False) > 0
        or any(letter.isspace() or (mixed and ord(letter) in _FOLDED) for letter in name)
    )
