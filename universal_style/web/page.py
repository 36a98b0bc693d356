"""The page's layout, and which action answers to what; see `actions.py` for what they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from universal_style.images import FORMATS
from universal_style.keep_colors import KEEP_COLORS
from universal_style.methods import CLOSED_FORMS, METHODS
from universal_style.regions import FEWEST_CLUSTERS, MOST_CLUSTERS
from universal_style.smoothing import SMOOTHINGS
from universal_style.tensor_files import SUFFIX
from universal_style.web.actions import OFFERED, Actions
from universal_style.web.limits import MOST_STYLES, Limits
from universal_style.web.paint import BRUSHES, CANVAS

METHOD_LABELS = {
    "wct": "Painting",
    "photo-wct": "Photograph, smooth",
    "wct2": "Photograph, faithful",
    "wct2-sum": "Photograph, bold",
}
COLOUR_LABELS = {
    "none": "Those of the style",
    "luminance": "Those of the photograph",
    "luminance-only": "Those of the photograph, and its light",
    "histogram": "Style recoloured, by histogram",
    "coral": "Style recoloured, by covariance",
}
SMOOTHING_LABELS = {
    "none": "None",
    "closed-form": "Exact, along edges",
    "bilateral": "Fast, by place and lightness",
    "guided": "Fast, along edges",
}
EMPTY = "The result will stand here: the photograph on the left, restyled on the right."
STYLE_SIZES = [("Its own, up to 1024", 0), ("256: large strokes", 256), ("512", 512), ("768", 768), ("1024", 1024)]
DEVICE: dict[str, Any] = {"concurrency_id": "device", "concurrency_limit": 1}
"""Whatever needs the device waits in one line."""
AT_ONCE: dict[str, Any] = {"concurrency_limit": None, "preprocess": False, "show_progress": "hidden"}
"""Nothing is opened before an action has looked at it. Out of a queue no error would reach the page."""
PRIVATE: dict[str, Any] = {"api_visibility": "private"}


def build(actions: Actions, limits: Limits, folder: Path) -> gr.Blocks:
    """Lay the page out.

    Args:
        actions: that it calls.
        limits: that it names.
        folder: for what is drawn once, such as the squares of the shelf.
    """
    keep = (60, limits.minutes * 60)
    page = gr.Blocks(title="universal_style", analytics_enabled=False, delete_cache=keep)
    with page:
        gr.HTML(
            "<h1>universal_style</h1><p>Any photograph in the style of any picture. "
            f"Up to {limits.megapixels:g} megapixels; what you upload is gone when you leave.</p>",
            elem_classes="masthead",
            padding=False,
        )
        with gr.Row(elem_classes="desk", equal_height=False):
            with gr.Column(scale=5, min_width=320):
                inputs = _inputs(actions, limits, folder)
                with gr.Row(elem_classes="act"):
                    run = gr.Button("Restyle", variant="primary", size="lg", scale=3, elem_id="run")
                    stop = gr.Button("Stop", size="lg", scale=1, min_width=90, elem_id="stop")
            with gr.Column(scale=7, min_width=320, elem_classes="look"):
                outputs = _outputs()
        order = [*inputs["pictures"], *inputs["order"]]
        carried = run.click(
            actions.transfer_on_page,
            [*order, *inputs["editors"]],
            outputs,
            preprocess=False,
            show_progress_on=outputs[0],
            **DEVICE,
            **PRIVATE,
        )
        saved = inputs["save"].click(
            actions.save_on_page,
            [*inputs["pictures"][1:], inputs["style_size"]],
            inputs["preset"],
            preprocess=False,
            **DEVICE,
            **PRIVATE,
        )
        # What waits in line is taken out of it, and what runs ends at its next step.
        stop.click(None, cancels=[carried, saved])
        stop.click(actions.cancel, api_name="cancel", api_description=CANCEL, queue=False, show_progress="hidden")
        _programs(actions)
        page.unload(actions.leave)
    for block in page.blocks.values():
        _refuse_addresses(block)
    return page


def _inputs(actions: Actions, limits: Limits, folder: Path) -> dict[str, Any]:
    """Lay out what is given: pictures, then how they are to be joined."""
    gr.Markdown("## 1 · Photograph", elem_classes="step")
    content = gr.Image(
        type="filepath", sources=["upload", "clipboard"], image_mode=None, label="Photograph", show_label=False,
        height=280, buttons=[], elem_id="content",
    )  # fmt: skip
    gr.Markdown("## 2 · Style", elem_classes="step")
    uploads = gr.Gallery(
        label="Style pictures", show_label=False, file_types=["image"], columns=4, height=180, interactive=True,
        object_fit="cover", buttons=[], elem_id="styles", sources=["upload", "clipboard"],
    )  # fmt: skip
    squares = gr.Gallery(
        actions.shelf.squares(folder), label="Or choose", show_label=False, columns=4, interactive=False,
        allow_preview=False, object_fit="cover", height="auto", buttons=[], elem_id="shelf", elem_classes="shelf",
    )  # fmt: skip
    chosen = gr.Dropdown(
        list(actions.shelf.styles), multiselect=True, label="Chosen from the gallery", elem_id="chosen",
        value=[], max_choices=MOST_STYLES,
    )  # fmt: skip
    with gr.Accordion("Presets", open=False, elem_id="preset"):
        presets = gr.File(
            file_count="multiple", file_types=[SUFFIX], label="Preset files", height=120, elem_id="presets"
        )
        save = gr.Button("Keep this style as a preset", size="md", elem_id="save")
        preset = gr.DownloadButton("Download the preset", visible=False, size="md", elem_id="download-preset")
    gr.Markdown("## 3 · How", elem_classes="step")
    with gr.Row(elem_classes="pair"):
        method = gr.Dropdown(_methods(), value="wct", label="Method", min_width=200, elem_id="method")
        strength = gr.Slider(0, 1, 1, step=0.05, label="Strength", min_width=200, elem_id="strength")
    with gr.Accordion("Colours, smoothing, size of the strokes", open=False), gr.Row(elem_classes="pair"):
        colours = gr.Dropdown(_labelled(KEEP_COLORS, COLOUR_LABELS), value="none", label="Colours", min_width=200)
        smooth = gr.Dropdown(
            [("As the method has it", ""), *_labelled(SMOOTHINGS, SMOOTHING_LABELS)], value="", label="Smoothing",
            min_width=200,
        )  # fmt: skip
        style_size = gr.Dropdown(STYLE_SIZES, value=0, label="Style seen at", min_width=200)
    with gr.Accordion("Regions", open=False, elem_id="regions"):
        counts = range(FEWEST_CLUSTERS, MOST_CLUSTERS + 1)
        found = gr.Dropdown(
            [("None", 0), *((f"{count} regions", count) for count in counts)], value=0, label="Found by themselves",
        )  # fmt: skip
        lay_out = gr.Button("Paint regions by hand", size="sm", elem_id="paint")
        with gr.Tabs(visible=False) as sheets:
            editors, tabs = _editors(actions)
    for picture, look in ((content, actions.arrive), (uploads, actions.arrive_styles)):
        looked = picture.upload(look, picture, **AT_ONCE, **PRIVATE)
        looked.failure(_nothing, None, picture, **AT_ONCE, **PRIVATE)  # what cannot be used is not kept
    squares.select(actions.choose, chosen, chosen, **AT_ONCE, **PRIVATE)
    method.change(actions.strength_of, method, strength, **AT_ONCE, **PRIVATE)
    lay_out.click(actions.lay_out, [content, uploads, chosen], [sheets, *editors, *tabs], **AT_ONCE, **PRIVATE)
    for pictures in (content, uploads, chosen):  # a painting belongs to a picture, not to its place
        pictures.change(_cleared, None, [sheets, *editors], **AT_ONCE, **PRIVATE)
    return {
        "pictures": [content, uploads, chosen, presets],
        "order": [method, strength, colours, smooth, style_size, found],
        "style_size": style_size,
        "save": save,
        "preset": preset,
        "editors": editors,
    }


def _editors(actions: Actions) -> tuple[list[gr.ImageEditor], list[gr.Tab]]:
    """Lay out a sheet for the content and one for each style; one colour means one region in all of them."""
    editors, tabs = [], []
    for place in range(1 + MOST_STYLES):
        with gr.Tab(f"Style {place}" if place else "Photograph", visible=False) as tab:
            editor = gr.ImageEditor(
                type="pil", format="png", image_mode="RGBA", sources=[], transforms=[], layers=False, buttons=[],
                brush=gr.Brush(colors=list(BRUSHES), default_color=BRUSHES[0], color_mode="fixed", default_size=24),
                canvas_size=(CANVAS, CANVAS), show_label=False, label="Regions", elem_id=f"editor-{place}",
            )  # fmt: skip
            editor.blob_storage = actions.blobs
            editors.append(editor)
            tabs.append(tab)
    return editors, tabs


def _outputs() -> list[Any]:
    """Lay out what is given back."""
    slider = gr.ImageSlider(
        type="filepath", label="Before and after", show_label=False, interactive=False, max_height=680,
        buttons=["fullscreen"], elem_id="result",
    )  # fmt: skip
    note = gr.Markdown(EMPTY, elem_classes="note")
    with gr.Row():
        downloads = [
            gr.DownloadButton(
                f"Download {suffix.removeprefix('.').upper()}",
                interactive=False,
                min_width=120,
                size="md",
                elem_id=f"download-{suffix.removeprefix('.')}",
            )
            for suffix in OFFERED
        ]
    return [slider, *downloads, note]


TRANSFER = (
    "Give a picture the style of others. content: a picture. styles: pictures or presets. gallery: names of styles "
    "that the server offers. content_mask, style_masks: pictures whose colours say which region is which. suffix: "
    ".png, .jpg, .webp or .tif. Returns the result, in the content's size, and a report."
)
PRESET = "Observe pictures together as one style. Returns a preset, a file that stands wherever a style picture does."
CANCEL = "Stop the work that is done for this client; it ends at its next step."


def _programs(actions: Actions) -> None:
    """Offer the same to programs, with plain files for masks. Nothing of this is seen on the page."""
    pictures = sorted(FORMATS)
    with gr.Column(visible=False):
        content = gr.File(file_types=pictures, label="Content")
        styles = gr.File(file_count="multiple", file_types=[*pictures, SUFFIX], label="Styles")
        gallery = gr.Dropdown(list(actions.shelf.styles), multiselect=True, value=[], label="Styles of the gallery")
        method = gr.Dropdown(list(METHODS), value="wct", label="Method")
        strength = gr.Number(1.0, label="Strength, 0 to 1")
        colours = gr.Dropdown(list(KEEP_COLORS), value="none", label="Colours to keep")
        smooth = gr.Dropdown(["", *SMOOTHINGS], value="", label="Smoothing; empty for the method's own")
        style_size = gr.Number(0, precision=0, label="Long side at which styles are seen; 0 for their own")
        regions = gr.Number(0, precision=0, label="Regions to find: 0, or 2 to 8")
        content_mask = gr.File(file_types=pictures, label="Mask of the content")
        style_masks = gr.File(file_count="multiple", file_types=pictures, label="A mask for each style, or none")
        suffix = gr.Textbox(".png", label="Format of the result")
        result = gr.File(label="Result")
        report = gr.JSON(label="Report")
        gr.Button().click(
            actions.transfer,
            [content, styles, gallery, method, strength, colours, smooth, style_size, regions, content_mask,
             style_masks, suffix],
            [result, report],
            api_name="transfer",
            api_description=TRANSFER,
            preprocess=False,
            **DEVICE,
        )  # fmt: skip
        gr.Button().click(
            actions.save_preset,
            [styles, gallery, style_size],
            result,
            api_name="save_preset",
            api_description=PRESET,
            preprocess=False,
            **DEVICE,
        )


def _methods() -> list[tuple[str, str]]:
    """Name the methods; what descends for minutes says so and stands last."""
    swift = [(METHOD_LABELS.get(name, name) + f" ({name})", name) for name in CLOSED_FORMS]
    return swift + [(f"{name} (slow: minutes)", name) for name in METHODS if name not in CLOSED_FORMS]


def _nothing() -> None:
    """Empty a component."""


def _cleared() -> list[Any]:
    """Put the sheets away, with nothing painted on them."""
    return [gr.Tabs(visible=False), *[None] * (1 + MOST_STYLES)]


def _labelled(table: Any, labels: dict[str, str]) -> list[tuple[str, str]]:
    return [(labels.get(name, name), name) for name in table]


def _refuse_addresses(block: Any) -> None:
    """Keep Gradio from fetching what a client names by an address: files are uploaded, or not taken."""
    if not isinstance(block, gr.components.Component):
        return
    move, move_soon = block.move_resource_to_block_cache, block.async_move_resource_to_block_cache

    def moved(file: Any) -> Any:
        _check_no_address(file)
        return move(file)

    async def moved_soon(file: Any) -> Any:
        _check_no_address(file)
        return await move_soon(file)

    block.move_resource_to_block_cache = moved  # type: ignore[method-assign, assignment]
    block.async_move_resource_to_block_cache = moved_soon  # type: ignore[method-assign, assignment]


def _check_no_address(file: Any) -> None:
    if isinstance(file, str) and "://" in file:
        raise gr.Error("addresses are not taken; upload the file", print_exception=False)
