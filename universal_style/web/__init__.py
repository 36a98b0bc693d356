"""The web page and its HTTP interface, made with Gradio, which the extra `web` installs."""
