"""``./run soak``: torture of a real Orthanc with the plugin, and the audit that says what it left."""
