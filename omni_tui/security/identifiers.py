"""Shows identifiers so that look-alikes are visible.

A letter that only looks like an ASCII one (a Cyrillic а in `files`, a full-width ａ, a dotless ı) is
followed by its code point. Words in another script stay unchanged, unless all their letters look like
ASCII ones. The letters are chosen from Unicode's confusables (UTS #39); the list is not complete.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

from omni_tui.security.text import safe_line

if TYPE_CHECKING:
    from omni_tui.protocol.text import SafeText

_SCRIPTS = {
    "CYRILLIC",
    "GREEK",
    "ARMENIAN",
    "CHEROKEE",
    "COPTIC",
    "LISU",
    "GEORGIAN",
    "DESERET",
    "TIFINAGH",
}
"""Scripts with letters that look like ASCII ones: beside ASCII letters, all of theirs are marked."""

# Their letters that look like a letter or digit of ASCII.
_ALIKE = frozenset(
    "аАВеЕЗКМНоОрРсСТуУхХЬбѕЅіІјЈһҺԁԌԛԜԝѵѴӀӏүҮ"
    "αΑΒΕΖΗιΙκΚΜνΝοΟρΡΤυΥχΧγσϲϹϳͿ"
    "օՕոսՍհցգզքՏԼյՀՈղ"
    "ᎠᎡᎢᎥᎩᎪᎫᎬᎳᎵᎷᎻᎽᏀᏂᏃᏆᏎᏏᏒᏔᏕᏙᏚᏞᏟᏢᏦᏧᏩᏮᏰᏳᏴ"
    "ⲀⲂⲈⲎⲒⲔⲘⲚⲞⲢⲤⲦⲨⲬⲟⲣⲥⲭⲁ"
    "ꓐꓑꓓꓔꓖꓗꓙꓚꓜꓝꓟꓠꓡꓢꓣꓦꓧꓪꓫꓬꓮꓰꓲꓳꓴ"
    "ჿⵏⵔⵝ𐐄𐐬סװו"
)
_ALWAYS = frozenset(
    "ıȷɑɡɩɪʀɴʙʜʟʏɢɛʋɯƖƄƼǀǃƽℓꜱᴀᴄᴅᴇᴊᴋᴍᴏᴘᴛᴜᴠᴡᴢƿ"
    "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u02d7\u2043\u2796\u2500\u2024\u00b7\u02d0"
)
_WORD = re.compile(r"[^\W_]+")
_MARK = re.compile(r"<U\+[0-9A-F]{4,6}>")
_MAX_MARKED = 200


def identifier(name: str, *, limit: int = 128) -> SafeText:
    """Return a name as one safe line, with look-alikes of ASCII letters marked by `<U+XXXX>`."""
    if name.isascii():
        return safe_line(name, limit=limit)
    return safe_line(marked(name[:limit]), limit=limit + _MAX_MARKED)


def marked(name: str) -> str:
    """Return a name with its look-alikes marked; marking twice changes nothing."""
    return name if name.isascii() else "".join(_marked(name))


def _marked(name: str) -> Iterator[str]:
    # The letters of an existing mark are not part of the name.
    bare = _MARK.sub(lambda mark: "." * len(mark[0]), name)
    foreign = {at for word in _WORD.finditer(bare) for at in _foreign(word)}
    for at, letter in enumerate(name):
        kind = unicodedata.category(letter)
        onto_ascii = kind == "Mn" and at > 0 and name[at - 1].isascii()
        odd = at in foreign or letter in _ALWAYS or kind == "Zs" or onto_ascii or _is_form(letter)
        mark = f"<U+{ord(letter):04X}>"
        done = letter.isascii() or name.startswith(mark, at + 1)
        yield letter + mark if odd and not done else letter


def _foreign(word: re.Match[str]) -> list[int]:
    """Return the places of letters that can be mistaken for ASCII ones."""
    places = [word.start() + at for at, letter in enumerate(word[0]) if not letter.isascii()]
    letters = [letter for letter in word[0] if not letter.isascii()]
    mixed = any(letter.isascii() and letter.isalpha() for letter in word[0])
    if mixed:
        scripts = [unicodedata.name(letter, "").partition(" ")[0] for letter in letters]
        return [at for at, script in zip(places, scripts, strict=True) if script in _SCRIPTS]
    whole = all(letter in _ALIKE or letter in _ALWAYS or _is_form(letter) for letter in letters)
    return places if whole else []


_ASCII = re.compile(r"[!-~]+")


def _is_form(letter: str) -> bool:
    """Whether a character is only another form of ASCII ones: full width, mathematical, a Roman numeral."""
    return bool(_ASCII.fullmatch(unicodedata.normalize("NFKC", letter)))
