import math
import multiprocessing
import os
import signal
import subprocess
from dataclasses import fields
from inspect import signature

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch.nn.utils import parametrize

from universal_style.cli.stops import stoppable
from universal_style.cli.train import DecoderTraining, FeedForwardTraining
from universal_style.demo import PICTURES
from universal_style.errors import CheckpointError, InputError, OptionError
from universal_style.folders import pictures_in
from universal_style.images import Image
from universal_style.networks.checkpoints import (
    bundled_folder,
    decoder_name,
    load_decoder,
    load_encoder,
    read_checkpoint,
    write_checkpoint,
)
from universal_style.networks.decoder import Decoder
from universal_style.networks.pooling import POOLINGS, HaarCat5Pooling, HaarSumPooling, NearestPooling
from universal_style.training import coordinates, loop
from universal_style.training import run as run_module
from universal_style.training.coordinates import (
    TapMoments,
    WhitenedCoordinates,
    convolutions_in,
    whiten_coordinates,
)
from universal_style.training.feed_forward import FeedForwardPlan
from universal_style.training.loop import Recipe, Report, TrainingState, mean_psnr, train_decoder
from universal_style.training.muon import Muon, orthogonalised
from universal_style.training.objective import (
    ENOUGH,
    Given,
    Objective,
    Weights,
    column_moments,
    keeps_features,
    squared_error,
)
from universal_style.training.pictures import (
    Batches,
    as_pixels,
    held_out_of,
    random_crop,
    read_rgb,
    stream,
    varied_crop,
)
from universal_style.training.recolouring import recoloured
from universal_style.training.rounding import compensated, rounded
from universal_style.training.run import Plan, edited_levels, run, start_from
from universal_style.training.states import reading_state, restore_scaler, write_state
from universal_style.training.steps import BEFORE_RECORDING, Steps
from universal_style.training.warm_start import regression_warm_start, widened
from universal_style.transforms import AffineMap

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_start(monkeypatch):
    """Start and store on crops that are as small as the pictures here."""
    monkeypatch.setattr(loop, "WARM_START_SIDE", 96)
    monkeypatch.setattr(run_module, "CALIBRATION_BATCHES", 6)


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(bundled_folder())[0].to(memory_format=torch.channels_last)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for path in PICTURES.glob("*.jpg"):
        with Pillow.open(path) as picture:
            picture.resize((96, 72)).save(folder / path.name)
    return folder


@pytest.fixture(scope="module")
def held_out():
    with Pillow.open(PICTURES / "chelsea-cat.jpg") as picture:
        return [Image.of(picture.crop((128, 64, 224, 128))).tensor()]


def plan(folder, output, **changes):
    options = {
        "pictures": [folder], "output": output, "styles": None, "held_out": None, "pooling": "nearest",
        "levels": [1, 2], "steps": [0, 4],
        "side": 32, "plain": 2, "transformed": 2, "transformed_from": 0.5, "learning_rate": 1e-3, "measure_every": 2,
        "workers": 0, "start": None, "resume": True, "device": "cpu", "dtype": "float32", "seed": 0,
    }  # fmt: skip
    return Plan.of(**(options | changes))


def test_seeds_have_any_sign(folder):
    one, other = (Batches(pictures_in(folder), (), 32, 1, 0, seed)[0].plain for seed in (-1, 2**64 - 1))
    assert torch.equal(one, other)
    Recipe(1, (1,), 1, seed=-1)
    with pytest.raises(OptionError, match="is out of range; it is a whole number of 64 bits"):
        Recipe(1, (1,), 1, seed=2**64)


