"""Why a result looks as it does: its regions, its way through the stages, distances and spectra, on one page."""

from universal_style.explanation.facts import Explanation, explanation_of
from universal_style.explanation.page import write_explanation
from universal_style.explanation.witness import Explainer

__all__ = ["Explainer", "Explanation", "explanation_of", "write_explanation"]
