"""What the page and the HTTP interface do: each action takes what the client sent and gives what it is shown.

What a client sends is taken as it comes, before Gradio opens any file of it: sizes and kinds are checked here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from universal_style.errors import InputError
from universal_style.images import FORMATS, Image, Source, opened
from universal_style.names import looked_up
from universal_style.report import Report
from universal_style.subjects import StyleSource
from universal_style.tensor_files import SUFFIX, is_tensor_file
from universal_style.web.limits import MOST_STYLES, Limits, check_picture, read_picture, read_style
from universal_style.web.paint import Blobs, Stroke, canvas, painted
from universal_style.web.sent import Sent, order_of, pictures_of, style_size_of, word
from universal_style.web.sessions import Session, Sessions
from universal_style.web.shelf import Shelf
from universal_style.web.told import facts_of, said, shown, stoppable, telling
from universal_style.web.worker import Bench, Order, Worker, has_strength, named, stem_of

OFFERED = (".png", ".jpg")
"""Formats in which the page offers a result."""

BAR = gr.Progress()
"""Gradio puts that of the request in its place."""

P = ParamSpec("P")
R = TypeVar("R")


def at(bench: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let an action be done at one of the benches, named by its attribute."""

    def placed(action: Callable[P, R]) -> Callable[P, R]:
        @wraps(action)
        def done(*args: P.args, **kwargs: P.kwargs) -> R:
            place: Bench = getattr(args[0], bench)
            return place.do(partial(action, *args, **kwargs))

        return done

    return placed