def test_batches_depend_on_seed_and_step_only(folder):
    paths = pictures_in(folder)
    one, other = (Batches(paths, paths, 48, 2, 2, seed=5)[7] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(one.plain, Batches(paths, paths, 48, 2, 2, seed=5)[8].plain)
    assert one.plain.shape == one.style.shape == (2, 3, 48, 48)


@pytest.mark.parametrize("size", [(20, 500), (64, 64), (300, 200)])
def test_a_crop_fits_any_picture(size):
    for seed in range(5):
        crop = random_crop(Pillow.new("RGB", size), 64, np.random.default_rng(seed))
        assert crop.shape == (3, 64, 64)


def test_varied_crops_are_turned_and_seen_in_other_light():
    picture = Pillow.new("RGB", (64, 64), (40, 120, 200))
    picture.paste((80, 160, 240), (0, 0, 64, 8))  # a band at the top
    crops = [varied_crop(picture, 64, np.random.default_rng(seed)) for seed in range(60)]
    assert all(crop.shape == (3, 64, 64) and crop.dtype == torch.uint8 for crop in crops)
    upright = [bool((crop[:, :8] > crop[:, 8:16]).all()) for crop in crops]
    natural = [
        bool((crop.float().mean(dim=(1, 2)) - torch.tensor([45.0, 125.0, 205.0])).abs().max() < 3) for crop in crops
    ]
    assert 0.4 < np.mean(upright) < 0.9
    assert 0.3 < np.mean(natural) < 0.7


def test_whitened_coordinates_change_nothing_but_the_gradient(encoder, folder):
    decoder, pooling = Decoder(2), NearestPooling()
    batches = Batches(pictures_in(folder), [], 64, 2, 0, seed=1)
    pixels = as_pixels(batches[0].plain, CPU)
    features = dict(encoder.ascend(pixels, pooling, 2))[2]
    before, expected = decoder.plain(), decoder(features, [(), ()], pooling)
    whiten_coordinates(decoder, encoder, pooling, [pixels])
    torch.testing.assert_close(decoder(features, [(), ()], pooling), expected, rtol=1e-3, atol=1e-3)
    for convolution in convolutions_in(decoder):
        assert parametrize.is_parametrized(convolution, "weight")
    weight = decoder.blocks[0].conv2_1.weight
    torch.testing.assert_close(weight, before["conv2_1.weight"], rtol=1e-2, atol=1e-3)
    assert not torch.allclose(decoder.blocks[0].conv2_1.parametrizations.weight.original, weight)


def test_whitened_coordinates_whiten_a_kronecker_covariance(monkeypatch):
    monkeypatch.setattr(coordinates, "DAMPING", 1e-3)
    a, b = torch.randn(3, 3).double(), torch.randn(9, 9).double()
    channels, taps = a @ a.T + torch.eye(3), b @ b.T + torch.eye(9)
    form = WhitenedCoordinates(channels, taps)
    whiten = torch.kron(form.channels_whiten, form.taps_whiten).double()
    whitened = whiten @ torch.kron(channels, taps) @ whiten.T
    assert (whitened / whitened.diagonal().mean() - torch.eye(27)).abs().max() < 0.05


def test_tap_moments_are_those_of_the_windows():
    seen = TapMoments(2, CPU)
    line = torch.arange(64.0).repeat(64, 1)
    seen.see(torch.stack([line, line.T])[None])
    assert seen.channels.count == 64 * 64
    taps = seen.taps.covariance
    assert taps.shape == (9, 9)
    assert (taps > 0.95 * taps.diagonal().mean()).all()  # neighbours on a ramp are nearly equal


def test_the_closed_form_warm_start_reconstructs(encoder, folder, held_out):
    decoder = Decoder(2)
    batches = Batches(pictures_in(folder), [], 64, 4, 0, seed=1)
    source = (as_pixels(batches[i].plain, CPU) for i in range(10**6))
    named = list(regression_warm_start(decoder, encoder, NearestPooling(), source, deepest=2))
    assert named == ["conv2_1", "conv1_2", "conv1_1"]
    with torch.no_grad():
        assert mean_psnr(encoder, decoder, NearestPooling(), held_out) > 20


def test_the_objective_of_a_perfect_decoder_is_small(encoder, folder):
    """Level 1 is linear where the ReLU is open: the bundled decoder is nearly exact, a random one is not."""
    paths = pictures_in(folder)
    batch = Batches(paths, paths, 64, 2, 2, seed=0)[0]
    plain, content, style = (as_pixels(part, CPU) for part in (batch.plain, batch.content, batch.style))
    objective = Objective(encoder, NearestPooling(), 1, (1,), Weights())
    transformed = objective.transform(content, style, seed=1)
    good, _ = load_decoder(bundled_folder(), NearestPooling(), 1)
    losses = []
    for decoder in (good, Decoder(1)):
        terms = objective(decoder, Given(plain, transformed=transformed))
        assert set(terms) == {"pixel", "feature", "transformed", "moments"}
        assert all(math.isfinite(float(term.detach())) for term in terms.values())
        losses.append(sum(float(term.detach()) for term in terms.values()))
    assert losses[0] < 0.05 * losses[1]


@pytest.mark.parametrize("pooling", [HaarSumPooling(), HaarCat5Pooling()])
def test_bands_are_carried_onto_the_style_too(encoder, folder, pooling, monkeypatch):
    monkeypatch.setattr("universal_style.training.objective.ALPHA_RANGE", (1.0, 1.0))
    paths = pictures_in(folder)
    batch = Batches(paths, paths, 64, 1, 2, seed=3)[0]
    content, style = (as_pixels(part, CPU) for part in (batch.content, batch.style))
    objective = Objective(encoder, pooling, 2, (1, 2), Weights())
    transformed = objective.transform(content, style, seed=1)
    wanted = objective.climb(style)[0][1]
    assert len(transformed.shown.kept[1]) == len(wanted)
    for own, other in zip(transformed.shown.kept[1][:3], wanted[:3], strict=True):
        for given, aim in zip(column_moments(own), column_moments(other), strict=True):
            torch.testing.assert_close(given, aim, rtol=0.05, atol=0.02 * float(aim.abs().max()))


def test_features_beside_the_bands_are_disguised_as_those_of_one_crop(encoder, folder):
    plain = as_pixels(Batches(pictures_in(folder), (), 64, 4, 0, seed=3)[0].plain, CPU)
    objective = Objective(encoder, HaarCat5Pooling(), 2, (1, 2), Weights())
    (nothing, own), _ = objective.climb(plain)
    assert nothing == ()
    for given, wanted in zip(objective.shown(plain, 0, seed=1).kept[1], own, strict=True):
        assert torch.equal(given, wanted)
    ((*bands, before), (*own_bands, own_before)) = objective.shown(plain, 1, seed=1).kept[1], own
    assert all(torch.equal(given, wanted) for given, wanted in zip(bands, own_bands, strict=True))
    assert before.min() >= 0
    means, moved = own_before.mean(dim=(2, 3)), before.mean(dim=(0, 2, 3))
    distances = (means - moved).norm(dim=1) / (means - means.mean(0)).norm(dim=1)  # now, and before
    assert distances.min() < 0.8
    again = objective.shown(plain, 1, seed=1).kept[1][-1]
    assert torch.equal(before, again)


@pytest.mark.parametrize("pooling", [NearestPooling(), HaarCat5Pooling()])
def test_crops_are_carried_onto_themselves_in_other_colours(encoder, folder, pooling):
    paths = pictures_in(folder)
    batch = Batches(paths, paths, 64, 1, 0, seed=3, recolored=6)[0]
    assert batch.own.shape == batch.colours.shape == (6, 3, 64, 64)
    own, colours = (as_pixels(part, CPU)[:3] for part in (batch.own, batch.colours))
    objective = Objective(encoder, pooling, 2, (1, 2), Weights())
    wanted, shown = objective.recolour(own, colours, seed=1)
    assert wanted.min() >= 0
    assert wanted.max() <= 1
    assert (wanted - own).abs().mean() > 0.02
    kept, levels = objective.climb(wanted)
    for given, aim in zip(column_moments(shown.features), column_moments(levels[-1]), strict=True):
        torch.testing.assert_close(given, aim, rtol=0.05, atol=0.02 * float(aim.abs().max()))
    assert [len(parts) for parts in shown.kept] == [len(parts) for parts in kept]
    if keeps_features(pooling):
        before, wanted_before = shown.kept[1][-1], kept[1][-1]
        assert (before - wanted_before).norm() > 0.05 * wanted_before.norm()  # those of the content still
    again, _ = objective.recolour(own, colours, seed=1)
    assert torch.equal(wanted, again)


def test_a_run_with_recoloured_crops_says_so(folder, tmp_path):
    options = {"plain": 1, "recolored": 5, "transformed": 0, "side": 64, "steps": [2], "levels": [2]}
    *_, last = run(plan(folder, tmp_path, **options))
    assert last.report.psnr > 15
    assert "1 plain + 5 recoloured + 0 transformed crops of 64×64" in (tmp_path / "README.md").read_text()


def test_other_colours_and_contrast_draw_no_edges(folder):
    crops = as_pixels(Batches(pictures_in(folder), (), 64, 2, 0, seed=3)[0].plain, CPU)
    pixels = recoloured(torch.full_like(crops, 0.25), crops, 1)
    assert (pixels - pixels[:, :, :1, :1]).abs().max() < 1e-5


def test_a_decoder_learns_to_take_less_from_what_is_disguised(encoder, folder, held_out, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "WARM_UP_STEPS", 1)
    pooling, paths = HaarCat5Pooling(), pictures_in(folder)

    def trained(steps, start):
        recipe = Recipe(2, (1, 2), steps, plain=4, disguised=1, transformed=0, side=64, learning_rate=0.03)
        *_, state = train_decoder(
            encoder, pooling, recipe, paths, paths, held_out, tmp_path / f"{steps}.state",
            device=CPU, precision=torch.float32, workers=0, start=start,
        )  # fmt: skip
        return state.average

    deeper, _ = load_decoder(bundled_folder(), pooling, 3)  # of which the last two blocks are a start
    fitted, learned = (trained(steps, deeper.plain()) for steps in (0, 30))
    objective = Objective(encoder, pooling, 2, (1, 2), Weights())
    plain = as_pixels(Batches(paths, (), 64, 4, 0, seed=9)[0].plain, CPU)
    with torch.no_grad():
        before, after = (
            float(objective(decoder, Given(plain, objective.shown(plain, 1, 5)))["pixel"])
            for decoder in (fitted, learned)
        )
    assert after < 0.95 * before


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_moments_are_the_same_under_autocast(encoder, folder, precision):
    features = 100 * torch.rand(2, 8, 40, 40)  # whose sums of squares are far beyond half precision
    plain = column_moments(features)
    with torch.autocast("cpu", precision):
        assert all(torch.equal(one, other) for one, other in zip(plain, column_moments(features), strict=True))
    paths = pictures_in(folder)
    pixels = as_pixels(Batches(paths, paths, 32, 1, 2, 0)[0].content, CPU)
    objective = Objective(encoder, NearestPooling(), 1, (1,), Weights())
    seen = []
    with torch.autocast("cpu", precision), pytest.MonkeyPatch.context() as patch:
        patch.setattr(AffineMap, "__call__", lambda _, f: seen.append(torch.is_autocast_enabled("cpu")) or f)
        objective.transform(pixels, pixels, 0)
    assert seen == [False]


def test_a_state_without_a_scaler_is_taken_over():
    scaler = torch.amp.GradScaler("cpu", enabled=True)
    for saved in ({}, {"scaler": {}}):
        restore_scaler(scaler, saved)
    assert scaler.state_dict()["scale"] == torch.amp.GradScaler("cpu").state_dict()["scale"]


def test_training_lowers_the_loss(encoder, folder, held_out, tmp_path):
    paths = pictures_in(folder)
    recipe = Recipe(level=2, edited=(2,), steps=30, plain=2, transformed=0, side=64, measure_every=30)
    events = list(
        train_decoder(
            encoder, NearestPooling(), recipe, paths, paths, held_out, tmp_path / "s.state",
            device=CPU, precision=torch.float32, workers=0, start=Decoder(2).plain(),
        )
    )  # fmt: skip
    measures = [e.psnr for e in events if isinstance(e, Report) and e.phase == "measure"]
    assert measures[-1] > measures[0]


def test_a_stopped_training_goes_on_where_it_was(encoder, folder, held_out, tmp_path):
    paths = pictures_in(folder)
    recipe = Recipe(level=1, edited=(1,), steps=4, plain=2, transformed=1, side=32, measure_every=2)

    def train(path, stop_at=None):
        weights = None
        for event in train_decoder(
            encoder, NearestPooling(), recipe, paths, paths, held_out, path,
            device=CPU, precision=torch.float32, workers=0,
        ):  # fmt: skip
            if isinstance(event, TrainingState):
                weights = event.average.plain()
            elif event.phase == "measure" and event.done == stop_at:
                return None
        return weights

    whole = train(tmp_path / "whole.state")
    assert train(tmp_path / "parts.state", stop_at=2) is None
    parts = train(tmp_path / "parts.state")
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-4, atol=1e-5)


