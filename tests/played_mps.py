"""A device without float64, played on the CPU: what the tests of Apple's MPS have where there is none."""

import torch

_to = torch.Tensor.to


class OnMps(torch.Tensor):
    """A tensor that says it lies on MPS and that has, as there, no float64."""

    @property
    def device(self):
        return torch.device("mps")

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        answer = super().__torch_function__(function, types, args, kwargs or {})
        if isinstance(answer, cls) and answer.dtype == torch.float64:
            raise TypeError("the MPS framework doesn't support float64")
        return answer


def moved(tensor, *args, **kwargs):
    """Move a tensor as `Tensor.to` does, to the played device too."""
    device = kwargs.pop("device", None) or next((a for a in args if isinstance(a, str | torch.device)), tensor.device)
    others = [a for a in args if not isinstance(a, str | torch.device)]
    plain = tensor.as_subclass(torch.Tensor)
    plain = _to(plain, *others, **kwargs) if others or kwargs else plain
    if torch.device(device).type != "mps":
        return _to(plain, device)
    if plain.dtype == torch.float64:
        raise TypeError("the MPS framework doesn't support float64")
    return plain.as_subclass(OnMps)


def play(monkeypatch):
    """Let tensors be moved to the played device while a test runs."""
    monkeypatch.setattr(torch.Tensor, "to", moved)
