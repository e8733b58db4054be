"""One module a version of the schema; a version that a site may have is never changed any more."""
