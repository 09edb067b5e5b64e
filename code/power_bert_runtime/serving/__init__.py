"""HTTP service of exported classifiers; needs the extra `serve`."""