class Actions:
    """What buttons do.

    Args:
        worker: that does the work.
        sessions: of the visitors.
        shelf: styles on offer.
        limits: of what visitors may bring.
    """

    def __init__(self, worker: Worker, sessions: Sessions, shelf: Shelf, limits: Limits) -> None:
        self.worker = worker
        self.sessions = sessions
        self.shelf = shelf
        self.limits = limits
        self.blobs = Blobs()
        self.easel = Bench()

    @telling
    def arrive(self, request: gr.Request, content: Sent) -> None:
        """Look at a content as it is uploaded."""
        if content:
            self._check(request, [content])

    @telling
    def arrive_styles(self, request: gr.Request, uploads: Sent) -> None:
        """Look at styles as they are uploaded."""
        self._check(request, pictures_of(uploads))

    @telling
    def choose(self, event: gr.SelectData, chosen: Sent) -> list[str]:
        """Take a style from the gallery, or put it back."""
        names = list(self.shelf.styles)
        name = names[event.index]
        held = [other for other in chosen or [] if other in self.shelf.styles]
        return [other for other in held if other != name] if name in held else [*held, name]

    @telling
    def strength_of(self, method: Sent) -> Any:
        """Show the strength where the method has one."""
        return gr.Slider(visible=has_strength(named(word(method))))

    @telling
    @at("easel")
    def lay_out(self, request: gr.Request, content: Sent, uploads: Sent, chosen: Sent) -> list[Any]:
        """Lay the pictures out to be painted on: the content, then the styles that are pictures."""
        session = self.sessions.of(request.session_hash)
        files = [self._content_file(session, content)]
        files += _pictures_among(self._style_files(session, uploads, chosen, ()))
        session.laid_out[:] = files
        sheets: list[dict[str, Any]] = [
            {"background": canvas(self._picture(path)), "layers": [], "composite": None} for path in files
        ]
        places = range(1 + MOST_STYLES)
        # Plain values: an update would give the visitor editors of their own, which do not share the blobs.
        values = [sheets[place] if place < len(sheets) else None for place in places]
        return [gr.Tabs(visible=True), *values, *(gr.Tab(visible=place < len(sheets)) for place in places)]

    @telling
    @at("worker")
    def transfer_on_page(
        self,
        request: gr.Request,
        content: Sent,
        uploads: Sent,
        chosen: Sent,
        presets: Sent,
        method: Sent,
        strength: Sent,
        keep_colors: Sent,
        smooth: Sent,
        style_size: Sent,
        regions: Sent,
        bar: gr.Progress = BAR,
        *paintings: Sent,
    ) -> tuple[Any, ...]:
        """Give the content its style as the page asks.

        Args:
            paintings: those of the content and of each style picture. They belong to the pictures that were laid out: a
                slow browser may still send them when others have taken their place.
        """
        session = self.sessions.begun(request.session_hash)
        order = order_of(method, strength, keep_colors, smooth, style_size, regions)
        content_file = self._content_file(session, content)
        files = self._style_files(session, uploads, chosen, presets)
        pictures = [content_file, *_pictures_among(files)]
        content_mask, *style_masks = [self._painting(session, sent) for sent in paintings]
        if pictures != session.laid_out:
            content_mask, style_masks = None, []
        by_file = dict(zip(pictures[1:], style_masks, strict=False))
        masks = [by_file.get(path) for path in files]
        picture, result, report = self._carried(session, content_file, files, order, content_mask, masks, bar)
        room = session.emptied("result")
        saved = [room / f"{content_file.stem}-styled{suffix}" for suffix in OFFERED]
        for path in saved:
            result.write(path)
        pair = (shown(picture, room / "before.jpg"), shown(result, room / "after.jpg"))
        return (pair, *(gr.DownloadButton(value=str(path), interactive=True) for path in saved), said(report))

    @telling
    @at("worker")
    def transfer(
        self,
        request: gr.Request,
        content: Sent,
        styles: Sent = None,
        gallery: Sent = None,
        method: Sent = "wct",
        strength: Sent = 1.0,
        keep_colors: Sent = "none",
        smooth: Sent = "",
        style_size: Sent = 0,
        regions: Sent = 0,
        content_mask: Sent = None,
        style_masks: Sent = None,
        suffix: Sent = ".png",
        bar: gr.Progress = BAR,
    ) -> tuple[str, dict[str, Any]]:
        """Give the content its style as a program asks."""
        session = self.sessions.begun(request.session_hash)
        order = order_of(method, strength, keep_colors, smooth, style_size, regions)
        looked_up("suffix", word(suffix), FORMATS)
        content_file = self._content_file(session, content)
        files = self._style_files(session, (), gallery, styles)
        masks = [self._mask(session, sent) for sent in style_masks or ()]
        _, result, report = self._carried(
            session, content_file, files, order, self._mask(session, content_mask), masks, bar
        )
        path = session.emptied("result") / f"{content_file.stem}-styled{word(suffix)}"
        result.write(path)
        return str(path), facts_of(report)

    @telling
    @at("worker")
    def save_on_page(
        self,
        request: gr.Request,
        uploads: Sent,
        chosen: Sent,
        presets: Sent,
        style_size: Sent,
        bar: gr.Progress = BAR,
    ) -> Any:
        """Make a preset of the styles that the page holds."""
        session = self.sessions.begun(request.session_hash)
        files = self._style_files(session, uploads, chosen, presets)
        path = self._saved(session, files, style_size_of(style_size), bar)
        return gr.DownloadButton(f"Download {Path(path).name}", value=path, visible=True)

    @telling
    @at("worker")
    def save_preset(
        self,
        request: gr.Request,
        styles: Sent = None,
        gallery: Sent = None,
        style_size: Sent = 0,
        bar: gr.Progress = BAR,
    ) -> str:
        """Make a preset as a program asks."""
        session = self.sessions.begun(request.session_hash)
        files = self._style_files(session, (), gallery, styles)
        return self._saved(session, files, style_size_of(style_size), bar)

    def cancel(self, request: gr.Request) -> None:
        """Stop the work that is done for this visitor; it ends at its next step."""
        self.sessions.stop(request.session_hash)

    def leave(self, request: gr.Request) -> None:
        """End a visit."""
        self.sessions.leave(request.session_hash)

    def _check(self, request: gr.Request, sent: Sequence[Sent]) -> None:
        session = self.sessions.of(request.session_hash)
        for path in [self.sessions.brought(session, each) for each in sent]:
            check_picture(path, self.limits)

    def _content_file(self, session: Session, content: Sent) -> Path:
        if not content:
            raise InputError("no photograph given; drop one first")
        return self.sessions.brought(session, content)

    def _style_files(self, session: Session, uploads: Sent, chosen: Sent, presets: Sent) -> list[Path]:
        files = [self.sessions.brought(session, upload) for upload in pictures_of(uploads)]
        files += [self.shelf.named(word(name)) for name in chosen or ()]
        files += [self.sessions.brought(session, sent) for sent in presets or ()]
        if len(files) > MOST_STYLES:
            raise InputError(f"{len(files)} styles given; this page mixes up to {MOST_STYLES}: take some away")
        return files

    def _picture(self, path: Path) -> Image:
        return Image.of(path) if path in self.shelf.styles.values() else read_picture(path, self.limits)

    def _style(self, path: Path, style_size: int | None) -> StyleSource:
        """Read what a visitor brought; files of the shelf are read, and remembered, by those who observe them."""
        if path not in self.shelf.styles.values():
            style = read_style(path, self.limits)
            if isinstance(style, Image):
                self.limits.check_seen(style.width, style.height, style_size, path.name)
            return style
        if style_size and not is_tensor_file(path):
            with opened(path) as picture:
                self.limits.check_seen(*picture.size, style_size, path.name)
        return path

    def _mask(self, session: Session, sent: Sent) -> Image | None:
        return read_picture(self.sessions.brought(session, sent), self.limits) if sent else None

    def _painting(self, session: Session, sent: Sent) -> Source | None:
        """Take what was painted: an editor sends it beforehand, under a name, or as files."""
        if not isinstance(sent, Mapping):
            return None
        layers: list[Stroke] = self.blobs.layers(sent.get("id"))
        if not layers:
            layers = [self.sessions.brought(session, layer) for layer in sent.get("layers") or () if layer]
        return painted(layers, self.limits)

    def _carried(
        self,
        session: Session,
        content: Path,
        styles: Sequence[Path],
        order: Order,
        content_mask: Source | None,
        style_masks: Sequence[Source | None],
        bar: gr.Progress,
    ) -> tuple[Image, Image, Report]:
        """Read and carry; gives the content, the result and the report."""
        if not styles:
            raise InputError("no style given; drop a picture or choose one from the gallery")
        picture = read_picture(content, self.limits)
        given = [self._style(path, order.style_size) for path in styles]
        masks = list(style_masks) if any(mask is not None for mask in style_masks) else []
        result, report = self.worker.transfer(picture, given, order, content_mask, masks, stoppable(session, bar))
        session.check()
        return picture, result, report

    def _saved(self, session: Session, styles: Sequence[Path], style_size: int | None, bar: gr.Progress) -> str:
        stem = stem_of(styles)
        given = [self._style(path, style_size) for path in styles]
        style = self.worker.observe(given, stem, style_size, stoppable(session, bar))
        session.check()
        path = session.room / f"{stem}{SUFFIX}"
        style.save(path)
        return str(path)


def _pictures_among(files: Sequence[Path]) -> list[Path]:
    return [path for path in files if not is_tensor_file(path)]
