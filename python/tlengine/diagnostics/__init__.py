"""What features and labels reveal on their own.

In: arrays. Out: numbers and row indices. No torch, no files: everything here works on any (n, d) features.
"""

from __future__ import annotations

from tlengine.diagnostics.duplicates import NearDuplicates, conflicting_labels, near_duplicates

__all__ = ["NearDuplicates", "conflicting_labels", "near_duplicates"]
