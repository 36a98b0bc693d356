import math

import numpy as np
import played_mps
import pytest
import torch
from PIL import Image as Pillow
from torch.nn import functional
from torchvision.models import vgg19

from universal_style.drivers.whole import drive
from universal_style.errors import InputError, OptionError, UniversalStyleError
from universal_style.images import Image
from universal_style.methods import method_named
from universal_style.methods.beginnings import INITS, Beginning, from_recolored
from universal_style.methods.descent import Phase
from universal_style.networks.checkpoints import bundled_folder, load_encoder
from universal_style.networks.layers import Layers, layer_names
from universal_style.networks.pooling import AveragePooling, NearestPooling
from universal_style.networks.torchvision_encoder import DEVIATION, MEAN, encoder_of
from universal_style.networks.vgg import stride_at
from universal_style.reference.descent import LBFGS, OPTIMIZERS, Adam, descend
from universal_style.reference.losses import (
    ContentTerm,
    Energy,
    GramAim,
    RegionWeights,
    StyleTerm,
    columns_of,
    photorealism,
    squared_norm,
    total_variation,
)
from universal_style.request import Request
from universal_style.smoothing.affinity import Affinity
from universal_style.styles import Style
from universal_style.stylizer import Stylizer


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(bundled_folder())[0]


@pytest.fixture(scope="module")
def gatys():
    return Stylizer("gatys", device="cpu")


