"""Tests of the operator's desk, in a real browser where it matters."""
