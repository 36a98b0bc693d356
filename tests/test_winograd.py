import pytest
import torch
from torch.nn import functional

from universal_style.networks.winograd import winograd_convolution


def operands(height, width, channels=(5, 7), dtype=torch.float64):
    torch.manual_seed(0)
    shapes = (2, channels[0], height + 2, width + 2), (channels[1], channels[0], 3, 3), (channels[1],)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (8, 12), (9, 14)], ids=str)
def test_it_is_the_direct_convolution(size):
    given = operands(*size)
    torch.testing.assert_close(winograd_convolution(*given), functional.conv2d(*given), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [(4, 8), (5, 6)], ids=str)
def test_its_gradients_are_those_of_finite_differences(size):
    assert torch.autograd.gradcheck(winograd_convolution, operands(*size))


def test_a_bias_may_learn_alone():
    features, weight, bias = operands(8, 9)
    winograd_convolution(features.detach(), weight.detach(), bias).sum().backward()
    torch.testing.assert_close(bias.grad, torch.full((7,), 2 * 8 * 9.0, dtype=torch.float64))


def test_what_comes_out_may_be_changed_in_place_at_no_price():
    for size in ((8, 12), (9, 14)):
        convolved = winograd_convolution(*operands(*size))
        assert not convolved._is_view()
        assert convolved.is_contiguous(memory_format=torch.channels_last)


def test_float32_loses_little():
    given = operands(24, 32, (256, 256), torch.float32)
    exact = functional.conv2d(*(part.double() for part in given))
    error = (winograd_convolution(*given) - exact).abs().max()
    assert error < 1e-5 * exact.abs().max()