def test_a_state_of_another_optimiser_is_refused(encoder, folder, held_out, tmp_path):
    path, paths = tmp_path / "s.state", pictures_in(folder)

    def train(steps):
        recipe = Recipe(level=1, edited=(1,), steps=steps, plain=1, transformed=0, side=32, measure_every=1)
        events = train_decoder(
            encoder, NearestPooling(), recipe, paths, paths, held_out, path,
            device=CPU, precision=torch.float32, workers=0,
        )  # fmt: skip
        return next(event for event in events if isinstance(event, TrainingState))

    train(1)
    with reading_state(path) as saved:
        for group in saved["optimizer"]["param_groups"]:
            del group["bias_rate"]
    write_state(path, saved)
    with pytest.raises(CheckpointError, match="s.state is a state of Adam, not of Muon; delete it to start anew"):
        train(2)


@pytest.mark.parametrize("shape", [(24, 90), (90, 24)])
def test_a_step_turns_all_directions_of_a_matrix_equally_far(shape):
    matrix = torch.randn(*shape) * torch.logspace(0, -1, shape[1])
    values = torch.linalg.svdvals(orthogonalised(matrix))
    assert values.min() > 0.5
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    aligned = torch.linalg.multi_dot([left.T, orthogonalised(matrix), right.T])
    torch.testing.assert_close(aligned, torch.diag(aligned.diagonal()), rtol=0, atol=1e-4)
    assert aligned.diagonal().min() > 0.5
    torch.testing.assert_close(orthogonalised(torch.zeros(*shape)), torch.zeros(*shape), rtol=0, atol=0)


