import pytest
import torch
from torch.nn import functional

from universal_style.networks import convolution
from universal_style.networks.cells import convolved_from_cells, doubled
from universal_style.networks.convolution import ReflectionConvolution, minimal_filtering
from universal_style.networks.layout import layout_of
from universal_style.networks.nnpack import has_nnpack, nnpack_convolution
from universal_style.networks.pooling import POOLINGS, NearestPooling
from universal_style.networks.stage import to_precision
from universal_style.networks.taps import convolution_by_taps, gains_by_taps
from universal_style.networks.winograd import winograd_convolution

needs_nnpack = pytest.mark.skipif(not has_nnpack(), reason="this torch or processor has no NNPACK")


def narrow_vectors(monkeypatch, capability="AVX2"):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)


@needs_nnpack
@pytest.mark.parametrize("size", [(1, 1, 1), (1, 6, 6), (2, 31, 50), (1, 64, 37)], ids=str)
def test_nnpack_is_the_direct_convolution(size):
    torch.manual_seed(0)
    count, height, width = size
    whole = torch.randn(count, 20, height + 2, width + 1)
    weight, bias = torch.randn(24, 20, 3, 3), torch.randn(24)
    for features in (whole, whole.contiguous(memory_format=torch.channels_last)):
        part = features[:, :, 1:-1, :-1]
        for mode in ("reflect", "replicate") if min(part.shape[2:]) > 1 else ("replicate",):
            cells = functional.pad(part, (1, 1, 1, 1), mode=mode)
            exact = functional.conv2d(*(given.double() for given in (cells, weight, bias)))
            error = (nnpack_convolution(part, weight, bias, mode) - exact).abs().max()
            assert error < 2e-5 * exact.abs().max()


@pytest.mark.parametrize("size", [(1, 2, 2), (2, 31, 50)], ids=str)
def test_taps_one_by_one_are_the_direct_convolution(size):
    torch.manual_seed(0)
    count, height, width = size
    features, layer = torch.randn(count, 20, height, width), ReflectionConvolution(20, 3)
    last = features.contiguous(memory_format=torch.channels_last)
    cells = functional.pad(features, (1, 1, 1, 1), mode="reflect")
    exact = functional.conv2d(*(given.double() for given in (cells, layer.weight, layer.bias)))
    with torch.no_grad():
        assert gains_by_taps(features, layer.weight)
        assert not gains_by_taps(last, layer.weight)
        assert not gains_by_taps(features, torch.rand(20, 20, 3, 3))
        for given in (convolution_by_taps(features, layer.weight, layer.bias), layer(features), layer(last)):
            assert (given - exact).abs().max() < 1e-5 * exact.abs().max()
    assert not gains_by_taps(features, layer.weight)  # that may learn


def test_layers_choose_what_was_measured_to_gain(monkeypatch):
    narrow_vectors(monkeypatch)
    monkeypatch.setattr(convolution, "has_nnpack", lambda: True)
    wide, narrow, pixels = torch.rand(128, 128, 3, 3), torch.rand(64, 64, 3, 3), torch.rand(64, 3, 3, 3)
    features = torch.rand(1, 128, 32, 40)
    learning = features.clone().requires_grad_()
    assert minimal_filtering(features, wide) is nnpack_convolution
    assert minimal_filtering(features[:, :64], narrow) is nnpack_convolution
    assert minimal_filtering(features[:, :3], pixels) is None
    assert minimal_filtering(features[:, :, :16, :16], wide) is None
    assert minimal_filtering(learning, wide) is winograd_convolution
    assert minimal_filtering(learning[:, :64], narrow) is None
    with torch.no_grad():
        assert minimal_filtering(learning, wide) is nnpack_convolution
    with torch.autocast("cpu", torch.bfloat16):
        assert minimal_filtering(features, wide) is None
    assert minimal_filtering(features.bfloat16(), wide.bfloat16()) is None
    monkeypatch.setattr(convolution, "has_nnpack", lambda: False)
    assert minimal_filtering(features, wide) is None
    narrow_vectors(monkeypatch, "AVX512")
    assert minimal_filtering(learning, wide) is None


@pytest.mark.parametrize("learns", [False, True])
def test_a_layer_gives_the_same_either_way(monkeypatch, learns):
    torch.manual_seed(0)
    layer = ReflectionConvolution(256, 256)
    features = torch.rand(1, 256, 32, 36)
    with torch.set_grad_enabled(learns):
        found = {}
        for capability in ("AVX2", "AVX512"):
            narrow_vectors(monkeypatch, capability)
            found[capability] = layer(features), NearestPooling().up_and_activate(features, (), layer)
    for quick, plain in zip(found["AVX2"], found["AVX512"], strict=True):
        torch.testing.assert_close(quick, plain, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["AVX2"][1], layer(doubled(features)).relu(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS.values(), ids=POOLINGS)
def test_poolings_give_the_same_however_features_lie(monkeypatch, pooling):
    torch.manual_seed(0)
    layer = ReflectionConvolution(64 * pooling.widening, 64)
    before = torch.rand(1, 64, 64, 72)
    found = []
    with torch.inference_mode():
        for capability, layout in (("AVX2", torch.contiguous_format), ("AVX512", torch.channels_last)):
            narrow_vectors(monkeypatch, capability)
            down, kept = pooling.down(before.contiguous(memory_format=layout))
            assert layout_of(down) == layout
            found.append((down, *kept, pooling.up_and_activate(down, kept, layer)))
    for quick, plain in zip(*found, strict=True):
        torch.testing.assert_close(quick, plain, rtol=1e-4, atol=1e-5)


def test_signs_enter_the_sums_of_weights_place_by_place(monkeypatch):
    torch.manual_seed(0)
    features, layer = torch.rand(1, 128, 32, 34), ReflectionConvolution(128, 64)
    signed = doubled(features)
    signed[:, 64:, ::2] *= -1
    signed[:, 64:, :, ::2] *= -1
    cells = functional.pad(signed, (1, 1, 1, 1), mode="constant")
    with torch.inference_mode():
        for capability in ("AVX2", "AVX512"):
            narrow_vectors(monkeypatch, capability)
            given = convolved_from_cells(features, layer, layer.weight, layer.bias, signs=((1, 1), (-1, -1)))
            inside = functional.conv2d(cells, layer.weight, layer.bias)[..., 1:-1, 1:-1]
            torch.testing.assert_close(given[..., 1:-1, 1:-1], inside, rtol=1e-4, atol=1e-5)


@needs_nnpack
def test_weights_lie_as_they_are_read(monkeypatch):
    layer = ReflectionConvolution(64, 64)
    for capability, dtype, layout in (
        ("AVX2", torch.float32, torch.contiguous_format),
        ("AVX2", torch.bfloat16, torch.channels_last),
        ("AVX512", torch.float32, torch.channels_last),
    ):
        narrow_vectors(monkeypatch, capability)
        to_precision(layer, torch.device("cpu"), dtype)
        assert layout_of(layer.weight) == layout
        assert layer.weight.dtype == dtype
