import numpy as np
import pytest
import torch

from universal_style.errors import OptionError
from universal_style.mixing import MIXINGS, barycentre
from universal_style.moments import Moments


def moments(seed, channels=6, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    columns = scale * mix @ torch.randn(channels, 400, generator=generator, dtype=torch.float64)
    return Moments.of(columns + torch.randn(channels, 1, generator=generator, dtype=torch.float64))


def root(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T


def test_the_barycentre_solves_its_equation():
    styles = [(0.2, moments(1)), (0.5, moments(2)), (0.3, moments(3, scale=2.0))]
    middle = barycentre(styles)
    half = root(middle.covariance)
    expected = sum(weight * root(half @ style.covariance @ half) for weight, style in styles)
    torch.testing.assert_close(middle.covariance, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(middle.mean, sum(weight * style.mean for weight, style in styles))


def test_the_barycentre_of_commuting_gaussians_averages_their_deviations():
    variances = torch.tensor([[1.0, 4.0], [9.0, 16.0]], dtype=torch.float64)
    count, mean = torch.tensor(11.0, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    one, other = (Moments(count, mean, 10 * torch.diag(values)) for values in variances)
    covariance = barycentre([(1, one), (1, other)]).covariance
    torch.testing.assert_close(covariance, torch.diag(torch.tensor([4.0, 9.0]).double()))


def test_the_barycentre_of_one_style_is_itself():
    style = moments(4)
    torch.testing.assert_close(barycentre([(0.7, style)]).covariance, style.covariance)


def test_flat_styles_have_a_barycentre():
    flat = Moments.of(torch.ones(3, 50, dtype=torch.float64))
    assert float(barycentre([(0.5, flat), (0.5, flat)]).covariance.abs().max()) == 0
    assert barycentre([(0.5, flat), (0.5, moments(5, 3))]).covariance.isfinite().all()


@pytest.mark.parametrize("mix", MIXINGS)
def test_the_order_of_styles_does_not_matter(stylizer, cat, ducks, mix):
    other = cat.rotate(90, expand=True)
    one = stylizer.run(cat, ducks, other, style_weights=[0.3, 0.7], mix=mix, levels=[2, 1])[0].pixels
    swapped = stylizer.run(cat, other, ducks, style_weights=[0.7, 0.3], mix=mix, levels=[2, 1])[0].pixels
    np.testing.assert_allclose(one, swapped, atol=2e-3)


def test_a_style_mixed_with_itself_is_itself(stylizer, cat, ducks):
    alone = stylizer.run(cat, ducks, levels=[2])[0].pixels
    for mix in MIXINGS:
        twice = stylizer.run(cat, ducks, ducks, mix=mix, levels=[2])[0].pixels
        np.testing.assert_allclose(twice, alone, atol=2e-3)


def test_statistics_reach_the_middle_style(stylizer, cat, ducks):
    """A picture carried onto mixed statistics has them; one carried by mixed maps has others."""
    other = cat.rotate(90, expand=True)
    styles = [stylizer.observe(p).moments["max/relu1_1"] for p in (ducks, other)]
    aim = barycentre([(0.5, style) for style in styles]).covariance
    gaps = {}
    for mix in MIXINGS:
        picture = stylizer.run(cat, ducks, other, mix=mix, levels=[1])[0]
        gaps[mix] = float((stylizer.observe(picture.pillow()).moments["max/relu1_1"].covariance - aim).norm())
    assert gaps["statistics"] < gaps["maps"]


def test_an_unknown_mixing_is_refused(stylizer, cat, ducks):
    with pytest.raises(OptionError, match="mix 'blend' is unknown"):
        stylizer.transfer(cat, ducks, mix="blend")
