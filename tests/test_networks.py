import json
import shutil
import subprocess
import sys

import pytest
import torch
from pin_features import FILE, pinned_picture, summary
from torch.nn import functional

from universal_style.drivers.whole import drive
from universal_style.errors import CheckpointError
from universal_style.methods.stages import Progressive
from universal_style.networks import bands, convert
from universal_style.networks.borders import INWARD, Framed
from universal_style.networks.checkpoints import (
    bundled_folder,
    decoder_name,
    listed_names,
    load_decoder,
    load_encoder,
    read_checkpoint,
    write_checkpoint,
)
from universal_style.networks.convolution import ReflectionConvolution
from universal_style.networks.decoder import Decoder
from universal_style.networks.layers import Layers, layer_names
from universal_style.networks.pooling import (
    POOLINGS,
    AveragePooling,
    HaarCat5Pooling,
    HaarSumPooling,
    IndexPooling,
    NearestPooling,
    doubled,
    haar_analysis,
    haar_synthesis,
)
from universal_style.networks.stage import Stage, climb, encoder_site, to_precision
from universal_style.networks.vgg import LEVELS, Encoder, block_convolutions, channels_at, convolutions, stride_at


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(bundled_folder())[0]


def test_topology_is_vgg_19():
    assert len(convolutions()) == 13
    assert block_convolutions(1) == ["conv1_1"]
    assert block_convolutions(4) == ["conv3_2", "conv3_3", "conv3_4", "conv4_1"]
    assert [channels_at(level) for level in LEVELS] == [64, 128, 256, 512, 512]
    assert [stride_at(level) for level in LEVELS] == [1, 2, 4, 8, 16]


def test_encoder_gives_the_features_of_the_published_float32_numbers(encoder):
    pinned, found = json.loads(FILE.read_text()), summary(encoder)
    for site, values in pinned.items():
        scale = sum(abs(v) for v in values["channel_means"]) / len(values["channel_means"])
        for key, value in values.items():
            assert found[site][key] == pytest.approx(value, rel=1e-3, abs=5e-3 * scale), (site, key)


def test_activations_are_normalised(encoder):
    for level, features in encoder.ascend(pinned_picture(), NearestPooling()):
        assert 0.1 < features.mean() < 3, level


@pytest.mark.parametrize("pooling", POOLINGS.values(), ids=POOLINGS)
@pytest.mark.parametrize("level", LEVELS)
def test_a_mirror_decoder_gives_the_size_back(encoder, level, pooling):
    asked = encoder_site(level, pooling)
    stage = Stage(encoder, Decoder(level, pooling.widening), pooling, frozenset({asked}))
    pixels = torch.rand(1, 3, 64, 32)
    walk = stage.walk(pixels)
    site, features = next(walk)
    assert site == asked
    assert features.shape == (1, channels_at(level), 64 // stage.stride, 32 // stage.stride)
    with pytest.raises(StopIteration) as end:
        walk.send(features)
    assert end.value.value.shape == pixels.shape


def test_a_walk_goes_on_with_what_it_is_sent(encoder):
    seen = []
    walk = climb(encoder, NearestPooling(), torch.rand(1, 3, 32, 32), 3)
    site, features = next(walk)
    for _ in range(2):
        seen.append((site.name, float(features.abs().max())))
        site, features = walk.send(torch.zeros_like(features))
    seen.append((site.name, float(features.abs().max())))
    with pytest.raises(StopIteration):
        walk.send(features)
    assert [name for name, _ in seen] == ["relu1_1", "relu2_1", "relu3_1"]
    assert seen[0][1] > 0
    quiet = encoder.blocks[1](torch.zeros(1, 64, 32, 32), NearestPooling(), [])
    assert seen[1][1] == pytest.approx(float(quiet.abs().max()), rel=1e-4)


def test_doubled_features_are_convolved_in_bfloat16_without_a_checkerboard():
    layer = ReflectionConvolution(48, 24).requires_grad_(False)
    features = 10 * torch.rand(1, 48, 8, 8).bfloat16()
    exact = layer(doubled(features.float())).relu()
    layer.to(torch.bfloat16)
    found = NearestPooling().up_and_activate(features, (), layer)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), exact, rtol=0.02, atol=0.05)
    flat = NearestPooling().up_and_activate(features[..., :1, :1].expand_as(features), (), layer)
    assert torch.equal(flat, flat[..., :1, :1].expand_as(flat))


