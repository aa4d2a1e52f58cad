"""Counts that the documentation states."""

from __future__ import annotations


def expect(what: str, expected: object, got: object) -> None:
    """Stop if a count differs."""
    if expected != got:
        raise SystemExit(f"{what}: expected {expected}, got {got}")
    print(f"{what}: {got}")
