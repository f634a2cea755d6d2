"""The only importer of the extension module `fastlog.native._core`."""
