import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from universal_style.moments import CHUNK_COLUMNS, Moments, merge_all


def assert_equal(a, b, tolerance=1e-9):
    torch.testing.assert_close(a.count, b.count)
    torch.testing.assert_close(a.mean, b.mean, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(a.scatter, b.scatter, rtol=tolerance, atol=tolerance * float(1 + b.scatter.abs().max()))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=4), st.integers(0, 10**6))
def test_moments_merge_in_any_order(lengths, seed):
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(5, n, dtype=torch.float64, generator=generator) * 3 + 7 for n in lengths]
    whole = Moments.of(torch.cat(parts, dim=1))
    for order in itertools.permutations(parts):
        assert_equal(merge_all(Moments.of(part) for part in order), whole)
    nested = Moments.empty(5).merge(merge_all(Moments.of(part) for part in reversed(parts)))
    assert_equal(nested, whole)


def test_agree_with_numpy():
    columns = torch.randn(6, 500, dtype=torch.float64)
    moments = Moments.of(columns)
    torch.testing.assert_close(moments.mean, columns.mean(dim=1))
    torch.testing.assert_close(moments.covariance, torch.cov(columns))


def test_float32_features_far_from_zero_keep_their_covariance():
    columns = torch.randn(4, 3 * CHUNK_COLUMNS + 17)
    shifted = Moments.of(columns + 1000)
    torch.testing.assert_close(shifted.covariance, torch.cov(columns.double()), rtol=1e-3, atol=1e-3)


def test_weights_count_columns():
    columns = torch.randn(3, 4, dtype=torch.float64)
    repeated = columns[:, [0, 1, 1, 3, 3, 3]]
    assert_equal(Moments.of(columns, torch.tensor([1.0, 2.0, 0.0, 3.0])), Moments.of(repeated))


@pytest.mark.parametrize("area", [0.6, 0.98, 1.0, 1.02, 1.5, 2.0])
def test_a_region_of_about_one_cell_has_a_variance_of_the_size_of_its_columns(area):
    columns = torch.tensor([[0.0, 1.0, 0.0, 1.0]], dtype=torch.float64)
    variance = float(Moments.of(columns, torch.full((4,), area / 4)).covariance)
    assert 0.1 < variance <= 0.5


@pytest.mark.parametrize("columns", [torch.ones(3, 1), torch.ones(3, 0), torch.full((3, 9), 0.25)])
def test_too_few_or_equal_columns_have_no_covariance(columns):
    covariance = Moments.of(columns).covariance
    assert torch.equal(covariance, torch.zeros(3, 3, dtype=torch.float64))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("spread", [1e-2, 1.0, 30.0])
def test_halves_on_a_card_are_multiplied_as_they_are(dtype, spread):
    columns = (5 + spread * torch.randn(16, 16)) @ torch.randn(16, 40_001) / 4 + 3
    columns = columns.to(dtype)
    exact, found = Moments.of(columns.double()), Moments.of(columns.cuda()).to("cpu")
    step = torch.finfo(dtype).eps
    torch.testing.assert_close(found.mean, exact.mean, rtol=0, atol=1e-2 * step * float(columns.abs().max()))
    torch.testing.assert_close(found.scatter, exact.scatter, rtol=0, atol=step * float(exact.scatter.abs().max()))
