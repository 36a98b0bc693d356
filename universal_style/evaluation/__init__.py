"""A folder of pairs judged by number: how much structure a method keeps, and how near it comes to the style."""

from universal_style.evaluation.judge import Judge, Score
from universal_style.evaluation.pairs import pairs_in, unpaired
from universal_style.evaluation.run import evaluate
from universal_style.evaluation.summary import Summary, as_json, as_table, draw_scatter, summary_of

__all__ = [
    "Judge",
    "Score",
    "Summary",
    "as_json",
    "as_table",
    "draw_scatter",
    "evaluate",
    "pairs_in",
    "summary_of",
    "unpaired",
]