def test_a_step_is_skipped_where_a_scaler_says_so():
    decoder = Decoder(1)
    before = {name: value.detach().clone() for name, value in decoder.named_parameters()}
    optimizer = Muon(decoder)
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(0.01)
    for skipped in (1.0, 0.0):
        for parameter in decoder.parameters():
            parameter.grad = torch.full_like(parameter, torch.nan if skipped else 1.0)
        optimizer.found_inf = torch.tensor(skipped)
        optimizer.step()
        moved = {name: float((value.detach() - before[name]).abs().max()) for name, value in decoder.named_parameters()}
        assert all(0 < far < 1 for far in moved.values()) if not skipped else not any(moved.values())


def test_the_error_of_pictures_is_their_mean_psnr():
    wanted = torch.rand(3, 3, 16, 16)
    given = wanted + torch.tensor([0.02, 0.1, 0.5]).view(3, 1, 1, 1)
    decibels = torch.tensor([0.02, 0.1, 0.5]).square().add(ENOUGH).log10().mean() * -10
    assert -10 * squared_error(given, wanted).log10() == pytest.approx(float(decibels), abs=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("pooling", "level"), [(NearestPooling(), 2), (HaarCat5Pooling(), 4)])
def test_a_recorded_step_is_the_step(folder, monkeypatch, pooling, level):
    device = torch.device("cuda")
    encoder = load_encoder(bundled_folder())[0].to(device).to(memory_format=torch.channels_last)
    trained = load_decoder(bundled_folder(), pooling, level)[0].plain()
    objective = Objective(encoder, pooling, level, (level,), Weights())
    paths = pictures_in(folder)
    batches = Batches(paths, paths, 64, 2, 1, 0)

    def losses(before):
        monkeypatch.setattr("universal_style.training.steps.BEFORE_RECORDING", before)
        decoder, average = (
            Decoder(level, pooling.widening).to(device).to(memory_format=torch.channels_last) for _ in range(2)
        )
        average.requires_grad_(False)
        for network in (decoder, average):
            network.load_plain(trained)
        seen = [as_pixels(batches[number].plain, device) for number in range(3)]
        whiten_coordinates(decoder, encoder, pooling, seen)
        scaler = torch.amp.GradScaler("cuda", init_scale=1024.0)
        steps = Steps(decoder, average, objective, Muon(decoder), scaler, torch.float16)
        given = []
        for number in range(14):
            batch = batches[number]
            pair = as_pixels(batch.content, device), as_pixels(batch.style, device)
            transformed = objective.transform(*pair, number) if number % 2 else None
            pixels = as_pixels(batch.plain, device)
            shown = objective.shown(pixels, 0.5, number) if keeps_features(pooling) else None
            given.append(steps.take(Given(pixels, shown, transformed), 1e-3, 0.5))
        return given, average.plain()

    (recorded, average), (taken, wanted) = losses(BEFORE_RECORDING), losses(100)
    for own, other in zip(recorded, taken, strict=True):
        assert own == pytest.approx(other, rel=1e-3)
    for name, value in wanted.items():
        torch.testing.assert_close(average[name], value, rtol=1e-2, atol=1e-4)


