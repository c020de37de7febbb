"""The site: `make docs` writes what is generated, builds this folder into `site/`, and the
reference of the Python interface, from docstrings, into `site/reference/`.
"""

project = "Sonograph"
author = "the Sonograph authors"
extensions = ["myst_parser", "sphinx_copybutton"]
html_theme = "furo"
html_title = "Sonograph"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["sounds"]  # what is played on the pages
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {
        "color-background-primary": "#faf8f3",
        "color-background-secondary": "#f3efe6",
        "color-background-border": "#e3ddd2",
        "color-foreground-primary": "#211d29",
        "color-brand-primary": "#9c3d1e",
        "color-brand-content": "#9c3d1e",
        "color-brand-visited": "#9c3d1e",
        "font-stack--headings": '"Iowan Old Style", "Palatino Linotype", Palatino, Georgia, serif',
    },
    "dark_css_variables": {
        "color-background-primary": "#15131a",
        "color-background-secondary": "#1d1a23",
        "color-background-border": "#35303c",
        "color-foreground-primary": "#ece7e0",
        "color-brand-primary": "#f0a36b",
        "color-brand-content": "#f0a36b",
        "color-brand-visited": "#f0a36b",
    },
}
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "attrs_block"]
copybutton_exclude = ".linenos, .gp, .go"
