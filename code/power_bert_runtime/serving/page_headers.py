"""Headers and types of the files of the browser page, for every server of it."""

# Together these isolate the page from other sites, which browsers require for memory shared between threads.
THREAD_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
PAGE_HEADERS = {
    **THREAD_HEADERS,
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # A rebuilt page is loaded at the next visit.
    "Cache-Control": "no-cache",
}
PAGE_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
OTHER_TYPE = "application/octet-stream"
