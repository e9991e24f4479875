"""What tests share: fakes, phantoms, small scenes and stores, and how to call the commands."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