@pytest.mark.parametrize("pooling", [*POOLINGS.values(), AveragePooling()], ids=lambda pooling: pooling.name)
def test_features_are_activated_and_halved_as_one_after_the_other(pooling):
    layer, given = ReflectionConvolution(6, 8), torch.randn(2, 6, 12, 10, requires_grad=True)
    halved, kept = pooling.activate_and_down(given, layer)
    wanted, wanted_kept = pooling.down(layer(given).relu())
    assert torch.equal(halved, wanted)
    assert len(kept) == len(wanted_kept)
    assert all(map(torch.equal, kept, wanted_kept))
    found, exact = (torch.autograd.grad(answer.square().sum(), given)[0] for answer in (halved, wanted))
    torch.testing.assert_close(found, exact)


@pytest.mark.parametrize("pooling", [NearestPooling(), AveragePooling()])
def test_layers_that_are_wanted_are_seen_and_change_nothing(encoder, pooling):
    pixels = torch.rand(1, 3, 32, 48)
    with torch.inference_mode():
        seen = []
        for names in (frozenset(layer_names()), frozenset({"relu2_1", "relu3_4", "relu4_1"})):
            layers = Layers(encoder, pooling, names)
            found = {}
            drive(
                layers.walk(pixels), lambda site, features, found=found: found.setdefault(site.name, features.clone())
            )
            seen.append(found)
    every, some = seen
    assert list(every) == layer_names()
    assert list(some) == ["relu2_1", "relu3_4", "relu4_1"]
    for name, features in some.items():
        assert torch.equal(features, every[name])
    exact = dict(encoder.ascend(pixels, pooling, 4))
    assert torch.equal(some["relu4_1"], exact[4])


