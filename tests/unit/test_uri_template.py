"""URI templates: the examples of RFC 6570 that take texts, and what servers write besides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_tui.servers.uri_template import BadTemplate, expand, variables_of

VALUES = {
    "var": "value", "hello": "Hello World!", "half": "50%", "who": "fred", "base": "http://example.com/home/",
    "path": "/foo/bar", "v": "6", "x": "1024", "y": "768", "empty": "", "dom": "example", "deep": "a/b c/d",
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "address"),
    [
        ("{var}", "value"),
        ("{hello}", "Hello%20World%21"),
        ("{half}", "50%25"),
        ("O{undef}X", "OX"),
        ("{x,y}", "1024,768"),
        ("{var:3}", "val"),
        ("{var:30}", "value"),
        ("{+var}", "value"),
        ("{+hello}", "Hello%20World!"),
        ("{base}index", "http%3A%2F%2Fexample.com%2Fhome%2Findex"),
        ("{+base}index", "http://example.com/home/index"),
        ("{+path}/here", "/foo/bar/here"),
        ("here?ref={+path}", "here?ref=/foo/bar"),
        ("{+path:6}/here", "/foo/b/here"),
        ("X{#var}", "X#value"),
        ("X{#hello}", "X#Hello%20World!"),
        ("{#path,x}/here", "#/foo/bar,1024/here"),
        ("{.who,who}", ".fred.fred"),
        ("X{.var:3}", "X.val"),
        ("{/var}", "/value"),
        ("{/var,x}/here", "/value/1024/here"),
        ("{/var:1,var}", "/v/value"),
        ("{;x,y}", ";x=1024;y=768"),
        ("{?x,y}", "?x=1024&y=768"),
        ("{?undef}", ""),
        ("?fixed=yes{&x}", "?fixed=yes&x=1024"),
        # A path of several parts, as FastMCP writes and means it; and the RFC's own form of it.
        ("docs://{deep*}", "docs://a/b%20c/d"),
        ("docs:/{/deep*}", "docs://a/b%20c/d"),
        ("q://x{?var*}", "q://x?var=value"),
        # What the SDK refuses because it could not be matched backwards.
        ("{var}{x}", "value1024"),
        ("{+path}{+base}", "/foo/barhttp://example.com/home/"),
        ("{var}/{var}", "value/value"),
        ("plain://address", "plain://address"),
        ("a b://ü%20", "a%20b://%C3%BC%20"),
    ],
)
def test_a_template_gives_this_address(template: str, address: str) -> None:
    assert expand(template, VALUES) == address


def test_variables_are_named_once_and_in_their_order() -> None:
    assert variables_of("a://{b}/{+a*}{?b,user-id,c.d:3}") == ("b", "a", "user-id", "c.d")


@pytest.mark.parametrize(
    "template", ["{", "}", "a{b}}", "{}", "{a b}", "{=a}", "{a,}", "{a:0}", "x" * 9000]
)
def test_what_is_no_template_is_said(template: str) -> None:
    with pytest.raises(BadTemplate):
        variables_of(template)


@given(st.text(), st.text())
def test_any_text_is_a_template_or_is_refused(template: str, value: str) -> None:
    try:
        names = variables_of(template)
    except BadTemplate:
        return
    assert expand(template, dict.fromkeys(names, value)).isascii()