def test_a_run_writes_checkpoints_card_and_curves(folder, tmp_path):
    output = tmp_path / "out"
    events = list(run(plan(folder, output)))
    assert {event.name for event in events} == {"decoder-nearest-relu1_1", "decoder-nearest-relu2_1"}
    phases = [event.report.phase for event in events if event.name.endswith("relu2_1")]
    assert phases[:3] == ["warm start", "warm start", "measure"]  # conv2_1 and conv1_2; conv1_1 comes from level 1
    assert phases.count("train") == 4
    for level in (1, 2):
        decoder, checkpoint = load_decoder(output, NearestPooling(), level)
        assert not parametrize.is_parametrized(decoder.blocks[0].conv1_1 if level == 1 else decoder.blocks[1].conv1_1)
        assert checkpoint.metadata["storage"] in ("int8", "int8, small layers float16", "float16")
        assert float(checkpoint.metadata["held_out_psnr"]) > 15
        assert checkpoint.metadata["pictures"].startswith("5 pictures")
    card = (output / "README.md").read_text()
    assert card.count("## decoder-nearest-relu") == 2
    with Pillow.open(output / "training-curves.png") as curves:
        assert curves.width > 400
    list(run(plan(folder, output)))  # resumed and written again: the card does not grow
    assert (output / "README.md").read_text().count("## decoder-nearest-relu") == 2
    assert read_checkpoint(output, "decoder-nearest-relu2_1").metadata["steps"] == "4"


