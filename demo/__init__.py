"""What ``./run demo`` and ``./run serve`` do: an Orthanc with the plugin, synthetic studies, a sender."""
