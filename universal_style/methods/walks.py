"""The recipe of every closed-form method: walks through stages, maps fitted at their sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from universal_style.drivers.edits import Fit
from universal_style.drivers.fit import StyleFit
from universal_style.drivers.tiled import Tiled
from universal_style.methods.kinds import Carried, Task, Witness
from universal_style.methods.stages import StagePlan
from universal_style.mixing import MIXINGS, Mixing
from universal_style.names import name_in
from universal_style.networks.checkpoints import Checkpoint
from universal_style.networks.pooling import ASCENDING, Pooling
from universal_style.networks.stage import Ascent, Refinement, Stage, Walker
from universal_style.networks.vgg import LEVELS, stride_at
from universal_style.regions import LabelMap
from universal_style.report import Steps
from universal_style.smoothing import debanded
from universal_style.subjects import Loaded, aims_of
from universal_style.transforms import TRANSFORMS, Floored


@dataclass(frozen=True)
class Walks:
    """What a closed-form method does: walk through stages, maps fitted at their sites.

    Attributes:
        pooling: of every stage.
        levels: those that are edited, in order.
        places: where on the walk features are edited, of `PLACES`.
        stages: in the order in which they run.
        refined: whether what the last of them decodes is coded once more, see `networks.stage.Refinement`.
        alphas: strength by level, 0 to 1.
        transform: of the features, covariances with their floor.
        mixing: of several styles.
        driver: that takes the walks.
    """

    pooling: Pooling
    levels: tuple[int, ...]
    places: tuple[str, ...]
    stages: tuple[StagePlan, ...]
    refined: bool
    alphas: Mapping[int, float]
    transform: Floored
    mixing: Mixing
    driver: Tiled

    def as_options(self) -> dict[str, Any]:
        return {
            "levels": list(self.levels),
            "alpha": [self.alphas[level] for level in self.levels],
            "sites": list(self.places),
            "transform": name_in(TRANSFORMS, self.transform.transform),
            "covariance_floor": self.transform.covariance_floor,
            "mix": name_in(MIXINGS, self.mixing),
        } | self.driver.as_options()

    def steps(self, styles: int) -> int:
        return 2 + styles + len(self.stages) + self.refined

    def carry(self, loaded: Loaded, task: Task) -> Carried:
        """Observe the styles, then walk through the stages."""
        ready = self.ready(loaded, task)
        return Carried(ready.carry(task.pixels, task.regions, task.steps), ready.checkpoints)

    def stages_of(self, loaded: Loaded) -> tuple[list[Stage], list[Checkpoint]]:
        """Load the networks; give the files that they came from, too."""
        stages, checkpoints = [], [loaded.encoder_checkpoint]
        for plan in self.stages:
            decoder, checkpoint = loaded.decoder(self.pooling, plan.level)
            stages.append(Stage(loaded.encoder, decoder, self.pooling, plan.sites))
            checkpoints.append(checkpoint)
        if self.refined:
            stages.append(Refinement.of(stages[-1]))
        return stages, checkpoints

    def ready(self, loaded: Loaded, task: Task) -> Fitted:
        """Load the decoders and observe the styles, once for any number of pictures with the task's regions."""
        task.steps.begin("load decoders")
        stages, checkpoints = self.stages_of(loaded)
        sites = frozenset(site for stage in stages for site in stage.sites)
        task.witness.edits(walks_over(stages), sites)
        most = self.driver.surveyed(stages, task.regions)
        observed = []
        for number, (subject, labels) in enumerate(zip(task.subjects, task.regions_of_styles, strict=True), start=1):
            task.steps.begin("observe styles", f"observing style {number}")
            observed.append(loaded.observe(subject, labels, walks_over(stages), sites, most))
        fit = StyleFit(self.transform, self.mixing, aims_of(task.regions, task.matched, observed), self.alphas)
        return Fitted(stages, fit, checkpoints, self.driver, task.witness, max(self.alphas.values()))


@dataclass(frozen=True)
class Fitted:
    """Walks with their decoders loaded and their styles observed.

    Attributes:
        stages: in the order in which they run.
        fit: of the maps at their sites.
        checkpoints: that were used.
        driver: that takes the walks.
        witness: to be shown what each stage makes.
        debanding: strength, 0 to 1; where nothing is edited nothing need be evened out.
    """

    stages: Sequence[Stage]
    fit: Fit
    checkpoints: Sequence[Checkpoint]
    driver: Tiled
    witness: Witness
    debanding: float

    def wrapped(self, wrap: Callable[[Fit], Fit]) -> Fitted:
        return replace(self, fit=wrap(self.fit))

    def carry(self, pixels: Float[Tensor, "1 3 h w"], regions: LabelMap, steps: Steps) -> Float[Tensor, "1 3 h w"]:
        with self.driver.crew.gathered() as hands:
            for stage in self.stages:
                if windows := self.driver.plan(stage, regions, hands):
                    self.witness.plans(stage.name, windows)
            steps.begin("deband")
            pixels = debanded(pixels, self.debanding)
            for stage in self.stages:
                steps.begin(stage.name)
                pixels = self.driver.carry(stage, pixels, self.fit, regions, hands)
                self.witness.sees(stage.name, pixels)
        return pixels


def walks_over(stages: Sequence[Stage]) -> list[Walker]:
    """Give the walks that see a style at the sites of stages.

    Sites on the way up need one ascent to the deepest of them, where what pool{k} keeps is seen on the way to
    relu{k+1}_1; those on the way down need their stage's whole walk.
    """
    decoded: list[Walker] = [s for s in stages if any(site.family == s.pooling.name for site in s.sites)]
    if decoded:
        return decoded
    strides = {site.stride for stage in stages for site in stage.sites}
    deepest = max((level for level in LEVELS if stride_at(level) in strides), default=1)
    return [Ascent(stages[0].encoder, ASCENDING[stages[0].pooling.family], deepest)]
