"""The nodes are driven as ComfyUI drives them: looked up by name, called by what they declare, in inference mode."""

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from universal_style import InputError, OptionError, Style
from universal_style.errors import UniversalStyleError
from universal_style.integrations import comfyui
from universal_style.networks.feed_forward import TransformNet, save_net
from universal_style.stylizer import Stylizer

FOLDER = Path(comfyui.__file__).parent
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN")


def batch(*images):
    return torch.stack([torch.from_numpy(np.asarray(image, np.float32) / 255) for image in images])


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """The pack as ComfyUI imports it: a linked folder, loaded by its path."""
    link = tmp_path_factory.mktemp("custom_nodes") / "universal_style_nodes"
    link.symlink_to(FOLDER, target_is_directory=True)
    spec = importlib.util.spec_from_file_location("custom_nodes.universal_style_nodes", link / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module.NODE_CLASS_MAPPINGS
    del sys.modules[spec.name]


def declared(kind):
    inputs = kind.INPUT_TYPES()
    return inputs["required"] | inputs.get("optional", {})


def default_of(declaration):
    kind, *rest = declaration
    if rest and "default" in rest[0]:
        return rest[0]["default"]
    return kind[0] if isinstance(kind, list) else None


def call(kind, **inputs):
    """Call a node with the defaults of what is not given, in inference mode."""
    node = kind()
    required = kind.INPUT_TYPES()["required"]
    usual = {name: default_of(required[name]) for name in required}
    with torch.inference_mode():
        return getattr(node, kind.FUNCTION)(**(usual | inputs))


@pytest.fixture(scope="module")
def network(nodes):
    return call(nodes["UniversalStyleLoadNetwork"], device="cpu", dtype="float32")[0]


def test_every_node_declares_what_comfyui_asks_for(nodes):
    assert nodes.keys() == comfyui.NODE_DISPLAY_NAME_MAPPINGS.keys()
    for kind in nodes.values():
        assert callable(getattr(kind, kind.FUNCTION))
        assert kind.CATEGORY == "universal style"
        assert kind.DESCRIPTION
        assert len(kind.RETURN_TYPES) == len(getattr(kind, "RETURN_NAMES", kind.RETURN_TYPES))
        assert kind.RETURN_TYPES or kind.OUTPUT_NODE
        for declaration in declared(kind).values():
            default = default_of(declaration)
            if isinstance(declaration[0], list):
                assert default in declaration[0]
            elif declaration[0] in WIDGETS:
                assert default is not None
                json.dumps(declaration)  # it travels to the browser


def test_a_batch_comes_back_in_its_own_size_and_as_the_library_makes_it(nodes, network, cat, ducks):
    contents, styles = batch(cat, cat.rotate(180)), batch(ducks)
    (images,) = call(nodes["UniversalStyleTransfer"], network=network, content=contents, style_images=styles)
    assert images.shape == contents.shape
    assert images.dtype == torch.float32
    assert 0 <= images.min() <= images.max() <= 1
    assert not images.is_inference()
    expected = Stylizer(device="cpu", dtype="float32").run(cat, ducks)[0].pixels
    assert np.array_equal(images[0].numpy(), expected)


def test_alpha_channel_and_size_are_kept(nodes, network, cat, ducks):
    content = torch.cat([batch(cat), torch.full((1, 96, 128, 1), 0.5)], dim=3)
    (images,) = call(
        nodes["UniversalStyleTransfer"], network=network, content=content, style_images=batch(ducks), size=64
    )
    assert images.shape == (1, 48, 64, 4)
    assert torch.allclose(images[..., 3], torch.tensor(0.5), atol=1e-3)


def test_an_observed_style_stands_for_its_picture(nodes, network, cat, ducks):
    (style,) = call(nodes["UniversalStyleObserve"], network=network, images=batch(ducks))
    common = {"network": network, "content": batch(cat)}
    (seen,) = call(nodes["UniversalStyleTransfer"], style=style, **common)
    (shown,) = call(nodes["UniversalStyleTransfer"], style_images=batch(ducks), **common)
    assert torch.allclose(seen, shown, atol=1e-4)


def test_a_mixed_style_lies_between_and_its_ends_are_the_styles(nodes, network, cat, ducks):
    first, second = (
        call(nodes["UniversalStyleObserve"], network=network, images=batch(picture))[0]
        for picture in (ducks, ducks.transpose(Pillow.Transpose.TRANSPOSE).convert("L").convert("RGB"))
    )
    mixed = [call(nodes["UniversalStyleMix"], first=first, second=second, share=share)[0] for share in (0.0, 0.5, 1.0)]
    common = {"network": network, "content": batch(cat)}
    start, middle, end = (call(nodes["UniversalStyleTransfer"], style=style, **common)[0] for style in mixed)
    alone = call(nodes["UniversalStyleTransfer"], style=second, **common)[0]
    assert torch.allclose(end, alone, atol=1e-5)
    whole = (start - end).norm()
    assert (start - middle).norm() < whole
    assert (middle - end).norm() < whole


def test_presets_are_kept_and_read(nodes, network, ducks, tmp_path):
    path = str(tmp_path / "ducks.safetensors")
    (style,) = call(nodes["UniversalStyleObserve"], network=network, images=batch(ducks))
    assert call(nodes["UniversalStyleSavePreset"], style=style, path=path) == ()
    (read,) = call(nodes["UniversalStyleLoadPreset"], path=path)
    assert torch.equal(read.only.moments["max/relu3_1"].mean, style.only.moments["max/relu3_1"].mean)
    assert Style.load(path).moments.keys() == style.only.moments.keys()
    assert nodes["UniversalStyleLoadPreset"].IS_CHANGED(path) == Path(path).stat().st_mtime
    with pytest.raises(OptionError, match=r"needs the suffix \.safetensors"):
        call(nodes["UniversalStyleSavePreset"], style=style, path=str(tmp_path / "ducks.png"))
    (mixed,) = call(nodes["UniversalStyleMix"], first=style, second=read)
    with pytest.raises(InputError, match="a mix of 2 styles is no preset"):
        call(nodes["UniversalStyleSavePreset"], style=mixed, path=path)


def test_a_content_mask_alone_keeps_the_outside(nodes, network, cat, ducks):
    mask = torch.zeros(1, 96, 128)
    mask[:, :, 64:] = 0.9
    common = {"network": network, "content": batch(cat), "style_images": batch(ducks)}
    (masked,) = call(nodes["UniversalStyleTransfer"], content_mask=mask, **common)
    (plain,) = call(nodes["UniversalStyleTransfer"], alpha=0.0, **common)
    changed = (masked - plain).abs().mean(dim=(0, 1, 3))
    assert changed[:32].mean() < 0.2 * changed[96:].mean()


def test_a_picture_that_is_all_outside_stays(nodes, network, cat, ducks):
    node = nodes["UniversalStyleTransfer"]
    common = {"network": network, "style_images": batch(ducks)}
    nothing = torch.zeros(1, 64, 64)  # what Load Image gives for a picture without alpha
    (images,) = call(node, content=batch(cat), content_mask=nothing, **common)
    assert torch.equal(images, batch(cat))
    (small,) = call(node, content=batch(cat), content_mask=nothing, size=64, **common)
    assert small.shape == (1, 48, 64, 3)
    frames = torch.zeros(2, 96, 128)
    frames[1, :, 64:] = 1
    (images,) = call(node, content=batch(cat, cat), content_mask=frames, **common)
    (alone,) = call(node, content=batch(cat), content_mask=frames[1:], **common)
    assert torch.equal(images[0], batch(cat)[0])
    assert torch.equal(images[1], alone[0])


def test_region_pictures_are_the_librarys_masks(nodes, network, cat, ducks):
    left_right = Pillow.new("RGB", (128, 96), "red")
    left_right.paste("blue", (64, 0, 128, 96))
    top_bottom = Pillow.new("RGB", (120, 80), "blue")
    top_bottom.paste("red", (0, 0, 120, 40))
    (images,) = call(
        nodes["UniversalStyleTransfer"], network=network, content=batch(cat, cat), style_images=batch(ducks),
        content_regions=batch(left_right), style_regions=batch(top_bottom),
    )  # fmt: skip
    expected = network.run(cat, ducks, content_mask=left_right, style_masks=[top_bottom])[0].pixels
    assert np.array_equal(images[0].numpy(), expected)
    assert torch.equal(images[0], images[1])


@pytest.mark.parametrize(
    ("wires", "words"),
    [
        ({}, "no style given"),
        ({"content_mask": torch.ones(1, 9, 9), "content_regions": torch.ones(1, 9, 9, 3)}, "connect one of them"),
        ({"content_mask": torch.ones(3, 9, 9)}, "3 masks for 1 pictures of the content"),
        ({"content": torch.full((1, 8, 8, 3), torch.nan)}, "float pixels lie in nan"),
    ],
)
def test_wrong_wiring_ends_with_one_line(nodes, network, cat, wires, words):
    with pytest.raises(UniversalStyleError, match=words):
        call(nodes["UniversalStyleTransfer"], **({"network": network, "content": batch(cat)} | wires))


@pytest.mark.parametrize("painted", [{"style_mask": torch.ones(1, 9, 9)}, {"style_regions": torch.ones(1, 9, 9, 3)}])
def test_an_observed_style_has_no_picture_for_a_mask(nodes, network, cat, ducks, painted):
    (style,) = call(nodes["UniversalStyleObserve"], network=network, images=batch(ducks))
    wires = {"network": network, "content": batch(cat), "style": style, "content_mask": torch.ones(1, 9, 9)}
    with pytest.raises(InputError, match="no picture; connect the style's pictures for them"):
        call(nodes["UniversalStyleTransfer"], **wires, **painted)


def test_an_optimiser_descends_in_comfyuis_inference_mode(nodes, cat, ducks, monkeypatch):
    (gatys,) = call(nodes["UniversalStyleLoadNetwork"], method="gatys", device="cpu")
    (style,) = call(nodes["UniversalStyleObserve"], network=gatys, images=batch(ducks))
    monkeypatch.setattr(gatys, "method", dataclasses.replace(gatys.method, iterations=2))
    common = {"network": gatys, "content": batch(cat.resize((32, 24)))}
    (images,) = call(nodes["UniversalStyleTransfer"], style=style, **common)
    assert images.shape == (1, 24, 32, 3)
    assert (images - common["content"]).abs().mean() > 1e-3
    with pytest.raises(OptionError, match="gatys has no option alpha"):
        call(nodes["UniversalStyleTransfer"], style=style, alpha=0.5, **common)


def test_pretrained_networks_are_loaded(nodes, network, tmp_path, cat):
    network.save_pretrained(tmp_path / "folder")
    load = nodes["UniversalStyleLoadPretrained"]
    (loaded,) = call(load, source=str(tmp_path / "folder"), device="cpu")
    assert loaded.loaded.folder == tmp_path / "folder"
    assert loaded.backend == network.backend
    save_net(tmp_path / "net.safetensors", TransformNet(), {})
    (net,) = call(load, source=str(tmp_path / "net.safetensors"), device="cpu")
    (images,) = call(nodes["UniversalStyleTransfer"], network=net, content=batch(cat))
    assert images.shape == (1, 96, 128, 3)


class LoadImage:
    """What ComfyUI's own node of this name does: a picture, and the inverse of its alpha as a mask."""

    FUNCTION = "load"
    folder = Path()

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"image": (["photo.png"],)}}

    def load(self, image):
        picture = Pillow.open(self.folder / image).convert("RGBA")
        return batch(picture.convert("RGB")), 1 - batch(picture)[..., 3]