def test_the_card_says_of_which_pictures_the_decoder_was_made(folder, tmp_path, rng):
    def card(photos, steps):
        list(run(plan(photos, tmp_path / "out", levels=[1], steps=[steps])))
        return (tmp_path / "out" / "README.md").read_text()

    other = tmp_path / "other"
    other.mkdir()
    Pillow.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(other / "noise.png")
    assert "pictures: 5 pictures" in card(folder, 2)
    assert "pictures: 5 pictures" in card(other, 2)  # no step was made
    assert "pictures: 1 pictures" in card(other, 3)


def test_the_card_says_with_which_options_each_leg_was_trained(folder, tmp_path):
    def course(steps, **options):
        list(run(plan(folder, tmp_path, levels=[1], steps=[steps], **options)))
        return [line for line in (tmp_path / "README.md").read_text().splitlines() if " steps " in f" {line[2:]}"]

    first = "1 plain + 0 transformed crops of 32×32, Muon at 0.001, seed 0"
    second = first.replace("0.001", "0.0005")
    options = {"plain": 1, "transformed": 0}
    assert course(2, **options) == [f"- 2 steps after the warm start, {first}"]
    state = tmp_path / "decoder-nearest-relu1_1.state"
    saved = torch.load(state, weights_only=True)
    del saved["legs"]  # as states were once
    torch.save(saved, state)
    assert course(2, learning_rate=5e-4, **options) == [f"- 2 steps after the warm start, {first}"]  # no step was made
    assert course(4, learning_rate=5e-4, **options)[-1] == f"- steps 3 to 4: {second}"
    legs = [f"- steps 1 to 2: {first}", f"- steps 3 to 4: {second}", f"- steps 5 to 5: {first}"]
    assert course(5, **options) == ["- 5 steps after the warm start", *legs]


def test_training_goes_on_from_a_checkpoint(folder, tmp_path):
    held_out = tmp_path / "held-out"
    held_out.mkdir()
    with Pillow.open(PICTURES / "chelsea-cat.jpg") as picture:
        picture.crop((128, 64, 224, 128)).save(held_out / "cat.png")
    events = list(run(plan(folder, tmp_path, levels=[2], steps=[0], start=bundled_folder(), held_out=held_out)))
    assert [event.report.phase for event in events] == ["measure", "measure"]
    bundled, _ = load_decoder(bundled_folder(), NearestPooling(), 2)
    written, _ = load_decoder(tmp_path, NearestPooling(), 2)
    for name, value in bundled.plain().items():
        torch.testing.assert_close(written.plain()[name], value, rtol=0, atol=0.02 * float(value.abs().max()))


def test_compensated_rounding_changes_products_less_than_plain_rounding():
    mixing = torch.randn(36, 4) @ torch.randn(4, 36) + 0.3 * torch.randn(36, 36)  # columns that go together
    columns = mixing @ torch.randn(36, 2000)
    weight = torch.randn(5, 36)
    steps, scale = compensated(weight, columns @ columns.T)
    assert steps.dtype == torch.int8
    plain = (weight / scale[:, None]).round() * scale[:, None]
    errors = [((given - weight) @ columns).square().mean() for given in (steps * scale[:, None], plain)]
    assert errors[0] < 0.5 * errors[1]


def test_rounded_decoders_keep_their_pictures(encoder, folder, held_out):
    decoder, _ = load_decoder(bundled_folder(), NearestPooling(), 2)
    batches = Batches(pictures_in(folder), [], 64, 2, 0, seed=1)
    stored = rounded(decoder, encoder, NearestPooling(), [as_pixels(batches[i].plain, CPU) for i in range(4)])
    assert {str(value.dtype) for name, value in stored.items() if name.endswith("weight")} == {"torch.int8"}
    again = Decoder(2)
    again.load_plain(
        {
            name: value * stored[f"{name}.scale"][:, None, None, None] if name.endswith("weight") else value
            for name, value in stored.items()
            if not name.endswith("scale")
        }
    )
    both = [mean_psnr(encoder, d, NearestPooling(), held_out) for d in (decoder, again)]
    assert both[1] > both[0] - 0.3


