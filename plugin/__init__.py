"""Chest X-ray and chest CT reading inside Orthanc: screening, ONNX inference, DICOM results."""

__version__ = "0.2.0"
