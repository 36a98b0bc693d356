"""How the page looks: paper, ink and one quiet colour; fonts of the reader's own system."""

from __future__ import annotations

import gradio as gr

PINE = gr.themes.Color(
    "#f0f6f5", "#dcebe9", "#b9d6d3", "#8fbbb7", "#5f9995", "#3c7c78",
    "#2c6360", "#254f4d", "#1f403f", "#193332", "#0e1f1f",
    name="pine",
)  # fmt: skip
PAPER = gr.themes.Color(
    "#fbfaf6", "#f4f1ea", "#e6e1d6", "#d2cbbc", "#a39b8b", "#766f62",
    "#5a5449", "#454037", "#2d2a25", "#201e1a", "#151310",
    name="paper",
)  # fmt: skip

THEME = gr.themes.Base(
    primary_hue=PINE,
    secondary_hue=PINE,
    neutral_hue=PAPER,
    radius_size=gr.themes.sizes.radius_lg,
    font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif"],
    font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
).set(
    body_background_fill="*neutral_100",
    body_background_fill_dark="*neutral_950",
    body_text_color_subdued="*neutral_500",
    block_background_fill="*neutral_50",
    block_background_fill_dark="*neutral_900",
    block_border_color="*neutral_200",
    block_border_color_dark="*neutral_800",
    block_border_width="1px",
    block_label_background_fill="*neutral_50",
    block_label_background_fill_dark="*neutral_900",
    block_label_text_color="*neutral_600",
    block_title_text_color="*neutral_700",
    block_title_text_weight="600",
    block_title_text_size="*text_sm",
    block_info_text_color="*neutral_500",
    block_shadow="none",
    border_color_primary="*neutral_200",
    border_color_primary_dark="*neutral_800",
    input_background_fill="white",
    input_background_fill_dark="*neutral_800",
    input_border_color="*neutral_200",
    input_border_color_dark="*neutral_700",
    input_border_width="1px",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_primary_background_fill_dark="*primary_500",
    button_primary_background_fill_hover_dark="*primary_400",
    button_primary_border_color="*primary_600",
    button_secondary_background_fill="white",
    button_secondary_background_fill_hover="*neutral_50",
    button_secondary_background_fill_dark="*neutral_800",
    button_secondary_background_fill_hover_dark="*neutral_700",
    button_secondary_border_color="*neutral_300",
    button_secondary_border_color_dark="*neutral_700",
    button_secondary_text_color="*neutral_800",
    button_secondary_text_color_dark="*neutral_100",
    slider_color="*primary_600",
    slider_color_dark="*primary_400",
    layout_gap="14px",
)

CSS = """
.gradio-container {
    max-width: 1320px !important; margin: 0 auto !important; padding: 0 clamp(10px, 2.5vw, 24px) 32px !important;
}
.main.app { padding: 8px 0 0 !important; }
.masthead .html-container { padding: 0 !important; }
.masthead { padding: 14px 0 2px; border: none !important; background: none !important; }
.masthead h1 {
    font-family: "Iowan Old Style", "Palatino Linotype", Palatino, "URW Palladio L", Georgia, serif;
    font-size: 2.1rem; font-weight: 500; letter-spacing: -0.01em; margin: 0 0 2px;
}
.masthead p { color: var(--body-text-color-subdued); margin: 0; font-size: 1rem; }
.step h2 { font-size: 0.95rem; font-weight: 650; margin: 6px 0 0; color: var(--body-text-color); }
#styles label[data-testid="block-label"] { display: none; }
.shelf, .shelf > div, .shelf .gallery-container { min-height: 0 !important; height: auto !important; }
.shelf .grid-wrap { padding: 8px; max-height: none; min-height: 0 !important; height: auto !important; }
.shelf .grid-container { height: auto !important; grid-template-columns: repeat(4, minmax(0, 1fr)) !important; }
.shelf .caption-label {
    left: 0; right: 0; bottom: 0; max-width: none; width: 100%; border: none; border-radius: 0; padding: 3px 6px;
    font-size: 0.7rem; text-align: center; background: rgb(20 18 15 / 62%); color: #fbfaf6;
}
#result { min-height: 380px; display: flex; flex-direction: column; justify-content: center; }
.act { position: sticky; bottom: 0; z-index: 20; padding: 10px 0 12px; background: var(--body-background-fill); }
.act > * { min-width: 0 !important; }
.note, .note p { color: var(--body-text-color-subdued) !important; font-size: 0.92rem; }
.note { padding: 0 4px; }
.look { position: sticky; top: 14px; align-self: flex-start; }
footer { opacity: 0.7; }
@media (max-width: 820px) {
    .masthead h1 { font-size: 1.7rem; }
    .desk { flex-direction: column !important; }
    .desk > *, .pair > *, .pair .form > * { min-width: 100% !important; width: 100% !important; }
    .pair, .pair .form { flex-direction: column !important; }
    .look { position: static; }
    #result { min-height: 220px; }
}
@media (pointer: coarse), (max-width: 820px) {
    button.lg, button.md, .act button { min-height: 52px; }
    button.sm, .tab-container button, button.label-wrap { min-height: 44px; }
    button.label-wrap { align-items: center; }
    input, select, textarea { font-size: 16px !important; }
    input[type="range"] { height: 32px; }
    .wrap label { min-height: 44px; }
}
"""
"""Text of inputs on a phone has 16 pixels at least: under that, phones zoom in on what is touched."""