def test_a_summed_decoder_widens_to_the_same_picture(encoder):
    narrow = Decoder(3)
    wide = Decoder(3, HaarCat5Pooling().widening)
    wide.load_plain(widened(narrow.plain(), wide))
    pictures = []
    for decoder, pooling in ((narrow, HaarSumPooling()), (wide, HaarCat5Pooling())):
        kept, features = [], torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        for block in encoder.blocks[:3]:
            features = block(features, pooling, kept)
        pictures.append(decoder(features, kept, pooling))
    torch.testing.assert_close(*pictures, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("pooling", ["index", "haar-sum"])
def test_decoders_of_other_poolings_are_trained_too(folder, tmp_path, pooling):
    list(run(plan(folder, tmp_path, pooling=pooling, levels=[2], steps=[4], side=48)))
    decoder, checkpoint = load_decoder(tmp_path, POOLINGS[pooling], 2)
    assert decoder.level == 2
    assert checkpoint.metadata["pooling"] == pooling
    assert float(checkpoint.metadata["held_out_psnr"]) > 15


def test_concatenation_starts_from_summation(folder, tmp_path):
    metadata = {"kind": "decoder", "pooling": "haar-sum", "level": "2"}
    write_checkpoint(tmp_path, decoder_name("haar-sum", 2), Decoder(2).plain(), metadata)
    events = list(run(plan(folder, tmp_path / "wide", pooling="haar-cat5", levels=[2], steps=[0], start=tmp_path)))
    narrow, _ = load_decoder(tmp_path, POOLINGS["haar-sum"], 2)
    wide, _ = load_decoder(tmp_path / "wide", POOLINGS["haar-cat5"], 2)
    assert [event.report.phase for event in events] == ["measure", "measure"]
    assert wide.blocks[0].conv1_2.in_channels == 5 * narrow.blocks[0].conv1_2.in_channels


def test_a_decoder_starts_from_the_last_blocks_of_a_deeper_one(tmp_path):
    pooling, deep = HaarCat5Pooling(), Decoder(3, 5)
    metadata = {"kind": "decoder", "pooling": pooling.name, "level": "3"}
    write_checkpoint(tmp_path, decoder_name(pooling.name, 3), deep.plain(), metadata)
    start = start_from(tmp_path, pooling, 2)
    assert start.keys() == Decoder(2, 5).plain().keys()
    assert all(torch.equal(value, deep.plain()[name]) for name, value in start.items())
    with pytest.raises(CheckpointError, match=r"decoder-haar-cat5-relu4_1\.safetensors is missing"):
        start_from(tmp_path, pooling, 4)


def test_a_decoder_learns_what_its_method_edits():
    assert edited_levels(POOLINGS["nearest"], 3) == (3,)
    assert edited_levels(POOLINGS["index"], 3) == (1, 2, 3)
    assert edited_levels(POOLINGS["index"], 1) == (1,)
    assert edited_levels(POOLINGS["haar-sum"], 4) == (1, 2, 3, 4)
    assert edited_levels(POOLINGS["haar-cat5"], 3) == (1, 2, 3)


def test_a_foreign_or_damaged_state_is_refused(encoder, folder, held_out, tmp_path):
    path, paths = tmp_path / "relu1_1.state", pictures_in(folder)

    def train(level):
        recipe = Recipe(level=level, edited=(level,), steps=0, plain=1, transformed=0, side=32)
        list(
            train_decoder(
                encoder, NearestPooling(), recipe, paths, paths, held_out, path,
                device=CPU, precision=torch.float32, workers=0,
            )
        )  # fmt: skip

    train(1)
    with pytest.raises(CheckpointError, match="trains relu1_1, not relu2_1"):
        train(2)
    path.write_bytes(path.read_bytes()[:99])
    with pytest.raises(CheckpointError, match="not a readable training state"):
        train(1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": [6], "steps": [1]}, "level 6 is unknown"),
        ({"steps": [1, 2, 3]}, "3 numbers of steps for 2 levels"),
        ({"side": 40}, "side 40"),
        ({"plain": 0}, "plain 0 is out of range"),
        ({"transformed_from": 2.0}, "transformed-from lies in"),
        ({"disguised": 1.5}, "disguised 1.5 is out of range; it is a share of the plain crops, two at least, 0 … 1"),
        ({"disguised": 0.5, "plain": 1}, "disguised 0.5 is out of range"),
        ({"disguised": 0.5}, "disguised is for poolings that keep features, haar-cat5 alone; nearest keeps none"),
    ],
)
def test_a_bad_plan_is_refused(folder, tmp_path, changes, message):
    with pytest.raises(OptionError, match=message):
        plan(folder, tmp_path, **changes)