@pytest.fixture(scope="module")
def small():
    """A content and a style of 64×48 pixels."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:48, :64] / 48
    content = np.stack([x, y, (np.hypot(x - 0.6, y - 0.5) < 0.3)], axis=-1) * 0.8
    style = np.clip(0.5 + 0.3 * np.sin(25 * (x + y))[:, :, None] * [1, 0.2, -1] + 0.05 * rng.random((48, 64, 3)), 0, 1)
    return tuple(Pillow.fromarray((255 * picture).astype(np.uint8)) for picture in (content, style))


def random(*shape):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def stripes(*shape):
    """Weights of two regions that share a few columns."""
    left = torch.linspace(1.5, -0.5, shape[-1]).clamp(0, 1).expand(shape)
    return torch.stack([left, 1 - left])


# Losses


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_a_style_loss_is_the_same_under_autocast(precision):
    features = 100 * torch.rand(1, 8, 40, 40)  # whose sums of squares are far beyond half precision
    region = RegionWeights.of(torch.ones(40, 40))
    gram = torch.eye(8)
    term = StyleTerm(1.0, [GramAim(region, 1.0, gram, squared_norm(gram))])
    results = []
    for enabled in (False, True):
        leaf = features.clone().requires_grad_(True)
        with torch.autocast("cpu", precision, enabled=enabled):
            passed, loss = term.tap(leaf)
        (loss + 0 * passed.sum()).backward()
        results.append((loss.detach(), leaf.grad))
    assert torch.isfinite(results[1][0])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_the_gram_of_one_region_is_that_of_all_columns():
    columns = columns_of(random(2, 3, 5, 7))
    assert columns.shape == (2, 35, 3)
    gram = RegionWeights.of(torch.ones(5, 7)).second_moment(columns[1])
    torch.testing.assert_close(gram, columns[1].T @ columns[1] / 35)
    torch.testing.assert_close(columns[0, 8], random(2, 3, 5, 7)[0, :, 1, 1])


@pytest.mark.parametrize("margin", [1, 8], ids=["few", "many"])
def test_columns_that_a_picture_was_grown_by_do_not_count(margin):
    shares = functional.pad(torch.ones(20, 20), (0, margin, 0, margin))
    region = RegionWeights.of(shares)
    assert bool(region.everywhere) == (margin == 1)
    (columns,) = columns_of(random(1, 3, 20 + margin, 20 + margin))
    counted = columns[shares.flatten() > 0]
    torch.testing.assert_close(region.second_moment(columns), counted.T @ counted / 400)
    sums, matrix = torch.zeros_like(columns), random(3, 3)
    region.add_product(sums, columns, matrix)
    torch.testing.assert_close(sums[shares.flatten() > 0], counted @ matrix / 400)
    assert sums[shares.flatten() == 0].abs().max() < 1e-9


def test_the_grams_of_regions_add_up_to_that_of_all_columns():
    columns, shares = columns_of(random(1, 3, 6, 8))[0], stripes(6, 8)
    grams = [RegionWeights.of(share).second_moment(columns) for share in shares]
    areas = shares.sum(dim=(1, 2)).double()
    whole = RegionWeights.of(torch.ones(6, 8)).second_moment(columns)
    torch.testing.assert_close(sum(g * a for g, a in zip(grams, areas, strict=True)) / 48, whole)


def style_term(shares):
    aims = [
        GramAim(RegionWeights.of(share), 0.4, gram, torch.tensor(0.5))
        for share, gram in zip(shares, (g + g.T for g in random(2, 3, 3)), strict=False)
    ]
    return StyleTerm(0.7, aims)


def by_regions(features):
    passed, loss = style_term(stripes(6, 8)).tap(features)
    return passed * 2, loss


def as_a_whole(features):
    passed, loss = style_term(torch.ones(1, 6, 8)).tap(features)
    return passed.square(), loss


def of_grown_features(features):
    return style_term(functional.pad(stripes(5, 7), (0, 1, 0, 1))).tap(features)


def of_grown_features_as_a_whole(features):
    shares = functional.pad(torch.ones(1, 5, 7), (0, 1, 0, 1))
    return style_term(shares).tap(features.contiguous(memory_format=torch.channels_last))


def content_term(features):
    return ContentTerm(0.3, random(1, 3, 6, 8).flip(3)).tap(features)[1]


def realism(features):
    return photorealism(features, Affinity.of(random(3, 6, 8).float(), 1e-3))


LOSSES = [
    by_regions,
    as_a_whole,
    of_grown_features,
    of_grown_features_as_a_whole,
    content_term,
    total_variation,
    realism,
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_the_gradient_of_a_loss_is_that_of_finite_differences(loss):
    assert torch.autograd.gradcheck(loss, random(1, 3, 6, 8).requires_grad_())


def test_the_gradient_through_the_encoder_is_that_of_finite_differences(encoder):
    doubled = load_encoder(bundled_folder())[0].double()
    layers = Layers(doubled, AveragePooling(), frozenset({"relu2_1", "relu2_2"}))
    wanted = random(128, 128)
    aim = GramAim(RegionWeights.of(torch.ones(8, 8)), 1.0, wanted + wanted.T, torch.tensor(1.0))
    style = {layers.site("relu2_1"): StyleTerm(1.0, [aim])}
    content = {layers.site("relu2_2"): ContentTerm(1.0, random(1, 128, 8, 8))}
    affinity = Affinity.of(random(3, 16, 16).float(), 1e-2)
    energy = Energy(layers, style, content, 0.1, affinity, 0.1)

    def total(pixels):
        return torch.stack(list(energy(pixels).values())).sum()

    pixels, direction, step = random(1, 3, 16, 16).requires_grad_(), random(1, 3, 16, 16) - 0.5, 1e-6
    (gradient,) = torch.autograd.grad(total(pixels), pixels)
    with torch.no_grad():
        slope = (total(pixels + step * direction) - total(pixels - step * direction)) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-4)


def test_photorealism_is_the_quadratic_form_of_the_laplacian():
    guide = random(3, 5, 6).float()
    affinity = Affinity.of(guide, 1e-4)
    dense = affinity.laplacian(torch.eye(30).reshape(30, 5, 6)).reshape(30, 30)
    pixels = random(1, 3, 5, 6).float()
    planes = pixels[0].reshape(3, 30)
    expected = torch.einsum("ci,ij,cj->", planes, dense, planes) / 30
    torch.testing.assert_close(photorealism(pixels, affinity), expected, rtol=1e-3, atol=1e-4)


def test_recoloured_content_is_photorealistic_and_noise_is_not():
    guide = random(3, 12, 12).float()
    affinity = Affinity.of(guide, 1e-7)
    recoloured = torch.einsum("dc,chw->dhw", torch.tensor([[0.2, 0.5, 0], [0, 0.3, 0.1], [0.4, 0, 0.4]]), guide) + 0.1
    assert float(photorealism(recoloured[None], affinity)) < 1e-3
    assert float(photorealism(guide.flip(1)[None], affinity)) > 0.1


def test_flat_pictures_have_no_variation():
    assert float(total_variation(torch.full((1, 3, 5, 5), 0.3))) == 0
    step = torch.zeros(1, 3, 2, 2)
    step[:, :, 1] = 1
    assert float(total_variation(step)) == pytest.approx(0.5)


# Layers


def keeper(seen):
    def keep(site, features):
        seen[site.key] = features
        return features

    return keep


def test_a_walk_over_layers_goes_on_with_what_it_is_sent(encoder):
    layers, seen = Layers(encoder, NearestPooling(), frozenset({"relu1_1", "relu1_2", "relu2_1"})), {}
    drive(
        layers.walk(torch.rand(1, 3, 16, 16)), lambda site, f: seen.setdefault(site.name, f * (site.name == "relu1_2"))
    )
    assert float(seen["relu1_2"].max()) == float(encoder.blocks[1].conv1_2.bias.relu().max())  # from zeros


def test_layers_give_what_the_ascent_gives(encoder, small):
    pixels = Image.of(small[0]).tensor()
    seen = {}
    drive(Layers(encoder, NearestPooling(), frozenset(layer_names())).walk(pixels), keeper(seen))
    assert list(seen) == [f"max/{name}" for name in layer_names()]
    for level, features in encoder.ascend(pixels, NearestPooling()):
        assert torch.equal(seen[f"max/relu{level}_1"], features)
    assert seen["max/relu4_2"].shape[2] == 48 // stride_at(4)


def test_an_encoder_of_torchvision_gives_its_features_away_from_the_border():
    torch.manual_seed(0)
    network = vgg19(weights=None).features.eval()
    encoder = encoder_of(network)
    pixels = torch.rand(1, 3, 96, 96)
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    with torch.no_grad():
        expected = network[:11]((pixels - mean) / deviation).relu()  # conv3_1
    layers = Layers(encoder, NearestPooling(), frozenset({"relu3_1"}))
    seen = {}
    drive(layers.walk(pixels), keeper(seen))
    features = seen["torchvision-max/relu3_1"]
    inner = slice(6, -6)
    torch.testing.assert_close(
        features[:, :, inner, inner], expected[:, :, inner, inner], rtol=1e-3, atol=1e-5 * float(expected.max())
    )


# Descent


def quadratic(pixels):
    return {"loss": ((pixels - 0.25) ** 2 * torch.arange(1.0, 13).reshape(1, 3, 2, 2)).sum()}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_descent_finds_the_bottom(name):
    iterates = [
        (i.number, sum(i.losses.values())) for i in descend(torch.ones(1, 3, 2, 2), quadratic, OPTIMIZERS[name], 90)
    ]
    assert [number for number, _ in iterates] == list(range(1, 91))
    assert iterates[0][1] == pytest.approx(0.75**2 * 78)
    assert iterates[-1][1] < 1e-3 * iterates[0][1]


def test_adams_rate_drops_late():
    adam = Adam(0.1, 0.5, 0.01)
    assert (adam.rate(0.49), adam.rate(0.5)) == (0.1, 0.001)


def test_a_descent_that_diverges_says_so():
    def broken(pixels):
        return {"loss": (pixels * float("inf")).sum()}

    with pytest.raises(UniversalStyleError, match="diverged at iteration 1"):
        list(descend(torch.ones(1, 3, 2, 2), broken, LBFGS(), 3))


def test_no_pixel_goes_further_than_its_range_in_a_step():
    def nearly_linear(pixels):
        return {"far": (1 + pixels.square()).sqrt().sum()}

    def way(optimizer):
        start = torch.full((1, 3, 2, 2), 5.0)
        return torch.cat([start, *(step.pixels.clone() for step in descend(start, nearly_linear, optimizer, 20))])

    assert way(LBFGS(farthest=math.inf)).diff(dim=0).abs().max() > 10
    assert way(LBFGS()).diff(dim=0).abs().max() < 1.001
    assert way(LBFGS())[-1].abs().max() < 0.01


# Methods


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_losses_fall(gatys, small, optimizer):
    _, report = gatys.run(*small, iterations=25, optimizer=optimizer, tv_weight=0.1)
    first, last = report.trace[0], report.trace[-1]
    assert last["style"] < 0.5 * first["style"]
    assert sum(last[t] for t in ("style", "content", "tv")) < sum(first[t] for t in ("style", "content", "tv"))
    assert report.options["optimizer"] == optimizer
    assert list(report.checkpoints) == ["encoder-vgg19-normalised.safetensors"]


def test_same_seed_same_picture(gatys, small):
    one, same, other = (np.asarray(gatys.transfer(*small, iterations=3, init="noise", seed=s)) for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("init", INITS)
def test_every_beginning_comes_nearer_to_the_style(gatys, small, init):
    _, report = gatys.run(*small, iterations=12, init=init)
    first, last = report.trace[0], report.trace[-1]
    assert last["style"] + last["content"] < first["style"] + first["content"]
    assert (first["content" if init == "content" else "style"] < 1e-6) == (init in ("content", "style"))


def test_a_recoloured_beginning_has_the_colours_of_each_region(gatys, small):
    content, style = small
    masks = [Pillow.new("L", picture.size) for picture in small]
    for mask in masks:
        mask.paste(255, (0, 0, mask.width // 2, mask.height))

    def begun(*styles, **options):
        _, _, task = gatys.prepare(content, *styles, init="recolored", **options)
        return from_recolored(Beginning(gatys.loaded, task, task.pixels, 1.0))[0]

    wanted = torch.from_numpy(np.asarray(style) / 255).permute(2, 0, 1)
    whole = begun(style)
    torch.testing.assert_close(whole.mean((1, 2)).double(), wanted.mean((1, 2)), atol=0.03, rtol=0)
    halves = begun(style, content_mask=masks[0], style_masks=[masks[1]])
    for given, goal in zip(halves.chunk(2, dim=2), wanted.chunk(2, dim=2), strict=True):
        torch.testing.assert_close(given.mean((1, 2)).double(), goal.mean((1, 2)), atol=0.06, rtol=0)
    with pytest.raises(InputError, match="is a preset, which has no colours; use --init content or noise"):
        begun(gatys.observe(style))


def test_content_weight_keeps_the_content(gatys, small):
    content = np.asarray(small[0], dtype=float)
    free, held = (np.asarray(gatys.transfer(*small, iterations=15, content_weight=w), dtype=float) for w in (0, 100))
    assert np.abs(held - content).mean() < 0.7 * np.abs(free - content).mean()


def test_scales_run_from_coarse_to_fine(gatys, small):
    _, report = gatys.run(*small, iterations=2, scales=3)
    assert [point["scale"] for point in report.trace] == [0.25, 0.25, 0.5, 0.5, 1, 1]


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (37, 21)])
def test_any_size_comes_out_as_it_went_in(gatys, small, size):
    assert gatys.transfer(small[0].resize(size), small[1], iterations=2).size == size


def test_deep_photo_adds_photorealism_in_a_second_phase(small):
    deep = Stylizer("deep-photo", device="cpu")
    _, report = deep.run(*small, iterations=20, scales=1)
    assert ["photorealism" in point for point in report.trace] == [False] * 20 + [True] * 20
    assert report.trace[-1]["photorealism"] < 0.7 * report.trace[20]["photorealism"]
    assert deep.transfer(small[0].resize((2, 2)), small[1], iterations=1).size == (2, 2)


def test_the_affinity_is_built_beside_a_device_without_float64(small, monkeypatch):
    deep = Stylizer("deep-photo", device="cpu", dtype="float32")
    _, request, task = deep.prepare(*small, iterations=1, scales=1)
    expected = request.recipe.energy(deep.loaded, task, task.pixels, Phase(1.0, 1.0)).affinity
    played_mps.play(monkeypatch)
    found = request.recipe.energy(deep.loaded, task, task.pixels.to("mps"), Phase(1.0, 1.0)).affinity
    assert (found.planes.device.type, found.degrees.device.type) == ("mps", "mps")
    assert torch.equal(found.planes.to("cpu"), expected.planes)


def test_regions_take_the_style_of_their_counterparts(gatys, small):
    grey = Pillow.new("RGB", (64, 64), (128, 128, 128))
    mask, style = (np.zeros((64, 64, 3), np.uint8) for _ in range(2))
    mask[:, :32], style[:, :32] = (255, 0, 0), (200, 40, 40)
    mask[:, 32:], style[:, 32:] = (0, 0, 255), (40, 40, 200)
    shallow = ["relu1_1", "relu2_1"]  # deeper columns see both sides of so small a picture
    result, report = gatys.run(
        grey,
        style,
        content_mask=mask[:, ::-1].copy(),
        style_masks=[mask],
        style_layers=shallow,
        iterations=40,
        content_weight=0,
    )
    left, right = result.pixels[:, :24].mean(axis=(0, 1)), result.pixels[:, 40:].mean(axis=(0, 1))
    assert left[2] > left[0] + 0.1
    assert right[0] > right[2] + 0.1
    assert len(report.regions) == 2


def test_a_region_that_keeps_is_left_alone(gatys, small):
    mask = np.zeros((48, 64, 3), np.uint8)
    mask[:, 32:] = (0, 0, 255)
    alone = np.zeros((48, 64, 3), np.uint8)  # the style lacks the blue region
    result = gatys.run(
        *small, content_mask=mask, style_masks=[alone], missing="keep", iterations=10, style_layers=["relu1_1"]
    )[0]
    change = np.abs(result.pixels - np.asarray(small[0]) / 255).mean(axis=(0, 2))
    assert change[40:].mean() < 0.2 * change[:24].mean()


def test_what_a_region_keeps_beside_other_styles_is_its_own_gram(gatys, small):
    mask = np.zeros((48, 64, 3), np.uint8)
    mask[:, 32:] = (0, 0, 255)
    alone = np.zeros((48, 64, 3), np.uint8)  # the first style lacks the blue region
    masks = {"content_mask": mask, "style_masks": [alone, mask], "missing": "keep", "style_layers": ["relu1_1"]}
    # with the content itself for the second style, all that is wanted of the blue region is there already
    _, request, task = gatys.prepare(small[0], small[1], small[0], **masks, style_weights=[0.6, 0.4])
    energy = request.recipe.energy(gatys.loaded, task, task.pixels, Phase(1.0, 0.0))
    (term,) = energy.style.values()
    _, features = next(energy.layers.walk(task.pixels))
    seen = columns_of(features)[0]
    gaps = [float((aim.gram - aim.region.second_moment(seen)).norm() / aim.norm.sqrt()) for aim in term.aims]
    assert gaps[0] > 0.1
    assert gaps[1] < 1e-3


def test_styles_are_weighed(gatys, small):
    red, blue = (Pillow.new("RGB", (64, 48), colour) for colour in ("red", "blue"))
    options = {"iterations": 15, "content_weight": 0.0}
    only = np.asarray(gatys.transfer(small[0], red, iterations=15, content_weight=0))
    same = np.asarray(gatys.transfer(small[0], red, blue, style_weights=[1, 0], **options))
    assert np.array_equal(only, same)


def test_a_preset_stands_for_its_picture(gatys, small, tmp_path):
    Style.from_images(small[1], device="cpu", dtype="float32").save(tmp_path / "style.safetensors")
    preset = tmp_path / "style.safetensors"
    one, other = (
        np.asarray(gatys.transfer(small[0], s, iterations=3, scales=1), dtype=float) for s in (small[1], preset)
    )
    assert np.abs(one - other).max() <= 3
    with pytest.raises(InputError, match=r"holds no moments of max/relu4_2"):
        gatys.transfer(small[0], preset, style_layers=["relu4_2"])
    with pytest.raises(InputError, match="is a preset, which shows nothing"):
        gatys.transfer(small[0], preset, init="style")


def test_average_pooling_and_layers_change_the_result(gatys, small):
    plain = np.asarray(gatys.transfer(*small, iterations=4))
    for options in (
        {"pooling": "average"},
        {"style_layers": {"relu1_1": 2, "relu3_2": 1}},
        {"content_layers": ["relu2_2"]},
    ):
        assert not np.array_equal(plain, np.asarray(gatys.transfer(*small, iterations=4, **options)))


def test_a_preview_is_written_on_the_way(gatys, small, tmp_path):
    told = []
    path = tmp_path / "preview.png"
    gatys.run(*small, iterations=4, preview=path, preview_every=4, progress=lambda *event: told.append(event))
    with Pillow.open(path) as preview:
        assert preview.size == small[0].size
    assert "64×48, iteration 4 of 4, loss" in told[-3][0]
    assert told[-1][1] == told[-1][2]
    assert [done for _, done, _ in told] == list(range(len(told)))


def test_the_encoder_of_torchvision_is_asked_for_in_one_line_where_it_cannot_be_fetched(gatys, small, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models.vgg19", refuse)
    with pytest.raises(InputError, match="use --encoder bundled"):
        gatys.transfer(*small, encoder="torchvision", iterations=1)


def test_the_encoder_of_torchvision_serves(small, monkeypatch):
    torch.manual_seed(0)
    network = vgg19(weights=None)
    monkeypatch.setattr("torchvision.models.vgg19", lambda **_: network)
    _, report = Stylizer("gatys", device="cpu").run(*small, encoder="torchvision", iterations=8)
    assert report.trace[-1]["style"] < report.trace[0]["style"]
    assert not report.checkpoints


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.5}, "method gatys has no option alpha; its own are iterations"),
        ({"iterations": 0}, "iterations 0 is out of range"),
        ({"scales": -1}, "scales -1 is out of range"),
        ({"preview_every": 0}, "preview-every 0 is out of range"),
        ({"optimizer": "sgd"}, "optimizer 'sgd' is unknown"),
        ({"init": "dream"}, "init 'dream' is unknown"),
        ({"pooling": "median"}, "pooling 'median' is unknown"),
        ({"encoder": "resnet"}, "encoder 'resnet' is unknown"),
        ({"style_layers": []}, "style-layers names no layer"),
        ({"style_layers": ["relu6_1"]}, "layer 'relu6_1' is unknown"),
        ({"content_layers": {"relu4_2": -1.0}}, "at least 0 and not all 0"),
        ({"content_weight": float("nan")}, "content-weight nan is out of range"),
        ({"tv_weight": -1}, "tv-weight -1 is out of range"),
        ({"photorealism_weight": float("inf")}, "photorealism-weight inf is out of range"),
        ({"preview": "preview.xyz"}, "suffix '.xyz'"),
    ],
)
def test_a_bad_option_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        Request.of(method_named("gatys"), **options)