class SaveImage:
    FUNCTION = "save"
    OUTPUT_NODE = True
    folder = Path()

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"images": ("IMAGE",), "filename_prefix": ("STRING", {"default": "ComfyUI"})}}

    def save(self, images, filename_prefix):
        for number, image in enumerate(images):
            pixels = (image.numpy() * 255).round().astype(np.uint8)
            Pillow.fromarray(pixels).save(self.folder / f"{filename_prefix}_{number}.png")
        return ()


def inputs_of(node, kind, links, done):
    """Give a node's arguments: wires from what is done, the others in turn from its widgets' values."""
    wires = {slot["name"]: links[slot["link"]] for slot in node["inputs"] if slot["link"] is not None}
    values = iter(node["widgets_values"])
    given = {}
    for name, (declared_kind, *_) in declared(kind).items():
        if isinstance(declared_kind, list) or declared_kind in WIDGETS:
            given[name] = next(values)
        elif name in wires:
            _, source, output, _, _, _ = wires[name]
            given[name] = done[source][output]
    return given


def execute(workflow, mappings):
    """Run a workflow of ComfyUI's editor: each node once all nodes that it is wired to are done."""
    links = {link[0]: link for link in workflow["links"]}
    done, waiting = {}, {node["id"]: node for node in workflow["nodes"]}
    while waiting:
        ready = [
            number for number, node in waiting.items()
            if all(links[slot["link"]][1] in done for slot in node["inputs"] if slot["link"] is not None)
        ]  # fmt: skip
        assert ready, "the wires run in a circle"
        for number in ready:
            node = waiting.pop(number)
            kind = mappings[node["type"]]
            done[number] = call(kind, **inputs_of(node, kind, links, done))
    return done


