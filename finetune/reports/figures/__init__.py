"""The figures of a report. Each module turns a group into panels; `canvas` makes SVG or PNG of them."""