@pytest.mark.parametrize("mode", INWARD)
@pytest.mark.parametrize("size", [(2, 2), (3, 7), (16, 9)])
def test_a_frame_by_copies_is_the_padding(mode, size):
    features = torch.randn(2, 3, *size, dtype=torch.float64).to(memory_format=torch.channels_last).requires_grad_()
    framed = Framed.apply(features, INWARD[mode], torch.float64)
    assert torch.equal(framed, functional.pad(features, (1, 1, 1, 1), mode=mode))
    assert framed.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(framed.float(), Framed.apply(features, INWARD[mode], torch.float32))
    assert torch.autograd.gradcheck(lambda given: Framed.apply(given, INWARD[mode], torch.float64), features)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("pooling", POOLINGS.values(), ids=POOLINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_stage_gives_the_same_on_a_graphics_card(pooling, dtype):
    decoder = Decoder(3, pooling.widening).requires_grad_(False)
    encoder = Encoder(3)
    pixels, found = torch.rand(1, 3, 64, 48), {}
    for device, precision in (("cpu", torch.float32), ("cuda", dtype)):
        for network in (encoder, decoder):
            to_precision(network, torch.device(device), precision)
        with torch.inference_mode():
            kept: list[tuple[torch.Tensor, ...]] = []
            *_, (_, features) = encoder.ascend(pixels.to(device), pooling, 3, kept)
            found[device] = features.float().cpu(), decoder(features, kept, pooling).float().cpu()
    for on_card, exact in zip(found["cuda"], found["cpu"], strict=True):
        assert (on_card - exact).norm() <= 4e-3 * exact.norm()


def test_haar_synthesis_inverts_analysis():
    features = torch.randn(2, 5, 12, 8)
    bands = haar_analysis(features)
    assert all(band.shape == (2, 5, 6, 4) for band in bands)
    torch.testing.assert_close(haar_synthesis(*bands), features)
    energy = sum(band.square().sum() for band in bands)
    torch.testing.assert_close(energy, features.square().sum())  # orthonormal
    flat = haar_analysis(torch.ones(1, 1, 4, 4))
    assert [float(band.abs().max()) for band in flat] == [2, 0, 0, 0]
    rows = torch.tensor([[0.0, 0.0], [1.0, 1.0]])[None, None]
    assert [float(band) for band in haar_analysis(rows)] == [1, 0, 1, 0]  # vertical change is the HL band


def test_haar_synthesis_has_the_gradient_of_the_analysis():
    for layout in (torch.channels_last, torch.contiguous_format):
        given = [torch.rand(2, 3, 2, 3, dtype=torch.float64).contiguous(memory_format=layout) for _ in range(4)]
        bands = [band.requires_grad_() for band in given]
        assert torch.autograd.gradcheck(haar_synthesis, bands)
        assert haar_synthesis(*bands).is_contiguous(memory_format=layout)


def test_summed_bands_give_the_features_back():
    features = torch.randn(1, 3, 8, 6)
    torch.testing.assert_close(HaarSumPooling().up(*HaarSumPooling().down(features)), features)


def test_concatenated_bands_sum_to_the_features_and_stand_beside_them():
    features = torch.randn(1, 3, 8, 6)
    *bands, before = HaarCat5Pooling().up(*HaarCat5Pooling().down(features)).split(3, dim=1)
    assert len(bands) == 4
    assert torch.equal(before, features)
    torch.testing.assert_close(sum(bands), features)


def test_unpooling_puts_maxima_back_where_they_were():
    features = torch.randperm(4 * 6 * 8).view(1, 4, 6, 8) + 1.0  # whole numbers to 256 are exact in bfloat16
    pooled, kept = IndexPooling().down(features)
    back = IndexPooling().up(pooled, kept)
    largest = torch.nn.functional.interpolate(pooled, scale_factor=2)
    assert torch.equal(back, torch.where(features == largest, features, largest / 2))
    assert (back == largest).sum() == pooled.numel()
    flat, kept = IndexPooling().down(torch.full((1, 1, 2, 2), 3.0))
    assert torch.equal(IndexPooling().up(flat, kept), torch.full((1, 1, 2, 2), 3.0))  # shared maxima fill all


def unpooled(features):
    return IndexPooling().up(*IndexPooling().down(features))


def test_unpooling_fills_the_same_places_in_either_precision():
    torch.manual_seed(0)
    features = torch.rand(1, 3, 64, 64)
    exact, rounded = unpooled(features), unpooled(features.bfloat16()).float()
    assert ((rounded - exact).abs() < exact / 64).float().mean() > 0.99
    torch.testing.assert_close(unpooled(features.half()).float(), exact, rtol=2**-4, atol=1e-3)


def test_unpooling_changes_no_more_than_rounding_does():
    torch.manual_seed(0)
    features = torch.rand(1, 3, 64, 64)
    features[..., 1::2] = features[..., ::2] * (1 - torch.rand(1, 3, 64, 32) / 64)  # some near the maximum
    stirred = features * (1 + 1e-5 * (2 * torch.rand_like(features) - 1))
    torch.testing.assert_close(unpooled(stirred), unpooled(features), rtol=128 * 2e-5 + 1 / 250, atol=0)


def taken(walk, factor=1):
    """Take a walk, features multiplied on the way; give the (site, rows) of its stops and what it returns."""
    stops = []
    try:
        site, features = next(walk)
        while True:
            stops.append((site, features.shape[2]))
            site, features = walk.send(features * factor)
    except StopIteration as end:
        return stops, end.value


@pytest.mark.parametrize("pooling", [HaarSumPooling(), HaarCat5Pooling()], ids=lambda p: p.name)
def test_a_stage_offers_the_sites_that_it_is_asked_for(encoder, pooling):
    plan = Progressive(3)([1, 2, 3], ["encoder", "skip", "decoder"], pooling)[0]
    stage = Stage(encoder, Decoder(3, pooling.widening), pooling, plan.sites)
    stops = taken(stage.walk(torch.rand(1, 3, 32, 32)))[0]
    assert all(rows == 32 // site.stride for site, rows in stops)
    names = [site.name for site, _ in stops]
    assert names == [
        "relu1_1", "pool1_lh", "pool1_hl", "pool1_hh", "relu2_1", "pool2_lh", "pool2_hl", "pool2_hh", "relu3_1",
        "decoder_relu2_1", "decoder_relu1_1",
    ]  # fmt: skip
    assert {site.name for site in plan.sites} == set(names)


def test_concatenation_takes_its_bands_when_they_are_asked_for():
    features = torch.rand(1, 3, 8, 6)
    down, kept = HaarCat5Pooling().down(features)
    average, *details = haar_analysis(features)
    assert torch.equal(down, average)
    assert len(kept) == 1
    whole = HaarCat5Pooling().with_bands(kept)
    assert all(torch.equal(one, other) for one, other in zip(whole, [*details, features], strict=True))
    assert HaarCat5Pooling().with_bands(whole) is whole
    assert torch.equal(HaarCat5Pooling().up(down, kept), HaarCat5Pooling().up(down, whole))


@pytest.mark.parametrize("pooling", [HaarSumPooling(), HaarCat5Pooling()], ids=lambda pooling: pooling.name)
def test_edited_bands_reach_the_decoder(encoder, pooling):
    plan = Progressive(2)([1, 2], ["skip"], pooling)[0]
    stage = Stage(encoder, Decoder(2, pooling.widening), pooling, plan.sites)
    pixels = torch.rand(1, 3, 32, 32)
    whole, without = (taken(stage.walk(pixels), factor)[1] for factor in (1, 0))
    assert not torch.allclose(whole, without)


@pytest.mark.parametrize("level", LEVELS)
def test_bundled_decoders_reconstruct(encoder, level):
    decoder, checkpoint = load_decoder(bundled_folder(), NearestPooling(), level)
    kept, features = [], pinned_picture()
    with torch.no_grad():
        for block in encoder.blocks[:level]:
            features = block(features, NearestPooling(), kept)
        error = (decoder(features, kept, NearestPooling()).clamp(0, 1) - pinned_picture()).square().mean()
    psnr = float(-10 * error.log10())
    assert psnr > {1: 35, 2: 28, 3: 23, 4: 18, 5: 14}[level]
    assert checkpoint.metadata["licence"] == "MIT"
    assert float(checkpoint.metadata["held_out_psnr"]) > 14


def test_every_bundled_file_is_listed_and_sound():
    folder = bundled_folder()
    names = listed_names(folder)
    assert names == sorted(path.stem for path in folder.glob("*.safetensors"))
    for name in names:
        assert read_checkpoint(folder, name).metadata["kind"] in ("encoder", "decoder")


@pytest.fixture
def folder(tmp_path):
    for level in (1, 2):
        metadata = {"kind": "decoder", "pooling": "nearest", "level": str(level)}
        write_checkpoint(tmp_path, decoder_name("nearest", level), Decoder(level).plain(), metadata)
    return tmp_path


def test_a_checkpoint_comes_back(folder):
    decoder, checkpoint = load_decoder(folder, NearestPooling(), 2)
    assert decoder.level == 2
    assert not any(p.requires_grad for p in decoder.parameters())
    assert checkpoint.digest in (folder / "SHA256SUMS").read_text()
    assert not list(folder.glob(".*.partial"))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-7]), "damaged or swapped"),
        (lambda path: path.write_bytes(b""), "damaged or swapped"),
        (lambda path: shutil.copy(path.with_name("decoder-nearest-relu1_1.safetensors"), path), "damaged or swapped"),
        (lambda path: path.with_name("SHA256SUMS").unlink(), "is not listed"),
    ],
    ids=["missing", "cut off", "empty", "swapped", "unlisted"],
)
def test_a_harmed_checkpoint_is_refused(folder, harm, message):
    harm(folder / "decoder-nearest-relu2_1.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_decoder(folder, NearestPooling(), 2)


def test_a_checkpoint_of_another_kind_is_refused(folder):
    metadata = {"kind": "decoder", "pooling": "nearest", "level": "1"}
    write_checkpoint(folder, decoder_name("nearest", 2), Decoder(1).plain(), metadata)
    with pytest.raises(CheckpointError, match="says pooling nearest, level 1"):
        load_decoder(folder, NearestPooling(), 2)
    metadata["level"] = "2"
    write_checkpoint(folder, decoder_name("nearest", 2), Decoder(1).plain(), metadata)
    with pytest.raises(CheckpointError, match="does not hold a relu2_1 decoder"):
        load_decoder(folder, NearestPooling(), 2)


def test_only_the_published_file_is_converted(tmp_path):
    other = tmp_path / "vgg.pth"
    torch.save({}, other)
    with pytest.raises(CheckpointError, match="needed is 804ca2835ecf"):
        convert.read_published(other)


def test_the_folded_first_layer_is_exact(tmp_path, monkeypatch):
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).float()

    stored = {"0.weight": random(3, 3, 1, 1), "0.bias": random(3)}
    for number, (into, out_of) in enumerate(convolutions().values(), start=1):
        stored[f"{number}.weight"], stored[f"{number}.bias"] = random(out_of, into, 3, 3), random(out_of)
    path = tmp_path / "vgg.pth"
    torch.save(stored, path)
    monkeypatch.setattr(convert, "sha256", lambda _: convert.SOURCE_SHA256)
    folded = Encoder(1)
    folded.load_plain(convert.read_published(path))
    pixels = torch.rand(1, 3, 9, 8)
    plain = torch.nn.functional.conv2d(pixels, stored["0.weight"], stored["0.bias"])
    plain = torch.nn.functional.pad(plain, (1, 1, 1, 1), mode="reflect")
    expected = torch.nn.functional.conv2d(plain, stored["1.weight"], stored["1.bias"]).relu()
    torch.testing.assert_close(folded.blocks[0](pixels, NearestPooling(), []), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pooling", POOLINGS.values(), ids=POOLINGS)
def test_a_decoder_comes_to_what_its_steps_say(pooling):
    torch.manual_seed(4)
    decoder = Decoder(3, pooling.widening)
    features, kept = torch.randn(1, 3, 24, 32), [()]
    for _level, channels in ((2, 64), (3, 128)):
        features, more = pooling.down(torch.randn(1, channels, *(side // 1 for side in features.shape[2:])))
        kept.append(more)
    features = torch.randn(1, 256, *features.shape[2:])
    stepped = features
    for block in decoder.blocks:
        *_, (_, stepped) = block.steps(stepped, kept[block.level - 1], pooling)
    torch.testing.assert_close(decoder(features, kept, pooling), stepped, atol=1e-5, rtol=1e-4)


def test_the_topology_is_that_of_torchvision():
    from torchvision.models.vgg import cfgs

    groups, channels = [[]], 3
    for entry in cfgs["E"]:
        if entry == "M":
            groups.append([])
            continue
        groups[-1].append((channels, entry))
        channels = entry
    wanted = [shape for group in groups[:4] for shape in group] + groups[4][:1]
    assert list(convolutions().values()) == wanted


def test_torchvision_is_not_loaded_for_a_transfer():
    script = "import sys, universal_style.stylizer; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("pooling", POOLINGS.values(), ids=POOLINGS)
def test_bands_make_no_difference(encoder, pooling, monkeypatch):
    torch.manual_seed(0)
    decoder = Decoder(5, pooling.widening).to(memory_format=torch.channels_last)
    decoder.requires_grad_(False)
    picture = torch.rand(1, 3, 224, 48).contiguous(memory_format=torch.channels_last)

    def carried():
        kept = []
        *_, (_, features) = encoder.ascend(picture, pooling, kept=kept)
        return features, kept, decoder(features, kept, pooling)

    features, kept, decoded = carried()
    monkeypatch.setattr(bands, "BAND_BYTES", {"cpu": 1})
    monkeypatch.setattr(bands, "LEAST_HALOS", 1)
    with torch.no_grad():
        banded, kept_banded, decoded_banded = carried()
    pairs = [(banded, features), (decoded_banded, decoded)]
    pairs += [pair for two in zip(kept_banded, kept, strict=True) for pair in zip(*two, strict=True)]
    for one, other in pairs:
        apart = (one.float() - other.float()).abs()
        if one.dtype == torch.uint8:  # how near the maximum a number is, in steps of a 250th
            assert float(apart.mean()) < 1e-3
        else:
            assert float(apart.max()) < 1e-4 * float(other.abs().max())