@pytest.mark.parametrize("path", sorted(FOLDER.glob("example_workflows/*.json")), ids=lambda path: path.stem)
def test_the_example_workflows_run(path, nodes, cat, ducks, tmp_path, monkeypatch):
    mask = Pillow.new("L", cat.size, 255)
    mask.paste(0, (0, 0, 64, 96))  # painted in the mask editor: transparent in the file
    photo = cat.copy()
    photo.putalpha(mask)
    photo.save(tmp_path / "photo.png")
    ducks.save(tmp_path / "painting.png")
    ducks.rotate(180).save(tmp_path / "print.png")
    monkeypatch.chdir(tmp_path)
    for core in (LoadImage, SaveImage):
        monkeypatch.setattr(core, "folder", tmp_path)
    workflow = json.loads(path.read_text())
    execute(workflow, nodes | {"LoadImage": LoadImage, "SaveImage": SaveImage})
    with Pillow.open(tmp_path / "styled_0.png") as result:
        assert result.size == (128, 96)
        before = np.asarray(cat, np.float32)
        assert np.abs(np.asarray(result, np.float32) - before).mean() > 3
    saves = any(node["type"] == "UniversalStyleSavePreset" for node in workflow["nodes"])
    assert (tmp_path / "first-style.safetensors").exists() == saves


@pytest.mark.parametrize("path", sorted(FOLDER.glob("example_workflows/*.json")), ids=lambda path: path.stem)
def test_the_example_workflows_are_wired_as_the_editor_expects(path, nodes):
    workflow = json.loads(path.read_text())
    found = {node["id"]: node for node in workflow["nodes"]}
    assert workflow["last_node_id"] == max(found)
    assert workflow["last_link_id"] == len(workflow["links"])
    for number, source, output, target, slot, kind in workflow["links"]:
        assert number in found[source]["outputs"][output]["links"]
        assert found[target]["inputs"][slot]["link"] == number
        assert found[source]["outputs"][output]["type"] == found[target]["inputs"][slot]["type"] == kind
    for node in workflow["nodes"]:
        if node["type"] in nodes:
            wires = [(slot["name"], slot["type"]) for slot in node["inputs"]]
            assert all(declared(nodes[node["type"]])[name][0] == kind for name, kind in wires)