def test_decoders_are_not_trained_on_a_device_without_float64(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(OptionError, match="which device mps lacks; use --device cpu"):
        plan(folder, tmp_path, device="mps")


@pytest.mark.parametrize(
    ("options", "takers"),
    [(DecoderTraining, (Plan.of, Recipe)), (FeedForwardTraining, (FeedForwardPlan,))],
)
def test_the_command_line_has_the_usual_values_of_the_trainers(options, takers):
    usual = {name: p.default for taker in takers for name, p in signature(taker).parameters.items()}
    assert {field.name: field.default for field in fields(options)}.items() <= usual.items()


def test_every_fiftieth_picture_is_measured_on(tmp_path):
    found = [tmp_path / f"{number:03d}.jpg" for number in range(101)]
    kept, rest = held_out_of(found)
    assert kept == [found[0], found[50], found[100]]
    assert rest == found[1:50] + found[51:100]
    assert held_out_of(found[:1]) == (found[:1], [])


def test_the_output_lies_outside_of_what_is_learned_from(folder, tmp_path):
    with pytest.raises(OptionError, match="lies in .*, which is learned from; choose another folder"):
        plan(folder, folder / "out")
    with Pillow.open(PICTURES / "chelsea-cat.jpg") as picture:
        picture.save(tmp_path / "cat.png")
    with pytest.raises(OptionError, match="lies in .*, which is learned from"):
        plan(folder, tmp_path, styles=tmp_path)


def test_processes_that_read_ahead_leave_ctrl_c_to_their_reader(folder, capfd):
    before = set(multiprocessing.active_children())
    with stoppable():
        batches = stream(Batches(pictures_in(folder), (), 32, 1, 0, 0), 0, 100, 1)
        next(batches)
        (worker,) = set(multiprocessing.active_children()) - before
        os.kill(worker.pid, signal.SIGINT)
        for _ in range(6):  # more than it had made ahead
            next(batches)
        assert worker.is_alive()
        batches.close()
    assert "Traceback" not in capfd.readouterr().err


def test_the_warm_start_leaves_no_process_behind(encoder, folder, held_out, tmp_path):
    recipe = Recipe(level=1, edited=(1,), steps=0, plain=1, transformed=0, side=32)
    paths, before = pictures_in(folder), set(multiprocessing.active_children())
    events = train_decoder(
        encoder, NearestPooling(), recipe, paths, paths, held_out, tmp_path / "relu1_1.state",
        device=CPU, precision=torch.float32, workers=1,
    )  # fmt: skip
    reports = (event for event in events if isinstance(event, Report))
    working = {report.phase: set(multiprocessing.active_children()) - before for report in reports}
    assert (len(working["warm start"]), len(working["measure"])) == (1, 0)


def test_the_commit_is_that_of_the_sources_alone(tmp_path):
    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)

    installed = tmp_path / "venv" / "site-packages" / "universal_style"
    for package in (tmp_path / "universal_style", installed):
        package.mkdir(parents=True)
    assert run_module.source_commit(installed) == "unknown"
    git("init")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--allow-empty", "-m", "somebody else's")
    assert len(run_module.source_commit(tmp_path / "universal_style")) == 12
    assert run_module.source_commit(installed) == "unknown"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_cannot_be_read_is_told_in_one_line(tmp_path, workers):
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    with pytest.raises(InputError) as told:
        next(stream(Batches([bad], [], 32, 1, 0, 0), 0, 2, workers))
    assert str(told.value).startswith(f"{bad} cannot be read as a picture (")
    assert str(told.value).endswith("); remove it from the training folder")
    assert "Traceback" not in str(told.value)


def test_programs_and_bombs_are_no_pictures_to_learn_from(tmp_path, monkeypatch):
    bad = tmp_path / "bad.jpg"
    Pillow.new("RGB", (8, 8)).save(bad, "EPS")
    with pytest.raises(InputError, match="cannot identify image file"):
        read_rgb(bad)
    Pillow.new("RGB", (64, 64)).save(bad, "JPEG")
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match=r"decompression bomb.*; remove it from the training folder"):
        read_rgb(bad)


def test_a_folder_without_pictures_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="no picture in"):
        plan(tmp_path, tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        plan(tmp_path / "no", tmp_path)
    (tmp_path / "bad.jpg").write_text("no picture")
    with pytest.raises(InputError, match="remove it from the training folder"):
        Batches(pictures_in(tmp_path), [], 32, 1, 0, 0)[0]
