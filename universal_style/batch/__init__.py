"""Many contents in many styles: planned as jobs, done by an engine, and skipped where they are finished.

`planned` makes jobs of folders, a `Ledger` knows which are finished, an engine (`Local`, `OnRay`) gives an `Outcome`
for each of the others, in whatever order they end.
"""

from universal_style.batch.bench import Bench, Outcome, Setting
from universal_style.batch.jobs import PAIRINGS, Job, Look, contents_in, looks_in, planned
from universal_style.batch.ledger import Ledger
from universal_style.batch.local import Local
from universal_style.batch.on_ray import OnRay
from universal_style.batch.summary import Engine, Summary, outcomes

__all__ = [
    "PAIRINGS",
    "Bench",
    "Engine",
    "Job",
    "Ledger",
    "Local",
    "Look",
    "OnRay",
    "Outcome",
    "Setting",
    "Summary",
    "contents_in",
    "looks_in",
    "outcomes",
    "planned",
]
