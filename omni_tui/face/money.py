"""Amounts of money in words: what is not known is never shown as nothing."""

from __future__ import annotations

UNKNOWN = "price unknown"


def money(dollars: float, *, unpriced: bool = False) -> str:
    """Return what was paid in words. `unpriced`: the price of some of it is not known."""
    if unpriced and not dollars:
        return UNKNOWN
    paid = f"${dollars:.4f}" if dollars else "$0"
    return f"at least {paid}" if unpriced else paid


def short_money(dollars: float, *, unpriced: bool = False) -> str:
    """Return what was paid for a narrow place, "" where no price is known at all."""
    if unpriced and not dollars:
        return ""
    paid = "<$0.01" if 0 < dollars < 0.01 else f"${dollars:.2f}"
    return f"≥{paid}" if unpriced else paid
